"""Changes of the catalog of tables: what may be asked for, and what each makes of a catalog. Pure.

The catalog is one versioned value of the coordinator. The manager changes it (`manager.catalog`), and so does the
coordinator in memory of an embedded grid (`memory`). What a table is, and which change of one is possible, is told in
`base.tables`.
"""

from typing import Any

import msgspec

from kubegrid.base.errors import KubegridError
from kubegrid.base.table_definitions import parse_catalog, parse_column, parse_definition
from kubegrid.base.table_errors import DefinitionError, TableConflict, UnknownTable
from kubegrid.base.tables import DEFINITION_BYTES_MAX, Catalog, TableDefinition, difference

DOCUMENT_BYTES_MAX = DEFINITION_BYTES_MAX
"""Of the whole catalog, which is sent to every member at each change of it."""
ADOPTION_TIMEOUT_S = 5.0
"""How long whoever asked for a change waits at most until every serving primary has adopted it."""

NO_MANAGER = "NOMANAGER"
"""Error code: nobody could be asked, or the coordinator cannot be written; nothing was changed."""
IN_DOUBT = "INDOUBT"
"""Error code: it is not known whether it was changed. Asking for the same once more is harmless."""
NOT_YET = "NOTYET"
"""Error code: it was changed, but not every serving primary has adopted it yet."""

CREATE = "create"
CREATE_NEW = "create-new"
DROP = "drop"
TRUNCATE = "truncate"
ADD_COLUMN = "add-column"
DECLARE = "declare"


class Change(msgspec.Struct, frozen=True, array_like=True):
    """What somebody asks for.

    `create` (made if absent; another definition of the name is refused), `create-new` (refused if there is a table of the
    name, even the same), `drop`, `truncate`, `add-column`, and `declare`: like create, but what the definition has more than
    the table that is there is added to it.
    """

    action: str
    table: str
    definition: bytes = b""
    """JSON: of the table, or of the column."""
    id: int = 0
    """`drop`: only the table with this id; 0: whichever has the name."""


def changed(catalog: Catalog, change: Change) -> Catalog:
    """The catalog after the change; the very same one when there is nothing to do.

    Raises DefinitionError, UnknownTable, TableConflict.
    """
    if change.action == DROP:
        if change.id and catalog.table(change.table).id != change.id:
            raise UnknownTable(f"{change.table} with id {change.id}", ())
        return catalog.drop(change.table)
    if change.action == TRUNCATE:
        return catalog.truncate(change.table)
    if change.action == ADD_COLUMN:
        column = parse_column(change.definition, change.table)
        return catalog if column in catalog.table(change.table).columns else catalog.add_column(change.table, column)
    definition = parse_definition(change.table or None, change.definition)
    if change.action == CREATE_NEW and definition.name in catalog.by_name:
        raise TableConflict(f"table {definition.name} exists already", "Choose another name, or drop that table first.")
    after = _declared(catalog, definition) if change.action == DECLARE else catalog.create(definition)
    if len(encoded(after)) > DOCUMENT_BYTES_MAX:
        raise TableConflict(f"with table {definition.name} the catalog would be longer than {DOCUMENT_BYTES_MAX} bytes")
    return after


def id_after(catalog: Catalog, change: Change) -> int:
    """Of the table that a change was about; 0 if there is none now."""
    table = catalog.by_name.get(change.table)
    return 0 if table is None else table.id


def _declared(catalog: Catalog, wanted: TableDefinition) -> Catalog:
    there = catalog.by_name.get(wanted.name)
    if there is None:
        return catalog.create(wanted)
    for column in wanted.columns:
        if column.name not in there.positions:
            catalog = catalog.add_column(wanted.name, column)
    differences = difference(catalog.by_name[wanted.name], wanted)
    if differences:
        raise TableConflict(
            f"table {wanted.name} exists with another definition: {'; '.join(differences)}",
            "Nullable columns can be added to it, at the end. For anything else declare a table of another name, or drop "
            f"this one with all its records (`kubegrid tables drop {wanted.name}`) and declare it again.",
        )
    return catalog


def error_code(error: KubegridError) -> str:
    """The first word of the error that a Redis client sees."""
    return str(getattr(error, "code", "ERR"))


def in_one_line(error: KubegridError) -> str:
    """Its message and what to do, as an error reply has room for it."""
    message = "; ".join(error.message.splitlines())
    return f"{message}. {error.remedy}" if error.remedy else message


def encoded(catalog: Catalog) -> bytes:
    """As the coordinator keeps it; equal catalogs give equal bytes."""
    return msgspec.json.encode(catalog.to_json())


def decoded(document: bytes) -> Catalog:
    """Raises DefinitionError."""
    try:
        value: Any = msgspec.json.decode(document)
    except (msgspec.DecodeError, RecursionError) as error:
        raise DefinitionError([f"not a catalog of tables: {error}"]) from error
    if not isinstance(value, dict):
        raise DefinitionError(["not a catalog of tables"])
    return parse_catalog(value)
