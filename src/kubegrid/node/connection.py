"""A client's connection: requests in, replies out, and the two commands that everything else is measured against.

**Hot path**: speed beats form here; measure every change with `bench/`.

`data_received` executes everything that a read brought, in one flat loop: plain `GET key` and `SET key value` are
spelled out in place (no call, no object, no exception per command), everything else goes to `dispatch`. Replies are
collected in `out`; the turn joins them and decides when they may leave (`turn`).

The in-place forms are taken only while nothing special is the case: the member is a primary with its lease, the client
is authenticated, not in MULTI and wants replies, nobody watches keys, and no key of the slot has an expiry. `dispatch`
knows all the other cases, and the same two commands in full.

Not here: what a command means (`dispatch`, `store`), and when a reply may leave (`turn`). Next on the path of the data:
`turn`.
"""

import asyncio
import logging
from binascii import crc_hqx
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from kubegrid.node.dispatch import dispatch
from kubegrid.node.turn import ENTRY_BYTES_MAX
from kubegrid.store import KEY_OVERHEAD_BYTES
from kubegrid.wire.requests import ProtocolError, RequestReader

if TYPE_CHECKING:
    from kubegrid.node.context import NodeContext
    from kubegrid.node.turn import Turn

log = logging.getLogger("kubegrid.node.connection")

OK = b"+OK\r\n"
NIL = b"$-1\r\n"
NULL = b"_\r\n"
CRLF = b"\r\n"
BRACE = ord("{")
"""As an integer: `in` on bytes looks for an integer at once, and tries that first in vain when given bytes."""
SMALL_VALUE_BYTES = 1024
BULK_HEADERS = [b"$%d\r\n" % size for size in range(SMALL_VALUE_BYTES)]
SMALL_REPLY_BYTES = 4096
"""Replies up to this are not counted one by one against the limit of unread output: a read brings a bounded number."""
DISPATCH_UNITS = 3
"""What a command through `dispatch` costs of a turn's units, where an in-place one costs 1; arguments come on top."""
HOT_KEY_BYTES_MAX = 1024
"""Longer keys take the way through `dispatch`, which knows the limits."""


class Connection(asyncio.Protocol):
    """One client. Invariant: requests are executed, and replies leave, in the order in which they came.

    While `waiting` is set (a long command, a hand-over, unread output, a turn that had its share of work) nothing is
    executed: requests that were read already stay in `queue` and then `unparsed`, and no more are read from the socket.
    """

    def __init__(self, turn: "Turn", node: "NodeContext", number: int) -> None:
        self.turn = turn
        self.node = node
        self.id = number
        self.reader = RequestReader(node.client_settings, node.store_settings)
        self.out: list[bytes] = []
        self.queue: list[list[bytes]] = []
        self.unparsed: list[bytes] = []
        self.touched = False
        self.pending_groups = 0
        self.waiting = ""
        self.writing_paused = False
        self.unread_bytes = 0
        self.protocol_error = ""
        self.close_reason = ""
        self.closed = False
        self.close_after_reply = False
        self.transport: Any = None
        # The client's state, as the Redis protocol knows it.
        self.resp = 2
        self.authenticated = node.secret is None
        self.reader.authenticated = self.authenticated
        self.name = b""
        self.lib_name = b""
        self.lib_ver = b""
        self.readonly = False
        self.multi: list[Any] | None = None
        self.multi_bytes = 0
        self.multi_failed = False
        self.watching: set[bytes] | None = None
        self.dirty = False
        self.reply_mode = "on"
        self.no_evict = False
        self.no_touch = False
        self.db = 0
        self.last_command = b""
        self.created_ms = monotonic_ns() // 1_000_000
        self.active_ms = self.created_ms
        self.peer = ""
        self.laddr = ""

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        peer = transport.get_extra_info("peername")
        here = transport.get_extra_info("sockname")
        self.peer = f"{peer[0]}:{peer[1]}" if peer else "?:0"
        self.laddr = f"{here[0]}:{here[1]}" if here else "?:0"
        self.transport.set_write_buffer_limits(high=self.node.client_settings.output_bytes_pause)
        self.node.sessions[self.id] = self

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.queue.clear()
        self.unparsed.clear()
        self.out.clear()
        self.node.sessions.pop(self.id, None)
        self.node.forget_session(self)

    def pause_writing(self) -> None:
        """The client does not read its replies: read no more requests of it until it does."""
        self.writing_paused = True
        if not self.waiting:
            self._wait("output")

    def resume_writing(self) -> None:
        self.writing_paused = False
        if self.waiting == "output":
            self.resume()

    def data_received(self, data: bytes) -> None:
        turn = self.turn
        if not turn.running:
            turn.begin()
        if self.waiting or turn.stopped or turn.units_left <= 0:
            # Not even parsed: that, too, is work of a turn that others wait for.
            self.unparsed.append(data)
            if not self.waiting:
                self._wait_for_turn()
            return
        turn.request_bytes += len(data)
        try:
            requests = self.reader.feed(data)
        except ProtocolError as error:
            requests = error.requests
            self.protocol_error = error.message
            self.transport.pause_reading()
        self._execute(requests)

    # -- waiting -------------------------------------------------------------------------------------------------

    def _wait(self, reason: str) -> None:
        """Execute and read nothing more until `resume`."""
        self.waiting = reason
        if not self.closed and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Go on with what was read before, then with the socket."""
        if self.closed or self.waiting == "close":
            return
        if self.writing_paused:
            self.waiting = "output"
            return
        self.waiting = ""
        turn = self.turn
        if not turn.running:
            turn.begin()
        if turn.stopped or turn.units_left <= 0:
            self._wait_for_turn()
            return
        if self.queue or self.protocol_error:
            requests, self.queue = self.queue, []
            self._execute(requests)
        if self.unparsed and not self.waiting and not self.protocol_error:
            data = b"".join(self.unparsed)
            self.unparsed.clear()
            self.data_received(data)
        if not self.waiting and not self.protocol_error and not self.transport.is_closing():
            self.transport.resume_reading()

    def _wait_for_turn(self) -> None:
        """Until a hand-over ends or the backups have caught up, or for the next turn when this one has had its share."""
        turn = self.turn
        if turn.stopped:
            self._wait("gate")
            turn.held.add(self)
        else:
            self._wait("turn")
            turn.next_turn.append(self)

    def finish_task(self, reply: bytes) -> None:
        """A long command is done: its reply takes its place, and the next requests may follow."""
        if not self.touched:
            self.touched = True
            self.turn.touched.append(self)
        self.waiting = "turn"
        self._reply(reply)
        if self.waiting == "turn":
            self.turn.next_turn.append(self)

    def _output_full(self, size: int) -> bool:
        """Count a large reply; true (and waiting) when this client has to read before it may get more."""
        self.unread_bytes += size
        if self.unread_bytes + self.transport.get_write_buffer_size() < self.node.client_settings.output_bytes_pause:
            return False
        self._wait("output")
        return True

    def send(self, data: bytes) -> None:
        """Hand `data` to the socket; called by the turn when the replies in it may leave."""
        if self.closed:
            return
        self.transport.write(data)
        if self.unread_bytes:
            self.unread_bytes = 0
            if self.transport.get_write_buffer_size() > self.node.client_settings.output_bytes_max:
                self.abort("the client does not read its replies")
                return
            if self.waiting == "output" and not self.writing_paused:
                self.turn.loop.call_soon(self.resume_writing)
        if self.close_after_reply and not self.pending_groups:
            self.transport.close()

    def close(self) -> None:
        """Close once everything that was written has been sent (CLIENT KILL, shutting down)."""
        self.queue.clear()
        self.waiting = "close"
        if self.transport is not None and not self.closed:
            self.transport.close()

    def abort(self, reason: str) -> None:
        """Close at once; replies not sent yet are dropped: their outcome is unknown to the client (R15)."""
        self.queue.clear()
        self.out.clear()
        self.close_reason = reason
        if self.transport is not None and not self.closed:
            self.transport.abort()
        self.closed = True

    # -- execution -----------------------------------------------------------------------------------------------

    def _execute(self, requests: list[list[bytes]]) -> None:
        turn = self.turn
        if not self.touched:
            self.touched = True
            turn.touched.append(self)
        turn.executed += len(requests)
        turn.units_left -= len(requests)
        keyspace = turn.keyspace
        self.active_ms = keyspace.now_ms
        out = self.out
        if not turn.open_gate or not self.authenticated or self.multi is not None or self.reply_mode != "on":
            self._leave_rest(requests, self._execute_slowly(requests, 0))
            return
        slots = keyspace.slots
        expires = keyspace.expires
        used_ms = keyspace.used_ms
        now_ms = keyspace.now_ms
        effects = keyspace.effects
        undo = keyspace.undo
        recording = keyspace.recording
        may_write = turn.member.writable and keyspace.used_bytes < keyspace.limit_bytes
        watched = keyspace.watched
        headers = BULK_HEADERS
        nil = NIL if self.resp == 2 else NULL
        gets = hits = sets = created = grown = index = 0
        batch = requests if turn.units_left >= 0 else requests[: turn.units_left + len(requests)]
        for args in batch:
            index += 1
            name = args[0]
            if name == b"GET" and len(args) == 2:
                key = args[1]
                if BRACE not in key:
                    slot = crc_hqx(key, 0) & 16383
                    values = slots[slot]
                    if values is not None and expires[slot] is None:
                        used_ms[slot] = now_ms
                        value = values.get(key)
                        if type(value) is bytes:
                            gets += 1
                            hits += 1
                            size = len(value)
                            if size < SMALL_VALUE_BYTES:
                                out += (headers[size], value, CRLF)
                                continue
                            out += (b"$%d\r\n" % size, value, CRLF)
                            if self._output_full(size):
                                break
                            continue
                        if value is None:
                            out.append(nil)
                            gets += 1
                            continue
            elif name == b"SET" and len(args) == 3 and may_write and not watched:
                key = args[1]
                if BRACE not in key:
                    slot = crc_hqx(key, 0) & 16383
                    values = slots[slot]
                    if values is not None and expires[slot] is None:
                        value = args[2]
                        old = values.get(key)
                        if type(old) is bytes:
                            grown += len(value) - len(old)
                        elif old is None and len(key) <= HOT_KEY_BYTES_MAX:
                            created += 1
                            grown += len(key) + len(value)
                        else:
                            index = self._execute_slowly(requests, index - 1)
                            break
                        values[key] = value
                        used_ms[slot] = now_ms
                        if recording:
                            effects += (key, value)
                            undo += (key, old)
                        out.append(OK)
                        sets += 1
                        continue
            # Everything else, one request; what the loop keeps in locals goes back first and is read again after it.
            if sets:
                self._account(sets, created, grown)
                sets = created = grown = 0
            if not self._dispatch_one(args):
                break
            if turn.units_left <= 0:
                break
            if self.multi is not None or self.reply_mode != "on":
                index = self._execute_slowly(requests, index)
                break
            effects = keyspace.effects
            undo = keyspace.undo
            nil = NIL if self.resp == 2 else NULL
            may_write = turn.member.writable and keyspace.used_bytes < keyspace.limit_bytes
        if gets:
            turn.gets += gets
            turn.hits += hits
            self.last_command = b"get"
        if sets:
            self._account(sets, created, grown)
        if index < len(requests) or self.protocol_error:
            self._leave_rest(requests, index)
        if turn.request_bytes > ENTRY_BYTES_MAX:
            turn.cut()

    def _account(self, sets: int, created: int, grown: int) -> None:
        """What the in-place SETs did to the keyspace's counts."""
        keyspace = self.turn.keyspace
        keyspace.dirty += sets
        keyspace.key_count += created
        keyspace.used_bytes += grown + created * KEY_OVERHEAD_BYTES
        self.turn.sets += sets
        self.last_command = b"set"

    def _leave_rest(self, requests: list[list[bytes]], index: int) -> None:
        if self.waiting == "close":
            return
        if index < len(requests):
            self.queue = requests[index:] + self.queue
            if not self.waiting and not self.closed:
                self._wait_for_turn()
        elif self.protocol_error and not self.waiting:
            self.close_after_reply = True
            self._reply(b"-ERR " + self.protocol_error.encode() + b"\r\n")

    def _execute_slowly(self, requests: list[list[bytes]], index: int) -> int:
        """Everything through `dispatch`, from `requests[index]` on; the index of the first one not executed."""
        while index < len(requests):
            more = self._dispatch_one(requests[index])
            index += 1
            if not more or self.turn.units_left <= 0:
                break
        return index

    def _dispatch_one(self, args: list[bytes]) -> bool:
        """Execute one request; whether the next one may follow at once."""
        self.turn.units_left -= DISPATCH_UNITS + (len(args) >> 1)
        try:
            reply = dispatch(self, args)
        except Exception:
            # A defect of ours. What the command did so far is in the turn's effects, so an error reply could be taken
            # for "not done": the outcome is unknown, and that is said by closing.
            log.exception("command %r failed; its client's connection is closed", args[0][:32])
            self.abort("a command failed")
            return False
        if isinstance(reply, bytes):
            return self._reply(reply)
        self._wait("task")
        self.turn.start_task(self, reply)
        return False

    def _reply(self, reply: bytes) -> bool:
        self.turn.units_left -= len(reply) >> 9
        if self.reply_mode == "on":
            self.out.append(reply)
        elif self.reply_mode == "skip":
            self.reply_mode = "on"
        elif self.reply_mode == "skip-next":
            self.reply_mode = "skip"
        if self.close_after_reply:
            self.queue.clear()
            self.waiting = "close"
            return False
        return len(reply) <= SMALL_REPLY_BYTES or not self._output_full(len(reply))
