"""One socket to one member, used by one thread at a time: a request out, its reply in.

**Hot path**: `call` is two system calls and one parse, besides what `spinning` adds. The socket blocks, with the kernel's own
receive timeout (`SO_RCVTIMEO`): Python's timeouts would cost a `poll` before every `recv`.

Not here: which member to ask, and what to do when it does not answer (`routes`, `grid`).
Next on the path of the data: `kubegrid.node.connection`, on the other side.
"""

import os
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import hiredis

from kubegrid.client import keepalive
from kubegrid.client.slots import split_address
from kubegrid.client.spinning import RECEIVE_BYTES, Spinning

pack_command: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
"""Under a type of its own: the stub of hiredis knows tuples of one element only."""
SEND_AT_ONCE_BYTES = 32 * 1024
"""More than this may fill the buffers in both directions; from there on, replies are read while requests are sent."""
ENDED = "closed the connection"


class LostError(Exception):
    """No reply can come any more. `sent`: whether the request, or a part of it, was sent."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class SilentError(Exception):
    """Nothing came within the time; the connection is as it was, and the reply may still come."""


class Connection:
    """Invariant: between two calls nothing is owed by either side; after any LostError it is closed.

    It may be closed after a reply, too (`broken`): that of a member that did not read the request to its end.
    """

    __slots__ = ("_reader", "_ready", "_slice", "_spinning", "address", "broken", "replies", "sock")

    def __init__(
        self,
        address: str,
        password: str | None,
        readonly: bool,
        timeout: float,
        silence: float,
        spinning: Spinning | None = None,
    ) -> None:
        self.address = address
        self._spinning: Spinning | None = None
        self.broken = False
        self.replies: list[Any] = []
        self._reader = hiredis.Reader()
        self._slice = 0.0
        try:
            self.sock = socket.create_connection(split_address(address), timeout=timeout)
        except OSError as error:
            raise LostError(reason_of(error), sent=False) from error
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keepalive.keep(self.sock)
        self.sock.settimeout(None)
        self.set_silence(max(timeout, 0.001))
        greeting: list[tuple[str, ...]] = [("AUTH", password)] if password is not None else []
        if readonly:
            greeting.append(("READONLY",))
        for words in greeting:
            try:
                reply = self.call(pack_command(words))
            except SilentError as error:
                self.close()
                raise LostError(f"did not answer {words[0]} within {timeout:g} s", sent=False) from error
            except LostError as error:
                error.sent = False
                raise
            if isinstance(reply, hiredis.ReplyError):
                self.close()
                raise RefusedGreetingError(str(reply))
        self.set_silence(silence)
        if spinning is not None and spinning.seconds:
            self._spinning = spinning
            poll = select.poll()
            poll.register(self.sock, select.POLLIN)
            self._ready = poll.poll

    def set_silence(self, seconds: float) -> None:
        """How long the kernel waits for bytes before `call` raises SilentError."""
        if seconds != self._slice:
            self._slice = seconds
            micros = max(1, int(seconds * 1e6))
            value = struct.pack("ll", micros // 1_000_000, micros % 1_000_000)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)

    def call(self, packed: bytes, write: bool = False) -> Any:
        """Send one request and answer with its reply; LostError or SilentError otherwise.

        `write`: it is confirmed by a backup first, if there is one (`spinning`).
        """
        try:
            if len(packed) > SEND_AT_ONCE_BYTES:
                try:
                    self.send(packed)
                except LostError:
                    if not self.replies:
                        raise
                if self.replies:
                    return self.replies.pop()
            else:
                self.sock.sendall(packed)
            receive = self.sock.recv
            reader = self._reader
            spinning = self._spinning
            if write and spinning is not None and not spinning.for_writes:
                spinning = None
            while True:
                data = receive(RECEIVE_BYTES) if spinning is None else spinning.receive(receive, self._ready)
                if not data:
                    raise self._lost(ENDED)
                reader.feed(data)
                reply = reader.gets()
                if reply is not False:
                    return reply
        except BlockingIOError:
            raise SilentError from None
        except (OSError, hiredis.ProtocolError) as error:
            raise self._lost(reason_of(error)) from error

    def wait(self) -> Any:
        """The reply that `call` did not wait for any longer."""
        return self.call(b"")

    def send(self, packed: bytes) -> None:
        """Send `packed`; what arrives meanwhile is kept in `replies`, so that neither side waits for the other's reading."""
        view = memoryview(packed)
        until = time.monotonic() + self._slice
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | select.POLLOUT)
        try:
            while view:
                ready = poll.poll(max(0.0, until - time.monotonic()) * 1000)
                if not ready:
                    raise self._lost(f"took no bytes for {self._slice:g} s")
                if ready[0][1] & ~select.POLLOUT:
                    self._receive_now()
                if ready[0][1] & select.POLLOUT:
                    view = view[self.sock.send(view, socket.MSG_DONTWAIT) :]
                    until = time.monotonic() + self._slice
        except BlockingIOError:  # pragma: no cover: poll said that there is room
            raise self._lost("took no bytes") from None
        except (OSError, hiredis.ProtocolError) as error:
            raise self._lost(reason_of(error)) from error

    def _receive_now(self) -> None:
        data = self.sock.recv(RECEIVE_BYTES, socket.MSG_DONTWAIT)
        if not data:
            raise self._lost(ENDED)
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self.replies.append(reply)

    def receive(self, count: int) -> None:
        """Read until `replies` holds `count` of them. What came before the connection broke stays there."""
        replies = self.replies
        reader = self._reader
        try:
            while len(replies) < count:
                data = self.sock.recv(RECEIVE_BYTES)
                if not data:
                    raise self._lost(ENDED)
                reader.feed(data)
                while (reply := reader.gets()) is not False:
                    replies.append(reply)
        except BlockingIOError:
            raise SilentError from None
        except (OSError, hiredis.ProtocolError) as error:
            raise self._lost(reason_of(error)) from error

    def _lost(self, reason: str) -> LostError:
        self.close()
        return LostError(reason, sent=True)

    def close(self) -> None:
        self.broken = True
        self.sock.close()


class RefusedGreetingError(Exception):
    """The member does not let this client in; its words."""


def reason_of(error: Exception) -> str:
    """An operating system's error in a few words."""
    if isinstance(error, TimeoutError):
        return "no connection within the time"
    if isinstance(error, OSError) and error.strerror:
        # asyncio puts the address into strerror, where the operating system's own words are wanted
        return (os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror).lower()
    return str(error) or type(error).__name__
