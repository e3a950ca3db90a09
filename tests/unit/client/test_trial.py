"""Whether a request is asked again, and what is said in the end: a conversation with members that fail in all ways."""

import pytest

from kubegrid.base.errors import KubegridError
from kubegrid.client import errors
from kubegrid.client.errors import (
    AccessError,
    ConflictError,
    GridNotReachableError,
    NoManagerError,
    Outcome,
    OutcomeUnknownError,
    OutOfMemoryError,
    RejectedError,
    UnavailableError,
)
from kubegrid.client.options import ClientOptions
from kubegrid.client.refusals import moved_to, to_error
from kubegrid.client.trial import LATE, MANAGER_S, REDIRECTIONS_MAX, ForgottenError, Trial

HERE = "127.0.0.1:7000"


def trial(*, write: bool = True, identified: bool = True) -> Trial:
    return Trial(ClientOptions(), "INCRBY", write=write, identified=identified, started=0.0, deadline=10.0)


def test_a_redirection_is_followed_at_once() -> None:
    again = trial().refused("MOVED 12 127.0.0.1:7003", HERE, 1.0)
    assert (again.delay, again.moved_to) == (0.0, "127.0.0.1:7003")


def test_members_that_send_one_in_circles_are_asked_more_slowly() -> None:
    one = trial()
    delays = [one.refused("MOVED 12 127.0.0.1:7003", HERE, 1.0).delay for _ in range(REDIRECTIONS_MAX + 2)]
    assert delays[:REDIRECTIONS_MAX] == [0.0] * REDIRECTIONS_MAX
    assert min(delays[REDIRECTIONS_MAX:]) > 0


@pytest.mark.parametrize("text", ["CLUSTERDOWN no lease", "LOADING", "TRYAGAIN", "NOREPLICAS", "UNBLOCKED"])
def test_what_passes_is_asked_again_later_and_ever_more_slowly(text: str) -> None:
    one = trial()
    delays = [one.refused(text, HERE, 1.0).delay for _ in range(30)]
    assert 0 < delays[0] <= ClientOptions().retry_first
    assert max(delays) <= ClientOptions().retry_max
    assert min(delays[20:]) >= 0.7 * ClientOptions().retry_max


def test_at_the_deadline_a_request_that_was_never_executed_is_not_done() -> None:
    one = trial()
    one.refused("CLUSTERDOWN no lease", HERE, 1.0)
    with pytest.raises(UnavailableError, match=r"not served within 10 s.*7000: CLUSTERDOWN") as raised:
        one.refused("CLUSTERDOWN no lease", HERE, 10.0)
    assert raised.value.outcome is Outcome.NOT_DONE


def test_no_wait_goes_past_the_deadline() -> None:
    assert trial().refused("CLUSTERDOWN x", HERE, 9.999).delay <= 0.001 + 1e-9


def test_a_change_of_tables_waits_for_a_manager_for_a_while_and_then_says_that_none_answers() -> None:
    one = trial(write=False)
    text = "NOMANAGER nothing was changed: no manager can be reached: refused"
    assert one.refused(text, HERE, 1.0).delay > 0
    assert one.refused(text, HERE, 0.9 + MANAGER_S).delay > 0
    with pytest.raises(
        NoManagerError, match=r"the manager, .* does not answer \(nothing was changed: no manager"
    ) as raised:
        one.refused(text, HERE, 1.0 + MANAGER_S)
    assert raised.value.outcome is Outcome.NOT_DONE
    near = Trial(ClientOptions(), "KG.CREATE", write=False, identified=False, started=0.0, deadline=2.0)
    with pytest.raises(NoManagerError):
        near.refused(text, HERE, 2.0)


def test_an_attempt_that_the_deadline_ended_does_not_hide_why_it_was_made() -> None:
    one = trial(write=False)
    one.refused("CLUSTERDOWN no lease", HERE, 1.0)
    with pytest.raises(UnavailableError, match="CLUSTERDOWN no lease"):
        one.lost(LATE, HERE, 10.0, sent=True)
    with pytest.raises(UnavailableError, match=LATE):
        trial(write=False).lost(LATE, HERE, 10.0, sent=True)


def test_a_write_with_an_id_whose_reply_was_lost_is_asked_again() -> None:
    assert trial().lost("closed", HERE, 1.0, sent=True).delay > 0


def test_but_its_outcome_is_unknown_when_nobody_answers_until_the_deadline() -> None:
    one = trial()
    one.lost("closed", HERE, 1.0, sent=True)
    with pytest.raises(OutcomeUnknownError, match="never came") as raised:
        one.lost("refused", HERE, 10.0, sent=False)
    assert raised.value.outcome is Outcome.UNKNOWN
    assert not raised.value.outcome_known


def test_a_write_without_an_id_is_not_sent_twice() -> None:
    with pytest.raises(OutcomeUnknownError):
        trial(identified=False).lost("closed", HERE, 1.0, sent=True)


def test_a_write_without_an_id_that_was_not_sent_is_asked_again() -> None:
    assert trial(identified=False).lost("refused", HERE, 1.0, sent=False).delay > 0


def test_a_read_is_always_asked_again_and_its_failure_is_not_done() -> None:
    one = trial(write=False, identified=False)
    one.lost("closed", HERE, 1.0, sent=True)
    with pytest.raises(UnavailableError):
        one.lost("closed", HERE, 10.0, sent=True)


@pytest.mark.parametrize("text", ["OOM full", "NOAUTH", "STALEID"])
def test_a_refusal_after_a_lost_reply_says_nothing_about_the_first_attempt(text: str) -> None:
    one = trial()
    one.lost("closed", HERE, 1.0, sent=True)
    with pytest.raises(OutcomeUnknownError):
        one.refused(text, HERE, 2.0)


def test_an_answer_of_the_execution_after_a_lost_reply_counts() -> None:
    one = trial()
    one.lost("closed", HERE, 1.0, sent=True)
    with pytest.raises(ConflictError) as raised:
        one.refused("CONFLICT version is 9, not 7", HERE, 2.0)
    assert raised.value.outcome is Outcome.NOT_DONE


def test_an_identity_that_was_forgotten_before_anything_was_sent_is_renewed() -> None:
    with pytest.raises(ForgottenError):
        trial().refused("STALEID gone", HERE, 1.0)


def test_a_grid_of_which_nobody_answers_is_told_address_by_address() -> None:
    one = trial()
    one.unreachable = {"a:1": "connection refused", "b:2": "timed out"}
    with pytest.raises(GridNotReachableError, match=r"a:1: connection refused; b:2: timed out") as raised:
        one.nobody("the partition", 10.0)
    assert raised.value.attempts == {"a:1": "connection refused", "b:2": "timed out"}
    assert raised.value.exit_status == 3


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CONFLICT version is 9, not 7", ConflictError),
        ("OOM command not allowed", OutOfMemoryError),
        ("WRONGTYPE Operation", errors.WrongTypeError),
        ("NOTABLE no table 'flihgts'; did you mean 'flights'?", errors.UnknownTableError),
        ("NOCOLUMN table t has no column 'x'", errors.UnknownColumnError),
        ("BADVALUE table t, column c: 'abc' is not an INTEGER", errors.BadValueError),
        ("BADKEY table t: x", errors.BadValueError),
        ("EXISTS t:1 exists", errors.RecordExistsError),
        ("SCHEMA table is at 3, not 2", errors.SchemaChangedError),
        ("PREDICATE unexpected )", errors.PredicateError),
        ("TABLECONFLICT table t exists", errors.TableExistsError),
        ("BADDEFINITION key is missing", errors.BadDefinitionError),
        ("NOTYET adopted by 2 of 3", errors.DoneError),
        ("INDOUBT no answer", OutcomeUnknownError),
        ("TOOLONG the request was executed", errors.DoneError),
        ("NOAUTH Authentication required.", AccessError),
        ("ERR unknown command 'X'", RejectedError),
        ("WEIRD thing", RejectedError),
    ],
)
def test_each_refusal_has_its_error(text: str, kind: type[errors.ClientError]) -> None:
    error = to_error(text)
    assert type(error) is kind
    assert isinstance(error, KubegridError)


def test_who_gave_no_password_is_not_asked_for_another_one() -> None:
    assert "wants a password" in str(to_error("NOAUTH Authentication required."))
    assert "wants another password" in str(to_error("WRONGPASS invalid username-password pair or user is disabled."))


def test_an_address_without_a_host_is_no_redirection() -> None:
    assert moved_to("MOVED 1 :7000") is None
    assert moved_to("MOVED 1") is None
    assert moved_to("MOVED 1 ::1:7000") == "[::1]:7000"
