"""What Flight's threads may ask of their member: the engine for statements, fragments of the own partition, bulk writes.

Each is made by the first call that needs it, in the thread of that call, because each loads something large: DuckDB,
the parser, the client. The serving loop never waits for that. When the pod stops, what was made is closed and nothing
is made any more.

Next on the path of the data: `query.engine` (statements), `sql_fragments` (fragments), `sql_ingest` (bulk writes).
"""

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import Catalog
from kubegrid.replication import Role

if TYPE_CHECKING:
    from kubegrid.client.caller import Caller
    from kubegrid.columns.requests import FragmentRequest
    from kubegrid.columns.room import Room
    from kubegrid.flight.partitions import GridPartitions, Place
    from kubegrid.flight.service import Fragments, Ingest
    from kubegrid.node.pod import DataPod
    from kubegrid.query.engine import Engine

Part = TypeVar("Part")
CLOSED_IN_ORDER = ("engine", "ingest", "fragments", "partitions", "caller")
"""Whoever asks comes before who is asked: a statement that runs ends for the true reason, and not because what it works
with was closed under it."""
SEEDS_MAX = 32
"""Members that the client for writes begins with; one that answers tells it the others."""


class SqlService:
    """`flight.service.Service`, one for each pod. Invariant: each part is made at most once, and none after `close`."""

    def __init__(self, pod: "DataPod") -> None:
        self._pod = pod
        self.grid = pod.config.grid
        self.grid_id = pod.config.grid_id
        self.name = pod.config.name
        self.partition = pod.config.partition
        self.secret = pod.secret
        self._parts: dict[str, Any] = {}
        self._making = threading.RLock()
        self._closed = False
        self._loading = 0
        """Parts that are being made: their libraries are loaded now."""

    @property
    def version(self) -> str:
        return self._pod.context.version

    def catalog(self) -> Catalog:
        return self._pod.catalog.newest

    def engine(self) -> "Engine":
        return self._part("engine", self._make_engine)

    def fragments(self) -> "Fragments":
        return self._part("fragments", self._make_fragments)

    def ingest(self) -> "Ingest":
        return self._part("ingest", self._make_ingest)

    def close(self) -> None:
        """End what runs, then what it works with. Blocks."""
        with self._making:
            self._closed = True
            parts = [self._parts[name] for name in CLOSED_IN_ORDER if name in self._parts]
            assert len(parts) == len(self._parts), self._parts
            self._parts.clear()
        with contextlib.ExitStack() as closing:  # each is closed, whatever the closing of another raises
            for part in reversed(parts):
                closing.callback(part.close)

    # -- where the partitions are (flight.partitions.Places) -------------------------------------------------------

    @property
    def count(self) -> int:
        return self._pod.config.partitions

    def own(self, partition: int) -> bool:
        return partition == self.partition and self._pod.replica.role is Role.PRIMARY

    def place(self, partition: int) -> "Place | None":
        from kubegrid.flight.partitions import Place

        primary = self._pod.topology.partitions[partition].primary
        if primary is None:
            return None
        return Place(primary.name, None if primary.flight is None else f"{primary.host}:{primary.flight}")

    def made(self, name: str) -> Any:
        """A part, if there is one: `engine`, `fragments`, `ingest`."""
        return self._parts.get(name)

    # -- memory (node.memory_watch) --------------------------------------------------------------------------------

    def at_work(self) -> bool:
        """Whether SQL has memory that it will give back: of statements that run, or copies of tables. Or loads libraries."""
        engine, fragments = self.made("engine"), self.made("fragments")
        return (
            self._loading > 0
            or (engine is not None and engine.running > 0)
            or (fragments is not None and fragments.at_work)
        )

    def make_room(self) -> None:
        """Copies of tables go soon if the process has grown too large."""
        fragments = self.made("fragments")
        if fragments is not None:
            fragments.keeper.look()

    def _room(self) -> "Room | None":
        from kubegrid.columns.room import Room

        return None if self._pod.embedded else Room(self._pod.housekeeping.memory.full_bytes)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _part(self, name: str, make: Callable[[], Part]) -> Part:
        found = self._parts.get(name)
        if found is None:
            with self._making:
                found = self._parts.get(name)
                if found is None:
                    found = self._made(name, make)
        part: Part = found
        return part

    def _made(self, name: str, make: Callable[[], Part]) -> Part:
        if self._closed:
            from kubegrid.sql.errors import Unavailable

            raise Unavailable(f"{self.name} is about to end", remedy="Ask another member.")
        self._loading += 1
        try:
            part = self._parts[name] = make()
        finally:
            self._loading -= 1
        return part

    def _make_engine(self) -> "Engine":
        from kubegrid.query.engine import Engine, all_of_it
        from kubegrid.query.writing import StatementWriter

        room = self._room()
        granted = all_of_it if room is None else room.granted
        writer = StatementWriter(self._caller)
        return Engine(self.catalog, self._partitions(), writer, self._settings(), granted)

    def _make_fragments(self) -> "Fragments":
        from kubegrid.node.sql_fragments import Fragments

        config = self._pod.config

        def fetch(partition: int, request: "FragmentRequest", cancelled: Callable[[], bool]) -> Any:
            return self._partitions().run(partition, request, cancelled)

        return Fragments(
            self._pod.capture,
            config.sql,
            config.memory_bytes,
            self.partition,
            config.state_dir,
            fetch,
            self._room(),
        )

    def _make_ingest(self) -> "Ingest":
        from kubegrid.node.sql_ingest import Ingest

        pod = self._pod
        return Ingest(pod.loop, pod.turn, pod.context, self._caller)

    def _partitions(self) -> "GridPartitions":
        from kubegrid.flight.access import Access
        from kubegrid.flight.partitions import GridPartitions

        return self._part("partitions", lambda: GridPartitions(self, Access(self.secret, self.grid_id), self.fragments))

    def _caller(self) -> "Caller":
        """The client through which statements write: like any other, so that a write has one path."""
        return self._part("caller", self._make_caller)

    def _make_caller(self) -> "Caller":
        from kubegrid.client.caller import Caller
        from kubegrid.client.options import ClientOptions

        topology = self._pod.topology
        members = [topology.me]
        for partition in topology.partitions:
            members += [member for member in (partition.primary, *partition.backups) if member is not None]
        seeds = list(dict.fromkeys(f"{member.host}:{member.port}" for member in members))[:SEEDS_MAX]
        password = None if self.secret is None else self.secret.decode()
        return Caller(seeds, ClientOptions(password=password, busy_wait=0))

    def _settings(self) -> SqlSettings:
        config = self._pod.config
        return msgspec.structs.replace(
            config.sql,
            memory_bytes=config.sql.replica_bytes(config.memory_bytes),
            spill_folder=config.sql.spill_folder or config.state_dir,
        )
