"""From a statement's text to what can be run: parsed, its values put in, bound to names and types, planned; and kept.

All of it costs some milliseconds of Python, so what was prepared is kept by text, values and version of the catalog.
"""

import dataclasses
import re
import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlglot import exp

from kubegrid.base.settings import SqlSettings
from kubegrid.base.tables import Catalog
from kubegrid.query import closed
from kubegrid.query.binding import Binding, Columns
from kubegrid.query.partitions import Partitions
from kubegrid.query.plain_types import passable
from kubegrid.sql import parameters, planner, statements
from kubegrid.sql.plans import Fragment, Plan
from kubegrid.sql.statements import Statement

KEPT_MAX = 256
KEPT_CHARS_MAX = 32 * 1024
"""A longer statement, or one with longer values, is not kept."""

_ABOUT_CATALOG = re.compile(r"information_schema|pg_catalog|\b(?:pg|duckdb|pragma|sqlite)_", re.IGNORECASE)
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


class Kept(Generic[V]):
    """The values used last, by key. Thread-safe."""

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    def put(self, key: Hashable, value: V) -> None:
        with self._lock:
            self._entries[key] = value
            if len(self._entries) > self._entries_max:
                self._entries.popitem(last=False)


class Preparing:
    """Thread-safe."""

    def __init__(self, binding: Binding, partitions: Partitions, settings: SqlSettings) -> None:
        self._binding = binding
        self._partitions = partitions
        self._settings = settings
        self._parsed: Kept[Statement] = Kept(KEPT_MAX)
        self._prepared: Kept[Prepared] = Kept(KEPT_MAX)

    def statement(self, text: str) -> Statement:
        """Parsed, its parameters not bound. Raises SqlError."""
        found = self._parsed.get(text)
        if found is None:
            found = statements.parse(text, bytes_max=self._settings.statement_bytes_max)
            if len(text) <= KEPT_CHARS_MAX:
                self._parsed.put(text, found)
        return found

    def query(self, statement: Statement, values: Sequence[Any], catalog: Catalog) -> Prepared:
        """Raises SqlError."""
        said = repr(values) if values else ""
        key = (statement.text, statement.analyze, said, catalog.version, self._partitions.count)
        found = self._prepared.get(key)
        if found is not None:
            return found
        bound = parameters.bind(statement, values)
        expression = bound.expression
        prepared = self._query(
            expression, blank(statement.text, statement.tokens[0].start) if not values else "", catalog
        )
        if expression is bound.expression and len(statement.text) + len(said) <= KEPT_CHARS_MAX:
            self._prepared.put(key, prepared)
        return prepared

    def made(self, sql: str, catalog: Catalog) -> Prepared:
        """A SELECT of our own, over nothing."""
        columns = self._binding.columns(sql, catalog, ())
        return Prepared(sql, catalog, columns, self._binding.schema(columns), None)

    def hidden_query(self, expression: exp.Query, catalog: Catalog) -> Prepared:
        """Of a statement that writes: `__version` may be named in it."""
        sql = expression.sql("duckdb")
        columns = self._binding.hidden_columns(sql, catalog, _tables(expression, catalog))
        plan = self._planned(expression, catalog, columns)
        return Prepared(sql, catalog, columns, self._binding.schema(columns), plan)

    def _query(self, expression: Any, text: str, catalog: Catalog) -> Prepared:
        closed.check(expression)
        sql = text or expression.sql("duckdb")
        tables = _tables(expression, catalog)
        about_catalog = _ABOUT_CATALOG.search(sql) is not None
        columns = self._binding.columns(sql, catalog, None if about_catalog else tables)
        plan = self._planned(expression, catalog, columns) if tables else None
        return Prepared(sql, catalog, columns, self._binding.schema(columns), plan, about_catalog)

    def _planned(self, expression: Any, catalog: Catalog, columns: Columns) -> Plan:
        plan = planner.plan(expression, catalog, self._partitions.count)
        fragments = tuple(self._unasked(fragment, catalog) for fragment in plan.fragments)
        return passable(dataclasses.replace(plan, fragments=fragments, columns=columns))

    def _unasked(self, fragment: Fragment, catalog: Catalog) -> Fragment:
        """One that no partition is asked for has its columns from nowhere else; the others bring them."""
        if fragment.partitions != ():
            return fragment
        columns = self._binding.hidden_columns(fragment.sql, catalog, (*fragment.tables, *fragment.broadcast))
        return dataclasses.replace(fragment, columns=columns)


def blank(text: str, start: int) -> str:
    """The text from there on, each character at its place: what stands before it is blank."""
    return "".join(each if each == "\n" else " " for each in text[:start]) + text[start:]


def _tables(expression: Any, catalog: Catalog) -> set[str]:
    names = {table.name.lower() for table in catalog.tables}
    return {table.name for table in expression.find_all(exp.Table) if table.name.lower() in names and not table.db}
