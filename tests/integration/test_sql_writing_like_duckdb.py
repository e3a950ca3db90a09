"""Random statements that write leave in a grid of two partitions what they leave in one DuckDB table, and count the same."""

import contextlib
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.integration.member_processes import GridProcesses, grid_processes

import kubegrid
from kubegrid import client
from kubegrid.base.settings import MIB
from kubegrid.client.grid import Grid

COLUMNS = (
    "k VARCHAR, id INTEGER, n INTEGER, x DOUBLE, s VARCHAR DEFAULT 'none', d DATE, p DECIMAL(9,2), PRIMARY KEY (k, id)"
)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridProcesses]:
    with grid_processes(tmp_path_factory.mktemp("grid"), partitions=2, copies=1, memory_bytes=512 * MIB) as grid:
        yield grid.start()


@pytest.fixture(scope="module")
def grid(processes: GridProcesses) -> Iterator[Grid]:
    with client.connect(f"127.0.0.1:{processes.ports['p0-0'][0]}", timeout=30, connect_timeout=10) as connected:
        connected.sql(f"CREATE TABLE t ({COLUMNS}, INDEX HASH (s), INDEX ORDERED (n)) PARTITION BY (k)")
        connected.sql(f"CREATE TABLE u ({COLUMNS})")
        yield connected


keys = st.sampled_from(["'a'", "'b'", "'c:1'", "'d{x}'"])
ids = st.integers(0, 5).map(str)
numbers = st.one_of(st.integers(-9, 9).map(str), st.sampled_from(["NULL", "2147483647", "'12'", "3.5"]))
floats = st.sampled_from(["0", "1.5", "-2", "1e300", "NULL", "'0.25'"])
texts = st.sampled_from(["'x'", "'it''s'", "''", "NULL", "upper('ab')", "5"])
dates = st.sampled_from(["'2013-01-31'", "DATE '2024-02-29'", "NULL", "'2013-01-31'::DATE + 1"])
decimals = st.sampled_from(["1", "2.345", "'7.5'", "NULL", "-0.001", "9999999.99"])
bad = st.sampled_from([("n", "'abc'"), ("n", "2147483648"), ("d", "'2013-02-30'"), ("p", "12345678.9")])

row = st.tuples(keys, ids, numbers, floats, texts, dates, decimals).map(lambda cells: f"({', '.join(cells)})")
new_values = {
    "n": st.one_of(numbers, st.sampled_from(["n + 1", "n * id", "length(s)", "coalesce(n, 0) - 7", "DEFAULT"])),
    "x": st.one_of(floats, st.sampled_from(["x / 2", "n / 3", "x + id", "1.0 / n"])),
    "s": st.one_of(texts, st.sampled_from(["s || '!'", "k || id", "DEFAULT", "CASE WHEN n > 0 THEN 'plus' END"])),
    "d": st.one_of(dates, st.sampled_from(["d + 1", "d - INTERVAL 1 MONTH"])),
    "p": st.one_of(decimals, st.sampled_from(["p * 2", "p + n", "round(x, 1)"])),
}
conditions = st.sampled_from(
    [
        "true",
        "id < 3",
        "k = 'a'",
        "k = 'b' AND id = 1",
        "n IS NULL OR n > 0",
        "s LIKE '%!' OR s = 'none'",
        "x > 1 AND d IS NOT NULL",
        "id IN (SELECT id FROM u)",
        "p > (SELECT avg(p) FROM u)",
        "false",
    ]
)


@st.composite
def assignments(draw: st.DrawFn, excluded: bool = False) -> str:
    names = draw(st.lists(st.sampled_from(sorted(new_values)), min_size=1, max_size=3, unique=True))
    parts = []
    for name in names:
        value = draw(new_values[name])
        if excluded and draw(st.booleans()):
            value = draw(st.sampled_from([f"excluded.{name}", f"coalesce(excluded.{name}, {name})"]))
        parts.append(f"{name} = {value}")
    return ", ".join(parts)


@st.composite
def inserts(draw: st.DrawFn) -> str:
    values = ", ".join(draw(st.lists(row, min_size=1, max_size=6)))
    conflict = draw(
        st.one_of(
            st.sampled_from(["", "ON CONFLICT DO NOTHING", "ON CONFLICT (k, id) DO NOTHING"]),
            assignments(excluded=True).map(lambda text: f"ON CONFLICT DO UPDATE SET {text}"),
        )
    )
    return f"INSERT INTO t VALUES {values} {conflict}"


@st.composite
def updates(draw: st.DrawFn) -> str:
    return f"UPDATE t SET {draw(assignments())} WHERE {draw(conditions)}"


statements = st.one_of(
    inserts(),
    inserts(),
    updates(),
    updates(),
    row.map(lambda values: f"INSERT OR REPLACE INTO t VALUES {values}"),
    st.tuples(keys, ids).map(
        lambda pair: f"INSERT INTO t (id, k) VALUES ({pair[1]}, {pair[0]}) ON CONFLICT DO NOTHING"
    ),
    conditions.map(lambda text: f"DELETE FROM t WHERE {text}"),
    st.just("DELETE FROM t USING u WHERE t.id = u.id AND t.k = u.k"),
    st.just("UPDATE t SET n = u.n, s = u.s || t.s FROM u WHERE t.k = u.k AND t.id = u.id"),
    st.sampled_from(["DO NOTHING", "DO UPDATE SET n = excluded.n + coalesce(t.n, 1), s = 'met'"]).map(
        lambda action: f"INSERT INTO t SELECT * FROM u ON CONFLICT {action}"
    ),
    st.just("INSERT INTO t (k, id, n) SELECT 'a', id + 10, count(*) FROM t GROUP BY id ON CONFLICT DO NOTHING"),
    st.just("INSERT INTO u SELECT * FROM t WHERE id < 3 ON CONFLICT DO NOTHING"),
    st.just("DELETE FROM u"),
    bad.map(lambda pair: f"UPDATE t SET {pair[0]} = {pair[1]}"),
    bad.map(lambda pair: f"INSERT INTO t (k, id, {pair[0]}) VALUES ('a', 1, NULL), ('b', 77, {pair[1]})"),
)


def content(rows: list[Any]) -> list[Any]:
    return sorted(rows, key=repr)


VALUES = {
    "BOOLEAN": ["true", "'f'", "1", "NULL"],
    "TINYINT": ["-128", "127", "'5'", "1.5"],
    "INTEGER": ["2147483647", "-2147483648", "2.5", "3.5"],
    "BIGINT": ["9223372036854775807", "-9223372036854775808"],
    "HUGEINT": [str(2**127 - 1), str(-(2**127)), "1"],
    "UBIGINT": [str(2**64 - 1), "0"],
    "UHUGEINT": [str(2**128 - 1), "0"],
    "REAL": ["1.1", "'nan'", "'-inf'", "3.4e38", "1e-40"],
    "DOUBLE": ["0.1", "'nan'", "'inf'", "-0.0", "1e308"],
    "VARCHAR": ["'a'", "''", "chr(0) || 'x'", "'ü€😀'", "5", "DATE '2024-01-01'"],
    "BLOB": ["'\\xAA\\x00b'", "''", "'abc'"],
    "DATE": ["'0001-01-01'", "'9999-12-31'", "'2024-02-29'"],
    "TIME": ["'00:00:00'", "'23:59:59.999999'"],
    "TIMESTAMP": ["'1970-01-01 00:00:00.000001'", "'0001-01-01'", "'9999-12-31 23:59:59.999999'"],
    "TIMESTAMP WITH TIME ZONE": ["'1970-01-01 00:00:00.000001+00'", "'2024-02-29T10:00:00+05:30'"],
    "UUID": ["'00000000-0000-0000-0000-000000000000'", "'FFFFFFFF-ffff-ffff-ffff-ffffffffffff'"],
    "JSON": ['\'{"a":[1,null,"x"]}\'', "'5'", "'\"s\"'", "'[]'", "42"],
    "DECIMAL(4,2)": ["99.99", "-99.99", "'1.005'", "NULL"],
    "DECIMAL(38,10)": ["1234567890123456789012345678.0123456789", "-0.0000000001"],
}
MANY = 250
"""Rows that are encoded column by column."""


@pytest.mark.parametrize("kind", VALUES)
def test_values_of_every_type_are_written_as_in_duckdb(grid: Grid, kind: str) -> None:
    values = VALUES[kind]
    run = [
        f"CREATE TABLE v (i INTEGER PRIMARY KEY, v {kind})",
        f"INSERT INTO v VALUES {', '.join(f'({i}, {value})' for i, value in enumerate(values))}",
        *(f"INSERT INTO v VALUES ({i}, NULL) ON CONFLICT DO UPDATE SET v = {value}" for i, value in enumerate(values)),
        *(
            f"INSERT INTO v SELECT 1000 * {i + 1} + i, {value} FROM range({MANY}) r(i)"
            for i, value in enumerate(values)
        ),
        "UPDATE v SET v = v",
        "INSERT INTO v SELECT i + 100000, v FROM v",
        "INSERT INTO v SELECT i, NULL FROM v ON CONFLICT DO UPDATE SET v = v.v WHERE v.i % 3 = 0",
    ]
    question = "SELECT i, CAST(v AS VARCHAR) FROM v ORDER BY i"
    with duckdb.connect() as raw:
        raw.execute("SET TimeZone = 'UTC'")
        try:
            for statement in run:
                raw.execute(statement)
                grid.sql(statement)
                if not statement.startswith("CREATE"):
                    assert grid.sql(question).rows() == raw.execute(question).fetchall(), statement
        finally:
            grid.sql("DROP TABLE IF EXISTS v")


WHOLE_ROWS = [
    "UPDATE w SET s = to_json(w)",
    "UPDATE w SET s = w.to_json()",
    "UPDATE w AS b SET s = b::VARCHAR WHERE B::VARCHAR LIKE '%1%'",
    "UPDATE w SET v = len(struct_keys(w)), s = main.w::VARCHAR",
    "UPDATE w SET s = (SELECT b::VARCHAR FROM w b WHERE b.k = w.k)",
    "UPDATE w SET s = (SELECT max(b.k + length(w::VARCHAR))::VARCHAR FROM w b)",
    "UPDATE w SET s = (SELECT max(w::VARCHAR) FROM w WHERE k = 2)",
    "UPDATE w SET s = x.s FROM (SELECT k, to_json(c) AS s FROM w c) x WHERE x.k = w.k",
    "UPDATE w SET s = x::VARCHAR FROM (SELECT * FROM w) x WHERE x.k = w.k",
    "UPDATE w SET s = x::VARCHAR FROM w x WHERE x.k = w.k",
    "UPDATE w SET s = x.n FROM (SELECT k, count(*)::VARCHAR AS n FROM w NATURAL JOIN w b GROUP BY k) x WHERE x.k = w.k",
    "UPDATE w SET v = r.v + length(to_json(r)) FROM r WHERE r.k = w.k",
    "UPDATE r SET v = r.v + 1, r = r || '!' WHERE r LIKE '%'",
    "UPDATE r SET r = (SELECT max(w::VARCHAR) FROM w WHERE w.k = r.k)",
    "DELETE FROM w WHERE length(to_json(w)::VARCHAR) > 25",
    "DELETE FROM w USING w c WHERE c.k = w.k + 1 AND c::VARCHAR LIKE '%k%'",
]


@pytest.mark.parametrize("alone", [False, True], ids=["partitions", "one"])
def test_the_row_as_a_whole_has_the_columns_that_users_know(grid: Grid, alone: bool) -> None:
    with duckdb.connect() as raw, kubegrid.local() if alone else contextlib.nullcontext(grid) as asked:
        for statement in WHOLE_ROWS:
            for sql in (
                "DROP TABLE IF EXISTS w",
                "DROP TABLE IF EXISTS r",
                "CREATE TABLE w (k BIGINT PRIMARY KEY, v BIGINT, s VARCHAR)",
                "CREATE TABLE r (k BIGINT PRIMARY KEY, v BIGINT, r VARCHAR)",
                "INSERT INTO w VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 30, NULL)",
                "INSERT INTO r VALUES (1, 5, 'x'), (3, 6, 'y')",
                statement,
            ):
                raw.execute(sql)
                asked.sql(sql)
            for question in ("SELECT * FROM w ORDER BY k", "SELECT * FROM r ORDER BY k"):
                assert asked.sql(question).rows() == raw.execute(question).fetchall(), statement
        with pytest.raises(kubegrid.SqlNotSupportedError, match=r"\* cannot stand in an expression"):
            asked.sql("DELETE FROM w WHERE COLUMNS(*) IS NOT NULL")
        with pytest.raises(kubegrid.SqlNotSupportedError, match="as a whole cannot stand in DO UPDATE"):
            asked.sql("INSERT INTO w VALUES (1, 1, '') ON CONFLICT DO UPDATE SET s = w.to_json()")
        with pytest.raises(kubegrid.SqlNotSupportedError, match="is not certain here"):
            asked.sql("UPDATE w SET v = (SELECT count(w) FROM range(9))")
        for name in ("w", "r"):
            asked.sql(f"DROP TABLE {name}")


SCRIPTS = {
    "lists of columns": [
        "CREATE TABLE v (i INTEGER PRIMARY KEY, a INTEGER DEFAULT 9, b INTEGER, c INTEGER)",
        "INSERT INTO v SELECT range, 1, 2, range FROM range(20)",
        "UPDATE v SET (a, b) = ROW(b, a), (c) = c + 1",
        "UPDATE v SET (a, b) = a + c",
        "UPDATE v SET (b, c) = (SELECT max(i) FROM v), (a) = (7)",
        "UPDATE v SET (b, c) = ((SELECT min(a) FROM v), DEFAULT) WHERE i < 5",
        "UPDATE v SET (a, b) = DEFAULT WHERE i > 15",
        "UPDATE v SET (a, b) = (1, 2, 3)",
    ],
    "rows that are not whole": [
        "CREATE TABLE v (i INTEGER PRIMARY KEY, a INTEGER NOT NULL, b VARCHAR NOT NULL, c INTEGER)",
        "INSERT INTO v SELECT range, 1, 'b', range FROM range(20)",
        "INSERT OR REPLACE INTO v (i, a) VALUES (1, 5), (2, 6)",
        "INSERT INTO v (i, a) VALUES (3, 7), (4, 8) ON CONFLICT DO UPDATE SET a = excluded.a + v.c",
        "INSERT INTO v (i, a, b) VALUES (5, NULL, NULL) ON CONFLICT DO UPDATE SET c = coalesce(excluded.a, 77)",
        "INSERT INTO v (i, c) SELECT i, c + 1 FROM v WHERE i > 10 ON CONFLICT DO UPDATE SET c = excluded.c",
        "INSERT INTO v (i, a) VALUES (6, 1), (7, 2) ON CONFLICT DO NOTHING",
        "INSERT OR IGNORE INTO v VALUES (8, NULL, 'x', 1), (30, 1, 'new', 1)",
        "INSERT INTO v (i, a) VALUES (9, 1), (40, 2) ON CONFLICT DO NOTHING",
        "INSERT INTO v (i, a) VALUES (9, 1), (40, 2) ON CONFLICT DO UPDATE SET a = 0",
        "INSERT OR REPLACE INTO v (i, a, b) VALUES (9, 1, NULL)",
    ],
    "replaced by name": [
        "CREATE TABLE v (i INTEGER PRIMARY KEY, a INTEGER NOT NULL, b VARCHAR, c INTEGER)",
        "INSERT INTO v SELECT range, 1, 'b', range FROM range(20)",
        "INSERT OR REPLACE INTO v BY NAME SELECT c + 5 AS c, i, 2 AS a FROM v WHERE i < 5",
        "INSERT OR REPLACE INTO v BY NAME SELECT i + 17 AS i, 'new' AS b, 3 AS a FROM v WHERE i < 5",
        "INSERT OR REPLACE INTO v BY NAME SELECT 1 AS i, 8 AS c",
        "INSERT OR REPLACE INTO v BY POSITION (i, c) SELECT 1, 9",
        "INSERT OR REPLACE INTO v BY NAME SELECT 70 AS i, 8 AS c",
        "INSERT OR IGNORE INTO v BY NAME SELECT i + 15 AS i, 'none' AS b, 3 AS a FROM v WHERE i < 10",
    ],
    "a broadcast table with others": [
        "CREATE TABLE v (i INTEGER PRIMARY KEY, a INTEGER, s VARCHAR) BROADCAST",
        "INSERT INTO v SELECT range, 1, 's' || range FROM range(30)",
        "INSERT INTO t SELECT 'k' || range % 3, range, range + 1, NULL, 't' || range, NULL, NULL FROM range(40)",
        "UPDATE v SET a = t.n, s = v.s || t.s FROM t WHERE t.id = v.i AND t.n % 2 = 0",
        "UPDATE v SET a = x.n FROM (SELECT id, max(n) AS n FROM t GROUP BY id) x WHERE x.id = v.i + 1",
        "UPDATE v SET a = (SELECT count(*) FROM t WHERE t.k = 'k1' AND t.id < v.i)",
        "UPDATE v AS w SET s = b.s FROM v b JOIN t ON t.id = b.i WHERE b.i = w.i + 1 AND t.n < 20",
        "DELETE FROM v USING t WHERE t.id = v.i AND t.n > 25",
        "DELETE FROM v USING t WHERE t.k = 'k1' AND t.id = 1 AND v.i < t.n + 3",
        "DELETE FROM v USING v b, t WHERE b.i = v.i + 1 AND t.id = b.i AND t.k = 'k2'",
        "INSERT INTO v SELECT id + 100, n, s FROM t JOIN v ON v.i = t.id",
        "DELETE FROM t USING v WHERE v.i = t.id",
        "DELETE FROM t",
    ],
    "elements by number": [
        "CREATE TABLE v (i INTEGER PRIMARY KEY, s VARCHAR)",
        "INSERT INTO v VALUES (1, ['a-b', 'c'][1]), (2, 'xyz'[2:3])",
        "UPDATE v SET s = string_split(s, '-')[n] || s[n] FROM (SELECT 1 AS n) WHERE v.s LIKE '%-%'",
        "INSERT INTO v VALUES (1, 'qr') ON CONFLICT DO UPDATE SET s = excluded.s[2] || v.s[1] || [5, 6][1]",
    ],
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_statement_of_a_script_leaves_what_it_leaves_in_duckdb(grid: Grid, name: str) -> None:
    with duckdb.connect() as raw:
        raw.execute(f"CREATE TABLE t ({COLUMNS})")
        try:
            for statement in SCRIPTS[name]:
                expected, changed = counts(raw, grid, statement.removesuffix(" BROADCAST"), statement)
                assert changed == expected, statement
                for table in ("t", "v"):
                    question = f"SELECT * FROM {table}"
                    assert content(grid.sql(question).rows()) == content(raw.execute(question).fetchall()), statement
        finally:
            grid.sql("DROP TABLE IF EXISTS v")
            grid.sql("TRUNCATE t")


def counts(raw: duckdb.DuckDBPyConnection, grid: Grid, statement: str, asked: str) -> tuple[int | None, int | None]:
    """The rows that DuckDB and the grid say they changed; None: it is refused, or it defines something."""
    try:
        rows = raw.execute(statement).fetchall()
        expected: int | None = rows[0][0] if rows else None
        refused = False
    except duckdb.Error:
        expected, refused = None, True
    try:
        changed = grid.sql(asked).rows_changed
        assert not refused, statement
    except kubegrid.SqlError as error:
        changed = None
        assert refused, (statement, error)
    return expected, changed


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
)
@given(st.lists(statements, min_size=6, max_size=14))
def test_the_same_statements_leave_the_same_rows(grid: Grid, run: list[str]) -> None:
    with duckdb.connect() as raw:
        for name in ("t", "u"):
            raw.execute(f"CREATE TABLE {name} ({COLUMNS})")
            grid.sql(f"TRUNCATE {name}")
        for statement in run:
            expected, changed = counts(raw, grid, statement, statement)
            assert changed == expected, statement
            for name in ("t", "u"):
                question = f"SELECT * FROM {name}"
                assert content(grid.sql(question).rows()) == content(raw.execute(question).fetchall()), statement
