"""Keeps the columnar copies of a member's tables right: built when they are asked for, brought up to date for a statement.

For one statement: take what changed in its tables, apply it, begin a transaction; all under one lock, so that the moments
follow each other. Where a table has no copy, or a part of a broadcast table is missing, that is had without the lock, and
then it is tried again. Any error on the way to a fresh copy gives the copy up, and the next statement builds it anew.

Next on the path of the data: `columns.replica`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import TableDefinition
from kubegrid.columns.broadcast import Part, Parts, mark_of, marks_in
from kubegrid.columns.conversion import Conversion
from kubegrid.columns.database import quoted
from kubegrid.columns.delta import Copy
from kubegrid.columns.replica import ColumnarReplica
from kubegrid.columns.requests import FragmentRequest
from kubegrid.columns.running import Running
from kubegrid.node.confirmation import Check, Confirmation
from kubegrid.node.sql_building import Buildings
from kubegrid.node.sql_capture import SqlCapture
from kubegrid.sql.errors import TooMuch, Unavailable
from kubegrid.store.changes import Captured

WAIT_S = 0.02
"""How often a thread that waits for a lock looks whether it still should."""
ATTEMPTS_MAX = 10
"""Times that a statement builds or fetches before it gives up: tables change faster than they are read."""

Fetch = Callable[[int, FragmentRequest, Callable[[], bool]], Any]
"""Runs a fragment on the primary of another partition; its rows as a `pyarrow.RecordBatchReader`."""


class Fresh(NamedTuple):
    """A connection that sees what was asked for; the marks of its tables; and what tells whether they may be told yet."""

    cursor: Any
    marks: dict[str, str]
    confirmation: Confirmation | None

    def confirmed(self, check: Check) -> None:
        """Wait until they may. Raises Unavailable if they never may, and what `check` raises."""
        if self.confirmation is not None:
            self.confirmation.wait(check)


class Lacking(NamedTuple):
    """What has to be had before a statement can see its tables."""

    copies: list[tuple[TableDefinition, Copy | None]]
    """Tables to build, with the copy that is there now and is of no use."""
    parts: list[tuple[TableDefinition, int, str]]
    """Tables, owners, and the marks that their rows have to be at."""


class FreshCopies:
    """Invariant: whatever was taken from the store is in a copy, or the copy was given up."""

    def __init__(
        self, capture: SqlCapture, replica: ColumnarReplica, settings: SqlSettings, partition: int, fetch: Fetch
    ) -> None:
        self.capture = capture
        self.replica = replica
        self.settings = settings
        self.partition = partition
        self.fetch = fetch
        self.parts = Parts()
        self.when_built: Callable[[], None] = lambda: None
        self.buildings = Buildings(capture, replica, self.give_up, lambda: self.when_built())

    def fresh(self, request: FragmentRequest, running: Running) -> Fresh:
        """A connection in a transaction that sees the request's tables as they are now."""
        names = [*request.tables, *(name for name in request.broadcast if name not in request.tables)]
        if not names:
            return Fresh(self.replica.cursor(), {}, None)
        fetched: list[Part] = []
        for _ in range(ATTEMPTS_MAX):
            got = self._attempt(request, names, fetched, running)
            if isinstance(got, Fresh):
                return got
            self.buildings.build(got.copies, running.check)
            fetched = [self._fetched(request, *each, running) for each in got.parts]
        raise Unavailable(
            f"the columns of {', '.join(names)} could not be brought up to date: too much changes", remedy="Ask again."
        )

    def at_hand(self, request: FragmentRequest) -> bool:
        """Whether `fresh` would have nothing to build and nothing to apply; a guess, for the table may change meanwhile."""
        numbers = [request.ids.get(name, -1) for name in request.tables]
        return self.capture.unchanged(numbers) and all(number in self.replica.copies for number in numbers)

    def _attempt(
        self, request: FragmentRequest, names: list[str], fetched: list[Part], running: Running
    ) -> Fresh | Lacking:
        replica = self.replica
        acquire(replica.lock, running)
        try:
            taken = self.capture.take(names, request.catalog, request.ids, replica.copies, running.check)
            if taken.unknown:
                return Lacking([(definition, replica.copies.get(definition.id)) for definition in taken.unknown], [])
            broadcast = [definition for definition in taken.definitions if definition.name in request.broadcast]
            self.apply(taken.definitions, broadcast, taken.changes, fetched)
            missing = [
                (definition, owner, wanted)
                for definition in broadcast
                for owner, wanted in self.parts.missing(definition, request.broadcast[definition.name], self.partition)
            ]
            if missing:
                return Lacking([], missing)
            copies = [replica.copies[definition.id] for definition in taken.definitions]
            marks = {copy.definition.name: mark_of(self.capture.incarnation, copy) for copy in copies}
            return Fresh(replica.pin(), marks, taken.confirmation)
        finally:
            replica.lock.release()

    def apply(
        self,
        definitions: Sequence[TableDefinition],
        broadcast: Sequence[TableDefinition],
        changes: Mapping[int, Captured],
        fetched: Sequence[Part],
    ) -> None:
        """Under the lock: what was taken of these tables, and what was fetched, or nothing of it."""
        replica = self.replica
        try:
            for definition in definitions:
                if replica.copies[definition.id].definition != definition:
                    replica.evolve(definition)
            for definition in broadcast:
                replica.work(partial(self.parts.prepare, definition))
            replica.apply(
                [replica.change(number, captured) for number, captured in changes.items()],
                [partial(self.parts.put, part) for part in fetched],
            )
        except BaseException:
            self.give_up(changes)
            for part in fetched:
                self.parts.forget(part.definition.id)
            raise

    def give_up(self, numbers: Iterable[int]) -> None:
        """Under the lock: forget the copies of these tables."""
        for number in list(numbers):
            self.capture.give_up(number)
            self.replica.give_up(number)
            self.parts.forget(number)

    def drop_all(self) -> None:
        """Under the lock: forget every copy, and free what they take."""
        self.give_up(self.replica.copies)
        self.replica.drop_all()
        self.parts.forget_all()

    def _fetched(
        self, request: FragmentRequest, definition: TableDefinition, owner: int, wanted: str, running: Running
    ) -> Part:
        """One owner's rows of a broadcast table, from there."""
        name = definition.name
        asked = FragmentRequest(
            sql=f"SELECT {Conversion(definition).names} FROM {quoted(name)}",
            tables=[name],
            catalog=request.catalog,
            ids={name: definition.id},
            timeout_ms=running.left_ms,
        )
        reader = self.fetch(owner, asked, running.look)
        batches = []
        size = 0
        for batch in reader:
            running.check()
            size += batch.nbytes
            if size > self.settings.broadcast_bytes_max:
                raise TooMuch(
                    f"broadcast table {name} has more than {self.settings.broadcast_bytes_max} bytes in partition "
                    f"{owner}, the most that a join fetches",
                    remedy="Let it be no broadcast table, or raise broadcast_bytes_max.",
                )
            batches.append(batch)
        mark = marks_in(reader.schema).get(name, "")
        return Part(definition, owner, mark, wanted, pa.Table.from_batches(batches, reader.schema))


def acquire(lock: Any, running: Running) -> None:
    """Wait for a lock or semaphore as long as the statement may go on."""
    while not lock.acquire(timeout=WAIT_S):
        running.check()
