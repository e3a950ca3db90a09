"""The operations of a table that take more than one request, as conversations: each yields requests and is sent their replies.

Written once for both clients: `Table` and `AsyncTable` run them, each with its own way of sending. A conversation yields a list
of `Request` and gets the list of their replies, a ClientError standing for one that failed.
Next on the path of the data: `table`, `async_table`.
"""

from collections.abc import Callable, Generator, Iterable
from typing import Any, Protocol, TypeVar

import msgspec

from kubegrid.base.errors import UsageError
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import TableDefinition, difference
from kubegrid.client import arguments, clock
from kubegrid.client.batch import Request
from kubegrid.client.errors import (
    ClientError,
    DoneError,
    OutcomeUnknownError,
    PartlyDoneError,
    SchemaChangedError,
    TableExistsError,
    UnknownTableError,
)
from kubegrid.client.routes import Routes
from kubegrid.client.table_plan import TablePlan, Versioned

R = TypeVar("R")
T = TypeVar("T")
Steps = Generator[list[Request], list[Any], T]

SCHEMA_TRIES = 5
"""How often a write is made anew because the table was altered: more means that somebody alters it all the time."""
BATCHES_AT_ONCE = 32
"""Batches of a `write_many` on their way at a time, over all partitions: bounds what is packed and kept."""
FAILURES_MAX = 1000
"""Failures that one PartlyDoneError lists; a `write_many` with more ends there."""
CREATE_TRIES = 3
TAKE_SLICE_MS = 100
"""How long a take waits at one partition before it goes on to the next."""
TAKE_ALONE_MS = 60_000
"""The same where there is only one: an identity that is silent for ten minutes would be forgotten."""


class Handle(Protocol):
    """What a conversation needs of the table that it is about."""

    plan: TablePlan[Any]
    routes: Routes


def describe(name: str, routes: Routes) -> Steps[TableDefinition]:
    """The definition of a table that exists; UnknownTableError otherwise."""
    (reply,) = yield [Request((b"KG.DESCRIBE", name), routes.all[0].first_slot, False)]
    if isinstance(reply, ClientError):
        raise reply
    return with_ids(reply)


def with_ids(reply: bytes) -> TableDefinition:
    """What KG.DESCRIBE answers."""
    document = msgspec.json.decode(reply)
    definition = parse_definition(None, document)
    return msgspec.structs.replace(definition, id=int(document["id"]), schema=int(document["schema"]))


def single(handle: Handle, make: Callable[[TablePlan[Any]], Request]) -> Steps[Any]:
    """One request; made anew when the table was altered meanwhile."""
    for _ in range(SCHEMA_TRIES):
        (reply,) = yield [make(handle.plan)]
        if not isinstance(reply, ClientError):
            return reply
        if not isinstance(reply, SchemaChangedError):
            raise reply
        yield from renew(handle)
    raise reply


def renew(handle: Handle) -> Steps[None]:
    """Read the table's definition again."""
    definition = yield from describe(handle.plan.definition.name, handle.routes)
    handle.plan = handle.plan.renewed(definition)


def write_many(handle: Handle, records: Iterable[R], on_duplicate: str) -> Steps[int]:
    """Write records in batches; how many were written. PartlyDoneError names the records of failed batches by number."""
    written = 0
    failures: list[tuple[int, Exception]] = []
    tries = 0
    numbered: Iterable[tuple[int, R]] = enumerate(arguments.several(records, "records", "records"))
    while True:
        again: list[tuple[int, R]] = []
        round_: list[tuple[list[tuple[int, R]], Request]] = []
        batches = iter(handle.plan.write_batches(numbered, on_duplicate, handle.routes.of_slot))
        while True:
            batch = next(batches, None)
            if batch is not None:
                round_.append(batch)
                if len(round_) < BATCHES_AT_ONCE:
                    continue
            replies = yield [request for _, request in round_]
            for (members, _), reply in zip(round_, replies, strict=True):
                if isinstance(reply, SchemaChangedError):
                    again += members
                elif isinstance(reply, ClientError):
                    failures += [(number, reply) for number, _ in members]
                else:
                    written += reply[1]
            round_ = []
            if batch is None or len(failures) > FAILURES_MAX:
                break
        if not again or failures:
            break
        tries += 1
        if tries > SCHEMA_TRIES:
            failures += [(number, SchemaChangedError("the table is altered again and again")) for number, _ in again]
            break
        yield from renew(handle)
        numbered = sorted(again, key=lambda pair: pair[0])
    if failures:
        failures.sort(key=lambda failure: failure[0])
        raise PartlyDoneError(
            f"{len(failures)} records were not written (or it is not known), {written} were; "
            f"record {failures[0][0]}: {failures[0][1]}",
            written,
            failures,
        ) from failures[0][1]
    return written


def read_many(handle: Handle, given: Iterable[Any]) -> Steps[list[Versioned[Any] | None]]:
    """Records at keys, in the order of the keys."""
    plan = handle.plan
    keys = list(arguments.several(given, "keys", "keys of records"))
    found: list[Versioned[Any] | None] = [None] * len(keys)
    batches = plan.read_batches(keys, handle.routes.of_slot)
    replies = yield [request for _, request in batches]
    for (numbers, _), reply in zip(batches, replies, strict=True):
        if isinstance(reply, ClientError):
            raise reply
        for number, data in zip(numbers, reply, strict=True):
            found[number] = plan.record(data)
    return found


def everywhere(handle: Handle, args: tuple[Any, ...], write: bool = False) -> Steps[list[Any]]:
    """The replies of all partitions; the first error of any of them."""
    replies = yield [Request(args, route.first_slot, write, long=True) for route in handle.routes.all]
    for reply in replies:
        if isinstance(reply, ClientError):
            raise reply
    return replies


def _predicate(given: str) -> str:
    if not isinstance(given, str):
        raise UsageError(f'a predicate is a str, as in "price > 1", not {type(given).__name__}')
    return arguments.text(given, "a predicate")


def find(handle: Handle, predicate: str, limit: int | None) -> Steps[list[Any]]:
    """Records that fit the predicate, at most `limit`."""
    plan = handle.plan
    if limit is not None:
        limit = arguments.count(limit, "limit")
    if limit == 0:
        return []
    replies = yield from everywhere(handle, plan.find_words(_predicate(predicate), limit))
    documents = [document for reply in replies for document in reply]
    return [plan.document(document) for document in documents[:limit]]


def take(handle: Handle, predicate: str, timeout: float) -> Steps[Any]:
    """One record that fits, removed; waits up to `timeout` seconds for one. None when there was none."""
    plan = handle.plan
    words = (b"KG.TAKE", plan.name, _predicate(predicate))
    until = clock.now() + timeout
    first = True
    while True:
        routes = list(handle.routes.all)
        for route in routes:
            args: tuple[Any, ...] = words
            if not first:
                left_ms = min((until - clock.now()) * 1000, TAKE_ALONE_MS if len(routes) == 1 else TAKE_SLICE_MS)
                if left_ms < 1:
                    return None
                args += (b"BLOCK", int(left_ms))
            (reply,) = yield [Request(args, route.first_slot, True, long=True)]
            if isinstance(reply, ClientError):
                raise reply
            if reply is not None:
                return plan.taken(reply)
        first = False
        if timeout <= 0:
            return None


def create(definition: TableDefinition, routes: Routes) -> Steps[TableDefinition]:
    """Make the table unless it is there; TableExistsError when another one of the name is."""
    args = (b"KG.CREATE", definition.name, msgspec.json.encode(definition.to_json()))
    for _ in range(CREATE_TRIES):
        (reply,) = yield [Request(args, routes.all[0].first_slot, False, long=True)]
        if isinstance(reply, OutcomeUnknownError):
            continue  # asking for the same table again is harmless
        if isinstance(reply, ClientError) and not isinstance(reply, DoneError):
            raise reply
        return (yield from describe(definition.name, routes))
    raise reply


def open_table(wanted: TableDefinition, routes: Routes) -> Steps[TableDefinition]:
    """The table as it is in the grid; made if it is absent. TableExistsError when it is defined differently."""
    try:
        there = yield from describe(wanted.name, routes)
    except UnknownTableError:
        there = yield from create(wanted, routes)
    differences = difference(there, wanted)
    if differences:
        raise TableExistsError(
            f"table {wanted.name} exists with another definition: " + "; ".join(differences),
            f"grid.table({wanted.name!r}) opens it as it is; another name makes another table.",
            "TABLECONFLICT",
        )
    return there


def remove_many(handle: Handle, keys: Iterable[Any]) -> Steps[int]:
    """Remove records, each for itself; how many there were."""
    requests = [handle.plan.remove(key, None) for key in arguments.several(keys, "keys", "keys of records")]
    replies = yield requests
    failures: list[tuple[int, Exception]] = [(n, e) for n, e in enumerate(replies) if isinstance(e, ClientError)]
    if failures:
        raise PartlyDoneError(
            f"{len(failures)} of {len(replies)} records were not removed (or it is not known); "
            f"number {failures[0][0]}: {failures[0][1]}",
            len(replies) - len(failures),
            failures,
        ) from failures[0][1]
    return sum(replies)


def count(handle: Handle, predicate: str) -> Steps[int]:
    """How many records of all partitions fit."""
    return sum((yield from everywhere(handle, (b"KG.COUNT", handle.plan.name, _predicate(predicate)))))


def add_column(handle: Handle, name: str, type: str, nullable: bool, default: Any) -> Steps[None]:
    """KG.ALTER, and the new schema for this handle."""
    document = handle.plan.column_document(name, type, nullable, default)
    yield from _alter(handle, (b"KG.ALTER", handle.plan.name, b"ADD", b"COLUMN", document))
    yield from renew(handle)


def drop(handle: Handle) -> Steps[None]:
    """KG.DROP."""
    yield from _alter(handle, (b"KG.DROP", handle.plan.name))


def _alter(handle: Handle, args: tuple[Any, ...]) -> Steps[None]:
    (reply,) = yield [Request(args, handle.routes.all[0].first_slot, False, long=True)]
    if isinstance(reply, ClientError):
        raise reply
