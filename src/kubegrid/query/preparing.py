"""From a statement's text to what can be run: parsed, its values put in, bound to names and types, planned; and kept.

All of it costs some milliseconds of Python, so what was prepared is kept by text, values and version of the catalog.
"""

import dataclasses
import re
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlglot import exp

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import Catalog
from kubegrid.query import closed
from kubegrid.query.binding import VERSION_COLUMN, Binding, Columns
from kubegrid.query.partitions import Partitions
from kubegrid.query.plain_types import is_plain, passable
from kubegrid.query.running import Running
from kubegrid.query.thresholds import Thresholds
from kubegrid.sql import moments, parameters, planner, refusals, statements
from kubegrid.sql.errors import SqlError
from kubegrid.sql.key_reads import key_read
from kubegrid.sql.plans import Fragment, Plan
from kubegrid.sql.statements import Statement

KEPT_CHARS_MAX = 256 * 1024
"""Of the texts, with their values, of all statements that are kept parsed, and of all that are kept planned; one takes up
to some hundred bytes for each character. A statement longer than an eighth of it is not kept."""
ENTRY_CHARS = 200
"""What a short one counts as at least."""

_ABOUT_CATALOG = re.compile(
    r"information_schema|pg_catalog|\bshow\s+tables\b|\b(?:pg|duckdb|pragma|sqlite)_", re.IGNORECASE
)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A query that can be run under one version of the catalog."""

    text: str
    """In DuckDB's SQL, with the values in it."""
    catalog: Catalog
    columns: Columns
    schema: Any
    """`pyarrow.Schema` of the answer."""
    plan: Plan | None
    """None: it reads no table of the grid and is run where it was asked."""
    about_catalog: bool = False
    thresholds: Thresholds = field(default_factory=Thresholds, compare=False)
    """What its top-ks found when it ran last."""


class Said:
    """A query as the user gave it: its text, each character at its place, and values for its parameters."""

    def __init__(self, statement: Statement, values: Sequence[Any]) -> None:
        self.text = blank(statement.text, statement.tokens[0].start)
        self.values = values


class Kept(Generic[V]):
    """The values used last, by key, as many as their texts' lengths allow. Thread-safe."""

    def __init__(self, chars_max: int) -> None:
        self._left = chars_max
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, value: V, chars: int) -> None:
        if chars > KEPT_CHARS_MAX // 8:
            return
        with self._lock:
            old = self._entries.pop(key, None)
            self._left += old[1] if old is not None else 0
            self._entries[key] = (value, chars)
            self._left -= chars
            while self._left < 0:
                self._left += self._entries.popitem(last=False)[1][1]


class Preparing:
    """Thread-safe."""

    def __init__(self, binding: Binding, partitions: Partitions, settings: SqlSettings) -> None:
        self._binding = binding
        self._partitions = partitions
        self._settings = settings
        self._parsed: Kept[Statement] = Kept(KEPT_CHARS_MAX)
        self._prepared: Kept[Prepared] = Kept(KEPT_CHARS_MAX)
        self._names: Kept[tuple[str, ...]] = Kept(KEPT_CHARS_MAX)
        """Of the columns of statements with parameters."""
        self._answers: Kept[tuple[Columns, Any]] = Kept(KEPT_CHARS_MAX)
        """Names, types and schema of what reads of records by key answer."""

    def statement(self, text: str) -> Statement:
        """Parsed, its parameters not bound. Raises SqlError."""
        found = self._parsed.get(text)
        if found is None:
            found = statements.parse(text, bytes_max=self._settings.statement_bytes_max)
            self._parsed.put(text, found, ENTRY_CHARS + len(text))
        return found

    def query(
        self, statement: Statement, values: Sequence[Any], catalog: Catalog, running: Running | None = None
    ) -> Prepared:
        """Raises SqlError."""
        read = key_read(statement, catalog)
        if read is None or len(values) != statement.parameters:
            return self._general(statement, values, catalog, running)
        answer = self._answers.get((read.shape, catalog.version))
        if answer is None:
            general = self._general(statement, values, catalog, running)
            if not is_plain(general.schema, [read.table.column(name).type for name in read.columns]):
                return general
            answer = general.columns, general.schema
            self._answers.put((read.shape, catalog.version), answer, ENTRY_CHARS + len(statement.text))
        columns, schema = answer
        plan = read.plan(values, columns, self._partitions.count)
        if plan is None:
            return self._general(statement, values, catalog, running)
        return Prepared(statement.text, catalog, columns, schema, passable(plan))

    def _general(
        self, statement: Statement, values: Sequence[Any], catalog: Catalog, running: Running | None
    ) -> Prepared:
        said = _said(values)
        key = (statement.text, statement.analyze, said, catalog.version, self._partitions.count)
        found = None if said is None else self._prepared.get(key)
        if found is not None:
            return found
        bound = parameters.bind(statement, values)
        expression = moments.at_moment(bound.expression, datetime.now(UTC))
        prepared = self._query(expression, Said(statement, values), catalog, running)
        if expression is bound.expression and said is not None:
            self._prepared.put(key, prepared, ENTRY_CHARS + len(statement.text) + len(said))
        return prepared

    def made(self, sql: str, catalog: Catalog, running: Running | None = None) -> Prepared:
        """A SELECT of our own, over nothing."""
        columns = self._binding.columns(sql, catalog, (), running)
        return Prepared(sql, catalog, columns, self._binding.schema(columns, running), None)

    def hidden_query(
        self, expression: exp.Query, catalog: Catalog, running: Running | None = None, text: str = ""
    ) -> Prepared:
        """Of a statement that writes: `__version` may be named in it. `text`: that statement, if it has no parameters."""
        closed.check(expression)
        expression = moments.at_moment(expression, datetime.now(UTC))
        tables = _tables(expression, catalog)
        try:
            columns = self._binding.columns(_as_seen(expression).sql("duckdb"), catalog, tables, running)
        except SqlError as error:
            raise self._binding.placed(error, text, catalog, running) from None
        plan = self._planned(expression, catalog, columns, running)
        sql = expression.sql("duckdb")
        return Prepared(sql, catalog, columns, self._binding.schema(columns, running), plan)

    def _query(self, expression: Any, said: "Said", catalog: Catalog, running: Running | None) -> Prepared:
        closed.check(expression)
        sql = expression.sql("duckdb") if said.values else said.text
        tables = _tables(expression, catalog)
        about_catalog = _ABOUT_CATALOG.search(sql) is not None
        columns = self._binding.columns(sql, catalog, None if about_catalog else tables, running)
        if said.values and _names_itself(expression):
            columns = self._named(columns, said, catalog, tables, running)
        plan = None
        if tables:
            plan = self._planned(expression, catalog, columns, running)
        else:
            refusals.check(expression, catalog)
            self._binding.check_reads_none(sql, catalog, running)
        return Prepared(sql, catalog, columns, self._binding.schema(columns, running), plan, about_catalog)

    def _named(
        self, columns: Columns, said: "Said", catalog: Catalog, tables: set[str], running: Running | None
    ) -> Columns:
        """With the names that they have in the user's own text: sqlglot calls len() length(), and values are no names."""
        key = said.text, catalog.version
        names = self._names.get(key)
        if names is None:
            names = self._binding.names(said.text, said.values, catalog, tables, running)
            if names is None or len(names) != len(columns):
                return columns
            self._names.put(key, names, ENTRY_CHARS + len(said.text))
        return tuple((name, kind) for name, (_, kind) in zip(names, columns, strict=True))

    def _planned(self, expression: Any, catalog: Catalog, columns: Columns, running: Running | None) -> Plan:
        plan = planner.plan(expression, catalog, self._partitions.count)
        if not plan.fragments and plan.final is not None:
            self._binding.check_reads_none(plan.final, catalog, running)
        fragments = tuple(self._unasked(fragment, catalog, running) for fragment in plan.fragments)
        return passable(dataclasses.replace(plan, fragments=fragments, columns=columns))

    def _unasked(self, fragment: Fragment, catalog: Catalog, running: Running | None) -> Fragment:
        """One that no partition is asked for has its columns from nowhere else; the others bring them."""
        if fragment.partitions != ():
            return fragment
        tables = (*fragment.tables, *fragment.broadcast)
        columns = self._binding.hidden_columns(fragment.sql, catalog, tables, running)
        return dataclasses.replace(fragment, columns=columns)


def _said(values: Sequence[Any]) -> str | None:
    """The values as part of a key, told apart by their types too; None: too long for that."""
    if sum(len(value) if isinstance(value, str | bytes) else 1 for value in values) > KEPT_CHARS_MAX // 8:
        return None
    return repr(list(values))


def blank(text: str, start: int) -> str:
    """The text from there on, each character at its place: what stands before it is blank."""
    return "".join(each if each == "\n" else " " for each in text[:start]) + text[start:]


def _as_seen(expression: Any) -> Any:
    """To be bound where tables have no `__version`, so that `*` is what a user means by it: DuckDB's own number of a row,
    which no `*` includes either, stands for it."""
    tree = expression.copy()
    for column in list(tree.find_all(exp.Column)):
        if column.name == VERSION_COLUMN:
            number: Any = exp.cast(exp.column("rowid", table=column.args.get("table")), "UBIGINT", dialect="duckdb")
            if isinstance(column.parent, exp.Select) and column.arg_key == "expressions":
                number = exp.alias_(number, VERSION_COLUMN)
            column.replace(number)
    return tree


def _names_itself(query: Any) -> bool:
    """Whether it may have a column that is called by what computes it."""
    plain = (exp.Alias, exp.Column, exp.Star)
    return any(not isinstance(item, plain) for select in query.find_all(exp.Select) for item in select.expressions)


def _tables(expression: Any, catalog: Catalog) -> set[str]:
    names = {table.name.lower() for table in catalog.tables}
    return {
        table.name
        for table in expression.find_all(exp.Table)
        if table.name.lower() in names and table.db.lower() in ("", "main")
    }
