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

    When the members have forgotten the identity (ten minutes without a write), a new one takes its place (`Route.forget`).
    """

    __slots__ = ("_acked", "_free", "_in_use", "_lock", "_next", "client")

    def __init__(self) -> None:
        self.client = uuid.uuid4().bytes
        self._lock = threading.Lock()
        self._free = threading.Condition(self._lock)
        self._next = 1
        self._acked = 1
        self._in_use: set[int] = set()

    def take(self) -> tuple[int, int]:
        """A new number, and the one below which everything is answered. Waits while too many are in use."""
        with self._lock:
            while self._next - self._acked >= SPAN_MAX:
                self._free.wait()
            seq = self._next
            self._next = seq + 1
            self._in_use.add(seq)
            return seq, self._acked

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
                if self._next - self._acked >= SPAN_MAX:
                    self._free.notify_all()
                self._acked = acked

    def has_room(self) -> bool:
        """Whether `take` would answer at once (the async client does not wait, it keeps the request back)."""
        return self._next - self._acked < SPAN_MAX
