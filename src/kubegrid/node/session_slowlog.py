"""SLOWLOG: the commands that took long, newest first, as Redis answers them. They are kept in `slow_log`."""

from itertools import islice

from kubegrid.node.context import Session
from kubegrid.node.slow_log import Entry
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp
from kubegrid.wire.command_table import wrong_count

SHOWN = 10
"""Entries that GET answers when it is not told how many."""

_HELP = (
    "SLOWLOG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET [<count>]",
    "    The newest slow commands (10 of them, -1: all): number, Unix time in seconds, microseconds,",
    "    words of the request, address of the client, its name.",
    "LEN",
    "    How many there are.",
    "RESET",
    "    Forget them.",
    "HELP",
    "    This text.",
)


def _get(session: Session, args: list[bytes]) -> bytes:
    entries = session.node.slow_log.entries
    count = SHOWN
    if len(args) > 3:
        return wrong_count(args)
    if len(args) == 3:
        number = parse_int64(args[2])
        if number is None or number < -1:
            return resp.error("ERR count should be greater than or equal to -1")
        count = len(entries) if number == -1 else number
    return resp.array([_entry(entry) for entry in islice(entries, min(count, len(entries)))])


def _entry(entry: Entry) -> bytes:
    return resp.array(
        [
            resp.integer(entry.number),
            resp.integer(entry.at_s),
            resp.integer(entry.took_us),
            resp.array_of_bulks(entry.words),
            resp.bulk(entry.peer.encode()),
            resp.bulk(entry.name),
        ]
    )


def _len(session: Session, args: list[bytes]) -> bytes:
    return resp.integer(len(session.node.slow_log.entries))


def _reset(session: Session, args: list[bytes]) -> bytes:
    session.node.slow_log.reset()
    return resp.OK


def _help(session: Session, args: list[bytes]) -> bytes:
    return resp.lines(_HELP)


HANDLERS = {"slowlog|get": _get, "slowlog|len": _len, "slowlog|reset": _reset, "slowlog|help": _help}
