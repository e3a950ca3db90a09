"""SQL in a real data pod: every acknowledged write is in the next answer, whatever else goes on."""

import itertools
import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec
import pytest
import redis
from tests.unit.node.sql_member import never

from kubegrid.base.settings import SqlSettings
from kubegrid.columns.requests import FragmentRequest
from kubegrid.node.sql_fragments import Fragments
from kubegrid.runtime import embedded

WRITERS = 4
WRITES = 150
ASKED = 150
DROP_EVERY = 25
"""Statements after which the columns are dropped: as often on a slow machine, which could build none between two moments."""
DEFINITION = '{"columns": [{"name": "id", "type": "BIGINT"}, {"name": "n", "type": "BIGINT"}], "key": ["id"]}'


@pytest.fixture
def grid() -> Iterator[embedded.EmbeddedGrid]:
    with embedded.start(256 * 2**20) as started:
        yield started


@pytest.fixture
def fragments(grid: embedded.EmbeddedGrid) -> Iterator[Fragments]:
    pod = grid._pod
    settings = SqlSettings(delta_rows_background=50)
    pod.capture.settings = settings
    made = Fragments(pod.capture, settings, 512 * 2**20, 0, "", lambda *what: None)
    yield made
    made.close()


def client(grid: embedded.EmbeddedGrid) -> "redis.Redis[Any]":
    return redis.Redis(port=int(grid.addresses[0].split(":")[1]), single_connection_client=True)


def ask(fragments: Fragments, sql: str) -> list[dict[str, Any]]:
    return fragments.run(FragmentRequest(sql=sql, tables=["t"]), never).read_all().to_pylist()


def test_a_write_that_was_acknowledged_is_in_the_next_answer(grid: embedded.EmbeddedGrid, fragments: Fragments) -> None:
    with client(grid) as connection:
        assert connection.execute_command("KG.CREATE", "t", DEFINITION) == b"OK"
    missed: list[Any] = []
    asked = itertools.count()

    def write(number: int) -> None:
        random = Random(number)
        with client(grid) as connection:
            for count in range(WRITES):
                key = number * 1000 + random.randrange(50)
                connection.execute_command("JSON.SET", f"t:{key}", "$", f'{{"id": {key}, "n": {count}}}')
                if random.random() < 0.2:
                    connection.execute_command("DEL", f"t:{key}")
                    count = None
                found = ask(fragments, f"SELECT n FROM t WHERE id = {key}")
                if next(asked) % DROP_EVERY == 0:
                    fragments.drop()
                if found != ([] if count is None else [{"n": count}]):
                    missed.append((key, count, found))

    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert missed == []


def test_a_statement_sees_all_of_an_entry_or_nothing_of_it(grid: embedded.EmbeddedGrid, fragments: Fragments) -> None:
    """Transfers keep a sum; no statement may see one side of one."""
    with client(grid) as connection:
        assert connection.execute_command("KG.CREATE", "t", DEFINITION) == b"OK"
        connection.execute_command("KG.WRITE", "t", 0, "REPLACE", msgspec.msgpack.encode((3, 0)))
    ask(fragments, "SELECT sum(n) FROM t")  # imports take seconds
    ended = threading.Event()
    wrong: list[Any] = []

    def transfer() -> None:
        random = Random(1)
        with client(grid) as connection:
            while not ended.is_set():
                amount = random.randrange(1000)
                both = [msgspec.msgpack.encode(row) for row in ((1, amount), (2, -amount))]
                connection.execute_command("KG.WRITE", "t", 0, "REPLACE", *both)

    writer = threading.Thread(target=transfer)
    writer.start()
    for _ in range(ASKED):
        [row] = ask(fragments, "SELECT coalesce(sum(n), 0)::BIGINT AS s FROM t")
        if row["s"] != 0:
            wrong.append(row)
    ended.set()
    writer.join()
    assert wrong == []
