"""The replication protocol as a pure state machine. No clock, no socket, no task, no randomness.

`Replica` is one member's part in one partition. Its driver (the data pod, or the simulator) feeds it inputs with the time
and carries out the instructions that it finds in `out` after each. Start reading at `replica`.
"""

from kubegrid.replication.instructions import (
    ANY_TOKEN,
    Apply,
    CompareAndSwap,
    DropReplies,
    Instruction,
    LoadSlice,
    Note,
    ReadConfiguration,
    ResetStore,
    Revert,
    RoleChanged,
    Send,
    StopSnapshot,
    StreamSnapshot,
)
from kubegrid.replication.log import Entry
from kubegrid.replication.messages import URGENT, Message
from kubegrid.replication.replica import Replica
from kubegrid.replication.roles import CasOutcome, Gate, Role
from kubegrid.replication.rules import ALL, Rules

__all__ = [
    "ALL",
    "ANY_TOKEN",
    "URGENT",
    "Apply",
    "CasOutcome",
    "CompareAndSwap",
    "DropReplies",
    "Entry",
    "Gate",
    "Instruction",
    "LoadSlice",
    "Message",
    "Note",
    "ReadConfiguration",
    "Replica",
    "ResetStore",
    "Revert",
    "Role",
    "RoleChanged",
    "Rules",
    "Send",
    "StopSnapshot",
    "StreamSnapshot",
]
