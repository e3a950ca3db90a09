"""Rows that were admitted, with their keys, as one write of a table: what KG.WRITE and batches of Arrow do alike.

Next: `record_writes`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from kubegrid.base.table_errors import shown
from kubegrid.store import record_changes, record_writes
from kubegrid.store.record_changes import Exists
from kubegrid.store.slots import slot_of
from kubegrid.wire import resp

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace
    from kubegrid.store.tables import Table

REPLACE: Final = b"REPLACE"
KEEP: Final = b"KEEP"
FAIL: Final = b"FAIL"
MODES: Final = (REPLACE, KEEP, FAIL)


def write(
    keyspace: "Keyspace",
    table: "Table",
    mode: bytes,
    rows: list[bytes],
    keys: list[bytes],
    values: Sequence[Sequence[Any]] | None,
    slots: list[int] | None = None,
) -> bytes:
    """Put them, as one effect; the reply of KG.WRITE, `[first version, written, kept]` or `-MOVED`. Raises TableError.

    `values` are the rows decoded, at least as far as indexes look, `slots` those of the keys; what is not given is found out.
    """
    there = record_writes.held(keyspace, keys, slots)
    if there is None:
        return resp.error(f"MOVED {next(slot for slot in map(slot_of, keys) if keyspace.slots[slot] is None)}")
    if not set(map(type, there[2])) <= record_writes.OF_TABLES:
        for key in keys:
            record_changes.record_at(keyspace, key)
        there = None
    given = len(keys)
    if mode != REPLACE:
        chosen = _new_ones(keyspace, mode, keys)
        if len(chosen) < given:
            rows, keys = [rows[i] for i in chosen], [keys[i] for i in chosen]
            values = None if values is None else [values[i] for i in chosen]
        there = None
    first = 0
    if keys:
        at_ms = record_changes.lives_until(keyspace, table)
        first = record_writes.put(keyspace, table, keys, rows, values, at_ms, there)
    return b"*3\r\n:%d\r\n:%d\r\n:%d\r\n" % (first, len(keys), given - len(keys))


def _new_ones(keyspace: "Keyspace", mode: bytes, keys: list[bytes]) -> list[int]:
    """The places of keys that are free, the first of each. Raises Exists if there are others and that is to fail."""
    chosen: dict[bytes, int] = {}
    for i, key in enumerate(keys):
        if key in chosen or keyspace.holds(key):
            if mode == FAIL:
                raise Exists(f"{shown(key.decode(errors='backslashreplace'))} exists already; nothing was written")
        else:
            chosen[key] = i
    return list(chosen.values())
