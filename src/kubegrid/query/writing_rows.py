"""Values of a table's columns as rows and keys, checked like those of any write."""

from collections.abc import Sequence
from typing import Any

from kubegrid.base.table_errors import TableError
from kubegrid.base.tables import TableDefinition
from kubegrid.query.writing_values import Label, refused
from kubegrid.wire.rows import RowCodec

CODECS_MAX = 64


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


_codecs: dict[tuple[int, int], RowCodec] = {}


def codec_of(table: TableDefinition) -> RowCodec:
    """Making one takes as long as some thousand rows."""
    found = _codecs.get((table.id, table.schema))
    if found is None or found.definition != table:
        if len(_codecs) >= CODECS_MAX:
            _codecs.clear()
        found = _codecs[table.id, table.schema] = RowCodec(table)
    return found
