"""What is asked to learn a parameter's type: the SELECT that has it, by what stands beside the parameter."""

import pytest

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.sql import parameter_types
from kubegrid.sql.parameter_types import questions
from kubegrid.sql.statements import parse

COLUMNS = [{"name": name, "type": "BIGINT"} for name in ("a", "b")]
CATALOG = Catalog().create(parse_definition("t", {"columns": COLUMNS, "key": ["a"]}))


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("SELECT 1 FROM t WHERE a = ?", ["SELECT a FROM t"]),
        ("SELECT 1 FROM t WHERE ? < lower(b)", ["SELECT LOWER(b) FROM t"]),
        ("SELECT 1 FROM t AS x JOIN u ON x.a = u.a WHERE x.b > -?", ["SELECT x.b FROM t AS x, u"]),
        ("SELECT 1 FROM t WHERE a IN (?, ?)", ["SELECT a FROM t"] * 2),
        ("SELECT 1 FROM t WHERE a BETWEEN ? AND ?", ["SELECT a FROM t"] * 2),
        ("SELECT a FROM t GROUP BY a HAVING sum(b) > ?", ["SELECT SUM(b) FROM t"]),
        ("SELECT (SELECT max(a) FROM t WHERE b = ?) FROM u", ["SELECT b FROM t"]),
        ("WITH c AS (SELECT a FROM t) SELECT 1 FROM c WHERE a = ?", ["WITH c AS (SELECT a FROM t) SELECT a FROM c"]),
        ("SELECT a FROM t LIMIT ? OFFSET ?", ["SELECT 0::BIGINT"] * 2),
        ("SELECT ?::DATE", ["SELECT NULL::DATE"]),
        ("SELECT 1 FROM t WHERE $2 = a AND b = $1", ["SELECT b FROM t", "SELECT a FROM t"]),
        ("UPDATE t SET b = ? WHERE a = ?", ["SELECT b FROM t", "SELECT a FROM t"]),
        ("DELETE FROM t WHERE a = (?)", ["SELECT a FROM t"]),
        ("INSERT INTO t VALUES (?, ?), (?, 1)", ['SELECT "a" FROM t', 'SELECT "b" FROM t', 'SELECT "a" FROM t']),
        ("INSERT INTO t (b) VALUES (?)", ['SELECT "b" FROM t']),
        ("INSERT INTO t VALUES (1, 2) ON CONFLICT (a) DO UPDATE SET b = ?", ["SELECT b FROM t"]),
        ("EXPLAIN SELECT 1 FROM t WHERE a = ?", ["SELECT a FROM t"]),
    ],
)
def test_a_parameter_has_the_type_of_what_stands_beside_it(text: str, asked: list[str]) -> None:
    assert list(questions(parse(text), CATALOG)) == asked


@pytest.mark.parametrize(
    "text",
    [
        *("SELECT ?", "SELECT ? = ?", "SELECT 1 FROM t WHERE (a, b) = (?, ?)", "INSERT INTO other VALUES (?)"),
        *("INSERT INTO t VALUES (1, 2, ?)", "INSERT INTO t SELECT ?, 1", "SELECT coalesce(a, ?) FROM t", "SHOW TABLES"),
    ],
)
def test_where_nothing_says_a_type_nothing_is_asked(text: str) -> None:
    statement = parse(text)
    assert questions(statement, CATALOG) == (None,) * statement.parameters


def test_so_many_are_asked_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parameter_types, "QUESTIONS_MAX", 2)
    found = questions(parse("SELECT ?::DATE, ?::TIME, ?::TIME, ?::UUID"), CATALOG)
    assert sum(question is not None for question in found) == 2
