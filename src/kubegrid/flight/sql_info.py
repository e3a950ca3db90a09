"""GetSqlInfo: what this server is and can, by the numbers that Flight SQL gave such facts."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from kubegrid.base.tables import COLUMNS_MAX

STRING, BOOLEAN, BIGINT, BITMASK, STRINGS, MAP = range(6)
"""The kinds of a fact: the children of the union that the answer is."""
_VALUES = (
    ("string_value", pa.string()),
    ("bool_value", pa.bool_()),
    ("bigint_value", pa.int64()),
    ("int32_bitmask", pa.int32()),
    ("string_list", pa.list_(pa.field("item", pa.string()))),
    ("int32_to_int32_list_map", pa.map_(pa.int32(), pa.list_(pa.field("item", pa.int32())))),
)
SCHEMA = pa.schema(
    [
        pa.field("info_name", pa.uint32(), nullable=False),
        pa.field("value", pa.dense_union([pa.field(name, kind) for name, kind in _VALUES]), nullable=False),
    ]
)
NULLS_AT_END = 3
CASE_INSENSITIVE = 1
STATEMENT_BYTES_MAX = 2**20
"""As `SqlSettings.statement_bytes_max` has it unless it is set otherwise."""


def _facts(version: str, statement_idle_ms: int) -> dict[int, tuple[int, Any]]:
    return {
        0: (STRING, "KubeGrid"),
        1: (STRING, version),
        2: (STRING, pa.__version__),
        3: (BOOLEAN, False),  # read only
        4: (BOOLEAN, True),  # SQL
        5: (BOOLEAN, False),  # Substrait
        8: (BITMASK, 0),  # transactions: none
        9: (BOOLEAN, False),  # CancelQuery; closing the stream ends a query
        10: (BOOLEAN, True),  # bulk ingestion
        11: (BOOLEAN, False),
        100: (BITMASK, statement_idle_ms),
        500: (BOOLEAN, False),  # CREATE and DROP of catalogs
        501: (BOOLEAN, False),  # … of schemas
        502: (BOOLEAN, True),  # … of tables
        503: (BITMASK, CASE_INSENSITIVE),
        504: (STRING, '"'),
        505: (BITMASK, CASE_INSENSITIVE),
        506: (BOOLEAN, True),  # all tables can be read
        507: (BITMASK, NULLS_AT_END),
        513: (STRING, "\\"),  # escapes % and _ in patterns
        514: (STRING, ""),  # characters in names beyond letters, digits and _
        515: (BOOLEAN, True),  # AS
        516: (BOOLEAN, True),  # NULL || NULL is NULL
        518: (BOOLEAN, True),  # names of tables in a statement
        519: (BOOLEAN, False),  # … that must differ from all tables
        520: (BOOLEAN, True),  # expressions in ORDER BY
        521: (BOOLEAN, True),  # ORDER BY what is not selected
        523: (BOOLEAN, True),  # LIKE … ESCAPE
        524: (BOOLEAN, True),  # NOT NULL
        529: (STRING, "schema"),
        530: (STRING, ""),  # procedures: none
        531: (STRING, "catalog"),
        532: (BOOLEAN, True),  # catalog.schema.table
        536: (BOOLEAN, False),  # SELECT … FOR UPDATE
        537: (BOOLEAN, False),  # stored procedures
        539: (BOOLEAN, True),  # correlated subqueries
        541: (BIGINT, 0),  # 0: limited by the statement's length only
        542: (BIGINT, 0),
        548: (BIGINT, COLUMNS_MAX),
        557: (BIGINT, STATEMENT_BYTES_MAX),
        563: (BOOLEAN, False),  # transactions
        572: (BOOLEAN, True),  # a statement with many rows of parameters
        573: (BOOLEAN, False),  # savepoints
        574: (BOOLEAN, False),  # parameters by name
    }


def answer(asked: Sequence[int], version: str, statement_idle_ms: int) -> Any:
    """The facts asked for, all if none is; what is not known here is left out."""
    facts = _facts(version, statement_idle_ms)
    names = [name for name in (asked or facts) if name in facts]
    kinds = [facts[name][0] for name in names]
    children: list[list[Any]] = [[] for _ in _VALUES]
    places = []
    for name in names:
        kind, value = facts[name]
        places.append(len(children[kind]))
        children[kind].append(value)
    values = pa.UnionArray.from_dense(
        pa.array(kinds, pa.int8()),
        pa.array(places, pa.int32()),
        [pa.array(child, kind) for child, (_, kind) in zip(children, _VALUES, strict=True)],
        [name for name, _ in _VALUES],
    )
    return pa.Table.from_arrays([pa.array(names, pa.uint32()), values], schema=SCHEMA)
