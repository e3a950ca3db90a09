"""Conditions as lists of what AND joins, so that each part can go where it belongs."""

from collections.abc import Iterable

from sqlglot import exp


def split(condition: exp.Expression | None) -> list[exp.Expression]:
    """The parts that AND joins. A chain of thousands hangs deep to the left, so this is a loop."""
    found: list[exp.Expression] = []
    waiting = [condition] if condition is not None else []
    while waiting:
        node = waiting.pop()
        inner = unwrapped(node)
        if isinstance(inner, exp.And):
            waiting += (inner.expression, inner.this)
        else:
            found.append(node)
    return found


def alternatives(condition: exp.Expression) -> list[exp.Expression]:
    """The parts that OR joins."""
    found: list[exp.Expression] = []
    waiting = [condition]
    while waiting:
        node = unwrapped(waiting.pop())
        if isinstance(node, exp.Or):
            waiting += (node.expression, node.this)
        else:
            found.append(node)
    return found


def joined(parts: Iterable[exp.Expression]) -> exp.Expression | None:
    """The parts with AND between them; None if there is none."""
    whole: exp.Expression | None = None
    for part in parts:
        part = exp.Paren(this=part) if isinstance(part, exp.Or) else part
        whole = part if whole is None else exp.And(this=whole, expression=part)
    return whole


def any_of(parts: list[exp.Expression]) -> exp.Expression:
    """The parts with OR between them."""
    whole = parts[0]
    for part in parts[1:]:
        whole = exp.Or(this=whole, expression=part)
    return whole


def unwrapped(node: exp.Expression) -> exp.Expression:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def columns_of(node: exp.Expression) -> list[exp.Column]:
    return list(node.find_all(exp.Column))
