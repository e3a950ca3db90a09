"""From text to statements: kinds, bounds, and errors that show their place."""

import pytest
from tests.unit.sql.shop import planned

from kubegrid.sql import statements
from kubegrid.sql.errors import NotSupported, SqlError, SyntaxProblem, TooMuch, UnknownName
from kubegrid.sql.statements import parse


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("SELECT 1", statements.QUERY),
        ("  select 1 ; ", statements.QUERY),
        ("-- a comment\nFROM t", statements.QUERY),
        ("(SELECT 1) UNION SELECT 2", statements.QUERY),
        ("VALUES (1, 2)", statements.QUERY),
        ("WITH c AS (SELECT 1) SELECT * FROM c", statements.QUERY),
        ("WITH c AS (SELECT 1) INSERT INTO t SELECT * FROM c", statements.INSERT),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", statements.INSERT),
        ("UPDATE t SET a = 1", statements.UPDATE),
        ("DELETE FROM t", statements.DELETE),
        ("CREATE TABLE t (a INTEGER PRIMARY KEY)", statements.CREATE),
        ("CREATE OR REPLACE TABLE t AS SELECT 1 AS a", statements.CTAS),
        ("CREATE TABLE t (PRIMARY KEY (a)) AS (SELECT 1 AS a)", statements.CTAS),
        ("ALTER TABLE t ADD COLUMN b INTEGER", statements.ALTER),
        ("DROP TABLE t", statements.DROP),
        ("TRUNCATE t", statements.TRUNCATE),
        ("SHOW TABLES", statements.SHOW),
        ("DESCRIBE t", statements.DESCRIBE),
        ("EXPLAIN SELECT 1", statements.EXPLAIN),
    ],
)
def test_the_kind_of_a_statement(text: str, kind: str) -> None:
    assert parse(text).kind == kind


def test_explain_knows_what_it_explains() -> None:
    statement = parse("EXPLAIN ANALYZE SELECT * FROM t WHERE a = ?")
    assert statement.analyze
    assert statement.parameters == 1
    assert statement.explained is not None
    assert statement.explained.kind == statements.QUERY


@pytest.mark.parametrize(
    ("text", "line", "column", "reason"),
    [
        ("SELEC 1", 1, 1, "did you mean SELECT?"),
        ("SELECT a FROM t WHERE", 1, 22, "missing"),
        ("SELECT (a FROM t", 1, 11, ") is expected"),
        ("SELECT a\nFROM t\nWHERE )", 3, 8, "missing"),
        ("SELECT 'abc", 1, 8, "does not end"),
        ("SELECT 1; SELECT 2", 1, 10, "one statement at a time"),
        ("SELECT a FROM t t2 t3", 1, 20, "does not belong"),
        ("EXPLAIN SELECT a FROM t t2 t3", 1, 28, "does not belong"),
    ],
)
def test_an_error_shows_its_place(text: str, line: int, column: int, reason: str) -> None:
    with pytest.raises(SqlError) as caught:
        parse(text)
    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert reason in error.message
    excerpt, caret = error.where.split("\n")
    assert excerpt.strip() == text.split("\n")[line - 1].strip()
    assert caret.index("^") == 4 + column - 1


@pytest.mark.parametrize("text", ["", "  ", ";", "-- nothing"])
def test_no_statement_at_all(text: str) -> None:
    with pytest.raises(SyntaxProblem, match="no statement"):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "ATTACH 'x.db'",
            "COPY t TO 'x.csv'",
            "COPY t FROM 'x.csv'",
            "EXPORT DATABASE 'x'",
            "INSTALL httpfs",
            "LOAD json",
        ),
        *("PRAGMA threads=1", "SET threads = 1", "RESET threads", "CALL pragma_version()", "USE x", "CHECKPOINT"),
        *("BEGIN", "COMMIT", "PREPARE p AS SELECT 1", "EXECUTE p", "MERGE INTO t USING u ON true", "VACUUM"),
        *("PIVOT t ON a", "SUMMARIZE t", "DETACH x", "IMPORT DATABASE 'x'"),
    ],
)
def test_what_nobody_may_do_here_is_refused_by_its_first_word(text: str) -> None:
    with pytest.raises(NotSupported, match=text.split()[0]):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "WITH w AS (INSERT INTO t VALUES (1) RETURNING a) SELECT a FROM w",
        "WITH w AS (DELETE FROM t RETURNING a) SELECT count(*) FROM u",
        "WITH w AS (UPDATE t SET a = 1 RETURNING a) INSERT INTO u SELECT a FROM w",
        "CREATE TABLE u AS WITH w AS (DELETE FROM t RETURNING a) SELECT a FROM w",
        "SELECT a FROM (SELECT 1) WHERE EXISTS (WITH w AS (DELETE FROM t RETURNING a) SELECT a FROM w)",
    ],
)
def test_a_statement_that_writes_is_never_a_part_of_another_one(text: str) -> None:
    with pytest.raises(NotSupported, match=r"(INSERT|DELETE|UPDATE) cannot stand inside of a statement"):
        parse(text)


def test_states_of_aggregates_are_refused_and_not_taken_for_names() -> None:
    for text in ("SELECT sum(a) EXPORT_STATE FROM t", "SELECT g, finalize(sum(a) export_state) FROM t GROUP BY g"):
        with pytest.raises(NotSupported, match="EXPORT_STATE"):
            parse(text)
    assert parse("SELECT sum(a) AS export_state FROM t").kind == statements.QUERY


@pytest.mark.parametrize(
    "source",
    [
        *("read_csv('/etc/passwd')", "read_parquet('x')", "glob('*')", "read_text('x')", "read_blob('x')"),
        *("sniff_csv('x')", "query('SELECT 1')", "query_table('orders')", "parquet_metadata('x')", "read_json('x')"),
    ],
)
@pytest.mark.parametrize("shape", ["SELECT * FROM {}", "SELECT 1 WHERE EXISTS (SELECT 1 FROM {})", "FROM orders, {}"])
def test_functions_that_read_files_are_refused_wherever_they_stand(source: str, shape: str) -> None:
    with pytest.raises(NotSupported, match=source.partition("(")[0]):
        planned(shape.format(source))


def test_a_file_in_the_place_of_a_table_is_a_table_that_is_not_there() -> None:
    with pytest.raises(UnknownName, match=r"x\.csv"):
        planned("SELECT * FROM 'x.csv'")


def test_what_could_only_be_written_in_part_is_refused() -> None:
    with pytest.raises(NotSupported, match="cannot be run over the partitions"):
        planned("SELECT max(id IGNORE NULLS) FROM orders")


def test_an_unknown_table_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'flights'"):
        planned("SELECT * FROM fligths")


def test_tables_of_the_system_stand_alone() -> None:
    assert planned("SELECT * FROM information_schema.tables").fragments == ()
    with pytest.raises(NotSupported, match="system tables"):
        planned("SELECT * FROM information_schema.tables, orders")


def test_hidden_names_are_refused_in_text() -> None:
    for text in ("SELECT __version FROM t", 'SELECT "__version" FROM t', "SELECT * FROM __f0", "SELECT 1 AS __g0"):
        with pytest.raises(UnknownName, match="not visible"):
            parse(text)


def test_bounds_of_a_text() -> None:
    with pytest.raises(TooMuch, match="characters"):
        parse("SELECT '" + "x" * statements.STATEMENT_BYTES_MAX + "'")
    with pytest.raises(TooMuch, match="words and signs"):
        parse("SELECT " + "1," * statements.TOKENS_MAX + "1")


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        *(
            ("(", ")"),
            ("[", "]"),
            ("abs(", ")"),
            ("CASE WHEN ", " THEN 1 END"),
            ("NOT ", ""),
            ("- ", ""),
            ("{'a': ", "}"),
        ),
        *(("(SELECT ", ")"), ("EXISTS (SELECT ", ")"), ("a IN (", ")"), ("+-~", "")),
    ],
)
@pytest.mark.parametrize("depth", [40, 3000])
def test_a_deep_statement_is_refused_and_harms_nobody(opening: str, closing: str, depth: int) -> None:
    with pytest.raises((TooMuch, SyntaxProblem)):
        parse("SELECT " + opening * depth + "1" + closing * depth)


@pytest.mark.parametrize(
    "part", [" + 1", " AND a", " || 'x'", "::INTEGER", "[1]", " IS NULL", ".b", " BETWEEN 1 AND 2"]
)
def test_a_long_chain_is_planned_or_refused(part: str) -> None:
    for length in (100, 3000):
        try:
            planned(f"SELECT count(*) FROM flights WHERE (origin{part.replace(' a', ' origin') * length}) IS NULL")
        except SqlError as error:
            assert isinstance(error, TooMuch)


def test_many_operands_of_union_are_planned() -> None:
    plan = planned(" UNION ALL ".join(["SELECT count(*) FROM orders"] * 300))
    assert len(plan.fragments) == 1
