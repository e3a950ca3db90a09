"""Loading over Arrow Flight while streams break: every row is applied once and in order, and members without Flight get
KG.WRITE."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kubegrid
from kubegrid.client.bulk import batches, flight_carrier, flight_streams
from kubegrid.client.bulk.flight_streams import FlightStreams, Stream, StreamLost
from kubegrid.client.slots import slot_of
from kubegrid.load import Request, prepare
from kubegrid.load.allocator import WANTED
from kubegrid.load.loading import Outcome

KEYS = 500
ROWS = 20_000


@pytest.fixture(scope="module")
def grid() -> Iterator[kubegrid.Grid]:
    with kubegrid.local() as local:
        yield local


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 200)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Each key stands many times in it; `at` says where."""
    path = tmp_path / "ticks.parquet"
    pq.write_table(pa.table({"id": [n * 7 % KEYS for n in range(ROWS)], "at": list(range(ROWS))}), path)
    return path


def load(grid: kubegrid.Grid, table: str, file: Path, **more: Any) -> Outcome:
    return prepare(grid.caller, "test", Request(table, file, ("id",), **more)).load.run()


def last_of_each() -> dict[int, int]:
    return {n * 7 % KEYS: n for n in range(ROWS)}


def stored(grid: kubegrid.Grid, table: str) -> dict[int, int]:
    return {row["id"]: row["at"] for row in grid.table(table).find()}


def version(grid: kubegrid.Grid, key: str) -> int:
    return int(grid.caller.call(("KG.VERSION", key), slot_of(key.encode()), False))


def next_version(grid: kubegrid.Grid) -> int:
    """That the next change of a record gets, here of another table."""
    marks = grid.table({"name": "marks", "columns": [{"name": "id", "type": "INTEGER"}], "key": ["id"]})
    marks.write({"id": 1})
    return version(grid, "marks:1")


class Breaking:
    """Opens streams that break at random places, before or after the member has got and done what was written."""

    def __init__(self, streams: FlightStreams, random: Random) -> None:
        self.streams = streams
        self.random = random
        self.broken = 0
        self.opened = 0

    def open(self, path: tuple[str, ...], address: str, deadline: float) -> Any:
        self.opened += 1
        if self.random.random() < 0.2:
            self.broken += 1
            raise StreamLost("was not there", sent=False)
        return _Broken(self, self.streams.open(path, address, deadline))


class _Broken:
    def __init__(self, owner: Breaking, stream: Stream) -> None:
        self._owner = owner
        self._stream = stream
        self.old = False

    def _maybe(self, what: str) -> None:
        if self._owner.random.random() < 0.1:
            self._owner.broken += 1
            raise StreamLost(what, sent=True)
        self.old = self._owner.random.random() < 0.1

    def write(self, rows: pa.RecordBatch, metadata: bytes) -> None:
        self._maybe("broke before a batch")
        self._stream.write(rows, metadata)
        self._maybe("broke behind a batch")

    def read(self) -> tuple[int, bytes]:
        answer = self._stream.read()
        self._maybe("broke with an answer")
        return answer

    def close(self) -> None:
        self._stream.close()


@pytest.mark.parametrize("seed", range(3))
def test_streams_that_break_lose_nothing_write_nothing_twice_and_keep_the_order(
    grid: kubegrid.Grid, file: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    made: list[Breaking] = []
    proper = flight_streams.FlightStreams.open

    def breaking(self: FlightStreams, path: tuple[str, ...], address: str, deadline: float) -> Any:
        if not made:
            made.append(Breaking(self, Random(seed)))
        monkeypatch.setattr(flight_streams.FlightStreams, "open", proper)
        try:
            return made[0].open(path, address, deadline)
        finally:
            monkeypatch.setattr(flight_streams.FlightStreams, "open", breaking)

    before = next_version(grid)
    monkeypatch.setattr(flight_streams.FlightStreams, "open", breaking)
    outcome = load(grid, f"broken_{seed}", file)
    assert outcome.failure is None
    assert (outcome.counts.read, outcome.counts.written, outcome.counts.kept) == (ROWS, ROWS, 0)
    assert made[0].broken > 10, "streams did break"
    assert stored(grid, f"broken_{seed}") == last_of_each()
    assert next_version(grid) - before == ROWS + 1, "each row got a version: none was applied twice"


def test_rows_of_a_file_go_over_flight_in_order(
    grid: kubegrid.Grid, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[bytes] = []
    read = Stream.read

    def counted(self: Stream) -> tuple[int, bytes]:
        answer = read(self)
        answers.append(answer[1])
        return answer

    monkeypatch.setattr(Stream, "read", counted)
    outcome = load(grid, "flown", file)
    assert outcome.failure is None
    assert len(answers) == 100
    assert stored(grid, "flown") == last_of_each()


def test_rows_of_a_table_with_an_index_are_written_in_the_order_of_the_file(
    grid: kubegrid.Grid, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = [{"name": name, "type": "BIGINT", "nullable": name != "id"} for name in ("id", "at")]
    grid.table({"name": "indexed", "columns": columns, "key": ["id"], "indexes": [{"columns": ["at"]}]})
    assert load(grid, "indexed", file).failure is None
    assert stored(grid, "indexed") == last_of_each()
    began = {version(grid, f"indexed:{key}") - at for key, at in last_of_each().items()}
    assert len(began) == 1, "each row got the next version"


def test_large_batches_are_cut_where_records_are_there_and_whole_where_not(
    grid: kubegrid.Grid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 5000)
    monkeypatch.setattr(flight_carrier, "SMALL_BATCHES", 1)
    answers: list[bytes] = []
    read = Stream.read

    def counted(self: Stream) -> tuple[int, bytes]:
        answer = read(self)
        answers.append(answer[1][:6])
        return answer

    monkeypatch.setattr(Stream, "read", counted)
    before = next_version(grid)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": list(range(20_000)), "at": [1] * 20_000}), path)
    assert load(grid, "large", path).counts.written == 20_000
    assert len(answers) == 4
    answers.clear()
    again = tmp_path / "again.parquet"
    pq.write_table(pa.table({"id": list(range(10_000, 50_000)), "at": [2] * 40_000}), again)
    outcome = load(grid, "large", again)
    assert outcome.failure is None
    assert (outcome.counts.written, outcome.counts.kept) == (40_000, 0)
    assert b"-SPLIT" in answers
    assert answers.count(b"*3\r\n:") < 40_000 // 2048, "later ones went whole again"
    assert stored(grid, "large") == {n: 1 if n < 10_000 else 2 for n in range(50_000)}
    assert next_version(grid) - before == 60_000 + 1
    kept = load(grid, "large", again, on_duplicate="keep")
    assert (kept.counts.written, kept.counts.kept) == (0, 40_000)
    assert "exists already" in str(load(grid, "large", again, on_duplicate="fail").failure)


def test_members_without_flight_get_commands(grid: kubegrid.Grid, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlightStreams, "there", lambda self: False)
    outcome = load(grid, "commanded", file)
    assert outcome.failure is None
    assert (outcome.counts.written, outcome.counts.kept) == (ROWS, 0)
    assert stored(grid, "commanded") == last_of_each()


@pytest.mark.parametrize("flight", [True, False])
def test_duplicates_are_kept_or_end_the_load_on_either_way(
    grid: kubegrid.Grid, file: Path, monkeypatch: pytest.MonkeyPatch, flight: bool
) -> None:
    if not flight:
        monkeypatch.setattr(FlightStreams, "there", lambda self: False)
    table = f"kept_{flight}".lower()
    outcome = load(grid, table, file, on_duplicate="keep")
    assert (outcome.counts.written, outcome.counts.kept) == (KEYS, ROWS - KEYS)
    assert stored(grid, table) == {n * 7 % KEYS: n for n in reversed(range(KEYS))}
    failed = load(grid, f"failed_{flight}".lower(), file, on_duplicate="fail")
    assert "exists already" in str(failed.failure)


def test_a_stream_that_is_old_is_replaced(grid: kubegrid.Grid, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flight_streams, "STREAM_S", 0.0)
    opened: list[str] = []
    proper = FlightStreams.open

    def counted(self: FlightStreams, path: tuple[str, ...], address: str, deadline: float) -> Stream:
        opened.append(address)
        return proper(self, path, address, deadline)

    monkeypatch.setattr(FlightStreams, "open", counted)
    outcome = load(grid, "renewed", file)
    assert outcome.failure is None
    assert len(opened) > 10
    assert stored(grid, "renewed") == last_of_each()


def test_a_table_that_is_dropped_meanwhile_ends_the_load(
    grid: kubegrid.Grid, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = flight_carrier.FlightCarrier._done
    dropped: list[int] = []

    def dropping(self: Any, sending: Any, written: int, kept: int) -> None:
        done(self, sending, written, kept)
        if not dropped:
            dropped.append(1)
            grid.table("gone").drop()

    monkeypatch.setattr(flight_carrier.FlightCarrier, "_done", dropping)
    outcome = load(grid, "gone", file)
    assert "no table 'gone'" in str(outcome.failure)


def test_arrays_of_a_load_come_from_the_allocator_that_keeps_memory(grid: kubegrid.Grid, file: Path) -> None:
    if WANTED not in pa.supported_memory_backends():
        pytest.skip("this build of Arrow lacks it")
    before = pa.default_memory_pool().backend_name
    seen = set()
    loading = prepare(grid.caller, "test", Request("kept", file, ("id",))).load
    outcome = loading.run(lambda rows, share: seen.add(pa.default_memory_pool().backend_name))
    assert outcome.failure is None
    assert seen == {WANTED}
    assert pa.default_memory_pool().backend_name == before


OPENED = """
import sys
import kubegrid

with kubegrid.local() as grid:
    grid.sql("SELECT 1").rows()
    print("kubegrid.node.sql_ingest" in sys.modules)
"""


def test_a_member_whose_flight_port_is_open_has_imported_what_takes_a_load() -> None:
    done = subprocess.run([sys.executable, "-c", OPENED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True\n"
