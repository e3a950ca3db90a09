"""Commands about this connection itself: greeting, authentication, protocol version, and the small ones.

The secret is compared in constant time. There is one user, `default`; without a secret it has no password.
"""

import hmac

from kubegrid.node.context import REDIS_VERSION, Session
from kubegrid.replication import Role
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp

_WRONG_PASSWORD = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
_BAD_NAME = b"-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
_NO_PASSWORD = (
    b"-ERR AUTH <password> called without any password configured for the default user. "
    b"Are you sure your configuration is correct?\r\n"
)
_HELLO_NOAUTH = (
    b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> "
    b"option can be used to authenticate the client and select the RESP protocol version at the same time\r\n"
)


def _ping(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 2:
        return resp.error("ERR wrong number of arguments for 'ping' command")
    return resp.PONG if len(args) == 1 else resp.bulk(args[1])


def _echo(session: Session, args: list[bytes]) -> bytes:
    return resp.bulk(args[1])


def _select(session: Session, args: list[bytes]) -> bytes:
    number = parse_int64(args[1])
    if number is None:
        return resp.ERR_NOT_INTEGER
    if not -(1 << 31) <= number < 1 << 31:
        return resp.error("ERR value is out of range, value must between -2147483648 and 2147483647")
    return resp.OK if number == 0 else resp.error("ERR SELECT is not allowed in cluster mode")


def _quit(session: Session, args: list[bytes]) -> bytes:
    session.close_after_reply = True
    return resp.OK


def _reset(session: Session, args: list[bytes]) -> bytes:
    """Back to the state of a new connection; the library's name and the number stay."""
    session.multi = None
    session.multi_failed = False
    session.node.forget_watches(session)
    session.readonly = False
    session.resp = 2
    session.name = b""
    if session.reply_mode == "off":  # a reply that CLIENT REPLY SKIP spares its client is this very one, and stays away
        session.reply_mode = "on"
    session.no_evict = False
    session.no_touch = False
    _set_authenticated(session, session.node.secret is None)
    return resp.RESET


def _set_authenticated(session: Session, value: bool) -> None:
    session.authenticated = value
    session.reader.authenticated = value


def _is_password(session: Session, user: bytes, password: bytes) -> bool:
    secret = session.node.secret
    if user != b"default":
        return False
    return secret is None or hmac.compare_digest(secret, password)


def _auth(session: Session, args: list[bytes]) -> bytes:
    if len(args) > 3:
        return resp.ERR_SYNTAX
    if len(args) == 2 and session.node.secret is None:
        return _NO_PASSWORD
    user = args[1] if len(args) == 3 else b"default"
    if not _is_password(session, user, args[-1]):
        return _WRONG_PASSWORD
    _set_authenticated(session, True)
    return resp.OK


def name_error(name: bytes) -> bytes | None:
    """Names of clients are printable and hold no blanks, so that CLIENT LIST can be read."""
    return None if all(33 <= char <= 126 for char in name) else _BAD_NAME


def _hello(session: Session, args: list[bytes]) -> bytes:
    version = session.resp
    if len(args) > 1:
        number = parse_int64(args[1])
        if number is None:
            return resp.error("ERR Protocol version is not an integer or out of range")
        if number not in (2, 3):
            return resp.error("NOPROTO unsupported protocol version")
        version = number
    name: bytes | None = None
    proven = session.authenticated
    index = 2
    while index < len(args):
        option = args[index].upper()
        left = len(args) - index - 1
        if option == b"AUTH" and left >= 2:
            if not _is_password(session, args[index + 1], args[index + 2]):
                return _WRONG_PASSWORD
            proven = True
            index += 3
        elif option == b"SETNAME" and left >= 1:
            name = args[index + 1]
            refusal = name_error(name)
            if refusal is not None:
                return refusal
            index += 2
        else:
            return resp.error(b"ERR Syntax error in HELLO option '%b'" % args[index])
    if not proven:
        return _HELLO_NOAUTH
    _set_authenticated(session, True)
    if name is not None:
        session.name = name
    session.resp = version
    return _greeting(session)


def _greeting(session: Session) -> bytes:
    primary = session.node.replica.role is Role.PRIMARY
    parts = [
        resp.bulk(b"server"),
        resp.bulk(b"redis"),
        resp.bulk(b"version"),
        resp.bulk(REDIS_VERSION.encode()),
        resp.bulk(b"proto"),
        resp.integer(session.resp),
        resp.bulk(b"id"),
        resp.integer(session.id),
        resp.bulk(b"mode"),
        resp.bulk(b"cluster"),
        resp.bulk(b"role"),
        resp.bulk(b"master" if primary else b"replica"),
        resp.bulk(b"modules"),
        resp.EMPTY_ARRAY,
    ]
    return resp.map_of(parts, session.resp == 3)


def _readonly(session: Session, args: list[bytes]) -> bytes:
    session.readonly = True
    return resp.OK


def _readwrite(session: Session, args: list[bytes]) -> bytes:
    session.readonly = False
    return resp.OK


HANDLERS = {
    "ping": _ping,
    "echo": _echo,
    "select": _select,
    "quit": _quit,
    "reset": _reset,
    "auth": _auth,
    "hello": _hello,
    "readonly": _readonly,
    "readwrite": _readwrite,
}
