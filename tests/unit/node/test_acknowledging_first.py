"""A backup acknowledges a small entry before it applies it, and nothing that looks at its store notices."""

import pytest
from tests.unit.node.pair import Pair, acknowledged

from kubegrid.node.member import SMALL_EFFECTS


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_the_acknowledgement_leaves_first_and_the_entry_is_applied_in_the_next_round(pair: Pair) -> None:
    pair.one_committed(b"k")
    backup = pair.backup
    assert acknowledged(backup)
    assert backup.keyspace.value_of(b"k") is None
    backup.loop.round()
    assert backup.keyspace.value_of(b"k") == b"v"


@pytest.mark.parametrize(
    "look", ["a reader's turn", "a bound on staleness", "another message", "the gate of a promotion"]
)
def test_whoever_looks_at_the_store_finds_the_entry_applied(pair: Pair, look: str) -> None:
    pair.one_committed(b"k")
    backup = pair.backup
    assert backup.keyspace.value_of(b"k") is None
    if look == "a reader's turn":
        backup.turn.begin()
    elif look == "a bound on staleness":
        backup.member.staleness_ms(backup.member.now_ms())
    elif look == "another message":
        backup.turn.input(lambda: None)
        backup.turn.end()
    else:
        backup.member.gate(backup.member.now_ms())
    assert backup.keyspace.value_of(b"k") == b"v"
    backup.loop.round()
    backup.keyspace.validate()


def test_long_entries_are_applied_at_once(pair: Pair) -> None:
    keys = [b"k%d" % number for number in range(SMALL_EFFECTS)]
    pair.one_committed(*keys)
    assert all(pair.backup.keyspace.value_of(key) == b"v" for key in keys)


def test_entries_are_applied_in_their_order(pair: Pair) -> None:
    for number in range(50):
        pair.write(b"a", b"b%d" % number)
        pair.backup.loop.round()
        for payload in pair.backup.wire.sent:
            pair.primary.receive(payload)
        pair.backup.wire.sent = []
        pair.primary.loop.round()
    pair.exchange()
    pair.write(b"end")
    pair.exchange()
    for pod in (pair.primary, pair.backup):
        pod.keyspace.validate()
    pair.write(b"end")
    pair.exchange()
    assert pair.backup.keyspace.slots == pair.primary.keyspace.slots
