"""Statements that write, carried out: read, computed by a SELECT, sent to the partitions, computed again where they must be.

    read (sql.dml)  →  compute (writing_changes)  →  send (writing_sending)  →  done, or computed anew for a partition
                                                                               whose records others changed meanwhile

Nothing is locked: the records are read at a commit point, and each partition does its part if they are still as they were
read (optimistic concurrency), as one entry of its log. A partition that is done stays done whatever happens in others; what
became of each is told. Tables are defined in `writing_tables`. Next: `writer`, which says what the engine relies on.
"""

import random
import time
from collections.abc import Callable, Sequence

from kubegrid.base.table_errors import shown
from kubegrid.client.caller import Caller
from kubegrid.client.errors import ClientError, RecordExistsError, WrongTypeError
from kubegrid.query import writing_changes, writing_errors
from kubegrid.query.partitions import Cancelled
from kubegrid.query.writer import Queries, Written
from kubegrid.query.writing_ids import StatementId
from kubegrid.query.writing_operations import MISSING, Operations
from kubegrid.query.writing_sending import Sending
from kubegrid.query.writing_tables import Definitions
from kubegrid.query.writing_work import CONFLICT, DONE, Work
from kubegrid.sql import dml, dml_conflicts
from kubegrid.sql import errors as sql_errors
from kubegrid.sql.statements import ALTER, CREATE, CTAS, DROP, TRUNCATE, Statement

COMPUTE_AGAIN_S = 0.005
"""Wait before a statement is computed again, at most twice as long each time up to COMPUTE_AGAIN_MAX_S."""
COMPUTE_AGAIN_MAX_S = 0.2
TABLE_STAYS = "DROP TABLE {name}, then run the statement again."


class StatementWriter:
    """`writer.Writer` of one pod. Any number of threads use it at once."""

    def __init__(self, caller: Callable[[], Caller]) -> None:
        """`caller()` is the pod's client of its own grid, made when it is first needed."""
        self._caller = caller

    def execute(
        self,
        statement: Statement,
        queries: Queries,
        *,
        statement_id: str | None,
        again: bool,
        deadline: float,
        cancelled: Cancelled,
    ) -> Written:
        identity = None if statement_id is None else StatementId.of(statement_id)
        again = identity is not None and (again or identity.named)
        sending = Sending(self._caller(), identity, deadline, cancelled, again)
        if statement.kind in (CREATE, CTAS, ALTER, DROP, TRUNCATE):
            filled = Definitions(sending, queries).carry_out(statement)
            if filled is None:
                written = (
                    0 if statement.kind == CTAS else None
                )  # the table was there already, and nothing is put into it
                return Written(written, statement_id=statement_id)
            works = _create_as(filled, sending, queries)
        else:
            works = _write(lambda: dml.read(statement, queries.catalog), sending, queries)
        outcomes = [work.outcome(str) for work in works]
        return Written(sum(work.rows for work in works), outcomes, statement_id)


def _create_as(filled: dml.Insert, sending: Sending, queries: Queries) -> Sequence[Work]:
    """The table is made when its rows are known, and is gone again if none of them could be written.

    Not under the id: a table that is there when it is run again may have a part of its rows.
    """
    definitions = Definitions(sending, queries)
    name = filled.table.name
    made: int | None = None

    def make() -> None:
        nonlocal made
        made = definitions.create(filled.table)

    try:
        return _write(lambda: filled, sending, queries, make)
    except sql_errors.PartlyDone as error:
        error.advice = error.remedy = TABLE_STAYS.format(name=name)
        raise
    except Exception as error:
        if made is not None:
            try:
                definitions.take_back(name, made)
            except sql_errors.SqlError as second:
                raise sql_errors.PartlyDone(
                    f"{error}; table {name} is there, without rows: {second.message}",
                    remedy=TABLE_STAYS.format(name=name),
                    outcome_known=second.outcome_known,
                ) from error
        raise


def _write(
    read: Callable[[], dml.Change], sending: Sending, queries: Queries, make: Callable[[], None] | None = None
) -> Sequence[Work]:
    """Compute and send until every partition is done. `make`: called before anything is sent. Raises SqlError."""
    change = read()
    operations = _computed(change, sending, queries)
    by_partition = operations.by_partition
    may_be_cut = make is not None or len(by_partition) > 1
    # What is run again may find nothing to do where it did something the first time: that partition is asked, too.
    asked = set(sending.partitions) if sending.again and make is None else set(by_partition)
    works: Sequence[Work] = [
        Work(partition, by_partition.get(partition, []), sending.identity is not None, sending.again)
        for partition in sorted(asked)
    ]
    for work in works:
        work.cut(may_be_cut, change.table.name)
    _check_wanted(sending)
    if make is not None:
        make()
    repeatable = sending.identity is not None
    try:
        _send(read, change, operations, works, may_be_cut, sending, queries)
    except (sql_errors.SqlError, ClientError) as raised:
        error = writing_errors.sql_error(raised) if isinstance(raised, ClientError) else raised
        # Whatever it was: what became of the partitions that were asked already is not forgotten over it.
        for work in works:
            work.left(error.message)
        if not any(work.began for work in works):
            raise error from (None if error is raised else raised)
        told = writing_errors.failure(change.table.name, _told(works), repeatable)
        if repeatable and make is None and isinstance(error, sql_errors.Unavailable | sql_errors.SchemaMoved):
            # It passes: who asks again under the id, as our client does, is told the whole.
            raise sql_errors.Unavailable(
                told.message, remedy=told.advice, outcomes=told.outcomes, outcome_known=False
            ) from raised
        raise told from raised
    works = _told(works)
    if any(work.state != DONE for work in works):
        raise writing_errors.failure(change.table.name, works, repeatable)
    return works


def _told(works: Sequence[Work]) -> Sequence[Work]:
    """Without those that had nothing to do and were only asked what they did the first time."""
    return [work for work in works if not work.idle]


def _send(
    read: Callable[[], dml.Change],
    change: dml.Change,
    operations: Operations,
    works: Sequence[Work],
    may_be_cut: bool,
    sending: Sending,
    queries: Queries,
) -> None:
    """Send what was computed, and compute again for partitions that answer with a conflict. Raises SqlError, ClientError."""
    table = change.table
    plain_insert = isinstance(change, dml.Insert) and change.conflict.action == dml_conflicts.FAIL
    if plain_insert and len(works) > 1:
        _send_doubtful(sending, operations, works)
    sending.send(table, works)
    wait_s = COMPUTE_AGAIN_S
    while conflicting := [work for work in works if work.state == CONFLICT]:
        for work in conflicting:
            if plain_insert:
                _check_duplicates(sending, operations, work)
            if isinstance(work.error, WrongTypeError):  # raised here if it is so now: the answer may be an old one
                sending.records(table, [operation.key for operation in work.operations])
        if time.monotonic() >= sending.deadline:
            for work in conflicting:
                work.give_up()
            break
        if sending.cancelled():
            raise sql_errors.Cancelled("the statement was cancelled")
        time.sleep(wait_s * random.uniform(0.5, 1))
        wait_s = min(2 * wait_s, COMPUTE_AGAIN_MAX_S)
        change = read()
        operations = _computed(change, sending, queries)
        for work in conflicting:
            work.again(operations.by_partition.get(work.partition, []))
            if not work.next_part:
                work.cut(may_be_cut, change.table.name)
        table = change.table
        sending.send(table, works)


def _computed(change: dml.Change, sending: Sending, queries: Queries) -> Operations:
    return writing_changes.of(change, queries, sending.partitions, sending.records)


def _check_wanted(sending: Sending) -> None:
    """Before anything is sent. Raises Cancelled, TimedOut."""
    if time.monotonic() >= sending.deadline:
        raise sql_errors.TimedOut("the statement's time was over before it wrote anything; nothing was done")
    if sending.cancelled():
        raise sql_errors.Cancelled("the statement was cancelled; nothing was done")


def _send_doubtful(sending: Sending, operations: Operations, works: Sequence[Work]) -> None:
    """An INSERT whose keys are there already in some partition is refused there before any other partition is asked.

    Or it is answered there, by a partition that did its part when the statement was run before under its id.
    """
    keys = [operation.key for work in works for operation in work.operations]
    there = {sending.partition_of(key) for key in sending.records(operations.table, keys)}
    doubtful = [work for work in works if work.partition in there]
    sending.send(operations.table, doubtful)
    for work in doubtful:
        if work.state == CONFLICT:
            _check_duplicates(sending, operations, work)


def _check_duplicates(sending: Sending, operations: Operations, work: Work) -> None:
    """Raise WriteRefused if a key that an INSERT wants is really there: a remembered answer may be an old one."""
    if not isinstance(work.error, RecordExistsError):
        return
    wanted = [operation.key for operation in work.operations if operation.expected == MISSING]
    there = sending.records(operations.table, wanted)
    if not there:
        return
    first = next(key for key in wanted if key in there)
    more = f" and {len(there) - 1} more" if len(there) > 1 else ""
    message = f"table {operations.table.name} has {shown(first.decode(errors='backslashreplace'))}{more} already"
    remedy = "INSERT … ON CONFLICT DO NOTHING leaves what is there, ON CONFLICT DO UPDATE SET … changes it."
    work.refused(message)
    raise sql_errors.WriteRefused(message, remedy=remedy)
