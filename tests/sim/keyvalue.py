"""A store small enough to read at a glance, with the properties of the real one that replication relies on.

Effects are absolute (key, new value), so applying them twice, or over a slice of a snapshot that was cut later, changes
nothing; undo is (key, old value), taken back newest first. A snapshot is streamed in slices while writes go on, each
showing its keys as they are when it is cut. Next on the path: `machine` owns one of these.
"""

from typing import Any

import msgspec
from tests.sim.operations import KEYS, Operation, Value, execute

KEYS_PER_SLICE = 2
SLICES = tuple(KEYS[i : i + KEYS_PER_SLICE] for i in range(0, len(KEYS), KEYS_PER_SLICE))

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Store:
    """The keys of one member. Invariant: `effects` and `undo` describe exactly what the running turn changed."""

    def __init__(self) -> None:
        self.data: dict[str, Value] = {}
        self.effects: list[tuple[str, Value]] = []
        self.undo: list[tuple[str, Value]] = []

    def execute(self, operation: Operation) -> Any:
        key = operation.key
        value = self.data.get(key)
        result, new = execute(operation.kind, operation.argument, value)
        if new != value:
            self.effects.append((key, new))
            self.undo.append((key, value))
            self._put(key, new)
        return result

    def take_turn(self) -> tuple[list[tuple[str, Value]], list[tuple[str, Value]]]:
        effects, undo = self.effects, self.undo
        self.effects, self.undo = [], []
        return effects, undo

    def apply(self, effects: Any) -> None:
        for key, value in effects:
            self._put(key, value)

    def revert(self, undo: Any) -> None:
        for key, value in reversed(undo):
            self._put(key, value)

    def clear(self) -> None:
        self.data.clear()

    def cut(self, number: int) -> bytes:
        """Slice `number` of a snapshot, as of now."""
        return _encode([(key, self.data.get(key)) for key in SLICES[number]])

    def load(self, payload: bytes) -> None:
        self.apply(_decode(payload))

    def _put(self, key: str, value: Value) -> None:
        if value is None:
            self.data.pop(key, None)
        else:
            self.data[key] = value
