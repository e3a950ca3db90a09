"""Builds columnar copies of tables, in threads of their own: whoever asked may go before they are ready.

A first copy of millions of rows can take longer than the statement that needs it may. So it is not the statement's work:
statements wait for it as long as they like, and the next one finds it made, or further on.

Next on the path of the data: `columns.replica`.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from kubegrid.base.tables import TableDefinition
from kubegrid.columns.building import Build
from kubegrid.columns.delta import Copy
from kubegrid.columns.errors import as_sql_error
from kubegrid.columns.replica import ColumnarReplica
from kubegrid.node.confirmation import WAIT_S, Check
from kubegrid.node.sql_capture import SqlCapture
from kubegrid.sql.errors import Cancelled, SchemaMoved, SqlError, TimedOut, TooMuch, Unavailable

log = logging.getLogger("kubegrid.node.sql")

BUILDS_MAX = 2
"""Copies that are built at once. More wait: they take each other's time."""


class Building:
    """One copy that is being built."""

    def __init__(self, definition: TableDefinition) -> None:
        self.definition = definition
        self.error: SqlError | None = None
        self.begun = False
        self.over = False
        """The table was dropped, and the copy of another one of its name is to be built."""
        self.done = threading.Event()

    @property
    def name(self) -> str:
        """As DuckDB tells names apart."""
        return self.definition.name.lower()

    def wait(self, check: Check) -> None:
        """Until it is built. Raises why it could not be, and what `check` raises."""
        while not self.done.wait(WAIT_S):
            try:
                check()
            except (Cancelled, TimedOut) as error:
                raise type(error)(
                    f"{error.message}: the columns of table {self.definition.name} were not made by then",
                    remedy="Ask again in a moment: making them goes on.",
                ) from None
        if self.error is not None:
            raise self.error


class Buildings:
    """Invariant: a table is built once at a time, and has no copy meanwhile, nor has another one of its name."""

    def __init__(
        self,
        capture: SqlCapture,
        replica: ColumnarReplica,
        give_up: Callable[[list[int]], None],
        built: Callable[[], None],
    ) -> None:
        """`give_up` forgets copies, under the replica's lock; `built` is called after each building."""
        self._capture = capture
        self._replica = replica
        self._give_up = give_up
        self._built = built
        self._guard = threading.Lock()
        self._places = threading.Semaphore(BUILDS_MAX)
        self._buildings: dict[int, Building] = {}
        self._closed = False

    def build(self, wanted: list[tuple[TableDefinition, Copy | None]], check: Check) -> None:
        """Wait for copies in the place of those that are there, which are of no use. Raises sql.errors, and what `check`
        raises."""
        for building in self._begun(wanted):
            building.wait(check)

    def _begun(self, wanted: list[tuple[TableDefinition, Copy | None]]) -> list[Building]:
        with self._guard:
            begun, new = [], []
            for definition, before in wanted:
                building = self._buildings.get(definition.id)
                if building is None:
                    if self._replica.copies.get(definition.id) is not before:
                        continue  # another statement's has been finished meanwhile
                    if self._closed:
                        raise Unavailable("this member is stopping")
                    building = self._buildings[definition.id] = Building(definition)
                    new.append(building)
                begun.append(building)
            if new:
                name = f"kubegrid-sql-build-{new[0].definition.name}"
                threading.Thread(target=self._run, args=(new,), name=name, daemon=True).start()
        return begun

    def close(self) -> None:
        """End what is being built. Blocks."""
        with self._guard:
            self._closed = True
            buildings = list(self._buildings.values())
        for building in buildings:
            building.done.wait()

    def _run(self, buildings: list[Building]) -> None:
        try:
            with self._places:
                self._make({building.definition.id: building for building in buildings})
        except Exception as error:
            for building in buildings:
                if not building.done.is_set():
                    self._end(building, error)
        self._built()

    def _end(self, building: Building, error: Exception | None = None) -> None:
        if error is not None:
            self._capture.give_up(building.definition.id)
            building.error = self._explained(building.definition, error)
        with self._guard:
            del self._buildings[building.definition.id]
        building.done.set()

    def _make(self, buildings: dict[int, Building]) -> None:
        """All of them on one way through the keyspace, which may be long for a table that is small."""
        replica = self._replica
        names = {building.name for building in buildings.values()}
        self._end_older(buildings)
        with replica.lock:
            copies = replica.copies.items()
            self._give_up([number for number, copy in copies if copy.definition.name.lower() in names])
        begun = time.monotonic()
        walking = self._capture.walk(list(buildings), self._check)
        with replica.building() as making:
            builds: dict[int, Build] = {}

            def attempt(number: int, step: Callable[[], None]) -> None:
                try:
                    if buildings[number].over:
                        raise _dropped(buildings[number])
                    step()
                except Exception as error:  # of this table: the others go on
                    if number in builds:
                        builds.pop(number).abandon()
                    self._end(buildings[number], error)

            def begin(number: int) -> None:
                if number not in walking.generations:
                    raise _dropped(buildings[number])
                builds[number] = making.begin(walking.definitions[number])

            def finish(number: int) -> None:
                definition = walking.definitions[number]
                waiting = self._capture.waiting(number, self._check)
                if waiting is None:
                    raise Unavailable(f"table {definition.name} changed too much while its columns were built")
                # Who has changes to apply would wait for the compaction, if that came a second later.
                copy = making.finish(definition, walking.generations[number], builds[number], compacting=waiting > 0)
                with replica.lock:
                    replica.enter(copy)
                del builds[number]
                log.info("columns built table=%s rows=%d s=%.2f", definition.name, copy.rows, time.monotonic() - begun)
                self._end(buildings[number])

            for number in buildings:
                attempt(number, partial(begin, number))
            try:
                for met in walking if builds else ():
                    for number, found in met.items():
                        if number in builds:
                            attempt(number, partial(builds[number].put, found))
                for number in list(builds):
                    attempt(number, partial(finish, number))
            except BaseException:
                for build in builds.values():
                    build.abandon()
                raise

    def _end_older(self, buildings: dict[int, Building]) -> None:
        """Of tables that were dropped before others of their names were made: both would fill one table of DuckDB.

        One that has not begun will find that its table is gone."""
        newer = {building.name: number for number, building in buildings.items()}
        with self._guard:
            for building in buildings.values():
                building.begun = True
            older = [
                each for number, each in self._buildings.items() if each.begun and number < newer.get(each.name, 0)
            ]
            for each in older:
                each.over = True
        for each in older:
            while not each.done.wait(WAIT_S):
                self._check()

    def _check(self) -> None:
        if self._closed:
            raise Unavailable("this member is stopping")
        room = self._replica.room
        if room is not None and room.left_bytes() < 0:
            raise TooMuch("the member's process has no memory left for columns that are being made")

    def _explained(self, definition: TableDefinition, error: Exception) -> SqlError:
        explained = as_sql_error(error)
        if isinstance(explained, TooMuch):
            return TooMuch(
                f"the columns of table {definition.name} do not fit into the memory that SQL has in a member, "
                f"{self._replica.memory_bytes} bytes at most: {explained.message}",
                remedy="Give the members more memory, or the grid more partitions, or delete records: a DELETE that names "
                "them by their whole keys needs no columns, and neither does TRUNCATE.",
            )
        if not isinstance(error, SqlError):
            log.error("columns not built table=%s error=%r", definition.name, str(error)[:500])
        return explained


def _dropped(building: Building) -> SchemaMoved:
    return SchemaMoved(f"table {building.definition.name} was dropped meanwhile", remedy="Ask again.")
