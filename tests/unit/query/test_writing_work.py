"""What one partition has to do for a statement: parts, answers, and what is said of it in the end."""

from zlib import crc32

import msgspec
import pytest

from kubegrid.base.ids import SLOT_COUNT
from kubegrid.base.tables import TableDefinition
from kubegrid.client.errors import ConflictError, OutcomeUnknownError, OutOfMemoryError, RejectedError, UnavailableError
from kubegrid.client.slots import slot_of
from kubegrid.query import writing_errors, writing_operations
from kubegrid.query.writing_ids import ATTEMPTS_MAX, StatementId
from kubegrid.query.writing_operations import ANY, MISSING, Operation, Operations
from kubegrid.query.writing_work import (
    CONFLICT,
    DONE,
    NOT_DONE,
    PART_BYTES_MAX,
    PART_RECORDS_MAX,
    PARTLY,
    UNKNOWN,
    WAITING,
    Work,
)
from kubegrid.sql.errors import PartlyDone, SyntaxProblem, TooMuch, Unavailable, WriteRefused


def operations(count: int, size: int = 10) -> list[Operation]:
    return [Operation(MISSING, b"t:%d" % number, b"r" * size) for number in range(count)]


def work(count: int = 3, size: int = 10, repeatable: bool = True, partition: int = 0) -> Work:
    return Work(partition, operations(count, size), repeatable)


def done(rows: int, parts: int = 1) -> list[int]:
    return [1, rows, 0, 0, parts]


def test_rows_travel_as_bytes_and_keys_as_text() -> None:
    one = Work(0, [Operation(7, b"t:1", b"row"), Operation(ANY, b"t:2", None)], True)
    assert msgspec.msgpack.decode(one.payload()) == [[7, b"row"], [-1, "t:2"]]


def test_what_fits_is_one_part_and_what_does_not_is_refused_unless_it_may_be_cut() -> None:
    small = work(PART_RECORDS_MAX)
    small.cut(False, "t")
    assert small.parts == 1
    with pytest.raises(TooMuch, match=r"5,001 records .* of table t, all in partition 0"):
        work(PART_RECORDS_MAX + 1).cut(False, "t")
    with pytest.raises(TooMuch, match="the most that can be changed in one step"):
        work(9, PART_BYTES_MAX // 8).cut(False, "t")


@pytest.mark.parametrize(("count", "size"), [(PART_RECORDS_MAX + 1, 10), (40_000, 10), (100, PART_BYTES_MAX // 10)])
def test_parts_fit_and_hold_each_record_once_by_a_hash_of_its_key(count: int, size: int) -> None:
    cut = work(count, size)
    cut.cut(True, "t")
    sent = []
    while cut.state == WAITING:
        part = cut._part(cut.next_part)
        assert len(part) <= PART_RECORDS_MAX and sum(one.size for one in part) <= PART_BYTES_MAX
        assert {crc32(one.key) % cut.parts for one in part} == {cut.next_part}
        sent += part
        cut.answered(done(len(part), cut.parts))
    assert (sorted(sent), cut.state, cut.rows) == (sorted(operations(count, size)), DONE, count)


def test_a_second_run_goes_on_as_the_first_was_cut() -> None:
    again = work(PART_RECORDS_MAX + 1)
    again.cut(True, "t")
    assert again.parts > 1
    again.answered(done(5, parts=1))  # the first run had so few records that it was not cut
    assert (again.state, again.rows) == (DONE, 5)
    other = work(10)
    other.answered(done(5, parts=4))
    assert (other.state, other.parts, other.next_part) == (WAITING, 4, 1)


def test_a_conflict_is_answered_by_other_operations_under_the_next_number() -> None:
    one = work()
    one.answered(ConflictError("version is 2"))
    assert (one.state, one.attempt) == (CONFLICT, 0)
    one.again(operations(2))
    assert (one.state, one.attempt) == (WAITING, 1)
    one.answered(done(2))
    assert (one.state, one.rows) == (DONE, 2)


def test_nothing_left_to_do_after_a_conflict_is_done_and_too_many_conflicts_are_given_up() -> None:
    one = work()
    one.answered(ConflictError("gone"))
    one.again([])
    assert one.state == DONE
    other = work()
    for _ in range(ATTEMPTS_MAX):
        other.answered(ConflictError("changed"))
        other.again(operations(3))
    assert other.state == NOT_DONE


def test_a_lost_answer_is_asked_for_again_only_under_an_id() -> None:
    repeatable, plain = work(repeatable=True), work(repeatable=False)
    for one in (repeatable, plain):
        one.answered(OutcomeUnknownError("the reply never came"))
    assert (repeatable.state, plain.state) == (WAITING, UNKNOWN)
    repeatable.answered(UnavailableError("nobody serves"))
    assert repeatable.state == UNKNOWN


def test_an_id_whose_session_went_on_is_not_asked_for_ever() -> None:
    one = work()
    one.answered(RejectedError("it was answered before", code="STALEID"))
    assert one.state == UNKNOWN
    error = writing_errors.failure("t", [one], repeatable=True)
    assert not error.outcome_known and "its session has run others since" in error.message
    assert "look at what is there" in error.advice


def test_what_happened_is_said_for_each_partition() -> None:
    one, two, three = (work(partition=number) for number in range(3))
    one.answered(done(3))
    two.answered(OutOfMemoryError("it is full"))
    three.give_up()
    error = writing_errors.failure("t", [one, two, three], repeatable=True)
    assert isinstance(error, PartlyDone) and error.outcome_known
    assert error.outcomes == [
        {"partition": 0, "outcome": DONE, "rows": 3},
        {"partition": 1, "outcome": NOT_DONE, "rows": 0, "reason": "it is full"},
        {"partition": 2, "outcome": NOT_DONE, "rows": 0},
    ]
    assert "partition 0 did its part" in error.message and "same statement id" in error.advice


def test_a_statement_that_did_nothing_anywhere_ends_with_the_reason() -> None:
    one, two = work(partition=0), work(partition=1)
    one.answered(OutOfMemoryError("it is full"))
    two.give_up()
    refused = writing_errors.failure("t", [one, two], repeatable=True)
    assert isinstance(refused, WriteRefused) and refused.message == "it is full"
    late = work()
    late.give_up()
    assert isinstance(writing_errors.failure("t", [late], repeatable=True), Unavailable)


def test_an_unknown_outcome_is_not_called_known() -> None:
    one = work(repeatable=False)
    one.answered(OutcomeUnknownError("the reply never came"))
    error = writing_errors.failure("t", [one], repeatable=False)
    assert isinstance(error, PartlyDone) and not error.outcome_known
    assert "had no statement id" in error.advice


def test_parts_that_are_done_stay_done_when_a_later_one_fails() -> None:
    one = work(PART_RECORDS_MAX + 1)
    one.cut(True, "t")
    one.answered(done(100, one.parts))
    one.answered(OutOfMemoryError("full"))
    outcome = one.outcome(str)
    assert (outcome.outcome, outcome.rows) == (PARTLY, 100)


def test_ids_of_statements() -> None:
    session = "00112233445566778899aabbccddeeff"
    numbered = StatementId.of(f"{session}-7-3")
    assert numbered == StatementId(bytes.fromhex(session), 7, 3)
    assert numbered.request(0, 0) == (numbered.client, 7 << 16, 3 << 16)
    assert numbered.request(2, 5) == (numbered.client, (7 << 16) + 2 * 64 + 5, 3 << 16)
    own = StatementId.of("nightly import of 21 November")
    assert (len(own.client), own.number, own.acked) == (16, 0, 0)
    assert own == StatementId.of("nightly import of 21 November") != StatementId.of(session)
    for bad in ("", "x" * 201, f"{session}-3-7"):
        with pytest.raises(SyntaxProblem):
            StatementId.of(bad)


def test_a_statement_has_each_record_once_and_a_limit_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    table = TableDefinition(name="t", columns=(), key=())
    gathered = Operations(table, [slot % 2 for slot in range(SLOT_COUNT)])
    assert gathered.add([5, 6], [b"t:1", b"t:2"], [b"r", None]) is None
    assert gathered.add([7, 8, 9, 7], [b"t:3", b"t:4", b"t:3", b"t:4"], [b"a", b"b", b"c", b"d"]) == 2
    found = [(partition, one) for partition, some in gathered.by_partition.items() for one in some]
    assert sorted(one for _, one in found) == [
        (5, b"t:1", b"r"),
        (6, b"t:2", None),
        (7, b"t:3", b"a"),
        (8, b"t:4", b"b"),
    ]
    assert all(slot_of(one.key) % 2 == partition for partition, one in found)
    monkeypatch.setattr(writing_operations, "STATEMENT_BYTES_MAX", 80)
    with pytest.raises(TooMuch, match="writes more than 80 of rows to table t"):
        gathered.add([0], [b"t:5"], [b"r" * 40])


def test_a_part_that_has_grown_is_not_sent() -> None:
    """Its refusal would be remembered under its number."""
    one = work(2 * PART_RECORDS_MAX + 10)
    one.parts = 2
    one.next_part = 1
    one.check_size()
    assert one.state == NOT_DONE and one.outcome(str).outcome == PARTLY
