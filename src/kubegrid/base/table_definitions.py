"""Definitions of tables read from JSON, from a manifest's entry, or put together by other code, and checked.

    {"name": "flights",
     "columns": [{"name": "carrier", "type": "VARCHAR", "nullable": false, "default": null}, …],
     "key": ["carrier", "flight", "time_hour"], "partition_by": [],
     "indexes": [{"columns": ["origin"], "kind": "hash"}], "broadcast": false, "ttl": null}

Only `name`, `columns` and `key` must be there, and of a column its name and type. Every problem is found in one pass,
and an unknown key is one, with its nearest spelling: a typo that is skipped is a default that nobody chose.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from kubegrid.base.definition_reading import NAME as NAME
from kubegrid.base.definition_reading import NAME_CHARS_MAX as NAME_CHARS_MAX
from kubegrid.base.definition_reading import NAME_RULE as NAME_RULE
from kubegrid.base.definition_reading import Reading
from kubegrid.base.table_errors import DefinitionError
from kubegrid.base.tables import DEFINITION_BYTES_MAX, Catalog, Column, TableDefinition


def parse_definition(name: str | None, document: bytes | str | Mapping[str, Any]) -> TableDefinition:
    """The definition in `document` (JSON, or what it decodes to). Raises DefinitionError with every problem found.

    `name` is the table's name where the command says it; the document may repeat it. Whatever `id` and `schema` the
    document has are left out: they are the catalog's to give.
    """
    return Reading(name).definition(_decoded(document))


def parse_column(document: bytes | str | Mapping[str, Any], table: str = "") -> Column:
    """One column, as KG.ALTER … ADD COLUMN has it. Raises DefinitionError."""
    reading = Reading(table)
    column = reading.column(_decoded(document), ("column",), key=())
    if reading.problems or column is None:
        raise reading.error()
    return column


def parse_catalog(document: bytes | str | Mapping[str, Any]) -> Catalog:
    """A catalog from its `to_json`. Raises DefinitionError if it is none."""
    decoded = _decoded(document)
    tables = []
    try:
        for entry in decoded["tables"]:
            definition = parse_definition(None, entry)
            tables.append(msgspec.structs.replace(definition, id=int(entry["id"]), schema=int(entry["schema"])))
        return Catalog(int(decoded["version"]), int(decoded["next_id"]), tuple(tables))
    except (KeyError, TypeError, ValueError) as error:
        raise DefinitionError([f"not a catalog of tables: {error!r}"]) from error


def _decoded(document: bytes | str | Mapping[str, Any]) -> Any:
    if not isinstance(document, bytes | str):
        return document
    if len(document) > DEFINITION_BYTES_MAX:
        raise DefinitionError([f"longer than {DEFINITION_BYTES_MAX} bytes: this is no definition of a table"])
    try:
        return msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise DefinitionError([f"not valid JSON: {error}"]) from None
