"""A keyspace of all slots, and a way to call commands, for the store's tests."""

from collections.abc import Callable
from random import Random

import pytest

from kubegrid.base.settings import StoreSettings
from kubegrid.store import COMMANDS, Keyspace

Call = Callable[..., bytes]


@pytest.fixture
def keyspace() -> Keyspace:
    """A primary at the time 1,000,000 ms whose slices are 100 units."""
    made = Keyspace(StoreSettings(slice_units=100, slice_bytes=4000), 0, 16383, random=Random(7).randrange)
    made.primary = True
    made.now_ms = 1_000_000
    return made


@pytest.fixture
def call(keyspace: Keyspace) -> Call:
    """Run a command to its end; `call.slices` is how many slices the last one took."""

    def run(*args: bytes) -> bytes:
        reply = COMMANDS[args[0]](keyspace, list(args), False)
        run.slices = 1  # type: ignore[attr-defined]
        if isinstance(reply, bytes):
            return reply
        while True:
            try:
                next(reply)
            except StopIteration as done:
                return done.value
            run.slices += 1  # type: ignore[attr-defined]

    return run
