"""What one partition has to do for a statement, and how far it has come. Pure: replies are handed in.

Up to `PART_RECORDS_MAX` records and `PART_BYTES_MAX` are one entry of the partition's log: all of it or nothing. More are cut
into parts, by a hash of the key, so that cutting them again puts each record into the same part. The first part carries the
number of parts, and its answer says it: a statement that is run again learns by it how it was cut the first time.

Invariant: parts below `next_part` are done, and no other is; `attempt` is the number of answers to the next one that said
that a record was not as expected.
"""

import math
from collections.abc import Callable
from typing import Any
from zlib import crc32

import msgspec

from kubegrid.base.units import bytes_text
from kubegrid.client.errors import (
    ClientError,
    ConflictError,
    OutcomeUnknownError,
    RecordExistsError,
    RejectedError,
    SchemaChangedError,
    UnknownTableError,
    WrongTypeError,
)
from kubegrid.client.refusals import FORGOTTEN
from kubegrid.query.result import PartitionOutcome
from kubegrid.query.writing_ids import ATTEMPTS_MAX, PARTS_MAX
from kubegrid.query.writing_operations import Operation
from kubegrid.sql.errors import TooMuch

PART_RECORDS_MAX = 5000
"""As many as KG.REWRITE takes at once."""
PART_BYTES_MAX = 8 * 1024 * 1024
WAITING, CONFLICT, DONE, NOT_DONE, UNKNOWN, PARTLY = "waiting", "conflict", "done", "not done", "unknown", "partly done"
ANSWERED_BEFORE = "the statement with this id was answered before, and its session has run others since"
_NOT_AS_EXPECTED = (ConflictError, RecordExistsError, SchemaChangedError, UnknownTableError, WrongTypeError)

_pack = msgspec.msgpack.Encoder().encode


class Work:
    def __init__(self, partition: int, operations: list[Operation], repeatable: bool, run_before: bool = False) -> None:
        """`repeatable`: the statement has an id, so a request whose answer was lost may be sent again. `run_before`: it may
        have been run before, so the partition is asked what it did even if there is nothing to do for it now."""
        self.partition = partition
        self.operations = operations
        self.repeatable = repeatable
        self.run_before = run_before
        self.parts = 1
        self.next_part = 0
        self.attempt = 0
        self.rows = 0
        self.state = WAITING
        self.error: ClientError | None = None
        self._doubtful = False
        self._divided_by = 0
        self._divided: list[list[Operation]] = []

    def cut(self, may_be_cut: bool, table: str) -> None:
        """Decide the number of parts. Raises TooMuch if there would be several and it may not be cut, or too many."""
        assert self.next_part == 0
        self.parts = 1
        size = sum(operation.size for operation in self.operations)
        count = len(self.operations)
        if count <= PART_RECORDS_MAX and size <= PART_BYTES_MAX:
            return
        if not may_be_cut:
            raise TooMuch(
                f"the statement changes {count:,} records ({bytes_text(size)}) of table {table}, all in partition "
                f"{self.partition}; {PART_RECORDS_MAX:,} records or {bytes_text(PART_BYTES_MAX)} of one partition are the most "
                "that can be changed in one step, all or nothing",
                remedy="Divide it into several statements, for example by ranges of the key in WHERE. Files of any size are "
                "written by kubegrid load, and CREATE TABLE … AS makes a table of any size.",
            )
        parts = max(2, math.ceil(1.1 * count / PART_RECORDS_MAX), math.ceil(1.1 * size / PART_BYTES_MAX))
        while not all(map(_fits, self._divide(parts))):
            parts += max(1, parts // 8)
            if parts > PARTS_MAX:
                raise TooMuch(
                    f"the statement would write {count:,} records of partition {self.partition} in too many parts"
                )
        self.parts = parts

    def payload(self) -> bytes:
        """Of the part that is to be sent next."""
        return _pack(
            [
                (operation.expected, operation.key.decode() if operation.row is None else operation.row)
                for operation in self._part(self.next_part)
            ]
        )

    def check_size(self) -> None:
        """A part whose number the first run decided may have grown since: it is not sent, for a member would refuse it."""
        if self.state == WAITING and not _fits(self._part(self.next_part)):
            self.refused(
                f"part {self.next_part + 1} of {self.parts} has grown since the statement was run first; "
                "what is left needs a statement of its own"
            )

    def _part(self, number: int) -> list[Operation]:
        return self.operations if self.parts == 1 else self._divide(self.parts)[number]

    def _divide(self, parts: int) -> list[list[Operation]]:
        if self._divided_by != parts:
            self._divided_by = parts
            self._divided = [[] for _ in range(parts)]
            for operation in self.operations:
                self._divided[crc32(operation.key) % parts].append(operation)
        return self._divided

    def answered(self, reply: Any) -> None:
        """Take in what became of the part that was sent: the reply of KG.REWRITE, or a ClientError."""
        if not isinstance(reply, Exception):
            _, written, removed, _, parts = reply
            self.rows += written + removed
            self.parts = parts if self.next_part == 0 else self.parts
            self.attempt = 0
            self._doubtful = False
            self.next_part += 1
            while not self.run_before and self.next_part < self.parts and not self._part(self.next_part):
                self.next_part += 1
            self.state = DONE if self.next_part >= self.parts else WAITING
            return
        assert isinstance(reply, ClientError), reply
        self.error = reply
        if isinstance(reply, OutcomeUnknownError):
            self._doubtful = True
            self.state = WAITING if self.repeatable else UNKNOWN
        elif getattr(reply, "code", "") == FORGOTTEN:
            self.error = OutcomeUnknownError(ANSWERED_BEFORE)
            self.state = UNKNOWN
        elif isinstance(reply, _NOT_AS_EXPECTED):
            self._doubtful = False
            self.state = CONFLICT
        else:
            self.state = UNKNOWN if self._doubtful else NOT_DONE

    def again(self, operations: list[Operation]) -> None:
        """After a conflict: these are the operations now."""
        self.operations = operations
        self._divided_by = 0
        self.attempt += 1
        self.state = WAITING
        if self.attempt >= ATTEMPTS_MAX:
            self.state = NOT_DONE
        elif not operations and self.next_part == 0 and not self.run_before:
            self.state = DONE

    def refused(self, message: str) -> None:
        """It cannot be done, for a reason that was found out meanwhile."""
        self.state = NOT_DONE
        self.error = RejectedError(message)

    def left(self, message: str) -> None:
        """The statement ends here, for a reason that lies elsewhere."""
        if self.state in (WAITING, CONFLICT):
            self.state = UNKNOWN if self._doubtful else NOT_DONE
            self.error = RejectedError(message)

    @property
    def began(self) -> bool:
        """Something may have been done."""
        return not self.idle and (self.state in (DONE, UNKNOWN) or self._doubtful or self.next_part > 0)

    @property
    def idle(self) -> bool:
        """It had nothing to do, and did nothing before."""
        return self.state == DONE and not self.rows and not self.operations

    def give_up(self) -> None:
        """The time is over."""
        if self.state in (WAITING, CONFLICT):
            self.state = UNKNOWN if self._doubtful else NOT_DONE

    def outcome(self, reason: Callable[[ClientError], str]) -> PartitionOutcome:
        state = PARTLY if self.state == NOT_DONE and self.next_part else self.state
        error = "" if state == DONE or self.error is None else reason(self.error)
        return PartitionOutcome(self.partition, state, self.rows, error)


def _fits(part: list[Operation]) -> bool:
    return len(part) <= PART_RECORDS_MAX and sum(operation.size for operation in part) <= PART_BYTES_MAX
