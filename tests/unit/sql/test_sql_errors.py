"""Errors of SQL travel as JSON and arrive as they were."""

import pytest

from kubegrid.sql import errors
from kubegrid.sql.errors import PartlyDone, SqlError, SyntaxProblem, Unavailable


@pytest.mark.parametrize("kind", SqlError.__subclasses__())
def test_an_error_is_the_same_after_its_journey(kind: type[SqlError]) -> None:
    error = kind("it is wrong", line=2, column=3, text="SELECT\n  x", remedy="Mend it.", outcome_known=False)
    arrived = SqlError.from_json(error.to_json())
    assert type(arrived) is kind
    assert str(arrived) == str(error) == "it is wrong\n      x\n      ^\nMend it."
    assert (arrived.line, arrived.column, arrived.advice, arrived.outcome_known) == (2, 3, "Mend it.", False)


def test_codes_are_distinct() -> None:
    codes = [kind.code for kind in (SqlError, *SqlError.__subclasses__())]
    assert len(set(codes)) == len(codes)


def test_outcomes_travel() -> None:
    outcomes = [{"partition": 0, "outcome": "done", "rows": 3}, {"partition": 1, "outcome": "unknown"}]
    arrived = SqlError.from_json(PartlyDone("half of it", outcomes=outcomes, outcome_known=False).to_json())
    assert arrived.outcomes == outcomes


def test_an_error_of_a_later_version_is_told_too() -> None:
    arrived = SqlError.from_json({"code": "LATER", "message": "something new"})
    assert type(arrived) is SqlError
    assert str(arrived) == "something new"


def test_exit_status() -> None:
    assert (SyntaxProblem("").exit_status, Unavailable("").exit_status) == (1, 3)


def test_a_place_beyond_the_text_has_no_caret() -> None:
    assert errors.SyntaxProblem("x", line=9, column=1, text="SELECT").where == ""


def test_a_long_line_is_cut_around_its_place() -> None:
    text = "SELECT " + "a" * 500 + " ! " + "b" * 500
    excerpt, caret = SyntaxProblem("x", line=1, column=509, text=text).where.split("\n")
    assert len(excerpt) < 80
    assert excerpt[caret.index("^")] == "!"
