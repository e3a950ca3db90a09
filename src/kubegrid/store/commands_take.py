"""KG.TAKE: remove one record that a predicate is true of, and answer it. Oldest last change first.

With an index that bounds the predicate, its records are walked in the order of their versions, which is the order of
their last changes, until one matches: that is one step of the loop however large the table is. Without one, or when too
many are in the way, all records are looked at in slices for the oldest match.

Waiting for a record (`BLOCK`) is the business of `node`: it learns of new ones from `Keyspace.written`, and takes them
with `take_key`.
"""

from heapq import merge
from typing import Final

from kubegrid.base.table_errors import TableError
from kubegrid.sql.predicate import Predicate
from kubegrid.store import record_changes
from kubegrid.store.candidates import buckets_for
from kubegrid.store.commands_find import compile_predicate, matching
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.record_changes import refusal
from kubegrid.store.records import HEADER_BYTES, Record
from kubegrid.store.slices import Budget, Task, run
from kubegrid.store.tables import Table
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_SYNTAX

SEARCHES_MAX: Final = 10
"""How often the oldest match may have changed when it was found, before any match is taken."""


def take(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes | Task:
    """KG.TAKE table predicate → the document, or null. A generator only where no index helps."""
    if len(args) != 3:
        return ERR_SYNTAX
    try:
        table = record_changes.table_named(keyspace, args[1])
    except TableError as error:
        return refusal(error)
    predicate = compile_predicate(keyspace, table, args[2])
    if isinstance(predicate, bytes):
        return predicate
    if not keyspace.tables.counts.get(table.id):
        return resp.null(resp3)
    buckets = buckets_for(table, predicate)
    if buckets is not None:
        in_order = merge(*buckets) if len(buckets) > 1 else buckets[0] if buckets else ()
        for looked, record in enumerate(in_order, 1):
            values = table.codec.decode(record[HEADER_BYTES:])
            if predicate.matches(values):
                key = table.codec.key_of_row(values)
                if _is_there(keyspace, key, record):
                    return _taken(keyspace, table, key, record)
            if looked * (1 + table.width_units) >= keyspace.settings.atomic_units_max:
                break
        else:
            return resp.null(resp3)
    return run(_take_oldest(keyspace, table, predicate, resp3))


def _is_there(keyspace: Keyspace, key: bytes, record: Record) -> bool:
    """Whether its time is not over. Deletes nothing: the records of an index are being walked through."""
    at_ms = keyspace.expiry_of(key)
    return (at_ms is None or at_ms >= keyspace.now_ms) and keyspace.value_of(key) == record


def _take_oldest(keyspace: Keyspace, table: Table, predicate: Predicate, resp3: bool) -> Task:
    try:
        for search in range(1, SEARCHES_MAX + 1):
            budget = Budget(keyspace)
            oldest: tuple[Record, bytes, Table] | None = None
            for match in matching(keyspace, table, predicate, budget):
                if match is None:
                    yield
                elif oldest is None or match[1] < oldest[0]:
                    key, record, table = match
                    oldest = record, key, table
                    if search == SEARCHES_MAX:
                        break
            if oldest is None:
                return resp.null(resp3)
            if keyspace.find(oldest[1]) == oldest[0]:
                return _taken(keyspace, oldest[2], oldest[1], oldest[0])
    except TableError as error:
        return refusal(error)
    return resp.null(resp3)


def take_key(keyspace: Keyspace, name: bytes, predicate: Predicate, key: bytes, resp3: bool) -> bytes | None:
    """Take the record at `key` if it is there and matches: the reply of KG.TAKE, else None."""
    table = keyspace.tables.by_name.get(name)
    record = keyspace.find(key)
    if table is None or type(record) is not Record or record.table_id != table.id:
        return None
    if not predicate.matches(table.codec.decode(record[HEADER_BYTES:])):
        return None
    return _taken(keyspace, table, key, record)


def _taken(keyspace: Keyspace, table: Table, key: bytes, record: Record) -> bytes:
    keyspace.remove(key)
    return resp.bulk(table.codec.documents.encode(table.codec.decode(record[HEADER_BYTES:])))
