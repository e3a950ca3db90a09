"""What a load remembers: how far it came, of which file and table, and which rows were bad."""

import os
from pathlib import Path

import msgspec
import pytest

from kubegrid.client.bulk.progress import Counts, Position
from kubegrid.load import checkpoint
from kubegrid.load.bad_rows import BadRow, BadRows
from kubegrid.load.checkpoint import Checkpoint, CheckpointFile
from kubegrid.load.errors import ResumeConflict
from kubegrid.load.loading import Outcome
from kubegrid.load.sifting import sift


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "flights.csv"
    path.write_text("id\n1\n2\n")
    return path


def begun(path: Path, grid: str = "g", table_id: int = 1, on_duplicate: str = "replace") -> Checkpoint:
    return checkpoint.begin(path, grid, "flights", table_id, on_duplicate, Position(3, 2))


def test_a_checkpoint_lies_beside_the_file_and_reads_back(source: Path) -> None:
    kept = CheckpointFile(source, "flights")
    assert kept.read() is None
    state = begun(source)
    state.confirmed = (5, 3)
    state.counts.read = 1
    kept.write(state)
    assert kept.path == source.parent / "flights.csv.load-into-flights.json"
    assert CheckpointFile(source, "flights").read() == state
    assert CheckpointFile(source, "others").read() is None
    kept.remove()
    assert list(source.parent.iterdir()) == [source]


def test_without_a_place_beside_the_file_it_lies_in_the_state_folder(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    kept = CheckpointFile(source, "flights")
    kept.write(begun(source))
    assert kept.path.parent == tmp_path / "state" / "kubegrid" / "loads"


def test_a_damaged_checkpoint_counts_as_none(source: Path) -> None:
    kept = CheckpointFile(source, "flights")
    kept.path.write_text('{"file": ')
    assert kept.read() is None
    kept.path.write_bytes(msgspec.json.encode(msgspec.to_builtins(begun(source)) | {"format": 99}))
    assert kept.read() is None


def test_another_file_table_grid_or_way_with_duplicates_is_refused(source: Path) -> None:
    found = begun(source)
    checkpoint.refuse_another(found, begun(source))
    assert checkpoint.is_same(found, begun(source))
    assert not checkpoint.is_same(found, begun(source, table_id=2))
    for now, message in (
        (begun(source, grid="h"), "another grid"),
        (begun(source, table_id=2), "was made anew"),
        (begun(source, on_duplicate="keep"), "--on-duplicate replace, not keep"),
    ):
        with pytest.raises(ResumeConflict, match=message):
            checkpoint.refuse_another(found, now)
    source.write_text("id\n1\n2\n3\n")
    with pytest.raises(ResumeConflict, match="was changed since its load was interrupted: it had 7 bytes and has 9"):
        checkpoint.refuse_another(found, begun(source))


def test_a_file_of_the_same_size_and_time_with_other_content_is_refused(source: Path) -> None:
    found = begun(source)
    stat = source.stat()
    source.write_text("id\n1\n3\n")
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ResumeConflict, match="was changed"):
        checkpoint.refuse_another(found, begun(source))


def test_the_rate_of_a_load_that_went_on_is_of_what_it_read_itself() -> None:
    outcome = Outcome(Counts(read=1_000_100), 1_000_102, 2.0, 1_000_002, None, read_before=1_000_000)
    assert outcome.rate == 50


def test_bad_rows_before_the_place_where_a_load_goes_on_are_kept(source: Path) -> None:
    first = BadRows(source, "line", None)
    assert not first.path.exists(), "no file without a bad row"
    for line in (3, 7, 11):
        first.add(BadRow(line, "column id: 'x' is not a BIGINT", "x"))
    first.close()
    again = BadRows(source, "line", 7)
    again.add(BadRow(7, "as before", "x"))
    again.close()
    lines = [msgspec.json.decode(line) for line in again.path.read_bytes().splitlines()]
    assert [line["line"] for line in lines] == [3, 7]
    assert lines[0] == {"line": 3, "reason": "column id: 'x' is not a BIGINT", "row": "x"}


def test_bad_rows_are_found_by_halves_and_good_parts_keep_their_order() -> None:
    calls = []

    def convert(start: int, stop: int) -> list[int]:
        calls.append((start, stop))
        if any(row in (3, 500, 501) for row in range(start, stop)):
            raise OverflowError(f"{start}")
        return list(range(start, stop))

    parts, bad = sift(1000, convert)
    assert [row for row, _ in bad] == [3, 500, 501]
    assert [row for part in parts for row in part] == [row for row in range(1000) if row not in (3, 500, 501)]
    assert len(calls) < 100


def test_a_mistake_of_the_program_is_not_taken_for_a_bad_row() -> None:
    def broken(start: int, stop: int) -> None:
        raise KeyError("typo")

    with pytest.raises(KeyError):
        sift(10, broken)
