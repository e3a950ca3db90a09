"""A SQL statement as one Flight ticket, and what its answer says beside rows: client and data pod agree here.

The ticket is JSON, so that any Flight client can write one by hand: `{"sql": "SELECT ?", "parameters": [1]}`. It is
executed by the `DoGet` that brings it: one round trip. Values that JSON has not are objects of one entry that names
their type: `{"decimal": "1.50"}`, `{"date": "2013-01-31"}`, `{"timestamp": "2013-01-31T05:00:00"}`, `{"time": …}`,
`{"uuid": …}`, `{"bytes": base64}`, `{"interval_us": …}` and, for what is no finite number, `{"float": "nan"}`.

The answer is a stream of Arrow batches; a statement that writes says what it did in the metadata of its schema (`Note`,
under the key `NOTE`), for it is done before the stream begins. An error's bytes are its JSON, compressed where it is
long: they travel in HTTP/2 headers.
"""

import base64
import binascii
import datetime
import decimal
import math
import uuid
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from kubegrid.base.errors import KubegridError

NOTE = b"kubegrid"
"""Key of the schema's metadata under which a `Note` is, as JSON."""
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
"""What every JSON reader of ours takes as an integer; larger ones travel as decimals."""
NUMBER_BITS_MAX = 10_000
"""Of a whole number: Python spells none that is much longer."""
STATEMENT_ID_CHARS_MAX = 200
ERROR_BYTES_MAX = 2500
"""Of an error's bytes. With its text and Base64 that stays below the 8 KiB of headers that gRPC takes from a peer."""
ERROR_TEXT_CHARS_MAX = 500
"""Of each text in an error that is too long even when compressed."""


class TicketError(KubegridError):
    """A ticket that is none, or a value that cannot be a parameter. Nothing was executed."""


class Statement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a client asks."""

    sql: str
    parameters: list[Any] = []
    statement_id: str | None = None
    """Chosen by the client: a writing statement that is sent again with it is not done twice, and it can be cancelled."""
    timeout_ms: int | None = None
    again: bool = False
    """It may have been sent before under this id: every partition is asked what it did then, so that all rows are counted."""


class PartOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one partition did of a statement that writes: `outcome` is `done`, `not done` or `unknown`."""

    partition: int
    outcome: str
    rows: int = 0
    error: str = ""


class Note(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of a statement that writes."""

    rows_changed: int | None = None
    outcomes: list[PartOutcome] = []
    statement_id: str | None = None


def encode(
    sql: str,
    parameters: Sequence[Any] = (),
    *,
    statement_id: str | None = None,
    timeout_ms: int | None = None,
    again: bool = False,
) -> bytes:
    """The ticket. Raises TicketError naming the parameter that cannot be sent."""
    values = [_told(number, value) for number, value in enumerate(parameters, 1)]
    statement = Statement(sql=sql, parameters=values, statement_id=statement_id, timeout_ms=timeout_ms, again=again)
    try:
        return msgspec.json.encode(statement)
    except (UnicodeEncodeError, msgspec.MsgspecError) as error:
        raise TicketError(f"the statement or a text among its parameters is not valid Unicode: {error}") from error


def decode(ticket: bytes) -> Statement:
    """Raises TicketError saying what is wrong where."""
    try:
        statement = msgspec.json.decode(ticket, type=Statement)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TicketError(f"the ticket is not a statement as JSON: {error}") from error
    chosen = statement.statement_id
    if chosen is not None and not (
        1 <= len(chosen) <= STATEMENT_ID_CHARS_MAX and chosen.isascii() and chosen.isprintable()
    ):
        raise TicketError(f"the statement id {chosen[:64]!r} is not 1 to {STATEMENT_ID_CHARS_MAX} printable characters")
    if statement.timeout_ms is not None and statement.timeout_ms <= 0:
        raise TicketError(f"timeout_ms is {statement.timeout_ms}; it must be above 0")
    values = [_meant(number, value) for number, value in enumerate(statement.parameters, 1)]
    return msgspec.structs.replace(statement, parameters=values)


def note_of(metadata: dict[bytes, bytes] | None) -> Note | None:
    """What an answer's schema says; None for a question. Raises TicketError."""
    told = (metadata or {}).get(NOTE)
    if told is None:
        return None
    try:
        return msgspec.json.decode(told, type=Note)
    except msgspec.MsgspecError as error:
        raise TicketError(f"the answer's note cannot be read: {error}") from error


def encode_error(document: dict[str, Any]) -> bytes:
    """An error's JSON (`sql.errors.SqlError.to_json`) as bytes beside its text, never more than `ERROR_BYTES_MAX`."""
    encoded = msgspec.json.encode(document)
    if len(encoded) > ERROR_BYTES_MAX:
        encoded = zlib.compress(encoded, 9)
    if len(encoded) > ERROR_BYTES_MAX:
        short = {key: _shortened(value) for key, value in document.items() if key != "outcomes"}
        encoded = zlib.compress(msgspec.json.encode(short), 9)
    return encoded


def decode_error(extra_info: bytes | None) -> dict[str, Any] | None:
    """What `encode_error` was given; None when these bytes are no error of a grid."""
    data = extra_info or b""
    try:
        if data[:1] not in (b"{", b""):
            data = zlib.decompressobj().decompress(data, ERROR_BYTES_MAX * 1000)
        document = msgspec.json.decode(data)
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return document if isinstance(document, dict) else None


def _shortened(value: Any) -> Any:
    return value[:ERROR_TEXT_CHARS_MAX] if isinstance(value, str) else value


# -- parameters ------------------------------------------------------------------------------------------------------


_NUMPY = {"b": bool, "i": int, "u": int, "f": float}
"""NumPy's numbers, which are no kind of Python's: what they are by the kind of their `dtype`."""


def _told(number: int, value: Any) -> Any:
    """A value as JSON has it. Subclasses of bool, int … (enums, NumPy's float) are what they are a kind of."""
    match value:
        case None | bool() | str():
            return value
        case int():
            if value.bit_length() > NUMBER_BITS_MAX:
                raise TicketError(f"parameter {number} has {value.bit_length()} bits; {NUMBER_BITS_MAX} are the most")
            return int(value) if INTEGER_MIN <= value <= INTEGER_MAX else {"decimal": str(int(value))}
        case float():
            return float(value) if math.isfinite(value) else {"float": str(float(value))}
        case decimal.Decimal():
            return {"decimal": str(value)}
        case datetime.datetime():  # before date: it is a kind of date
            return {"timestamp": value.isoformat()}
        case datetime.date():
            return {"date": value.isoformat()}
        case datetime.time():
            return {"time": value.isoformat()}
        case datetime.timedelta():
            return {"interval_us": value // datetime.timedelta(microseconds=1)}
        case uuid.UUID():
            return {"uuid": str(value)}
        case bytes() | bytearray() | memoryview():
            return {"bytes": base64.b64encode(value).decode("ascii")}
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in _NUMPY and value.shape == ():
        return _told(number, _NUMPY[kind](value))
    raise TicketError(
        f"parameter {number} is a {type(value).__name__}, which is no value of SQL",
        "Values are None, bool, int, float, str, bytes, Decimal, date, datetime, time, timedelta and UUID.",
    )


def _decimal(text: Any) -> Any:
    value = decimal.Decimal(text)
    return int(value) if value.as_tuple().exponent == 0 and abs(value) > INTEGER_MAX else value


_MEANINGS: dict[str, Callable[[Any], Any]] = {
    "decimal": _decimal,
    "float": float,
    "timestamp": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "uuid": uuid.UUID,
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "interval_us": lambda count: datetime.timedelta(microseconds=count),
}


def _meant(number: int, value: Any) -> Any:
    if not isinstance(value, dict | list):
        return value
    kind, told = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else ("", None)
    meaning = _MEANINGS.get(kind)
    if meaning is None:
        kinds = ", ".join(sorted(_MEANINGS))
        raise TicketError(f"parameter {number} is neither a plain JSON value nor an object of one entry of {kinds}")
    try:
        return meaning(told)
    except (TypeError, ValueError, ArithmeticError, AttributeError, binascii.Error) as error:
        raise TicketError(f"parameter {number} is no {kind}: {error}") from error
