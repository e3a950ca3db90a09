"""What OBJECT ENCODING answers: the name that Redis has for the representation of such a value.

Nothing here is a representation of ours. A name follows from the value alone, save for short strings where Redis lets it
depend on how they came about; those are remembered, as far as there is room.
"""

from typing import Any, Final

from kubegrid.store.hashes import Hash
from kubegrid.store.numbers import parse_int64
from kubegrid.store.records import Record

EMBEDDED_BYTES_MAX: Final = 44
"""A longer string is `raw`."""
REMEMBERED_MAX: Final = 1024
"""Strings whose encoding is remembered; the oldest is forgotten, and its encoding then follows from the value."""


class Encodings:
    """Of the values of one keyspace.

    Invariant: what is remembered is true as long as the key holds that very value.
    """

    __slots__ = ("listpack_bytes_max", "listpack_fields_max", "remembered")

    def __init__(self) -> None:
        self.remembered: dict[bytes, tuple[bytes, bytes]] = {}
        """By key the value and its encoding. Who puts a value only has to forget the key if anything is in here."""
        self.listpack_fields_max = 512
        self.listpack_bytes_max = 64
        """A hash with more fields, or a longer field or value, is a `hashtable`. As in Redis."""

    def of(self, key: bytes, value: bytes | Hash) -> bytes:
        """The encoding of the value that `key` holds."""
        remembered = self.remembered.get(key)
        return remembered[1] if remembered is not None and remembered[0] is value else self.of_value(value)

    def of_value(self, value: bytes | Hash) -> bytes:
        """The encoding of such a value, however it came about."""
        if type(value) is Record:
            return b"record"
        if isinstance(value, bytes):
            if parse_int64(value) is not None:
                return b"int"
            return b"embstr" if len(value) <= EMBEDDED_BYTES_MAX else b"raw"
        is_long = max(map(len, value.pairs()), default=0) > self.listpack_bytes_max
        return b"hashtable" if is_long or len(value) > self.listpack_fields_max else b"listpack"

    def is_remembered(self, key: bytes) -> bool:
        return key in self.remembered

    def remember(self, key: bytes, value: bytes, encoding: bytes) -> None:
        """`key` holds `value`, and has this encoding until it is written again."""
        remembered = self.remembered
        if len(remembered) >= REMEMBERED_MAX:
            del remembered[next(iter(remembered))]
        remembered[key] = (value, encoding)

    def copied(self, key: bytes, to: bytes, value: Any) -> None:
        """`to` holds the same string as `key` now."""
        known = self.remembered.get(key)
        if known is not None and known[0] is value:
            self.remember(to, *known)

    def moved(self, key: bytes, to: bytes) -> None:
        """`to` holds what `key` held."""
        known = self.remembered.pop(key, None)
        self.remembered.pop(to, None)
        if known is not None:
            self.remembered[to] = known

    def clear(self) -> None:
        self.remembered.clear()
