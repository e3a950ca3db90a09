"""What members of a partition say to each other.

Every message carries the sender's configuration (R4): a receiver adopts a higher epoch and refuses a lower one (R10).
`tenure` is the epoch in which the primary's unbroken time began: with the sender it names one log that only grows, so
that whatever an `Append` says about it stays true however late it comes. `stream` numbers the primary's attempts to bring
one member's log in line with its own; only acknowledgements of the current one count, because a member that began a
snapshot after it acknowledged something no longer has it (R6, R18).

Messages are arrays with a number as tag, so that `msgspec.msgpack.Encoder()` and `Decoder(Message)` are the wire format.
"""

from typing import Any

import msgspec

from kubegrid.base.configuration import Configuration

WireEntry = tuple[int, int, int, Any]
"""Epoch, sequence number, size in bytes, effects."""


class Beacon(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Primary to all: I am alive. `sent_ms` is of the primary's clock and comes back in the acknowledgement (R8).

    `echoes`: for each in-sync member, in the configuration's order, the newest stamp heard from it; empty while the primary
    may not answer. See `freshness`.
    """

    configuration: Configuration
    tenure: int
    sent_ms: int
    commit: int
    echoes: tuple[int, ...] = ()


class BeaconAck(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """I will not promote myself for a grace from now; any tenure of mine before this epoch is over (R8, R12).

    `preferred`: the sender is the partition's preferred primary and ready to be it (fail-back, R16). `leaving`: it wants to
    leave, so nothing is handed to it unasked. `stamp` is the sender's clock, and comes back as an echo.
    """

    configuration: Configuration
    tenure: int
    sent_ms: int
    preferred: bool
    leaving: bool = False
    stamp: int = 0


class Match(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Primary to one member: tell me the shape of your log (R14)."""

    configuration: Configuration
    tenure: int
    stream: int


class LogShape(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The answer: the position before the oldest entry kept, the runs of equal epoch `(epoch, last seq)`, the commit point.

    `usable` is false when the store behind the log is unfinished (a snapshot that was broken off).
    """

    configuration: Configuration
    tenure: int
    stream: int
    base_epoch: int
    base_seq: int
    runs: tuple[tuple[int, int], ...]
    commit: int
    usable: bool


class Matched(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """Our logs agree up to `(epoch, seq)`: drop what you have behind it."""

    configuration: Configuration
    tenure: int
    stream: int
    epoch: int
    seq: int


class Append(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """In this tenure's log these entries follow number `after`; everything up to `commit` is committed."""

    configuration: Configuration
    tenure: int
    after: int
    commit: int
    entries: list[WireEntry]


class Ack(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """My log agrees with this tenure's up to `seq`."""

    configuration: Configuration
    tenure: int
    stream: int
    seq: int


class SnapshotBegin(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """Throw your data away: a snapshot comes, and then the log after `(epoch, seq)`, where the snapshot began (R18)."""

    configuration: Configuration
    tenure: int
    stream: int
    epoch: int
    seq: int


class SnapshotSlice(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """Slice number `index` (from 0). With the last one, `end_seq` is the number up to which the slices may hold effects."""

    configuration: Configuration
    tenure: int
    stream: int
    index: int
    payload: bytes
    last: bool
    end_seq: int


class SnapshotAck(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """I have loaded this many slices, in order; 0 acknowledges the beginning."""

    configuration: Configuration
    tenure: int
    stream: int
    loaded: int


class News(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """What I know (R4): the answer to a frame of a lower epoch, and a word to a member that was removed."""

    configuration: Configuration


class Stopped(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """I was primary, I know this configuration, and I answer nothing any more (R12, R16)."""

    configuration: Configuration


class JoinRequest(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """Let me in (R2)."""

    configuration: Configuration


class LeaveRequest(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """Remove me as soon as you can spare me (R16)."""

    configuration: Configuration


Message = (
    Beacon
    | BeaconAck
    | Match
    | LogShape
    | Matched
    | Append
    | Ack
    | SnapshotBegin
    | SnapshotSlice
    | SnapshotAck
    | News
    | Stopped
    | JoinRequest
    | LeaveRequest
)

URGENT = (Beacon, BeaconAck)
"""What may overtake other messages on its way: leases hang on it, and it says nothing that needs those before it. A commit
point or a configuration that comes early is like one that comes while the others are lost: the first is followed as far
as the log goes, and entries of a lower epoch are refused and sent again (R4, R10)."""

FROM_PRIMARY = (
    Beacon,
    Match,
    Matched,
    Append,
    SnapshotBegin,
    SnapshotSlice,
)
"""What only a primary says: refused when its epoch is lower than ours (R10)."""

ANSWERS = (BeaconAck, LogShape, Ack, SnapshotAck, News)
"""What is said in reply: it is not answered in turn."""
