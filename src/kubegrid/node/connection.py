"""A client's connection: requests in, replies out.

**Hot path**: speed beats form here; measure every change with `bench/`.

`data_received` hands reads of plain GETs or plain SETs to `plain_batch`, as long as nothing special is the case with the
client (`plain`); everything else is parsed and executed one request after the other by `dispatch`. Replies are collected
in `out`; the turn joins them and decides when they may leave (`turn`).

Not here: what a command means (`dispatch`, `store`), and when a reply may leave (`turn`). Next on the path of the data:
`plain_batch`, or `dispatch`.
"""

import asyncio
import logging
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from kubegrid.node import keepalive
from kubegrid.node.dispatch import dispatch
from kubegrid.node.plain_batch import HEADER_BYTES, READ_BYTES_MAX
from kubegrid.node.turn import ENTRY_BYTES_MAX
from kubegrid.wire.requests import ProtocolError, RequestReader

if TYPE_CHECKING:
    from kubegrid.node.context import NodeContext
    from kubegrid.node.turn import Turn

log = logging.getLogger("kubegrid.node.connection")

ASTERISK = ord("*")
LINE_END = ord("\n")
SMALL_REPLY_BYTES = 4096
"""Replies up to this are not counted one by one against the limit of unread output: a read brings a bounded number."""
DISPATCH_UNITS = 3
"""What a command through `dispatch` costs of a turn's units, where one of `plain_batch` costs 1; arguments come on top."""
BYTES_PER_UNIT = 512
"""Of replies, and of values that commands make: they stay in memory until they are confirmed."""


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
        self.plain = False
        """Nothing special is the case: its plain reads may be executed with those of others (`plain_batch`)."""
        self.aside = False
        """A read of it was put aside in this turn."""
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
        self.plain = self.authenticated
        self.name = b""
        self.lib_name = b""
        self.lib_ver = b""
        self.readonly = False
        self.multi: list[Any] | None = None
        self.multi_bytes = 0
        self.multi_failed = False
        self.watching: dict[bytes, bool] | None = None
        """Watched keys, and whether the time of each was over already when WATCH was said."""
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
        keepalive.keep(self.transport.get_extra_info("socket"), self.node.client_settings.tcp_keepalive_s)
        self.node.sessions[self.id] = self

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.plain = False
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
        if self.plain and not self.touched:
            header = data[:HEADER_BYTES]
            aside = turn.aside.get(header)
            if aside is not None and turn.units_left > 0:
                count = data.count(ASTERISK)
                if (count == 1 or data.count(header) == count) and data[-1] == LINE_END and len(data) <= READ_BYTES_MAX:
                    # Nothing but GETs, or nothing but SETs (`plain_batch` says why that is proved by counting).
                    self.plain = False
                    self.aside = True
                    turn.units_left -= count
                    aside.append((self, data, count))
                    turn.end_early()
                    return
        if self.aside:
            turn.batch.execute()
        if self.waiting or turn.stopped or turn.units_left <= 0:
            # Not even parsed: that, too, is work of a turn that others wait for.
            turn.passing_bytes += len(data)
            self.unparsed.append(data)
            if not self.waiting:
                self._wait_for_turn()
            return
        self._receive(data)
        turn.end_early()

    def held_bytes(self) -> int:
        """Of the member's memory: requests that are not executed yet, and replies that the client has not read."""
        if self.closed:
            return 0
        return self.unexecuted_bytes() + self.multi_bytes + self.unsent_bytes()

    def unexecuted_bytes(self) -> int:
        """Of requests that were read, in whole or in part."""
        queued = sum([sum(map(len, request)) for request in self.queue])
        return self.reader.unfinished_bytes + sum(map(len, self.unparsed)) + queued

    def unsent_bytes(self) -> int:
        """Of replies that the client has not read; 0 when the connection is gone."""
        return 0 if self.closed else int(self.transport.get_write_buffer_size()) + self.unread_bytes

    # -- waiting -------------------------------------------------------------------------------------------------

    def _wait(self, reason: str) -> None:
        """Execute and read nothing more until `resume`."""
        self.waiting = reason
        self.plain = False
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
        if self.closed or self.waiting == "close":
            return
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
        self.turn.passing_bytes += size
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
        self.unparsed.clear()
        self.waiting = "close"
        self.plain = False
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
        self.plain = False

    # -- execution -----------------------------------------------------------------------------------------------

    def execute_alone(self, data: bytes, done: int = 0) -> None:
        """A read that was put aside and could not be executed with the others; its first `done` requests were."""
        if self.closed:
            return
        if self.waiting and done == 0:
            self.unparsed.insert(0, data)
            return
        self._receive(data, done)

    def _receive(self, data: bytes, done: int = 0) -> None:
        """Parse and execute."""
        self.plain = False
        self.turn.request_bytes += len(data)
        self.turn.passing_bytes += len(data)
        try:
            requests = self.reader.feed(data)
        except ProtocolError as error:
            requests = error.requests
            self.protocol_error = error.message
            self.transport.pause_reading()
        self._execute(requests[done:] if done else requests)

    def _execute(self, requests: list[list[bytes]]) -> None:
        """Everything through `dispatch`, as far as the client and the turn's budget allow."""
        turn = self.turn
        if not self.touched:
            self.touched = True
            turn.touched.append(self)
        self.active_ms = turn.keyspace.now_ms
        if turn.gets or turn.sets:
            turn.count_plain()
        index = 0
        if not self.waiting:
            while index < len(requests):
                more = self._dispatch_one(requests[index])
                index += 1
                if not more or turn.units_left <= 0:
                    break
        turn.executed += index
        if turn.request_bytes > ENTRY_BYTES_MAX:
            turn.cut()
        if index < len(requests) or self.protocol_error:
            self._leave_rest(requests, index)
        self.plain = (
            not self.waiting
            and self.authenticated
            and self.multi is None
            and self.reply_mode == "on"
            and not self.no_touch
            and not self.reader.unfinished
            and not self.protocol_error
        )

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

    def _dispatch_one(self, args: list[bytes]) -> bool:
        """Execute one request; whether the next one may follow at once."""
        turn = self.turn
        keyspace = turn.keyspace
        units, made_bytes = keyspace.units, keyspace.made_bytes
        turn.units_left -= DISPATCH_UNITS + (len(args) >> 1)
        try:
            reply = dispatch(self, args)
        except Exception:
            # A defect of ours. What the command did so far is in the turn's effects, so an error reply could be taken
            # for "not done": the outcome is unknown, and that is said by closing.
            log.exception("command %r failed; its client's connection is closed", args[0][:32])
            self.abort("a command failed")
            return False
        turn.units_left -= keyspace.units - units + (keyspace.made_bytes - made_bytes) // BYTES_PER_UNIT
        if isinstance(reply, bytes):
            return self._reply(reply)
        self._wait("task")
        if reply is not None:  # None: whoever knows the event that this client waits for calls `finish_task`
            self.turn.start_task(self, reply)
        return False

    def _reply(self, reply: bytes) -> bool:
        self.turn.units_left -= len(reply) // BYTES_PER_UNIT
        size = 0
        if self.reply_mode == "on":
            self.out.append(reply)
            size = len(reply)
        elif self.reply_mode == "skip":
            self.reply_mode = "on"
        elif self.reply_mode == "skip-next":
            self.reply_mode = "skip"
        if self.close_after_reply:
            self.queue.clear()
            self.waiting = "close"
            return False
        return size <= SMALL_REPLY_BYTES or not self._output_full(size)
