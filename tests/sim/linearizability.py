"""Is what the clients saw of one key explained by executing their operations one at a time, each within its call?

The search of Wing and Gong (1993) with Lowe's memory of states already tried: take as the next operation any that was
called before the earliest return among those not yet taken, and go back when none fits. An operation of unknown outcome
never returned, so it may be taken at any later point, or never. Three things keep that from exploding, each of them exact:

* an unknown write of a unique value that no answer shows and no kept CAS expects is left out: whoever observes a value
  names it, so nothing depends on that write having happened; an unknown read is left out;
* of unknown operations that are the same (two increments), only the one called first is tried: it may go wherever the other may;
* a (set of operations taken, value) that led nowhere is not tried again.

Operations on different keys are independent, so each key is judged by itself (linearizability is local: Herlihy and
Wing 1990). What it does not do: judge transactions. Tested in `test_linearizability` against brute force.
"""

from collections.abc import Sequence
from typing import Any

from tests.sim.operations import Operation, Value, execute, texts_seen, written_value


class Anything:
    """The value of a key of which nothing is known, as after an accepted loss: the first answer decides it."""

    def __repr__(self) -> str:
        return "anything"


ANYTHING = Anything()
State = Value | Anything
NEVER = 1 << 62
STATES_MAX = 200_000
"""States after which the search gives up; such a history counts as not explained, loudly."""


class Unexplained(Exception):
    """No order of the operations explains the answers; or none was found within STATES_MAX."""


def step(operation: Operation, state: State) -> tuple[bool, State]:
    """Whether the operation's answer can be what it would have got at `state`, and the state after it."""
    kind, argument, known = operation.kind, operation.argument, operation.returned is not None
    if not isinstance(state, Anything):
        result, after = execute(kind, argument, state)
        return (not known or result == operation.result), after
    if kind == "set":
        return True, argument
    if kind == "delete":
        return True, None
    if not known:
        return True, ANYTHING
    return _step_from_anything(kind, argument, operation.result)


def _step_from_anything(kind: str, argument: Any, result: Any) -> tuple[bool, State]:
    if kind == "setnx":
        return True, argument if result[0] else result[1]
    if kind == "cas":
        return result[0] == (result[1] == argument[0]), argument[1] if result[0] else result[1]
    if kind == "append":
        return result.endswith(f"{argument},"), result
    return True, result


def _relevant(operations: Sequence[Operation]) -> list[Operation]:
    """The operations that the search needs, in the order of their calls."""
    kept = [operation for operation in operations if operation.returned is not None]
    seen: set[str] = set()
    for operation in kept:
        seen.update(texts_seen(operation.kind, operation.result))
    unknown = [operation for operation in operations if operation.returned is None and operation.kind != "get"]
    while unknown:
        needed = [o for o in unknown if (text := written_value(o.kind, o.argument)) is None or text in seen]
        if not needed:
            break
        kept += needed
        seen.update(operation.argument[0] for operation in needed if operation.kind == "cas" and operation.argument[0])
        unknown = [operation for operation in unknown if operation not in needed]
    kept.sort(key=lambda operation: operation.called)
    return kept


def _twins(operations: list[Operation]) -> list[int]:
    """For each operation the bits of the unknown ones that are the same and were called earlier."""
    earlier: dict[tuple[str, Any], int] = {}
    twins = []
    for index, operation in enumerate(operations):
        same = 0
        if operation.returned is None:
            name = (operation.kind, operation.argument)
            same = earlier.get(name, 0)
            earlier[name] = same | (1 << index)
        twins.append(same)
    return twins


def check(history: Sequence[Operation], initial: State = None) -> None:
    """Raise Unexplained unless the operations of one key (done or unknown; nothing refused) are linearizable."""
    operations = _relevant(history)
    returns = [operation.returned if operation.returned is not None else NEVER for operation in operations]
    twins = _twins(operations)
    needed = sum(1 << i for i, moment in enumerate(returns) if moment != NEVER)
    by_return = sorted((i for i, moment in enumerate(returns) if moment != NEVER), key=returns.__getitem__)
    count = len(operations)
    tried: set[tuple[int, State]] = set()
    stack: list[tuple[int, State, int, int]] = [
        (0, initial, 0, 0)
    ]  # taken, state, first not taken, rank of first return
    deepest, stuck = -1, 0
    while stack:
        taken, state, first, rank = stack.pop()
        if taken & needed == needed:
            return
        if (taken, state) in tried:
            continue
        tried.add((taken, state))
        if len(tried) > STATES_MAX:
            raise Unexplained(f"gave up after {STATES_MAX} states")
        while rank < len(by_return) and taken >> by_return[rank] & 1:
            rank += 1
        if rank > deepest:
            deepest, stuck = rank, by_return[rank]
        horizon = returns[by_return[rank]]
        while taken >> first & 1:
            first += 1
        candidates = []
        index = first
        while index < count and operations[index].called < horizon:
            if not taken >> index & 1 and taken & twins[index] == twins[index]:
                fits, after = step(operations[index], state)
                if fits and (after != state or returns[index] != NEVER):
                    candidates.append((returns[index], index, after))
            index += 1
        candidates.sort(key=lambda candidate: candidate[:2], reverse=True)
        for _, index, after in candidates:
            stack.append((taken | 1 << index, after, first, rank))
    around = [o for o in operations if abs(o.called - operations[stuck].called) < 1 << 20]
    lines = "\n    ".join(repr(o) for o in around[max(0, around.index(operations[stuck]) - 12) :][:24])
    raise Unexplained(f"no order explains {operations[stuck]!r}; around it:\n    {lines}")
