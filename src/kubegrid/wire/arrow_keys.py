"""The keys of rows that are settled columns of Arrow, and their slots: the texts that `record_keys` spells, made in C.

Integers, text and dates are spelt by Arrow itself; what else can be part of a key is spelt once for each distinct value.
Next: `arrow_rows`.
"""

from binascii import crc_hqx
from typing import Any, Final

import pyarrow as pa
from pyarrow import compute

from kubegrid.base.record_keys import encode
from kubegrid.base.table_errors import BadKey, shown
from kubegrid.base.tables import KEY_BYTES_MAX, TableDefinition
from kubegrid.wire.arrow_packing import by_distinct, bytes_array, check_years, numbers, timestamp_texts

_ENCODED: Final = ((b"%", b"%25"), (b":", b"%3A"), (b"{", b"%7B"), (b"}", b"%7D"))
"""The percent sign first: the others bring one."""
_SPECIAL: Final = "[:{}%]"


class ArrowKeys:
    """Of one table."""

    def __init__(self, definition: TableDefinition) -> None:
        self._definition = definition
        self._columns = [definition.column(name) for name in definition.key]
        self._together = len(definition.partition_by)
        words = (b":", b"{", b"}:", b"}", definition.name.encode() + b":", definition.name.encode() + b":{", b"")
        self._words: dict[bytes, Any] = {word: bytes_array([word])[0] for word in words}

    def keys(self, columns: dict[str, pa.Array]) -> tuple[pa.Array, pa.Array | None]:
        """The keys, as Arrow's binary; and what decides about their slots, where that is a part of them. Raises BadKey."""
        texts = [self._texts(columns[column.name], column.type) for column in self._columns]
        name = self._definition.name.encode()
        if not self._together:
            tags = None
            made = self._joined(self._words[name + b":"], self._joined(*texts, by=b":"))
        else:
            tags = self._joined(*texts[: self._together], by=b":")
            rest = texts[self._together :]
            parts = [self._words[name + b":{"], tags, self._words[b"}:" if rest else b"}"]]
            made = self._joined(*parts, *([self._joined(*rest, by=b":")] if rest else []))
        self._check(made, tags)
        return made, tags

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
            if compute.any(compute.match_substring_regex(array, _SPECIAL)).as_py():
                for special, encoded in _ENCODED:
                    array = compute.replace_substring(array, special.decode(), encoded.decode())
            return compute.cast(array, pa.binary())
        if name == "TIMESTAMP":
            texts = compute.replace_substring(timestamp_texts(array), ":", "%3A")
            return self._joined(
                compute.cast(compute.replace_substring_regex(texts, r"(\.\d*?)0+$", r"\1"), pa.binary()),
                bytes_array([b"Z"])[0],
            )
        return by_distinct(array, wanted, lambda value: encode(wanted.to_key_text(value)))

    def _check(self, keys: pa.Array, tags: pa.Array | None) -> None:
        longest = compute.max(compute.binary_length(keys)).as_py() or 0
        table = self._definition.name
        if longest > KEY_BYTES_MAX:
            text = shown(keys[0].as_py()) if len(keys) == 1 else "a key"
            raise BadKey(f"table {table}: {text} is longer than {KEY_BYTES_MAX} bytes")
        if tags is not None and compute.min(compute.binary_length(tags)).as_py() == 0:
            column = self._columns[0].name
            raise BadKey(f"table {table}: the value of partition_by column {column} is empty")


def slots_of(keys: list[bytes], tags: pa.Array | None) -> list[int]:
    """The slot of each key: of its tag, if it has one."""
    if tags is None:
        return [crc_hqx(key, 0) & 16383 for key in keys]
    coded = tags.dictionary_encode()
    slots = [crc_hqx(tag, 0) & 16383 for tag in coded.dictionary.to_pylist()]
    return list(map(slots.__getitem__, numbers(coded.indices)))
