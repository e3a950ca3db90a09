"""A plan's fragments run in the partitions, and what they yield is gathered, finished and streamed; plans written here."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.query.conftest import TRADES_COUNT
from tests.unit.query.in_process import InProcess

from kubegrid.base.settings import SqlSettings
from kubegrid.query import gathering, passing
from kubegrid.query.binding import Binding, Columns
from kubegrid.query.engine import all_of_it
from kubegrid.query.plain_types import passable
from kubegrid.query.preparing import Prepared
from kubegrid.query.querying import Ends, Querying
from kubegrid.query.running import Running
from kubegrid.query.streaming import Stream
from kubegrid.query.trace import Trace
from kubegrid.query.workroom import Workroom
from kubegrid.sql.errors import Cancelled, SchemaMoved, SqlError, TimedOut, TooMuch, TypeProblem, Unavailable
from kubegrid.sql.plans import Fragment, Plan


class Asker:
    """Runs plans as an engine does."""

    def __init__(self, grid: InProcess, folder: Path, **settings: Any) -> None:
        self.grid = grid
        self.settings = SqlSettings(**settings)
        self.binding = Binding(str(folder), self.settings.spill_bytes_max)
        self.querying = Querying(grid, self.binding, self.settings, Workroom(self.settings, str(folder), all_of_it))
        self.trace = Trace()

    def stream(self, plan: Plan, timeout_ms: int = 60_000, cancelled: Callable[[], bool] = lambda: False) -> Stream:
        schema = self.binding.schema(plan.columns)
        running = Running(timeout_ms, cancelled)
        prepared = Prepared("", self.grid.catalog, plan.columns, schema, passable(plan))
        ends: Ends = []
        try:
            batches = self.querying.run(prepared, running, self.trace, ends)
        except BaseException:
            while ends:
                ends.pop()()
            raise
        return Stream(batches, schema, running, self.settings.result_bytes_max, ends)

    def rows(self, plan: Plan, **options: Any) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for batch in self.stream(plan, **options) for row in batch.to_pylist()]

    def close(self) -> None:
        self.querying.close()
        self.binding.close()


@pytest.fixture
def asker(grid: InProcess, tmp_path: Path) -> Iterator[Asker]:
    asker = Asker(grid, tmp_path)
    yield asker
    asker.close()


def fragment(sql: str, partitions: tuple[int, ...] | None = None, broadcast: tuple[str, ...] = ()) -> Fragment:
    return Fragment("__f0", sql, partitions, ("trades",), broadcast, "scan")


def passed_on(sql: str, columns: Columns, partitions: tuple[int, ...] | None = None) -> Plan:
    return Plan((fragment(sql, partitions),), None, columns)


COUNT = Plan((fragment("SELECT count(*) AS n FROM trades"),), "SELECT sum(n) FROM __f0", (("count", "BIGINT"),))
IDS = passed_on("SELECT id FROM trades", (("id", "BIGINT"),))


def test_partial_counts_are_summed_and_come_out_in_the_bound_type(asker: Asker) -> None:
    batches = list(asker.stream(COUNT))
    assert str(batches[0].schema) == "count: int64"
    assert batches[0].to_pylist() == [{"count": TRADES_COUNT}]
    assert sorted(partition for partition, _ in asker.grid.asked) == [0, 1, 2]


def test_rows_of_all_partitions_are_passed_on(asker: Asker) -> None:
    asker.grid.batch_rows = 100
    assert sorted(asker.rows(IDS)) == [(number,) for number in range(TRADES_COUNT)]


def test_a_fragment_of_one_partition_asks_only_that(asker: Asker) -> None:
    found = asker.rows(passed_on("SELECT id FROM trades", (("id", "BIGINT"),), (1,)))
    assert 0 < len(found) < TRADES_COUNT
    assert [partition for partition, _ in asker.grid.asked] == [1]


def test_a_fragment_that_no_row_can_match_asks_nobody_and_is_empty(asker: Asker) -> None:
    nowhere = Fragment("__f0", "SELECT id FROM trades", (), ("trades",), (), "scan", (("id", "BIGINT"),))
    plan = Plan((nowhere,), "SELECT count(id), max(id) FROM __f0", (("n", "BIGINT"), ("m", "BIGINT")))
    assert asker.rows(plan) == [(0, None)]
    assert asker.rows(Plan((nowhere,), None, (("id", "BIGINT"),))) == []
    assert asker.grid.asked == []


def test_names_are_those_of_the_statement_even_if_two_are_alike(asker: Asker) -> None:
    plan = Plan(
        (fragment("SELECT id AS a, desk AS b FROM trades WHERE id = 7"),),
        "SELECT a, b FROM __f0",
        (("x", "BIGINT"), ("x", "VARCHAR")),
    )
    batch = next(asker.stream(plan))
    assert batch.schema.names == ["x", "x"]
    assert [column.to_pylist() for column in batch.columns] == [[7], [None]]


def test_types_of_duckdbs_own_are_gathered_without_loss(asker: Asker) -> None:
    plan = Plan(
        (fragment("SELECT tag, (id + 170141183460469231731687303715884000000)::HUGEINT AS h FROM trades"),),
        "SELECT typeof(any_value(tag)), typeof(any_value(h)), max(h) = 170141183460469231731687303715884002999 FROM __f0",
        (("t", "VARCHAR"), ("h", "VARCHAR"), ("same", "BOOLEAN")),
    )
    assert asker.rows(plan) == [("UUID", "HUGEINT", True)]


def test_types_of_duckdbs_own_are_passed_on_as_text_and_decimal(asker: Asker) -> None:
    plan = passed_on(
        "SELECT tag, CASE id WHEN 7 THEN -7::HUGEINT WHEN 8 THEN 170141183460469231731687303715884105727 END AS h "
        "FROM trades WHERE id < 10 ORDER BY id OFFSET 0",
        (("tag", "UUID"), ("h", "HUGEINT")),
    )
    batches = list(asker.stream(plan))
    assert [str(kind) for kind in batches[0].schema.types] == ["string", "decimal128(38, 0)"]
    rows = {row["tag"][-1]: row["h"] for batch in batches for row in batch.slice(0).to_pylist()}
    assert len(rows) == 10
    assert (rows["7"], rows["8"], rows["9"]) == (-7, 2**127 - 1, None)


def test_such_types_within_lists_go_through_a_final_statement(asker: Asker) -> None:
    plan = passed_on("SELECT [tag] AS tags FROM trades WHERE id = 7", (("tags", "UUID[]"),))
    assert asker.rows(plan) == [(["00000000-0000-0000-0000-000000000007"],)]


def test_marks_of_broadcast_tables_are_asked_first_and_sent_with_the_fragment(asker: Asker) -> None:
    join = fragment("SELECT city, id FROM trades JOIN desks__all USING (desk)", broadcast=("desks",))
    plan = Plan(
        (join,), "SELECT city, count(*) FROM __f0 GROUP BY ALL ORDER BY ALL", (("c", "VARCHAR"), ("n", "BIGINT"))
    )
    assert asker.rows(plan) == [("London", 750), ("Paris", 750), ("Tokyo", 750)]
    _, request = asker.grid.asked[0]
    assert request.broadcast == {"desks": {0: "0-desks", 1: "1-desks", 2: "2-desks"}}
    assert request.ids == {
        "desks": asker.grid.catalog.table("desks").id,
        "trades": asker.grid.catalog.table("trades").id,
    }
    assert request.catalog == asker.grid.catalog.version
    assert sorted(partition for partition, _ in asker.grid.asked_marks) == [0, 1, 2]


def test_marks_have_the_statements_time_and_the_tables_that_it_was_planned_with(asker: Asker) -> None:
    """A member may have to make copies of all broadcast tables before it knows their marks, of any number of records."""
    join = fragment("SELECT city, id FROM trades JOIN desks__all USING (desk)", broadcast=("desks",))
    plan = Plan((join,), "SELECT count(*) FROM __f0", (("n", "BIGINT"),))
    assert asker.rows(plan, timeout_ms=3_600_000) == [(2250,)]
    for _, request in asker.grid.asked_marks:
        assert request.timeout_ms > 3_500_000
        assert request.ids == {"desks": asker.grid.catalog.table("desks").id}
        assert request.catalog == asker.grid.catalog.version


def test_a_partition_that_was_waited_for_is_named_when_the_time_is_over(asker: Asker) -> None:
    def before(partition: int, request: Any) -> None:
        if partition == 2:
            time.sleep(request.timeout_ms / 1000 + 0.01)
            raise Cancelled("nobody waits for the answer of p2-0 any more")

    asker.grid.before = before
    with pytest.raises(TimedOut, match=r"2000 ms it had; partition 2 had not answered: .* of p2-0") as raised:
        asker.rows(COUNT, timeout_ms=2000)
    assert "Ask again" in raised.value.advice


def test_a_large_gathering_goes_into_tables_and_gives_the_same_answer(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "ARROW_SHARE", 64 * 2**20 // 10_000)
    monkeypatch.setattr(gathering, "INSERT_BYTES", 2_000)
    asker.grid.batch_rows = 100
    plan = Plan(
        (fragment("SELECT id, tag FROM trades"),),
        "SELECT count(*), sum(id), count(DISTINCT tag), typeof(any_value(tag)) FROM __f0",
        (("n", "BIGINT"), ("s", "HUGEINT"), ("d", "BIGINT"), ("t", "VARCHAR")),
    )
    total = TRADES_COUNT * (TRADES_COUNT - 1) // 2
    assert asker.rows(plan) == [(TRADES_COUNT, total, TRADES_COUNT, "UUID")]
    assert asker.trace.spilled_bytes > 0
    left = asker.querying.workroom.cursor().execute("SELECT schema_name FROM duckdb_schemas()").fetchall()
    assert not [name for (name,) in left if name.startswith("statement")]


def test_memory_that_does_not_suffice_ends_the_statement_and_not_the_workroom(grid: InProcess, tmp_path: Path) -> None:
    asker = Asker(grid, tmp_path, memory_bytes=32 * 2**20, spill_bytes_max=2**20)
    greedy = Plan(
        (fragment("SELECT id FROM trades"),),
        "SELECT max(length(l)) FROM (SELECT list(id || repeat('x', 1000)) AS l FROM __f0, range(100))",
        (("n", "BIGINT"),),
    )
    with pytest.raises(TooMuch, match="more memory than SQL may use"):
        asker.rows(greedy)
    assert asker.rows(COUNT) == [(TRADES_COUNT,)]
    asker.close()


def test_an_answer_beyond_its_limit_is_refused(grid: InProcess, tmp_path: Path) -> None:
    asker = Asker(grid, tmp_path, result_bytes_max=1000)
    with pytest.raises(TooMuch, match="larger than 1000 bytes"):
        asker.rows(IDS)
    asker.close()


def test_a_partition_that_is_unavailable_is_asked_again_until_it_answers(asker: Asker) -> None:
    failures = {0: 2, 2: 1}

    def before(partition: int, request: Any) -> None:
        if failures.get(partition):
            failures[partition] -= 1
            raise Unavailable(f"partition {partition} has no primary")

    asker.grid.before = before
    assert asker.rows(COUNT) == [(TRADES_COUNT,)]
    assert {each.partition: each.attempts for each in asker.trace.asked} == {0: 3, 1: 1, 2: 2}


@pytest.mark.parametrize("plan", [COUNT, IDS], ids=["gathered", "passed on"])
def test_a_primary_that_dies_while_it_is_read_is_asked_anew_and_no_row_comes_twice(asker: Asker, plan: Plan) -> None:
    asker.grid.batch_rows = 100
    dead = threading.Event()

    def during(partition: int, batch: int) -> None:
        if partition == 1 and not dead.is_set() and (batch == 3 or plan is COUNT):
            dead.set()
            raise Unavailable("the connection to p1-0 broke")

    asker.grid.during = during
    if plan is COUNT:
        assert asker.rows(plan) == [(TRADES_COUNT,)]
    else:
        assert sorted(asker.rows(plan)) == [(number,) for number in range(TRADES_COUNT)]
    assert dead.is_set()


def test_rows_given_out_already_cannot_be_asked_again_and_the_error_says_so(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing, "HOLD_BYTES", 1)
    asker.grid.batch_rows = 100
    asker.grid.during = _dies_at(1, 4)
    with pytest.raises(Unavailable, match="rows had been given out already"):
        asker.rows(IDS)


def test_a_table_that_changes_while_rows_are_given_out_is_told_as_asking_again(
    asker: Asker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing, "HOLD_BYTES", 1)
    monkeypatch.setattr(passing, "COMING_BYTES_MAX", 1)
    asker.grid.batch_rows = 10
    stream = asker.stream(IDS)

    def during(partition: int, batch: int) -> None:
        raise SchemaMoved("table trades is another one here")

    asker.grid.during = during
    with pytest.raises(Unavailable, match="a table changed while rows were given out"):
        list(stream)


def _dies_at(partition: int, batch: int) -> Callable[[int, int], None]:
    def during(where: int, number: int) -> None:
        if (where, number) == (partition, batch):
            raise Unavailable("the connection broke")

    return during


def test_a_partition_that_stays_away_is_named_when_the_time_is_over(asker: Asker) -> None:
    def before(partition: int, request: Any) -> None:
        if partition == 2:
            raise Unavailable("no primary")

    asker.grid.before = before
    with pytest.raises(Unavailable, match="partition 2 did not answer within the statement's 2000 ms: no primary"):
        asker.rows(COUNT, timeout_ms=2000)


def test_an_error_of_one_partition_is_the_statements_and_stops_the_others(asker: Asker) -> None:
    def before(partition: int, request: Any) -> None:
        if partition == 1:
            raise TypeProblem("could not convert 'x' to INT32")
        raise Unavailable("away")

    asker.grid.before = before
    with pytest.raises(TypeProblem, match="could not convert"):
        asker.rows(COUNT)


ENDLESS = Plan(
    (fragment("SELECT id FROM trades"),),
    "SELECT sum(a.range * b.range) FROM __f0, range(1000000) a, range(1000000) b",
    (("n", "HUGEINT"),),
)


def test_a_final_statement_is_interrupted_when_its_time_is_over(asker: Asker) -> None:
    with pytest.raises(TimedOut, match="longer than the 1500 ms"):
        asker.rows(ENDLESS, timeout_ms=1500)


def test_a_final_statement_is_interrupted_when_its_client_is_gone(asker: Asker) -> None:
    gone = threading.Event()
    threading.Timer(0.1, gone.set).start()
    with pytest.raises(Cancelled):
        asker.rows(ENDLESS, cancelled=gone.is_set)
    assert asker.rows(COUNT) == [(TRADES_COUNT,)]


def test_closing_a_stream_early_closes_the_partitions_readers(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "HOLD_BYTES", 1)
    asker.grid.batch_rows = 10
    stream = asker.stream(IDS)
    next(stream)
    stream.close()
    asker.close()
    for reader in asker.grid.readers:
        while not reader.closed:
            pass
    assert list(stream) == []


def test_a_slow_reader_has_only_so_much_waiting_for_it(asker: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "HOLD_BYTES", 1)
    monkeypatch.setattr(passing, "COMING_BYTES_MAX", 1_000)
    asker.grid.batch_rows = 50
    stream = asker.stream(IDS)
    read = next(stream).num_rows
    while sum(each.bytes for each in asker.trace.asked) < 4 * 400:
        pass
    for batch in stream:
        read += batch.num_rows
        given = sum(each.rows for each in asker.trace.asked)
        assert given - read <= 10 * 50, "more is read than is given out, waiting, and in the hands of three threads"
    assert read == TRADES_COUNT


def test_an_error_while_rows_are_read_is_told_once_and_ends_the_stream(asker: Asker) -> None:
    plan = passed_on("SELECT (id - 7) // (id - 7) AS x FROM trades", (("x", "BIGINT"),))
    with pytest.raises(SqlError, match="Division by zero"):
        asker.rows(plan)
