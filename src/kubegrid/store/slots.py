"""Which slot a key belongs to: the Redis Cluster rule, CRC16 of the key, or of its `{tag}` when it has one."""

from binascii import crc_hqx
from collections.abc import Sequence
from itertools import chain, groupby, repeat
from typing import Any

Runs = list[tuple[int, int]]
"""Slots of a list of keys, each with the number of its keys that follow each other."""


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


def runs_of(slots: Sequence[int]) -> Runs:
    """From the slot of each key."""
    return [(slot, len(list(some))) for slot, some in groupby(slots)]


def slots_of(runs: Runs) -> list[int]:
    """The slot of each key."""
    return list(chain.from_iterable([repeat(slot, count) for slot, count in runs]))
