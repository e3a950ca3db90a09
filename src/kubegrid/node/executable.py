"""A command made ready to run: the facts of the command table, flattened, and the function that does the work."""

import sys
from collections.abc import Callable
from typing import Any

from kubegrid.wire import resp
from kubegrid.wire.command_table import CommandInfo

_WHOLE_KEYSPACE = {"keys", "scan", "dbsize", "randomkey", "flushdb", "flushall"}
_IMMEDIATE = {"exec", "discard", "multi", "watch", "quit", "reset"}
"""Executed at once even while a transaction is open."""
_COUNTS_HITS = {"get", "getex", "getdel", "hget"}


class Executable:
    """One command or subcommand. Attributes only, read once per request."""

    __slots__ = (
        "arguments_max",
        "arguments_min",
        "counts_hits",
        "data",
        "denied_when_full",
        "first_key",
        "immediate",
        "info",
        "label",
        "name",
        "no_auth",
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
        self.first_key = info.first_key
        self.single_key = info.first_key == info.last_key
        self.no_auth = "no_auth" in info.flags
        self.write = "write" in info.flags
        self.reads_only = "readonly" in info.flags
        self.denied_when_full = "denyoom" in info.flags
        self.whole_keyspace = info.name in _WHOLE_KEYSPACE
        self.immediate = info.name in _IMMEDIATE
        self.counts_hits = info.name in _COUNTS_HITS
        self.subcommands: dict[bytes, Executable] | None = None
        self.data = None if run is not None else data
        if run is None:
            run = _not_here
        self.run = run


def _not_here(session: Any, args: list[bytes]) -> bytes:
    """A container called without a subcommand, where the table's arity did not refuse that already."""
    return resp.error(f"ERR wrong number of arguments for '{args[0].decode('latin-1').lower()}' command")
