"""One statement, by its kind: a question goes to the partitions, a writing one to the writer, one about tables is told here."""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import Catalog
from kubegrid.query import closed, conversions, explain, facts
from kubegrid.query.binding import Columns
from kubegrid.query.partitions import Partitions
from kubegrid.query.preparing import Prepared, Preparing, blank
from kubegrid.query.querying import Ends, Querying
from kubegrid.query.result import Result
from kubegrid.query.running import Running
from kubegrid.query.streaming import Stream
from kubegrid.query.trace import Trace
from kubegrid.query.writer import Writer
from kubegrid.query.writing_queries import StatementQueries
from kubegrid.sql import dml, parameters, statements
from kubegrid.sql.errors import NotSupported, SchemaMoved, SqlError, TypeProblem
from kubegrid.sql.statements import Statement

REPLAN_PAUSE_S = 0.05
REPLANS_MAX = 40
"""How often a statement is planned anew because the catalog changed under it, or this pod heard of the change last."""

_WITH_TREE = (statements.QUERY, statements.INSERT, statements.UPDATE, statements.DELETE, statements.CTAS)
_WITH_COUNT = (statements.INSERT, statements.UPDATE, statements.DELETE, statements.CTAS)


@dataclass(frozen=True, slots=True)
class Means:
    """What every statement of an engine works with."""

    catalog: Callable[[], Catalog]
    partitions: Partitions
    writer: Writer
    settings: SqlSettings
    preparing: Preparing
    querying: Querying
    granted: Callable[[int], int]


class Execution:
    """Of one statement; `ends` is what to call when it is over, whoever ends it."""

    def __init__(self, means: Means, values: Sequence[Any], running: Running, ends: Ends) -> None:
        self._means = means
        self._values = values
        self._running = running
        self._ends = ends
        self._trace = Trace()
        self._statement: Statement | None = None

    def run(self, statement: Statement, statement_id: str | None, again: bool = False) -> Result:
        self._statement = statement
        kind = statement.kind
        if kind == statements.QUERY:
            return self._question(statement)
        if kind in (statements.SHOW, statements.DESCRIBE):
            parameters.bind(statement, self._values)  # says if there are too many or too few
            return self._told(self.about_tables(statement))
        if kind == statements.EXPLAIN:
            return self._explained(statement)
        return self._written(statement, statement_id, again)

    def about_tables(self, statement: Statement) -> str:
        """The SELECT that answers SHOW or DESCRIBE."""
        catalog = self._means.catalog()
        if statement.explained is not None:
            prepared = self._means.preparing.query(statement.explained, self._values, catalog, self._running)
            return facts.describe_columns(prepared.columns)
        table = facts.table_named(statement, catalog)
        return facts.show_tables(catalog) if table is None else facts.describe_table(table)

    @staticmethod
    def columns_told(statement: Statement, catalog: Catalog) -> Columns:
        """Of SHOW, DESCRIBE and EXPLAIN: names and types of their answer."""
        if statement.kind == statements.EXPLAIN:
            return explain.ANALYZE_COLUMNS if statement.analyze else explain.COLUMNS
        if statement.explained is not None or facts.table_named(statement, catalog) is not None:
            return facts.COLUMN_COLUMNS
        return facts.TABLE_COLUMNS

    def _question(self, statement: Statement) -> Result:
        return self._answered(lambda: self._prepared(statement), self._running, self._ends)

    def _prepared(self, statement: Statement) -> Prepared:
        return self._means.preparing.query(statement, self._values, self._means.catalog(), self._running)

    def _answered(self, prepare: Callable[[], Prepared], running: Running, ends: Ends) -> Result:
        """Prepared under the catalog of now, again as long as a partition says that it is another one."""
        attempt = 0
        while True:
            with self._trace.step("plan"):
                prepared = prepare()
            mine: Ends = []
            try:
                batches = self._means.querying.run(prepared, running, self._trace, mine)
            except BaseException as error:
                while mine:
                    mine.pop()()
                attempt += 1
                if isinstance(error, TypeProblem):
                    raise self._with_column(error) from None
                if not isinstance(error, SchemaMoved) or attempt == REPLANS_MAX:
                    raise
                self._trace.asked.clear()
                running.pause(REPLAN_PAUSE_S)
                continue
            ends += mine
            return Result(prepared.schema, self._stream(batches, prepared.schema, running, ends))

    def _with_column(self, error: SqlError) -> SqlError:
        """A text that is no value of the column that it was compared with is told with that column."""
        statement = self._statement
        if not isinstance(error, TypeProblem) or statement is None or statement.expression is None:
            return error
        expression = parameters.bind(statement, self._values).expression
        return conversions.named(error, expression, statement, self._means.catalog())

    def _stream(self, batches: Iterator[Any], schema: Any, running: Running, ends: Ends) -> Stream:
        bytes_max = self._means.settings.result_bytes_max
        return Stream(batches, schema, running, bytes_max, ends, self._with_column)

    def _told(self, select: str) -> Result:
        """The answer of a SELECT of ours that reads no tables."""
        return self._answered(
            lambda: self._means.preparing.made(select, self._means.catalog(), self._running),
            self._running,
            self._ends,
        )

    def _explained(self, statement: Statement) -> Result:
        inner = statement.explained
        assert inner is not None
        count = self._means.partitions.count
        if inner.kind in (statements.SHOW, statements.DESCRIBE):
            raise NotSupported(
                f"EXPLAIN of {inner.kind.upper()} would say nothing: it is told by the pod that is asked"
            )
        if inner.kind != statements.QUERY:
            if statement.analyze:
                raise NotSupported("EXPLAIN ANALYZE runs the statement, and this one would write")
            prepared = self._source(inner)
            return self._told(explain.explained(prepared, count))
        with self._trace.step("plan"):
            prepared = self._prepared(inner)
        if not statement.analyze:
            return self._told(explain.explained(prepared, count))
        rows = size = 0
        part = self._running.part()
        with self._answered(lambda: self._prepared(inner), part, []) as result, self._trace.step("final"):
            for batch in result.batches:
                rows += batch.num_rows
                size += batch.nbytes
        return self._told(explain.analyzed(prepared, count, self._trace, rows, size))

    def _source(self, statement: Statement) -> Prepared:
        """The question that a writing statement asks before it writes."""
        bound = parameters.bind(statement, self._values) if statement.kind in _WITH_TREE else statement
        catalog = self._means.catalog()
        query: exp.Query | None = None
        if bound.expression is not None:
            query = bound.expression if bound.kind == statements.CTAS else dml.source(bound, catalog)
        if query is None:
            raise NotSupported("there is nothing to explain: the statement asks no partition before it writes")
        return self._means.preparing.hidden_query(query, catalog, self._running, _duckdb_text(statement))

    def _written(self, statement: Statement, statement_id: str | None, again: bool) -> Result:
        text = _duckdb_text(statement)
        if statement.parameters or self._values:
            statement = parameters.bind(statement, self._values)
        if statement.expression is not None:
            closed.check(statement.expression)
        means = self._means
        queries = StatementQueries(
            means.catalog,
            means.preparing,
            lambda prepare, running: self._answered(prepare, running, []),
            means.querying.local,
            means.settings,
            means.granted,
            self._running,
            text,
        )
        written = means.writer.execute(
            statement,
            queries,
            statement_id=statement_id,
            again=again,
            deadline=self._running.deadline,
            cancelled=self._running.over,
        )
        # What was done is told, even if the statement's time is over by now.
        done = Running(self._running.timeout_ms, lambda: False)
        schema = written_schema(statement.kind)
        batches = [] if written.rows_changed is None or not len(schema) else [_count(schema, written.rows_changed)]
        return Result(
            schema,
            self._stream(iter(batches), schema, done, self._ends),
            rows_changed=written.rows_changed,
            outcomes=written.outcomes,
            statement_id=written.statement_id or statement_id,
        )


def _duckdb_text(statement: Statement) -> str:
    """A statement that writes, as DuckDB understands it, too; empty: it does not (CREATE TABLE … AS has clauses of ours)."""
    plain = not statement.parameters and statement.kind in (statements.INSERT, statements.UPDATE, statements.DELETE)
    return blank(statement.text, statement.tokens[0].start) if plain else ""


def written_schema(kind: str) -> Any:
    """One column `Count`, as DuckDB has it, or none for a statement that only defines."""
    import pyarrow as pa

    return pa.schema([pa.field("Count", pa.int64())] if kind in _WITH_COUNT else [])


def _count(schema: Any, count: int) -> Any:
    """From a buffer: `pyarrow.array` imports pandas where that is installed."""
    import pyarrow as pa

    column = pa.Array.from_buffers(pa.int64(), 1, [None, pa.py_buffer(struct.pack("<q", count))])
    return pa.RecordBatch.from_arrays([column], schema=schema)
