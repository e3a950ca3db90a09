"""Batches of columns for the store's tests: prepared as a stream of Flight prepares them."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from kubegrid.base.table_errors import TableError
from kubegrid.base.tables import TableDefinition
from kubegrid.store import Keyspace, row_batches, row_blocks
from kubegrid.store.record_changes import refusal
from kubegrid.store.slots import slots_of
from kubegrid.wire.arrow_blocks import encode_columns
from kubegrid.wire.arrow_key_lists import decode_keys
from kubegrid.wire.arrow_rows import ArrowRows


class Prepared:
    """Rows of one table, admitted."""

    def __init__(self, definition: TableDefinition, given: pa.Table) -> None:
        self._encoder = ArrowRows(definition)
        self._given = given
        columns, self.keys_bytes = self._encoder.admit_columns(given)
        self.keys, self.runs = decode_keys(self.keys_bytes)
        self.columns_bytes = encode_columns(columns)

    def rows(self) -> tuple[list[bytes], Any]:
        made = self._encoder.admit(self._given)
        return made.rows, made.values


def columns_of(definition: TableDefinition, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """The first columns of the table, as many as the rows have."""
    fields = list(ArrowRows(definition).schema)[: len(rows[0])]
    columns = [pa.array([row[place] for row in rows], field.type) for place, field in enumerate(fields)]
    return pa.table(columns, schema=pa.schema(fields))


def load(
    on: Keyspace, name: str, rows: Sequence[Sequence[Any]], mode: bytes = b"REPLACE", *, whole: bool = True
) -> bytes:
    """Write a batch, as columns where that is possible; without `whole` always row by row. The reply of KG.WRITE."""
    table = on.tables.by_name[name.encode()]
    prepared = Prepared(table.definition, columns_of(table.definition, rows))
    try:
        if whole:
            return row_blocks.write(on, table, mode, prepared)
        packed, values = prepared.rows()
        return row_batches.write(on, table, mode, packed, prepared.keys, values, slots_of(prepared.runs))
    except TableError as error:
        return refusal(error)
