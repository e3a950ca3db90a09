"""A thread that keeps columnar copies fresh while nobody waits for it, so that a statement finds few changes to apply.

It wakes when housekeeping says that a table which is asked often has changed enough, or that tables are not kept track of
any more; and once in a while, to see whether the process still has the memory for copies. It also compacts: DuckDB would
do that in the middle of somebody's commit.
"""

import logging
import threading

from kubegrid.node.precedence import give_way
from kubegrid.node.sql_copies import FreshCopies
from kubegrid.sql.errors import Unavailable

log = logging.getLogger("kubegrid.node.sql")

LOOK_S = 1.0
"""How often it looks at the memory while there are copies."""


class Keeper:
    """Started with the first copy."""

    def __init__(self, copies: FreshCopies) -> None:
        self._copies = copies
        self._replica = copies.replica
        self._wake = threading.Event()
        self._ripe: set[int] = set()
        self._closed = False
        self._thread: threading.Thread | None = None
        copies.capture.when_ripe = self._ripened
        copies.when_built = self._built

    def _ripened(self, numbers: list[int]) -> None:
        """In the loop."""
        self._ripe.update(numbers)
        self._wake.set()

    def look(self) -> None:
        """Soon, whether the process still has the memory for copies. From any thread."""
        self._wake.set()

    def _built(self) -> None:
        with self._replica.lock:
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._run, name="kubegrid-sql-keeper", daemon=True)
                thread.start()
                self._thread = thread
        self._wake.set()

    def close(self) -> None:
        """From any thread; the loop need not turn."""
        self._closed = True
        self._wake.set()
        with self._replica.lock:  # so that none is being started
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        give_way()
        while not self._closed:
            self._wake.wait(LOOK_S if self._replica.copies else None)
            self._wake.clear()
            try:
                self._keep()
            except Unavailable:
                continue  # the member is stopping
            except Exception:
                log.exception("keeping columns fresh failed; the next statement builds what is missing")

    def _keep(self) -> None:
        copies = self._copies
        replica = self._replica
        ripe, self._ripe = self._ripe, set()
        room = replica.room
        with replica.lock:
            if room is not None and replica.copies and room.left_bytes() < 0:
                log.warning("columns dropped for want of memory tables=%d", len(replica.copies))
                copies.drop_all()
            numbers = list(replica.copies)
            kept = copies.capture.kept(numbers, self._check)
            copies.give_up([number for number in numbers if number not in kept])
            due = [number for number in ripe if number in replica.copies]
            if due:
                taken = copies.capture.take_ripe(due, self._check)
                copies.give_up([number for number in due if number not in taken.changes])
                copies.apply(taken.definitions, [], taken.changes, [])
            if replica.idle():
                copies.drop_all()
        replica.compact()
        replica.measure()

    def _check(self) -> None:
        if self._closed:
            raise Unavailable("this member is stopping")
