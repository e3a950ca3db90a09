"""A SELECT of plain columns of the one record that has a key: recognised as what it is, so that nothing has to be planned.

`SELECT name, price FROM trades WHERE id = 7`, with a literal or a parameter for every column of the key and no other condition.
What it asks is known without its values, so it needs them only to tell where the record is. A literal counts, as for routing,
only if it is surely the value that DuckDB makes of it; then the record with this key is just what the condition lets through.
Everything else is no such read and goes through `planner`, which is always right. Next: `query.preparing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from kubegrid.base.column_numbers import IntegerType
from kubegrid.base.column_texts import UuidType, VarcharType
from kubegrid.base.tables import Catalog, TableDefinition
from kubegrid.sql import conjuncts, parameters, plans
from kubegrid.sql.dml_values import quoted
from kubegrid.sql.plans import Fragment, Plan
from kubegrid.sql.routing import certain_value, reach_of
from kubegrid.sql.statements import QUERY, Statement

_CLAUSES = {"expressions", "from_", "where"}
_OF_TABLE = {"this", "alias"}
_OF_COLUMN = {"this", "table"}
_KEY_TYPES = (IntegerType, VarcharType, UuidType)
"""Of which two values are equal in DuckDB just when their records' keys are."""
_VALUES = (exp.Literal, exp.Neg, exp.Cast, exp.Placeholder, exp.Parameter)
Shape = tuple[Any, ...]
NOT_KNOWN = frozenset((None,))


@dataclass(frozen=True, slots=True)
class KeyRead:
    """One such SELECT. Immutable, also the trees in it."""

    table: TableDefinition
    columns: tuple[str, ...]
    """Those that it asks for, as the table spells them."""
    shape: Shape
    """Two reads with the same one have answers of the same names and types under one catalog."""
    key: tuple[tuple[str, exp.Expression], ...]
    """The columns of the key, each with its literal or parameter."""

    def plan(self, values: Sequence[Any], columns: tuple[tuple[str, str], ...], partitions: int) -> Plan | None:
        """The plan for these values of its parameters; None: they are none by which a record is certainly known.
        `columns`: names and types of the answer. Raises TypeProblem."""
        literals = {name: _literal(node, values) for name, node in self.key}
        known = {
            name.lower(): frozenset((certain_value(literal, self.table.column(name).type),))
            for name, literal in literals.items()
        }
        if NOT_KNOWN in known.values():
            return None
        reach = reach_of(self.table, known, partitions)
        if not reach.keys or not reach.partitions:
            return None
        name = self.table.name
        conditions = " AND ".join(f"{quoted(column)} = {node.sql('duckdb')}" for column, node in literals.items())
        sql = f"SELECT {', '.join(map(quoted, self.columns))} FROM {quoted(name)} WHERE {conditions}"
        fragment = Fragment(
            "__f0",
            sql,
            tuple(reach.partitions),
            (name,),
            (),
            plans.RECORD,
            keys={name: tuple(reach.keys)},
            record_columns=self.columns,
        )
        return Plan((fragment,), None, columns)


def key_read(statement: Statement, catalog: Catalog) -> KeyRead | None:
    """The statement as such a read; None: it is another one."""
    select = statement.expression
    if statement.kind != QUERY or type(select) is not exp.Select or _given(select) != _CLAUSES:
        return None
    table = _table(select.args["from_"].this, catalog)
    if table is None:
        return None
    alias = select.args["from_"].this.alias_or_name.lower()
    columns: list[str] = []
    spelt: list[tuple[str, ...]] = []
    for item in select.expressions:
        if type(item) is exp.Star and not _given(item):
            columns += table.names
            spelt.append(("*",))
            continue
        inner = item.this if type(item) is exp.Alias else item
        name = _column(inner, table, alias)
        if name is None:
            return None
        columns.append(name)
        spelt.append((inner.name, item.alias))
    key = [_compared(condition, table, alias) for condition in conjuncts.split(select.args["where"].this)]
    if sorted(name for name, _ in key) != sorted(table.key):
        return None
    return KeyRead(table, tuple(columns), (table.name, *spelt), tuple(key))


def _given(node: exp.Expression) -> set[str]:
    return {name for name, value in node.args.items() if value}


def _table(node: Any, catalog: Catalog) -> TableDefinition | None:
    if type(node) is not exp.Table or not isinstance(node.this, exp.Identifier) or not _given(node) <= _OF_TABLE:
        return None
    if node.alias_column_names:
        return None
    table = catalog.by_name.get(node.name)
    if table is None:
        table = next((table for table in catalog.tables if table.name.lower() == node.name.lower()), None)
    if table is None or not all(isinstance(table.column(name).type, _KEY_TYPES) for name in table.key):
        return None
    return table


def _column(node: Any, table: TableDefinition, alias: str) -> str | None:
    """The name, as the table spells it, of a column of this table."""
    if type(node) is not exp.Column or not isinstance(node.this, exp.Identifier) or not _given(node) <= _OF_COLUMN:
        return None
    if node.table and node.table.lower() != alias:
        return None
    return next((name for name in table.names if name.lower() == node.name.lower()), None)


def _compared(condition: exp.Expression, table: TableDefinition, alias: str) -> tuple[str, exp.Expression]:
    """The column that a condition compares with something, and that; an empty name: it is another condition."""
    condition = conjuncts.unwrapped(condition)
    if type(condition) is not exp.EQ:
        return "", condition
    one, other = conjuncts.unwrapped(condition.this), conjuncts.unwrapped(condition.expression)
    column, value = (one, other) if isinstance(one, exp.Column) else (other, one)
    if not isinstance(value, _VALUES):
        return "", condition
    return _column(column, table, alias) or "", value


def _literal(node: exp.Expression, values: Sequence[Any]) -> exp.Expression:
    if isinstance(node, exp.Placeholder | exp.Parameter):
        place = int(node.name)
        return parameters.literal_node(values[place - 1], place)
    return node
