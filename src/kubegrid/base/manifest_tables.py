"""`spec.tables` of a manifest, and files of table definitions: checked like everything else, each problem at its line.

What holds is decided in `table_definitions`, which reads plain values; here its problems are led back to the lines that
they came from. Next on the path: `manifest`.
"""

from datetime import date, time
from typing import Any

from kubegrid.base.document import ManifestError, Node, read
from kubegrid.base.manifest_rules import Check
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.table_errors import DefinitionError
from kubegrid.base.tables import TABLES_MAX, TableDefinition


def tables(check: Check, node: Node, path: str) -> tuple[TableDefinition, ...] | None:
    """The rule for a list of definitions."""
    if node.value is None:
        return ()
    if not isinstance(node.value, list) or len(node.value) > TABLES_MAX:
        check.problem(path, node, f"must be a list of {TABLES_MAX} tables at most, each with name, columns and key")
        return None
    found = []
    first: dict[str, str] = {}
    for number, entry in enumerate(node.value):
        place = f"{path}[{number}]"
        definition = table(check, entry, place)
        if definition is None:
            continue
        if definition.name.lower() in first:
            other = first[definition.name.lower()]
            check.problem(f"{place}.name", entry, f"is {definition.name!r}, but there is {other!r} already")
        first.setdefault(definition.name.lower(), definition.name)
        found.append(definition)
    return tuple(found)


def table(check: Check, node: Node, path: str) -> TableDefinition | None:
    """The rule for one definition."""
    try:
        return parse_definition(None, plain(node))
    except DefinitionError as error:
        for place, text in error.problems:
            key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
            check.problem(f"{path}{key}:" if path else f"{key.removeprefix('.')}:", _nearest_node(node, place), text)
        return None


def read_definitions(text: str, source: str) -> tuple[TableDefinition, ...]:
    """A file with one definition, or with a list of them, in YAML or JSON. Raises ManifestError."""
    check = Check()
    try:
        root = read(text)
        if isinstance(root.value, list):
            found = tables(check, root, "")
        else:
            one = table(check, root, "")
            found = (one,) if one is not None else ()
    except ManifestError as error:
        raise ManifestError(error.problems, source) from error
    if check.problems:
        raise ManifestError(check.problems, source)
    return found or ()


def plain(node: Node) -> Any:
    """The value without its positions, and as JSON has it: YAML reads dates and times where a default means its text."""
    value = node.value
    if isinstance(value, dict):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [plain(child) for child in value]
    return value.isoformat() if isinstance(value, date | time) else value


def _nearest_node(node: Node, place: tuple[str | int, ...]) -> Node:
    """The node at `place`, or the nearest one above it: what is missing has no line of its own."""
    for part in place:
        value = node.value
        if isinstance(value, dict) and part in value:
            node = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            node = value[part]
        else:
            break
    return node
