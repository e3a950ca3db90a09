"""The embedded coordinator on real files, with real kills and a disk that does not take writes."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from kubegrid.coordination import CoordinatorError, DataLost, EmbeddedCoordinator, Outcome, StorageFailing

GRID = "g"


async def opened(folder: Path, grid: str = GRID) -> EmbeddedCoordinator:
    coordinator = EmbeddedCoordinator(folder, grid)
    await coordinator.open()
    return coordinator


async def made(folder: Path, **values: bytes) -> EmbeddedCoordinator:
    folder.mkdir(exist_ok=True)
    (folder / "new-grid").write_text(GRID)
    coordinator = await opened(folder)
    assert coordinator.state == "new"
    await coordinator.begin({"grid": b"{}", **values})
    assert coordinator.state == "ok"
    return coordinator


async def set_to(coordinator: EmbeddedCoordinator, key: str, value: bytes) -> int:
    found = await coordinator.read(key)
    result = await coordinator.compare_and_swap(key, value, found.token if found else None)
    assert result.outcome is Outcome.APPLIED
    return result.current.token


# -- compare-and-swap ----------------------------------------------------------------------------------------------


async def test_a_swap_applies_only_to_what_was_read(tmp_path):
    coordinator = await made(tmp_path)
    assert await coordinator.read("k") is None
    first = await coordinator.compare_and_swap("k", b"1", None)
    assert first.outcome is Outcome.APPLIED and first.current.value == b"1"
    assert (await coordinator.compare_and_swap("k", b"2", None)).outcome is Outcome.CONFLICT
    stale = await coordinator.compare_and_swap("k", b"2", first.current.token - 1)
    assert stale.outcome is Outcome.CONFLICT and stale.current == first.current
    second = await coordinator.compare_and_swap("k", b"2", first.current.token)
    assert second.outcome is Outcome.APPLIED and second.current.token > first.current.token
    assert await coordinator.read("k") == second.current
    await coordinator.close()


async def test_of_many_swaps_at_once_exactly_one_applies(tmp_path):
    coordinator = await made(tmp_path)
    token = await set_to(coordinator, "k", b"0")
    results = await asyncio.gather(*(coordinator.compare_and_swap("k", b"%d" % n, token) for n in range(50)))
    assert [r.outcome for r in results].count(Outcome.APPLIED) == 1
    winner = next(r for r in results if r.outcome is Outcome.APPLIED)
    assert all(r.current == winner.current for r in results)
    await coordinator.close()


async def test_swaps_of_many_keys_share_commits(tmp_path):
    coordinator = await made(tmp_path)
    before = coordinator.commits
    await asyncio.gather(*(coordinator.compare_and_swap(f"k{n}", b"v", None) for n in range(200)))
    assert coordinator.commits - before <= 3
    assert len(coordinator.values("k")) == 200
    await coordinator.close()


async def test_tokens_are_never_used_twice(tmp_path):
    coordinator = await made(tmp_path)
    seen = [await set_to(coordinator, f"k{n % 3}", b"%d" % n) for n in range(20)]
    assert len(set(seen)) == 20 and seen == sorted(seen)
    await coordinator.close()


async def test_watchers_hear_of_what_applied_and_of_nothing_else(tmp_path):
    coordinator = await made(tmp_path)
    heard: list[str] = []
    coordinator.watch("a/", heard.append)
    token = await set_to(coordinator, "a/1", b"x")
    await set_to(coordinator, "b/1", b"x")
    await coordinator.compare_and_swap("a/1", b"y", token + 99)
    assert heard == ["a/1"]
    coordinator.unwatch(heard.append)
    await set_to(coordinator, "a/1", b"z")
    await coordinator.close()


# -- durability ----------------------------------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from pathlib import Path
from kubegrid.coordination import EmbeddedCoordinator
async def main():
    coordinator = EmbeddedCoordinator(Path(sys.argv[1]), "g")
    await coordinator.open()
    assert coordinator.state == "ok", coordinator.reason
    found = await coordinator.read("k")
    token, n = (found.token, int(found.value)) if found else (None, 0)
    while True:
        n += 1
        token = (await coordinator.compare_and_swap("k", b"%d" % n, token)).current.token
        print(n, token, flush=True)
asyncio.run(main())
"""


async def test_what_was_answered_survives_kill_9(tmp_path):
    await (await made(tmp_path)).close()
    for lines_before_kill in (1, 40, 150):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(lines_before_kill):
            writer.stdout.readline()
        writer.kill()
        answered = writer.stdout.read().splitlines()
        writer.wait()
        coordinator = await opened(tmp_path)
        assert coordinator.state == "ok"
        found = await coordinator.read("k")
        if answered and len(answered[-1].split()) == 2:
            value, token = map(int, answered[-1].split())
            assert (int(found.value), found.token) >= (value, token)
        assert int(found.value) >= lines_before_kill
        await coordinator.close()


async def test_what_was_stored_is_there_after_an_orderly_end(tmp_path):
    coordinator = await made(tmp_path)
    token = await set_to(coordinator, "k", b"v")
    await coordinator.close()
    again = await opened(tmp_path)
    assert await again.read("k") == (b"v", token)
    assert (await again.compare_and_swap("k", b"w", token)).outcome is Outcome.APPLIED
    await again.close()


# -- data that are gone, old, or somebody else's -------------------------------------------------------------------


def remove_database(folder: Path) -> None:
    for path in folder.glob("coordinator.db*"):
        path.unlink()


async def refuses_everything(coordinator: EmbeddedCoordinator, text: str) -> None:
    assert coordinator.state == "lost" and text in coordinator.reason
    with pytest.raises(DataLost):
        await coordinator.read("k")
    with pytest.raises(DataLost):
        await coordinator.compare_and_swap("k", b"x", None)


async def test_without_permission_nothing_begins(tmp_path):
    coordinator = await opened(tmp_path)
    await refuses_everything(coordinator, "not just made")


async def test_a_grid_begins_once(tmp_path):
    await (await made(tmp_path)).close()
    assert not (tmp_path / "new-grid").exists()
    remove_database(tmp_path)
    (tmp_path / "new-grid").write_text(GRID)  # even with another permission: this grid has begun
    await refuses_everything(await opened(tmp_path), "database is gone")


async def test_a_beginning_that_was_cut_short_is_finished(tmp_path):
    await (await made(tmp_path)).close()
    (tmp_path / "issued.json").unlink()  # as if killed between the two
    (tmp_path / "new-grid").write_text(GRID)
    coordinator = await opened(tmp_path)
    assert coordinator.state == "ok" and (tmp_path / "issued.json").exists()
    assert not (tmp_path / "new-grid").exists()
    await coordinator.close()


async def test_a_deleted_database_is_noticed_by_the_next_swap(tmp_path):
    coordinator = await made(tmp_path)
    token = await set_to(coordinator, "k", b"v")
    remove_database(tmp_path)
    with pytest.raises(DataLost, match="deleted"):
        await coordinator.compare_and_swap("k", b"w", token)
    await refuses_everything(coordinator, "deleted")
    assert coordinator.known_exactly and coordinator.values("k") == {"k": b"v"}
    await coordinator.close()


async def test_a_deleted_database_is_noticed_by_looking(tmp_path):
    coordinator = await made(tmp_path)
    await coordinator.check()
    assert coordinator.state == "ok"
    remove_database(tmp_path)
    await coordinator.check()
    await refuses_everything(coordinator, "deleted")
    await coordinator.close()


@pytest.mark.parametrize("in_place", [True, False])
async def test_an_older_copy_put_there_under_the_running_manager_is_noticed(tmp_path, in_place):
    coordinator = await made(tmp_path / "m")
    database = tmp_path / "m" / "coordinator.db"
    shutil.copy(database, tmp_path / "copy")
    await set_to(coordinator, "k", b"v")
    if in_place:
        shutil.copyfile(tmp_path / "copy", database)
    else:
        os.replace(tmp_path / "copy", database)
    await coordinator.check()
    await refuses_everything(coordinator, "replaced")
    await coordinator.close()


async def test_an_older_copy_put_there_while_nobody_ran_is_noticed(tmp_path):
    coordinator = await made(tmp_path)
    await coordinator.close()
    old = (tmp_path / "coordinator.db").read_bytes()
    coordinator = await opened(tmp_path)
    await set_to(coordinator, "k", b"v")
    await coordinator.close()
    (tmp_path / "coordinator.db").write_bytes(old)
    await refuses_everything(await opened(tmp_path), "older copy")
    (tmp_path / "coordinator.revision").unlink()
    await refuses_everything(await opened(tmp_path), "older copy")  # once noticed, it stays so


async def test_an_older_main_file_beside_a_newer_log_is_noticed(tmp_path):
    """After a kill -9 the log is still there; a copy of the main file alone makes a mixture of both."""
    coordinator = await made(tmp_path / "m", **{f"k{n}": b"x" * 500 for n in range(100)})
    await coordinator.close()
    old = (tmp_path / "m" / "coordinator.db").read_bytes()
    coordinator = await opened(tmp_path / "m")
    for n in range(100):
        await set_to(coordinator, f"k{n}", b"y" * 500)
    await coordinator.close()  # moves all of it into the main file
    coordinator = await opened(tmp_path / "m")
    await set_to(coordinator, "k1", b"z" * 500)
    shutil.copytree(tmp_path / "m", tmp_path / "killed")
    await coordinator.close()
    assert (tmp_path / "killed" / "coordinator.db-wal").stat().st_size > 0
    (tmp_path / "killed" / "coordinator.db").write_bytes(old)
    await refuses_everything(await opened(tmp_path / "killed"), "coordinator")


async def test_another_grids_database_is_refused(tmp_path):
    await (await made(tmp_path)).close()
    await refuses_everything(await opened(tmp_path, grid="another"), "belongs to the grid g")


@pytest.mark.parametrize("content", [b"", b"nonsense" * 1000, b"SQLite format 3\0" + b"\0" * 5000])
async def test_a_damaged_database_is_refused(tmp_path, content):
    await (await made(tmp_path)).close()
    (tmp_path / "coordinator.db").write_bytes(content)
    coordinator = await opened(tmp_path)
    assert coordinator.state == "lost"


async def test_a_database_without_its_tables_is_refused(tmp_path):
    await (await made(tmp_path)).close()
    with sqlite3.connect(tmp_path / "coordinator.db") as connection:
        connection.execute("DROP TABLE entry")
    connection.close()
    assert (await opened(tmp_path)).state == "lost"


async def test_who_knows_better_may_say_that_data_are_lost(tmp_path):
    coordinator = await made(tmp_path)
    coordinator.lose("a member follows epoch 9")
    await refuses_everything(coordinator, "epoch 9")
    assert not coordinator.known_exactly
    await coordinator.close()
    await refuses_everything(await opened(tmp_path), "epoch 9")


async def test_after_a_rebuild_everything_goes_on_and_old_tokens_are_worthless(tmp_path):
    coordinator = await made(tmp_path)
    token = await set_to(coordinator, "k", b"v")
    with pytest.raises(CoordinatorError, match="data already"):
        await coordinator.begin({})
    remove_database(tmp_path)
    await coordinator.check()
    await coordinator.begin({"grid": b"{}", "k": b"v"})
    assert coordinator.state == "ok"
    assert (await coordinator.compare_and_swap("k", b"w", token)).outcome is Outcome.CONFLICT
    new = await set_to(coordinator, "k", b"w")
    assert new > token
    await coordinator.close()
    again = await opened(tmp_path)
    assert again.state == "ok" and await again.read("k") == (b"w", new)
    await again.close()


async def test_what_was_lost_is_put_aside_not_destroyed(tmp_path):
    coordinator = await made(tmp_path)
    coordinator.lose("somebody says so")
    await coordinator.begin({"grid": b"{}"})
    assert list(tmp_path.glob("coordinator.db.lost-*"))
    await coordinator.close()


# -- a disk that does not take writes ------------------------------------------------------------------------------

FULL = """
import asyncio, resource, sys
from pathlib import Path
from kubegrid.coordination import EmbeddedCoordinator, Outcome, StorageFailing
FREE = resource.RLIM_INFINITY
async def main():
    folder = Path(sys.argv[1])
    coordinator = EmbeddedCoordinator(folder, "g")
    await coordinator.open()
    token = (await coordinator.compare_and_swap("k", b"before", None)).current.token
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, FREE))
    for _ in range(3):
        try:
            await coordinator.compare_and_swap("k", b"x" * 20000, token)
            raise SystemExit("it was written")
        except StorageFailing as error:
            assert error.outcome_known, error
        assert coordinator.state == "failing"
        assert await coordinator.read("k") == (b"before", token)
        await coordinator.check()
        assert coordinator.state == "failing"
    resource.setrlimit(resource.RLIMIT_FSIZE, (FREE, FREE))
    await coordinator.check()
    assert coordinator.state == "ok"
    result = await coordinator.compare_and_swap("k", b"after", token)
    assert result.outcome is Outcome.APPLIED and coordinator.state == "ok"
    await coordinator.close()
    coordinator = EmbeddedCoordinator(folder, "g")
    await coordinator.open()
    assert await coordinator.read("k") == result.current
    await coordinator.close()
asyncio.run(main())
"""


async def test_a_disk_that_takes_no_writes_refuses_swaps_and_recovers(tmp_path):
    await (await made(tmp_path)).close()
    ended = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


async def test_a_grid_cannot_begin_in_a_folder_that_takes_no_writes(tmp_path):
    (tmp_path / "new-grid").write_text(GRID)
    coordinator = await opened(tmp_path)
    (tmp_path / "coordinator.db.new").mkdir()  # nothing can be written there
    with pytest.raises(StorageFailing):
        await coordinator.begin({"grid": b"{}"})
    assert coordinator.state == "new"
    (tmp_path / "coordinator.db.new").rmdir()
    await coordinator.begin({"grid": b"{}"})
    assert coordinator.state == "ok"
    await coordinator.close()


async def test_data_that_cannot_be_read_for_a_while_are_not_held_against_what_members_know(tmp_path):
    coordinator = await made(tmp_path)
    assert coordinator.comparable
    await coordinator.close()
    somebody = sqlite3.connect(tmp_path / "coordinator.db", isolation_level=None)
    somebody.execute("PRAGMA locking_mode=EXCLUSIVE")
    somebody.execute("BEGIN EXCLUSIVE")
    coordinator = await opened(tmp_path)
    assert (coordinator.state, coordinator.comparable) == ("failing", False)
    somebody.close()
    await coordinator.check()
    assert (coordinator.state, coordinator.comparable) == ("ok", True)
    await coordinator.close()
