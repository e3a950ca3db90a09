"""A store small enough to read at a glance, with the properties of the real one that replication relies on.

Effects are absolute (key, new value), so applying them twice, or over a slice of a snapshot that was cut later, changes
nothing; undo is (key, old value), taken back newest first. A snapshot is streamed in slices while writes go on, each
showing its keys as they are when it is cut. The replies that R22 keeps are the real store's, under a key of their own.
Next on the path: `machine` owns one of these.
"""

from typing import Any

import msgspec
from tests.sim.operations import KEYS, Operation, Value, execute

from kubegrid.store.requests import NEW, Refusal, Requests

KEYS_PER_SLICE = 2
REQUESTS = "@requests"
"""The key of effects that concern the replies which are kept for R22."""
SLICES = tuple(KEYS[i : i + KEYS_PER_SLICE] for i in range(0, len(KEYS), KEYS_PER_SLICE))

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Store:
    """The keys of one member. Invariant: `effects` and `undo` describe exactly what the running turn changed."""

    def __init__(self) -> None:
        self.data: dict[str, Value] = {}
        self.effects: list[tuple[str, Value]] = []
        self.undo: list[tuple[str, Value]] = []
        self.requests = Requests(self._record)

    def _record(self, code: int, args: list[Any], undo_code: int, undo_args: list[Any]) -> None:
        self.effects.append((REQUESTS, [code, args]))
        self.undo.append((REQUESTS, [undo_code, undo_args]))

    def execute_once(self, operation: Operation, now_ms: int) -> "Any | Refusal":
        """R22: the answer, executed for unless it was before; or why it can't be."""
        assert operation.request is not None
        reply = self.requests.begin(*operation.request, now_ms)
        if isinstance(reply, Refusal):
            return reply
        if reply is not NEW:
            assert isinstance(reply, bytes)
            kept = _decode(reply)
            return tuple(kept) if isinstance(kept, list) else kept
        result = self.execute(operation)
        self.requests.finish(*operation.request, now_ms, _encode(result))
        return result

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
            if key == REQUESTS:
                self.requests.apply(*value)
            else:
                self._put(key, value)

    def revert(self, undo: Any) -> None:
        for key, value in reversed(undo):
            if key == REQUESTS:
                self.requests.revert(*value)
            else:
                self._put(key, value)

    def clear(self) -> None:
        self.data.clear()
        self.requests.clear()

    def cut(self, number: int) -> bytes:
        """Slice `number` of a snapshot, as of now."""
        effects: list[tuple[str, Any]] = [(key, self.data.get(key)) for key in SLICES[number]]
        if number == len(SLICES) - 1:
            effects += [(REQUESTS, effect) for effect, _ in self.requests.cut()]
        return _encode(effects)

    def replies(self) -> dict[bytes, tuple[int, dict[int, bytes]]]:
        """What is kept for R22, to compare."""
        return {client: (known.acked, known.replies) for client, known in self.requests.clients.items()}

    def load(self, payload: bytes) -> None:
        self.apply(_decode(payload))

    def _put(self, key: str, value: Value) -> None:
        if value is None:
            self.data.pop(key, None)
        else:
            self.data[key] = value
