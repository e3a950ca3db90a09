"""What single operations would cost if members did nothing: the same hops between processes, with nothing in them.

    python -m bench.floor [--rounds 5] [--seconds 1]

"put" is client → A → B → A → client, as a write goes to a primary and its backup; "get" is client → A → client. The client
sends and receives on a blocking socket, A and B are uvloop protocols of three lines that pass bytes on. Printed are the time of
one operation and the processor time that each process has in it. No client and no member written in Python on uvloop
can be faster on that machine; `bench.client` says what ours and the peers take.
"""

import argparse
import asyncio
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable
from typing import Any

import uvloop

from bench.local_grid import free_port_base
from bench.measuring import processor_s

REQUEST = b"x" * 190
"""As long as a KG.ONCE … SET of 100 bytes."""
REPLY = b"+OK\r\n"
AT_ONCE = 50
START_S = 20


class Echo(asyncio.Protocol):
    """B, and A of "get": sends a reply for what it received."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(REPLY)


class Upwards(asyncio.Protocol):
    """A's link to B: what comes back goes to the client that asked last."""

    client: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.client.write(data)


class PassOn(asyncio.Protocol):
    """A of "put"."""

    def __init__(self, upwards: Upwards) -> None:
        self.upwards = upwards

    def connection_made(self, transport: Any) -> None:
        self.upwards.client = transport

    def data_received(self, data: bytes) -> None:
        self.upwards.transport.write(data)


def serve(port: int, to: int | None) -> None:
    """A process that listens on `port`, and passes on to `to` if given."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        made: Callable[[], asyncio.Protocol] = Echo
        if to is not None:
            _, upwards = await loop.create_connection(Upwards, "127.0.0.1", to)
            made = lambda: PassOn(upwards)  # noqa: E731
        await (await loop.create_server(made, "127.0.0.1", port)).serve_forever()

    uvloop.run(run())


def connected(port: int) -> socket.socket:
    end = time.monotonic() + START_S
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def measure(connection: socket.socket, pids: list[int], seconds: float) -> tuple[float, list[float]]:
    """Microseconds of one operation, and of processor time in each process."""
    before = [processor_s(pid) for pid in pids]
    done = 0
    started = time.perf_counter()
    while (now := time.perf_counter()) < started + seconds:
        for _ in range(AT_ONCE):
            connection.sendall(REQUEST)
            connection.recv(65536)
        done += AT_ONCE
    spent = [(processor_s(pid) - first) * 1e6 / done for pid, first in zip(pids, before, strict=True)]
    return (now - started) * 1e6 / done, spent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1)
    args = parser.parse_args()
    base = free_port_base(3)
    processes = []
    for port, to in ((base, None), (base + 1, base)):
        processes.append(multiprocessing.Process(target=serve, args=(port, to), daemon=True))
        processes[-1].start()
        connected(port).close()
    backup, primary = (process.pid or 0 for process in processes)
    me = os.getpid()
    print("| operation | µs | processor µs: client, A, B |\n|---|---|---|")
    for name, port, pids in (("put", base + 1, [me, primary, backup]), ("get", base, [me, backup])):
        with connected(port) as connection:
            rounds = [measure(connection, pids, args.seconds) for _ in range(args.rounds)]
        spent = [statistics.median(each) for each in zip(*[spent for _, spent in rounds], strict=True)]
        took = statistics.median(took for took, _ in rounds)
        print(f"| {name} | {took:,.0f} | {', '.join(f'{each:.0f}' for each in spent)} |", flush=True)
    for process in processes:
        process.terminate()
        process.join()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
