"""The rules that a manifest's values are checked with: numbers in ranges, words out of a few, amounts, nested keys.

A rule takes a node and its path and returns the value, or notes a problem and returns None, so that one pass finds
everything that is wrong. Which key has which rule is told in `manifest`.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from kubegrid.base import units
from kubegrid.base.document import Node
from kubegrid.base.nearest import hint, nearest

MEMORY_MIN = 64 * 2**20
"""The process itself takes about two thirds of this; below it nothing is left for records."""
MEMORY_MAX = 2**44
SECRET_CHARS_MAX = 512
OPTION_OF_KEY = {"partitions": "--partitions", "backups": "--backups", "managers": "--managers"}
"""Options of `kubegrid up` that stand in for keys: their nodes have no line, and problems name the option instead."""
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

Rule = Callable[["Check", Node, str], Any]


class Check:
    """Collects problems while the rules walk over the nodes. A rule returns None for what did not pass."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def problem(self, path: str, node: Node | None, text: str) -> None:
        line = f"line {node.line}: " if node is not None and node.line is not None else ""
        option = OPTION_OF_KEY.get(path.removeprefix("spec.")) if node is not None and node.line is None else None
        self.problems.append(f"{line}{option or path} {text}" if path else f"{line}{text}")

    def section(self, node: Node, path: str, rules: Mapping[str, Rule]) -> dict[str, Any]:
        if node.value is None:
            return {}
        if not isinstance(node.value, dict):
            self.problem(path, node, f"must hold keys ({', '.join(rules)}), not {_kind(node.value)}")
            return {}
        result = {}
        for key, child in node.value.items():
            place = f"{path}.{key}" if path else key
            if key not in rules:
                self.problem(place, child, f"is not a known key{hint(key, rules)}")
                continue
            value = rules[key](self, child, place)
            if value is not None:
                result[key] = value
        return result

    def text_of_name(self, node: Node, path: str) -> str | None:
        if isinstance(node.value, str) and _NAME.fullmatch(node.value):
            return node.value
        self.problem(path, node, f"is {node.value!r}; a name has lower-case letters, digits and '-', 63 at most")
        return None


_KINDS = {"NoneType": "nothing", "bool": "true/false", "int": "a number", "float": "a fraction", "str": "text"}
_KINDS |= {"dict": "keys", "list": "a list"}


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return _KINDS.get(type(value).__name__, type(value).__name__)


def integer(low: int, high: int, *, one_of: tuple[int, ...] = ()) -> Rule:
    def rule(check: Check, node: Node, path: str) -> int | None:
        expected = " or ".join(map(str, one_of)) if one_of else f"a whole number from {low} to {high}"
        if type(node.value) is not int:
            check.problem(path, node, f"must be {expected}, not {_kind(node.value)} ({node.value!r})")
        elif (one_of and node.value not in one_of) or not low <= node.value <= high:
            check.problem(path, node, f"is {node.value}; it must be {expected}")
        else:
            return node.value
        return None

    return rule


def choice(*words: str) -> Rule:
    def rule(check: Check, node: Node, path: str) -> str | None:
        # YAML 1.1 reads `off` as false; a manifest has such a word (antiAffinity).
        word = "off" if node.value is False and "off" in words else node.value
        if word in words:
            return str(word)
        close = nearest(str(word), words)
        meant = f"; did you mean {close!r}?" if close else ""
        check.problem(path, node, f"is {word!r}; it must be {' or '.join(words)}{meant}")
        return None

    return rule


def boolean(check: Check, node: Node, path: str) -> bool | None:
    if isinstance(node.value, bool):
        return node.value
    check.problem(path, node, f"must be true or false, not {_kind(node.value)} ({node.value!r})")
    return None


def text(check: Check, node: Node, path: str) -> str | None:
    if isinstance(node.value, str):
        return node.value
    check.problem(path, node, f"must be text, not {_kind(node.value)} ({node.value!r}); put it in quotes")
    return None


def secret(check: Check, node: Node, path: str) -> str | None:
    if isinstance(node.value, str) and node.value.isprintable() and 0 < len(node.value.strip()) <= SECRET_CHARS_MAX:
        return node.value.strip()
    check.problem(path, node, f"must be printable text in one line, 1 to {SECRET_CHARS_MAX} characters, in quotes")
    return None


def amount(unit: Callable[[str], int], low: int, high: int, spell: Callable[[int], str]) -> Rule:
    def rule(check: Check, node: Node, path: str) -> int | None:
        text = str(node.value) if type(node.value) in (str, int) else _kind(node.value)
        try:
            amount = unit(text)
        except ValueError as error:
            check.problem(path, node, str(error))
            return None
        if low <= amount <= high:
            return amount
        check.problem(path, node, f"is {text}; it must be from {spell(low)} to {spell(high)}")
        return None

    return rule


memory = amount(units.bytes_of, MEMORY_MIN, MEMORY_MAX, units.bytes_text)
storage = amount(units.bytes_of, 2**20, 2**50, units.bytes_text)
duration = amount(units.milliseconds_of, 0, 24 * 3_600_000, units.duration_text)


def mapping(check: Check, node: Node, path: str) -> Any:
    if node.value is None or isinstance(node.value, dict):
        return node.plain() or {}
    check.problem(path, node, f"must hold keys, not {_kind(node.value)}")
    return None


def list_of_anything(check: Check, node: Node, path: str) -> Any:
    if node.value is None or isinstance(node.value, list):
        return node.plain() or []
    check.problem(path, node, f"must be a list, not {_kind(node.value)}")
    return None


def anything(check: Check, node: Node, path: str) -> Any:
    return node.plain()


def nested(**rules: Rule) -> Rule:
    return lambda check, node, path: check.section(node, path, rules)


def exactly(word: str) -> Rule:
    def rule(check: Check, node: Node, path: str) -> str | None:
        if node.value == word:
            return word
        check.problem(path, node, f"is {node.value!r}; it must be {word}")
        return None

    return rule


def primaries(check: Check, node: Node, path: str) -> dict[int, str] | None:
    raw = mapping(check, node, path)
    result: dict[int, str] = {}
    for key, member in (raw or {}).items():
        child = node.value[key]
        if not key.isdecimal() or len(key) > 4:
            check.problem(f"{path}.{key}", child, "is not a partition's number")
        elif not isinstance(member, str):
            check.problem(f"{path}.{key}", child, f"must be a member's name such as p{key}-0, not {_kind(member)}")
        else:
            result[int(key)] = member
    return result
