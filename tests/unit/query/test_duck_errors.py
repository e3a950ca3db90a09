"""What DuckDB complains about becomes an error that shows the place in the user's text and the nearest name."""

from typing import Any

import pytest

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.query.binding import Binding
from kubegrid.query.duck_errors import sql_error
from kubegrid.sql.errors import (
    Cancelled,
    NotSupported,
    SqlError,
    SyntaxProblem,
    TooMuch,
    TypeProblem,
    UnknownName,
)

FLIGHTS = {
    "name": "flights",
    "columns": [
        {"name": "id", "type": "BIGINT", "nullable": False},
        {"name": "origin", "type": "VARCHAR"},
        {"name": "delay", "type": "DOUBLE"},
    ],
    "key": ["id"],
}
CATALOG = Catalog().create(parse_definition(None, FLIGHTS))


@pytest.fixture(scope="module")
def binding(tmp_path_factory: Any) -> Any:
    binding = Binding(str(tmp_path_factory.mktemp("spill")), 2**20)
    yield binding
    binding.close()


def failure(binding: Binding, text: str) -> SqlError:
    with pytest.raises(SqlError) as failed:
        binding.columns(text, CATALOG, None)
    return failed.value


@pytest.mark.parametrize(
    ("text", "kind", "message", "pointed", "remedy"),
    [
        ("SELECT origon FROM flights", UnknownName, 'column "origon" not found', "origon", '"origin"'),
        ("SELECT f.x\nFROM flights f", UnknownName, 'does not have a column named "x"', "f.x", '"id"'),
        ("SELECT 1\nFROM\n  flihgts", UnknownName, "there is no table 'flihgts'", "flihgts", "'flights'"),
        ("SELECT g.id FROM flights f", UnknownName, 'table "g" not found', "g.id", '"f"'),
        ("SELECT coutn(*) FROM flights", UnknownName, "coutn does not exist", "coutn", '"count"'),
        ("SELECT sum(origin) FROM flights", TypeProblem, "sum(VARCHAR)", "sum", "Candidate functions"),
        ("SELECT id FROM flights WHERE", SyntaxProblem, "syntax error", "WHERE", ""),
        ('SELECT id FROM flights WHERE origin = "Ada"', UnknownName, '"Ada" not found', '"Ada"', "it is written 'Ada'"),
        ('SELECT id FROM flights WHERE origin IN ("It\'s")', UnknownName, "not found", '"It\'s"', "written 'It''s'"),
        (
            'SELECT "origon" FROM flights',
            UnknownName,
            '"origon" not found',
            '"origon"',
            '"origin", "id"\nIn double quotes',
        ),
        ('SELECT "Ada"', UnknownName, "the FROM clause is missing", '"Ada"', "it is written 'Ada'"),
        ("SELECT 'ü', origon FROM flights", UnknownName, "origon", "origon", '"origin"'),
        (f"SELECT id FROM flights WHERE {'id = 1 AND ' * 60} x = 1", UnknownName, '"x" not found', "x = 1", ""),
    ],
)
def test_a_complaint_names_kind_place_and_nearest(
    binding: Binding, text: str, kind: type[SqlError], message: str, pointed: str, remedy: str
) -> None:
    error = failure(binding, text)
    assert type(error) is kind
    assert message in error.message
    assert remedy in error.advice
    line = text.split("\n")[error.line - 1]
    assert line[error.column - 1 :].startswith(pointed)
    shown, caret = error.where.split("\n")
    assert shown[caret.index("^") :].startswith(pointed)


def test_columns_with_other_names_are_not_told_where_a_text_was_meant(binding: Binding) -> None:
    for text in ('SELECT id FROM flights WHERE origin = "Ada"', "SELECT id FROM flights WHERE origin = Ada"):
        assert ("Candidate" in failure(binding, text).advice) is ('"' not in text)


def test_a_missing_group_by_is_told_with_duckdbs_advice(binding: Binding) -> None:
    error = failure(binding, "SELECT id, count(*) FROM flights GROUP BY origin")
    assert "must appear in the GROUP BY clause" in error.message
    assert "ANY_VALUE" in error.advice


def test_files_are_closed_and_the_message_says_what_to_use_instead(binding: Binding) -> None:
    error = failure(binding, "SELECT * FROM read_csv('/etc/passwd')")
    assert type(error) is NotSupported
    assert "files and the network are closed" in error.message
    assert "kubegrid load" in error.advice


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Out of Memory Error: failed to pin block of size 256.0 KiB (63.9 MiB/64.0 MiB used)", TooMuch),
        ("Conversion Error: Could not convert string 'x' to INT32", TypeProblem),
        ("Out of Range Error: Overflow in addition of INT64 (1 + 2)!", TypeProblem),
        ("Invalid Input Error: Division by zero in expression (1 // 0).", TypeProblem),
        ("INTERRUPT Error: Interrupted!", Cancelled),
        ("something else", SqlError),
    ],
)
def test_the_kind_is_read_from_the_text_because_readers_raise_other_classes(said: str, kind: type[SqlError]) -> None:
    assert type(sql_error(OSError(said))) is kind


def test_a_place_in_text_that_the_user_never_wrote_is_not_shown() -> None:
    error = sql_error(ValueError("Conversion Error: Could not convert 'x'\n\nLINE 1: SELECT 'x'::INT\n       ^"))
    assert (error.line, error.column, error.where) == (0, 0, "")
    assert "LINE" not in str(error)


def test_long_lists_of_candidates_are_cut(binding: Binding) -> None:
    error = failure(binding, "SELECT date_trunc(1, 2, 3, 4) FROM flights")
    assert len(error.advice.splitlines()) <= 13


def test_a_column_that_is_named_like_a_word_of_sql_wants_quotes_and_that_is_said(binding: Binding) -> None:
    columns = [
        {"name": "id", "type": "BIGINT", "nullable": False},
        {"name": "at", "type": "TIMESTAMP"},
        {"name": "end", "type": "DATE"},
    ]
    catalog = CATALOG.create(parse_definition(None, {"name": "stays", "columns": columns, "key": ["id"]}))
    for text, word in (("SELECT at, id FROM stays", "at"), ("SELECT id FROM stays\nORDER BY End", "End")):
        with pytest.raises(SyntaxProblem) as failed:
            binding.columns(text, catalog, None)
        assert f'{word} is a word of SQL; as the name of a column it is written "{word}".' in failed.value.remedy
        assert "^" in failed.value.where
    with pytest.raises(SyntaxProblem) as failed:
        binding.columns('SELECT "at", id FRM stays WHERE', catalog, None)
    assert "word of SQL" not in failed.value.remedy
