"""KG.CREATE, KG.DROP, KG.TRUNCATE, KG.ALTER: changes of the catalog of tables, which only the manager makes.

Any member can be asked, whatever its role. The command waits for the manager's answer like any long command: replies
keep their order, and other clients are served meanwhile. KG.TABLES and KG.DESCRIBE answer from the member's own store
(`store`). Without a manager nothing can be changed, and that is said at once.

`KG.CREATE … NEW` is for who must know that it made the table: it is refused if there is one of the name, and answers the
new table's id, with which `KG.DROP … ID` removes just that table and none that somebody made anew under its name.
"""

from collections.abc import Generator

from kubegrid.coordination.catalog import ADD_COLUMN, CREATE, CREATE_NEW, DROP, TRUNCATE, Change
from kubegrid.node.context import Session
from kubegrid.store.numbers import parse_int64
from kubegrid.wire import resp

LOOK_AGAIN_MS = 2
"""How often the answer of the manager is looked for."""
_Steps = Generator[int | None, None, bytes]


def _create(session: Session, args: list[bytes]) -> bytes | _Steps:
    if len(args) == 3:
        return _change(session, Change(CREATE, _text(args[1]), args[2]))
    if len(args) != 4 or args[3].upper() != b"NEW":
        return resp.error("ERR syntax error: KG.CREATE table definition [NEW]")
    return _change(session, Change(CREATE_NEW, _text(args[1]), args[2]))


def _drop(session: Session, args: list[bytes]) -> bytes | _Steps:
    if len(args) == 2:
        return _change(session, Change(DROP, _text(args[1])))
    number = parse_int64(args[3]) if len(args) == 4 and args[2].upper() == b"ID" else None
    if number is None or number < 1:
        return resp.error("ERR syntax error: KG.DROP table [ID number]")
    return _change(session, Change(DROP, _text(args[1]), id=number))


def _truncate(session: Session, args: list[bytes]) -> bytes | _Steps:
    return _change(session, Change(TRUNCATE, _text(args[1])))


def _alter(session: Session, args: list[bytes]) -> bytes | _Steps:
    if len(args) != 5 or args[2].upper() != b"ADD" or args[3].upper() != b"COLUMN":
        return resp.error("ERR syntax error: KG.ALTER table ADD COLUMN column-json is the change that there is")
    return _change(session, Change(ADD_COLUMN, _text(args[1]), args[4]))


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _change(session: Session, change: Change) -> bytes | _Steps:
    ask = session.node.catalog
    return resp.error("ERR this member has no catalog") if ask is None else _waiting(session, change)


def _waiting(session: Session, change: Change) -> _Steps:
    asked = session.node.catalog.ask(change)
    try:
        while not asked.done():
            yield LOOK_AGAIN_MS
        answer = asked.result()
    finally:
        asked.cancel()
    if not answer.code:
        return resp.integer(answer.table) if change.action == CREATE_NEW else resp.OK
    reply = resp.error(f"{answer.code} {' '.join(answer.reason.split())}")
    session.node.count_error(reply)
    return reply


HANDLERS = {"kg.create": _create, "kg.drop": _drop, "kg.truncate": _truncate, "kg.alter": _alter}
