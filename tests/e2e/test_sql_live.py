"""SQL over real processes: what a query must see, also while primaries die.

The invariant of most tests here is a transfer: writers move amounts between two accounts of one partition in one
transaction, so the sum over all accounts never changes. A query that saw half of a turn, an unacknowledged write that was
lost later, or the rows of a deposed primary would show another sum or an older count.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.e2e.live_grid import LiveGrid, live_grid, wait_until

import kubegrid
from kubegrid.node.precedence import NICENESS

FRESH_WRITES = 10_000
FRESH_CLIENTS = 4
ACCOUNTS = 300
AMOUNT = 1000
QUERY_S = 60.0
NOTES = {
    "name": "notes",
    "columns": [
        {"name": "author", "type": "INTEGER"},
        {"name": "id", "type": "BIGINT"},
        {"name": "text", "type": "VARCHAR"},
    ],
    "key": ["author", "id"],
    "partition_by": ["author"],
}
BANK = {
    "name": "accounts",
    "columns": [
        {"name": "bank", "type": "INTEGER"},
        {"name": "number", "type": "INTEGER"},
        {"name": "amount", "type": "BIGINT"},
    ],
    "key": ["bank", "number"],
    "partition_by": ["bank"],
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    with live_grid(tmp_path_factory.mktemp("sql"), partitions=3) as grid:
        yield grid


def connect(running: LiveGrid) -> kubegrid.Grid:
    return kubegrid.connect(f"127.0.0.1:{running.port}", timeout=30.0)


def write_and_ask(running: LiveGrid, client: int) -> None:
    """Its share of the writes, each followed at once by a query through another connection.

    Some name the record by its key, which is looked up; some read the columns of its partition, some those of all.
    """
    with connect(running) as writer, connect(running) as reader:
        notes = writer.table(NOTES)
        for number in range(FRESH_WRITES // FRESH_CLIENTS):
            key, text = number % 100, f"note {number}"
            notes.write({"author": client, "id": key, "text": text})
            if number % 10 == 0:
                counted = "SELECT count(*), max(text) FILTER (id = ?) FROM notes WHERE author - ? = 0"
                assert reader.sql(counted, (key, client)).rows() == [(min(number + 1, 100), text)]
            else:
                also = "id = ?" if number % 2 else "id - ? = 0"
                rows = reader.sql(f"SELECT text FROM notes WHERE author = ? AND {also}", (client, key)).rows()
                assert rows == [(text,)]


def test_threads_that_answer_sql_give_way_to_the_loops_of_all_members(running: LiveGrid) -> None:
    with connect(running) as grid:
        grid.table(NOTES)
        grid.sql("SELECT count(*) FROM notes").rows()
    processes = [running.pid(name) for name in running.names()]
    assert len({os.getsid(process) for process in processes}) == 1, "Linux shares processors out among sessions first"
    for process in processes:
        assert os.getpriority(os.PRIO_PROCESS, process) == 0
        threads = [int(name) for name in os.listdir(f"/proc/{process}/task")]
        assert NICENESS in {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}


def test_a_query_always_has_what_was_acknowledged_before_it(running: LiveGrid) -> None:
    """Ten thousand times: write through one connection, then ask through another."""
    with ThreadPoolExecutor(FRESH_CLIENTS) as clients:
        for done in [clients.submit(write_and_ask, running, client) for client in range(FRESH_CLIENTS)]:
            done.result()


def make_accounts(grid: kubegrid.Grid) -> "kubegrid.Table[dict[str, int]]":
    accounts = grid.table(BANK)
    accounts.write_many(
        [{"bank": bank, "number": number, "amount": AMOUNT} for bank in range(ACCOUNTS // 10) for number in range(10)]
    )
    return accounts


class Transfers:
    """A client that moves amounts inside of banks until it is told to end. Context manager."""

    def __init__(self, running: LiveGrid, seed: int) -> None:
        self.done = 0
        self.failed = 0
        self._running = running
        self._chance = random.Random(seed)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with connect(self._running) as grid:
            accounts = grid.table("accounts")
            while not self._ending.is_set():
                bank = self._chance.randrange(ACCOUNTS // 10)
                source, target = self._chance.sample(range(10), 2)
                try:
                    with grid.transaction(tag=str(bank)) as change:
                        change.change(accounts, (bank, source), increment={"amount": -1})
                        change.change(accounts, (bank, target), increment={"amount": 1})
                    self.done += 1
                except kubegrid.ClientError:
                    self.failed += 1

    def __enter__(self) -> "Transfers":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ending.set()
        self._thread.join()


def whole(grid: kubegrid.Grid) -> None:
    """One answer that has every account once and all the money."""
    rows = grid.sql(
        "SELECT count(*), count(DISTINCT (bank, number)), sum(amount) FROM accounts", timeout=QUERY_S
    ).rows()
    assert rows == [(ACCOUNTS, ACCOUNTS, ACCOUNTS * AMOUNT)]
    gathered = grid.sql("SELECT sum(a) FROM (SELECT amount AS a, row_number() OVER () FROM accounts)", timeout=QUERY_S)
    assert gathered.rows() == [(ACCOUNTS * AMOUNT,)]


def test_a_query_sees_every_turn_whole_while_transfers_run(running: LiveGrid) -> None:
    with connect(running) as grid:
        make_accounts(grid)
        with Transfers(running, 1) as one, Transfers(running, 2) as other:
            wait_until(lambda: one.done > 10 and other.done > 10)
            for _ in range(100):
                whole(grid)
        assert one.failed == other.failed == 0


def test_a_primary_killed_in_the_middle_of_queries_ends_in_whole_answers(running: LiveGrid) -> None:
    """Queries that meet the failover wait for it and are answered whole; none fails, none shows a part."""
    with connect(running) as grid, connect(running) as asking:
        make_accounts(grid)
        answered = 0
        problems: list[str] = []
        ending = threading.Event()

        def ask() -> None:
            nonlocal answered
            while not ending.is_set():
                try:
                    whole(asking)
                except (AssertionError, kubegrid.ClientError) as problem:
                    problems.append(repr(problem))
                    return
                answered += 1

        asker = threading.Thread(target=ask)
        with Transfers(running, 3):
            asker.start()
            try:
                for partition in range(3):
                    before = answered
                    wait_until(lambda before=before: answered > before + 3 or problems)  # type: ignore[misc]
                    running.kill(running.primary(partition))
                    before = answered
                    wait_until(lambda before=before: answered > before + 3 or problems)  # type: ignore[misc]
                    running.wait_whole()
            finally:
                ending.set()
                asker.join()
        assert problems == []
        whole(grid)


def test_a_hand_over_in_the_middle_of_queries_fails_none(running: LiveGrid) -> None:
    with connect(running) as grid:
        make_accounts(grid)
        with Transfers(running, 4) as transfers:
            for partition in range(3):
                running.run("partition", "hand-over", str(partition))
                until = time.monotonic() + 1.0
                while time.monotonic() < until:
                    whole(grid)
        assert transfers.failed == 0


def test_a_partition_without_a_primary_is_told_and_never_left_out(tmp_path: Path) -> None:
    """The only member of a partition stands still: a query of all rows ends in time and says so, and shows no part."""
    with live_grid(tmp_path, partitions=2, backups=0) as grid, connect(grid) as client:
        make_accounts(client)
        whole(client)
        grid.signal("p1-0", signal.SIGSTOP)
        try:
            with pytest.raises(kubegrid.ClientError, match=r"partition 1|not answered within 3 s"):
                client.sql("SELECT count(*) FROM accounts", timeout=3.0).rows()
        finally:
            grid.signal("p1-0", signal.SIGCONT)
        wait_until(lambda: grid.status()["state"] == "serving")
        whole(client)
