"""Functions that statements from outside may not call: they reach around the tables, or into the DuckDB they run in.

DuckDB itself refuses files and the network. What is refused here it would do: read a table by a name or a text that is
made while it runs, which the planner never sees (so the answer would be that of the empty catalog); show or change what
belongs to the pod; or hold a thread and do nothing. The same holds for values of any size: functions that make them have
limits (`columns/sized_functions`), around which nobody may call them, and arrays of a fixed length are as long as their type
says, even when they are NULL; and list_reduce() may not double a text or list with each element of its list. What is left
is bounded by the rows of a vector, 2,048, and what is in them.
"""

import math
from typing import Any

from sqlglot import exp

from kubegrid.columns import sized_functions
from kubegrid.sql.errors import NotSupported, TooMuch

_HIDDEN_READS = "it reads tables that the statement does not name"
_POD = "it belongs to the pod's own DuckDB"
_CLOSED = {
    **dict.fromkeys(("query", "query_table", "json_execute_serialized_sql", "summary"), _HIDDEN_READS),
    **dict.fromkeys(("current_setting", "getvariable", "write_log", "parse_duckdb_log_message"), _POD),
    **dict.fromkeys(("checkpoint", "force_checkpoint", "truncate_duckdb_logs", "duckdb_table_sample"), _POD),
    **dict.fromkeys(("enable_logging", "disable_logging", "enable_profiling", "disable_profiling"), _POD),
    **dict.fromkeys(("duckdb_settings", "duckdb_logs", "duckdb_log_contexts", "duckdb_temporary_files"), _POD),
    **dict.fromkeys(("duckdb_memory", "duckdb_extensions", "duckdb_secrets", "which_secret", "duckdb_variables"), _POD),
    **dict.fromkeys(("duckdb_external_file_cache", "duckdb_extension_repositories", "duckdb_optimizers"), _POD),
    **dict.fromkeys(("pragma_storage_info", "pragma_database_size", "pragma_user_agent", "duckdb_dependencies"), _POD),
    **dict.fromkeys(("stats", "index_key", "duckdb_connection_count"), _POD),
    **dict.fromkeys(("sleep_ms", "pg_sleep"), "it only waits"),
}


_CLOSED_VIEWS = frozenset(("pg_settings", "duckdb_logs"))
"""DuckDB's own, over functions that are closed. A table of the grid has no such name, or may not be read by it."""
_HISTOGRAMS = ("histogram", "histogram_values")
"""Macros of DuckDB's in FROM; the first is an aggregate elsewhere."""

ARRAY_ELEMENTS_MAX = sized_functions.VALUE_ELEMENTS_MAX
"""Of a type with a fixed length, such as FLOAT[768], all its dimensions together."""

_REDUCING = frozenset(("list_reduce", "array_reduce", "reduce"))
_NO_GROWTH: tuple[type[Any], ...] = (
    *(exp.Identifier, exp.Column, exp.Dot, exp.Paren, exp.Literal, exp.Null, exp.Boolean, exp.Bracket, exp.Slice),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.Pow, exp.Abs, exp.Sqrt, exp.Ln, exp.Exp),
    *(exp.Round, exp.Floor, exp.Ceil, exp.BitwiseAnd, exp.BitwiseOr, exp.BitwiseXor, exp.BitwiseNot, exp.Length),
    *(exp.Predicate, exp.And, exp.Or, exp.Xor, exp.Not, exp.Case, exp.If, exp.Coalesce, exp.Nullif),
    *(exp.Greatest, exp.Least, exp.Struct, exp.PropertyEQ),
)
"""What may stand in the lambda of list_reduce: none of it gives a value that is longer than those it is given."""
_SHORT = exp.DataType.NUMERIC_TYPES | exp.DataType.TEMPORAL_TYPES | {exp.DataType.Type.BOOLEAN}


def check(expression: Any) -> None:
    """Raises NotSupported, TooMuch."""
    for dot in expression.find_all(exp.Dot):
        _check_qualified(dot)
    for kind in expression.find_all(exp.DataType):
        _check_length(kind)
    for table in expression.find_all(exp.Table):
        name = _called(table.this) if isinstance(table.this, exp.Func) else table.name.lower()
        if name in _HISTOGRAMS and isinstance(table.this, exp.Func):
            raise NotSupported(
                f"{name}() cannot stand in FROM here: it reads a table that is given to it by name",
                remedy="SELECT histogram(column) FROM … counts the values of a column.",
            )
        if name in _CLOSED_VIEWS and isinstance(table.this, exp.Identifier):
            raise NotSupported(f"{table.name} is closed to statements: {_POD}")
    for call in expression.find_all(exp.Func):
        name = _called(call)
        reason = _CLOSED.get(name)
        if reason is not None:
            raise NotSupported(f"{name}() is closed to statements: {reason}")
        if name in _REDUCING:
            _check_reduced(name, call)


def _called(call: Any) -> str:
    return str(call.name if isinstance(call, exp.Anonymous) else call.sql_name()).lower()


def _check_reduced(name: str, call: Any) -> None:
    for made in call.find_all(exp.Lambda):
        for node in made.this.walk(prune=lambda inner: isinstance(inner, exp.DataType | exp.Length)):
            short = isinstance(node, exp.Cast) and node.to.this in _SHORT
            if not short and not isinstance(node, (*_NO_GROWTH, exp.DataType)):
                raise NotSupported(
                    f"{node.sql('duckdb')} cannot stand in the lambda of {name}(), which may calculate, compare and choose",
                    remedy="array_to_string(list, '') joins texts, flatten(list) joins lists.",
                )


def _check_qualified(dot: exp.Dot) -> None:
    first: Any = dot
    while isinstance(first, exp.Dot):
        first = first.this
    call = dot.expression
    if not isinstance(call, exp.Func) or first.name.lower() != "system":
        return
    name = _called(call)
    if not isinstance(call, exp.Anonymous) or name in sized_functions.NAMES:
        raise NotSupported(f"{name}() is called without a schema here", remedy=f"Write {name}(…).")


def _check_length(kind: exp.DataType) -> None:
    inner: Any = kind
    lengths: list[int] = []
    while isinstance(inner, exp.DataType) and inner.this == exp.DataType.Type.ARRAY:
        lengths += [int(each.name) for each in inner.args.get("values") or () if each.name.isdecimal()]
        inner = next(iter(inner.expressions), None)
    if math.prod(lengths) > ARRAY_ELEMENTS_MAX:
        raise TooMuch(
            f"an array type of {math.prod(lengths)} elements; {ARRAY_ELEMENTS_MAX} are the most",
            remedy="Take a list: its length is that of the value, as in INTEGER[].",
        )
