"""Random tables, rows and queries over them, for comparing answers.

Everything is drawn from one Random, so that hypothesis can shrink it and a seed can repeat it. Few values and few names,
so that keys meet, groups have several rows and conditions let something through.
"""

import math
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog

INT, DOUBLE, DECIMAL, TEXT, BOOL, DATE, TIMESTAMP = "int", "double", "decimal", "text", "bool", "date", "timestamp"
KINDS = (INT, DOUBLE, DECIMAL, TEXT, BOOL, DATE, TIMESTAMP)
_TYPES = {
    INT: ("INTEGER", "BIGINT", "SMALLINT", "TINYINT", "UBIGINT", "HUGEINT"),
    DOUBLE: ("DOUBLE", "REAL"),
    DECIMAL: ("DECIMAL(10,2)", "DECIMAL(18,4)", "DECIMAL(4,1)"),
    TEXT: ("VARCHAR",),
    BOOL: ("BOOLEAN",),
    DATE: ("DATE",),
    TIMESTAMP: ("TIMESTAMP",),
}
_WORDS = ("", "a", "b", "ab", "B", "ä", "it's", "x:y", "{a}", "zz")
_EPOCH = date(2020, 1, 30)


@dataclass
class Column:
    name: str
    kind: str
    type: str


@dataclass
class Table:
    name: str
    columns: list[Column]
    key: list[str]
    partition_by: list[str] = field(default_factory=list)
    broadcast: bool = False

    def definition(self) -> Any:
        columns = [
            {"name": each.name, "type": each.type, "nullable": each.name not in self.key} for each in self.columns
        ]
        document = {"columns": columns, "key": self.key, "partition_by": self.partition_by, "broadcast": self.broadcast}
        return parse_definition(self.name, document)

    def of(self, kind: str) -> list[Column]:
        return [column for column in self.columns if column.kind == kind]


def tables(random: Random) -> list[Table]:
    """`orders` and `items` lie together by their first column, `loose` has a slot for every key, `names` is broadcast."""
    shared = random.choice((INT, INT, TEXT, DATE))
    key = Column("k", shared, _key_type(random, shared))
    number = Column("n", INT, "INTEGER")
    return [
        Table("orders", [key, *_others(random, "o")], ["k"], ["k"]),
        Table("items", [key, number, *_others(random, "i")], ["k", "n"], ["k"]),
        Table("Loose", [Column("id", INT, "BIGINT"), key, *_others(random, "l")], ["id"]),
        Table("names", [key, *_others(random, "m")], ["k"], [], True),
    ]


def _key_type(random: Random, kind: str) -> str:
    return random.choice(("INTEGER", "BIGINT")) if kind == INT else _TYPES[kind][0]


def _others(random: Random, prefix: str) -> list[Column]:
    kinds = [INT, TEXT, *(random.choice(KINDS) for _ in range(random.randint(1, 4)))]
    columns = [Column(f"{prefix}{place}", kind, random.choice(_TYPES[kind])) for place, kind in enumerate(kinds)]
    return [*columns, Column("v", INT, "INTEGER"), Column("g", TEXT, "VARCHAR")]


def catalog_of(made: list[Table]) -> Catalog:
    catalog = Catalog()
    for table in made:
        catalog = catalog.create(table.definition())
    return catalog


def rows(random: Random, table: Table) -> list[tuple[Any, ...]]:
    """Distinct in their keys; sometimes none, so that partitions are empty."""
    found: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for _ in range(random.choice((0, 6, 12, 25, 25, 30, 30, 40))):
        row = tuple(_value(random, column, column.name in table.key) for column in table.columns)
        key = tuple(value for column, value in zip(table.columns, row, strict=True) if column.name in table.key)
        if not (table.partition_by and key[0] == ""):  # the grid has no such key
            found[key] = row
    return list(found.values())


def _value(random: Random, column: Column, keyed: bool) -> Any:
    if not keyed and random.random() < 0.2:
        return None
    return value(random, column.kind, column.type, keyed or column.name == "k")


def value(random: Random, kind: str, type_name: str = "", plain: bool = False) -> Any:
    if kind == INT:
        if not plain and random.random() < 0.05:
            return random.choice(_extremes(type_name))
        low = 0 if type_name.startswith("U") else -2
        return random.randint(low, 7)
    if kind == DOUBLE:
        if not plain and random.random() < 0.02:
            return random.choice((math.nan, math.inf, -math.inf))
        return random.randint(-40, 40) / 8
    if kind == DECIMAL:
        return Decimal(random.randint(-90, 90)) / 10
    if kind == TEXT:
        return random.choice(_WORDS)
    if kind == BOOL:
        return random.random() < 0.5
    if kind == DATE:
        return _EPOCH + timedelta(days=random.randint(0, 12))
    return datetime(2020, 1, 30, 22) + timedelta(minutes=random.randint(0, 300))


def _extremes(type_name: str) -> tuple[int, ...]:
    bits = {"TINYINT": 7, "SMALLINT": 15, "INTEGER": 31, "BIGINT": 63, "UBIGINT": 64, "HUGEINT": 100}.get(type_name, 31)
    return (2**bits - 1, 0 if type_name.startswith("U") else -(2**bits))
