"""Which slot a key is in, and which member serves which slot: Redis Cluster's rule and its `CLUSTER SHARDS`.

Pure: values in, values out. Next on the path of the data: `routes`.
"""

from binascii import crc_hqx
from dataclasses import dataclass
from typing import Any

from kubegrid.base.errors import UsageError
from kubegrid.base.ids import SLOT_COUNT

DEFAULT_PORT = 7000


def slot_of(key: bytes) -> int:
    """The slot of a key: CRC16 of it, or of the part in the first `{…}` that is not empty."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc_hqx(key, 0) & 16383


@dataclass(frozen=True, slots=True)
class Shard:
    """One partition as a member describes it. Addresses are `host:port`; `slots` are inclusive ranges."""

    slots: tuple[tuple[int, int], ...]
    primary: str | None
    backups: tuple[str, ...]


def parse_shards(reply: Any) -> list[Shard]:
    """The partitions in a reply to `CLUSTER SHARDS` (RESP2), in order of their slots; ValueError when it is none."""
    shards = []
    try:
        for item in reply:
            fields = _pairs(item)
            bounds = fields[b"slots"]
            ranges = tuple(zip(bounds[::2], bounds[1::2], strict=True))
            primary, backups = None, []
            for node in map(_pairs, fields[b"nodes"]):
                address = join_address((node.get(b"endpoint") or node[b"ip"]).decode(), int(node[b"port"]))
                if node[b"role"] == b"master":
                    primary = address
                elif node[b"health"] == b"online":
                    backups.append(address)
            if ranges:
                shards.append(Shard(ranges, primary, tuple(backups)))
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"that is no reply to CLUSTER SHARDS: {reply!r:.200}") from error
    if not shards or any(not 0 <= a <= b < SLOT_COUNT for shard in shards for a, b in shard.slots):
        raise ValueError(f"that is no map of slots: {reply!r:.200}")
    return sorted(shards, key=lambda shard: shard.slots[0])


def _pairs(flat: Any) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_addresses(text: str) -> list[str]:
    """`host:port[,host:port]` as a list; the port may be missing and is 7000 then. UsageError when it is not that."""
    if not isinstance(text, str):
        raise UsageError(f"{text!r} is no address: expected text such as '127.0.0.1:7000'")
    addresses = []
    for part in text.split(","):
        word = part.strip()
        host, port = word, str(DEFAULT_PORT)
        if word.startswith("["):
            host, bracket, rest = word.partition("]")
            host += bracket
            port = rest[1:] if rest.startswith(":") else "" if rest else port
        elif word.count(":") == 1:
            host, _, port = word.partition(":")
        elif ":" in word and "/" not in word:
            raise UsageError(f"{word!r} is no address: write an IPv6 host in brackets, as in [::1]:7000")
        if (
            not host
            or "/" in host
            or " " in host
            or not port.isascii()
            or not port.isdigit()
            or not 0 < int(port) < 65536
        ):
            raise UsageError(
                f"{word!r} is no address of a member: expected host:port[,host:port…], as in 127.0.0.1:7000"
            )
        addresses.append(f"{host}:{port}")
    return addresses
