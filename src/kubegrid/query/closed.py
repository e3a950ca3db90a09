"""Functions that statements from outside may not call: they reach around the tables, or into the DuckDB they run in.

DuckDB itself refuses files and the network. What is refused here it would do: read a table by a name or a text that is
made while it runs, which the planner never sees (so the answer would be that of the empty catalog); show or change what
belongs to the pod; or hold a thread and do nothing.
"""

from sqlglot import exp

from kubegrid.sql.errors import NotSupported

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


def check(expression: exp.Expression) -> None:
    """Raises NotSupported."""
    for call in expression.find_all(exp.Func):
        name = (call.name if isinstance(call, exp.Anonymous) else call.sql_name()).lower()
        reason = _CLOSED.get(name)
        if reason is not None:
            raise NotSupported(f"{name}() is closed to statements: {reason}")
