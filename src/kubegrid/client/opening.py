"""What `grid.table(…)` was given, as a definition and the shape of records: a class, a dict, an Arrow schema, or a name."""

from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from kubegrid.base import table_classes
from kubegrid.base.columns import parse_type
from kubegrid.base.errors import KubegridError, UsageError
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.table_errors import shown
from kubegrid.base.tables import HASH, ORDERED, Index, TableDefinition
from kubegrid.client import arguments, table_steps
from kubegrid.client.record_shapes import ClassShape, DictShape, Shape
from kubegrid.client.routes import Routes
from kubegrid.client.table_plan import TablePlan, client_error

OPTIONS = ("key", "partition_by", "index", "broadcast", "ttl")
RANGED = (date, time, datetime, Decimal, float)


def open_plan(
    given: Any, routes: Routes, name: str | None, options: Mapping[str, Any]
) -> "table_steps.Steps[TablePlan[Any]]":
    """The conversation that opens a table: a definition is compared with the grid's, and made there if it is absent."""
    options = _checked(name, options)
    if isinstance(given, str):
        arguments.text(given, "a table's name")
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
    try:
        return TablePlan(definition, shape)
    except KubegridError as error:
        raise client_error(error) from error


def _checked(name: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `grid.table`, those that are lists as such. Raises UsageError for what is not even one."""
    if name is not None:
        arguments.text(name, "name")
    checked = dict(options)
    for option in ("key", "partition_by"):
        if not isinstance(options[option], str):
            checked[option] = list(arguments.several(options[option], option, "names of columns"))
    one = (str, Mapping, Index)
    if not isinstance(options["index"], one):
        checked["index"] = list(arguments.several(options["index"], "index", "indexes"))
        for each in checked["index"]:
            if not isinstance(each, one):
                arguments.several(each, "an index", "names of columns, or a dict with columns and kind")
    return checked


def _wanted(given: Any, name: str | None, options: Mapping[str, Any]) -> tuple[TableDefinition, Shape[Any]]:
    if isinstance(given, TableDefinition):
        return given, DictShape()
    if isinstance(given, type):
        record_class = table_classes.record_class(given)
        return record_class.definition(name, **options), ClassShape(record_class)
    if type(given).__module__.partition(".")[0] == "pyarrow":
        given = _from_arrow(given, name, options)
        options = {"index": options["index"]}
    if not isinstance(given, Mapping):
        raise UsageError(
            f"a table is a class, a dict, an Arrow schema or the name of one that exists, not {shown(given)}"
        )
    document = dict(given)
    for option, value in options.items():
        if value:
            document["indexes" if option == "index" else option] = _plain(option, value, document)
    return parse_definition(name or document.get("name"), document), DictShape()


def _from_arrow(given: Any, name: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    from kubegrid.wire import arrow_schemas  # pyarrow is loaded by who has a schema in hand, and by nobody else

    if name is None:
        raise UsageError("an Arrow schema does not say the table's name: pass name=…")
    names = {option: _plain(option, options[option], {}) for option in ("key", "partition_by")}
    others = {option: options[option] for option in ("broadcast", "ttl")}
    schema = getattr(given, "schema", given)  # of a table, a batch, a dataset
    return arrow_schemas.definition_from_arrow(schema, name, **names, **others).to_json()


def _plain(option: str, value: Any, document: Mapping[str, Any]) -> Any:
    """An option of `grid.table` as a definition has it."""
    if option in ("key", "partition_by"):
        return [value] if isinstance(value, str) else list(value)
    if option != "index":
        return value
    given = [value] if isinstance(value, str | Mapping | Index) else value
    return [_index(one, document) for one in given]


def _index(given: Any, document: Mapping[str, Any]) -> Any:
    """Columns without a kind: ordered if one of them is asked for by ranges (times, fractions), as for classes."""
    if isinstance(given, Index):
        return given.to_json()
    if isinstance(given, Mapping):
        return given
    names = [given] if isinstance(given, str) else list(given)
    ordered = False
    for column in document.get("columns", ()):
        try:
            ordered = ordered or (column["name"] in names and parse_type(column["type"]).python in RANGED)
        except (KeyError, TypeError, ValueError):
            continue  # parse_definition says what is wrong with it
    return {"columns": names, "kind": ORDERED if ordered else HASH}
