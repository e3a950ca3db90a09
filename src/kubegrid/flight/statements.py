"""Statements of clients: run by the engine in the call's thread, answered as a stream or as a number of records.

Next on the path of the data: `query.engine`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
from pyarrow import flight

from kubegrid.flight.calls import STATEMENT, Call, Calls
from kubegrid.flight.failures import after
from kubegrid.flight.service import Service
from kubegrid.flight.streams import AnswerStream
from kubegrid.wire.sql_tickets import NOTE, Note, PartOutcome, Statement

if TYPE_CHECKING:
    from kubegrid.query.engine import Description
    from kubegrid.query.result import Result

COUNT = "Count"
"""The only column of the answer to a statement that writes, where a driver wants rows: named as in DuckDB."""
COUNT_SCHEMA = pa.schema([pa.field(COUNT, pa.int64())])


class Statements:
    """Of one port."""

    def __init__(self, service: Service, calls: Calls) -> None:
        self._service = service
        self._calls = calls

    def answer(self, statement: Statement, context: Any) -> Any:
        """The stream of its rows. What it writes is done when this returns. Raises SqlError."""
        call = self._calls.begin(STATEMENT, context, statement.statement_id or "")
        try:
            result = self._execute(statement, call)
        except BaseException as error:
            call.fail(error)
        return AnswerStream(result.batches, call, result.close).as_stream(_with_note(result))

    def change(self, statements: Sequence[Statement], context: Any) -> int:
        """Run statements one after the other; how many records all of them changed. Raises SqlError at the first
        failure: PartlyDone, if some were changed before."""
        changed = 0
        with self._calls.call(STATEMENT, context) as call:
            for statement in statements:
                try:
                    with self._execute(statement, call) as result:
                        rows = sum(batch.num_rows for batch in result.batches)
                except Exception as error:
                    raise after(changed, call.told(error)) from error
                changed += rows if result.rows_changed is None else result.rows_changed
        return changed

    def describe(self, sql: str, parameters: Sequence[Any] = ()) -> "Description":
        """Raises SqlError."""
        return self._service.engine().describe(sql, parameters)

    def parameters(self, sql: str) -> Any:
        """`pyarrow.Schema` of the parameters. Raises SqlError."""
        return self._service.engine().parameters(sql)

    def _execute(self, statement: Statement, call: Call) -> "Result":
        return self._service.engine().execute(
            statement.sql,
            statement.parameters,
            statement_id=statement.statement_id,
            timeout_s=None if statement.timeout_ms is None else statement.timeout_ms / 1000,
            again=statement.again,
            cancelled=call.cancelled,
        )


def count_stream(changed: int) -> Any:
    """The answer of a statement that wrote, as a row."""
    return flight.RecordBatchStream(pa.table([pa.array([changed], pa.int64())], schema=COUNT_SCHEMA))


def _with_note(result: "Result") -> Any:
    """The schema of the answer, with the `Note` in its metadata if the statement wrote."""
    schema = result.schema
    if result.rows_changed is None:
        return schema
    outcomes = [
        PartOutcome(partition=part.partition, outcome=part.outcome, rows=part.rows, error=part.error)
        for part in result.outcomes
    ]
    note = Note(rows_changed=result.rows_changed, outcomes=outcomes, statement_id=result.statement_id)
    return schema.with_metadata({**(schema.metadata or {}), NOTE: msgspec.json.encode(note)})
