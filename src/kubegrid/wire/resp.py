"""Replies in RESP2 and RESP3, as plain functions that return bytes.

A reply is encoded once, at the place that knows its meaning, and travels as bytes from then on: no object stands for
it. Functions whose encoding differs between the two protocols take `resp3`; containers take parts that are encoded
already. Errors are replies too (they begin with `-`), never exceptions. The headers of short strings and small arrays
are computed once, because most replies are short.

Not here: which command answers what (`store`, `node`), and reading requests (`requests`).
"""

from collections.abc import Iterable, Sequence

OK = b"+OK\r\n"
PONG = b"+PONG\r\n"
QUEUED = b"+QUEUED\r\n"
RESET = b"+RESET\r\n"
ZERO = b":0\r\n"
ONE = b":1\r\n"
MINUS_ONE = b":-1\r\n"
MINUS_TWO = b":-2\r\n"
EMPTY_BULK = b"$0\r\n\r\n"
EMPTY_ARRAY = b"*0\r\n"
NULL_BULK = b"$-1\r\n"
"""RESP2's missing string."""
NULL_ARRAY = b"*-1\r\n"
"""RESP2's missing array."""
NULL3 = b"_\r\n"
"""RESP3's only null."""
TRUE3 = b"#t\r\n"
FALSE3 = b"#f\r\n"

ERR_SYNTAX = b"-ERR syntax error\r\n"
ERR_WRONGTYPE = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
ERR_NOT_INTEGER = b"-ERR value is not an integer or out of range\r\n"
ERR_NOT_FLOAT = b"-ERR value is not a valid float\r\n"
ERR_NAN_OR_INFINITY = b"-ERR increment would produce NaN or Infinity\r\n"
ERR_OVERFLOW = b"-ERR increment or decrement would overflow\r\n"
ERR_NO_SUCH_KEY = b"-ERR no such key\r\n"
ERR_HASH_NOT_INTEGER = b"-ERR hash value is not an integer\r\n"
ERR_HASH_NOT_FLOAT = b"-ERR hash value is not a float\r\n"
ERR_OUT_OF_RANGE = b"-ERR value is out of range\r\n"
ERR_NOT_POSITIVE = b"-ERR value is out of range, must be positive\r\n"
ERR_OFFSET_OUT_OF_RANGE = b"-ERR offset is out of range\r\n"
ERR_INVALID_CURSOR = b"-ERR invalid cursor\r\n"
ERR_STRING_TOO_LONG = b"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"
ERR_OOM = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
ERR_NOAUTH = b"-NOAUTH Authentication required.\r\n"
ERR_LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"
ERR_CROSSSLOT = b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"
ERR_CLUSTERDOWN = b"-CLUSTERDOWN The cluster is down\r\n"
ERR_SLOT_NOT_SERVED = b"-CLUSTERDOWN Hash slot not served\r\n"
ERR_NOREPLICAS = b"-NOREPLICAS Not enough good replicas to write.\r\n"
ERR_EXECABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"

SMALL = 1024
"""Numbers and lengths below this have their encoding ready."""
_INTEGERS = tuple(b":%d\r\n" % n for n in range(SMALL))
_BULK_HEADERS = tuple(b"$%d\r\n" % n for n in range(SMALL))
_ARRAY_HEADERS = tuple(b"*%d\r\n" % n for n in range(SMALL))


def bulk(value: bytes) -> bytes:
    """A string of bytes."""
    size = len(value)
    return b"%b%b\r\n" % (_BULK_HEADERS[size] if size < SMALL else b"$%d\r\n" % size, value)


def bulk_or_null(value: bytes | None, resp3: bool) -> bytes:
    """A string of bytes, or the protocol's null for a missing one."""
    if value is None:
        return NULL3 if resp3 else NULL_BULK
    return bulk(value)


def integer(value: int) -> bytes:
    """A signed 64-bit integer."""
    return _INTEGERS[value] if 0 <= value < SMALL else b":%d\r\n" % value


def simple(text: bytes | str) -> bytes:
    """A status line. It must not hold a line break: one is replaced by a space."""
    return b"+%b\r\n" % _one_line(text)


def error(text: bytes | str) -> bytes:
    """An error with its code as the first word: `error("ERR syntax error")`. Line breaks become spaces."""
    return b"-%b\r\n" % _one_line(text)


def null(resp3: bool) -> bytes:
    """A missing string."""
    return NULL3 if resp3 else NULL_BULK


def null_array(resp3: bool) -> bytes:
    """A missing array (an EXEC that a WATCH made void)."""
    return NULL3 if resp3 else NULL_ARRAY


def array_header(count: int) -> bytes:
    """What stands before `count` encoded parts."""
    return _ARRAY_HEADERS[count] if count < SMALL else b"*%d\r\n" % count


def array(parts: Sequence[bytes]) -> bytes:
    """An array of parts that are encoded already."""
    return array_header(len(parts)) + b"".join(parts)


def array_of_bulks(values: Sequence[bytes]) -> bytes:
    """An array of strings of bytes, encoded here."""
    headers = _BULK_HEADERS
    parts = [array_header(len(values))]
    append = parts.append
    for value in values:
        size = len(value)
        append(b"%b%b\r\n" % (headers[size] if size < SMALL else b"$%d\r\n" % size, value))
    return b"".join(parts)


def map_header(pairs: int, resp3: bool) -> bytes:
    """What stands before `pairs` keys and values: a map, which RESP2 flattens into an array of twice as many."""
    return b"%%%d\r\n" % pairs if resp3 else array_header(pairs * 2)


def map_of(parts: Sequence[bytes], resp3: bool) -> bytes:
    """A map from encoded parts: key, value, key, value …"""
    return map_header(len(parts) // 2, resp3) + b"".join(parts)


def set_header(count: int, resp3: bool) -> bytes:
    """What stands before the `count` members of a set; RESP2 has arrays only."""
    return b"~%d\r\n" % count if resp3 else array_header(count)


def set_of(parts: Sequence[bytes], resp3: bool) -> bytes:
    """A set of encoded parts."""
    return set_header(len(parts), resp3) + b"".join(parts)


def push(parts: Sequence[bytes]) -> bytes:
    """An out-of-band message (RESP3 only)."""
    return b">%d\r\n" % len(parts) + b"".join(parts)


def boolean(value: bool, resp3: bool) -> bytes:
    """A truth value; RESP2 has 1 and 0."""
    if resp3:
        return TRUE3 if value else FALSE3
    return ONE if value else ZERO


def double(value: float, resp3: bool) -> bytes:
    """A floating-point number in the shortest form that reads back the same; RESP2 sends it as a string."""
    text = _number_text(value)
    return b",%b\r\n" % text if resp3 else bulk(text)


def verbatim(text: bytes, resp3: bool, kind: bytes = b"txt") -> bytes:
    """Text for people, with a three-letter kind; RESP2 sends it as a string."""
    return b"=%d\r\n%b:%b\r\n" % (len(text) + 4, kind, text) if resp3 else bulk(text)


def lines(texts: Iterable[str]) -> bytes:
    """An array of status lines: how HELP answers."""
    return array([simple(text) for text in texts])


def _one_line(text: bytes | str) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\r", b" ").replace(b"\n", b" ")
    return raw


def _number_text(value: float) -> bytes:
    if value != value:
        return b"nan"
    if value in (float("inf"), float("-inf")):
        return b"inf" if value > 0 else b"-inf"
    if value == int(value) and abs(value) < 1e17:
        return b"%d" % int(value)
    return repr(value).encode()
