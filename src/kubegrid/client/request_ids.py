"""Numbers for writes, so that a member can tell a retry from a new write.

A write travels as `KG.ONCE client seq acked COMMAND …`. The member keeps the reply of each `seq` until `acked` has
passed it, together with the data and replicated like them, and answers a repeated `seq` with what it answered first.

Prior art: RAMCloud's RIFL (Lee et al., SOSP 2015): client id, sequence number, first incomplete number.

Invariant: `acked` never passes a number that is still in use; numbers of one partition are at most `SPAN_MAX` apart, which
is less than the replies that a member keeps of one client. Each partition has numbers of its own: a write that waits for
one partition holds up none of the others. Next on the path of the data: `connection`.
"""

import threading
import uuid

SPAN_MAX = 4000
"""Members keep 4096 replies of one client. A window of `in_flight` (at most 2000) never comes near."""


class RequestIds:
    """The identity under which a client writes to one partition, and the numbers of its writes there.

    When the members have forgotten the identity (ten minutes without a write), or when a number is in use for so long that
    the others have gone far beyond it, a new one takes its place; the old one lives on for who holds numbers of it.
    """

    __slots__ = ("_acked", "_in_use", "_lock", "_next", "client")

    def __init__(self) -> None:
        self.client = uuid.uuid4().bytes
        self._lock = threading.Lock()
        self._next = 1
        self._acked = 1
        self._in_use: set[int] = set()

    def take(self) -> tuple[int, int] | None:
        """A new number, and the one below which everything is answered. None when the numbers in use are too far apart.

        Nobody waits here for an answer: who holds the oldest number may be the one that waits. Take another identity
        (`Route.take` does).
        """
        with self._lock:
            seq = self._next
            acked = self._acked
            if seq - acked >= SPAN_MAX:
                return None
            self._next = seq + 1
            self._in_use.add(seq)
            return seq, acked

    def done(self, seq: int) -> None:
        """`seq` is answered, or given up: it will never be sent again."""
        with self._lock:
            in_use = self._in_use
            in_use.discard(seq)
            acked = self._acked
            if seq == acked:
                last = self._next
                while acked < last and acked not in in_use:
                    acked += 1
                self._acked = acked
