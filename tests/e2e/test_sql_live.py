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
from collections.abc import Callable, Iterator
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


class Registers:
    """Numbers that only grow, each written by one client and read by others. What was acknowledged or read is the least
    that a read that begins later may see; what was sent is the most. Context manager: its clients run until it ends."""

    QUESTIONS = (
        "SELECT number, text FROM registers WHERE id = ?",  # from the store
        "SELECT max(number), max(text) FROM registers WHERE id = ?",  # looked up
        "SELECT number, text FROM registers WHERE id - ? = 0",  # from columns
    )

    def __init__(self, running: LiveGrid, count: int) -> None:
        self.problems: list[str] = []
        self.reads = dict.fromkeys(self.QUESTIONS, 0)
        self.writes = 0
        self._least = dict.fromkeys(range(count), 0)
        self._most = dict(self._least)
        self._guard = threading.Lock()
        self._running = running
        self._ending = threading.Event()
        with connect(running) as grid:
            columns = [("id", "INTEGER"), ("number", "BIGINT"), ("text", "VARCHAR")]
            grid.table(
                {"name": "registers", "columns": [{"name": n, "type": t} for n, t in columns], "key": ["id"]}
            ).write_many([{"id": id, "number": 0, "text": "0"} for id in self._least])
        clients = [(self._write, parity) for parity in range(2)] + [(self._read, seed) for seed in range(3)]
        self._threads = [threading.Thread(target=self._guarded, args=client) for client in clients]

    def _guarded(self, work: Callable[[kubegrid.Grid, int], None], number: int) -> None:
        try:
            with connect(self._running) as grid:
                work(grid, number)
        except Exception as problem:
            self.problems.append(repr(problem))

    def _write(self, grid: kubegrid.Grid, parity: int) -> None:
        registers = grid.table("registers")
        while not self._ending.is_set():
            for id in list(self._least)[parity::2]:
                number = self._most[id] = self._most[id] + 1
                registers.write({"id": id, "number": number, "text": str(number)})
                with self._guard:
                    self._least[id] = max(self._least[id], number)
                    self.writes += 1

    def _read(self, grid: kubegrid.Grid, seed: int) -> None:
        chance = random.Random(seed)
        while not self._ending.is_set():
            id, question = chance.randrange(len(self._least)), chance.choice(self.QUESTIONS)
            with self._guard:
                least = self._least[id]
            ((number, text),) = grid.sql(question, [id], timeout=QUERY_S).rows()
            with self._guard:
                if not least <= number <= self._most[id] or text != str(number):
                    self.problems.append(f"{question} {id}: {number} {text!r}, not {least} to {self._most[id]}")
                self._least[id] = max(self._least[id], number)
                self.reads[question] += 1

    def go_on(self) -> None:
        """Until each kind of read, and a write, came to its end a few times more."""
        wanted = {question: count + 5 for question, count in self.reads.items()}
        writes = self.writes + 20
        wait_until(
            lambda: (
                self.problems
                or (self.writes >= writes and all(self.reads[question] >= count for question, count in wanted.items()))
            )
        )
        assert self.problems == []

    def __enter__(self) -> "Registers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()


def test_what_was_acknowledged_or_read_is_never_missing_while_primaries_die_and_sleep(running: LiveGrid) -> None:
    """Of records that are read from the store by their keys, looked up, and read from columns, alike."""
    with Registers(running, 12) as registers:
        registers.go_on()
        for partition in range(3):
            primary = running.primary(partition)
            running.signal(primary, signal.SIGSTOP)  # for longer than its backup waits: it wakes as a deposed primary
            try:
                running.wait_new_primary(partition, primary)
                registers.go_on()
            finally:
                running.signal(primary, signal.SIGCONT)
            registers.go_on()
            running.wait_whole()
            running.kill(running.primary(partition))
            registers.go_on()
            running.wait_whole()
    assert registers.problems == []


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
