"""Statements through the engine: what they answer, how they are bound, kept, refused, ended."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.query.conftest import TRADES_COUNT, rows
from tests.unit.query.in_process import InProcess, NoWriter, engine_over

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import Catalog
from kubegrid.query.engine import Engine
from kubegrid.sql.errors import (
    Cancelled,
    NotSupported,
    SqlError,
    SyntaxProblem,
    TimedOut,
    TooMuch,
    TypeProblem,
    Unavailable,
    UnknownName,
)


def test_a_lookup_by_key_asks_one_partition(grid: InProcess, engine: Engine) -> None:
    assert rows(engine, "SELECT id, price FROM trades WHERE id = 42") == [(42, Decimal("10.50"))]
    assert len(grid.asked) == 1


def test_a_key_given_as_a_parameter_asks_one_partition_too(grid: InProcess, engine: Engine) -> None:
    assert rows(engine, "SELECT desk FROM trades WHERE id = ?", [1]) == [("IR",)]
    assert rows(engine, "SELECT desk FROM trades WHERE id = $1", [2]) == [("EQ",)]
    assert len(grid.asked) == 2


@pytest.mark.parametrize(
    "select", ["*", "price AS p, id, tag", "ID, id", "desk AS id, *", "t.price AS t, tag, tag", '"Desk" AS "a b"']
)
def test_a_record_is_answered_as_duckdb_answers_whether_its_shape_is_known_or_not(
    grid: InProcess, engine: Engine, select: str
) -> None:
    for key in (42, 43, -1, 2999, 2**40):
        text = f"SELECT {select} FROM trades t WHERE id = {key}"
        expected = grid.expected(text)
        assert engine.execute(text).table().equals(expected)
        assert engine.execute(f"SELECT {select} FROM trades t WHERE id = ?", [key]).table().equals(expected)
    assert {request.record_columns is not None for _, request in grid.asked} == {True}


def test_what_is_no_read_by_key_for_some_values_is_planned_for_them(grid: InProcess, engine: Engine) -> None:
    text = "SELECT price FROM trades WHERE id = ?"
    assert rows(engine, text, [42]) == [(Decimal("10.50"),)]
    assert rows(engine, text, [42.0]) == [(Decimal("10.50"),)]
    assert rows(engine, text, [42.5]) == []
    assert rows(engine, text, [None]) == []
    assert rows(engine, text, ["42"]) == [(Decimal("10.50"),)]
    with pytest.raises(TypeProblem):
        rows(engine, text, ["x"])
    with pytest.raises(TypeProblem, match="1 parameter"):
        rows(engine, text, [1, 2])
    assert rows(engine, text, [43]) == [(Decimal("10.75"),)]


def test_a_record_of_a_table_that_was_made_anew_is_answered_as_it_is_now(grid: InProcess, engine: Engine) -> None:
    text = "SELECT * FROM desks WHERE desk = ?"
    assert rows(engine, text, ["FX"]) == [("FX", "London")]
    grid.drop("desks")
    with pytest.raises(UnknownName):
        rows(engine, text, ["FX"])
    columns = [{"name": "n", "type": "INTEGER"}, {"name": "desk", "type": "VARCHAR", "nullable": False}]
    grid.create({"name": "desks", "columns": columns, "key": ["desk"]})
    grid.insert("desks", [(7, "FX")])
    assert rows(engine, text, ["FX"]) == [(7, "FX")]


@pytest.mark.parametrize("name", ["main.trades", '"Trades"', "TRADES", "memory.main.trades"])
def test_a_table_is_the_same_however_it_is_spelt(engine: Engine, name: str) -> None:
    assert rows(engine, f"SELECT count(*) FROM {name}") == [(TRADES_COUNT,)]


def test_values_of_parameters_keep_their_types(engine: Engine) -> None:
    text = "SELECT count(*) FROM trades WHERE id < ? AND desk = ? AND price < ?"
    assert rows(engine, text, [100, "FX", Decimal("20.5")]) == [(21,)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (
            "SELECT len(desk), list(id), sum(price) FROM trades WHERE id < ? GROUP BY desk",
            ["len(desk)", "list(id)", "sum(price)"],
        ),
        ("SELECT ?, price + ?, desk::VARCHAR FROM trades", ["$1", "(price + $2)", "CAST(desk AS VARCHAR)"]),
        ("SELECT $2, concat($1)", ["$2", "concat($1)"]),
        ("FROM trades SELECT if(id > ?, 1, 2)", ['"if"((id > $1), 1, 2)']),
        ("SELECT * FROM (SELECT len(desk) FROM trades WHERE id = ?)", ["len(desk)"]),
        ("SELECT len(desk) AS n, id FROM trades WHERE id = ?", ["n", "id"]),
    ],
)
def test_columns_have_their_names_of_the_statement_whatever_the_values_are(
    engine: Engine, text: str, names: list[str]
) -> None:
    for values in ([7] * 2, [8] * 2):
        found = engine.execute(text, values[: max(text.count("?"), 2 * text.count("$2"))]).table()
        assert found.column_names == names


def test_an_aggregate_is_merged_and_named_as_duckdb_names_it(grid: InProcess, engine: Engine) -> None:
    text = "SELECT desk, count(*), avg(price), max(id) AS last FROM trades GROUP BY desk ORDER BY desk NULLS LAST"
    answer = engine.execute(text).table()
    assert answer.equals(grid.expected(text))


def test_partitions_are_told_which_fragments_are_parts_of_groups_and_nothing_else(
    grid: InProcess, engine: Engine
) -> None:
    engine.execute("SELECT desk, sum(price) FROM trades GROUP BY desk HAVING count(*) > 1").table()
    assert [request.groups for _, request in grid.asked] == [True] * 3
    grid.asked.clear()
    engine.execute("SELECT desk, price FROM trades ORDER BY price LIMIT 3").table()
    engine.execute("SELECT id, count(*), max(price) FROM trades GROUP BY id").table()
    assert not any(request.groups for _, request in grid.asked)


def test_a_join_with_a_broadcast_table_runs_in_the_partitions(grid: InProcess, engine: Engine) -> None:
    text = "SELECT city, sum(price) AS s FROM trades JOIN desks USING (desk) GROUP BY city ORDER BY city"
    assert engine.execute(text).table().equals(grid.expected(text))
    assert all(request.broadcast for _, request in grid.asked)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1 AS one, 'x' AS x, NULL AS nothing",
        "VALUES (1, 'a'), (2, 'b')",
        "SELECT * FROM range(3)",
        "SELECT 1 / 0, 'nan'::DOUBLE, 'infinity'::DOUBLE, 0.1 + 0.2",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n) FROM r",
    ],
)
def test_a_statement_without_tables_asks_no_partition(grid: InProcess, engine: Engine, text: str) -> None:
    assert repr(engine.execute(text).table().to_pylist()) == repr(grid.expected(text).to_pylist())
    assert grid.asked == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT quantile_disc(i, [0.1, 0.9]) FROM range(11) AS t(i)", [([1, 9],)]),
        ("SELECT count(*) FROM repeat(1, 5 * 2) AS t(i)", [(10,)]),
        ("SELECT x, y FROM (VALUES (5)) AS a(x) ASOF JOIN (VALUES (3), (4)) AS b(y) ON x >= y", [(5, 4)]),
    ],
)
def test_a_statement_of_which_duckdb_cannot_tell_the_tables_is_answered_if_it_needs_none(
    engine: Engine, text: str, expected: Any
) -> None:
    assert rows(engine, text) == expected


def test_times_in_zones_are_in_utc_wherever_the_machine_stands(
    grid: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        engine = engine_over(grid)
        text = "SELECT TIMESTAMPTZ '2026-07-01 02:00:00+00'::VARCHAR, TIMESTAMPTZ '2026-07-01 00:00:00' AS midnight"
        table = engine.execute(text).table()
        engine.close()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert table.schema.field("midnight").type.tz == "UTC"
    assert tuple(table.to_pylist()[0].values()) == ("2026-07-01 02:00:00+00", datetime(2026, 7, 1, tzinfo=UTC))


def test_information_schema_has_the_catalogs_tables_and_nothing_hidden(engine: Engine) -> None:
    assert rows(engine, "SELECT table_name FROM information_schema.tables ORDER BY 1") == [("desks",), ("trades",)]
    columns = "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = 'trades'"
    assert rows(engine, columns) == [
        ("id", "BIGINT", "NO"),
        ("desk", "VARCHAR", "YES"),
        ("price", "DECIMAL(10,2)", "YES"),
        ("tag", "UUID", "YES"),
    ]
    assert rows(engine, "SELECT count(*) FROM duckdb_tables()") == [(2,)]
    assert rows(engine, "SELECT * FROM (SHOW  TABLES) ORDER BY 1") == [("desks",), ("trades",)]


def test_show_tables_has_what_is_kubegrids_own(engine: Engine) -> None:
    answer = engine.execute("SHOW TABLES").table().to_pylist()
    assert [(each["name"], each["key"], each["broadcast"], each["ttl"]) for each in answer] == [
        ("desks", "desk", True, None),
        ("trades", "id", False, None),
    ]


def test_describe_tells_columns_of_tables_and_of_queries(engine: Engine) -> None:
    assert rows(engine, "DESCRIBE desks") == [
        ("desk", "VARCHAR", "NO", "PRI", None, None),
        ("city", "VARCHAR", "YES", None, None, None),
    ]
    assert [row[:2] for row in rows(engine, "DESCRIBE SELECT id + 1 AS next, price FROM trades")] == [
        ("next", "BIGINT"),
        ("price", "DECIMAL(10,2)"),
    ]
    assert rows(engine, "DESCRIBE FROM desks")[0][:2] == ("desk", "VARCHAR")
    with pytest.raises(UnknownName, match="Did you mean 'desks'"):
        engine.execute("DESCRIBE deks")
    with pytest.raises(TypeProblem, match="0 parameters; 1 given"):
        engine.execute("DESCRIBE desks", [1])


def test_describe_and_explain_take_the_parameters_of_their_statement(engine: Engine) -> None:
    for value, kind in ((1, "INTEGER"), (2**40, "BIGINT"), (Decimal("1.5"), "DECIMAL(12,1)")):
        assert rows(engine, "DESCRIBE SELECT ? + 1 AS x, len(desk) FROM trades WHERE id = ?", [value, 1]) == [
            ("x", kind, "YES", None, None, None),
            ("len(desk)", "BIGINT", "YES", None, None, None),
        ]
    assert engine.describe("DESCRIBE SELECT ? + 1 AS x").parameters == 1
    assert (
        engine.parameters("DESCRIBE SELECT * FROM trades WHERE id = ?").types
        == engine.parameters("SELECT * FROM trades WHERE id = ?").types
    )
    assert "by key" in str(rows(engine, "EXPLAIN SELECT * FROM trades WHERE id = ?", [1]))
    assert "by key" in str(rows(engine, "EXPLAIN ANALYZE SELECT * FROM trades WHERE id = ?", [1]))
    for text in ("DESCRIBE SELECT ?", "EXPLAIN SELECT ?"):
        with pytest.raises(TypeProblem, match="1 parameter; 0 given"):
            engine.execute(text)
    with pytest.raises(SyntaxProblem, match="column 17"):
        engine.execute("DESCRIBE SELECT ) FROM trades")
    with pytest.raises(NotSupported, match=r"tables and queries \(column 10\)"):
        engine.execute("DESCRIBE WITH q AS (SELECT 1 AS id) INSERT INTO trades (id) SELECT id FROM q")


def test_explain_says_what_runs_where(grid: InProcess, engine: Engine) -> None:
    told = rows(engine, "EXPLAIN SELECT desk, count(*) FROM trades GROUP BY desk")
    assert [row[1:3] for row in told] == [("partial aggregate", "all 3 partitions"), ("final", "this pod")]
    one = rows(engine, "EXPLAIN SELECT * FROM trades WHERE id = 42")
    assert one[0][2].startswith("partition ")
    assert rows(engine, "EXPLAIN SELECT 1") == [("final", "no tables", "this pod", "SELECT 1")]
    assert grid.asked == []


def test_explain_analyze_counts_rows_and_bytes_for_each_partition(engine: Engine) -> None:
    told = engine.execute("EXPLAIN ANALYZE SELECT id FROM trades ORDER BY price LIMIT 5").table().to_pylist()
    steps = [(each["kind"], each["runs_on"], each["rows"]) for each in told]
    assert ("top-k", "all 3 partitions", 15) in steps
    assert [rows for _, where, rows in steps if where.startswith("partition ")] == [5, 5, 5]
    final = next(each for each in told if each["step"] == "final")
    assert final["rows"] == 5
    assert final["ms"] > 0
    assert all(each["ms"] is None or each["ms"] >= 0 for each in told)


def test_explain_analyze_of_a_writing_statement_is_refused(engine: Engine) -> None:
    with pytest.raises(NotSupported, match="would write"):
        engine.execute("EXPLAIN ANALYZE DELETE FROM trades")


def test_a_place_is_shown_in_the_text_that_the_user_wrote_also_behind_explain(engine: Engine) -> None:
    with pytest.raises(UnknownName) as failed:
        engine.execute("EXPLAIN ANALYZE\nSELECT id FROM trades\nWHERE prize > 1")
    assert (failed.value.line, failed.value.column) == (3, 7)
    assert failed.value.where == "    WHERE prize > 1\n          ^"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SELEC 1", SyntaxProblem),
        ("SELECT nothing FROM trades", UnknownName),
        ("SELECT * FROM trdes", UnknownName),
        ("SELECT __version FROM trades", UnknownName),
        ("SELECT * FROM desks__all", UnknownName),
        ("SELECT desk + 1 FROM trades", TypeProblem),
        ("SELECT desk::INTEGER FROM trades WHERE id = 1", TypeProblem),
        ("SELECT 9223372036854775807 + id FROM trades", TypeProblem),
        ("SELECT * FROM read_csv('/etc/passwd')", NotSupported),
        ("SELECT * FROM '/etc/passwd'", SqlError),
        ("SELECT * FROM 'https://example.com/a.parquet'", SqlError),
        ("SELECT * FROM query('SELECT * FROM trades')", NotSupported),
        ("SELECT * FROM query_table('trades')", NotSupported),
        ("SELECT * FROM checkpoint()", NotSupported),
        ("SELECT * FROM histogram_values(trades, id)", NotSupported),
        ("SELECT * FROM sniff_csv('/etc/passwd')", NotSupported),
        ("SELECT * FROM duckdb_settings()", NotSupported),
        ("SELECT current_setting('secret_directory')", NotSupported),
        ("SELECT * FROM (SUMMARIZE trades)", NotSupported),
        ("SELECT * FROM other.trades", UnknownName),
        ("COPY trades TO '/tmp/x.csv'", NotSupported),
        ("ATTACH '/tmp/x.db'", NotSupported),
        ("SET threads = 8", NotSupported),
        ("INSTALL httpfs", NotSupported),
        ("SELECT 1; SELECT 2", NotSupported),
        ("SELECT ?", TypeProblem),
    ],
)
def test_what_is_wrong_or_closed_is_refused_and_changes_nothing(
    engine: Engine, text: str, kind: type[SqlError]
) -> None:
    with pytest.raises(kind):
        engine.execute(text).table()
    assert engine.running == 0
    assert rows(engine, "SELECT count(*) FROM trades") == [(TRADES_COUNT,)]


def test_pythons_variables_are_no_tables(engine: Engine) -> None:
    import pyarrow as pa

    secrets = pa.table({"secret": [1]})
    assert secrets.num_rows
    with pytest.raises(UnknownName, match="no table 'secrets'"):
        engine.execute("SELECT * FROM secrets")


KINDS = (
    *(
        "bin(id)::BIT",
        "id::BIGNUM",
        "(TIME '10:00:00' + id * INTERVAL 1 SECOND)::TIMETZ",
        "id::HUGEINT",
        "id::UHUGEINT",
    ),
    *("tag", "('[' || id || ']')::JSON", "desk::BLOB", "id * INTERVAL 1 DAY", "[bin(id)::BIT]", "{'a': id::BIGNUM}"),
)


@pytest.mark.parametrize("value", KINDS)
def test_values_of_any_type_come_out_as_duckdb_gives_them(grid: InProcess, engine: Engine, value: str) -> None:
    for which in ("WHERE id < 2", "WHERE id = 1", "ORDER BY id LIMIT 2"):
        text = f"SELECT id, {value} AS v FROM trades {which}"
        answer, expected = engine.execute(text).table().sort_by("id"), grid.expected(text).sort_by("id")
        assert answer.schema == expected.schema
        assert answer.column("v").to_pylist() == expected.column("v").to_pylist()


def test_values_of_an_enum_are_texts(engine: Engine) -> None:
    made = "CASE WHEN id = 1 THEN 'a' ELSE 'b' END::ENUM('b', 'a')"
    for text in (f"SELECT {made} AS v FROM trades WHERE id < 2", f"SELECT {made} AS v FROM (VALUES (0), (1)) t(id)"):
        answer = engine.execute(text).table()
        assert (str(answer.schema.field("v").type), sorted(answer.column("v").to_pylist())) == ("string", ["a", "b"])
    inside = engine.execute(
        "SELECT ['a'::ENUM('a')] AS l, {'k': 'a'::ENUM('a')} AS s, MAP {'a'::ENUM('a'): 1} AS m"
    ).table()
    assert "dictionary" not in str(inside.schema)
    assert inside.to_pylist() == [{"l": ["a"], "s": {"k": "a"}, "m": [("a", 1)]}]


def test_numbers_go_out_of_range_as_in_duckdb(grid: InProcess, engine: Engine) -> None:
    text = "SELECT id, id / 0 AS infinite, price / 3 AS third FROM trades WHERE id IN (0, 1, 2) ORDER BY id"
    assert repr(engine.execute(text).table().to_pylist()) == repr(grid.expected(text).to_pylist())


def test_a_plan_is_kept_by_text_and_values_until_the_catalog_changes(grid: InProcess, engine: Engine) -> None:
    text = "SELECT * FROM desks WHERE desk = ?"
    assert rows(engine, text, ["FX"]) == [("FX", "London")]
    assert rows(engine, text, ["IR"]) == [("IR", "Paris")]
    grid.drop("desks")
    with pytest.raises(UnknownName):
        engine.execute(text, ["FX"])
    grid.create({"name": "desks", "columns": [{"name": "desk", "type": "INTEGER", "nullable": False}], "key": ["desk"]})
    grid.insert("desks", [(7,)])
    assert rows(engine, "SELECT * FROM desks WHERE desk = ?", [7]) == [(7,)]


def test_a_statement_planned_under_an_older_catalog_is_planned_anew(grid: InProcess) -> None:
    """This pod hears of a change last: the partitions refuse its fragments until it has."""
    old = grid.catalog
    seen: list[Catalog] = []

    def catalog() -> Catalog:
        seen.append(old if len(seen) < 3 else grid.catalog)
        return seen[-1]

    late = Engine(catalog, grid, NoWriter(), SqlSettings())
    grid.drop("desks")
    grid.create({"name": "desks", "columns": [{"name": "desk", "type": "VARCHAR", "nullable": False}], "key": ["desk"]})
    grid.insert("desks", [("XX",)])
    assert rows(late, "SELECT desk FROM desks") == [("XX",)]
    assert len(seen) == 4
    late.close()


def test_a_thousand_tables_cost_a_statement_only_those_it_names(grid: InProcess, engine: Engine) -> None:
    for number in range(300):
        grid.catalog = grid.catalog.create(_wide(f"wide{number}"))
    assert rows(engine, "SELECT count(*) FROM trades") == [(TRADES_COUNT,)]
    made = engine._binding._seen._made
    assert set(made) == {"trades"}
    assert rows(engine, "SELECT count(*) FROM information_schema.tables") == [(302,)]


def _wide(name: str) -> Any:
    from kubegrid.base.table_definitions import parse_definition

    columns = [{"name": f"c{number}", "type": "DOUBLE"} for number in range(5)]
    return parse_definition(
        name, {"columns": [{"name": "k", "type": "BIGINT", "nullable": False}, *columns], "key": ["k"]}
    )


def test_describing_a_prepared_statement_tells_its_columns_and_parameters(engine: Engine) -> None:
    described = engine.describe("SELECT id, price * 2 AS double FROM trades WHERE desk = ? AND id > ?")
    assert described.parameters == 2
    assert described.schema.names == ["id", "double"]
    assert not described.writes
    half = engine.describe("SELECT id * ? FROM trades", [0.5])
    assert half.schema == engine.execute("SELECT id * ? FROM trades", [0.5]).schema
    assert half.schema != engine.describe("SELECT id * ? FROM trades").schema
    assert engine.describe("SHOW TABLES").schema.names[0] == "name"
    assert engine.describe("EXPLAIN ANALYZE SELECT 1").schema.names[-1] == "attempts"
    writing = engine.describe("INSERT INTO desks VALUES (?, ?)")
    assert (writing.schema.names, writing.parameters, writing.writes) == (["Count"], 2, True)


def test_parameters_are_told_in_types_that_a_driver_can_write_any_value_in(engine: Engine) -> None:
    """Whole numbers in the widest type, fractions as DOUBLE, times in milliseconds; what is nothing of these as a text."""
    import pyarrow as pa

    def types(text: str) -> list[str]:
        return [str(kind) for kind in engine.parameters(text).types]

    assert types("SELECT id FROM trades WHERE desk = ? AND price < ? LIMIT ?") == [
        "string",
        "decimal128(10, 2)",
        "int64",
    ]
    kinds = ["TINYINT", "UBIGINT", "HUGEINT", "REAL", "BOOLEAN", "BLOB", "DATE", "UUID", "JSON", "INTEGER[]"]
    assert types("SELECT " + ", ".join(f"?::{kind}" for kind in kinds)) == [
        *("int64", "int64", "int64", "double", "bool", "binary", "date32[day]", "string", "string", "string")
    ]
    assert engine.parameters("SELECT ?::TIMESTAMP, ?::TIME").types == [pa.timestamp("ms"), pa.time32("ms")]
    assert pa.types.is_timestamp(engine.parameters("SELECT ?::TIMESTAMPTZ").types[0])
    assert types("SELECT sum(id) FROM trades HAVING sum(id) > ?") == ["int64"]
    assert types("INSERT INTO trades (desk, id) VALUES (?, ?)") == ["string", "int64"]
    assert types("SELECT ?, id FROM trades WHERE missing = ?") == ["string", "string"]
    assert types("SHOW TABLES") == types("SELECT 1") == []


def test_parameters_of_a_statement_with_a_closed_function_are_not_asked_for(engine: Engine) -> None:
    with pytest.raises(NotSupported, match="sleep_ms"):
        engine.parameters("DELETE FROM trades WHERE id = ? AND sleep_ms(10000) = ?")


def test_a_place_is_held_until_the_rows_are_read_or_the_result_is_closed(engine: Engine) -> None:
    read = engine.execute("SELECT id FROM trades")
    closed = engine.execute("SELECT id FROM trades")
    assert engine.running == 2
    read.table()
    closed.close()
    closed.close()
    assert engine.running == 0


def test_a_result_that_is_forgotten_gives_its_place_back(engine: Engine) -> None:
    result = engine.execute("SELECT id FROM trades")
    assert engine.running == 1
    del result
    assert engine.running == 0


@pytest.fixture
def narrow(grid: InProcess) -> Iterator[Engine]:
    engine = engine_over(grid, queries_max=1, queue_max=1, statement_timeout_ms=3000, statement_bytes_max=1000)
    yield engine
    engine.close()


def test_more_statements_than_places_wait_for_their_time_and_more_than_the_queue_are_refused(narrow: Engine) -> None:
    first = narrow.execute("SELECT id FROM trades")
    with pytest.raises(TimedOut):
        narrow.execute("SELECT 1", timeout_s=0.05)
    waiting = threading.Thread(target=_ignoring, args=(narrow,))
    waiting.start()
    while not narrow.waiting:
        pass
    with pytest.raises(TooMuch, match="1 statements are running here"):
        narrow.execute("SELECT 1")
    waiting.join(60)
    first.close()
    assert rows(narrow, "SELECT 1") == [(1,)]


def _ignoring(engine: Engine) -> None:
    with pytest.raises(TimedOut):
        engine.execute("SELECT 1")


def test_a_client_may_ask_for_less_time_and_not_for_more(narrow: Engine) -> None:
    endless = "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"
    with pytest.raises(TimedOut, match="the 50 ms"):
        narrow.execute(endless, timeout_s=0.05)
    with pytest.raises(TimedOut, match="the 3000 ms"):
        narrow.execute(endless, timeout_s=1000)


def test_a_client_that_is_gone_ends_its_statement(engine: Engine) -> None:
    gone = threading.Event()
    threading.Timer(0.1, gone.set).start()
    with pytest.raises(Cancelled):
        engine.execute("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b", cancelled=gone.is_set)
    assert engine.running == 0


def test_a_statement_too_large_or_too_deep_or_with_too_many_values_is_refused(narrow: Engine) -> None:
    with pytest.raises(TooMuch, match="1000 are the most"):
        narrow.execute(f"SELECT {'1 + ' * 500}1")
    with pytest.raises(TooMuch, match="nested"):
        narrow.execute(f"SELECT {'(' * 200}1{')' * 200}")
    with pytest.raises(TooMuch, match="parameters"):
        narrow.execute("SELECT 1", range(20_000))


def test_a_partition_without_a_primary_is_waited_for_and_then_told(grid: InProcess, narrow: Engine) -> None:
    def before(partition: int, request: Any) -> None:
        raise Unavailable("no primary is known")

    grid.before = before
    with pytest.raises(Unavailable, match="did not answer within the statement's 2000 ms"):
        narrow.execute("SELECT count(*) FROM trades", timeout_s=2)
    grid.before = lambda partition, request: None
    assert rows(narrow, "SELECT count(*) FROM trades") == [(TRADES_COUNT,)]


def test_statements_of_many_threads_do_not_mix(grid: InProcess, tmp_path: Path) -> None:
    engine = engine_over(grid, queries_max=4)
    failures: list[BaseException] = []

    def ask(number: int) -> None:
        try:
            for turn in range(5):
                limit = number * 10 + turn
                text = f"SELECT count(*), min(id) FROM trades WHERE id >= {limit}"
                assert rows(engine, text) == [(TRADES_COUNT - limit, limit)]
                assert len(rows(engine, f"SELECT id FROM trades WHERE id < {limit}")) == limit
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert (engine.running, engine.waiting) == (0, 0)
    engine.close()


def test_a_process_full_of_records_gathers_nothing_for_duckdb_and_passes_on(grid: InProcess) -> None:
    def none_left(wanted_bytes: int) -> int:
        raise TooMuch(f"no {wanted_bytes} bytes are left")

    engine = Engine(lambda: grid.catalog, grid, NoWriter(), SqlSettings(), none_left)
    with pytest.raises(TooMuch, match="bytes are left"):
        engine.execute("SELECT median(id) FROM trades")
    assert rows(engine, "SELECT count(*) FROM trades") == [(TRADES_COUNT,)]  # merged without it
    assert len(rows(engine, "SELECT id FROM trades")) == TRADES_COUNT
    engine.close()


def test_closing_the_engine_ends_what_runs(grid: InProcess) -> None:
    engine = engine_over(grid)
    threading.Timer(0.1, engine.close).start()
    with pytest.raises(SqlError):
        engine.execute("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b")


def test_rows_with_texts_leave_in_smaller_batches(engine: Engine) -> None:
    numbers = engine.execute("SELECT range FROM range(100000)")
    texts = engine.execute("SELECT 'n' || range FROM range(100000)")
    assert max(batch.num_rows for batch in numbers.batches) == 65_536
    assert max(batch.num_rows for batch in texts.batches) == 8_192


@pytest.mark.parametrize(
    "text",
    [
        "SELECT length(repeat('x', 300000000))",
        "SELECT max(length(repeat(desk, 3000000))) FROM trades",
        "SELECT max(length(desk.lpad(id::INT + 70000, 'x'))) FROM trades",
        "SELECT id, range(id * 1000) FROM trades",
        "SELECT NULL::INTEGER[10000][1000]",
        "SELECT id, CAST(NULL AS FLOAT[100000]) FROM trades",
    ],
)
def test_a_value_that_would_be_too_large_is_never_made(engine: Engine, text: str) -> None:
    with pytest.raises(TooMuch, match=r"(are|is) the most"):
        engine.execute(text).table()


def test_nobody_goes_around_the_limits(engine: Engine) -> None:
    for call in (
        "system.main.repeat('x', 3)",
        "\"System\".repeat('x', 3)",
        "system.main.range(3)",
        "system.lpad('x', 3, 'y')",
    ):
        with pytest.raises(NotSupported, match="without a schema"):
            engine.execute(f"SELECT {call}").table()
    assert rows(engine, "SELECT main.repeat('x', 3)") == [("xxx",)]


def test_a_function_with_a_limit_has_the_name_that_duckdb_gives_it(grid: InProcess, engine: Engine) -> None:
    text = "SELECT repeat(desk, 2), desk.lpad(4, '-'), count(*) FROM trades GROUP BY ALL ORDER BY ALL"
    assert engine.execute(text).table().equals(grid.expected(text))


def test_who_waits_to_be_bound_waits_no_longer_than_its_time(engine: Engine) -> None:
    assert rows(engine, "SELECT 41") == [(41,)]
    with engine._binding._lock:  # another statement is computed there
        for text in (
            "SELECT 42",
            "SELECT id FROM trades",
            "DESCRIBE SELECT 42",
            "SELECT * FROM information_schema.tables",
        ):
            with pytest.raises(TimedOut):
                engine.execute(text, timeout_s=0.1)
        with pytest.raises(Cancelled):
            engine.execute("SELECT 42", cancelled=lambda: True)
    assert rows(engine, "SELECT 42") == [(42,)]
    assert engine.running == 0


def test_a_statement_that_takes_long_to_bind_ends_with_its_time(engine: Engine) -> None:
    slow = "list_reduce(range(8000), lambda a, b: a + len(list_transform(range(8000), lambda c: c * b % 7)))"
    slow = f"list_transform(range(8000), lambda z: {slow})"
    with pytest.raises(TimedOut):
        engine.execute(f"SELECT len({slow})", timeout_s=0.3)
    assert rows(engine, "SELECT 42") == [(42,)]


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO trades (id, desk) VALUES (5000, current_setting('temp_directory'))",
        "INSERT INTO trades (id, desk) SELECT 5000, current_setting('temp_directory')",
        "INSERT INTO trades (id) VALUES (1) ON CONFLICT DO UPDATE SET desk = current_setting('temp_directory')",
        "UPDATE trades SET desk = current_setting('temp_directory')",
        "DELETE FROM trades WHERE current_setting('memory_limit') <> ''",
        "CREATE TABLE q (PRIMARY KEY (k)) AS SELECT 1 AS k, current_setting('temp_directory') AS s",
        "SELECT stats(id) FROM trades",
        "SELECT * FROM duckdb_connection_count()",
        "SELECT * FROM pg_settings",
        "SELECT * FROM pg_catalog.pg_settings",
        "SELECT * FROM (SELECT * FROM duckdb_logs)",
    ],
)
def test_what_is_closed_is_closed_to_every_statement(engine: Engine, text: str) -> None:
    with pytest.raises(NotSupported, match="is closed to statements"):
        engine.execute(text).table()


@pytest.mark.parametrize(
    "text",
    [
        "SELECT list_reduce(range(40), lambda a, b: a || a, 'xxxxxxxx')",
        "SELECT ['x', 'y'].list_reduce(lambda a, b: concat(a, a))",
        "SELECT array_reduce([desk], lambda a, b: CAST({'a': a, 'b': a} AS VARCHAR)) FROM trades",
        "SELECT reduce([[1]], lambda a, b: list_concat(a, a), [1])",
        "SELECT id FROM trades WHERE list_reduce([desk, desk], lambda a, b: a.replace('F', a)) = ''",
        "INSERT INTO trades (id, desk) VALUES (5000, list_reduce(['x', 'y'], lambda a, b: format('{}{}', a, a)))",
    ],
)
def test_a_value_cannot_double_with_each_element_of_a_list(engine: Engine, text: str) -> None:
    with pytest.raises(SqlError, match="cannot stand in the lambda of"):
        engine.execute(text).table()


def test_list_reduce_calculates_compares_and_chooses(engine: Engine) -> None:
    for expression, value in (
        ("list_reduce([1, 2, 3], lambda a, b: a * 10 + b)", 123),
        ("list_reduce(['b', 'a', 'c'], lambda a, b: CASE WHEN a < b THEN a ELSE b END)", "a"),
        ("list_reduce([1.5, 2.5], lambda a, b: greatest(a, b)::INTEGER, 7)", 7),
        ("[{'n': 1, 's': 2}, {'n': 3, 's': 4}].list_reduce(lambda a, b: {'n': a.n + b.n, 's': least(a.s, b.s)}).n", 4),
        (
            "list_reduce([DATE '2020-01-02', DATE '2020-01-01'], lambda a, b, i: if(a > b AND i > 0, a, b))::VARCHAR",
            "2020-01-02",
        ),
    ):
        assert rows(engine, f"SELECT {expression}") == [(value,)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT desk FROM trades WHERE id = 'x'", "column id: 'x' is not a BIGINT"),
        ("SELECT desk FROM trades t WHERE t.id IN (1, 'x') ORDER BY price LIMIT 3", "column id: 'x' is not a BIGINT"),
        ("SELECT count(*) FROM trades WHERE price BETWEEN 'x' AND 5", "column price: 'x' is not a DECIMAL(10,2)"),
        ("SELECT id FROM desks JOIN trades USING (desk) WHERE 'x' <> tag", "column tag: 'x' is not a UUID"),
        ("WITH a AS (SELECT * FROM trades WHERE id < 'x') SELECT desk FROM a", "column id: 'x' is not a BIGINT"),
    ],
)
def test_a_text_that_is_no_value_of_a_column_is_told_with_the_column_and_its_place(
    engine: Engine, text: str, told: str
) -> None:
    with pytest.raises(TypeProblem) as failed:
        rows(engine, text)
    assert failed.value.message == told
    assert text[failed.value.column - 1 :].startswith("'x'")
    with pytest.raises(TypeProblem) as failed:
        rows(engine, text.replace("'x'", "?"), ["x"])
    assert (failed.value.message, failed.value.where) == (told, "")


@pytest.mark.parametrize("text", ["SELECT id + 1 = 'x' FROM trades", "SELECT desk::INT FROM trades WHERE desk = 'FX'"])
def test_what_is_compared_with_no_column_or_fits_is_told_in_duckdbs_words(engine: Engine, text: str) -> None:
    with pytest.raises(TypeProblem, match="Could not convert string"):
        rows(engine, text)


@pytest.mark.parametrize(
    "key", ["{0}.id", "b.id", "-id", "- (ID)", "a.id DESC", "id + 1, 1, 2", "x", "id, x", "main.{0}.id", "abs(id), 1"]
)
@pytest.mark.parametrize(
    "text",
    [
        "SELECT -id, id FROM trades WHERE id < 4 UNION ALL SELECT id, 5 - id FROM trades b WHERE id BETWEEN 2 AND 6",
        "SELECT id AS x, -id FROM trades a WHERE id < 4 UNION SELECT 5 - id, id FROM trades b WHERE id BETWEEN 2 AND 6",
        "SELECT price, id + 1 FROM trades WHERE id < 4 UNION ALL SELECT id, -id AS x FROM trades b WHERE id BETWEEN 2 AND 6",
        "(SELECT a.id, -a.id FROM trades a JOIN trades c USING (id) WHERE id < 4 EXCEPT SELECT id, 3 FROM trades b WHERE id < 2)",
        "SELECT * FROM trades WHERE id < 4 INTERSECT SELECT * FROM trades b WHERE id BETWEEN 2 AND 6",
        "WITH a AS (SELECT id FROM trades WHERE id < 4) SELECT id FROM a UNION ALL SELECT 5 - id FROM trades b WHERE id < 6",
    ],
)
def test_a_key_of_a_union_means_the_column_that_it_means_to_duckdb(
    grid: InProcess, engine: Engine, text: str, key: str
) -> None:
    statement = f"{text} ORDER BY {key.format('trades')}"
    try:
        expected = grid.expected(statement).to_pylist()
    except Exception:
        with pytest.raises(SqlError):
            engine.execute(statement)
    else:
        assert engine.execute(statement).table().to_pylist() == expected
