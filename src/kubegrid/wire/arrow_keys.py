"""The keys of rows that are settled columns of Arrow, and their slots: the texts that `record_keys` spells, made in C.

Integers, text and dates are spelt by Arrow itself; what else can be part of a key is spelt once for each distinct value.
Slots of integers need no spelling: see `arrow_integer_slots`. Next: `arrow_rows`.
"""

from array import array as plain_array
from binascii import crc_hqx
from itertools import repeat
from typing import Any, Final

import pyarrow as pa
from pyarrow import compute

from kubegrid.base.record_keys import encode
from kubegrid.base.table_errors import BadKey, shown
from kubegrid.base.tables import KEY_BYTES_MAX, TableDefinition
from kubegrid.wire import arrow_key_lists
from kubegrid.wire.arrow_integer_slots import IntegerSlots
from kubegrid.wire.arrow_key_lists import Spelling
from kubegrid.wire.arrow_packing import by_distinct, bytes_array, check_years, constant, timestamp_texts

_ENCODED: Final = ((b"%", b"%25"), (b":", b"%3A"), (b"{", b"%7B"), (b"}", b"%7D"))
"""The percent sign first: the others bring one."""
_SPECIAL: Final = b":{}%"


class ArrowKeys:
    """Of one table."""

    def __init__(self, definition: TableDefinition) -> None:
        self._definition = definition
        self._columns = [definition.column(name) for name in definition.key]
        self._together = len(definition.partition_by)
        words = (b":", b"}:", b"}", b"Z", b"")
        self._words: dict[bytes, Any] = {word: bytes_array([word])[0] for word in words}
        self._spelling = Spelling(definition.name.encode() + (b":{" if definition.partition_by else b":"))
        self._integer_slots = IntegerSlots(definition.name.encode() + b":")

    def keys(self, columns: dict[str, pa.Array]) -> tuple[pa.Array, pa.Array | None]:
        """The keys, as `arrow_key_lists` has them; and what decides about their slots, where that is a part of them.
        Raises BadKey."""
        texts = [self._texts(columns[column.name], column.type) for column in self._columns]
        if not self._together:
            tags, made = None, self._joined(*texts, by=b":")
        else:
            tags = self._joined(*texts[: self._together], by=b":")
            rest = texts[self._together :]
            made = self._joined(
                tags, self._words[b"}:" if rest else b"}"], *([self._joined(*rest, by=b":")] if rest else [])
            )
        self._check(made, tags)
        return self._spelling.spelt(made), tags

    def slots(self, columns: dict[str, pa.Array], made: tuple[pa.Array, pa.Array | None] | None = None) -> pa.Array:
        """The slots of the rows, as uint16; `made` is what `keys` gave, if it was asked. Raises BadKey."""
        if not self._together and len(self._columns) == 1:
            slots = self._integer_slots.of(columns[self._columns[0].name])
            if slots is not None:
                return slots
        spelt, tags = self.keys(columns) if made is None else made
        if tags is None:
            return _hashed(arrow_key_lists.keys(spelt))
        coded = tags.dictionary_encode()
        return _hashed(coded.dictionary.to_pylist()).take(coded.indices)

    def _joined(self, *parts: Any, by: bytes = b"") -> pa.Array:
        return parts[0] if len(parts) == 1 else compute.binary_join_element_wise(*parts, self._words[by])

    def _texts(self, array: pa.Array, wanted: Any) -> pa.Array:
        name = wanted.name
        if pa.types.is_integer(array.type):
            return compute.cast(compute.cast(array, pa.string()), pa.binary())
        if name == "DATE" or name.startswith("TIMESTAMP"):
            check_years(array, wanted)
        if name == "DATE":
            return compute.cast(compute.cast(array, pa.string()), pa.binary())
        if name == "VARCHAR":
            if any(map(_text_of(array).__contains__, _SPECIAL)):
                for special, encoded in _ENCODED:
                    array = compute.replace_substring(array, special.decode(), encoded.decode())
            return compute.cast(array, pa.binary())
        if name.startswith("TIMESTAMP"):
            coded = array.view(pa.int64()).dictionary_encode()
            return self._moments(coded.dictionary.view(pa.timestamp("us"))).take(coded.indices)
        return by_distinct(array, wanted, lambda value: encode(wanted.to_key_text(value)))

    def _moments(self, array: pa.Array) -> pa.Array:
        """In UTC, whether the column has a zone or not, and with no more digits of a fraction than there are."""
        texts = timestamp_texts(array)
        for place in (16, 13):  # of the colons
            texts = compute.binary_replace_slice(texts, place, place + 1, b"%3A")
        if compute.any(compute.match_substring(texts, ".")).as_py():
            texts = compute.replace_substring_regex(texts, r"(\.\d*?)0+$", r"\1")
        return self._joined(compute.cast(texts, pa.binary()), self._words[b"Z"])

    def _check(self, made: pa.Array, tags: pa.Array | None) -> None:
        prefix = self._spelling.prefix
        longest = len(prefix) + (compute.max(compute.binary_length(made)).as_py() or 0)
        table = self._definition.name
        if longest > KEY_BYTES_MAX:
            text = shown(prefix + made[0].as_py()) if len(made) == 1 else "a key"
            raise BadKey(f"table {table}: {text} is longer than {KEY_BYTES_MAX} bytes")
        if tags is not None and compute.min(compute.binary_length(tags)).as_py() == 0:
            column = self._columns[0].name
            raise BadKey(f"table {table}: the value of partition_by column {column} is empty")


def _text_of(array: pa.Array) -> bytes:
    """All of a column's text in one piece."""
    _, ends, data = array.buffers()
    if data is None or not len(array):
        return b""
    offsets = memoryview(ends).cast("i")
    first, last = offsets[array.offset], offsets[array.offset + len(array)]
    return data.slice(first, last - first).to_pybytes()  # type: ignore[no-any-return]


def _hashed(keys: list[bytes]) -> pa.Array:
    """The slots of texts, as Redis Cluster has them."""
    hashes = plain_array("H", map(crc_hqx, keys, repeat(0)))
    made = pa.Array.from_buffers(pa.uint16(), len(keys), [None, pa.py_buffer(hashes)])
    return compute.bit_wise_and(made, constant(16383, pa.uint16()))
