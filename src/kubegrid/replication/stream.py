"""The primary's side of bringing one member's log in line with its own, and of keeping it so.

A stream begins by asking for the shape of the member's log (MATCHING). If the logs agree somewhere that is not behind what
the member has committed, the member drops what differs and entries follow (LOG); else a snapshot goes first (SNAPSHOT).
Acknowledgements count for the stream's present number only (see `messages`). Loss is repaired by timers in `tick`.
Next on the path of the data: `following`, at the other end.
"""

import enum

import msgspec

from kubegrid.base.ids import Member, Position
from kubegrid.replication import messages
from kubegrid.replication.freshness import Echo
from kubegrid.replication.instructions import StopSnapshot, StreamSnapshot
from kubegrid.replication.member import MemberState


class Phase(enum.Enum):
    MATCHING = "matching"
    SNAPSHOT = "snapshot"
    LOG = "log"


class Outgoing:
    """A snapshot on its way: it began at `start`; slices not loaded yet are kept to be sent again."""

    def __init__(self, start: Position) -> None:
        self.start = start
        self.begun = False
        self.cut = 0
        self.loaded = 0
        self.complete = False
        self.end_seq = -1
        self.slices: dict[int, messages.SnapshotSlice] = {}


class Stream:
    """Invariant in LOG: log.base.seq <= acked_seq < next_seq <= last_seq + 1; everything in between was sent."""

    def __init__(self, state: MemberState, member: Member, number: int, tenure: int, now: int) -> None:
        self._state = state
        self.member = member
        self.number = number
        self.tenure = tenure
        self.phase = Phase.MATCHING
        self.acked_seq = -1
        """Highest number acknowledged to this tenure; -1: none (R6)."""
        self.next_seq = 0
        self.matched_seq = 0
        """Where the logs met; what is under way is counted from here until the first acknowledgement."""
        self.progress_ms = now
        """When an acknowledgement last moved something, or the stream last was idle."""
        self.repaired_ms = now
        """When something was last sent again. New entries don't count: under steady writes a loss has to be noticed too."""
        self.repaired_seq = -1
        """Last number of the frame that was sent again."""
        self.heard_ms = now
        """Newest message from the member."""
        self.lease_until = 0
        """R8: until when this member's promise covers our answers."""
        self.connected = True
        self.preferred = False
        self.leaving = False
        self.echo = Echo()
        self.outgoing: Outgoing | None = None
        self.settled_seq = -1
        """The member's data come from a snapshot that may hold effects up to this number (R18)."""
        self.mark_seq = -1
        self.caught_up = False
        """It had, at the last beacon, all that there was at the one before."""
        self.unusable = False
        """In sync, yet its log does not meet ours: it has to be removed before it may take a snapshot (R19)."""

    # -- matching (R14)

    def ask(self) -> None:
        state = self._state
        state.send(self.member, messages.Match(state.known, self.tenure, self.number))

    def shaped(self, now: int, shape: messages.LogShape, number: int) -> None:
        """The member told the shape of its log; `number` is the stream's next one, should it need a snapshot.

        What it lacks follows when it has acknowledged the match: a link of a long way carries the question many times, and
        so this answer.
        """
        state = self._state
        if (
            shape.stream != self.number
            or self.phase is Phase.SNAPSHOT
            or (self.phase is Phase.LOG and self.acked_seq >= 0)
        ):
            return
        by_epoch = state.rules.truncate_by_epoch
        base = Position(shape.base_epoch, shape.base_seq)
        seq = state.log.agreement(base, shape.runs, by_epoch=by_epoch) if shape.usable else None
        if seq is not None and seq >= shape.commit:
            if self.phase is Phase.MATCHING:
                state.count("matched_by_log")
                self.progress_ms = now
            self.phase = Phase.LOG
            self.matched_seq = seq
            self.next_seq = seq + 1
            epoch = state.log.epoch_at(seq)
            state.send(self.member, messages.Matched(state.known, self.tenure, self.number, epoch, seq))
            if not state.rules.acks_by_tenure:
                self.acked_seq = max(self.acked_seq, shape.runs[-1][1] if shape.runs else shape.base_seq)
        elif state.in_sync(self.member):
            self.unusable = True
            state.note("unmatched_in_sync", f"{self.member} is in sync and its log does not meet ours")
        else:
            self._begin_snapshot(now, number)

    # -- the log

    def acknowledged(self, now: int, seq: int) -> bool:
        """Whether this moved the stream forward."""
        if seq <= self.acked_seq:
            return False
        self.acked_seq = seq
        self.progress_ms = now
        if self.next_seq <= seq:
            self.next_seq = seq + 1
        elif seq == self.repaired_seq < self.next_seq - 1:  # it took what was sent again and lacks what follows
            self._repair(now)
        return True

    def pump(self, now: int) -> None:
        """Send what is in the log and fits into the window."""
        state = self._state
        log = state.log
        if self.next_seq <= log.base.seq:
            return
        settings = state.settings
        while self.next_seq <= log.last_seq:
            if self.inflight_bytes >= settings.inflight_bytes_max:
                return
            if self.acked_seq == self.next_seq - 1:
                self.progress_ms = now
            self.next_seq = self._send_frame(self.next_seq - 1) + 1

    @property
    def inflight_bytes(self) -> int:
        confirmed_seq = self.acked_seq if self.acked_seq >= 0 else self.matched_seq
        return self._state.log.bytes_between(confirmed_seq, self.next_seq - 1)

    def _send_frame(self, after: int, *, again: bool = False) -> int:
        state = self._state
        entries = state.log.frame(after, state.settings.frame_bytes_target)
        append = messages.Append(state.known, self.tenure, after, state.log.commit_seq, entries)
        state.send(self.member, append, again=again)
        return after + len(entries)

    @property
    def stalled_since(self) -> int | None:
        """Since when something that was sent is not acknowledged; None if nothing is under way."""
        if self.phase is Phase.LOG and self.acked_seq == self.next_seq - 1 == self._state.log.last_seq:
            return None
        return self.progress_ms

    # -- snapshots (R18)

    def _begin_snapshot(self, now: int, number: int) -> None:
        state = self._state
        self.number = number
        self.phase = Phase.SNAPSHOT
        self.acked_seq = -1
        self.outgoing = Outgoing(
            state.log.commit
        )  # a winner's store lacks what it inherited and has not committed (R13)
        self.progress_ms = now
        state.count("snapshots_begun")
        self._send_begin()
        state.out.append(StreamSnapshot(self.member, number))

    def _send_begin(self) -> None:
        assert self.outgoing is not None
        start = self.outgoing.start
        state = self._state
        state.send(self.member, messages.SnapshotBegin(state.known, self.tenure, self.number, start.epoch, start.seq))

    def slice_cut(self, now: int, payload: bytes, last: bool) -> None:
        outgoing = self.outgoing
        if outgoing is None or outgoing.complete:
            return
        state = self._state
        if last:
            outgoing.complete = True
            outgoing.end_seq = state.log.last_seq
        piece = messages.SnapshotSlice(
            state.known, self.tenure, self.number, outgoing.cut, payload, last, outgoing.end_seq
        )
        if not outgoing.slices:
            self.progress_ms = now
        outgoing.slices[outgoing.cut] = piece
        outgoing.cut += 1
        state.send(self.member, piece)

    @property
    def window(self) -> int:
        outgoing = self.outgoing
        if outgoing is None or not outgoing.begun or outgoing.complete:
            return 0
        return self._state.settings.snapshot_slices_inflight - len(outgoing.slices)

    def loaded(self, now: int, message: messages.SnapshotAck) -> None:
        """The member has loaded so many slices."""
        outgoing = self.outgoing
        count = message.loaded
        if outgoing is None or message.stream != self.number or (count <= outgoing.loaded and outgoing.begun):
            return
        outgoing.begun = True
        self.progress_ms = now
        for index in range(outgoing.loaded, count):
            outgoing.slices.pop(index, None)
        outgoing.loaded = max(outgoing.loaded, count)
        if outgoing.complete and outgoing.loaded >= outgoing.cut:
            self.phase = Phase.LOG
            self.outgoing = None
            self.acked_seq = self.matched_seq = outgoing.start.seq
            self.next_seq = outgoing.start.seq + 1
            self.settled_seq = outgoing.end_seq
            self._state.count("snapshots_sent")
            self.pump(now)

    def stop(self) -> None:
        if self.outgoing is not None:
            self._state.out.append(StopSnapshot(self.member, self.number))
            self.outgoing = None

    @property
    def pinned_seq(self) -> int | None:
        """No log above this number may be forgotten (R19); None: this stream needs none."""
        if self.outgoing is not None:
            return self.outgoing.start.seq
        if self.phase is Phase.LOG:
            return self.acked_seq if self.acked_seq >= 0 else self.matched_seq
        return None

    # -- time and connections

    def tick(self, now: int) -> None:
        """Repair what was lost."""
        resend_ms = self._state.settings.resend_ms
        if max(self.progress_ms, self.repaired_ms) + resend_ms > now:
            return
        self.repaired_ms = now
        if self.phase is Phase.LOG:
            if self.acked_seq < 0:  # Matched or its acknowledgement was lost: the member answers Match either way
                self.ask()
            elif self.acked_seq < self.next_seq - 1:
                self._repair(now)
        elif self.outgoing is not None:
            self._send_snapshot(self.outgoing, again=True)

    def _send_snapshot(self, outgoing: Outgoing, *, again: bool) -> None:
        if not outgoing.begun:
            self._send_begin()
        for piece in list(outgoing.slices.values()):
            self._state.send(self.member, msgspec.structs.replace(piece, configuration=self._state.known), again=again)

    def _repair(self, now: int) -> None:
        self._state.count("resent")
        self.repaired_ms = now
        self.repaired_seq = self._send_frame(self.acked_seq, again=True)

    def reconnected(self, now: int) -> None:
        """What was on the way is gone: send it again at once."""
        self.connected = True
        self.heard_ms = now
        if self.phase is Phase.LOG and self.acked_seq >= 0:
            self.next_seq = self.acked_seq + 1
            self.pump(now)
            return
        self.repaired_ms = self.progress_ms = now
        if self.outgoing is not None:
            self._send_snapshot(self.outgoing, again=False)
        elif self.phase is Phase.LOG:
            self.ask()

    def validate(self) -> None:
        log = self._state.log
        if self.phase is Phase.LOG and self._state.rules.acks_by_tenure:
            assert self.acked_seq < self.next_seq <= log.last_seq + 1, (self.acked_seq, self.next_seq, log.last_seq)
        assert (self.outgoing is not None) == (self.phase is Phase.SNAPSHOT)
        if self.outgoing is not None:
            assert self.outgoing.start.seq >= log.base.seq, "the log under a snapshot was forgotten"
