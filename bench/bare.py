"""One partition of bare members against one Redis, under the load of `bench.redis_ratio`: what the hops alone let through.

    python -m bench.bare [--rounds 3] [--seconds 2]

A bare member parses requests with hiredis, keeps values in one dictionary, sends what was set in one turn of the loop to its
backup as one entry, and replies when the backup says that it has it, which it does before it looks inside. There are no
checks, log, undo, leases or limits, and no other commands. The figures tell how much of the distance to Redis is Python and
uvloop by themselves, and how much is what a member does besides. With pipelines a member can be faster than a bare one,
because it executes the requests of all clients as columns.
"""

import argparse
import asyncio
import multiprocessing
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hiredis
import msgspec
import uvloop

from bench.local_grid import free_port_base
from bench.redis_ratio import HEADING, TARGETS, await_ping, has_redis, running_redis, throughput

LENGTH_BYTES = 4
ACKNOWLEDGED = b"k"


class Member:
    """A primary's turn of the loop, and the replies that wait for the backup."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.store: dict[bytes, bytes] = {}
        self.backup: Any = None
        self.replies: list[tuple[Any, bytes]] = []
        self.entry: list[bytes] = []
        self.waiting: deque[list[tuple[Any, bytes]]] = deque()

    def reply_later(self, transport: Any, reply: bytes) -> None:
        if not self.replies:
            self.loop.call_soon(self.end_turn)
        self.replies.append((transport, reply))

    def end_turn(self) -> None:
        self.waiting.append(self.replies)
        entry = msgspec.msgpack.encode(self.entry)
        self.backup.write(len(entry).to_bytes(LENGTH_BYTES, "big") + entry)
        self.replies, self.entry = [], []

    def apply(self, entry: bytes) -> None:
        flat = msgspec.msgpack.decode(entry)
        self.store.update(zip(flat[::2], flat[1::2], strict=True))


class Client(asyncio.Protocol):
    def __init__(self, member: Member) -> None:
        self.member = member
        self.reader = hiredis.Reader()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        member = self.member
        wrote = False
        replies = []
        self.reader.feed(data)
        for request in iter(self.reader.gets, False):
            name = request[0]
            if name == b"SET":
                _, key, value = request
                member.store[key] = value
                if member.backup is not None:
                    member.entry += (key, value)
                    wrote = True
                replies.append(b"+OK\r\n")
            elif name == b"GET":
                value = member.store.get(request[1])
                replies.append(b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value))
            else:  # PING; and redis-benchmark asks for settings, and takes none for an answer
                replies.append(b"$4\r\nPONG\r\n" if name == b"PING" else b"*0\r\n")
        reply = b"".join(replies)
        if wrote:
            member.reply_later(self.transport, reply)
        else:
            self.transport.write(reply)


class ToBackup(asyncio.Protocol):
    """The primary's side of the link."""

    def __init__(self, member: Member) -> None:
        self.member = member

    def connection_made(self, transport: Any) -> None:
        self.member.backup = transport

    def data_received(self, data: bytes) -> None:
        for _ in data:
            for transport, reply in self.member.waiting.popleft():
                transport.write(reply)


class FromPrimary(asyncio.Protocol):
    """The backup's side."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.rest = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        data = self.rest + data
        at = 0
        entries = []
        while len(data) >= (begin := at + LENGTH_BYTES):
            end = begin + int.from_bytes(data[at:begin], "big")
            if end > len(data):
                break
            entries.append(data[begin:end])
            at = end
        self.rest = data[at:]
        self.transport.write(ACKNOWLEDGED * len(entries))
        for entry in entries:
            self.member.apply(entry)


def serve(port: int, backup: int | None) -> None:
    """A process that serves clients on `port` and a primary on the next one."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        member = Member(loop)
        await loop.create_server(lambda: FromPrimary(member), "127.0.0.1", port + 1)
        if backup is not None:
            await loop.create_connection(lambda: ToBackup(member), "127.0.0.1", backup + 1)
        await (await loop.create_server(lambda: Client(member), "127.0.0.1", port)).serve_forever()

    uvloop.run(run())


@contextmanager
def running_bare(backups: int) -> Iterator[int]:
    """A bare primary, with a backup if it shall have one; its port."""
    base = free_port_base(4)
    processes = []
    try:
        for number in range(backups + 1):
            port, backup = base + 2 * number, base + 2 * number - 2 if number else None
            processes.append(multiprocessing.Process(target=serve, args=(port, backup), daemon=True))
            processes[-1].start()
            await_ping(port)
        yield base + 2 * backups
    finally:
        for process in processes:
            process.kill()
            process.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="about how long one round of one figure takes")
    args = parser.parse_args()
    if not has_redis():
        return 1
    print(HEADING.replace("KubeGrid", "bare member"))
    for backups, label in enumerate(TARGETS):
        with running_redis(replica=backups > 0) as (theirs, _), running_bare(backups) as ours:
            throughput(label, ours, theirs, args.rounds, args.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
