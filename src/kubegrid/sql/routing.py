"""Which partitions can hold the rows that a condition lets through: those of the keys that it names; and which keys these are.

Conditions on the columns that make a table's slot (`partition_by`, else the whole key) count: equality with literals,
IN lists, OR of these, and equality with a column that is so bound. A literal counts only if it is surely the value that
DuckDB makes of it, and no value is guessed: everything else asks all partitions. Where all columns of the key are so bound,
and the keys are few, members need no columns for the answer: they look the records up.
"""

import re
from binascii import crc_hqx
from collections.abc import Callable
from decimal import Decimal
from itertools import product
from math import prod
from typing import Any, NamedTuple

from sqlglot import exp

from kubegrid.base.column_numbers import BooleanType, DecimalType, IntegerType
from kubegrid.base.column_texts import UuidType, VarcharType
from kubegrid.base.column_times import DateType, TimestampType
from kubegrid.base.column_type import ColumnType
from kubegrid.base.columns import TYPES
from kubegrid.base.ids import SLOT_COUNT, slots_of_partition
from kubegrid.base.record_keys import RecordKeys, encode
from kubegrid.base.table_errors import BadKey, BadValue
from kubegrid.base.tables import TableDefinition
from kubegrid.sql import conjuncts
from kubegrid.sql.colocation import Pair, same_text
from kubegrid.sql.sources import VERSION, Source

KEYS_MAX = 4096
"""Keys that one condition may name; with more, all partitions are asked."""
RECORDS_MAX = 64
"""Records of one fragment that are looked up, in one turn: some 0.3 ms for each that is still a row of a block of its own."""

Values = dict[str, frozenset[Any]]
"""Lower-case name of a column → the only values that it can have; NULL aside."""
Slots = frozenset[int]

_DIGITS = re.compile(r"[0-9]{1,60}")
_LONG_FRACTION = re.compile(r"\.[0-9]{7}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
"""As everybody spells it. Of what else may be one, Python and DuckDB think differently."""
_TYPES = {
    "TIMESTAMP": (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ, exp.DType.DATETIME),
    "TIMESTAMP WITH TIME ZONE": (exp.DType.TIMESTAMPTZ,),
    "DATE": (exp.DType.DATE,),
    "UUID": (exp.DType.UUID,),
    "VARCHAR": (exp.DType.TEXT, exp.DType.VARCHAR),
}
_INTEGERS = {
    exp.DType.BIGINT: TYPES["BIGINT"],
    exp.DType.INT: TYPES["INTEGER"],
    exp.DType.INT128: TYPES["HUGEINT"],
    exp.DType.UINT128: TYPES["UHUGEINT"],
}


class Reach(NamedTuple):
    """Where the rows of one table are that conditions let through."""

    partitions: frozenset[int] | None = None
    """None: in any."""
    keys: frozenset[bytes] | None = None
    """Of their records; None: not known, or too many."""


ANYWHERE = Reach()


class _Unsure(Exception):
    """It is not certain which value a literal is."""


def bound_values(table: TableDefinition, conditions: list[exp.Expression]) -> Values:
    """What the conditions, of which each column is one of this table, leave to its columns."""
    lowered = {column.name.lower(): column for column in table.columns}
    found: Values = {}
    for condition in conditions:
        named = _named(condition)
        if named is None or named[0] not in lowered:
            continue
        name, literals = named
        try:
            values = frozenset(
                _value(literal, lowered[name].type) for literal in literals if not isinstance(literal, exp.Null)
            )
        except (_Unsure, BadValue, ValueError, ArithmeticError):
            continue
        found[name] = found[name] & values if name in found else values
    return found


def certain_value(literal: exp.Expression, kind: ColumnType) -> Any:
    """What a literal, or NULL, is as a value of a column that it is compared with; None: it is not certain, or NULL."""
    try:
        return _value(literal, kind)
    except (_Unsure, BadValue, ValueError, ArithmeticError):
        return None


def reach_of(table: TableDefinition, values: Values, partitions: int) -> Reach:
    """Where the records with these values are."""
    tags = _choices(values, table.partition_by or table.key, KEYS_MAX)
    if tags is None:
        return ANYWHERE
    record_keys = RecordKeys(table)
    texts = _texts(tags, (lambda values: _tag(table, values)) if table.partition_by else record_keys.key)
    places = {partition_of_slot(crc_hqx(text, 0) % SLOT_COUNT, partitions) for text in texts if text}
    if not table.partition_by:
        return Reach(frozenset(places), texts if len(texts) <= RECORDS_MAX else None)
    choices = _choices(values, table.key, RECORDS_MAX)
    return Reach(frozenset(places), None if choices is None else _texts(choices, record_keys.key))


def _choices(values: Values, columns: tuple[str, ...], most: int) -> list[frozenset[Any]] | None:
    """The values of each column; None if one is not bound, or there are more combinations than that."""
    choices = [values[name.lower()] for name in columns if name.lower() in values]
    return choices if len(choices) == len(columns) and prod(map(len, choices)) <= most else None


def _texts(choices: list[frozenset[Any]], text: Callable[[tuple[Any, ...]], bytes]) -> frozenset[bytes]:
    """`text` of each combination of the values that a record can have."""
    found = set()
    for combination in product(*choices):
        try:
            found.add(text(combination))
        except BadKey:  # no record has it
            continue
    return frozenset(found)


def looked_up(reaches: list[tuple[TableDefinition, Reach]]) -> dict[str, tuple[bytes, ...]] | None:
    """The keys of all records that a statement over these tables needs, by table; None: it reads columns, or nothing."""
    found: dict[str, set[bytes]] = {}
    for table, reach in reaches:
        if reach.keys is None:
            return None
        found.setdefault(table.name, set()).update(reach.keys)
    if sum(map(len, found.values())) > RECORDS_MAX:
        return None
    return {name: tuple(sorted(keys)) for name, keys in found.items()} or None


def reached(
    sources: list[Source], conditions: list[exp.Expression], pairs: list[Pair], partitions: int
) -> dict[str, Reach]:
    """For each source, by alias: where its rows are that the conditions let through. No other row of it matters.

    `conditions` have their columns resolved; `pairs` are columns that must be equal besides.
    """
    values: dict[str, Values] = {}
    for source in sources:
        about = [each for each in conditions if {c.table.lower() for c in conjuncts.columns_of(each)} == {source.alias}]
        values[source.alias] = bound_values(_table(source), about)
    by_alias = {source.alias: source for source in sources}
    for _ in range(min(len(pairs), len(sources))):
        for one, other in (*pairs, *((b, a) for a, b in pairs)):
            given = values.get(one[0], {}).get(one[1])
            if given is None or other[0] not in by_alias or VERSION in (one[1], other[1]):
                continue
            if not _alike(by_alias, one, other):
                continue
            there = values[other[0]].get(other[1])
            values[other[0]][other[1]] = given if there is None else given & there
    return {source.alias: reach_of(_table(source), values[source.alias], partitions) for source in sources}


def _alike(by_alias: dict[str, Source], one: tuple[str, str], other: tuple[str, str]) -> bool:
    types = [_table(by_alias[alias]).columns[_place(by_alias[alias], name)].type for alias, name in (one, other)]
    return same_text(*types)


def _place(source: Source, name: str) -> int:
    return int(_table(source).position(source.real[name]))


def _table(source: Source) -> Any:
    return source.table


def partition_of_slot(slot: int, partitions: int) -> int:
    guess = min(slot * partitions // SLOT_COUNT, partitions - 1)
    while slot < slots_of_partition(guess, partitions)[0]:
        guess -= 1
    while slot > slots_of_partition(guess, partitions)[1]:
        guess += 1
    return guess


def _tag(table: TableDefinition, values: tuple[Any, ...]) -> bytes:
    """What stands between the braces of the record's key."""
    types = [table.column(name).type for name in table.partition_by]
    return b":".join(encode(kind.to_key_text(value)) for kind, value in zip(types, values, strict=True))


def _named(condition: exp.Expression) -> tuple[str, list[exp.Expression]] | None:
    """The column and the literals of `column = literal`, `column IN (…)`, and OR of these about one column."""
    found: tuple[str, list[exp.Expression]] | None = None
    for part in conjuncts.alternatives(condition):
        if isinstance(part, exp.EQ):
            sides = conjuncts.unwrapped(part.this), conjuncts.unwrapped(part.expression)
            column, literals = (sides[0], [sides[1]]) if isinstance(sides[0], exp.Column) else (sides[1], [sides[0]])
        elif isinstance(part, exp.In) and not any(part.args.get(name) for name in ("query", "unnest", "field")):
            column, literals = conjuncts.unwrapped(part.this), list(part.expressions)
        else:
            return None
        if not isinstance(column, exp.Column) or (found is not None and found[0] != column.name.lower()):
            return None
        found = column.name.lower(), (found[1] if found else []) + literals
    return found


def _value(node: exp.Expression, kind: ColumnType) -> Any:
    """The literal as a value of the column. Raises _Unsure, or what the type raises when it is none."""
    node = conjuncts.unwrapped(node)
    if isinstance(kind, BooleanType) and isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(kind, IntegerType):
        return kind.settle(_integer(node))
    if isinstance(kind, DecimalType):
        return kind.settle(_decimal(node))
    if isinstance(node, exp.Cast) and type(node) is exp.Cast:
        if node.to.this not in _TYPES.get(kind.name, ()):
            raise _Unsure
        node = node.this
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise _Unsure
    text = str(node.this)
    if isinstance(kind, VarcharType):
        return kind.from_text(text.encode())
    if isinstance(kind, DateType | TimestampType) and not _LONG_FRACTION.search(text):
        return kind.from_text(text.encode())
    if isinstance(kind, UuidType) and _UUID.fullmatch(text):
        return kind.from_text(text.encode())
    raise _Unsure


def _integer(node: exp.Expression) -> int:
    if isinstance(node, exp.Neg):
        return -_integer(conjuncts.unwrapped(node.this))
    if isinstance(node, exp.Cast) and type(node) is exp.Cast and node.to.this in _INTEGERS:
        text = str(node.this.this) if isinstance(node.this, exp.Literal) else ""
        if _DIGITS.fullmatch(text.removeprefix("-")):
            number: int = _INTEGERS[node.to.this].settle(int(text))  # what does not fit fails in DuckDB
            return number
    if not isinstance(node, exp.Literal) or node.is_string or not _DIGITS.fullmatch(str(node.this)):
        raise _Unsure
    return int(node.this)


def _decimal(node: exp.Expression) -> Decimal:
    if isinstance(node, exp.Neg):
        return -_decimal(conjuncts.unwrapped(node.this))
    if isinstance(node, exp.Cast) and type(node) is exp.Cast and node.to.this is exp.DType.DECIMAL:
        value = Decimal(str(node.this.this)) if isinstance(node.this, exp.Literal) else None
        sizes = [int(each.name) for each in node.to.expressions]
        if value is None or len(sizes) != 2 or round(value, sizes[1]) != value:
            raise _Unsure
        return value
    if not isinstance(node, exp.Literal) or node.is_string or "e" in str(node.this).lower():
        raise _Unsure
    return Decimal(str(node.this))
