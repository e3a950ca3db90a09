"""Plain `GET key` and `SET key value` of many clients, executed together: what everything else is measured against.

**Hot path**: speed beats form here; measure every change with `bench/`.

A read that holds nothing but plain GETs, or nothing but plain SETs, is not executed when it arrives: the connection puts
it aside here, and at the end of the turn all of them are parsed as one text and executed as columns, which costs a third of
doing them one by one. They arrived in the same turn, so nobody can say in which order they came; each client's own
order is kept, because a client has at most one read aside, and anything else that it sends has that one executed first.

*Why parsing several clients as one text is safe.* Each accepted read begins with the header `*2 $3 GET $` (or SET's),
and each asterisk in it begins that very header: they are counted. hiredis reads an array from an asterisk on. When it gives
back as many arrays as there are asterisks, none is inside another or inside a key, so each ends before the next asterisk:
no byte of one client became part of another's request. RESP3 knows other brackets (`>`, `~`, `%`, `|`), with which a client
could make up for an array that it swallowed; where a text has one of these characters at all, `_exact` looks at every
element. A sentinel fed behind the text comes back as a request of its own, which proves that nothing was left over. No
header announces more than three elements, so nothing is allocated for promises. Where any of this fails, every read is
executed alone, by `connection`, from its own bytes. So is what cannot be executed here: SETs into slots where something
expires, over hashes or records.

Next on the path of the data: `turn`.
"""

from collections.abc import Iterator
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import hiredis

from kubegrid.node import plain_columns
from kubegrid.wire import resp
from kubegrid.wire.requests import SENTINEL, SENTINEL_REQUEST

if TYPE_CHECKING:
    from kubegrid.node.connection import Connection
    from kubegrid.node.turn import Turn
    from kubegrid.store import Keyspace

GET_HEADER = b"*2\r\n$3\r\nGET\r\n$"
SET_HEADER = b"*3\r\n$3\r\nSET\r\n$"
HEADER_BYTES = 14
READ_BYTES_MAX = 64 * 1024
"""A longer read is executed alone, so no key in a batch is longer than a key may be."""
TEXT_BYTES = 12 * 1024
"""About how much is parsed at once: hiredis moves what is left in its buffer after each kilobyte that it has read."""
REPLY_BYTES_MAX = 256 * 1024
"""When what is found is longer than this, the limits of each client's output have to be looked after one by one."""
READY = 4096
"""Values shorter than this have their header ready."""

_headers = [b"$%d\r\n" % size for size in range(READY)]
_next_header = [b"\r\n$%d\r\n" % size for size in range(READY)].__getitem__
"""The end of one reply and the header of the next."""
_key = itemgetter(1)
_value = itemgetter(2)
_flatten = chain.from_iterable
_BYTES = {bytes}
_BYTES_OR_NONE = {bytes, type(None)}
_LINE_END = ord("\n")
_CRLF = b"\r\n"
_OTHER_BRACKETS = tuple(map(ord, ">~%|"))
_OK = resp.OK
_NULLS = {2: resp.NULL_BULK, 3: resp.NULL3}

Read = tuple["Connection", bytes, int]
"""A client, what it sent, and the number of requests in it."""


class PlainBatch:
    """What was put aside in this turn.

    Invariant: a client has at most one read here, and is `aside` and not `plain` as long as it has.
    """

    __slots__ = ("_reader", "entry_bytes_max", "gets", "items", "keyspace", "kinds", "sets", "turn")

    def __init__(self, turn: "Turn", keyspace: "Keyspace", entry_bytes_max: int) -> None:
        self.entry_bytes_max = entry_bytes_max
        self.turn = turn
        self.keyspace = keyspace
        self.items: list[tuple[Connection, bytes]] = []
        """Replies for the turn to send; a client's own in order."""
        self.gets: list[Read] = []
        self.sets: list[Read] = []
        self.kinds: dict[bytes, list[Read]] = {GET_HEADER: self.gets, SET_HEADER: self.sets}
        """Where a read belongs that begins so."""
        self._reader = hiredis.Reader()

    def stand_back(self, yes: bool) -> None:
        """From the next turn on put nothing aside: somebody wants each command measured. Or, again, do."""
        self.kinds = {} if yes else {GET_HEADER: self.gets, SET_HEADER: self.sets}

    def execute(self) -> None:
        """Execute everything that was put aside."""
        for reads, run in ((self.gets, self._execute_gets), (self.sets, self._execute_sets)):
            if not reads:
                continue
            taken = reads[:]
            reads.clear()
            if len(taken) == 1 or sum([len(data) for _, data, _ in taken]) <= TEXT_BYTES:
                run(taken)
            else:
                for part in _parts(taken):
                    run(part)

    def _parse(self, reads: list[Read]) -> list[list[Any]] | None:
        """The requests of all reads; None when they have to be read one by one."""
        reader = self._reader
        if len(reads) == 1:
            _, text, count = reads[0]
        else:
            text = b"".join([data for _, data, _ in reads])
            count = sum([count for _, _, count in reads])
        try:
            reader.feed(text)
            requests = list(iter(reader.gets, False))
            if len(requests) == count:
                reader.feed(SENTINEL)
                if reader.gets() == SENTINEL_REQUEST:
                    for bracket in _OTHER_BRACKETS:
                        if bracket in text and not _exact(requests):
                            return None
                    self.turn.request_bytes += len(text)
                    return requests
        except Exception:  # its own errors, and others for forms that it does not expect
            pass
        self._reader = hiredis.Reader()
        return None

    def _alone(self, reads: list[Read]) -> None:
        turn = self.turn
        for connection, data, count in reads:
            turn.units_left += count
            connection.aside = False
            connection.execute_alone(data)

    def _slots(self, keys: list[bytes], reads: list[Read]) -> list[int]:
        """The slot of each key. TypeError: a key that is none (`$-1`)."""
        return plain_columns.slots_of(keys, [data for _, data, _ in reads])

    # -- GET -----------------------------------------------------------------------------------------------------

    def _execute_gets(self, reads: list[Read]) -> None:
        requests = self._parse(reads)
        if requests is None:
            self._alone(reads)
            return
        keyspace = self.keyspace
        plain = keyspace.plain
        try:
            keys = list(map(_key, requests))
            slots = self._slots(keys, reads)
        except (TypeError, LookupError):
            self._alone(reads)
            return
        found: list[Any] = [plain[slot].get(key) for slot, key in zip(slots, keys, strict=True)]
        kinds = set(map(type, found))
        if kinds != _BYTES:
            if int in kinds:
                # Rows of tables, which are no strings. To say so they are made, which is a turn's work to count.
                self._alone(reads)
                return
            if not kinds <= _BYTES_OR_NONE:
                # Slots where something expires: looked at one by one. What is then no string has its clients' reads
                # executed alone.
                owned = keyspace.slots
                for index, value in enumerate(found):
                    if type(value) is not bytes and value is not None and owned[slots[index]] is not None:
                        found[index] = keyspace.find(keys[index])
                if not set(map(type, found)) <= _BYTES_OR_NONE:
                    self._alone(reads)
                    return
            misses = found.count(None)
        else:
            misses = 0
        if (sum(map(len, found)) if not misses else sum(map(len, filter(None, found)))) > REPLY_BYTES_MAX:
            self._alone(reads)
            return
        used_ms = keyspace.used_ms
        now_ms = keyspace.now_ms
        for slot in slots:
            used_ms[slot] = now_ms
        turn = self.turn
        turn.executed += len(found)
        turn.gets += len(found)
        turn.hits += len(found) - misses
        items = self.items
        headers = _headers
        nulls = _NULLS
        start = 0
        for connection, _, count in reads:
            if count == 1:
                value = found[start]
                start += 1
                if value is None:
                    reply = nulls[connection.resp]
                else:
                    size = len(value)
                    reply = (headers[size] if size < READY else b"$%d\r\n" % size) + value + _CRLF
            else:
                reply = _bulks(found[start : start + count], nulls[connection.resp])
                start += count
            connection.aside = False
            connection.plain = not connection.waiting
            connection.active_ms = now_ms
            connection.last_command = b"get"
            items.append((connection, reply))

    # -- SET -----------------------------------------------------------------------------------------------------

    def _execute_sets(self, reads: list[Read]) -> None:
        turn = self.turn
        keyspace = self.keyspace
        if not turn.member.writable or keyspace.used_bytes >= keyspace.limit_bytes:
            self._alone(reads)
            return
        requests = self._parse(reads)
        if requests is None:
            self._alone(reads)
            return
        try:
            keys = list(map(_key, requests))
            values = list(map(_value, requests))
            done = plain_columns.put(keyspace, keys, values, self._slots(keys, reads))
        except (TypeError, LookupError):
            done = None
        if done is None:
            self._alone(reads)
            return
        now_ms = keyspace.now_ms
        turn.executed += done
        turn.sets += done
        items = self.items
        for connection, data, count in reads:
            if count > done:
                self._finish_alone(connection, data, count, max(done, 0))
                done -= count
                continue
            done -= count
            connection.aside = False
            connection.plain = not connection.waiting
            connection.active_ms = now_ms
            connection.last_command = b"set"
            items.append((connection, _OK if count == 1 else _OK * count))
        if turn.request_bytes > self.entry_bytes_max:
            turn.cut()

    def _finish_alone(self, connection: "Connection", data: bytes, count: int, done: int) -> None:
        """The first `done` requests of this read were executed: what is left of it goes its own way."""
        turn = self.turn
        if done:
            self.items.append((connection, _OK * done))
        turn.units_left += count - done
        connection.aside = False
        connection.execute_alone(data, done)


def _exact(requests: list[list[Any]]) -> bool:
    """Whether all are requests of one form, of strings only, and no asterisk is inside of one.

    Then every asterisk of the text, and so every client's first byte, began a request of its own.
    """
    first = requests[0]
    if set(map(type, requests)) != {list} or set(map(len, requests)) != {len(first)}:
        return False
    elements = list(_flatten(requests))
    return (
        set(map(type, elements)) == _BYTES
        and {name for name, *_ in requests} == {first[0]}
        and b"*" not in b"".join(elements)
    )


def _parts(reads: list[Read]) -> Iterator[list[Read]]:
    """The reads in groups of about TEXT_BYTES."""
    size = begin = 0
    for index, (_, data, _) in enumerate(reads, 1):
        size += len(data)
        if size >= TEXT_BYTES:
            yield reads[begin:index]
            begin = index
            size = 0
    if begin < len(reads):
        yield reads[begin:] if begin else reads


def _bulks(values: list[Any], null: bytes) -> bytes:
    """The replies of several GETs of one client."""
    try:
        pieces = list(_flatten(zip(map(_next_header, map(len, values)), values, strict=False)))
    except (TypeError, IndexError):  # a missing key, or a long value
        return b"".join([null if value is None else b"$%d\r\n%b\r\n" % (len(value), value) for value in values])
    pieces[0] = pieces[0][2:]
    pieces.append(_CRLF)
    return b"".join(pieces)
