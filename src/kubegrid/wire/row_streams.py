"""Streams of rows to the primary of one partition: what its sender and the data pod agree on beside the Arrow batches.

A stream is one DoPut of Arrow Flight to the path `(ROWS, table, mode, number of the schema)`. Beside each batch travels its
request id; each is answered in order with its number and the reply of KG.WRITE: an array, or an error, two of which are known
only here.
"""

from typing import NamedTuple

import msgspec

ROWS = "rows"
"""First word of the path."""
UNKNOWN = "UNKNOWN"
"""Begins the answer to a batch that was executed, or may have been, and will not be confirmed: send it again with the same id."""
SPLIT = "SPLIT"
"""Begins the answer to a batch that is too large to be executed at once: nothing was done, send its parts with new ids."""


class Identity(NamedTuple):
    """The request id of a batch, as in `KG.ONCE client seq acked`."""

    client: bytes
    seq: int
    acked: int


_encode = msgspec.msgpack.Encoder().encode
_identity = msgspec.msgpack.Decoder(tuple[bytes, int, int]).decode
_answer = msgspec.msgpack.Decoder(tuple[int, bytes]).decode


def encode_identity(identity: Identity) -> bytes:
    """For the metadata of a batch."""
    return _encode(tuple(identity))


def decode_identity(data: bytes) -> Identity:
    """Raises msgspec.DecodeError, ValidationError."""
    return Identity(*_identity(data))


def encode_answer(seq: int, reply: bytes) -> bytes:
    """For the metadata of an answer."""
    return _encode((seq, reply))


def decode_answer(data: bytes) -> tuple[int, bytes]:
    """The number of the batch and the reply. Raises msgspec.DecodeError, ValidationError."""
    return _answer(data)
