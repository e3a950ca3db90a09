"""Values and rows of an answer as a person reads them: in a terminal, in a notebook, in a file of text.

Pure, and without pyarrow: a schema is only asked for names and for whether a column is of numbers.
"""

import base64
import datetime
import decimal
import unicodedata
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

to_json = msgspec.json.Encoder(decimal_format="number", uuid_format="canonical").encode
"""What `plain` made, as bytes."""
NULL = "NULL"
CELL_CHARS_MAX = 60
"""A longer value is cut where a result shows itself."""
_NUMBERS = ("int", "uint", "float", "double", "halffloat", "decimal")


def plain(value: Any) -> Any:
    """The value for `to_json`, spelled as in records: times as ISO 8601, what is no finite number as text, bytes as Base64."""
    match value:
        case None | bool() | int() | str() | decimal.Decimal() | uuid.UUID():
            return value
        case float():
            if value != value:
                return "NaN"
            return value if abs(value) != float("inf") else "Infinity" if value > 0 else "-Infinity"
        case datetime.datetime():
            return _instant(value)
        case datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode("ascii")
        case tuple() if hasattr(value, "nanoseconds"):
            return _interval(*value)
        case dict():
            return {str(key): plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
    return str(value)


def text(value: Any) -> str:
    """The value as text of one line or more; NULL for none."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return _instant(value).replace("T", " ")
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, uuid.UUID):
        return str(value)
    if hasattr(value, "nanoseconds"):
        return _interval(value.months, value.days, value.nanoseconds)
    told = plain(value)
    return told if isinstance(told, str) else str(to_json(told), "utf-8")


def table(schema: Any, rows: Sequence[Sequence[Any]], cell_chars_max: int = CELL_CHARS_MAX) -> list[str]:
    """Lines of an aligned table with a heading; numbers to the right."""
    names = [_cell(name, cell_chars_max) for name in schema.names]
    right = [str(field.type).startswith(_NUMBERS) for field in schema]
    cells = [[_cell(text(value), cell_chars_max) for value in row] for row in rows]
    widths = [max([_width(name), *(_width(row[at]) for row in cells)]) for at, name in enumerate(names)]

    def line(parts: Sequence[str]) -> str:
        padded = (
            " " * (width - _width(part)) + part if to_right else part + " " * (width - _width(part))
            for part, width, to_right in zip(parts, widths, right, strict=True)
        )
        return "  ".join(padded).rstrip()

    return [line(names), "  ".join("─" * width for width in widths), *map(line, cells)]


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _instant(value: datetime.datetime) -> str:
    told = value.astimezone(datetime.UTC).replace(tzinfo=None) if value.tzinfo is not None else value
    digits = told.isoformat()
    return (digits.rstrip("0") if told.microsecond else digits) + ("Z" if value.tzinfo is not None else "")


def _interval(months: int, days: int, nanoseconds: int) -> str:
    """Arrow's interval, as DuckDB shows it."""
    parts = [
        f"{count} {noun}{'' if abs(count) == 1 else 's'}" for count, noun in ((months, "month"), (days, "day")) if count
    ]
    seconds, rest = divmod(abs(nanoseconds), 1_000_000_000)
    if nanoseconds or not parts:
        fraction = f".{rest:09d}".rstrip("0") if rest else ""
        sign = "-" if nanoseconds < 0 else ""
        parts.append(f"{sign}{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}")
    return " ".join(parts)


def _cell(value: str, chars_max: int) -> str:
    """On one line, without what a terminal would obey, and not too long."""
    shown = "".join(one if one.isprintable() else {"\n": "↵", "\t": " "}.get(one, "·") for one in value)
    return shown if len(shown) <= chars_max else shown[: chars_max - 1] + "…"


def _width(value: str) -> int:
    """Columns of a terminal that the text takes."""
    if value.isascii():
        return len(value)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in value
    )
