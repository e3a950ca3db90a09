"""The checker accepts what a sequential execution can explain and refuses what none can: known cases, then brute force."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sim.linearizability import ANYTHING, Unexplained, check, step
from tests.sim.operations import Operation, execute


def op(kind: str, argument: Any = None, result: Any = None, called: int = 0, returned: int | None = None) -> Operation:
    operation = Operation(called, 0, "k", kind, argument, called)
    operation.result, operation.returned = result, returned
    operation.state = "unknown" if returned is None else "done"
    return operation


def accepts(*history: Operation, initial: Any = None) -> bool:
    try:
        check(history, initial)
    except Unexplained:
        return False
    return True


def test_a_read_sees_the_write_that_returned_before_it() -> None:
    write = op("set", "a", "OK", 1, 2)
    assert accepts(write, op("get", None, "a", 3, 4))
    assert not accepts(write, op("get", None, None, 3, 4))


def test_concurrent_operations_may_go_either_way_but_not_both() -> None:
    write = op("set", "a", "OK", 1, 10)
    assert accepts(write, op("get", None, None, 2, 3), op("get", None, "a", 4, 5))
    assert not accepts(write, op("get", None, "a", 2, 3), op("get", None, None, 4, 5))


def test_an_unknown_write_may_happen_late_or_never_but_only_once() -> None:
    unknown = op("set", "a", None, 1, None)
    other = op("set", "b", "OK", 2, 3)
    assert accepts(unknown, other, op("get", None, "b", 4, 5), op("get", None, "a", 6, 7))
    assert accepts(unknown, other, op("get", None, "b", 4, 5), op("get", None, "b", 6, 7))
    assert not accepts(
        unknown, other, op("get", None, "a", 4, 5), op("get", None, "b", 6, 7), op("get", None, "a", 8, 9)
    )


def test_an_unknown_write_does_not_happen_before_its_call() -> None:
    assert not accepts(op("get", None, "a", 1, 2), op("set", "a", None, 3, None))


def test_a_failed_setnx_is_an_observation() -> None:
    assert accepts(op("set", "a", "OK", 1, 2), op("setnx", "b", (False, "a"), 3, 4), op("get", None, "a", 5, 6))
    assert not accepts(op("setnx", "b", (False, "a"), 3, 4), op("set", "a", "OK", 5, 6))
    assert not accepts(op("set", "a", "OK", 1, 2), op("setnx", "b", (True, None), 3, 4))


def test_a_dirty_read_of_a_write_that_is_gone_is_refused() -> None:
    assert not accepts(op("set", "a", None, 1, None), op("get", None, "a", 2, 3), op("get", None, None, 4, 5))


def test_increments_are_counted_exactly_once() -> None:
    assert accepts(op("incr", None, 1, 1, 2), op("incr", None, None, 3, None), op("get", None, 2, 5, 6))
    assert accepts(op("incr", None, 1, 1, 2), op("incr", None, None, 3, None), op("get", None, 1, 5, 6))
    assert not accepts(op("incr", None, 1, 1, 2), op("incr", None, None, 3, None), op("get", None, 3, 5, 6))
    assert not accepts(op("incr", None, 1, 1, 2), op("incr", None, 1, 3, 4))


def test_many_unknown_increments_are_no_explosion() -> None:
    history = [op("incr", None, None, i, None) for i in range(40)]
    assert accepts(*history, op("get", None, 17, 50, 51), op("get", None, 40, 52, 53))
    assert not accepts(*history, op("get", None, 41, 50, 51))


def test_two_primaries_that_both_answer_are_refused() -> None:
    both = [op("cas", ("x", "a"), (True, "x"), 3, 6), op("cas", ("x", "b"), (True, "x"), 4, 7)]
    assert not accepts(op("set", "x", "OK", 1, 2), *both)


def test_appends_show_their_order() -> None:
    one, two = op("append", "1", "1,", 1, 9), op("append", "2", "1,2,", 2, 8)
    assert accepts(one, two, op("get", None, "1,2,", 10, 11))
    assert not accepts(one, two, op("get", None, "2,1,", 10, 11))


def test_after_an_accepted_loss_the_first_answer_decides_what_there_is() -> None:
    assert accepts(op("get", None, "a", 1, 2), op("get", None, "a", 3, 4), initial=ANYTHING)
    assert not accepts(op("get", None, "a", 1, 2), op("get", None, "b", 3, 4), initial=ANYTHING)
    assert accepts(op("append", "7", "3,7,", 1, 2), op("incr", None, None, 1, None), initial=ANYTHING)


KINDS = st.sampled_from(["get", "set", "setnx", "cas", "delete", "incr"])


@st.composite
def sequential_histories(draw: st.DrawFn, size: int = 6) -> list[Operation]:
    """A history that some order explains: executed one at a time, with calls and returns stretched around that order."""
    counter = draw(st.booleans())
    value: Any = None
    seen: list[Any] = [None]
    history = []
    for index in range(draw(st.integers(1, size))):
        kind = draw(st.sampled_from(["get", "incr"])) if counter else draw(KINDS.filter(lambda k: k != "incr"))
        argument: Any = f"v{index}"
        if kind in ("get", "delete", "incr"):
            argument = None
        elif kind == "cas":
            argument = (draw(st.sampled_from(seen)), argument)
        known = draw(st.integers(0, 3)) > 0
        moment = 100 * index + 50
        called, returned = moment - draw(st.integers(0, 250)), moment + draw(st.integers(1, 250))
        if not known and draw(st.booleans()):
            history.append(op(kind, argument, None, called, None))  # unknown, and it never happened
            continue
        result, value = execute(kind, argument, value)
        seen.append(value)
        history.append(op(kind, argument, result if known else None, called, returned if known else None))
    return history


def brute_force(history: list[Operation]) -> bool:
    known = [o for o in history if o.returned is not None]
    unknown = [o for o in history if o.returned is None]
    for count in range(len(unknown) + 1):
        for happened in itertools.combinations(unknown, count):
            for order in itertools.permutations(known + list(happened)):
                late = [
                    (a, b)
                    for a, b in itertools.combinations(order, 2)
                    if b.returned is not None and b.returned <= a.called
                ]
                if late:
                    continue
                state: Any = None
                for operation in order:
                    fits, state = step(operation, state)
                    if not fits:
                        break
                else:
                    return True
    return False


@given(sequential_histories(size=40))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_histories_of_a_sequential_execution_are_accepted(history: list[Operation]) -> None:
    check(history)


@given(sequential_histories(size=5), st.integers(0, 1 << 30))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_changed_histories_are_judged_as_brute_force_judges_them(history: list[Operation], seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 3)):
        one, other = rng.choice(history), rng.choice(history)
        change = rng.randrange(4)
        if change == 0 and one.kind == other.kind and one.returned is not None and other.returned is not None:
            one.result, other.result = other.result, one.result
        elif change == 1 and one.returned is not None:
            span = one.returned - one.called
            one.called = rng.randrange(0, 500)
            one.returned = one.called + span
        elif change == 2 and one.kind == "get" and one.returned is not None:
            one.result = rng.choice([o.result for o in history if o.kind in ("get", "delete")])
        elif change == 3:
            one.returned, one.result = None, None
    assert accepts(*history) == brute_force(history)


def test_a_hopeless_search_gives_up_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.sim.linearizability.STATES_MAX", 10)
    history = [op("incr", None, i, 0, 100) for i in range(1, 30)]
    history.append(op("get", None, 99, 101, 102))
    with pytest.raises(Unexplained, match="gave up"):
        check(history)
