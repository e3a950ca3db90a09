"""Functions that statements from outside may not call: they reach around the tables, or into the DuckDB they run in.

DuckDB itself refuses files and the network. What is refused here it would do: read a table by a name or a text that is
made while it runs, which the planner never sees (so the answer would be that of the empty catalog); show or change what
belongs to the pod; or hold a thread and do nothing. The same holds for values of any size: functions that make them have
limits (`columns/sized_functions`), around which nobody may call them, and arrays of a fixed length are as long as their type
says, even when they are NULL.
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
    **dict.fromkeys(("sleep_ms", "pg_sleep"), "it only waits"),
}


_CLOSED_VIEWS = frozenset(("pg_settings", "duckdb_logs"))
"""DuckDB's own, over functions that are closed. A table of the grid has no such name, or may not be read by it."""

ARRAY_ELEMENTS_MAX = sized_functions.VALUE_ELEMENTS_MAX
"""Of a type with a fixed length, such as FLOAT[768], all its dimensions together."""


def check(expression: Any) -> None:
    """Raises NotSupported, TooMuch."""
    for dot in expression.find_all(exp.Dot):
        _check_qualified(dot)
    for kind in expression.find_all(exp.DataType):
        _check_length(kind)
    for table in expression.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and table.name.lower() in _CLOSED_VIEWS:
            raise NotSupported(f"{table.name} is closed to statements: {_POD}")
    for call in expression.find_all(exp.Func):
        name = (call.name if isinstance(call, exp.Anonymous) else call.sql_name()).lower()
        reason = _CLOSED.get(name)
        if reason is not None:
            raise NotSupported(f"{name}() is closed to statements: {reason}")


def _check_qualified(dot: exp.Dot) -> None:
    first: Any = dot
    while isinstance(first, exp.Dot):
        first = first.this
    call = dot.expression
    if not isinstance(call, exp.Func) or first.name.lower() != "system":
        return
    name = (call.name if isinstance(call, exp.Anonymous) else call.sql_name()).lower()
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
