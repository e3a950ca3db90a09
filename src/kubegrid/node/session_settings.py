"""CONFIG: the settings of this member under the names that Redis gives them.

Only what has a true value here is shown, and only what really takes effect can be set: names that tools ask for at
their start (`save`, `appendonly`) are answered with what is the case. CONFIG SET is all or nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from kubegrid.node import open_files
from kubegrid.node.context import NodeContext, Session
from kubegrid.node.slow_log import ENTRIES_MAX
from kubegrid.store.glob import matcher
from kubegrid.store.numbers import INT64_MAX, parse_int64
from kubegrid.wire import resp

_HELP = (
    "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GET <pattern> [<pattern> ...]",
    "    Settings whose names match, with their values.",
    "SET <directive> <value> [<directive> <value> ...]",
    "    Change settings of the running server.",
    "REWRITE",
    "    Refused: there is no configuration file.",
    "RESETSTAT",
    "    Set the counters of INFO back to zero.",
    "HELP",
    "    This text.",
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting: how it is read, and for those that can be set, how a text is checked and taken over."""

    read: Callable[[NodeContext], object]
    check: Callable[[bytes], str] | None = None
    """Why a text is no value for it; empty when it is one. None: only the value that it has is one."""
    change: Callable[[NodeContext, bytes], None] = lambda node, text: None
    immutable: bool = False
    """Whether Redis, too, refuses to set it, whatever the value."""

    def complaint(self, node: NodeContext, text: bytes) -> str:
        if self.check is not None:
            return self.check(text)
        value = str(self.read(node))
        return "" if text.lower() == value.encode() else f"this server knows '{value}' only"


def _number_between(low: int, high: int) -> Callable[[bytes], str]:
    def check(text: bytes) -> str:
        number = parse_int64(text)
        if number is None:
            return "argument couldn't be parsed into an integer"
        return "" if low <= number <= high else f"argument must be between {low} and {high} inclusive"

    return check


def _one_of(*choices: bytes) -> Callable[[bytes], str]:
    def check(text: bytes) -> str:
        if text.lower() in choices:
            return ""
        return "argument(s) must be one of the following: " + ", ".join(choice.decode() for choice in choices)

    return check


def _check_clients_max(text: bytes) -> str:
    wrong = _number_between(1, (1 << 32) - 1)(text)
    if wrong:
        return wrong
    possible = open_files.clients_possible(int(text))
    if possible == int(text):
        return ""
    return f"The operating system is not able to handle the specified number of clients, try with {possible}"


def _change_clients_max(node: NodeContext, text: bytes) -> None:
    open_files.make_room(int(text))
    node.client_settings = msgspec.structs.replace(node.client_settings, clients_max=int(text))


def _change_keepalive(node: NodeContext, text: bytes) -> None:
    """Of clients that connect from now on."""
    node.client_settings = msgspec.structs.replace(node.client_settings, tcp_keepalive_s=int(text))


def _change_timeout(node: NodeContext, text: bytes) -> None:
    node.client_settings = msgspec.structs.replace(node.client_settings, idle_timeout_s=int(text))


def _stays(valid: Callable[[bytes], str], value: bytes) -> Callable[[bytes], str]:
    """For what Redis can change and this server cannot: the value it has is accepted, as tools that make sure expect."""

    def check(text: bytes) -> str:
        return valid(text) or ("" if text.lower() == value else f"this server knows '{value.decode()}' only")

    return check


def _yes_or_no(text: bytes) -> str:
    return "" if text.lower() in (b"yes", b"no") else "argument must be 'yes' or 'no'"


def _anything(text: bytes) -> str:
    return ""


_MEMORY_UNITS = {b"": 1, b"b": 1, b"k": 1000, b"kb": 1 << 10, b"m": 10**6, b"mb": 1 << 20, b"g": 10**9, b"gb": 1 << 30}


def _memory_bytes(text: bytes) -> int | None:
    """Redis' way of writing an amount of memory: `100mb` is 2^20 times 100, `100m` is 100 million."""
    digits = text.rstrip(b"bBkKmMgG")
    number, unit = parse_int64(digits), _MEMORY_UNITS.get(text[len(digits) :].lower())
    return None if number is None or number < 0 or unit is None else number * unit


def _check_memory(text: bytes) -> str:
    return "argument must be a memory value" if _memory_bytes(text) is None else ""


def _change_memory(node: NodeContext, text: bytes) -> None:
    """0 takes the choice back; the member's own limit stays in force whatever is chosen."""
    node.keyspace.set_limit(node.keyspace.member_limit_bytes, _memory_bytes(text) or None)


def _change_listpack_fields(node: NodeContext, text: bytes) -> None:
    node.keyspace.encodings.listpack_fields_max = int(text)


def _change_listpack_bytes(node: NodeContext, text: bytes) -> None:
    node.keyspace.encodings.listpack_bytes_max = _memory_bytes(text) or 0


_LISTPACK_ENTRIES = Parameter(
    lambda node: node.keyspace.encodings.listpack_fields_max, _number_between(0, INT64_MAX), _change_listpack_fields
)
_LISTPACK_VALUE = Parameter(
    lambda node: node.keyspace.encodings.listpack_bytes_max, _check_memory, _change_listpack_bytes
)
_PARAMETERS: dict[str, Parameter] = {
    "appendonly": Parameter(lambda node: "no", _stays(_yes_or_no, b"no")),
    "client-query-buffer-limit": Parameter(lambda node: node.client_settings.query_bytes_max),
    "cluster-enabled": Parameter(lambda node: "yes", immutable=True),
    "cluster-require-full-coverage": Parameter(lambda node: "no"),
    "cluster-allow-reads-when-down": Parameter(lambda node: "no"),
    "databases": Parameter(lambda node: 1, immutable=True),
    "hash-max-listpack-entries": _LISTPACK_ENTRIES,
    "hash-max-listpack-value": _LISTPACK_VALUE,
    "hash-max-ziplist-entries": _LISTPACK_ENTRIES,
    "hash-max-ziplist-value": _LISTPACK_VALUE,
    "latency-monitor-threshold": Parameter(
        lambda node: node.slow_log.latency_ms,
        _number_between(0, INT64_MAX),
        lambda node, text: node.slow_log.set_latency(int(text)),
    ),
    "maxclients": Parameter(lambda node: node.client_settings.clients_max, _check_clients_max, _change_clients_max),
    "maxmemory": Parameter(lambda node: node.keyspace.limit_bytes, _check_memory, _change_memory),
    "maxmemory-policy": Parameter(lambda node: "noeviction", _one_of(b"noeviction")),
    "notify-keyspace-events": Parameter(lambda node: "", _stays(_anything, b"")),
    "port": Parameter(lambda node: node.topology.me.port),
    "proto-max-bulk-len": Parameter(lambda node: node.store_settings.value_bytes_max),
    "replica-read-only": Parameter(lambda node: "yes"),
    "replica-serve-stale-data": Parameter(lambda node: "yes"),
    "save": Parameter(lambda node: "", _stays(_anything, b"")),
    "slowlog-log-slower-than": Parameter(
        lambda node: node.slow_log.slower_than_us,
        _number_between(-1, INT64_MAX),
        lambda node, text: node.log_slower_than(int(text)),
    ),
    "slowlog-max-len": Parameter(
        lambda node: node.slow_log.length_max,
        _number_between(0, ENTRIES_MAX),
        lambda node, text: node.slow_log.set_length_max(int(text)),
    ),
    "tcp-keepalive": Parameter(
        lambda node: node.client_settings.tcp_keepalive_s, _number_between(0, (1 << 31) - 1), _change_keepalive
    ),
    "timeout": Parameter(
        lambda node: node.client_settings.idle_timeout_s, _number_between(0, (1 << 31) - 1), _change_timeout
    ),
}


def _get(session: Session, args: list[bytes]) -> bytes:
    found: dict[str, bytes] = {}
    for pattern in args[2:]:
        exact = pattern.lower().decode("latin-1")
        if exact in _PARAMETERS:
            found.setdefault(exact, pattern)  # a plain name comes back as it was spelled
            continue
        match = matcher(pattern.lower())
        for name in _PARAMETERS:
            if match is None or match(name.encode()):
                found.setdefault(name, name.encode())
    parts: list[bytes] = []
    for name, spelling in found.items():
        parts += (resp.bulk(spelling), resp.bulk(str(_PARAMETERS[name].read(session.node)).encode()))
    return resp.map_of(parts, session.resp == 3)


def _set(session: Session, args: list[bytes]) -> bytes:
    if len(args) % 2:
        return resp.ERR_SYNTAX
    changes: dict[str, bytes] = {}
    for raw, value in zip(args[2::2], args[3::2], strict=True):
        name = raw.lower().decode("latin-1")
        if name not in _PARAMETERS:
            return resp.error(b"ERR Unknown option or number of arguments for CONFIG SET - '%b'" % raw)
        if _PARAMETERS[name].immutable:
            return _failed(name, "can't set immutable config")
        if name in changes:
            return _failed(name, "duplicate parameter")
        changes[name] = value
    for name, value in changes.items():
        complaint = _PARAMETERS[name].complaint(session.node, value)
        if complaint:
            return _failed(name, complaint)
    for name, value in changes.items():
        _PARAMETERS[name].change(session.node, value)
    return resp.OK


def _failed(name: str, why: str) -> bytes:
    return resp.error(f"ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")


def _resetstat(session: Session, args: list[bytes]) -> bytes:
    session.node.reset_statistics()
    return resp.OK


def _rewrite(session: Session, args: list[bytes]) -> bytes:
    return resp.error("ERR The server is running without a config file")


def _help(session: Session, args: list[bytes]) -> bytes:
    return resp.lines(_HELP)


HANDLERS = {
    "config|get": _get,
    "config|set": _set,
    "config|resetstat": _resetstat,
    "config|rewrite": _rewrite,
    "config|help": _help,
}
