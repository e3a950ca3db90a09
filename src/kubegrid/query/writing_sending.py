"""Operations on their way to the partitions: one request to each at a time, side by side, until all is done or cannot be.

A statement with an id sends `KG.ONCE <its identity> …` with numbers of its own and asks again, with the same number, when an
answer is lost. One without an id is sent like any write of the client, whose numbers know a retry as well. Next: `client.batch`.
"""

import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from kubegrid.base.ids import SLOT_COUNT
from kubegrid.base.tables import TableDefinition
from kubegrid.client import clock
from kubegrid.client.batch import Request, run_batch
from kubegrid.client.caller import ONCE, Caller
from kubegrid.client.errors import ClientError, OutcomeUnknownError
from kubegrid.client.slots import slot_of
from kubegrid.query.partitions import Cancelled
from kubegrid.query.writing_errors import sql_error
from kubegrid.query.writing_ids import StatementId
from kubegrid.query.writing_rows import codec_of
from kubegrid.query.writing_work import WAITING, Work
from kubegrid.sql.errors import Unavailable

READ_KEYS_MAX = 500
"""Keys in one KG.READ."""
HEADER_BYTES = 12
"""Before a record's row: four bytes of the table's id, eight of its version, both big-endian."""
ASK_AGAIN_S = 0.02
"""Wait before a request whose answer was lost is sent again."""


class Sending:
    """For one statement."""

    def __init__(
        self,
        caller: Caller,
        identity: StatementId | None,
        deadline: float,
        cancelled: Cancelled,
        again: bool = False,
    ) -> None:
        """`deadline` is a `time.monotonic()`; `again`: it may have been run before under its id."""
        self.identity = identity
        self.again = again
        self.deadline = deadline
        self.cancelled = cancelled
        self.caller = caller
        self._first_slots = sorted(route.first_slot for route in caller.routes.all)
        self.partitions: list[int] = []
        """Of each slot. A partition has one range of slots; they are numbered in this order."""
        for number, (first, after) in enumerate(pairwise([*self._first_slots, SLOT_COUNT])):
            self.partitions += [number] * (after - first)

    def partition_of(self, key: bytes) -> int:
        return self.partitions[slot_of(key)]

    @property
    def client_deadline(self) -> float:
        return clock.now() + max(0.0, self.deadline - time.monotonic())

    def send(self, table: TableDefinition, works: Sequence[Work]) -> None:
        """Send what waits, part after part, until nothing waits any more."""
        for work in works:
            work.check_size()
        while waiting := [work for work in works if work.state == WAITING]:
            if time.monotonic() >= self.deadline:
                for work in waiting:
                    work.give_up()
                return
            try:
                replies = run_batch(self.caller, [self._request(table, work) for work in waiting], self.client_deadline)
            except ClientError as error:  # the pod ends: answers may have been lost with it
                told = sql_error(error)
                lost_all = OutcomeUnknownError(told.message)
                for work in waiting:
                    work.answered(lost_all)
                raise Unavailable(told.message, remedy=told.advice, outcome_known=False) from error
            lost = False
            for work, reply in zip(waiting, replies, strict=True):
                before = work.next_part
                work.answered(reply)
                lost = lost or (work.state == WAITING and work.next_part == before)
                work.check_size()
            if lost:
                time.sleep(ASK_AGAIN_S)

    def _request(self, table: TableDefinition, work: Work) -> Request:
        args: tuple[Any, ...] = (b"KG.REWRITE", table.name.encode(), table.schema, work.payload())
        if work.parts > 1:
            args = (*args, b"PARTS", work.parts)
        slot = self._first_slots[work.partition]
        if self.identity is None:
            return Request(args, slot, True, long=True)
        numbers = self.identity.request(work.next_part, work.attempt)
        return Request((ONCE, *numbers, *args), slot, True, long=True, once=False)

    def records(self, table: TableDefinition, keys: list[bytes]) -> dict[bytes, tuple[int, Sequence[Any]]]:
        """Version and values of the records that are there now, by key. Raises SqlError."""
        by_partition: dict[int, list[bytes]] = {}
        for key in keys:
            by_partition.setdefault(self.partition_of(key), []).append(key)
        asked = [
            some[start : start + READ_KEYS_MAX]
            for some in by_partition.values()
            for start in range(0, len(some), READ_KEYS_MAX)
        ]
        name = table.name.encode()
        requests = [Request((b"KG.READ", name, *some), slot_of(some[0]), False) for some in asked]
        decode = codec_of(table).decode
        found: dict[bytes, tuple[int, Sequence[Any]]] = {}
        for some, reply in zip(asked, run_batch(self.caller, requests, self.client_deadline), strict=True):
            if isinstance(reply, ClientError):
                raise sql_error(reply) from reply
            for key, record in zip(some, reply, strict=True):
                if record is not None:
                    found[key] = int.from_bytes(record[4:HEADER_BYTES]), decode(record[HEADER_BYTES:])
        return found
