"""Requests that are executed once although a client may send them again: the replies that were given to them.

A client numbers its writes. When it does not know what became of one (its connection broke, its member died) it sends the
same number again, to whoever is the primary then; the reply that is found here is given again, and nothing is executed.
A reply becomes part of the log in the same entry as the write it answers, so whoever has the write has the reply.

Everything is bounded: with each request a client says below which number it has had every answer, and those are dropped;
`REPLIES_MAX` may be open; a longer reply than `REPLY_BYTES_MAX` is replaced by a sentence that says so; a client that
was silent for `IDLE_MS` is forgotten; beyond `CLIENTS_MAX` new ones are refused.

Pure: no clock, no keyspace. Whoever owns it passes `record`, which gets each change as an effect and its undo record
(`effects` says what they hold), and calls `apply` and `revert` with them. Next: `keyspace`, and the simulator.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from kubegrid.store import effects as op
from kubegrid.store.memory import REQUEST_OVERHEAD_BYTES, REQUESTS_CLIENT_BYTES

CLIENT_ID_BYTES: Final = 16
SEQ_MAX: Final = (1 << 63) - 1
REPLIES_MAX: Final = 4096
"""Replies kept for one client: as many requests may be open."""
REPLY_BYTES_MAX: Final = 64 * 1024
CLIENTS_MAX: Final = 10_000
IDLE_MS: Final = 10 * 60 * 1000
"""A client that sent no numbered request for so long is forgotten. It must not repeat one that is older: what it sends
then is executed, because nobody can tell it from a client whose first writes changed nothing."""

TOO_LONG: Final = b"-TOOLONG the request was executed before, but its reply was too long to be kept\r\n"

Recorder = Callable[[int, list[Any], int, list[Any]], None]
"""`record(effect code, arguments, undo code, arguments)`."""


class _New:
    """The one value that says: not seen before, execute it."""

    def __repr__(self) -> str:
        return "NEW"


NEW: Final = _New()


class Refusal(bytes):
    """The error reply to a request that must not be executed. Not executed, unless the text says otherwise."""

    __slots__ = ()


_BAD_NUMBERS: Final = Refusal(b"-ERR the numbers of a request must be 0 <= acked <= seq\r\n")


class _Client:
    """Invariant: every number in `replies` is at least `acked`."""

    __slots__ = ("acked", "replies", "used_ms")

    def __init__(self) -> None:
        self.acked = 0
        self.used_ms = 0
        self.replies: dict[int, bytes] = {}

    def drop_below(self, acked: int) -> dict[int, bytes]:
        """The client has had the answers of all numbers below; the replies that were dropped."""
        before = self.acked
        if acked <= before:
            return {}
        self.acked = acked
        replies = self.replies
        if acked == before + 1:  # a client that waits for each answer
            reply = replies.pop(before, None)
            return {} if reply is None else {before: reply}
        # Numbers are given one after the other, so there is no need to look at those that stay.
        numbers = (
            range(before, acked) if acked - before <= len(replies) + 8 else [seq for seq in replies if seq < acked]
        )
        dropped: dict[int, bytes] = {}
        for seq in numbers:
            reply = replies.pop(seq, None)
            if reply is not None:
                dropped[seq] = reply
        return dropped


class Requests:
    """The replies of all clients.

    Invariant: `used_bytes` is what counting everything again would give (`validate`).
    """

    def __init__(self, record: Recorder | None = None) -> None:
        self.record = record
        self.clients: dict[bytes, _Client] = {}
        self.used_bytes = 0
        self._idle_queue: list[bytes] = []

    # -- the primary ---------------------------------------------------------------------------------------------

    def begin(self, client: bytes, seq: int, acked: int, now_ms: int) -> "bytes | _New | Refusal":
        """What to do with request `seq`: give this stored reply again, execute it (`NEW`), or refuse it.

        `acked`: the client has had the answer to every request with a smaller number. Changes nothing.
        """
        known = self.clients.get(client)
        if known is None:
            return self._begin_new(client, seq, acked)
        reply = known.replies.get(seq)
        if reply is not None:
            return reply
        if seq < known.acked:
            return Refusal(
                b"-STALEID request %d was answered: its client said that it had every reply below %d\r\n"
                % (seq, known.acked)
            )
        if not acked <= seq <= SEQ_MAX:
            return _BAD_NUMBERS
        if len(known.replies) >= REPLIES_MAX and not any(kept < acked for kept in known.replies):
            return Refusal(b"-BUSY %d requests of this client are open, more are refused\r\n" % REPLIES_MAX)
        return NEW

    def _begin_new(self, client: bytes, seq: int, acked: int) -> "_New | Refusal":
        if len(client) != CLIENT_ID_BYTES:
            return Refusal(b"-ERR the identity of a client has %d bytes\r\n" % CLIENT_ID_BYTES)
        if not 0 <= acked <= seq <= SEQ_MAX:
            return _BAD_NUMBERS
        if len(self.clients) >= CLIENTS_MAX:
            return Refusal(
                b"-BUSY %d clients with numbered requests are known, more are refused until one was silent for %d s\r\n"
                % (CLIENTS_MAX, IDLE_MS // 1000)
            )
        return NEW

    def finish(self, client: bytes, seq: int, acked: int, now_ms: int, reply: bytes) -> None:
        """Request `seq`, for which `begin` said `NEW`, was executed and answered so."""
        if len(reply) > REPLY_BYTES_MAX:
            reply = TOO_LONG
        known = self.clients.get(client)
        before = None if known is None else [known.acked, known.used_ms]
        dropped = self._set(client, seq, acked, now_ms, reply)
        if self.record is not None:
            self.record(
                op.REQUEST, [client, seq, acked, now_ms, reply], op.RESTORE_REQUEST, [client, seq, before, dropped]
            )

    def forget_slice(self, now_ms: int, budget: int) -> int:
        """Look at `budget` clients and forget those that were silent for too long; how many. The primary alone decides."""
        if not self.clients:
            return 0
        if not self._idle_queue:
            self._idle_queue = list(self.clients)
        queue = self._idle_queue
        idle = []
        for _ in range(min(budget, len(queue))):
            client = queue.pop()
            known = self.clients.get(client)
            if known is not None and known.used_ms + IDLE_MS < now_ms:
                idle.append(client)
        for client in idle:
            forgotten = self._forget(client)
            if self.record is not None:
                self.record(op.FORGET_CLIENTS, [client], op.RESTORE_CLIENT, [client, forgotten])
        return len(idle)

    # -- the log and snapshots -----------------------------------------------------------------------------------

    def apply(self, code: int, args: list[Any]) -> None:
        """Make an effect part of the state."""
        if code == op.REQUEST:
            client, seq, acked, used_ms, reply = args
            self._set(client, seq, acked, used_ms, reply)
        elif args:
            for client in args:
                self._forget(client)
        else:
            self.clear()

    def revert(self, code: int, args: list[Any]) -> None:
        """Take a change back."""
        if code == op.RESTORE_CLIENT:
            client, known = args
            self.clients[client] = known
            self.used_bytes += _cost(known)
            return
        client, seq, before, dropped = args
        known = self.clients[client]
        self.used_bytes -= _cost(known)
        if before is None:
            del self.clients[client]
            return
        # It is not there if its client said, before it was answered, that it needs no answer.
        known.replies.pop(seq, None)
        known.acked, known.used_ms = before
        known.replies.update(dropped)
        self.used_bytes += _cost(known)

    def cut(self) -> Iterator[tuple[list[Any], int]]:
        """Effects that bring all of this about on an empty table, a reply at a time, with about how many bytes each is.

        A client may be forgotten or answered meanwhile: the log says so.
        """
        for client in list(self.clients):
            known = self.clients.get(client)
            for seq in list(known.replies) if known is not None else ():
                reply = known.replies.get(seq)  # type: ignore[union-attr]
                if reply is not None:
                    args = [client, seq, known.acked, known.used_ms, reply]  # type: ignore[union-attr]
                    yield [op.REQUEST, args], len(reply) + 40

    def clear(self) -> None:
        """Forget everything, unrecorded."""
        self.clients.clear()
        self.used_bytes = 0

    def validate(self) -> None:
        """Check the invariants (tests)."""
        for known in self.clients.values():
            assert all(seq >= known.acked for seq in known.replies)
        assert self.used_bytes == sum(map(_cost, self.clients.values()))

    def _set(self, client: bytes, seq: int, acked: int, used_ms: int, reply: bytes) -> dict[int, bytes]:
        known = self.clients.get(client)
        if known is None:
            known = self.clients[client] = _Client()
            self.used_bytes += REQUESTS_CLIENT_BYTES
        dropped = known.drop_below(acked)
        if dropped:
            self.used_bytes -= sum(map(len, dropped.values())) + REQUEST_OVERHEAD_BYTES * len(dropped)
        if used_ms > known.used_ms:
            known.used_ms = used_ms
        if seq >= known.acked:
            old = known.replies.get(seq)
            if old is None:
                self.used_bytes += len(reply) + REQUEST_OVERHEAD_BYTES
            else:
                # Two copies of one request waited for a record, and both got one.
                self.used_bytes += len(reply) - len(old)
                dropped[seq] = old
            known.replies[seq] = reply
        return dropped

    def _forget(self, client: bytes) -> _Client | None:
        known = self.clients.pop(client, None)
        if known is not None:
            self.used_bytes -= _cost(known)
        return known


def _cost(known: _Client) -> int:
    replies = known.replies
    return REQUESTS_CLIENT_BYTES + sum(map(len, replies.values())) + REQUEST_OVERHEAD_BYTES * len(replies)
