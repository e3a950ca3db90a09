"""Which slot a key is in, how a slot map is read, and how addresses are spelt."""

import pytest
import redis.cluster  # noqa: F401  # its key_slot is what every Redis Cluster client computes
from redis.crc import key_slot

from kubegrid.base.errors import UsageError
from kubegrid.client.slots import parse_addresses, parse_shards, slot_of


@pytest.mark.parametrize(
    "key", [b"", b"a", b"flights:UA:1", b"{FX}:1", b"x{FX}y", b"{}a", b"a{b", b"{a}{b}", b"}{", b"{{a}}"]
)
def test_a_key_is_in_the_slot_that_redis_clients_compute(key: bytes) -> None:
    assert slot_of(key) == key_slot(key)


def node(port: int, role: bytes, health: bytes = b"online", host: bytes = b"127.0.0.1") -> list[object]:
    return [b"id", b"x", b"port", port, b"ip", host, b"endpoint", host, b"role", role, b"health", health]


def test_a_map_is_read_with_primaries_backups_and_no_joiners() -> None:
    reply = [
        [b"slots", [8192, 16383], b"nodes", [node(7002, b"master"), node(7003, b"replica", b"loading")]],
        [b"slots", [0, 8191], b"nodes", [node(7001, b"replica"), node(7000, b"master")]],
    ]
    first, second = parse_shards(reply)
    assert (first.slots, first.primary, first.backups) == (((0, 8191),), "127.0.0.1:7000", ("127.0.0.1:7001",))
    assert (second.primary, second.backups) == ("127.0.0.1:7002", ())


def test_a_partition_without_a_primary_stays_in_the_map() -> None:
    (shard,) = parse_shards([[b"slots", [0, 16383], b"nodes", [node(7001, b"replica", host=b"::1")]]])
    assert shard.primary is None
    assert shard.backups == ("[::1]:7001",)


@pytest.mark.parametrize("reply", [None, [], [[b"slots"]], b"OK", [[b"slots", [0, 99999], b"nodes", []]]])
def test_what_is_no_map_is_refused(reply: object) -> None:
    with pytest.raises(ValueError, match="no "):
        parse_shards(reply)


def test_addresses_are_read_with_a_default_port() -> None:
    assert parse_addresses("a:1, b ,[::1]:3") == ["a:1", "b:7000", "[::1]:3"]


@pytest.mark.parametrize("text", ["", "a:", "a:x", "a:99999", "::1", "redis://a:1", "a b:1", ",", "[::1]x", "a:0"])
def test_a_bad_address_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="address"):
        parse_addresses(text)


def test_what_is_no_ipv6_address_is_not_told_to_be_put_in_brackets() -> None:
    with pytest.raises(UsageError, match="expected host:port"):
        parse_addresses("redis://127.0.0.1:7000")
    with pytest.raises(UsageError, match="expected text"):
        parse_addresses(7000)  # type: ignore[arg-type]  # the mistake is the test
