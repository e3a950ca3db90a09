"""The command table as clients see it: COMMAND, COMMAND INFO and COMMAND DOCS, encoded from the facts.

Clients route by these (first key, last key, step; the tips say how to spread a command over all members).
"""

from functools import cache

from kubegrid.wire import resp
from kubegrid.wire.command_arguments import Argument, arguments
from kubegrid.wire.command_table import COMMANDS, CommandInfo, KeySpec


def info(command: CommandInfo, resp3: bool) -> bytes:
    """The ten fields of COMMAND INFO."""
    return resp.array(
        [
            resp.bulk(command.name.encode()),
            resp.integer(command.arity),
            resp.set_of([resp.simple(flag) for flag in command.flags], resp3),
            resp.integer(command.first_key),
            resp.integer(command.last_key),
            resp.integer(command.key_step),
            resp.set_of([resp.simple("@" + category) for category in command.categories], resp3),
            resp.set_of([_text(tip) for tip in command.tips], resp3),
            resp.set_of([_key_spec(spec, resp3) for spec in command.key_specs], resp3),
            resp.set_of([info(sub, resp3) for sub in command.subcommands.values()], resp3),
        ]
    )


@cache
def all_info(resp3: bool) -> bytes:
    """COMMAND: what clients ask for when they start, so it is encoded only once."""
    return resp.array([info(command, resp3) for command in COMMANDS.values()])


def docs(command: CommandInfo, resp3: bool) -> bytes:
    """What COMMAND DOCS says of one command, its subcommands included."""
    parts = [
        _text("summary"),
        _text(command.summary),
        _text("since"),
        _text(command.since),
        _text("group"),
        _text(command.group),
        _text("complexity"),
        _text(command.complexity),
    ]
    if command.deprecated_since:
        parts += [
            _text("doc_flags"),
            resp.set_of([resp.simple("deprecated")], resp3),
            _text("deprecated_since"),
            _text(command.deprecated_since),
            _text("replaced_by"),
            _text(command.replaced_by),
        ]
    described = arguments(command.name)
    if described:
        parts += [_text("arguments"), _arguments(described, resp3)]
    if command.subcommands:
        parts += [_text("subcommands"), docs_of(list(command.subcommands.values()), resp3)]
    return resp.map_of(parts, resp3)


def _arguments(described: tuple[Argument, ...], resp3: bool) -> bytes:
    return resp.array([_argument(argument, resp3) for argument in described])


def _argument(argument: Argument, resp3: bool) -> bytes:
    parts = [_text("name"), _text(argument.name), _text("type"), _text(argument.type)]
    if argument.key_spec_index >= 0:
        parts += (_text("key_spec_index"), resp.integer(argument.key_spec_index))
    for name in ("token", "since", "deprecated_since"):
        text = getattr(argument, name)
        if text:
            parts += (_text(name), _text(text))
    if argument.flags:
        parts += (_text("flags"), resp.set_of([resp.simple(flag) for flag in argument.flags], resp3))
    if argument.parts:
        parts += (_text("arguments"), _arguments(argument.parts, resp3))
    return resp.map_of(parts, resp3)


def docs_of(commands: list[CommandInfo], resp3: bool) -> bytes:
    """A map from names to what COMMAND DOCS says of them."""
    parts: list[bytes] = []
    for command in commands:
        parts += (_text(command.name), docs(command, resp3))
    return resp.map_of(parts, resp3)


@cache
def all_docs(resp3: bool) -> bytes:
    return docs_of(list(COMMANDS.values()), resp3)


def key_flags(command: CommandInfo, args: list[bytes], resp3: bool) -> bytes:
    """COMMAND GETKEYSANDFLAGS: each key of the request with the flags of its use."""
    parts: list[bytes] = []
    for spec in command.key_specs:
        last = spec.index + spec.last if spec.last >= 0 else len(args) + spec.last
        for key in args[spec.index : last + 1 : spec.step]:
            flags = [resp.simple(flag) for flag in _flags_in_use(command, spec, args)]
            parts.append(resp.array([resp.bulk(key), resp.set_of(flags, resp3)]))
    return resp.array(parts)


def _flags_in_use(command: CommandInfo, spec: KeySpec, args: list[bytes]) -> tuple[str, ...]:
    """SET reads the old value only with its GET option; its specification holds both cases."""
    if command.name != "set":
        return spec.flags
    return ("RW", "access", "update") if any(word.upper() == b"GET" for word in args[3:]) else ("OW", "update")


def _key_spec(spec: KeySpec, resp3: bool) -> bytes:
    begin = resp.map_of([_text("index"), resp.integer(spec.index)], resp3)
    find = resp.map_of(
        [
            _text("lastkey"),
            resp.integer(spec.last),
            _text("keystep"),
            resp.integer(spec.step),
            _text("limit"),
            resp.integer(spec.limit),
        ],
        resp3,
    )
    return resp.map_of(
        [
            _text("flags"),
            resp.set_of([resp.simple(flag) for flag in spec.flags], resp3),
            _text("begin_search"),
            resp.map_of([_text("type"), _text("index"), _text("spec"), begin], resp3),
            _text("find_keys"),
            resp.map_of([_text("type"), _text("range"), _text("spec"), find], resp3),
        ],
        resp3,
    )


def _text(text: str) -> bytes:
    return resp.bulk(text.encode())
