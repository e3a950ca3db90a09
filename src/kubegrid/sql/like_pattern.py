"""LIKE and ILIKE: `%` stands for any characters, `_` for one; there is no escape character unless ESCAPE names one.

The pattern is cut at its `%` and the pieces are looked for one after the other, the first at the start, the last at
the end. That is linear in the text; a regular expression with a `.*` for each `%` is not, and the pattern is a user's.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wild:
    """A piece with `_` in it."""

    expression: re.Pattern[str]
    length: int


Piece = str | Wild


class LikePattern:
    """A parsed pattern. `ignore_case` is ILIKE."""

    def __init__(self, pattern: str, ignore_case: bool = False, escape: str = "") -> None:
        self._ignore_case = ignore_case
        pieces = _pieces(pattern.lower() if ignore_case else pattern, escape)
        self.exact = len(pieces) == 1
        """Whether there is no `%`."""
        self._pieces = pieces
        plain = not ignore_case and isinstance(pieces[0], str)
        self.prefix = str(pieces[0]) if plain else ""
        """What every text that matches begins with, as far as an index can use it."""
        self.literal = self.prefix if self.exact and plain else None
        """The one text that matches, if the pattern is no pattern."""

    def matcher(self) -> Callable[[str], bool]:
        matches = self._matches
        return (lambda text: matches(text.lower())) if self._ignore_case else matches

    def _matches(self, text: str) -> bool:
        pieces = self._pieces
        first = pieces[0]
        if self.exact:
            return text == first if isinstance(first, str) else first.expression.fullmatch(text) is not None
        at = _at_start(first, text)
        if at < 0:
            return False
        for piece in pieces[1:-1]:
            at = _found(piece, text, at)
            if at < 0:
                return False
        return _at_end(pieces[-1], text, at)


def _at_start(piece: Piece, text: str) -> int:
    """Where the rest begins; -1: it does not match."""
    if isinstance(piece, str):
        return len(piece) if text.startswith(piece) else -1
    found = piece.expression.match(text)
    return found.end() if found else -1


def _found(piece: Piece, text: str, at: int) -> int:
    if isinstance(piece, str):
        place = text.find(piece, at)
        return place + len(piece) if place >= 0 else -1
    found = piece.expression.search(text, at)
    return found.end() if found else -1


def _at_end(piece: Piece, text: str, at: int) -> bool:
    if isinstance(piece, str):
        return len(text) - len(piece) >= at and text.endswith(piece)
    start = len(text) - piece.length
    return start >= at and piece.expression.match(text, start) is not None


def _pieces(pattern: str, escape: str) -> list[Piece]:
    """What stands between the `%`."""
    pieces: list[Piece] = []
    part: list[str | None] = []
    characters = iter(pattern)
    for character in characters:
        if escape and character == escape:
            following = next(characters, None)
            if following is None:
                raise ValueError("the pattern ends with its escape character")
            part.append(following)
        elif character == "%":
            pieces.append(_piece(part))
            part = []
        else:
            part.append(None if character == "_" else character)
    pieces.append(_piece(part))
    # `%%` is `%`: an empty piece in the middle says nothing.
    return [pieces[0], *(piece for piece in pieces[1:-1] if piece != ""), pieces[-1]] if len(pieces) > 1 else pieces


def _piece(part: list[str | None]) -> Piece:
    if None not in part:
        return "".join(character for character in part if character is not None)
    expression = "".join("." if character is None else re.escape(character) for character in part)
    return Wild(re.compile(expression, re.DOTALL), len(part))
