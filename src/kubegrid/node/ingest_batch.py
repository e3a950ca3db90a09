"""A batch of rows on its way from Flight to the log: what it is, how large it may be, and its answer.

A batch is one entry of the log, executed in one turn of the loop, so its size is bounded by what that takes. Rows that can
stay columns (`store.row_blocks`) take less than half a microsecond each, rows that become records several. Whether the keys of
a batch are new, so that it can, is found out when it is executed. One that then is too large is refused with `SPLIT`: nothing
was executed, and nothing is remembered of it; its sender cuts it and sends the parts under request ids of their own.

Next: `ingest_turns`.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from kubegrid.base.tables import TableDefinition
from kubegrid.store.slots import runs_of
from kubegrid.wire import resp
from kubegrid.wire.arrow_blocks import encode_columns
from kubegrid.wire.arrow_key_lists import decode_keys
from kubegrid.wire.arrow_rows import ArrowRows
from kubegrid.wire.row_streams import SPLIT, UNKNOWN, Identity

BATCH_ROWS = 16_384
"""Rows of one entry: some 5 ms of the serving loop, as long as they stay columns."""
BATCH_BYTES = 2 * 1024 * 1024
"""Bytes of their columns, as far as rows can be cut: a backup stages and acknowledges an entry whole."""
RECORDS_MAX = 2048
"""Rows of one entry that become records: 5 to 10 ms of the serving loop with twenty columns and an index."""
RECORD_BYTES = 1024 * 1024
"""Bytes of these records, as far as rows can be cut."""

_numbers = count(1 << 41)


class TooLarge(Exception):
    """Of a batch. Nothing was executed."""


@dataclass(slots=True)
class Lane:
    """Batches that keep their order: once one of them was refused (`over`), none after it is executed."""

    over: bool = False
    rows_wanted: bool = False
    """Whether the last batch had to become records: the next probably has to as well, and is made so beside the loop."""


class Prepared:
    """Rows that were admitted: as columns, with keys and slots; as rows when they are wanted, or from the beginning."""

    __slots__ = ("_encoder", "_rows", "asked", "columns", "columns_bytes", "keys", "keys_bytes", "runs")

    def __init__(self, encoder: ArrowRows, data: Any, *, as_rows: bool) -> None:
        """Checks everything; `as_rows`: it is known that they cannot stay columns. Raises TableError, TooLarge."""
        limit = RECORDS_MAX if as_rows else BATCH_ROWS
        if len(data) > limit:
            raise TooLarge(f"a batch of {len(data)} rows; {limit} are the most, for each is one log entry")
        self._encoder = encoder
        self._rows: tuple[list[bytes], Sequence[Sequence[Any]] | None] | None = None
        self.asked = False
        """Whether the rows were wanted."""
        self.columns_bytes = self.keys_bytes = b""
        if as_rows:
            rows, self.keys, slots, values = encoder.admit(data)
            self.runs = runs_of(slots)
            self.columns = None
            self._keep(rows, values)
            return
        self.columns, self.keys_bytes = encoder.admit_columns(data)
        self.keys, self.runs = decode_keys(self.keys_bytes)
        self.columns_bytes = encode_columns(self.columns)
        if len(self.keys) > 1 and len(self.columns_bytes) > BATCH_BYTES:
            raise TooLarge(f"a batch whose columns have more than {BATCH_BYTES} bytes; send fewer rows at once")

    @property
    def nbytes(self) -> int:
        """Of the columns, or of the rows if they were made of them at once."""
        return len(self.columns_bytes) or sum(map(len, self._rows[0] if self._rows else ()))

    def rows(self) -> tuple[list[bytes], Sequence[Sequence[Any]] | None]:
        """The rows, and their values as far as indexes look. Raises TooLarge."""
        self.asked = True
        return self._rows or self.make_rows()

    def make_rows(self) -> tuple[list[bytes], Sequence[Sequence[Any]] | None]:
        """Make them now. Raises TooLarge."""
        if len(self.keys) > RECORDS_MAX:
            raise TooLarge(f"a batch of {len(self.keys)} rows that become records; {RECORDS_MAX} are the most")
        return self._keep(self._encoder.rows(self.columns), self._encoder.values(self.columns))

    def _keep(
        self, rows: list[bytes], values: Sequence[Sequence[Any]] | None
    ) -> tuple[list[bytes], Sequence[Sequence[Any]] | None]:
        if len(rows) > 1 and sum(map(len, rows)) > RECORD_BYTES:
            raise TooLarge(f"a batch whose records have more than {RECORD_BYTES} bytes; send fewer rows at once")
        self._rows = rows, values
        return self._rows


@dataclass(slots=True, eq=False)
class Batch:
    """Prepared rows on their way, and, once `done` is set, the reply that may be given: RESP, as KG.WRITE has it.

    Stands in `Turn.pending` in the place of a connection.
    """

    definition: TableDefinition
    mode: bytes
    prepared: Prepared | None
    """None once it was executed or refused."""
    identity: Identity
    lane: Lane
    id: int = field(default_factory=_numbers.__next__)
    pending_groups: int = 0
    reply: bytes = b""
    done: threading.Event = field(default_factory=threading.Event)

    def send(self, data: bytes) -> None:
        """It is confirmed, or was refused."""
        if data[:1] == b"-":
            self.lane.over = True
        self.reply = bytes(data)
        self.done.set()

    def abort(self, reason: str) -> None:
        self.send(resp.error(f"{UNKNOWN} {reason}"))

    def split(self, error: TooLarge) -> None:
        self.send(resp.error(f"{SPLIT} {error}"))
