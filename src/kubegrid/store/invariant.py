"""The invariant of a keyspace, checked by counting everything again. Slow: for tests and the simulator."""

from typing import TYPE_CHECKING, Any

from kubegrid.store.memory import COLD_ROW_BYTES, EXPIRY_OVERHEAD_BYTES, KEY_OVERHEAD_BYTES
from kubegrid.store.records import Record
from kubegrid.store.slots import slot_of

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace


def check(keyspace: "Keyspace") -> None:
    """AssertionError says what is wrong with what."""
    used = keys = 0
    records: list[Record] = []
    cold: list[int] = []
    lists = zip(keyspace.slots, keyspace.expires, keyspace.plain, strict=True)
    for slot, (values, expires, plain) in enumerate(lists):
        if plain is values and not values and expires is None:
            continue  # empty, as most are in a test, and the hot path sees it
        if values is None or expires is not None:
            assert type(plain) is not dict, f"the hot path may touch slot {slot}"
        else:
            assert plain is values, f"the hot path does not see slot {slot}"
        for key, value in (values or {}).items():
            assert slot_of(key) == slot
            if type(value) is int:
                cold.append(value)
                records.append(keyspace.blocks.record(value))
            elif type(value) is Record:
                records.append(value)
            keys += 1
            used += KEY_OVERHEAD_BYTES + len(key) + _cost(value)
        assert expires is None or expires, f"slot {slot} has an empty expires"
        for key in expires or ():
            assert key in (values or {}), f"{key!r} expires but does not exist"
            assert type((values or {})[key]) is not int, f"{key!r} expires and is cold"
            used += EXPIRY_OVERHEAD_BYTES + len(key)
    assert all(record.version <= keyspace.record_version for record in records)
    keyspace.tables.validate(records)
    keyspace.blocks.validate(cold)
    used += sum(block.cost for block in keyspace.blocks)
    keyspace.requests.validate()
    assert keyspace.requests_bytes == keyspace.requests.used_bytes
    used += keyspace.requests_bytes + keyspace.tables.index_bytes
    assert (keys, used) == (keyspace.key_count, keyspace.used_bytes), (
        keys,
        used,
        keyspace.key_count,
        keyspace.used_bytes,
    )


def _cost(value: Any) -> int:
    """What a value counts beyond its key."""
    if type(value) is int:
        return COLD_ROW_BYTES
    cost: int = len(value) if type(value) is bytes else value.cost
    return cost
