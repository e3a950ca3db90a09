"""What `grid.table(…)` was given, as a definition and the shape of records: a class, a dict, an Arrow schema, or a name."""

from collections.abc import Mapping, Sequence
from typing import Any

from kubegrid.base.errors import KubegridError, UsageError
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import TableDefinition
from kubegrid.client import table_steps
from kubegrid.client.record_shapes import DictShape, Shape, class_definition, class_shape
from kubegrid.client.routes import Routes
from kubegrid.client.table_plan import TablePlan, client_error

OPTIONS = ("key", "partition_by", "index", "broadcast", "ttl")


def open_plan(
    given: Any, routes: Routes, name: str | None, options: Mapping[str, Any]
) -> "table_steps.Steps[TablePlan[Any]]":
    """The conversation that opens a table: a definition is compared with the grid's, and made there if it is absent."""
    if isinstance(given, str):
        meant = [option for option in OPTIONS if options.get(option)]
        if name is not None or meant:
            raise UsageError(
                f"table {given!r} is opened as it is: {', '.join(meant or ['name'])} cannot be given with a name alone"
            )
        definition = yield from table_steps.describe(given, routes)
        return TablePlan(definition, DictShape())
    try:
        wanted, shape = _wanted(given, name, options)
    except KubegridError as error:
        raise client_error(error) from error
    definition = yield from table_steps.open_table(wanted, routes)
    return TablePlan(definition, shape)


def _wanted(given: Any, name: str | None, options: Mapping[str, Any]) -> tuple[TableDefinition, Shape[Any]]:
    if isinstance(given, type):
        return class_definition(given, name, options), class_shape(given)
    if isinstance(given, TableDefinition):
        return given, DictShape()
    if isinstance(given, Mapping):
        document = dict(given)
        document.setdefault("key", [])
        for option in OPTIONS:
            value = options.get(option)
            if value:
                document["indexes" if option == "index" else option] = (
                    indexes(value) if option == "index" else [value] if _is_one_name(option, value) else value
                )
        if not document["key"]:
            del document["key"]
        return parse_definition(name or document.get("name"), document), DictShape()
    if type(given).__module__.startswith("pyarrow"):
        return class_definition(given, name, options), DictShape()
    raise UsageError(
        f"a table is a class, a dict, an Arrow schema or the name of one that exists, not {type(given).__name__}"
    )


def _is_one_name(option: str, value: Any) -> bool:
    return option in ("key", "partition_by") and isinstance(value, str)


def indexes(given: Any) -> list[Any]:
    """`index=["at", ("book", "at"), {"columns": ["id"], "kind": "hash"}]` as a definition has it; ordered unless it says else."""
    made: list[Any] = []
    for one in [given] if isinstance(given, str | Mapping) else given:
        if isinstance(one, Mapping):
            made.append(dict(one))
        else:
            columns: Sequence[str] = [one] if isinstance(one, str) else list(one)
            made.append({"columns": list(columns), "kind": "ordered"})
    return made
