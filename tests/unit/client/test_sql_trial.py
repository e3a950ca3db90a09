"""What becomes of a statement that fails: asked again or not, and what its error may claim."""

import pytest

from kubegrid.client import errors, sql_kind
from kubegrid.client.errors import Outcome
from kubegrid.client.options import ClientOptions
from kubegrid.client.sql_trial import SqlTrial
from kubegrid.sql import errors as told

POD = "127.0.0.1:8815"
QUESTION = "SELECT 1"
WRITE = "INSERT INTO t VALUES (1)"


def trial(statement: str) -> SqlTrial:
    return SqlTrial(ClientOptions(), statement, "the-id", started=0.0, deadline=10.0)


@pytest.mark.parametrize(
    ("statement", "writes"),
    [
        ("SELECT 1", False),
        ("WITH x AS (SELECT 1) SELECT * FROM x", False),
        ("SHOW TABLES", False),
        ("SELECT 'please update this' AS \"delete\", $$drop$$, $a$ insert $a$ -- truncate\n /* alter */", False),
        ("SELECT last_update, updated FROM t", False),
        ("insert into t values (1)", True),
        ("/* a comment */ UPDATE t SET a = 1", True),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", True),
        ("(SELECT 'it''s'); DELETE FROM t", True),
        ("REPLACE INTO t VALUES (1)", True),
        ("CREATE TABLE t (a INT)", True),
        ("SELECT 'never closed; DROP TABLE t", False),
    ],
)
def test_a_statement_may_write_if_such_a_word_stands_outside_of_quotes(statement: str, writes: bool) -> None:
    assert sql_kind.writes(statement) is writes


def test_a_question_is_asked_again_and_in_the_end_not_done() -> None:
    one = trial(QUESTION)
    assert one.lost("closed the connection", POD, 1.0, sent=True, since=0.5) > 0
    assert one.refused(told.Unavailable("partition 1 has no primary"), POD, 2.0, 1.9) > 0
    with pytest.raises(errors.UnavailableError, match=r"`SELECT 1` was not served within 10 s.*no primary") as ended:
        one.refused(told.Unavailable("partition 1 has no primary"), POD, 10.0, 9.9)
    assert ended.value.outcome is Outcome.NOT_DONE


def test_a_write_whose_answer_was_lost_is_sent_again_and_in_the_end_in_doubt() -> None:
    one = trial(WRITE)
    assert one.lost("closed the connection", POD, 1.0, sent=True, since=0.5) > 0
    with pytest.raises(errors.SqlOutcomeUnknownError, match="the-id") as ended:
        one.lost("connection refused", POD, 10.0, sent=False, since=9.9)
    assert ended.value.outcome is Outcome.UNKNOWN
    assert ended.value.statement_id == "the-id"


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE IF NOT EXISTS t AS SELECT 1 AS k", "truncate t", "DROP TABLE t", "ALTER TABLE t ADD COLUMN c INT"],
)
def test_a_definition_is_not_sent_again_once_it_was_sent(statement: str) -> None:
    one = trial(statement)
    assert one.lost("connection refused", POD, 1.0, sent=False, since=0.9) > 0
    assert one.refused(told.Unavailable("no manager"), POD, 2.0, 1.9) > 0
    with pytest.raises(errors.SqlOutcomeUnknownError, match="Look at what is there"):
        one.lost("closed the connection", POD, 3.0, sent=True, since=2.9)
    with pytest.raises(errors.SqlOutcomeUnknownError, match="Look at what is there"):
        trial(statement).refused(told.Unavailable("the pod ends", outcome_known=False), POD, 1.0, 0.9)


def test_what_only_changes_rows_is_no_definition() -> None:
    assert not sql_kind.defines("INSERT INTO t SELECT 'drop', \"create\" FROM s -- truncate")
    assert not sql_kind.defines("UPDATE t SET created = 1")


def test_a_write_that_was_never_sent_is_not_done() -> None:
    one = trial(WRITE)
    one.lost("connection refused", POD, 1.0, sent=False, since=0.9)
    with pytest.raises(errors.UnavailableError) as ended:
        one.nobody("no member serves Arrow Flight", 10.0)
    assert ended.value.outcome is Outcome.NOT_DONE


def test_a_pod_that_does_not_know_what_became_of_a_write_leaves_it_in_doubt() -> None:
    one = trial(WRITE)
    assert one.refused(told.Unavailable("the primary died", outcome_known=False), POD, 1.0, 0.9) > 0
    with pytest.raises(errors.SqlOutcomeUnknownError):
        one.refused(told.UnknownName("no table t"), POD, 2.0, 1.9)
    with pytest.raises(errors.SqlOutcomeUnknownError):
        trial(WRITE).refused(told.TimedOut("took too long", outcome_known=False), POD, 2.0, 1.9)


def test_a_client_that_is_closed_meanwhile_leaves_a_write_in_doubt() -> None:
    closed = errors.ClosedError("this client is closed")
    one = trial(WRITE)
    assert one.ended(closed) is closed
    one.lost("closed the connection", POD, 1.0, sent=True, since=0.5)
    assert isinstance(one.ended(closed), errors.SqlOutcomeUnknownError)


def test_a_question_has_no_outcome_to_doubt() -> None:
    with pytest.raises(errors.SqlTimeoutError) as ended:
        trial(QUESTION).refused(told.TimedOut("took too long", outcome_known=False), POD, 2.0, 1.9)
    assert ended.value.outcome is Outcome.NOT_DONE


def test_nothing_is_asked_again_when_rows_were_given_out() -> None:
    one = trial(QUESTION)
    one.given_out = True
    with pytest.raises(errors.UnavailableError, match="no whole answer"):
        one.lost("closed the connection", POD, 1.0, sent=True, since=0.5)
    with pytest.raises(errors.UnavailableError, match="no whole answer"):
        one.refused(told.Unavailable("the primary died"), POD, 1.0, 0.5)


def test_a_write_is_not_sent_again_long_after_it_was_sent_first() -> None:
    """Members forget what was done under an id; the machine of the client may have been suspended."""
    one = SqlTrial(ClientOptions(), WRITE, "the-id", started=0.0, deadline=3600.0)
    with pytest.raises(errors.SqlOutcomeUnknownError):
        one.lost("closed the connection", POD, 700.0, sent=True, since=0.1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (told.SyntaxProblem, errors.SqlSyntaxError),
        (told.UnknownName, errors.SqlNameError),
        (told.TypeProblem, errors.SqlTypeError),
        (told.NotSupported, errors.SqlNotSupportedError),
        (told.TooMuch, errors.SqlLimitError),
        (told.TimedOut, errors.SqlTimeoutError),
        (told.Cancelled, errors.SqlCancelledError),
        (told.WriteRefused, errors.SqlWriteRefusedError),
        (told.SqlError, errors.SqlError),
    ],
)
def test_each_kind_of_error_has_its_class_and_keeps_its_place(
    error: type[told.SqlError], kind: type[errors.SqlError]
) -> None:
    sent = error("that is wrong", line=2, column=8, text="SELECT 1\nFROM   wrong", remedy="write it right")
    received = told.SqlError.from_json(sent.to_json())
    with pytest.raises(kind) as raised:
        trial(QUESTION).refused(received, POD, 1.0, 0.5)
    assert type(raised.value) is kind
    assert (raised.value.line, raised.value.column) == (2, 8)
    assert str(raised.value) == "that is wrong\n    FROM   wrong\n           ^\nwrite it right"
    assert raised.value.outcome is Outcome.NOT_DONE


def test_a_statement_done_in_part_says_where() -> None:
    sent = told.PartlyDone(
        "1 of 3 partitions did not do it",
        outcomes=[
            {"partition": 0, "outcome": "done", "rows": 7},
            {"partition": 1, "outcome": "not done", "error": "memory is full"},
            {"partition": 2, "outcome": "unknown", "error": "its answer was lost"},
        ],
    )
    with pytest.raises(errors.SqlPartlyDoneError, match="1 of 3") as raised:
        trial(WRITE).refused(told.SqlError.from_json(sent.to_json()), POD, 1.0, 0.5)
    error = raised.value
    assert [(one.partition, one.outcome, one.rows) for one in error.outcomes] == [
        (0, "done", 7),
        (1, "not done", 0),
        (2, "unknown", 0),
    ]
    assert (error.done, error.outcome, error.statement_id) == (1, Outcome.UNKNOWN, "the-id")
    assert [(number, str(one)) for number, one in error.failures] == [
        (1, "partition 1: memory is full"),
        (2, "partition 2: its answer was lost"),
    ]


def test_a_question_over_which_two_pods_went_away_is_not_asked_of_a_third() -> None:
    one = trial(QUESTION)
    one.lost("closed the connection", POD, 1.0, sent=True, since=0.5)
    one.lost("closed the connection", POD, 2.0, sent=True, since=1.5)  # it came back, and is one pod
    one.lost("connection refused", "127.0.0.1:8816", 3.0, sent=False, since=2.9)
    one.lost("was silent for 2 s", "127.0.0.1:8817", 4.0, sent=True, since=3.9)
    with pytest.raises(errors.UnavailableError, match=r"8815 and 127.0.0.1:8818 went away.*\n.*no third") as ended:
        one.lost("closed the connection", "127.0.0.1:8818", 5.0, sent=True, since=4.5)
    assert ended.value.outcome is Outcome.NOT_DONE


def test_a_write_is_sent_until_its_outcome_is_known() -> None:
    one = trial(WRITE)
    for port in (8815, 8816, 8817):
        assert one.lost("closed the connection", f"127.0.0.1:{port}", 1.0, sent=True, since=0.5) > 0
