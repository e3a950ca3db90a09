"""What a statement that writes tells of partitions that were asked when something goes wrong elsewhere, or run again."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from kubegrid.base.tables import TableDefinition
from kubegrid.client.errors import ClosedError, ConflictError, OutcomeUnknownError, RecordExistsError, WrongTypeError
from kubegrid.query import writing, writing_changes, writing_sending
from kubegrid.query.writing_ids import StatementId
from kubegrid.query.writing_operations import MISSING, Operation, Operations
from kubegrid.query.writing_sending import Sending
from kubegrid.query.writing_work import DONE, NOT_DONE, UNKNOWN, Work
from kubegrid.sql import dml, dml_conflicts
from kubegrid.sql.errors import PartlyDone, SqlError, Unavailable, WriteRefused

TABLE = TableDefinition(name="t", columns=(), key=())
INSERT = dml.Insert(TABLE, (), None, (), dml_conflicts.Conflict(dml_conflicts.FAIL))
IDENTITY = StatementId.of("tonight")
DONE_ONE = [1, 1, 0, 0, 1]
EXISTS = RecordExistsError("t:b exists already")
LOST = OutcomeUnknownError("the reply never came")


class Stub(Sending):
    """Partitions that answer by a script: `answers[partition]` one after the other."""

    def __init__(self, answers: dict[int, list[Any]], identity: StatementId | None = None, again: bool = False) -> None:
        self.identity = identity
        self.again = again
        self.deadline = time.monotonic() + 60
        self.cancelled = lambda: False
        self.partitions = [0, 1, 2]
        self.answers = answers
        self.looks: list[Callable[[], dict[bytes, Any]]] = []
        self.sent: list[tuple[int, int]] = []

    def partition_of(self, key: bytes) -> int:
        return 0

    def send(self, table: TableDefinition, works: Any) -> None:
        for work in works:
            while work.state == "waiting":
                self.sent.append((work.partition, len(work.operations)))
                work.answered(self.answers[work.partition].pop(0))

    def records(self, table: TableDefinition, keys: list[bytes]) -> Any:
        return self.looks.pop(0)() if self.looks else {}


def unavailable() -> Any:
    raise Unavailable("partition 1 has no primary")


def write(monkeypatch: pytest.MonkeyPatch, stub: Stub, *computed: dict[int, list[bytes]], change: Any = INSERT) -> Any:
    """`computed`: keys by partition, of each time that the statement is computed."""
    left = list(computed)

    def of(*_: Any) -> Operations:
        operations = Operations(TABLE, stub.partitions)
        for partition, keys in left.pop(0).items():
            operations.by_partition[partition] = [Operation(MISSING, key, b"row") for key in keys]
        return operations

    monkeypatch.setattr(writing_changes, "of", of)
    queries: Any = None
    return writing._write(lambda: change, stub, queries)


@pytest.mark.parametrize(("first", "told"), [(DONE_ONE, DONE), (LOST, UNKNOWN)])
def test_what_was_done_is_told_when_a_look_at_another_partition_fails(
    monkeypatch: pytest.MonkeyPatch, first: Any, told: str
) -> None:
    stub = Stub({0: [first], 1: [EXISTS]})
    stub.looks = [dict, unavailable]
    with pytest.raises(PartlyDone, match="partition 1 has no primary") as raised:
        write(monkeypatch, stub, {0: [b"t:a"], 1: [b"t:b"]})
    assert [one["outcome"] for one in raised.value.outcomes] == [told, NOT_DONE]
    assert raised.value.outcome_known is (told == DONE)


def test_under_an_id_what_passes_may_be_asked_again_and_is_not_called_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub({0: [DONE_ONE], 1: [EXISTS]}, IDENTITY)
    stub.looks = [dict, unavailable]
    with pytest.raises(Unavailable) as raised:
        write(monkeypatch, stub, {0: [b"t:a"], 1: [b"t:b"]})
    assert not raised.value.outcome_known
    assert [one["outcome"] for one in raised.value.outcomes] == [DONE, NOT_DONE]


def test_a_duplicate_is_no_refusal_of_the_whole_when_another_partition_may_have_done_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for first, kind in ((DONE_ONE, PartlyDone), (LOST, PartlyDone), (EXISTS, WriteRefused)):
        stub = Stub({0: [first], 1: [EXISTS]})
        stub.looks = [dict, *[lambda: {b"t:b": (1, ())}] * 2]
        with pytest.raises(SqlError) as raised:
            write(monkeypatch, stub, {0: [b"t:b"], 1: [b"t:b"]})
        assert type(raised.value) is kind


def test_nothing_done_anywhere_is_told_by_the_error_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub({})
    stub.looks = [unavailable]
    with pytest.raises(Unavailable) as raised:
        write(monkeypatch, stub, {0: [b"t:a"], 1: [b"t:b"]})
    assert raised.value.outcome_known and not raised.value.outcomes


def test_replies_that_are_lost_with_the_pod_leave_all_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    def ends(*_: Any) -> Any:
        raise ClosedError("this client is closed")

    class Ending(Stub):
        def send(self, table: TableDefinition, works: Any) -> None:
            Sending.send(self, table, works)

        def _request(self, table: TableDefinition, work: Work) -> Any:
            return None

    monkeypatch.setattr(writing_sending, "run_batch", ends)
    for identity, kind in ((None, PartlyDone), (IDENTITY, Unavailable)):
        stub = Ending({}, identity)
        stub.caller = None  # type: ignore[assignment]
        with pytest.raises(kind, match="this member is stopping") as raised:
            write(monkeypatch, stub, {0: [b"t:a"]})
        assert not raised.value.outcome_known
        assert [one["outcome"] for one in raised.value.outcomes] == [UNKNOWN]


def test_run_again_a_partition_is_asked_what_it_did_although_there_is_nothing_to_do_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing = [0, 0, 0, 0, 1]
    stub = Stub({0: [[1, 0, 3, 0, 1]], 1: [nothing], 2: [ConflictError("as then"), DONE_ONE]}, IDENTITY, again=True)
    works = write(monkeypatch, stub, {}, {}, change=dml.Delete(TABLE, None))  # type: ignore[arg-type]
    assert [(work.partition, work.state, work.rows) for work in works] == [(0, DONE, 3), (2, DONE, 1)]
    assert stub.sent == [(0, 0), (1, 0), (2, 0), (2, 0)]


def test_a_value_of_another_kind_is_looked_for_before_it_refuses_the_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    def there() -> Any:
        raise WriteRefused("t:a holds a value from before there was a table of this name")

    stub = Stub({0: [WrongTypeError("as then"), DONE_ONE]}, IDENTITY)
    stub.looks = [dict]
    assert [work.state for work in write(monkeypatch, stub, {0: [b"t:a"]}, {0: [b"t:a"]})] == [DONE]
    stub = Stub({0: [WrongTypeError("as now")]}, IDENTITY)
    stub.looks = [there]
    with pytest.raises(WriteRefused, match="from before"):
        write(monkeypatch, stub, {0: [b"t:a"]})


def test_run_again_the_rows_of_every_part_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = Stub({0: [[1, 9, 0, 0, 3], [1, 8, 0, 0, 3], [1, 7, 0, 0, 3]], 1: [DONE_ONE], 2: [DONE_ONE]}, IDENTITY, True)
    works = write(monkeypatch, stub, {}, change=dml.Delete(TABLE, None))  # type: ignore[arg-type]
    assert sum(work.rows for work in works) == 26
