"""KG.FIND and KG.COUNT: the records of a table that a predicate is true of, in slices of bounded work.

Each record is seen at most once, and one that matches all the time is seen, though it may change between two slices: the
candidates of an index are listed at the beginning, and looked up again by their keys before they count; without an index
the keys of each slot are listed when its turn comes, and a record never moves to another slot. Rows that are cold are looked
at before that, block by block.
"""

from collections.abc import Generator
from itertools import repeat
from typing import Any, Final

from kubegrid.base.table_errors import TableError, UnknownTable
from kubegrid.sql.predicate import Predicate
from kubegrid.store import record_changes
from kubegrid.store.blocks import Scan
from kubegrid.store.candidates import buckets_for
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.numbers import parse_int64
from kubegrid.store.record_changes import refusal
from kubegrid.store.records import HEADER_BYTES, Record
from kubegrid.store.refusals import ANSWERS_MAX, answers_too_long
from kubegrid.store.slices import Budget, Task, run
from kubegrid.store.tables import Table
from kubegrid.wire import resp
from kubegrid.wire.resp import ERR_NOT_INTEGER, ERR_OUT_OF_RANGE, ERR_SYNTAX

COLD_ROW_UNITS: Final = 3
"""What looking at a few columns of a cold row costs of a slice; of more, each costs one."""
COLUMNS_PASSED_PER_UNIT: Final = 64
"""A record is read as far as the last column that is asked for: so many in the time in which a key is looked at."""
WIDTHS_PER_DOCUMENT: Final = 4
"""How often a wide record is gone through for its document: it is taken apart, and each value is written."""
DOCUMENT_UNITS: Final = 4
"""What making a document costs of a slice, where looking at a key costs 1."""

UNSEEN: Final = Record()
"""In the place of a record that nobody looks at."""

Match = tuple[bytes, Record, Table]
"""A key, what it holds now, and its table as it is now."""


class Question:
    """What KG.FIND asks for, read from its arguments."""

    __slots__ = ("fields", "limit", "predicate", "table", "with_versions")

    def __init__(self, table: Table, predicate: Predicate) -> None:
        self.table = table
        self.predicate = predicate
        self.fields: list[str] | None = None
        self.limit: int | None = None
        self.with_versions = False


def compile_predicate(keyspace: Keyspace, table: Table, text: bytes) -> Predicate | bytes:
    """The predicate, or the error reply."""
    try:
        return table.predicates.parse(text.decode(errors="surrogateescape"))
    except TableError as error:
        return refusal(error)


def _question(keyspace: Keyspace, args: list[bytes]) -> Question | bytes:
    """KG.FIND table predicate [FIELDS n f …] [LIMIT n] [WITHVERSIONS], or the error reply."""
    try:
        table = record_changes.table_named(keyspace, args[1])
        predicate = table.predicates.parse(args[2].decode(errors="surrogateescape"))
        question = Question(table, predicate)
        at = 3
        while at < len(args):
            option = args[at].upper()
            if option == b"WITHVERSIONS":
                question.with_versions = True
                at += 1
                continue
            if option not in (b"LIMIT", b"FIELDS") or at + 1 == len(args):
                return ERR_SYNTAX
            number = parse_int64(args[at + 1])
            if number is None:
                return ERR_NOT_INTEGER
            if number < 0:
                return ERR_OUT_OF_RANGE
            at += 2
            if option == b"LIMIT":
                question.limit = number
                continue
            names = args[at : at + number]
            if len(names) < number or not names:
                return ERR_SYNTAX
            question.fields = [name.decode(errors="backslashreplace") for name in names]
            for name in question.fields:
                table.definition.position(name)
            at += number
    except TableError as error:
        return refusal(error)
    return question


def find(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes | Task:
    question = _question(keyspace, args)
    return question if isinstance(question, bytes) else run(_find(keyspace, question))


def count(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes | Task:
    question = _question(keyspace, args[:3])
    return question if isinstance(question, bytes) else run(_count(keyspace, question))


def _find(keyspace: Keyspace, question: Question) -> Task:
    budget = Budget(keyspace)
    longest = keyspace.settings.reply_bytes_max
    parts: list[bytes] = []
    size = found = 0
    try:
        # The budget is looked after here as well, so the loop is written out.
        matches = matching(keyspace, question.table, question.predicate, budget)
        while question.limit is None or found < question.limit:
            match = next(matches, _END)
            if match is None:
                yield
                continue
            if match is _END:
                break
            _, record, table = match
            document = table.codec.documents.encode(table.codec.decode(record[HEADER_BYTES:]), question.fields)
            parts.append(resp.bulk(document))
            if question.with_versions:
                parts.append(resp.integer(record.version))
            found += 1
            size += len(document)
            keyspace.answer_bytes += len(document)
            if size > longest:
                return resp.error(
                    f"ERR the reply of KG.FIND would exceed {longest} bytes: ask with LIMIT, FIELDS or a narrower predicate"
                )
            if keyspace.answer_bytes > ANSWERS_MAX * longest:
                return answers_too_long(keyspace)
            units = DOCUMENT_UNITS + WIDTHS_PER_DOCUMENT * table.width_units + (len(document) >> 10)
            if budget.spend(units):
                yield
    except TableError as error:
        return refusal(error)
    finally:
        keyspace.answer_bytes -= size
    return resp.array(parts)


def _count(keyspace: Keyspace, question: Question) -> Task:
    budget = Budget(keyspace)
    number = 0
    try:
        for match in matching(keyspace, question.table, question.predicate, budget, counted=True):
            if match is None:
                yield
            else:
                number += 1
    except TableError as error:
        return refusal(error)
    return resp.integer(number)


_END: Any = object()


def matching(
    keyspace: Keyspace, table: Table, predicate: Predicate, budget: Budget, *, counted: bool = False
) -> Generator[Match | None, None, None]:
    """Each record that matches, and None where a slice ends. Raises UnknownTable when the table is dropped meanwhile.

    With `counted` only how many they are is wanted: what stands for a cold row need not be made."""
    buckets = buckets_for(table, predicate)
    if buckets is None:
        yield from _matching_of_all(keyspace, table, predicate, budget, counted)
        return
    listed: list[Record] = []
    for bucket in buckets:
        listed += bucket if type(bucket) is list else bucket.all()  # type: ignore[union-attr]
    number = table.id
    for record in listed:
        values = table.codec.decode(record[HEADER_BYTES:])
        if predicate.matches(values):
            key = table.codec.key_of_row(values)
            current = keyspace.find(key)
            if current is record or (
                type(current) is Record
                and current.table_id == number
                and predicate.matches(table.codec.decode(current[HEADER_BYTES:]))
            ):
                yield key, current, table
        if budget.spend(2 + 2 * table.width_units):
            yield None
            table = _still(keyspace, table)


def _matching_of_all(
    keyspace: Keyspace, table: Table, predicate: Predicate, budget: Budget, counted: bool
) -> Generator[Match | None, None, None]:
    head = table.head
    project = table.codec.projection(predicate.columns)
    matches = predicate.matches_columns
    slots = keyspace.slots
    positions = table.definition.positions
    units = 1 + max([positions[name] for name in predicate.columns], default=0) // COLUMNS_PASSED_PER_UNIT
    size = max(1, budget.size // units)
    with keyspace.blocks.scan() as scan:
        yield from _matching_of_blocks(keyspace, table, predicate, budget, scan, counted)
        for slot in keyspace.owned:
            keys = list(slots[slot] or ())
            for start in range(0, len(keys), size):
                part = keys[start : start + size]
                for key in part:
                    value = (slots[slot] or {}).get(key)
                    if (
                        type(value) is Record
                        and value[:4] == head
                        and key not in scan.keys
                        and matches(project(value[HEADER_BYTES:]))
                        and keyspace.find(key) is value
                    ):
                        yield key, value, table
                if budget.spend(units * len(part)):
                    yield None
                    table = _still(keyspace, table)
            # An empty slot costs next to nothing beside a key.
            if slot % 16 == 0 and budget.spend(1):
                yield None
                table = _still(keyspace, table)


def _matching_of_blocks(
    keyspace: Keyspace, table: Table, predicate: Predicate, budget: Budget, scan: Scan, counted: bool
) -> Generator[Match | None, None, None]:
    """The cold rows that match, which stay cold. What leaves its block before it is looked at is met in its slot later."""
    wanted = [table.definition.columns[table.definition.position(name)] for name in predicate.columns]
    matches = predicate.matches_columns
    blocks = keyspace.blocks
    units = max(COLD_ROW_UNITS, len(wanted))
    part = max(1, budget.size // units)
    for block in blocks.of_table(table.id):
        project = block.projection(wanted)
        for start in range(0, block.size, part):
            if not blocks.has(block):
                break
            places = block.cold(start, start + part)
            found = [place for place in places if matches(project(place))]
            if counted:
                yield from repeat((b"", UNSEEN, table), len(found))
                found = []
            for at in range(0, len(found), step := max(1, budget.size // block.units_of_many)):
                some = found[at : at + step]
                for key, place, record in zip(block.keys(some)[0], some, block.records(some), strict=True):
                    if place not in block.taken and blocks.has(block) and table.id in keyspace.tables.by_id:
                        scan.reached = block.first + place + 1
                        yield key, record, table
                if budget.spend(block.units_of_many * len(some)):
                    yield None
                    table = _still(keyspace, table)
            scan.reached = block.first + min(start + part, block.size)
            if budget.spend(units * len(places) + 1):
                yield None
                table = _still(keyspace, table)


def _still(keyspace: Keyspace, table: Table) -> Table:
    """The table as it is now: it may have got a column, or be gone."""
    now = keyspace.tables.by_id.get(table.id)
    if now is None:
        raise UnknownTable(table.name, keyspace.catalog.by_name)
    return now
