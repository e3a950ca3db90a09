"""OBJECT IDLETIME: how long the key's slot has not been used, without asking counting as use."""

import pytest

from kubegrid.base.settings import StoreSettings
from kubegrid.store import COMMANDS, Keyspace


def run(keyspace: Keyspace, *args: bytes) -> bytes:
    reply = COMMANDS[args[0]](keyspace, list(args), False)
    assert isinstance(reply, bytes)
    return reply


def test_idle_time_grows_until_the_key_is_used() -> None:
    keyspace = Keyspace(StoreSettings(), 0, 16383, random=lambda n: 0)
    keyspace.primary = True
    keyspace.now_ms = 1_000_000
    run(keyspace, b"SET", b"foo", b"bar")
    keyspace.now_ms += 3_000
    assert run(keyspace, b"OBJECT", b"IDLETIME", b"foo") == b":3\r\n"
    keyspace.now_ms += 1_000
    assert run(keyspace, b"OBJECT", b"IDLETIME", b"foo") == b":4\r\n"
    run(keyspace, b"TOUCH", b"foo")
    assert run(keyspace, b"OBJECT", b"IDLETIME", b"foo") == b":0\r\n"
    assert run(keyspace, b"OBJECT", b"IDLETIME", b"missing") == b"$-1\r\n"


@pytest.mark.parametrize("command", ["EXISTS", "TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "TYPE", "OBJECT ENCODING"])
def test_what_only_tells_about_a_key_does_not_use_it(command: str) -> None:
    keyspace = Keyspace(StoreSettings(), 0, 16383, random=lambda n: 0)
    keyspace.primary = True
    keyspace.now_ms = 1_000_000
    run(keyspace, b"SET", b"foo", b"bar")
    keyspace.now_ms += 3_000
    run(keyspace, *command.encode().split(), b"foo")
    run(keyspace, b"SCAN", b"0")
    assert run(keyspace, b"OBJECT", b"IDLETIME", b"foo") == b":3\r\n"
