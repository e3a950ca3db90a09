"""Which slot a key belongs to: the Redis Cluster rule, CRC16 of the key, or of its `{tag}` when it has one."""

from binascii import crc_hqx
from typing import Any


def slot_of(key: bytes) -> int:
    """The slot (0–16383) of `key`. Only the first `{` counts, and only when the first `}` after it leaves a tag."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) & 16383


def slot_dictionary() -> dict[bytes, Any]:
    """An empty dictionary that Python's collector knows already, and so has put out of its sight before it is large.

    One that has only held bytes and integers becomes known with its first record: a change of some rows of each slot after
    a load would have a collection visit every key of the member, half a second for three million.
    """
    values: dict[bytes, Any] = {b"": []}
    values.clear()
    return values
