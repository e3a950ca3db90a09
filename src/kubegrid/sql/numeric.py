"""Whether an expression is surely a number, without binding types: sums and means of numbers can be merged, those of
dates and intervals are left to DuckDB.
"""

from typing import Any

from sqlglot import exp

from kubegrid.base.column_numbers import DecimalType, FloatType, IntegerType
from kubegrid.sql import conjuncts
from kubegrid.sql.sources import VERSION, Source

Tables = dict[str, Source]
"""By their aliases in lower case."""

_SAME = (exp.Neg, exp.Abs, exp.Round, exp.Floor, exp.Ceil)
_BINARY = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod)
_ALWAYS = (exp.Length, exp.Sqrt, exp.Exp, exp.Ln, exp.Log, exp.Pow, exp.Extract, exp.Year, exp.Month, exp.Day, exp.Sign)


def is_number(node: Any, tables: Tables) -> bool:
    """The columns in it are resolved."""
    waiting = [node]
    while waiting:
        node = conjuncts.unwrapped(waiting.pop())
        if isinstance(node, exp.Column):
            if not _is_numeric_column(node, tables):
                return False
        elif isinstance(node, exp.Literal):
            if node.is_string:
                return False
        elif isinstance(node, exp.Cast | exp.TryCast):
            if not node.to.is_type(*exp.DataType.NUMERIC_TYPES):
                return False
        elif isinstance(node, exp.Case):
            waiting += [branch.args["true"] for branch in node.args["ifs"]]
            default = node.args.get("default")
            waiting += [default] if default is not None and not isinstance(default, exp.Null) else []
        elif isinstance(node, exp.Coalesce):
            waiting += [node.this, *node.expressions]
        elif isinstance(node, _SAME):
            waiting.append(node.this)
        elif isinstance(node, _BINARY):
            waiting += [node.this, node.expression]
        elif not isinstance(node, _ALWAYS):
            return False
    return True


def _is_numeric_column(column: exp.Column, tables: Tables) -> bool:
    source = tables.get(column.table.lower())
    if source is None or source.table is None:
        return False
    table = source.table
    return column.name == VERSION or isinstance(table.column(column.name).type, IntegerType | DecimalType | FloatType)
