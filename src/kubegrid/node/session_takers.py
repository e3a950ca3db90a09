"""Clients that wait for a record (KG.TAKE … BLOCK), and what happens when one is written.

A waiting client costs nothing while nothing is written to its table: it is no task of the turn, only an entry here. The
store lists what was written to tables that are waited for; at the next turn each written record is offered to the
clients in the order in which they began to wait, and the first whose predicate it fits takes it. So a record goes to
whoever waited longest, and what is taken is an effect of that turn like any other change.

Nobody reads the socket of a client that waits, so its end is not noticed by itself: the kernel is asked before a record
goes to it, and once a second. Waiting ends with a null at its time, with `-UNBLOCKED` when this member is no longer the
primary or another client says so (CLIENT UNBLOCK), and without a word when the connection closes.
"""

from collections import deque
from collections.abc import Generator
from typing import Any

from kubegrid.node.context import NodeContext, Session
from kubegrid.node.session_wait import UNBLOCKED_BY_CLIENT, UNBLOCKED_BY_ROLE, has_left, is_closing
from kubegrid.node.session_waiter import Answered, Number, Waiter, is_null, table_and_predicate, unchanged, while_there
from kubegrid.store import commands_take
from kubegrid.wire import resp

WAITERS_MAX = 1000
"""Clients of one member that may wait for records at once."""
OFFERS_A_TURN = 2000
"""Predicates that are tried in one turn; the rest of what was written waits for the next."""
WRITTEN_MAX = 50_000
"""When so many written records are still to be offered, they are forgotten, and those who wait search for themselves."""
RETRY_S = 0.005
"""While a hand-over is under way, nothing can be taken; how soon to look again."""
SWEEP_S = 1.0
"""How often those who wait are looked at whether they are still there."""
FOREVER_MS = 0
"""BLOCK 0 waits without a limit of time, as in Redis."""
_BUSY = b"-BUSY %d clients wait for records here, more are refused\r\n" % WAITERS_MAX


class Takers:
    """Those who wait, in the order of their coming.

    Invariant: the store is told of exactly the tables that somebody waits for; whoever is in `waiters` is in
    `node.blocked` as well.
    """

    def __init__(self, node: NodeContext, turn: Any) -> None:
        self.node = node
        self.turn = turn
        self.waiters: dict[int, Waiter] = node.waiters
        """By the number of the connection; dictionaries keep the order."""
        self.answered: Answered = unchanged
        self.number: Number = None
        self.taken = 0
        """Records that waiting clients got."""
        self._scheduled = False
        self._sweeping = False
        self._in_line: deque[Waiter] = deque()
        """Who still has to search again; one at a time, for each search takes its slice of every turn."""
        self._searching: Waiter | None = None
        node.left.append(self._forget)
        node.demoted.append(self._demoted)

    # -- beginning ---------------------------------------------------------------------------------------------------

    def take(self, session: Session, request: list[bytes], wait_ms: int) -> Any:
        """A record at once, or `None`: the client waits now. A generator while a large table is searched."""
        reply = commands_take.take(self.node.keyspace, request, session.resp == 3)
        if isinstance(reply, bytes) and not is_null(reply):
            return reply
        if len(self.waiters) >= WAITERS_MAX:
            self.node.refusals += 1
            return _BUSY
        found = table_and_predicate(self.node, request)
        if isinstance(found, bytes):
            return found
        waiter = Waiter(session, request, *found, self.answered, self.number)
        self._enter(waiter, wait_ms)
        if isinstance(reply, bytes):
            return None
        return self._search(waiter, reply)

    def in_slices(self, session: Session, steps: Any) -> Generator[int | None, None, bytes]:
        """A take that does not wait, but searches for several turns."""
        answered = self.answered

        def search() -> Generator[int | None, None, bytes]:
            reply = yield from while_there(session, steps)
            return resp.null(session.resp == 3) if reply is None else answered(reply)

        return search()

    def _search(self, waiter: Waiter, steps: Any) -> Generator[int | None, None, bytes | None]:
        """What is there already, in slices; then wait, unless something was written behind the search's back."""
        waiter.scanning = True
        try:
            while True:
                waiter.missed = False
                reply = yield from while_there(waiter.session, steps)
                if reply is None:
                    self._forget(waiter.session)
                    return resp.null(waiter.session.resp == 3)
                if not is_null(reply):
                    self._forget(waiter.session)
                    answer: bytes = waiter.answered(reply)
                    return answer
                if waiter.session.id not in self.waiters:
                    return resp.null(waiter.session.resp == 3)  # its time is over, or somebody ended its waiting
                if not waiter.missed:
                    break
                steps = self._again(waiter)
        except GeneratorExit:
            self._forget(waiter.session)
            raise
        waiter.scanning = False
        return None

    def _again(self, waiter: Waiter) -> Generator[int | None, None, bytes]:
        """One more search of the whole table."""
        reply = commands_take.take(self.node.keyspace, waiter.request, waiter.session.resp == 3)
        return reply if isinstance(reply, bytes) else (yield from reply)

    def _enter(self, waiter: Waiter, wait_ms: int) -> None:
        session = waiter.session
        for other in list(self.waiters.values()):
            if waiter.number is not None and other.number == waiter.number:
                self._forget(other.session)
                other.session.close()
        self.waiters[session.id] = waiter
        self.node.keyspace.waited_tables.add(waiter.table)

        def end(as_error: bool) -> None:
            self._end(waiter, UNBLOCKED_BY_CLIENT if as_error else resp.null(session.resp == 3))

        self.node.blocked[session.id] = end
        if not self._sweeping:
            self._sweeping = True
            self.turn.loop.call_later(SWEEP_S, self._sweep)
        if wait_ms != FOREVER_MS:
            waiter.timer = self.turn.loop.call_later(wait_ms / 1000, self.turn.work, lambda: end(False))

    # -- ending ------------------------------------------------------------------------------------------------------

    def _end(self, waiter: Waiter, reply: bytes) -> None:
        """Answer this client, in a turn. While its search goes on, that answers; it finds itself no longer waiting."""
        if self.waiters.get(waiter.session.id) is not waiter:
            return
        self._forget(waiter.session)
        if not waiter.scanning and not is_closing(waiter.session):
            waiter.session.finish_task(reply)

    def _forget(self, session: Any) -> None:
        """The client waits no longer, or is gone."""
        waiter = self.waiters.pop(session.id, None)
        self.node.blocked.pop(session.id, None)
        if waiter is None:
            return
        self._searched(waiter)
        if waiter.timer is not None:
            waiter.timer.cancel()
        if all(other.table != waiter.table for other in self.waiters.values()):
            self.node.keyspace.waited_tables.discard(waiter.table)
        if not self.waiters:
            self.node.keyspace.written.clear()

    def _demoted(self) -> None:
        """The role changed: whoever waits must go to the new primary. Said in a turn of its own, for this is inside of one."""
        if self.waiters:
            self.turn.loop.call_soon(self.turn.work, self._end_all)

    def _end_all(self) -> None:
        for waiter in list(self.waiters.values()):
            self._end(waiter, UNBLOCKED_BY_ROLE)
        self.node.keyspace.written.clear()

    def _sweep(self) -> None:
        """Close the connections of clients that left while they waited, for records or for copies."""
        for number in list(self.node.blocked):
            session = self.node.sessions.get(number)
            if session is not None and has_left(session):
                session.close()
        self._sweeping = bool(self.waiters)
        if self._sweeping:
            self.turn.loop.call_later(SWEEP_S, self._sweep)

    # -- what was written --------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Something was executed; if it wrote what somebody may wait for, offer it in the next turn."""
        if not self._scheduled and self.node.keyspace.written:
            self._scheduled = True
            self.turn.loop.call_soon(self.turn.work, self.offer)

    def offer(self) -> None:
        """Give what was written to those who wait, in a turn, as much as a turn may do."""
        self._scheduled = False
        written = self.node.keyspace.written
        if not self.turn.open_gate or not self.turn.member.writable:
            if self.waiters:
                self._scheduled = True
                self.turn.loop.call_later(RETRY_S, self.turn.work, self.offer)
            return
        if len(written) > WRITTEN_MAX:
            written.clear()
            self._search_all()
            return
        offers = 0
        done = 0
        for table, key in written:
            done += 1
            offers += self._offer(table, key)
            if offers > OFFERS_A_TURN:
                break
        del written[:done]
        self.look()

    def _search_all(self) -> None:
        """Everybody searches again, the one that waits longest first."""
        self._in_line = deque(self.waiters.values())
        for waiter in self._in_line:
            waiter.missed = True  # whoever is searching just now does so once more
        self._search_next()

    def _search_next(self) -> None:
        if not self.turn.open_gate:  # a search begun now would be taken for one that writes nothing
            if self._in_line:
                self.turn.loop.call_later(RETRY_S, self.turn.work, self._search_next)
            return
        while self._in_line and self._searching is None:
            waiter = self._in_line.popleft()
            if self.waiters.get(waiter.session.id) is waiter and not waiter.scanning:
                self._searching = waiter
                self.turn.start_task(waiter.session, self._search_in_line(waiter))

    def _search_in_line(self, waiter: Waiter) -> Generator[int | None, None, bytes | None]:
        reply = yield from self._search(waiter, self._again(waiter))
        self._searched(waiter)
        return reply

    def _searched(self, waiter: Waiter) -> None:
        """Its search is over, or it is gone: the next one's turn."""
        if self._searching is waiter:
            self._searching = None
            self.turn.loop.call_soon(self.turn.work, self._search_next)

    def _offer(self, table: int, key: bytes) -> int:
        """Offer one record to each waiting client until one takes it; to how many it was offered."""
        keyspace = self.node.keyspace
        offers = 0
        for waiter in list(self.waiters.values()):
            if waiter.table != table:
                continue
            offers += 1
            if waiter.scanning:
                waiter.missed = True
                continue
            session = waiter.session
            if has_left(session):
                self._forget(session)
                session.close()
                continue
            reply = commands_take.take_key(keyspace, waiter.request[1], waiter.predicate, key, session.resp == 3)
            if reply is not None and not is_null(reply):
                self.taken += 1
                reply = waiter.answered(reply)
                self._forget(session)
                session.finish_task(reply)
                break
        return offers
