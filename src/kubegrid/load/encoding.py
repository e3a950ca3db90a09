"""Rows of a block as the bytes that records hold, with their keys: column by column first, then one flat pass.

The values that `values` makes are already of the columns' types and ranges, so that a row is checked for nothing more than
its size here. The member checks every row again: it trusts no client.
"""

from typing import NamedTuple

import pyarrow as pa

from kubegrid.base.table_errors import BadValue
from kubegrid.base.tables import TableDefinition
from kubegrid.load import values
from kubegrid.wire.rows import RowCodec


class Encoded(NamedTuple):
    rows: list[bytes]
    keys: list[bytes]


class RowEncoder:
    """Of one table."""

    def __init__(self, definition: TableDefinition) -> None:
        self.definition = definition
        self._codec = RowCodec(definition)
        self.wanted = pa.schema([(column.name, values.arrow_type(column.type)) for column in definition.columns])

    def encode(self, table: pa.Table) -> Encoded:
        """Columns are matched by name; one that is missing is the column's default. Raises one of `sifting.ROW_FAULTS`."""
        present = set(table.column_names)
        columns = []
        for column in self.definition.columns:
            if column.name not in present:
                if column.required:
                    raise BadValue(f"is missing: it is NOT NULL ({column.type})", self.definition.name, column.name)
                columns.append([column.default] * len(table))
                continue
            listed = values.values(table.column(column.name), column.type, column.name)
            if not column.nullable and table.column(column.name).null_count:
                raise BadValue(
                    f"NULL is no value of a NOT NULL column ({column.type})", self.definition.name, column.name
                )
            columns.append(listed)
        rows = list(zip(*columns, strict=True))
        return Encoded(list(map(self._codec.encode_settled, rows)), list(map(self._codec.key_of_row, rows)))
