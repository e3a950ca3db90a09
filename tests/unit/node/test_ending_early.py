"""While the loop looks for what comes next, a turn ends with the read that brought it; else with the round of the loop."""

import pytest
from tests.unit.node.pair import Pair, acknowledged


@pytest.fixture
def pair() -> Pair:
    made = Pair()
    made.write(b"k")
    made.exchange()
    return made


def entry_of(pair: Pair, key: bytes) -> bytes:
    """What the primary sends when `key` is written."""
    pair.primary.turn.work(lambda: pair.primary.keyspace.put(key, b"v"))
    pair.primary.loop.round()
    (payload,) = pair.primary.wire.sent
    pair.primary.wire.sent = []
    return payload


def test_a_loop_that_does_not_look_ends_the_turn_with_its_round(pair: Pair) -> None:
    backup = pair.backup
    backup.receive(entry_of(pair, b"a"))
    backup.turn.end_early()
    assert not acknowledged(backup)
    backup.loop.round()
    assert acknowledged(backup)


def test_a_loop_that_looks_ends_it_at_once_and_only_once_in_a_round(pair: Pair) -> None:
    backup = pair.backup
    backup.turn.looking.active = True
    backup.receive(entry_of(pair, b"a"))
    backup.turn.end_early()
    assert acknowledged(backup)
    backup.wire.sent.clear()
    backup.receive(entry_of(pair, b"b"))
    backup.turn.end_early()
    assert not acknowledged(backup)
    backup.loop.round()
    assert acknowledged(backup)
    backup.wire.sent.clear()
    backup.turn.looking.active = True  # whatever it thinks of the time that this took
    backup.receive(entry_of(pair, b"c"))
    backup.turn.end_early()
    assert acknowledged(backup)


def test_the_end_that_was_called_for_finds_nothing_to_do_after_an_early_one(pair: Pair) -> None:
    backup = pair.backup
    backup.turn.looking.active = True
    backup.receive(entry_of(pair, b"a"))
    backup.turn.end_early()
    backup.wire.sent.clear()
    before = backup.member.applying.applied_seq
    backup.loop.round()
    assert not backup.wire.sent
    assert backup.member.applying.applied_seq == before + 1, "only what was put off is applied"


def test_what_waits_for_its_backup_keeps_the_next_requests_together(pair: Pair) -> None:
    """The first request of a round has a turn of its own; those that come before its answer share theirs."""
    primary = pair.primary
    turn = primary.turn
    turn.looking.active = True
    turn.begin()
    primary.keyspace.put(b"a", b"v")
    turn.end_early()
    assert len(primary.wire.sent) == 1
    turn.pending.append((primary.member.last_seq, True, 0.0, 1, []))
    primary.loop.round()
    assert turn.looking.active
    for key in (b"b", b"c"):
        turn.begin()
        primary.keyspace.put(key, b"v")
        turn.end_early()
    assert len(primary.wire.sent) == 1
    primary.loop.round()
    assert len(primary.wire.sent) == 2
