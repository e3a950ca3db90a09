"""Columns of values as rows and keys, checked like those of any write.

Many rows go the way that bulk writes go, column by column (`wire.arrow_rows`); few, and those with something wrong, row by
row, which costs less to begin with and knows which row it is.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from kubegrid.base.table_errors import TableError
from kubegrid.base.tables import TableDefinition
from kubegrid.query import writing_values
from kubegrid.query.writing_values import Label, refused
from kubegrid.wire.rows import RowCodec

if TYPE_CHECKING:
    from kubegrid.wire.arrow_rows import ArrowRows

Made = TypeVar("Made")
CODECS_MAX = 64
"""Tables whose codecs are kept; making one takes as long as some thousand rows."""
MANY_ROWS = 200


def encoded_table(
    table: TableDefinition, rows: Any, names: Sequence[str], label: Label
) -> tuple[list[bytes], list[bytes], list[int] | None]:
    """Keys and rows of a `pyarrow.Table` whose columns are cast to those of `names`, and the keys' slots if they are known.

    Raises TypeProblem with the row.
    """
    if rows.num_rows >= MANY_ROWS:
        try:
            made = _arrow_rows(table).admit(rows.rename_columns(list(names)).combine_chunks())
            return made.keys, made.rows, made.slots
        except TableError:
            pass  # found again below, with its row
    values = writing_values.lists(rows, table, names, label)
    return *encoded_rows(table, whole_rows(table, names, values, rows.num_rows), label), None


def whole_rows(table: TableDefinition, names: Sequence[str], values: list[Any], count: int) -> list[tuple[Any, ...]]:
    """Rows of all columns, from the values of some: the others have their defaults."""
    given = dict(zip(names, values, strict=True))
    columns = [given[column.name] if column.name in given else [column.default] * count for column in table.columns]
    return list(zip(*columns, strict=True))


def encoded_rows(
    table: TableDefinition, rows: Sequence[Sequence[Any]], label: Label
) -> tuple[list[bytes], list[bytes]]:
    """Keys and rows as bytes, checked like those of any write. Raises TypeProblem with the row."""
    codec = codec_of(table)
    encode, key_of_row = codec.encode, codec.key_of_row
    keys: list[bytes] = []
    encoded: list[bytes] = []
    try:
        for values in rows:
            encoded.append(encode(values))
            keys.append(key_of_row(values))
    except TableError as error:
        raise refused(table, error, label(len(keys))) from None
    return keys, encoded


def keys_of_rows(table: TableDefinition, rows: Sequence[Sequence[Any]], label: Label) -> list[bytes]:
    """Of rows that may have NULL where their table has none. Raises TypeProblem with the row."""
    keys: list[bytes] = []
    try:
        keys.extend(map(codec_of(table).key_of_row, rows))
    except TableError as error:
        raise refused(table, error, label(len(keys))) from None
    return keys


_codecs: dict[tuple[int, int], RowCodec] = {}
_encoders: dict[tuple[int, int], "ArrowRows"] = {}


def codec_of(table: TableDefinition) -> RowCodec:
    return _kept(_codecs, table, RowCodec)


def _arrow_rows(table: TableDefinition) -> "ArrowRows":
    from kubegrid.wire.arrow_rows import ArrowRows

    return _kept(_encoders, table, ArrowRows)


def _kept(kept: dict[tuple[int, int], Any], table: TableDefinition, make: Callable[[TableDefinition], Made]) -> Made:
    found: Any = kept.get((table.id, table.schema))
    if found is None or found.definition != table:
        if len(kept) >= CODECS_MAX:
            kept.clear()
        found = kept[table.id, table.schema] = make(table)
    return found  # type: ignore[no-any-return]
