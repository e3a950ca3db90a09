"""What the core tells its driver to do, in order; the driver drains `Replica.out` after every input.

An instruction is a request for an effect in the world and carries everything that it needs. The driver decides nothing.
The order matters: what stands before a `Send` must have happened before the message leaves (save a bound on memory, all
of it is memory, so "happened" is a function call). Next on the path of the data: `messages`.
"""

import msgspec

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.replication.log import Entry
from kubegrid.replication.messages import Message
from kubegrid.replication.roles import Role

ANY_TOKEN = -1
"""The token of a write that is not conditional. Only with the rule `conditional_write` switched off."""


class Send(msgspec.Struct, frozen=True):
    """One message to one or more members: it is encoded once."""

    to: tuple[Member, ...]
    message: Message
    again: bool = False
    """It was sent before and may only be late: of no use while much of what was sent is still on its way there."""


class ReadConfiguration(msgspec.Struct, frozen=True):
    """Read the partition's configuration; `configuration_read` takes the answer. No answer is needed: it is asked again."""


class CompareAndSwap(msgspec.Struct, frozen=True):
    """Swap the configuration whose version is `token` for `proposed`; `cas_answered` takes the outcome.

    The same attempt may be issued again (R1); the proposal is then the same value, with the same proposer.
    """

    attempt: int
    token: int
    proposed: Configuration


class Apply(msgspec.Struct, frozen=True):
    """Committed entries: apply their effects to the store, in order."""

    entries: list[Entry]


class Revert(msgspec.Struct, frozen=True):
    """A deposed primary takes back what it executed ahead: newest first, `entry.undo` is what `append` was given."""

    entries: list[Entry]


class DropReplies(msgspec.Struct, frozen=True):
    """R15: replies that have not left will never leave; close their connections (outcome unknown)."""


class StreamSnapshot(msgspec.Struct, frozen=True):
    """Start cutting the store into slices for a joiner, from now on; hand each to `snapshot_slice`.

    Slices are cut between turns only, that is when every executed effect has been appended, and not more of them than
    `snapshot_window` says.
    """

    to: Member
    snapshot: int


class StopSnapshot(msgspec.Struct, frozen=True):
    """The joiner is gone or the tenure is over: cut no more slices. Unknown numbers are ignored."""

    to: Member
    snapshot: int


class ResetStore(msgspec.Struct, frozen=True):
    """Empty the store: a snapshot begins, or one that may hold unconfirmed effects is thrown away (R18)."""


class LoadSlice(msgspec.Struct, frozen=True):
    """A slice of a snapshot: load it over what is there."""

    payload: bytes


class RoleChanged(msgspec.Struct, frozen=True):
    """Something visible outside changed: the role, whether this member serves, or the configuration it knows."""

    role: Role
    serving: bool
    configuration: Configuration | None


class Note(msgspec.Struct, frozen=True):
    """A rare event, for the log and the counters. `kind` is one of a few words, `detail` is for people."""

    kind: str
    detail: str


Instruction = (
    Send
    | ReadConfiguration
    | CompareAndSwap
    | Apply
    | Revert
    | DropReplies
    | StreamSnapshot
    | StopSnapshot
    | ResetStore
    | LoadSlice
    | RoleChanged
    | Note
)
