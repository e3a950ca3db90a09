"""Carrying out a prepared query: marks, fragments in all partitions at once, gathering, the final statement."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kubegrid.base.settings import SqlSettings
from kubegrid.query import final, fragments, passing
from kubegrid.query.binding import Binding, Columns
from kubegrid.query.fragments import Marks
from kubegrid.query.gathering import Gathering
from kubegrid.query.lanes import Lanes, Task
from kubegrid.query.merged import merged
from kubegrid.query.partitions import Partitions
from kubegrid.query.preparing import Prepared
from kubegrid.query.running import Running
from kubegrid.query.trace import Asked, Trace
from kubegrid.query.watch import Watch
from kubegrid.query.workroom import Workroom
from kubegrid.sql.errors import SqlError
from kubegrid.sql.plans import Fragment, Plan

Ends = list[Callable[[], None]]
"""What to call, the last one first, when the rows are not wanted any more."""


class Querying:
    """Thread-safe; one for an engine."""

    def __init__(self, partitions: Partitions, binding: Binding, settings: SqlSettings, workroom: Workroom) -> None:
        self._partitions = partitions
        self._binding = binding
        self._settings = settings
        self._lanes = Lanes(settings.queries_max)
        self._watch = Watch()
        self.workroom = workroom
        self._numbers = itertools.count(1)

    def run(self, prepared: Prepared, running: Running, trace: Trace, ends: Ends) -> Iterator[Any]:
        """The batches. Returns when the first is ready. Raises SqlError; SchemaMoved: prepare it anew."""
        plan = prepared.plan
        if plan is None:
            about_catalog = prepared.about_catalog
            cursor = (
                self._binding.catalog_cursor(prepared.catalog, running) if about_catalog else self.workroom.cursor()
            )
            return self._final(cursor, prepared.text, prepared.columns, running, trace, ends, prepared.text)
        marks = self._marks(plan, prepared, running, trace)
        if plan.final is None:
            return self._passed(plan.fragments[0], prepared, marks, running, trace)
        gathering = Gathering(self.workroom, self._watch, next(self._numbers))
        ends.append(gathering.close)
        self._gather(plan, gathering, prepared, marks, running, trace)
        whole = self._merged(plan, gathering, prepared, trace)
        if whole is not None:
            return iter([whole])
        cursor = self.workroom.cursor()
        try:
            for fragment in plan.fragments:
                gathering.put_into(cursor, fragment.name, fragment.columns)
        except BaseException:
            cursor.close()
            raise
        return self._final(cursor, plan.final, plan.columns, running, trace, ends)

    def local(self, sql: str, relations: Sequence[tuple[str, Any]], running: Running) -> Any:
        """A `pyarrow.Table`: DuckDB's answer over these Arrow tables only."""
        cursor = self.workroom.cursor()
        try:
            for name, table in relations:
                cursor.register(name, table)
            with self._watch.over(running, cursor.interrupt):
                return cursor.sql(sql).to_arrow_table()
        finally:
            cursor.close()

    def close(self) -> None:
        self._lanes.close()
        self._watch.close()
        self.workroom.close()

    def _merged(self, plan: Plan, gathering: Gathering, prepared: Prepared, trace: Trace) -> Any:
        """The whole answer, if it takes no DuckDB to make it."""
        found = None if plan.merging is None else gathering.arrow(plan.merging.fragment)
        if plan.merging is None or found is None:
            return None
        with trace.step("final"):
            return merged(plan.merging, found, prepared.schema)

    def _final(
        self, cursor: Any, sql: str, columns: Columns, running: Running, trace: Trace, ends: Ends, text: str = ""
    ) -> Iterator[Any]:
        try:
            with trace.step("final"):
                batches, end = final.run(cursor, sql, columns, self._settings.batch_rows, running, self._watch, text)
        except SqlError as error:
            self.workroom.mend(error.__cause__ or error)
            raise
        ends.append(end)
        return batches

    def _marks(self, plan: Plan, prepared: Prepared, running: Running, trace: Trace) -> Marks:
        tables = sorted({table for fragment in plan.fragments for table in fragment.broadcast})
        if not tables:
            return {}
        part = running.part()
        tasks, marks = fragments.ask_marks(self._partitions, tables, prepared.catalog, part)
        with trace.step("marks"):
            self._lanes.run(tasks, part)
        return marks

    def _gather(
        self, plan: Plan, gathering: Gathering, prepared: Prepared, marks: Marks, running: Running, trace: Trace
    ) -> None:
        thresholds = prepared.thresholds
        asked = [thresholds.applied(fragment) for fragment in plan.fragments]
        self._ask(asked, gathering, prepared, marks, running, trace)
        short = [
            fragment
            for fragment, narrowed in zip(plan.fragments, asked, strict=True)
            if narrowed is not fragment and not thresholds.enough(fragment, trace.rows_of(fragment.name))
        ]
        if short:
            for fragment in short:
                gathering.forget(fragment.name)
                trace.forget(fragment.name)
            self._ask(short, gathering, prepared, marks, running, trace)
        for fragment in plan.fragments:
            if fragment.threshold is not None:
                thresholds.learn(fragment, gathering.values(fragment.name, fragment.threshold.column))
        trace.spilled_bytes = gathering.spilled_bytes

    def _ask(
        self,
        some: Sequence[Fragment],
        gathering: Gathering,
        prepared: Prepared,
        marks: Marks,
        running: Running,
        trace: Trace,
    ) -> None:
        part = running.part()

        def task(fragment: Fragment, asked: Asked) -> Task:
            def take(schema: Any, batches: Iterator[Any]) -> None:
                gathering.take(fragment.name, asked.partition, schema, batches, part)

            return lambda: fragments.ask(self._partitions, fragment, prepared.catalog, marks, asked, take, part)

        tasks = [
            task(fragment, self._asked(fragment, partition, trace))
            for fragment in some
            for partition in self._of(fragment)
        ]
        self._lanes.run(tasks, part)

    def _passed(
        self, fragment: Fragment, prepared: Prepared, marks: Marks, running: Running, trace: Trace
    ) -> Iterator[Any]:
        def ask(partition: int) -> Callable[[Running], passing.Held]:
            asked = self._asked(fragment, partition, trace)
            return lambda part: fragments.ask(
                self._partitions, fragment, prepared.catalog, marks, asked, passing.hold, part
            )

        return passing.passed([ask(partition) for partition in self._of(fragment)], self._lanes, running)

    def _asked(self, fragment: Fragment, partition: int, trace: Trace) -> Asked:
        asked = Asked(fragment.name, partition)
        trace.asked.append(asked)
        return asked

    def _of(self, fragment: Fragment) -> Sequence[int]:
        return range(self._partitions.count) if fragment.partitions is None else fragment.partitions
