"""Partitions that fail at random: a statement gives the whole answer, or an error; never a part of it."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.query.in_process import InProcess, engine_over, sorted_rows

from kubegrid.query import gathering, passing
from kubegrid.query.engine import Engine
from kubegrid.sql.errors import SqlError, Unavailable

STATEMENTS = [
    "SELECT id, desk FROM trades",
    "SELECT id FROM trades WHERE id % 7 = 3",
    "SELECT count(*), sum(price), min(id) FROM trades",
    "SELECT desk, count(*) FROM trades GROUP BY desk",
    "SELECT city, max(price) FROM trades JOIN desks USING (desk) GROUP BY city",
    "SELECT id FROM trades ORDER BY id DESC LIMIT 20",
    "SELECT a.id FROM trades a JOIN trades b ON a.id = b.id + 1 WHERE b.price < 50",
    "SELECT id, row_number() OVER (PARTITION BY desk ORDER BY id) AS n FROM trades",
]
ROUNDS = 60


@pytest.fixture
def fragile(grid: InProcess, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Small limits, so that parts are given out, and go into tables, in several steps."""
    monkeypatch.setattr(passing, "HOLD_BYTES", 5_000)
    monkeypatch.setattr(gathering, "ARROW_SHARE", 64 * 2**20 // 20_000)
    monkeypatch.setattr(gathering, "INSERT_BYTES", 3_000)
    grid.batch_rows = 128
    engine = engine_over(grid)
    yield engine
    engine.close()


def test_an_answer_is_whole_or_an_error(grid: InProcess, fragile: Engine) -> None:
    expected = {text: sorted_rows(grid.expected(text)) for text in STATEMENTS}
    chance = random.Random(5)
    failures = 0

    def before(partition: int, request: Any) -> None:
        if chance.random() < 0.2:
            raise Unavailable("no primary")

    def during(partition: int, batch: int) -> None:
        if chance.random() < 0.05:
            raise Unavailable("the connection broke")

    grid.before, grid.during = before, during
    for number in range(ROUNDS):
        text = STATEMENTS[number % len(STATEMENTS)]
        try:
            assert sorted_rows(fragile.execute(text).table()) == expected[text]
        except SqlError as error:
            assert isinstance(error, Unavailable), error
            assert "rows had been given out" in error.message
            failures += 1
        assert fragile.running == 0
    assert 0 < failures < ROUNDS // 2
