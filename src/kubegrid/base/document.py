"""YAML read into nodes that know their line, so that every complaint about a manifest can point at its place.

PyYAML's ordinary loader throws the positions away, accepts a key twice (the last wins, silently) and expands aliases
without end. Here positions are kept, a second key of the same name is an error, and depth and size are limited. What
the values mean is not decided here: `manifest` is next.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from kubegrid.base.errors import UsageError

DOCUMENT_CHARS_MAX = 1024 * 1024
"""A manifest is a page or two; a mebibyte of it is a mistake or an attack."""
DEPTH_MAX = 32
NODES_MAX = 100_000
"""Counted after aliases are expanded: the "billion laughs" document ends here."""


class ManifestError(UsageError):
    """A manifest that does not hold; every problem found is one line of the message."""

    def __init__(self, problems: list[str], source: str = "") -> None:
        where = f"{source}: " if source else ""
        lines = [f"{where}{problem}" for problem in problems]
        super().__init__("\n".join(lines))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the document: a scalar, a dict of str → Node, or a list of Nodes."""

    value: Any
    line: int | None = None
    """Counted from 1; None for what did not come from the text (an option of the command line, a default)."""

    def plain(self) -> Any:
        """The value without its positions."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def from_plain(value: Any) -> Node:
    """Nodes without lines, for values that came from elsewhere than a text."""
    if isinstance(value, dict):
        return Node({str(key): from_plain(child) for key, child in value.items()})
    return Node([from_plain(child) for child in value] if isinstance(value, list) else value)


def read(text: str) -> Node:
    """The one YAML document in `text`. Raises ManifestError; an empty text is a document with the value None."""
    if len(text) > DOCUMENT_CHARS_MAX:
        raise ManifestError([f"longer than {DOCUMENT_CHARS_MAX} characters: this is not a manifest"])
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        return _Conversion(loader).convert(root, depth=0) if root is not None else Node(None, 1)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise ManifestError([f"{place}not valid YAML: {error.problem or error.context}"]) from error
    except yaml.YAMLError as error:
        raise ManifestError([f"not valid YAML: {error}"]) from error
    except RecursionError as error:
        raise ManifestError([f"nested more than {DEPTH_MAX} deep"]) from error
    finally:
        loader.dispose()


class _Conversion:
    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._count = 0

    def convert(self, node: yaml.Node, depth: int) -> Node:
        line = node.start_mark.line + 1
        self._count += 1
        if depth > DEPTH_MAX or self._count > NODES_MAX:
            raise ManifestError([f"line {line}: nested more than {DEPTH_MAX} deep, or more than {NODES_MAX} values"])
        if isinstance(node, yaml.MappingNode):
            return Node(self._mapping(node, depth), line)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.convert(item, depth + 1) for item in node.value], line)
        try:
            return Node(self._loader.construct_object(node, deep=True), line)
        except ValueError as error:  # a date such as 2024-99-99
            raise ManifestError([f"line {line}: {error}"]) from error

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Node]:
        result: dict[str, Node] = {}
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ManifestError([f"line {line}: a key must be a plain word"])
            key = str(key_node.value)
            if key in result:
                raise ManifestError(
                    [f"line {line}: {key!r} stands here a second time; first on line {first_line[key]}"]
                )
            value = self.convert(value_node, depth + 1)
            # A block value starts on the line below its key; the key is where the reader looks.
            result[key] = Node(value.value, line)
            first_line[key] = line
        return result
