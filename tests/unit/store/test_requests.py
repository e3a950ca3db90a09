"""Numbered requests: each is executed once, its reply is given again, and what is kept is bounded."""

from random import Random
from typing import Any

import pytest

from kubegrid.base.settings import StoreSettings
from kubegrid.store import Keyspace
from kubegrid.store import effects as op
from kubegrid.store import requests as limits
from kubegrid.store.requests import NEW, Refusal, Requests

ANN, BOB = b"a" * 16, b"b" * 16


def test_a_request_is_new_once_and_answered_from_then_on() -> None:
    requests = Requests()
    assert requests.begin(ANN, 1, 1, 0) is NEW
    requests.finish(ANN, 1, 1, 0, b"+OK\r\n")
    assert requests.begin(ANN, 1, 1, 0) == b"+OK\r\n"
    assert requests.begin(ANN, 2, 1, 0) is NEW
    assert requests.begin(BOB, 1, 1, 0) is NEW, "every client has numbers of its own"


def test_what_a_client_has_had_is_dropped_and_never_executed_again() -> None:
    requests = Requests()
    for seq in (1, 3, 2):
        requests.finish(ANN, seq, 1, 0, b":%d\r\n" % seq)
    requests.finish(ANN, 4, 3, 0, b":4\r\n")
    assert requests.begin(ANN, 3, 1, 0) == b":3\r\n"
    late = requests.begin(ANN, 2, 1, 0)
    assert isinstance(late, Refusal)
    assert late.startswith(b"-STALEID request 2 was answered")
    requests.validate()


def test_a_long_reply_is_replaced_by_a_sentence() -> None:
    requests = Requests()
    requests.finish(ANN, 1, 1, 0, b"$70000\r\n" + b"x" * 70000 + b"\r\n")
    assert requests.begin(ANN, 1, 1, 0) == limits.TOO_LONG


@pytest.mark.parametrize(("client", "seq", "acked"), [(b"short", 1, 1), (ANN, 1, 2), (ANN, 1 << 63, 1), (ANN, 1, -1)])
def test_bad_numbers_and_identities_are_refused(client: bytes, seq: int, acked: int) -> None:
    refusal = Requests().begin(client, seq, acked, 0)
    assert isinstance(refusal, Refusal)
    assert refusal.startswith(b"-ERR ")


def test_too_many_open_requests_are_refused_until_some_are_acknowledged() -> None:
    requests = Requests()
    for seq in range(1, limits.REPLIES_MAX + 1):
        requests.finish(ANN, seq, 1, 0, b"+OK\r\n")
    assert bytes(requests.begin(ANN, 9999, 1, 0)).startswith(b"-BUSY 4096 requests")  # type: ignore[arg-type]
    assert requests.begin(ANN, 9999, 2, 0) is NEW


def test_too_many_clients_are_refused_until_idle_ones_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENTS_MAX", 2)
    requests = Requests()
    requests.finish(ANN, 1, 1, 0, b"+OK\r\n")
    requests.finish(BOB, 1, 1, 5, b"+OK\r\n")
    refusal = requests.begin(b"c" * 16, 1, 1, 9)
    assert isinstance(refusal, Refusal)
    assert refusal.startswith(b"-BUSY 2 clients")
    assert requests.forget_slice(limits.IDLE_MS, 10) == 0
    assert requests.forget_slice(limits.IDLE_MS + 1, 10) == 1
    assert requests.begin(b"c" * 16, 1, 1, limits.IDLE_MS + 1) is NEW
    assert requests.begin(BOB, 1, 1, limits.IDLE_MS + 1) == b"+OK\r\n"
    requests.validate()


def test_who_was_forgotten_begins_anew_whatever_it_had() -> None:
    requests = Requests()
    requests.finish(ANN, 7, 7, 0, b"+OK\r\n")
    requests.forget_slice(limits.IDLE_MS + 1, 10)
    assert requests.begin(ANN, 8, 8, limits.IDLE_MS + 1) is NEW


def test_changes_are_recorded_applied_elsewhere_and_taken_back() -> None:
    random = Random(11)
    log: list[Any] = []
    one, other = Requests(lambda *change: log.append(change)), Requests()
    states = []
    now_ms = 0

    def state(of: Requests) -> Any:
        of.validate()
        return {client: (known.acked, known.used_ms, dict(known.replies)) for client, known in of.clients.items()}

    for _ in range(300):
        now_ms += random.choice([1, 1, 1, 400_000])
        before = state(one), len(log)
        client, seq = random.choice([ANN, BOB]), random.randrange(1, 30)
        acked = random.randrange(seq + 1)
        # Now and then one that waited for a record is answered twice, or after its client needed no answer any more.
        if one.begin(client, seq, acked, now_ms) is NEW or random.random() < 0.3:
            one.finish(client, seq, acked, now_ms, b"+%d at %d\r\n" % (seq, now_ms))
        one.forget_slice(now_ms, 5)
        states.append(before)
        for code, args, _, _ in log[before[1] :]:
            other.apply(code, args)
        assert state(other) == state(one)
    for before, length in reversed(states):
        while len(log) > length:
            _, _, code, args = log.pop()
            one.revert(code, args)
        assert state(one) == before


def test_kept_replies_count_as_memory_and_a_clearing_of_keys_leaves_them() -> None:
    keyspace = Keyspace(StoreSettings(), 0, 16383, random=Random(1).randrange)
    keyspace.primary = True
    keyspace.requests.finish(ANN, 1, 1, 5, b"+OK\r\n")
    assert keyspace.used_bytes == keyspace.requests.used_bytes > 500
    assert keyspace.take_turn()[0] == [op.REQUEST, [ANN, 1, 1, 5, b"+OK\r\n"]]
    keyspace.flush()
    keyspace.validate()
    assert keyspace.requests.begin(ANN, 1, 1, 6) == b"+OK\r\n"
    keyspace.reset()
    keyspace.validate()
    assert keyspace.used_bytes == 0
    assert keyspace.requests.begin(ANN, 1, 1, 6) is NEW
