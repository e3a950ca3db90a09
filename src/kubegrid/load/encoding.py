"""Rows of a block as the bytes that records hold, with their keys and slots.

What is checked here spares a batch that a member would refuse; the member checks every row again: it trusts no client.
Next: `wire.arrow_rows`.
"""

import pyarrow as pa

from kubegrid.base.tables import TableDefinition
from kubegrid.wire.arrow_rows import ArrowRows, Rows


class RowEncoder:
    """Of one table."""

    def __init__(self, definition: TableDefinition) -> None:
        self.definition = definition
        self.arrow_rows = ArrowRows(definition)
        self.wanted = self.arrow_rows.schema

    def prepare(self, table: pa.Table) -> tuple[pa.RecordBatch, pa.Array]:
        """Columns as a member takes them in bulk, and the slots of the rows. Raises one of `arrow_rows.FAULTS`."""
        return self.arrow_rows.prepare(table)

    def encode(self, table: pa.Table) -> Rows:
        """Columns are matched by name; one that is missing is the column's default. Raises one of `arrow_rows.FAULTS`."""
        return self.arrow_rows.encode(table)
