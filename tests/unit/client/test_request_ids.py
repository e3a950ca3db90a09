"""Numbers of writes: `acked` says that everything below it was answered, and never more than that."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from kubegrid.client.request_ids import SPAN_MAX, RequestIds


def test_numbers_begin_at_one_and_acked_follows_the_oldest_in_use() -> None:
    ids = RequestIds()
    assert ids.take() == (1, 1)
    assert ids.take() == (2, 1)
    ids.done(2)
    assert ids.take() == (3, 1)
    ids.done(1)
    assert ids.take() == (4, 3)


@given(st.lists(st.integers(0, 5), max_size=200))
def test_acked_never_passes_a_number_in_use(choices: list[int]) -> None:
    ids = RequestIds()
    in_use: list[int] = []
    for choice in choices:
        if choice < 3 or not in_use:
            seq, acked = ids.take()
            assert acked <= min([*in_use, seq])
            in_use.append(seq)
        else:
            ids.done(in_use.pop(choice % len(in_use)))
    last, acked = ids.take()
    assert acked == min([*in_use, last])


def test_taking_waits_while_the_numbers_in_use_are_too_far_apart() -> None:
    ids = RequestIds()
    for _ in range(SPAN_MAX):
        ids.take()
    assert not ids.has_room()
    got: list[tuple[int, int]] = []
    thread = threading.Thread(target=lambda: got.append(ids.take()))
    thread.start()
    thread.join(0.05)
    assert not got
    ids.done(1)
    thread.join(5)
    assert got == [(SPAN_MAX + 1, 2)]


def test_two_clients_have_different_identities() -> None:
    assert RequestIds().client != RequestIds().client
    assert len(RequestIds().client) == 16
