"""What a change is called in the log (effects) and in the memory of how to take it back (undo).

Both are flat lists of pairs `a, b`. The common case needs no code: in effects `key, value` is a plain string put, which
also ends any expiry; in undo `key, old` says that the key held the string `old` without expiry, or nothing (`None`).
In every other pair `a` is one of the codes below and `b` the list of its arguments.

Effects are absolute and idempotent: they say what is, never what to add. Replaying a log over a fuzzy snapshot, cut
slice by slice while the log grew, ends in the exact state, because for each key

* a *total* effect (put, delete, clear) makes the key exactly what it was at that point, whatever the snapshot held, and
* without one, each field, each byte and the expiry is decided by the last effect on it, or was constant.

Records are put whole, so what is put is total; the version counter only grows; the catalog is put whole; of a client's
requests each reply stands by itself, below what the client has had nothing is kept, and forgetting a client is total.

For the second to hold, a hash that lost its last field is deleted by `DELETE`, and `HASH_DELETE` never removes the key.
"""

from typing import Any, Final

# Effects.
DELETE: Final = 1
"""[key …]: these keys are gone. Total."""
PUT_EXPIRING: Final = 2
"""[key, value, at_ms]: a string that expires. Total."""
HASH_PUT: Final = 3
"""[key, at_ms | None, field, value …]: a hash with exactly these fields. Total."""
HASH_SET: Final = 4
"""[key, field, value …]: these fields have these values; others and the expiry stay."""
HASH_DELETE: Final = 5
"""[key, field …]: these fields are gone; the key stays, though it may be empty for a moment of a replay."""
EXPIRE: Final = 6
"""[key, at_ms | None]: the key, if it is there, expires at, or never."""
SPLICE: Final = 7
"""[key, offset, data, length]: a long string holds `data` at `offset` and is `length` bytes long (never shortened by the
primary, so that replays commute with later ones); the expiry stays."""
CLEAR: Final = 8
"""[]: every key is gone. Total."""
VALUE_PART: Final = 9
"""[key, data, last, at_ms | None]: only in snapshots: a piece of a long string; pieces of one key follow each other."""
RECORDS: Final = 10
"""[table id, first version, at_ms | None, key, row, key, row …]: records of one table with these rows and the first
version, the next one …, all expiring then, or never. Total."""
RECORD_COPIES: Final = 11
"""[key, record, at_ms | None, …]: only in snapshots: records as they are, with their versions. Total."""
VERSION: Final = 12
"""[version]: versions up to this one have been given."""
TABLES: Final = 13
"""[catalog]: the tables from here on, as JSON. Total for the catalog; records stay."""
REQUEST: Final = 14
"""[client, seq, acked, used_ms, reply]: this is the reply to request `seq`; the client has had those below `acked`."""
FORGET_CLIENTS: Final = 15
"""[client …]: these clients' requests are forgotten; those of all clients if none is named. Total."""
BLOCK: Final = 16
"""[table id, first version, columns of the table then, columns, keys, taken]: records of one table, as columns of Arrow, with
the first version, the next one …, that never expire; their keys and slots (`wire.arrow_blocks`). Total. In snapshots keys are
empty, for the columns tell them, and `taken` says which rows are not meant (MessagePack, places); in logs that is empty."""

# Undo.
RESTORE: Final = 1
"""[key, value | None, at_ms | None]: the key held this value (a `Hash` by reference), or nothing."""
RESTORE_EXPIRY: Final = 2
"""[key, at_ms | None]."""
RESTORE_FIELDS: Final = 3
"""[key, field, old | None …], to be taken back last first."""
RESTORE_ALL: Final = 4
"""[slots, expires, used_bytes, key_count, contents of the indexes, of the blocks]: the keyspace before it was cleared, by
reference."""
RESTORE_TABLES: Final = 5
"""[tables by number, catalog]: by reference, with their indexes."""
RESTORE_REQUEST: Final = 6
"""[client, seq, [acked, used_ms] | None, dropped replies by number]: before it was answered; None: a new client."""
RESTORE_CLIENT: Final = 7
"""[client, its requests by reference]."""
RESTORE_ROWS: Final = 8
"""[slots, versions, blocks, key …]: these keys held cold rows with these versions, of these blocks, by reference."""
RESTORE_NOTHING: Final = 9
"""[key …]: these keys held nothing."""
RESTORE_PIECE: Final = 10
"""[key, offset, data, length]: the string held `data` at `offset` and was `length` bytes long; the expiry stays."""

MANY_ARGUMENTS: Final = 100
"""Of an effect, above which counting their bytes one by one would be felt."""


def size_of(effects: list[Any]) -> int:
    """About how many bytes these effects are."""
    # With the reply to a numbered request, which is no string, most turns of our own client end.
    if effects and type(effects[-2]) is bytes:
        try:
            return sum(map(len, effects))
        except TypeError:  # There is a code among them.
            pass
    size = 0
    for item in effects:
        if type(item) is bytes:
            size += len(item)
        elif type(item) is list:
            size += _size_of_arguments(item)
    return size


def _size_of_arguments(item: list[Any]) -> int:
    if len(item) > MANY_ARGUMENTS:
        try:
            return 24 + sum(map(len, item[3:]))  # RECORDS: thousands of keys and rows
        except TypeError:
            pass
    return sum([len(argument) if type(argument) is bytes else 8 for argument in item])
