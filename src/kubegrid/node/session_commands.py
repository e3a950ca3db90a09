"""COMMAND and its subcommands: the command table, asked by clients."""

from kubegrid.node.context import Session
from kubegrid.store.glob import matcher
from kubegrid.wire import command_replies, command_table, resp
from kubegrid.wire.command_table import COMMANDS, CommandInfo

_HELP = (
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    What COMMAND INFO says of every command.",
    "COUNT",
    "    How many commands there are.",
    "DOCS [<command-name> ...]",
    "    What the commands are for; without a name, all of them.",
    "GETKEYS <full-command>",
    "    The keys in a command.",
    "GETKEYSANDFLAGS <full-command>",
    "    The keys in a command and how it uses each.",
    "INFO [<command-name> ...]",
    "    Arity, flags, key positions and categories; without a name, of all commands.",
    "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
    "    Names of commands.",
    "HELP",
    "    This text.",
)


def _command(session: Session, args: list[bytes]) -> bytes:
    return command_replies.all_info(session.resp == 3)


def _count(session: Session, args: list[bytes]) -> bytes:
    return resp.integer(len(COMMANDS))


def _info(session: Session, args: list[bytes]) -> bytes:
    resp3 = session.resp == 3
    if len(args) == 2:
        return command_replies.all_info(resp3)
    found = [command_table.find(name) for name in args[2:]]
    return resp.array([resp.null(resp3) if info is None else command_replies.info(info, resp3) for info in found])


def _docs(session: Session, args: list[bytes]) -> bytes:
    if len(args) == 2:
        return command_replies.all_docs(session.resp == 3)
    found = [command_table.find(name) for name in args[2:]]
    return command_replies.docs_of([info for info in found if info is not None], session.resp == 3)


def _list(session: Session, args: list[bytes]) -> bytes:
    everything = [info for command in COMMANDS.values() for info in (command, *command.subcommands.values())]
    if len(args) == 2:
        return _names(everything)
    if len(args) != 5 or args[2].upper() != b"FILTERBY":
        return resp.ERR_SYNTAX
    kind = args[3].upper()
    if kind == b"MODULE":
        return resp.EMPTY_ARRAY
    if kind == b"ACLCAT":
        category = args[4].lower().decode("latin-1")
        return _names([info for info in everything if category in info.categories])
    if kind == b"PATTERN":
        match = matcher(args[4].lower())
        return _names([info for info in everything if match is None or match(info.name.encode())])
    return resp.ERR_SYNTAX


def _names(commands: list[CommandInfo]) -> bytes:
    return resp.array_of_bulks([info.name.encode() for info in commands])


def _getkeys(session: Session, args: list[bytes]) -> bytes:
    info = _keyed_command(args[2:])
    if isinstance(info, bytes):
        return info
    return resp.array_of_bulks(info.keys(args[2:]))


def _getkeysandflags(session: Session, args: list[bytes]) -> bytes:
    info = _keyed_command(args[2:])
    if isinstance(info, bytes):
        return info
    return command_replies.key_flags(info, args[2:], session.resp == 3)


def _keyed_command(request: list[bytes]) -> CommandInfo | bytes:
    info = command_table.find_request(request)
    if info is None:
        return resp.error("ERR Invalid command specified")
    if not info.first_key:
        return resp.error("ERR The command has no key arguments")
    if not info.accepts(len(request)):
        return resp.error("ERR Invalid number of arguments specified for command")
    return info


def _help(session: Session, args: list[bytes]) -> bytes:
    return resp.lines(_HELP)


HANDLERS = {
    "command": _command,
    "command|count": _count,
    "command|info": _info,
    "command|docs": _docs,
    "command|list": _list,
    "command|getkeys": _getkeys,
    "command|getkeysandflags": _getkeysandflags,
    "command|help": _help,
}
