"""The bytes of replication messages: one msgpack array per message, tagged, read back into typed structures.

The messages themselves belong to `replication`, which lies above this package; so the codec takes the union type as an
argument. Effects inside them are opaque here (lists, bytes and integers). What arrives from the network is checked by
msgspec against the types while it is decoded: a malformed message is an error of its sender, never of ours.

Not here: framing and the proof of who sent it (`transport`). Next on the path of the data: `node.peers`.
"""

from typing import Any, Generic, TypeVar

import msgspec

M = TypeVar("M")


class MalformedMessage(ValueError):
    """A frame of a peer that is no replication message. Nothing was changed; the link should be closed."""


class MessageCodec(Generic[M]):
    """Encodes and decodes the messages of one tagged union type."""

    def __init__(self, messages: Any) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(messages)
        self.encode = self._encoder.encode

    def decode(self, payload: bytes) -> M:
        """The message in `payload`. Raises MalformedMessage."""
        try:
            return self._decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MalformedMessage(f"not a replication message ({len(payload)} bytes): {error}") from error
