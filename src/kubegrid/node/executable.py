"""A command made ready to run: the facts of the command table, flattened, and the function that does the work."""

import sys
from collections.abc import Callable
from typing import Any

from kubegrid.node import routing
from kubegrid.wire import resp
from kubegrid.wire.command_table import CommandInfo

_WHOLE_KEYSPACE = {"keys", "scan", "dbsize", "randomkey", "flushdb", "flushall"}
_PARTITION = {"kg.write", "kg.rewrite", "kg.find", "kg.count", "kg.take"}
"""Answered for the partition, though no key is named: their slot is any of the partition's."""
_SEVERAL_SLOTS = {"kg.read"}
"""Their keys may be of several slots of this partition."""
_IMMEDIATE = {"exec", "discard", "multi", "watch", "quit", "reset"}
"""Executed at once even while a transaction is open."""
_NOT_QUEUED = {"kg.once", "kg.create", "kg.drop", "kg.truncate", "kg.alter", "kg.endpoints"}
"""They wait for others, or answer for a whole log entry: not a part of a transaction."""
_CHECKS_ITSELF = {"kg.once"}
"""Its inner command is checked instead: what was executed already has its reply even where nothing may be written now."""
_COUNTS_HITS = {"get", "getex", "getdel", "getset", "json.get"}
"""Their replies say whether the key was there."""
_LOOKS_UP = {
    *(
        "mget",
        "strlen",
        "getrange",
        "substr",
        "lcs",
        "exists",
        "type",
        "touch",
        "ttl",
        "pttl",
        "expiretime",
        "pexpiretime",
    ),
    *("hget", "hmget", "hgetall", "hkeys", "hvals", "hlen", "hexists", "hstrlen", "hrandfield", "hscan"),
    *("object|encoding", "object|refcount", "object|idletime", "object|freq"),
}
"""Their keys are looked up afterwards, to count those that were there."""
_MAY_LOOK_UP_FROM = {"copy": 3, "set": 4}
"""With so many words they may read some of their keys; which, `lookups` sees from the request."""
_NOT_LOGGED = {"exec", "kg.once"}
"""Their time is that of the commands in them, which get into SLOWLOG themselves."""
_SHORT = {"set", "setex", "psetex", "del", "mset"}
"""Not `fast` to Redis, which may have to free what was there; here that is done in slices, later."""
_MANY_WORDS = 8
"""From which on a command counts as one that may take long, though each of its keys or fields takes little."""


class Executable:
    """One command or subcommand. Attributes only, read once per request."""

    __slots__ = (
        "admit",
        "arguments_max",
        "arguments_min",
        "clocked_from",
        "counts_hits",
        "data",
        "denied_when_full",
        "fast",
        "first_key",
        "held_back",
        "immediate",
        "info",
        "label",
        "logged",
        "looks_up",
        "may_look_up_from",
        "name",
        "no_auth",
        "not_queued",
        "partition",
        "reads_only",
        "run",
        "single_key",
        "subcommands",
        "whole_keyspace",
        "write",
    )

    def __init__(self, info: CommandInfo, run: Callable[..., Any] | None, data: Callable[..., Any] | None) -> None:
        """`run(session, args)` for commands of the connection, `data(keyspace, args, resp3)` for those of the store."""
        self.info = info
        self.label = info.name
        self.name = info.name.encode()
        self.arguments_min = abs(info.arity)
        self.arguments_max = info.arity if info.arity > 0 else sys.maxsize
        self.first_key = 0 if info.name in _SEVERAL_SLOTS else info.first_key
        self.single_key = info.first_key == info.last_key
        self.no_auth = "no_auth" in info.flags
        self.fast = "fast" in info.flags
        self.logged = info.name not in _NOT_LOGGED
        self.clocked_from = _MANY_WORDS if self.fast or not self.logged or info.name in _SHORT else 0
        """Requests with so many words are measured each time; shorter ones, one in sixteen (`slow_log`)."""
        self.write = "write" in info.flags and info.name not in _CHECKS_ITSELF
        self.held_back = "write" in info.flags
        """Waits while writes are paused, its inner command with it."""
        self.reads_only = "write" not in info.flags
        self.denied_when_full = "denyoom" in info.flags
        self.whole_keyspace = info.name in _WHOLE_KEYSPACE
        self.partition = info.name in _PARTITION
        self.immediate = info.name in _IMMEDIATE
        self.not_queued = info.name in _NOT_QUEUED
        self.counts_hits = info.name in _COUNTS_HITS
        self.looks_up = info.name in _LOOKS_UP
        self.may_look_up_from = _MAY_LOOK_UP_FROM.get(info.name, sys.maxsize)
        self.admit: Callable[..., bytes | None] | None = None
        """Why a request whose slot no key tells may not run here: `admit(session, args, reads only)`."""
        if self.whole_keyspace:
            self.admit = routing.refuse_everywhere
        elif self.partition:
            self.admit = routing.refuse_partition
        elif info.name in _SEVERAL_SLOTS:
            self.admit = routing.refuse_records
        self.subcommands: dict[bytes, Executable] | None = None
        self.data = None if run is not None else data
        if run is None:
            run = _not_here
        self.run = run


def _not_here(session: Any, args: list[bytes]) -> bytes:
    """A container called without a subcommand, where the table's arity did not refuse that already."""
    return resp.error(f"ERR wrong number of arguments for '{args[0].decode('latin-1').lower()}' command")
