"""The schema that a driver is told for the parameters of a prepared statement. Next on the path of the data: `binding`.

Drivers cut values to the announced type, silently: so whole numbers are announced as the widest that all of them can
write, and fractions as DOUBLE. The JDBC driver (18.3) writes the milliseconds that it has of a moment or a time into
whatever unit was announced, so these are announced in milliseconds. A type that drivers cannot write is announced as a text.
"""

from typing import Any

from sqlglot import exp

from kubegrid.base.tables import Catalog
from kubegrid.query import closed
from kubegrid.query.binding import Binding
from kubegrid.query.running import Running
from kubegrid.sql import parameter_types
from kubegrid.sql.errors import SqlError
from kubegrid.sql.statements import Statement

TEXT = "VARCHAR"
_WIDE = dict.fromkeys(
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
    "BIGINT",
) | {"FLOAT": "DOUBLE", "DOUBLE": "DOUBLE"}
_AS_THEY_ARE = ("BOOLEAN", "BLOB", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")


def parameter_schema(statement: Statement, catalog: Catalog, binding: Binding, running: Running) -> Any:
    """A `pyarrow.Schema` with a field for each parameter, named by its number. Raises SqlError."""
    import pyarrow as pa

    if not statement.parameters:
        return pa.schema([])
    tree = statement.expression if statement.explained is None else statement.explained.expression
    closed.check(tree)
    tables = {table.name for table in tree.find_all(exp.Table)}
    questions = parameter_types.questions(statement, catalog)
    kinds: dict[str | None, str] = {None: TEXT}
    for question in questions:
        if question is not None and question not in kinds:
            kinds[question] = _kind(question, catalog, tables, binding, running)
    named = [(str(place), kinds[question]) for place, question in enumerate(questions, 1)]
    return pa.schema([field.with_type(_in_milliseconds(field.type)) for field in binding.schema(named, running)])


def _in_milliseconds(kind: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_timestamp(kind):
        return pa.timestamp("ms", kind.tz)
    return pa.time32("ms") if pa.types.is_time(kind) else kind


def _kind(question: str, catalog: Catalog, tables: set[str], binding: Binding, running: Running) -> str:
    try:
        ((_, kind),) = binding.columns(question, catalog, tables, running)
    except SqlError:
        running.check()
        return TEXT
    return _WIDE.get(kind) or (kind if kind in _AS_THEY_ARE or kind.startswith("DECIMAL(") else TEXT)
