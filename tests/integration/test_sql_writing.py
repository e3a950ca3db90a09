"""INSERT, UPDATE, DELETE and definitions over a grid of two partitions, as any client sees them."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.member_processes import GridProcesses, grid_processes, wait_until

import kubegrid
from kubegrid import client
from kubegrid.base.settings import MIB
from kubegrid.client import errors
from kubegrid.client.grid import Grid


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path_factory.mktemp("grid"), partitions=2, copies=1, memory_bytes=512 * MIB) as grid:
        yield grid.start()


@pytest.fixture
def grid(processes: GridProcesses) -> Iterator[Grid]:
    with client.connect(f"127.0.0.1:{processes.ports['p0-0'][0]}", timeout=30, connect_timeout=10) as connected:
        yield connected
        for name in connected.tables():
            connected.sql(f"DROP TABLE {name}")


def rows(grid: Grid, statement: str) -> list[Any]:
    return grid.sql(statement).rows()


def test_what_was_written_is_there_at_once(grid: Grid) -> None:
    grid.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, n INTEGER DEFAULT 7, note VARCHAR)")
    written = grid.sql("INSERT INTO t (id, note) SELECT i, 'row ' || i FROM range(1000) r(i)")
    assert written.rows_changed == 1000
    assert [(one.outcome, one.rows > 400) for one in written.outcomes] == [("done", True), ("done", True)]
    assert rows(grid, "SELECT count(*), sum(n), min(note) FROM t") == [(1000, 7000, "row 0")]
    assert grid.sql("UPDATE t SET n = n + id WHERE id % 10 = 0").rows_changed == 100
    assert grid.sql("DELETE FROM t WHERE id >= 500").rows_changed == 500
    assert rows(grid, "SELECT count(*), sum(n) FROM t") == [(500, 3500 + sum(range(0, 500, 10)))]
    assert grid.sql("UPDATE t SET n = 0 WHERE id = -1").rows_changed == 0


def test_a_merge_updates_what_is_there_and_inserts_the_rest(grid: Grid) -> None:
    grid.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, n INTEGER, moment TIMESTAMPTZ, u UUID, big HUGEINT, j JSON)")
    most = 2**127 - 1
    values = f"TIMESTAMPTZ '2013-01-31 05:00:00Z', '6ba7b810-9dad-11d1-80b4-00c04fd430c8', {most}, '{{\"a\": 1}}'"
    grid.sql(f"INSERT INTO t SELECT i, 1, {values} FROM range(10) r(i)")
    merged = grid.sql(
        "INSERT INTO t (id, n) SELECT i, 5 FROM range(5, 15) r(i) "
        "ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n WHERE t.id <> 6"
    )
    assert merged.rows_changed == 9
    assert rows(grid, "SELECT id, n, moment IS NULL FROM t ORDER BY id") == [
        *((i, 1, False) for i in range(5)),
        *((i, 1 if i == 6 else 6, False) for i in range(5, 10)),
        *((i, 5, True) for i in range(10, 15)),
    ]
    assert rows(grid, "SELECT DISTINCT big::VARCHAR, u::VARCHAR, j->>'a', moment FROM t WHERE id < 10") == [
        (
            str(most),
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "1",
            rows(grid, "SELECT TIMESTAMPTZ '2013-01-31 05:00:00Z'")[0][0],
        )
    ]
    assert grid.sql("INSERT INTO t (id) SELECT i FROM range(20) r(i) ON CONFLICT DO NOTHING").rows_changed == 5


def test_an_insert_of_a_key_that_is_there_does_nothing_in_any_partition(grid: Grid) -> None:
    grid.sql("CREATE TABLE t (id BIGINT PRIMARY KEY)")
    grid.sql("INSERT INTO t VALUES (50)")
    with pytest.raises(kubegrid.SqlWriteRefusedError, match="table t has 't:50' already"):
        grid.sql("INSERT INTO t SELECT i FROM range(100) r(i)")
    assert rows(grid, "SELECT count(*) FROM t") == [(1,)]


def test_a_replaced_record_counts_though_all_of_it_is_key(grid: Grid) -> None:
    grid.sql("CREATE TABLE pairs (a INTEGER, b INTEGER, PRIMARY KEY (a, b))")
    for _ in range(2):
        assert grid.sql("INSERT OR REPLACE INTO pairs VALUES (1, 2), (3, 4)").rows_changed == 2
    assert grid.sql("INSERT OR IGNORE INTO pairs VALUES (1, 2), (5, 6)").rows_changed == 1
    assert grid.sql("SELECT count(*) FROM pairs").scalar() == 3
    grid.sql("DROP TABLE pairs")


def test_a_statement_that_runs_again_under_its_id_does_nothing_twice(grid: Grid) -> None:
    grid.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, n INTEGER)")
    for _ in range(3):
        assert grid.sql("INSERT INTO t SELECT i, 0 FROM range(100) r(i)", statement_id="fill").rows_changed == 100
    for _ in range(3):
        assert grid.sql("UPDATE t SET n = n + 1", statement_id="increment").rows_changed == 100
    assert rows(grid, "SELECT DISTINCT n FROM t") == [(1,)]
    assert grid.sql("UPDATE t SET n = n + 1", statement_id="another").rows_changed == 100
    assert rows(grid, "SELECT DISTINCT n FROM t") == [(2,)]


def test_a_statement_that_runs_again_tells_what_it_did_although_nothing_is_left_to_do(grid: Grid) -> None:
    grid.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, n INTEGER)")
    grid.sql("INSERT INTO t SELECT i, i FROM range(100) r(i)")
    for _ in range(3):
        assert grid.sql("UPDATE t SET n = 1000 WHERE n < 40", statement_id="cap").rows_changed == 40
    for _ in range(3):
        deleted = grid.sql("DELETE FROM t WHERE n = 1000", statement_id="remove")
        assert deleted.rows_changed == sum(one.rows for one in deleted.outcomes) == 40
    for _ in range(2):
        assert grid.sql("DELETE FROM t WHERE id = 90", statement_id="one").rows_changed == 1
    assert grid.sql("DELETE FROM t WHERE id = 91", statement_id="one partition").outcomes[0].rows == 1
    assert rows(grid, "SELECT count(*) FROM t") == [(58,)]


def test_what_one_partition_cannot_do_in_a_step_is_done_in_parts_each_once(grid: Grid) -> None:
    made = grid.sql("CREATE TABLE t (PRIMARY KEY (id)) AS SELECT i AS id, 0 AS n FROM range(30000) r(i)")
    assert made.rows_changed == 30_000
    for _ in range(2):
        assert grid.sql("UPDATE t SET n = n + 1", statement_id="in parts").rows_changed == 30_000
    assert rows(grid, "SELECT n, count(*) FROM t GROUP BY n") == [(1, 30_000)]
    assert grid.sql("DELETE FROM t").rows_changed == 30_000


def test_what_one_partition_cannot_do_in_a_step_is_refused_if_it_is_alone(grid: Grid) -> None:
    grid.sql("CREATE TABLE t (desk VARCHAR, id BIGINT, PRIMARY KEY (desk, id)) PARTITION BY (desk)")
    with pytest.raises(kubegrid.SqlLimitError, match=r"5,001 records .* all in partition"):
        grid.sql("INSERT INTO t SELECT 'FX', i FROM range(5001) r(i)")
    assert rows(grid, "SELECT count(*) FROM t") == [(0,)]
    assert len(grid.sql("INSERT INTO t SELECT 'FX', i FROM range(5000) r(i)").outcomes) == 1


def test_statements_at_once_lose_no_change_of_each_other(grid: Grid) -> None:
    grid.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, n INTEGER)")
    grid.sql("INSERT INTO t SELECT i, 0 FROM range(20) r(i)")
    failed: list[Exception] = []

    def increment() -> None:
        try:
            for _ in range(8):
                grid.sql("UPDATE t SET n = n + 1")
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=increment) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert rows(grid, "SELECT DISTINCT n FROM t") == [(24,)]


def test_statements_lose_no_change_that_other_commands_make(grid: Grid) -> None:
    grid.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, n INTEGER)")
    grid.sql("INSERT INTO t SELECT i, 0 FROM range(10) r(i)")
    ended = threading.Event()
    counts = [0] * 10

    def increment() -> None:
        while not ended.is_set():
            for number in range(10):
                grid.execute("HINCRBY", f"t:{number}", "n", 1)
                counts[number] += 1
            ended.wait(0.05)

    thread = threading.Thread(target=increment)
    thread.start()
    try:
        for _ in range(5):
            grid.sql("UPDATE t SET n = n + 1000")
    finally:
        ended.set()
        thread.join()
    assert rows(grid, "SELECT n FROM t ORDER BY id") == [(5000 + count,) for count in counts]


@pytest.mark.parametrize(
    ("statement", "error", "message"),
    [
        (
            "INSERT INTO t VALUES (1, 'abc')",
            kubegrid.SqlTypeError,
            "row 1, column n of table t: 'abc' is not an INTEGER",
        ),
        (
            "INSERT INTO t SELECT i, 'x' || i FROM range(3) r(i)",
            kubegrid.SqlTypeError,
            "row 1, column n of table t: 'x0'",
        ),
        (
            "INSERT INTO t VALUES (5, NULL), (6, 3000000000)",
            kubegrid.SqlTypeError,
            "row 2, column n .* 3000000000 is too",
        ),
        ("UPDATE t SET n = n * 1000000000 WHERE id = 4", kubegrid.SqlTypeError, "verflow|record id 4|out of range"),
        ("UPDATE t SET n = 'x' || n WHERE id = 4", kubegrid.SqlTypeError, "record id 4, column n of table t: 'x4'"),
        ("INSERT INTO t VALUES (NULL, 1)", kubegrid.SqlTypeError, "row 1, column id of table t: NULL is no value"),
        ("INSERT INTO t VALUES (9, 1), (9, 2)", kubegrid.SqlWriteRefusedError, "rows 1 and 2 are both 't:9'"),
        ("UPDATE t SET id = 5", kubegrid.SqlWriteRefusedError, "INSERT the record under its other key"),
        ("INSERT INTO u VALUES (1)", kubegrid.SqlNameError, "no table 'u'"),
        ("CREATE TABLE t (id INT PRIMARY KEY)", kubegrid.SqlWriteRefusedError, "table t exists already"),
        ("CREATE TABLE u AS SELECT 1 AS id", kubegrid.SqlWriteRefusedError, "has no PRIMARY KEY"),
        (
            "CREATE TABLE u (PRIMARY KEY (id)) AS SELECT 1 AS id FROM range(2)",
            kubegrid.SqlWriteRefusedError,
            "rows 1 and 2",
        ),
        (
            "CREATE TABLE u (PRIMARY KEY (id)) AS SELECT 1 AS id, INTERVAL 1 DAY AS i",
            kubegrid.SqlWriteRefusedError,
            "INTERVAL",
        ),
        ("ALTER TABLE t ADD COLUMN m INTEGER NOT NULL", kubegrid.SqlWriteRefusedError, "Let it be nullable"),
        ("INSERT INTO t VALUES (7, 7) ON CONFLICT DO UPDATE SET n = excluded.m", kubegrid.SqlNameError, '"m"'),
        (
            "INSERT INTO t SELECT i, 1 FROM range(2) r(i) ON CONFLICT DO UPDATE SET n = 1 WHERE t.nn > 1",
            kubegrid.SqlNameError,
            '"nn"',
        ),
        ("TRUNCATE u", kubegrid.SqlNameError, "no table 'u'"),
    ],
)
def test_a_statement_that_cannot_be_done_says_why_and_changes_nothing(
    grid: Grid, statement: str, error: type[Exception], message: str
) -> None:
    grid.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, n INTEGER)")
    grid.sql("INSERT INTO t VALUES (4, 4)")
    with pytest.raises(error, match=message):
        grid.sql(statement)
    assert rows(grid, "SELECT * FROM t") == [(4, 4)]
    assert grid.tables() == ["t"]


def test_a_row_of_defaults_is_inserted(grid: Grid) -> None:
    grid.sql("CREATE TABLE t (id BIGINT DEFAULT 7 PRIMARY KEY, n INTEGER, s VARCHAR DEFAULT 'none')")
    assert grid.sql("INSERT INTO t DEFAULT VALUES").rows_changed == 1
    assert grid.sql("INSERT INTO t DEFAULT VALUES ON CONFLICT DO UPDATE SET n = 1").rows_changed == 1
    assert rows(grid, "SELECT * FROM t") == [(7, 1, "none")]


def test_what_each_partition_did_is_told_and_a_second_run_does_the_rest(grid: Grid, processes: GridProcesses) -> None:
    grid.sql("CREATE TABLE t (id BIGINT PRIMARY KEY)")
    statement = "INSERT INTO t SELECT i FROM range(100) r(i) ON CONFLICT DO NOTHING"
    processes.signal("p1-0", signal.SIGSTOP)
    try:
        with pytest.raises(errors.ClientError) as caught:
            grid.sql(statement, statement_id="interrupted", timeout=4)
    finally:
        processes.signal("p1-0", signal.SIGCONT)
    assert isinstance(caught.value, kubegrid.SqlPartlyDoneError), caught.value
    assert not caught.value.outcome_known
    first, second = caught.value.outcomes
    assert (first.partition, first.outcome, second.outcome) == (0, "done", "unknown")
    again = grid.sql(statement, statement_id="interrupted")
    assert again.rows_changed == 100, again.outcomes
    assert [one.outcome for one in again.outcomes] == ["done", "done"]
    assert rows(grid, "SELECT count(*) FROM t") == [(100,)]


def test_definitions_are_in_force_when_they_are_answered(grid: Grid) -> None:
    grid.sql("CREATE TABLE a (id BIGINT PRIMARY KEY) TTL '1 hour'")
    grid.sql("CREATE TABLE IF NOT EXISTS A (other DATE PRIMARY KEY)")
    grid.sql("INSERT INTO a VALUES (1), (2)")
    assert grid.sql("CREATE TABLE IF NOT EXISTS a (PRIMARY KEY (id)) AS SELECT 3 AS id").rows_changed == 0
    grid.sql("ALTER TABLE a ADD COLUMN n INTEGER NOT NULL DEFAULT 5")
    assert rows(grid, "SELECT * FROM a ORDER BY id") == [(1, 5), (2, 5)]
    assert 3500 < grid.execute("TTL", "a:1") <= 3600
    grid.sql("UPDATE a SET n = 6 WHERE id = 1")
    assert grid.execute("TTL", "a:1") <= 3600
    grid.sql("TRUNCATE a")
    assert rows(grid, "SELECT count(*) FROM a") == [(0,)]
    grid.sql("INSERT INTO a VALUES (1, 1)")
    assert rows(grid, "SELECT * FROM a") == [(1, 1)]
    grid.sql("DROP TABLE a")
    grid.sql("DROP TABLE IF EXISTS a")
    assert grid.tables() == []


def test_of_two_that_create_a_table_at_a_time_one_does_and_keeps_it(grid: Grid) -> None:
    grid.sql("CREATE TABLE s (id BIGINT PRIMARY KEY)")
    grid.sql("INSERT INTO s SELECT i FROM range(2000) r(i)")
    for number in range(5):
        told: list[Any] = []
        begin = threading.Barrier(3)

        def make(name: str, told: list[Any] = told, begin: threading.Barrier = begin) -> None:
            begin.wait()
            try:
                told.append(grid.sql(f"CREATE TABLE {name} (PRIMARY KEY (id)) AS SELECT id FROM s").rows_changed)
            except kubegrid.SqlWriteRefusedError as error:
                told.append(error.message)

        threads = [threading.Thread(target=make, args=(f"made_{number}",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one for one in told if one == 2000] == [2000], told
        assert all(one == 2000 or "exists already" in one for one in told)
        assert rows(grid, f"SELECT count(*) FROM made_{number}") == [(2000,)]


def test_statements_are_applied_once_each_while_primaries_are_killed(tmp_path: Path) -> None:
    with grid_processes(tmp_path, partitions=1, copies=2, memory_bytes=512 * MIB) as processes:
        processes.start()
        addresses = ",".join(f"127.0.0.1:{processes.ports[name][0]}" for name in processes.names)
        with client.connect(addresses, timeout=60, connect_timeout=5) as grid:
            grid.sql("CREATE TABLE t (id BIGINT PRIMARY KEY, n INTEGER)")
            grid.sql("INSERT INTO t SELECT i, 0 FROM range(50) r(i)")
            answered = [0]
            failed: list[Exception] = []
            ended = threading.Event()

            def increment() -> None:
                while not ended.is_set() and not failed:
                    name = f"increment {answered[0]}"
                    for attempt in range(100):
                        try:
                            grid.sql("UPDATE t SET n = n + 1", statement_id=name)
                            break
                        except errors.ClientError as error:
                            if attempt == 99:
                                failed.append(error)
                            ended.wait(0.05)
                    answered[0] += 1

            thread = threading.Thread(target=increment)
            thread.start()
            try:
                for _ in range(2):
                    before = answered[0]
                    wait_until(lambda before=before: failed or answered[0] > before + 2, 60, "statements")
                    killed = processes.wait_whole(0)
                    processes.kill(killed)
                    before = answered[0]
                    wait_until(
                        lambda before=before: failed or answered[0] > before + 1, 60, "statements of the other member"
                    )
                    processes.start_member(killed)
                    processes.wait_whole(0)
            finally:
                ended.set()
                thread.join(90)
            assert not failed, failed
            assert rows(grid, "SELECT n, count(*) FROM t GROUP BY n") == [(answered[0], 50)]
