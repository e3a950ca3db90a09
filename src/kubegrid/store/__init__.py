"""One partition's memory: strings and hashes with expiry, what each turn changed, and the data commands.

No I/O, no clock, no randomness: the time of the turn and a source of random numbers are given.
"""

from kubegrid.store.commands import COMMANDS, DENY_OOM, Command, Reply
from kubegrid.store.commands_keys import memory_usage
from kubegrid.store.compaction import Compaction
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.memory import KEY_OVERHEAD_BYTES
from kubegrid.store.slots import slot_of

__all__ = [
    "COMMANDS",
    "DENY_OOM",
    "KEY_OVERHEAD_BYTES",
    "Command",
    "Compaction",
    "Keyspace",
    "Reply",
    "memory_usage",
    "slot_of",
]
