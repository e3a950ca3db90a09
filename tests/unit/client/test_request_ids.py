"""Numbers of writes: `acked` says that everything below it was answered, and never more than that."""

from hypothesis import given
from hypothesis import strategies as st

from kubegrid.client.request_ids import SPAN_MAX, RequestIds
from kubegrid.client.routes import Route


def taken(ids: RequestIds) -> tuple[int, int]:
    both = ids.take()
    assert both is not None
    return both


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
            seq, acked = taken(ids)
            assert acked <= min([*in_use, seq])
            in_use.append(seq)
        else:
            ids.done(in_use.pop(choice % len(in_use)))
    last, acked = taken(ids)
    assert acked == min([*in_use, last])


def test_numbers_that_are_too_far_from_one_in_use_are_taken_under_another_identity_without_waiting() -> None:
    route = Route(0)
    first, oldest, _ = route.take()
    for _ in range(SPAN_MAX - 1):
        ids, seq, _ = route.take()
        assert ids is first
        ids.done(seq)
    assert first.take() is None
    second, seq, acked = route.take()
    assert (second is not first, seq, acked) == (True, 1, 1)
    first.done(oldest)
    assert first.take() == (SPAN_MAX + 1, SPAN_MAX + 1)


def test_two_clients_have_different_identities() -> None:
    assert RequestIds().client != RequestIds().client
    assert len(RequestIds().client) == 16
