"""The answer of a statement whose final one only merges a few rows (`sql.merging`), made without DuckDB.

It is what DuckDB would say, to the type, or nothing: then DuckDB is asked. So whatever is not certain is left to it: other types
than numbers, texts, dates and times; sums that come near to where their type ends, and so errors; NaN and -0.0 where values are
compared; doubles as keys; means of large sums, which depend on how a number becomes a DOUBLE. Numbers of 128 bits are taken and
given as their bytes, dates and times as the numbers that Arrow has for them: Python has no values for some of them.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from kubegrid.sql import merging
from kubegrid.sql.merging import Item, Merging

ROWS_MAX = 1000
"""More are DuckDB's: it does not hold the interpreter while it computes."""
BYTES_MAX = 2**20
_WIDE_BYTES = 16
_WIDE_MAX = 10**38
"""HUGEINT and DECIMAL(38) are exact to here."""
_DOUBLE_EXACT = 2**53


class _Uncertain(Exception):
    """DuckDB has to be asked."""


def merged(what: Merging, found: tuple[Any, Sequence[Any]], schema: Any) -> Any:
    """The answer as a `pyarrow.RecordBatch` of this schema; None: DuckDB has to be asked. `found`: the schema and the batches
    of the fragment's rows, of all partitions."""
    import pyarrow as pa

    parts, batches = found
    if sum(batch.num_rows for batch in batches) > ROWS_MAX or sum(batch.nbytes for batch in batches) > BYTES_MAX:
        return None
    if len(schema) != what.shown:
        return None
    try:
        rows = _Rows(parts, batches)
        columns = _columns(what, rows)
        places = _ordered(what, columns)
        last = None if what.limit is None else what.offset + what.limit
        places = places[what.offset : last]
        arrays = [
            _array([columns[place][each] for each in places], _type(item, rows), field.type)
            for place, (item, field) in enumerate(zip(what.items, schema, strict=False))
        ]
    except _Uncertain:
        return None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


class _Rows:
    """The fragment's rows as Python's values, by column."""

    def __init__(self, schema: Any, batches: Sequence[Any]) -> None:
        self._schema = schema
        self._batches = batches
        self._values: dict[str, list[Any]] = {}
        self.count = sum(batch.num_rows for batch in batches)

    def type(self, column: str) -> Any:
        place = self._schema.get_field_index(column)
        if place < 0:
            raise _Uncertain
        return self._schema.field(place).type

    def values(self, column: str) -> list[Any]:
        found = self._values.get(column)
        if found is None:
            self.type(column)
            found = self._values[column] = [value for batch in self._batches for value in _values(batch.column(column))]
        return found


def _columns(what: Merging, rows: _Rows) -> list[list[Any]]:
    """The values of each item, by group or row."""
    if what.keys is None:
        return [rows.values(item.column) for item in what.items]
    groups = _groups(what.keys, rows)
    return [_merged(item, groups, rows) for item in what.items]


def _groups(keys: Sequence[str], rows: _Rows) -> list[list[int]]:
    """The rows of each. Without keys there is one, also of no rows."""
    if not keys:
        return [list(range(rows.count))]
    for key in keys:
        if _is_double(rows.type(key)):
            raise _Uncertain
    found: dict[Any, list[int]] = {}
    for row, values in enumerate(zip(*(rows.values(key) for key in keys), strict=True)):
        found.setdefault(values, []).append(row)
    return list(found.values())


def _merged(item: Item, groups: list[list[int]], rows: _Rows) -> list[Any]:
    values = rows.values(item.column)
    if item.kind == merging.VALUE:
        return [values[group[0]] for group in groups]
    if item.kind in (merging.MIN, merging.MAX):
        _compared(values)
        choose: Callable[..., Any] = min if item.kind == merging.MIN else max
        return [choose(there, default=None) for there in _parts(values, groups)]
    kind = rows.type(item.column)
    if item.kind == merging.COUNT:
        return [_count(there, kind) for there in _parts(values, groups)]
    sums = [_sum(there, kind) for there in _parts(values, groups)]
    if item.kind == merging.SUM:
        return sums
    counts = [_count(there, rows.type(item.counts)) for there in _parts(rows.values(item.counts), groups)]
    return [_mean(total, count, kind) for total, count in zip(sums, counts, strict=True)]


def _parts(values: list[Any], groups: list[list[int]]) -> list[list[Any]]:
    """Of each group, without NULLs."""
    return [[value for row in group if (value := values[row]) is not None] for group in groups]


def _count(values: list[int], kind: Any) -> int:
    import pyarrow as pa

    if kind != pa.int64():
        raise _Uncertain
    return sum(values)


def _sum(values: list[Any], kind: Any) -> Any:
    if _is_double(kind):
        total = 0.0
        for value in values:
            total += value
        if not math.isfinite(total):
            raise _Uncertain
    elif _is_wide(kind):
        if sum(map(abs, values)) >= _WIDE_MAX:
            raise _Uncertain
        total = sum(values)
    else:
        raise _Uncertain
    return total if values else None


def _mean(total: Any, count: int, kind: Any) -> float | None:
    if total is None:
        return None
    if count <= 0 or _scale(kind) or (not _is_double(kind) and abs(total) >= _DOUBLE_EXACT):
        raise _Uncertain
    return float(total) / count


def _ordered(what: Merging, columns: list[list[Any]]) -> list[int]:
    places = list(range(len(columns[0])))
    for order in reversed(what.order):
        values = _compared(columns[order.item])
        there = [place for place in places if values[place] is not None]
        nulls = [place for place in places if values[place] is None]
        there.sort(key=values.__getitem__, reverse=order.descending)
        places = [*nulls, *there] if order.nulls_first else [*there, *nulls]
    return places


def _compared(values: list[Any]) -> list[Any]:
    """The same, if Python's order of them is DuckDB's."""
    for value in values:
        if type(value) is float and (value != value or (value == 0.0 and math.copysign(1.0, value) < 0)):
            raise _Uncertain
    return values


# -- Arrow -------------------------------------------------------------------------------------------------------------


def _is_double(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind))


def _is_wide(kind: Any) -> bool:
    """HUGEINT, or a sum of DECIMALs."""
    import pyarrow as pa

    return _is_hugeint(kind) or (pa.types.is_decimal128(kind) and kind.precision == 38)


def _is_hugeint(kind: Any) -> bool:
    import pyarrow as pa

    return isinstance(kind, pa.OpaqueType) and kind.type_name == "hugeint" and kind.vendor_name == "DuckDB"


def _scale(kind: Any) -> int:
    import pyarrow as pa

    return int(kind.scale) if pa.types.is_decimal(kind) else 0


def _number_type(kind: Any) -> Any:
    """That of the numbers behind a date or time; None: it is none."""
    import pyarrow as pa

    if pa.types.is_date32(kind):
        return pa.int32()
    return pa.int64() if pa.types.is_timestamp(kind) or pa.types.is_time64(kind) else None


def _values(column: Any) -> list[Any]:
    import pyarrow as pa

    kind = column.type
    if _is_hugeint(kind) or pa.types.is_decimal128(kind):
        storage = column.storage if _is_hugeint(kind) else column
        raw = pa.Array.from_buffers(
            pa.binary(_WIDE_BYTES), len(storage), storage.buffers(), storage.null_count, storage.offset
        )
        return [None if each is None else int.from_bytes(each, "little", signed=True) for each in raw.to_pylist()]
    number = _number_type(kind)
    if number is not None:
        return list(column.view(number).to_pylist())
    if pa.types.is_integer(kind) or kind in (pa.float64(), pa.float32(), pa.string()):
        return list(column.to_pylist())
    raise _Uncertain


def _type(item: Item, rows: _Rows) -> Any:
    """That of the answer's values."""
    import pyarrow as pa

    if item.kind == merging.MEAN:
        return pa.float64()
    kind = rows.type(item.column)
    return pa.decimal128(38, 0) if _is_hugeint(kind) else kind


def _array(values: list[Any], kind: Any, wanted: Any) -> Any:
    import pyarrow as pa

    if kind != wanted:
        raise _Uncertain
    if pa.types.is_decimal128(kind):
        if any(value is not None and abs(value) >= _WIDE_MAX for value in values):
            raise _Uncertain
        raw = pa.array(
            [None if value is None else value.to_bytes(_WIDE_BYTES, "little", signed=True) for value in values],
            pa.binary(_WIDE_BYTES),
        )
        return pa.Array.from_buffers(kind, len(raw), raw.buffers(), raw.null_count)
    number = _number_type(kind)
    return pa.array(values, kind) if number is None else pa.array(values, number).view(kind)
