"""The tables that tests of plans speak of.

`orders` and `items` lie together by `k`; a row of `flights` has the slot of its whole key; `airlines` is broadcast.
"""

from collections.abc import Sequence
from typing import Any

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.sql.parameters import bind
from kubegrid.sql.planner import plan
from kubegrid.sql.plans import Fragment, Plan
from kubegrid.sql.statements import parse

PARTITIONS = 3
_TABLES: dict[str, dict[str, Any]] = {
    "flights": {
        "columns": {"carrier": "VARCHAR", "flight": "INTEGER", "origin": "VARCHAR", "delay": "DOUBLE", "day": "DATE"},
        "key": ["carrier", "flight"],
    },
    "airlines": {"columns": {"carrier": "VARCHAR", "name": "VARCHAR"}, "key": ["carrier"], "broadcast": True},
    "orders": {"columns": {"k": "BIGINT", "total": "DECIMAL(12,2)"}, "key": ["k"], "partition_by": ["k"]},
    "items": {"columns": {"k": "INTEGER", "n": "INTEGER", "Qty": "INTEGER"}, "key": ["k", "n"], "partition_by": ["k"]},
}


def catalog() -> Catalog:
    made = Catalog()
    for name, table in _TABLES.items():
        columns = [
            {"name": column, "type": kind, "nullable": column not in table["key"]}
            for column, kind in table["columns"].items()
        ]
        made = made.create(parse_definition(name, {**table, "columns": columns}))
    return made


CATALOG = catalog()


def planned(text: str, values: Sequence[Any] = ()) -> Plan:
    return plan(bind(parse(text), values).expression, CATALOG, PARTITIONS)


def only(text: str, values: Sequence[Any] = ()) -> Fragment:
    """The only fragment of the statement's plan."""
    fragments = planned(text, values).fragments
    assert len(fragments) == 1, fragments
    return fragments[0]
