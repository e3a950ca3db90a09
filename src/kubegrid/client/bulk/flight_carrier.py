"""Batches over Arrow Flight: one stream of DoPut to the primary of a partition, a few batches on their way in it.

The member executes the batches of a stream in order and answers each when it is confirmed, with what KG.WRITE would answer.
After one that it refused it executes nothing of the stream any more; so whatever happens, everything without an answer is
sent again, in order, to whoever is the primary then, under the same request ids: what was executed before is answered from
memory. No two batches can change places.

Rows that a member can keep as columns go in large batches. One that has to make records of them all the same, because some
are there already, refuses a large batch unexecuted: its parts are sent in its place, and what follows is cut as well.

A stream has a deadline, by which a member that stands still is found out, and is replaced by a new one well before it.
`trial` decides after each trouble whether and when to go on. Next on the path of the data: `node.sql_ingest`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kubegrid.client import clock
from kubegrid.client.bulk.batches import Batch, pieces, smaller
from kubegrid.client.bulk.command_carrier import CommandCarrier, deadline_of_batch
from kubegrid.client.bulk.flight_streams import FlightStreams, Stream, StreamLost
from kubegrid.client.bulk.target import Target
from kubegrid.client.caller import Caller
from kubegrid.client.errors import ClientError, RecordExistsError, SchemaChangedError
from kubegrid.client.request_ids import RequestIds
from kubegrid.client.trial import Again, ForgottenError, Trial
from kubegrid.wire.row_streams import SPLIT, UNKNOWN, Identity, encode_identity

if TYPE_CHECKING:
    from kubegrid.client.bulk.sending import BatchQueue, Sending

AHEAD_MAX = 4
"""Batches in a stream without an answer: the member prepares one while it writes another and confirms a third."""
IS_ALTERED = "TRYAGAIN the table is just being altered"
SMALL_BATCHES = 32
"""So many large batches are cut in advance after one that was refused; then one is tried whole."""


@dataclass(slots=True)
class _Sent:
    """A batch without an answer, under its request id."""

    batch: Batch
    ids: RequestIds
    seq: int
    acked: int
    trial: Trial

    @property
    def metadata(self) -> bytes:
        return encode_identity(Identity(self.ids.client, self.seq, self.acked))


class FlightCarrier:
    """For one partition, named by one of its slots. Invariant: all of `_unanswered` was written to `_stream`, or that is
    None."""

    def __init__(self, caller: Caller, target: Target, streams: FlightStreams, until: float | None) -> None:
        """`until`: by `clock.now`, when all of it has to be done; None: whenever."""
        self._caller = caller
        self._target = target
        self._slot = target.slot
        self._streams = streams
        self._until = until
        self._by_command = CommandCarrier(caller, target, until)
        self._unanswered: deque[_Sent] = deque()
        self._parts: deque[Batch] = deque()
        """Of a batch that was cut, not sent yet: they go before anything from the queue."""
        self._cut_in_advance = 0
        self._stream: Stream | None = None

    def run(self, batches: "BatchQueue", sending: "Sending") -> None:
        """Raises ClientError."""
        try:
            while sending.failure is None:
                self._fill(batches, sending)
                if self._unanswered:
                    self._take_answer(sending)
                elif batches.ended:
                    return
            self._take_last_answers(sending)
        finally:
            if self._unanswered and (self._stream is not None or any(sent.trial.doubtful for sent in self._unanswered)):
                sending.doubt()
            self._close()
            for sent in self._unanswered:
                sent.ids.done(sent.seq)

    def _take_last_answers(self, sending: "Sending") -> None:
        """Another partition has failed: nothing more is sent, but what was has an answer as long as the stream lasts."""
        try:
            while self._unanswered and self._stream is not None and not sending.abandoned:
                seq, reply = self._stream.read()
                if seq != self._unanswered[0].seq or reply[1:].startswith(UNKNOWN.encode()):
                    return
                if reply.startswith(b"*"):
                    self._done(sending, *_counts(reply))
                else:
                    self._close()  # it was refused, and what is behind it is not executed either
        except (StreamLost, ClientError):
            return

    def _fill(self, batches: "BatchQueue", sending: "Sending") -> None:
        """Write what may be on its way; a stream that is old gets nothing more and is closed when all is answered."""
        if self._stream is not None and self._stream.old and not self._unanswered:
            self._close()
        while len(self._unanswered) < AHEAD_MAX and not (self._stream is not None and self._stream.old):
            batch = self._next(batches, sending)
            if batch is None:
                return
            sent = self._numbered(batch)
            self._unanswered.append(sent)
            self._attempt(lambda: self._write([sent]))  # noqa: B023 (called before the next round)

    def _next(self, batches: "BatchQueue", sending: "Sending") -> Batch | None:
        if self._parts:
            return self._parts.popleft()
        batch = batches.next(wait=not self._unanswered)
        if batch is None or not self._cut_in_advance:
            return batch
        self._cut_in_advance -= 1
        rows = list(pieces(batch.rows, as_columns=False))
        sending.divided(batch, len(rows))
        self._parts.extend(batch.parts(rows))
        return self._parts.popleft()

    def _numbered(self, batch: Batch) -> _Sent:
        trial = self._caller.trial((b"writing a batch of rows",), True, deadline_of_batch(self._until))
        ids, seq, acked = self._caller.of_slot[self._slot].take()
        return _Sent(batch, ids, seq, acked, trial)

    def _take_answer(self, sending: "Sending") -> None:
        def read() -> None:
            if self._stream is None:
                self._write(list(self._unanswered))
            assert self._stream is not None
            self._settle(self._stream.read(), sending)

        self._attempt(read)

    def _settle(self, answer: tuple[int, bytes], sending: "Sending") -> None:
        """Raises ClientError for what no retry can help."""
        sent = self._unanswered[0]
        seq, reply = answer
        if seq != sent.seq:
            raise StreamLost(f"answered number {seq} instead of {sent.seq}", sent=True)
        if reply.startswith(b"*"):
            self._done(sending, *_counts(reply))
            return
        self._close()  # the member executes nothing more of this stream
        text = reply[1:].decode(errors="replace").strip()
        address = self._address()
        if text.startswith(UNKNOWN):  # and what is behind it may have been executed, too
            self._lost(text.removeprefix(UNKNOWN).strip(), sent=True)
            return
        if text.startswith(SPLIT) and len(sent.batch.rows) > 1:
            self._split(sending)
            return
        try:
            self._again(sent.trial.refused(text, address, clock.now()))
        except ForgottenError:
            sent.ids.done(sent.seq)
            route = self._caller.of_slot[self._slot]
            route.forget(sent.ids)
            sent.ids, sent.seq, sent.acked = route.take()
        except SchemaChangedError as error:  # nothing was executed, nor is it remembered under its id
            if not self._target.renew(error):
                self._again(sent.trial.refused(IS_ALTERED, address, clock.now()))
        except RecordExistsError as error:
            if not sent.batch.block.maybe_there:
                raise
            self._done(sending, *self._by_command.write_rest(sent.batch, error))

    def _split(self, sending: "Sending") -> None:
        """Send parts of the first batch in its place, before those behind it."""
        sent = self._unanswered.popleft()
        rows = smaller(sent.batch.rows)
        sending.divided(sent.batch, len(rows))
        parts = [self._numbered(part) for part in sent.batch.parts(rows)]
        sent.ids.done(sent.seq)
        self._unanswered.extendleft(reversed(parts))
        self._cut_in_advance = SMALL_BATCHES

    def _done(self, sending: "Sending", written: int, kept: int) -> None:
        sent = self._unanswered.popleft()
        sent.ids.done(sent.seq)
        sending.answered(sent.batch, written, kept)

    # -- the stream --------------------------------------------------------------------------------------------------

    def _attempt(self, work: Callable[[], None]) -> None:
        """Do it; when the stream breaks, wait as `trial` says: everything without an answer is written anew later."""
        try:
            work()
        except StreamLost as lost:
            self._close()
            self._lost(lost.reason, sent=lost.sent)

    def _lost(self, reason: str, *, sent: bool) -> None:
        """No answer will come to anything of this stream."""
        now = clock.now()
        waits = [one.trial.lost(reason, self._address(), now, sent=sent) for one in self._unanswered]
        if waits:
            self._again(max(waits, key=lambda again: again.delay))

    def _again(self, again: Again) -> None:
        self._caller.check_open()
        self._caller.prepare_again(again, self._slot, self._unanswered[0].trial)

    def _write(self, some: list[_Sent]) -> None:
        """Raises StreamLost."""
        if self._stream is None:
            some = list(self._unanswered)
            address = self._caller.of_slot[self._slot].address
            if address is None:
                raise StreamLost("has no primary", sent=False)
            self._stream = self._streams.open(self._target.path, address, some[0].trial.deadline)
        for sent in some:
            self._stream.write(sent.batch.rows, sent.metadata)

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _address(self) -> str:
        return self._caller.of_slot[self._slot].address or f"the partition of slot {self._slot}"


def _counts(reply: bytes) -> tuple[int, int]:
    """Rows written and rows kept, of what KG.WRITE answers: `*3`, first version, and these."""
    _, _, written, kept, _ = reply.split(b"\r\n")
    return int(written[1:]), int(kept[1:])
