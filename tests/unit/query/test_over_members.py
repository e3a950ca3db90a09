"""The engine over real members: their stores, turns and columnar copies, without a network."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.node.sql_member import DESKS, TRADES, SqlMember
from tests.unit.query.conftest import rows
from tests.unit.query.in_process import NoWriter

from kubegrid.base.ids import slots_of_partition
from kubegrid.base.record_keys import RecordKeys
from kubegrid.base.settings import SqlSettings
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.client.slots import slot_of
from kubegrid.columns.requests import FragmentRequest
from kubegrid.query.engine import Engine
from kubegrid.replication import Gate
from kubegrid.sql.errors import TimedOut, Unavailable

COUNT = 2


class Members:
    """`query.partitions.Partitions`."""

    count = COUNT

    def __init__(self, folder: Path) -> None:
        catalog = Catalog()
        for table in (TRADES, DESKS):
            catalog = catalog.create(parse_definition(None, msgspec.json.encode(table)))
        self.catalog = catalog
        self.members = [SqlMember(folder, partition=number, fetch=self.run) for number in range(COUNT)]

    def run(self, partition: int, request: FragmentRequest, cancelled: Any) -> Any:
        return self.members[partition].fragments.run(request, cancelled)

    def write(self, table: str, *written: Sequence[Any]) -> None:
        """Each row by the partition that owns its key."""
        keys = RecordKeys(self.catalog.table(table))
        for number, member in enumerate(self.members):
            first, last = slots_of_partition(number, COUNT)
            own = [row for row in written if first <= slot_of(keys.key_of_row(row)) <= last]
            if own:
                member.write(table, *own)

    def remove(self, book: str, number: int) -> None:
        key = RecordKeys(self.catalog.table("trades")).key([book, number])
        for place, member in enumerate(self.members):
            first, last = slots_of_partition(place, COUNT)
            if first <= slot_of(key) <= last:
                member.command("DEL", key)


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[Members]:
    grid = Members(tmp_path)
    yield grid
    for member in grid.members:
        member.close()


@pytest.fixture
def engine(grid: Members) -> Iterator[Engine]:
    engine = Engine(lambda: grid.catalog, grid, NoWriter(), SqlSettings())
    yield engine
    engine.close()


def test_every_write_is_in_the_next_answer(grid: Members, engine: Engine) -> None:
    for number in range(50):
        grid.write("trades", (f"B{number % 7}", number, number / 2))
        assert rows(engine, "SELECT count(*), max(id) FROM trades") == [(number + 1, number)]
        assert rows(engine, "SELECT price FROM trades WHERE book = ? AND id = ?", [f"B{number % 7}", number]) == [
            (number / 2,)
        ]


def test_a_top_k_is_right_however_its_rows_change(grid: Members, engine: Engine) -> None:
    grid.write("trades", *((f"B{number % 7}", number, float(number)) for number in range(200)))
    text = "SELECT id FROM trades ORDER BY price DESC LIMIT 3"
    prices = {number: float(number) for number in range(200)}
    for number, price in ((0, 1.0), (199, 0.5), (5, 300.0), (197, 0.25), (198, 0.1), (5, 0.0), (196, -1.0), (7, 500.0)):
        first = sorted(prices, key=lambda each: -prices[each])[:3]
        assert rows(engine, text) == [(each,) for each in first]
        grid.write("trades", (f"B{number % 7}", number, price))
        prices[number] = price
    for number in range(3, 200):
        grid.remove(f"B{number % 7}", number)
    assert sorted(rows(engine, text)) == [(0,), (1,), (2,)]


def test_a_top_k_that_is_asked_again_looks_only_for_what_reaches_its_answer(grid: Members, engine: Engine) -> None:
    grid.write("trades", *((f"B{number % 7}", number, float(number)) for number in range(200)))
    text = "EXPLAIN ANALYZE SELECT id FROM trades ORDER BY price DESC LIMIT 3"
    yielded = [
        sum(row["rows"] for row in engine.execute(text).table().to_pylist() if row["kind"] == "top-k") for _ in range(2)
    ]
    assert yielded[0] > 3
    assert yielded[1] == 3


@pytest.mark.parametrize(
    "order",
    [
        "DATE '9999-12-01' + id::INTEGER * 1000",
        "TIMESTAMP '294247-01-01' + to_hours(id)",
        "TIMESTAMP_NS '2024-01-01 00:00:00.000000001' + to_hours(id)",
        "make_time(id % 24, 0, 0)",
        "id::HUGEINT * 100000000000000000000",
        "id % 2 = 0",
        "[id]",
    ],
)
def test_a_top_k_by_values_of_any_type_is_answered_again_and_again(grid: Members, engine: Engine, order: str) -> None:
    grid.write("trades", *((f"B{number % 7}", number, float(number)) for number in range(24)))
    text = f"SELECT id FROM trades ORDER BY {order} DESC, id DESC LIMIT 3"
    first = rows(engine, text)
    assert len(first) == 3
    assert rows(engine, text) == first
    assert rows(engine, text) == first


def test_a_broadcast_table_is_brought_up_to_its_owners_before_a_join(grid: Members, engine: Engine) -> None:
    grid.write("trades", *((f"B{number % 4}", number, 1.0) for number in range(200)))
    text = "SELECT city, count(*) FROM trades JOIN desks USING (book) GROUP BY city ORDER BY city"
    for city in ("Oslo", "Bergen", "Tromsø"):
        grid.write("desks", *((f"B{number}", city) for number in range(3)))
        assert rows(engine, text) == [(city, 150)]


def test_a_member_that_does_not_tell_its_marks_is_waited_for_as_long_as_the_statement_may_take(
    grid: Members, engine: Engine
) -> None:
    grid.write("trades", *((f"B{number}", number, 1.0) for number in range(100)))
    grid.write("desks", *((f"B{number}", "Oslo") for number in range(100)))
    join = "SELECT city, count(*) FROM trades JOIN desks USING (book) GROUP BY city"
    assert rows(engine, join) == [("Oslo", 100)]  # every other member has its copies, and is quick
    with grid.members[1].fragments.replica.lock, pytest.raises(TimedOut, match="partition 1 had not answered"):
        engine.execute(join, timeout_s=3)
    assert len(grid.members[1].fragments.watch) == 0
    assert rows(engine, join) == [("Oslo", 100)]


def test_a_member_that_is_deposed_is_asked_again_until_it_may_answer(grid: Members, engine: Engine) -> None:
    grid.write("trades", *((f"B{number}", number, 1.0) for number in range(100)))
    assert rows(engine, "SELECT count(*) FROM trades") == [(100,)]
    gates = [gate for gate in Gate if gate is not Gate.OPEN]
    grid.members[1].replicator.open = gates[0]
    with pytest.raises(Unavailable, match="partition 1 did not answer"):
        engine.execute("SELECT count(*) FROM trades", timeout_s=2)
    grid.members[1].replicator.open = Gate.OPEN
    assert rows(engine, "SELECT count(*) FROM trades") == [(100,)]
