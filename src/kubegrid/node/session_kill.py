"""CLIENT KILL: closing connections that fit some conditions."""

from collections.abc import Callable

from kubegrid.node.context import Session
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp

TYPES = {b"normal": True, b"master": False, b"replica": False, b"slave": False, b"pubsub": False}
"""The types of clients that Redis knows, and whether connections to this server are of it."""
_NO_SUCH_CLIENT = b"-ERR No such client\r\n"

Test = Callable[[Session], bool]


def unknown_type(name: bytes) -> bytes:
    return resp.error(b"ERR Unknown client type '%b'" % name)


def kill(session: Session, args: list[bytes]) -> bytes:
    if len(args) == 3:
        address = args[2].decode("latin-1")
        killed = _close(session, [lambda client: client.peer == address], spare_me=False)
        return resp.OK if killed else _NO_SUCH_CLIENT
    tests: dict[bytes, Test] = {}  # of an option that is named twice the last one holds
    spare_me = True
    for index in range(2, len(args), 2):
        option, value = args[index].lower(), args[index + 1 : index + 2]
        if not value:
            return resp.ERR_SYNTAX
        if option == b"skipme":
            choice = {b"yes": True, b"no": False}.get(value[0].lower())
            if choice is None:
                return resp.ERR_SYNTAX
            spare_me = choice
            continue
        test = _kill_test(option, value[0])
        if isinstance(test, bytes):
            return test
        tests[option] = test
    return resp.integer(_close(session, list(tests.values()), spare_me))


def _kill_test(option: bytes, value: bytes) -> Test | bytes:
    """Whether a connection fits one option of CLIENT KILL, or the error."""
    text = value.decode("latin-1")
    if option == b"id":
        number = parse_int64(value)
        if number is None or number <= 0:
            return resp.error("ERR client-id should be greater than 0")
        return lambda client: client.id == number
    if option == b"addr":
        return lambda client: client.peer == text
    if option == b"laddr":
        return lambda client: client.laddr == text
    if option == b"user":
        if value != b"default":
            return resp.error(b"ERR No such user '%b'" % value)
        return lambda client: client.authenticated
    if option == b"type":
        is_normal = TYPES.get(value.lower())
        return unknown_type(value) if is_normal is None else lambda client: is_normal
    return resp.ERR_SYNTAX


def _close(session: Session, tests: list[Test], spare_me: bool) -> int:
    """Close the connections that fit; this one only after its reply. How many there were."""
    fitting = [client for client in session.node.sessions.values() if all(test(client) for test in tests)]
    killed = 0
    for client in fitting:
        if client is not session:
            client.close()
        elif spare_me:
            continue
        else:
            session.close_after_reply = True
        killed += 1
    return killed
