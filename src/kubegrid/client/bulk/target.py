"""The table that rows go into, as the primary of one partition has it: columns may be added while rows are on their way.

Rows of before fit such a table as they are: what they lack is NULL, or the column's default. The number of the schema that
goes with them is what has to be new.
"""

from typing import Any

from kubegrid.client import table_steps
from kubegrid.client.caller import Caller
from kubegrid.client.errors import SchemaChangedError
from kubegrid.wire.arrow_rows import ArrowRows


class Target:
    """Of one partition, named by one of its slots. `encoder` makes rows for the table as it was when last looked at."""

    def __init__(self, caller: Caller, encoder: ArrowRows, mode: str, slot: int) -> None:
        self.slot = slot
        self.encoder = encoder
        self._caller = caller
        self._mode = mode

    @property
    def name(self) -> str:
        return self.encoder.definition.name

    @property
    def path(self) -> tuple[str, ...]:
        """Of a stream of batches."""
        return self.name, self._mode, str(self.encoder.definition.schema)

    @property
    def head(self) -> tuple[Any, ...]:
        """Of a command with rows."""
        return b"KG.WRITE", self.name, self.encoder.definition.schema, self._mode

    def renew(self, refused: SchemaChangedError) -> bool:
        """Look at the table again; whether it has a new schema. Raises `refused` if rows of before do not fit it."""
        before = self.encoder.definition
        told = self._caller.call_long((b"KG.DESCRIBE", before.name), self.slot, False, None)
        now = table_steps.with_ids(told)
        if now.id != before.id or now.columns[: len(before.columns)] != before.columns:
            raise refused
        if now.schema > before.schema:
            self.encoder = ArrowRows(now)
        return now.schema > before.schema
