"""The formats of `kubegrid sql`: batches of an answer become bytes.

    table    aligned, for people: a value stays on its line, and what a terminal would obey is not shown
    csv      a heading, then rows; NULL is an empty field, an empty text is ""; quotes only where they are needed
    json     one list of objects
    ndjson   one object per line
    arrow    the stream of Arrow's IPC

All but the table are written batch by batch; a table ends after `TABLE_ROWS_MAX` rows, and says so. Columns are turned to
text as columns, by Arrow, wherever it can.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from kubegrid.client.sql import SqlStream
from kubegrid.client.sql_text import counted, plain, table, text, to_json

FORMATS = ("table", "csv", "json", "ndjson", "arrow")
FEW_ROWS = 1000
"""So many are text sooner than `pyarrow.compute` is imported."""
ROWS_AT_ONCE = 10_000
"""Rows that are text at a time."""
TABLE_ROWS_MAX = 10_000
"""Nobody reads more, and all have to be here before the first line can be aligned."""
CELL_CHARS_MAX = 10_000
"""Of a value in a table; it is cut there."""
_NEEDS_QUOTES = '[",\r\n]|^$|^\\s|\\s$'


def write(stream: SqlStream, chosen: str, out: BinaryIO) -> int:
    """Write the answer; how many rows were read of it. A table may end before them: `counted_rows`."""
    if stream.note is not None and chosen == "table":
        changed = stream.note.rows_changed
        out.write(("done\n" if changed is None else f"{counted(changed, 'row')} changed\n").encode())
        return 0
    schema, batches = stream.schema, iter(stream)
    if stream.note is not None:
        for _ in batches:
            pass
        schema, batches = _count(stream.note.rows_changed)
    return _WRITERS[chosen](schema, _pieces(batches), out)


def counted_rows(chosen: str, read: int) -> str:
    """For people: how many rows were written, and whether that is all."""
    if chosen == "table" and read > TABLE_ROWS_MAX:
        return f"only the first {counted(TABLE_ROWS_MAX, 'row')}"
    return counted(read, "row")


def _pieces(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            yield batch.slice(start, ROWS_AT_ONCE)


def _count(changed: int | None) -> tuple[Any, Iterator[Any]]:
    """What a statement that writes answers, as rows. (`pyarrow.array` would import pandas.)"""
    import pyarrow as pa

    schema = pa.schema([("rows_changed", pa.int64())])
    valid = None if changed is not None else pa.py_buffer(b"\x00")
    values = pa.py_buffer((changed or 0).to_bytes(8, "little", signed=True))
    column = pa.Array.from_buffers(pa.int64(), 1, [valid, values])
    return schema, iter([pa.RecordBatch.from_arrays([column], schema=schema)])


# -- formats -------------------------------------------------------------------------------------------------------------


def _table(schema: Any, batches: Iterator[Any], out: BinaryIO) -> int:
    rows: list[tuple[Any, ...]] = []
    for batch in batches:
        rows += zip(*map(_values, batch.columns), strict=True)
        if len(rows) > TABLE_ROWS_MAX:
            break
    read = len(rows)
    del rows[TABLE_ROWS_MAX:]
    if len(schema) == 1 and any(isinstance(row[0], str) and "\n" in row[0] for row in rows):
        # one column of texts of several lines (a plan): nothing has to be aligned
        lines = [str(schema.names[0]), *(text(row[0]) for row in rows)]
    else:
        lines = table(schema, rows, CELL_CHARS_MAX)
    out.write("".join(f"{line}\n" for line in lines).encode())
    return read


def _csv(schema: Any, batches: Iterator[Any], out: BinaryIO) -> int:
    alone = len(schema) == 1
    in_columns = all(_is_plain(field.type) for field in schema)
    out.write((",".join(map(_quoted, schema.names)) + "\n").encode())
    count = 0
    for batch in batches:
        count += batch.num_rows
        lines = _csv_columns(batch) if in_columns and batch.num_rows > FEW_ROWS else _csv_rows(batch)
        if alone:  # an empty line would be no row to most readers
            lines = [line or '""' for line in lines]
        out.write(("\n".join(lines) + "\n").encode())
    return count


def _is_plain(kind: Any) -> bool:
    """Whether Arrow turns such a column to the text that is wanted."""
    import pyarrow.types as types

    return bool(
        types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_date32(kind)
        or types.is_timestamp(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
    )


def _csv_columns(batch: Any) -> list[str]:
    import pyarrow.compute as pc

    texts = [_column_text(column) for column in batch.columns]
    lines = pc.binary_join_element_wise(*texts, ",", null_handling="replace", null_replacement="")
    found: list[str] = lines.to_pylist()
    return found


def _column_text(column: Any) -> Any:
    """The column as text, quoted where it must be; NULL stays NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_timestamp(kind):
        if kind.tz is not None:
            column = column.cast(pa.timestamp(kind.unit, "UTC"))
        whole = pc.replace_substring_regex(column.cast(pa.string()), r"\.0+(Z?)$", r"\1")
        return pc.replace_substring_regex(whole, r"(\.\d*[1-9])0+(Z?)$", r"\1\2")
    if pa.types.is_floating(kind):  # 1498.0, by which it can be told from an integer
        return pc.replace_substring_regex(column.cast(pa.string()), r"^(-?\d+)$", r"\1.0")
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return column.cast(pa.string())
    column = column.cast(pa.string())
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(column, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(column, _NEEDS_QUOTES), quoted, column)


def _csv_rows(batch: Any) -> list[str]:
    return [
        ",".join("" if one is None else _quoted(text(one)) for one in row)
        for row in zip(*map(_values, batch.columns), strict=True)
    ]


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if re.search(_NEEDS_QUOTES, value) else value


def _json(schema: Any, batches: Iterator[Any], out: BinaryIO) -> int:
    out.write(b"[")
    count = 0
    for one in _objects(schema, batches):
        out.write(b",\n " if count else b"\n ")
        out.write(one)
        count += 1
    out.write(b"\n]\n" if count else b"]\n")
    return count


def _ndjson(schema: Any, batches: Iterator[Any], out: BinaryIO) -> int:
    count = 0
    for one in _objects(schema, batches):
        out.write(one + b"\n")
        count += 1
    return count


def _objects(schema: Any, batches: Iterator[Any]) -> Iterator[bytes]:
    names = _distinct(schema.names)
    for batch in batches:
        columns = [_values(column) for column in batch.columns]
        columns = [
            column if _is_json(field.type) else [*map(plain, column)]
            for column, field in zip(columns, schema, strict=True)
        ]
        for row in zip(*columns, strict=True):
            yield to_json(dict(zip(names, row, strict=True)))


def _values(column: Any) -> list[Any]:
    """Python's values of a column; of REAL those with the fewest digits that mean the same, not all that a double shows."""
    import pyarrow as pa

    if not pa.types.is_float32(column.type):
        values: list[Any] = column.to_pylist()
        return values
    return [None if one is None else float(one) for one in column.cast(pa.string()).to_pylist()]


def _is_json(kind: Any) -> bool:
    """Whether values of the type are JSON's as they are."""
    import pyarrow.types as types

    return bool(types.is_boolean(kind) or types.is_integer(kind) or types.is_string(kind) or types.is_decimal(kind))


def _distinct(names: list[str]) -> list[str]:
    """Names for an object: the second `n` is `n_1`, as DuckDB calls it in such a place."""
    found: list[str] = []
    for name in names:
        number, chosen = 0, name
        while chosen in found:
            number += 1
            chosen = f"{name}_{number}"
        found.append(chosen)
    return found


def _arrow(schema: Any, batches: Iterator[Any], out: BinaryIO) -> int:
    import pyarrow as pa

    count = 0
    with pa.ipc.new_stream(out, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


_WRITERS: dict[str, Callable[[Any, Iterator[Any], BinaryIO], int]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "ndjson": _ndjson,
    "arrow": _arrow,
}
