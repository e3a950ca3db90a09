"""What a predicate can have wrong.

TableError
└── PredicateError     PREDICATE    names the place; `remedy` is the text with a caret below that place
"""

from kubegrid.base.table_errors import TableError, shown

EXCERPT_CHARS = 60


class PredicateError(TableError):
    """An expression that is no predicate over this table. Nothing was read or changed."""

    code = "PREDICATE"

    def __init__(self, reason: str, text: str, offset: int = 0) -> None:
        offset = min(offset, len(text))
        first = max(0, offset - EXCERPT_CHARS // 2)
        before = ("…" if first else "") + text[first:offset]
        after = text[offset : first + EXCERPT_CHARS]
        rest = "…" if first + EXCERPT_CHARS < len(text) else ""
        line = _one_line(before + after + rest)
        reason = _one_line(reason)
        super().__init__(
            f"{reason} (at character {offset + 1}: {shown(after or 'the end')})",
            f"    {line}\n    {' ' * len(before)}^",
        )
        self.reason = reason
        self.offset = offset


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
