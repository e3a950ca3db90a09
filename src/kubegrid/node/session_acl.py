"""ACL and MODULE, as far as there is something to say: one user, who may do everything, and no modules.

`ACL SETUSER` and what else would change users is unknown here: the secret is the grid's, set where the grid is.
"""

import hashlib
import secrets

from kubegrid.node.context import Session
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp
from kubegrid.wire.command_table import COMMANDS, wrong_count

BITS_MAX = 4096
BITS = 256

_ACL_HELP = (
    "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CAT [<category>]",
    "    The categories of commands, or the commands of one.",
    "GENPASS [<bits>]",
    "    A random password, as hexadecimal digits.",
    "GETUSER <username>",
    "    What a user may do.",
    "LIST",
    "    The users as lines of Redis' configuration.",
    "USERS",
    "    The names of the users.",
    "WHOAMI",
    "    The name of this connection's user.",
    "HELP",
    "    This text.",
)
_MODULE_HELP = (
    "MODULE <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "LIST",
    "    Always empty: there are no modules.",
    "HELP",
    "    This text.",
)
_CATEGORIES = (
    *("keyspace", "read", "write", "set", "sortedset", "list", "hash", "string"),
    *("bitmap", "hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow"),
    *("blocking", "dangerous", "connection", "transaction", "scripting"),
)
"""Those of Redis; some have no commands here."""


def _categories() -> dict[bytes, list[bytes]]:
    commands: dict[bytes, list[bytes]] = {name.encode(): [] for name in _CATEGORIES}
    for command in COMMANDS.values():
        for info in command.subcommands.values() if command.subcommands else (command,):
            for category in info.categories:
                commands.setdefault(category.encode(), []).append(info.name.encode())
    return commands


_COMMANDS_OF = _categories()


def _whoami(session: Session, args: list[bytes]) -> bytes:
    return resp.bulk(b"default")


def _users(session: Session, args: list[bytes]) -> bytes:
    return resp.array_of_bulks([b"default"])


def _password_hashes(session: Session) -> list[bytes]:
    secret = session.node.secret
    return [] if secret is None else [hashlib.sha256(secret).hexdigest().encode()]


def _list(session: Session, args: list[bytes]) -> bytes:
    passwords = [b"#" + each for each in _password_hashes(session)] or [b"nopass"]
    return resp.array_of_bulks([b"user default on %b ~* &* +@all" % b" ".join(passwords)])


def _getuser(session: Session, args: list[bytes]) -> bytes:
    resp3 = session.resp == 3
    if args[2] != b"default":
        return resp.null(resp3)
    passwords = _password_hashes(session)
    flags = [b"on"] if passwords else [b"on", b"nopass"]
    parts = [
        *(resp.bulk(b"flags"), resp.set_of([resp.bulk(flag) for flag in flags], resp3)),
        *(resp.bulk(b"passwords"), resp.array_of_bulks(passwords)),
        *(resp.bulk(b"commands"), resp.bulk(b"+@all")),
        *(resp.bulk(b"keys"), resp.bulk(b"~*")),
        *(resp.bulk(b"channels"), resp.bulk(b"&*")),
        *(resp.bulk(b"selectors"), resp.EMPTY_ARRAY),
    ]
    return resp.map_of(parts, resp3)


def _cat(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 3:
        return wrong_count(args)
    if len(args) == 2:
        return resp.array_of_bulks(list(_COMMANDS_OF))
    commands = _COMMANDS_OF.get(args[2].lower())
    return resp.error(b"ERR Unknown category '%b'" % args[2]) if commands is None else resp.array_of_bulks(commands)


def _genpass(session: Session, args: list[bytes]) -> bytes:
    bits: int | None = BITS
    if len(args) > 3:
        return wrong_count(args)
    if len(args) == 3:
        bits = parse_int64(args[2])
        if bits is None:
            return resp.ERR_NOT_INTEGER
        if not 0 < bits <= BITS_MAX:
            return resp.error(
                "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096"
            )
    digits = ((bits or BITS) + 3) // 4
    return resp.bulk(secrets.token_hex((digits + 1) // 2)[:digits].encode())


def _acl_help(session: Session, args: list[bytes]) -> bytes:
    return resp.lines(_ACL_HELP)


def _modules(session: Session, args: list[bytes]) -> bytes:
    return resp.EMPTY_ARRAY


def _module_help(session: Session, args: list[bytes]) -> bytes:
    return resp.lines(_MODULE_HELP)


HANDLERS = {
    "acl|whoami": _whoami,
    "acl|users": _users,
    "acl|list": _list,
    "acl|getuser": _getuser,
    "acl|cat": _cat,
    "acl|genpass": _genpass,
    "acl|help": _acl_help,
    "module|list": _modules,
    "module|help": _module_help,
}
