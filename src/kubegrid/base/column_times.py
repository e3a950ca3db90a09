"""DATE, TIME, and TIMESTAMP with and without time zone; microseconds everywhere.

A TIMESTAMP WITH TIME ZONE is a moment and is kept in UTC; a TIMESTAMP is what a clock on some wall shows. Neither is
taken for the other, because whoever guesses a zone is wrong for somebody.
"""

import re
from datetime import UTC, date, datetime, time, tzinfo
from typing import Annotated, Any

import msgspec

from kubegrid.base.column_type import ColumnType
from kubegrid.base.table_errors import BadValue, shown

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(r"([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]{1,12})?)?")
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]{1,12})?)?)? ?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?",
    re.IGNORECASE,
)


class DateType(ColumnType):
    name = "DATE"
    python = wire = document = date

    def from_json(self, value: Any) -> date:
        if type(value) is str and _DATE.fullmatch(value):
            try:
                return date.fromisoformat(value)
            except ValueError as error:
                raise self.refuse(value, str(error)) from None
        raise self.refuse(value, "it is written 2013-01-31" if type(value) is str else "")

    def from_text(self, data: bytes) -> date:
        return self.from_json(self.text_of(data))

    def from_python(self, value: Any) -> date:
        if isinstance(value, datetime):
            raise self.refuse(value, "it has a time; take its .date()")
        if isinstance(value, date):
            return date(value.year, value.month, value.day)
        raise self.refuse(value)

    def to_json(self, value: Any) -> str:
        return value.isoformat()  # type: ignore[no-any-return]

    def to_text(self, value: Any) -> bytes:
        return value.isoformat().encode()  # type: ignore[no-any-return]


class TimeType(ColumnType):
    name = "TIME"
    python = time
    wire = document = Annotated[time, msgspec.Meta(tz=False)]
    condition = "type({v}) is {c} and {v}.tzinfo is None"

    def from_json(self, value: Any) -> time:
        match = _TIME.fullmatch(value) if type(value) is str else None
        if match is None:
            raise self.refuse(value, "it is written 05:30:00" if type(value) is str else "")
        try:
            return msgspec.convert(match[1] + (match[2] or ":00"), time)
        except msgspec.ValidationError:
            raise self.refuse(value, "there is no such time") from None

    def from_text(self, data: bytes) -> time:
        return self.from_json(self.text_of(data))

    def from_python(self, value: Any) -> time:
        if not isinstance(value, time):
            raise self.refuse(value)
        if value.tzinfo is not None:
            raise BadValue(f"{value.isoformat()} has a time zone, and TIME has none")
        return time(value.hour, value.minute, value.second, value.microsecond)

    def to_json(self, value: Any) -> str:
        return value.isoformat()  # type: ignore[no-any-return]

    def to_text(self, value: Any) -> bytes:
        return _short(value).encode()


class TimestampType(ColumnType):
    """Both of them; `zoned` says which."""

    python = datetime
    utc = UTC

    def __init__(self, zoned: bool) -> None:
        self.name = "TIMESTAMP WITH TIME ZONE" if zoned else "TIMESTAMP"
        self.zoned = zoned
        self.wire = self.document = Annotated[datetime, msgspec.Meta(tz=zoned)]
        self.exact = "{v}.tzinfo is {t}.utc" if zoned else ""
        self.condition = f"type({{v}}) is {{c}} and {self.exact or '{v}.tzinfo is None'}"

    def settle(self, value: Any) -> datetime:
        if not self.zoned:
            return value  # type: ignore[no-any-return]
        try:
            return value.astimezone(UTC)  # type: ignore[no-any-return]
        except OverflowError:
            raise self.refuse(value, "in UTC it is before year 1 or after 9999") from None

    def from_json(self, value: Any) -> datetime:
        return self._of_words(value, zone_dropped=False)

    def _of_words(self, value: Any, zone_dropped: bool) -> datetime:
        match = _TIMESTAMP.fullmatch(value) if type(value) is str else None
        if match is None:
            example = "2013-01-31T05:00:00" + ("Z" if self.zoned else "")
            raise self.refuse(value, f"it is written {example}" if type(value) is str else "")
        day, minutes, seconds, zone = match.groups()
        if zone and zone_dropped:
            zone = None
        if (zone is not None) != self.zoned:
            raise self._wrong_zone(value)
        if zone and zone not in "zZ":
            zone = zone if len(zone) == 6 else f"{zone}:00" if len(zone) == 3 else f"{zone[:3]}:{zone[3:]}"
        try:
            found = msgspec.convert(f"{day}T{minutes or '00:00'}{seconds or ':00'}{zone or ''}", datetime)
        except msgspec.ValidationError:
            raise self.refuse(value, "there is no such time") from None
        return self.settle(found)

    def _wrong_zone(self, value: object) -> BadValue:
        text = value.isoformat() if isinstance(value, datetime) else shown(value)
        if self.zoned:
            return BadValue(f"{text} has no time zone, and {self.name} needs one, such as the Z of UTC")
        return BadValue(f"{text} has a time zone, and TIMESTAMP has none; declare TIMESTAMP WITH TIME ZONE")

    def from_text(self, data: bytes) -> datetime:
        return self.from_json(self.text_of(data))

    def from_python(self, value: Any) -> datetime:
        if not isinstance(value, datetime) or value != value:  # pandas' NaT is a datetime, unequal to itself
            raise self.refuse(value)
        zone: tzinfo | None = value.tzinfo
        if (value.utcoffset() is not None) != self.zoned:
            raise self._wrong_zone(value)
        if getattr(value, "nanosecond", 0):
            raise self.refuse(value, "it has nanoseconds; microseconds are kept")
        if type(value) is not datetime:
            value = datetime.combine(value.date(), value.time(), tzinfo=zone).replace(fold=value.fold)
        return self.settle(value if self.zoned else value.replace(tzinfo=None, fold=0))

    def to_json(self, value: Any) -> str:
        return value.isoformat().replace("+00:00", "Z")  # type: ignore[no-any-return]

    def to_text(self, value: Any) -> bytes:
        return _short(value).encode()

    def to_key_text(self, value: Any) -> bytes:
        """Always with the Z that keys have, so that one spelling serves both kinds."""
        text = _short(value)
        return text.encode() if self.zoned else text.encode() + b"Z"

    def from_key_text(self, data: bytes) -> datetime:
        return self._of_words(self.text_of(data), zone_dropped=not self.zoned)


def _short(value: time | datetime) -> str:
    """ISO 8601 in UTC, with as many digits of the fraction as are not zero."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        text = value.astimezone(UTC).replace(tzinfo=None).isoformat()
        return (text.rstrip("0") if "." in text else text) + "Z"
    text = value.isoformat()
    return text.rstrip("0") if "." in text else text
