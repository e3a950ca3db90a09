"""Commands that may take long: generators whose first slice runs at once, so that a short one answers immediately."""

from collections.abc import Generator

from kubegrid.store.keyspace import Keyspace

Task = Generator[None, None, bytes]


def run(task: Task) -> bytes | Task:
    """The reply if `task` ends within its first slice, else a generator for the rest."""
    try:
        next(task)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    return _rest(task)


def _rest(task: Task) -> Task:
    yield
    return (yield from task)


class Budget:
    """Counts units of work, so that a task knows when its slice is over."""

    __slots__ = ("left", "size")

    def __init__(self, keyspace: Keyspace) -> None:
        self.size = self.left = keyspace.settings.slice_units

    def spend(self, units: int) -> bool:
        """Whether the slice is over (and the next begins)."""
        self.left -= units
        if self.left > 0:
            return False
        self.left = self.size
        return True
