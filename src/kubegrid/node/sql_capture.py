"""The serving loop's side of SQL: takes what changed in tables, inside a turn, and says when the answer may leave.

A fragment reads like any client does: what it sees is the store as of a turn, its answer needs the log's end as it was
then (`Turn.cut`), and leaves when that position is confirmed under a valid lease. It waits for that as a reply does, in
the turn's `pending`: a `Confirmation` stands there in the place of a client's connection. So a deposed primary, one
without its lease, and one whose write was never confirmed answer nothing.

Most methods are called from the threads that run fragments, and do their part in the loop. Taking is exchanging two sets,
and looking through the keyspace for a new copy is done in slices: neither keeps the loop for more than two milliseconds.
Next on the path of the data: `sql_fragments`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import TableDefinition
from kubegrid.node.confirmation import WAIT_S, Check, Confirmation
from kubegrid.node.turn import Turn
from kubegrid.replication import Gate
from kubegrid.sql.errors import SchemaMoved, Unavailable
from kubegrid.store import Keyspace
from kubegrid.store.changes import Captured, Met, Walk
from kubegrid.store.records import Record
from kubegrid.store.slots import slot_of

if TYPE_CHECKING:
    from kubegrid.columns.looked_up import Found

WALK_KEYS = 3000
"""Keys looked at in one slice of the loop: about two milliseconds."""
RETRY_S = 0.005
"""How soon to look again during a hand-over, or at a catalog that is about to come."""
ROWS_PER_RECORD = 20
"""So many rows that came as columns are applied in the time that one changed record takes."""

DEFAULTS = SqlSettings()
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Taken:
    """What changed in some tables, at one position of the log."""

    definitions: list[TableDefinition]
    """As the store has them now."""
    unknown: list[TableDefinition] = field(default_factory=list)
    """Those whose changes are not kept: their copies have to be built anew first, and nothing was taken."""
    changes: dict[int, Captured] = field(default_factory=dict)
    confirmation: Confirmation | None = None


class Walking:
    """One way through the keyspace for some tables; iterating, in a thread, gives what is met slice by slice, by table."""

    def __init__(self, capture: "SqlCapture", walk: Walk, roles: int, check: Check) -> None:
        self.generations = walk.generations
        """Of the tables that are there."""
        by_id = capture.keyspace.catalog.by_id
        self.definitions = {number: by_id[number] for number in walk.generations}
        """As the store had them when it began: what was written before has their columns."""
        self._capture = capture
        self._walk = walk
        self._roles = roles
        self._check = check

    def __iter__(self) -> Iterator[dict[int, Met]]:
        def step() -> dict[int, Met]:
            return self._capture.step(self._walk, self._roles)

        while not self._walk.done:
            self._check()
            yield self._capture.in_loop(step, self._check)


class SqlCapture:
    """Invariant: what was taken is given to exactly one caller."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        turn: Turn,
        keyspace: Keyspace,
        incarnation: str,
        settings: SqlSettings = DEFAULTS,
    ) -> None:
        self.loop = loop
        self.turn = turn
        self.keyspace = keyspace
        self.incarnation = incarnation
        self.settings = settings
        self.closed = False
        self.when_ripe: Callable[[list[int]], None] = lambda ripe: None
        """Called in the loop: tables that have enough changes to take them without being asked; or none, when tables are
        no longer kept track of."""
        self._roles = 0
        self._asked: dict[int, float] = {}
        """When each table was last read by a statement."""
        self._seen: dict[int, int] = {}
        """How much of each table waited when that was last looked at."""
        self._rested: dict[int, float] = {}
        """When each table had been read last when its few changes were given away because nobody wrote."""

    # -- in the threads of fragments ------------------------------------------------------------------------------

    def take(
        self,
        names: Sequence[str],
        catalog: int,
        ids: Mapping[str, int],
        built: Mapping[int, Any],
        check: Check,
    ) -> Taken:
        """What changed in these tables, of which copies are in `built`. Raises SchemaMoved, Unavailable."""
        return self._when_open(lambda: self._take(names, ids, built), catalog, check)

    def look_up(
        self, keys: Mapping[str, Sequence[bytes]], catalog: int, ids: Mapping[str, int], check: Check
    ) -> "tuple[Found, Confirmation]":
        """The records with these keys, by table, all as of one moment; keys of other partitions are passed over.

        They are few. Raises SchemaMoved, Unavailable.
        """
        return self._when_open(lambda: self._look_up(keys, ids), catalog, check)

    def take_ripe(self, numbers: Sequence[int], check: Check) -> Taken:
        """What changed, for copies that are kept fresh while nobody asks; nothing of those that are not kept track of."""

        def take() -> Taken:
            captured = self.keyspace.tables.changes.take(numbers)
            return Taken([self.keyspace.catalog.by_id[number] for number in captured], [], captured)

        return self.in_loop(take, check)

    def kept(self, numbers: Sequence[int], check: Check) -> set[int]:
        """Which of these tables are kept track of."""
        return self.in_loop(lambda: set(numbers).intersection(self.keyspace.tables.changes.deltas), check)

    def waiting(self, number: int, check: Check) -> int | None:
        """How much changed in a table since its changes were last taken; None: it is not kept track of."""

        def look() -> int | None:
            changes = self.keyspace.tables.changes
            if number not in changes.deltas:
                return None
            return changes.waiting(number) + changes.waiting_in_blocks(number)

        return self.in_loop(look, check)

    def unchanged(self, numbers: Iterable[int]) -> bool:
        """Whether nothing changed in these tables that was not taken, as far as one can see from another thread."""
        deltas = self.keyspace.tables.changes.deltas
        found = [deltas.get(number) for number in numbers]
        return all(delta is not None and not delta.waiting and not delta.rows for delta in found)

    def walk(self, numbers: Sequence[int], check: Check) -> Walking:
        """Begin to keep track of tables, and go through what is there. Raises Unavailable."""

        def begin() -> Walking:
            changes = self.keyspace.tables.changes
            changes.start(self.keyspace, numbers)
            now = time.monotonic()
            walk = Walk(self.keyspace, numbers)
            self._asked.update(dict.fromkeys(walk.generations, now))
            return Walking(self, walk, self._roles, check)

        return self._when_open(begin, 0, check)

    def give_up(self, number: int) -> None:
        """A copy failed: do not keep track of its table any more."""
        try:
            self.loop.call_soon_threadsafe(lambda: self.keyspace.tables.changes.stop(self.keyspace, [number]))
        except RuntimeError:  # the loop is closed, and what it kept is gone
            return

    def _when_open(self, attempt: Callable[[], Answer], catalog: int, check: Check) -> Answer:
        """Do it inside a turn, as soon as this member serves and knows the catalog."""
        until = time.monotonic() + self.settings.catalog_wait_ms / 1000

        def inside() -> list[Answer]:
            found: list[Answer] = []

            def work() -> None:
                if self.turn.open_gate and self.keyspace.catalog.version >= catalog:
                    found.append(attempt())

            self.turn.work(work)
            if not found and self.turn.gate is Gate.CLOSED:
                raise _closed()
            return found

        while True:
            found = self.in_loop(inside, check)
            if found:
                return found[0]
            check()
            known = self.keyspace.catalog.version
            if known < catalog and time.monotonic() > until:
                raise Unavailable(
                    f"the statement was planned with version {catalog} of the tables; this member knows {known}",
                    remedy="Ask again: it hears of new versions from the manager.",
                )
            time.sleep(RETRY_S)

    def in_loop(self, function: Callable[[], Answer], check: Check) -> Answer:
        """Run it in the loop. If it was begun, its answer is given, whatever `check` says meanwhile."""
        future: Future[Answer] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except Exception as error:
                    future.set_exception(error)

        try:
            if self.closed:
                raise RuntimeError
            self.loop.call_soon_threadsafe(run)
        except RuntimeError:
            raise Unavailable("this member is stopping") from None
        while True:
            try:
                return future.result(WAIT_S)
            except TimeoutError:
                try:
                    if self.closed:
                        raise Unavailable("this member is stopping")
                    check()
                except Exception:
                    if future.cancel():
                        raise

    # -- in the loop ----------------------------------------------------------------------------------------------

    def _definitions(self, names: Sequence[str], ids: Mapping[str, int]) -> list[TableDefinition]:
        by_name = self.keyspace.catalog.by_name
        found = []
        for name in names:
            definition = by_name.get(name)
            if definition is None or ids.get(name, definition.id) != definition.id:
                what = "is not there any more" if definition is None else "is another one than before"
                raise SchemaMoved(f"table {name} {what}", remedy="Ask again.")
            found.append(definition)
        return found

    def _take(self, names: Sequence[str], ids: Mapping[str, int], built: Mapping[int, Any]) -> Taken:
        definitions = self._definitions(names, ids)
        changes = self.keyspace.tables.changes
        unknown = [one for one in definitions if one.id not in built or one.id not in changes.deltas]
        if unknown:
            return Taken(definitions, unknown)
        now = time.monotonic()
        for one in definitions:
            self._asked[one.id] = now
        captured = changes.take([one.id for one in definitions])
        return Taken(definitions, [], captured, self._confirmation())

    def _look_up(self, keys: Mapping[str, Sequence[bytes]], ids: Mapping[str, int]) -> "tuple[Found, Confirmation]":
        keyspace, turn = self.keyspace, self.turn
        before = keyspace.units
        found = []
        for definition in self._definitions(list(keys), ids):
            own = [key for key in keys[definition.name] if keyspace.slots[slot_of(key)] is not None]
            # What is no record is there from before the table was.
            found.append((definition, [one for one in map(keyspace.find, own) if type(one) is Record]))
        turn.units_left -= keyspace.units - before
        return found, self._confirmation()

    def _confirmation(self) -> Confirmation:
        """Of what was read in this turn."""
        confirmation = Confirmation()
        self.turn.confirm(self.turn.cut(), confirmation)
        return confirmation

    def role_changed(self) -> None:
        """This member became the primary, or ceased to be it: a copy is built anew when somebody asks."""
        self._roles += 1
        if self.keyspace.tables.changes.deltas:
            self._stop(list(self.keyspace.tables.changes.deltas))

    def tidy(self) -> None:
        """Now and then: forget about tables that nobody asks or that changed too much; say which are ripe."""
        changes = self.keyspace.tables.changes
        asked = self._asked
        if not changes.deltas and not asked:
            return
        now = time.monotonic()
        given_up = changes.trim(self.keyspace)
        idle = [number for number in changes.deltas if now - asked.get(number, 0.0) > self.settings.replica_idle_s]
        if idle:
            changes.stop(self.keyspace, idle)
        # Also those that the store has given up itself, because their tables are gone.
        gone = [number for number in asked if number not in changes.deltas]
        for number in gone:
            self._forget(number)
        lately = now - self.settings.delta_lately_s
        ripe = [
            number for number in changes.deltas if number in asked and asked[number] > lately and self._ripe(number)
        ]
        if ripe or gone or given_up:
            self.when_ripe(ripe)

    def _ripe(self, number: int) -> bool:
        """Whether much waits, or anything since a statement, and no more has come since the last look: the next statement
        will want it, and nobody wants the processor for it now. Once for each statement, so that this never costs more
        than statements would."""
        changes = self.keyspace.tables.changes
        records, rows = changes.waiting(number), changes.waiting_in_blocks(number)
        waiting = records + rows
        at_rest = waiting == self._seen.get(number)
        self._seen[number] = waiting
        if records + rows // ROWS_PER_RECORD >= self.settings.delta_rows_background:
            return True
        asked = self._asked[number]
        if not waiting or not at_rest or self._rested.get(number) == asked:
            return False
        self._rested[number] = asked
        return True

    def _stop(self, numbers: list[int]) -> None:
        self.keyspace.tables.changes.stop(self.keyspace, numbers)
        for number in numbers:
            self._forget(number)
        self.when_ripe([])

    def _forget(self, number: int) -> None:
        for known in (self._asked, self._seen, self._rested):
            known.pop(number, None)

    def step(self, walk: Walk, roles: int) -> dict[int, Met]:
        """One slice of a walk."""
        if roles != self._roles:
            raise Unavailable("this member's role changed while columns were built")
        return walk.step(WALK_KEYS)

    def close(self) -> None:
        """Whoever waits, and whoever comes, is told that this member stops."""
        self.closed = True
        self.keyspace.tables.changes.stop(self.keyspace)


def _closed() -> Unavailable:
    return Unavailable(
        "this member is not the primary of its partition now, or has no lease", remedy="Ask again in a moment."
    )
