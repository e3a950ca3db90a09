"""Whether a primary may answer, and what it does about it: beacons, leases, R12's wait and R17's silence.

It answers when three things hold: the promises that this member gave to others have run out (R12, `answering`), every
in-sync member has acknowledged the log that it inherited (R13, `equal`), and each has given it a lease (R8). If it can't get
there, or loses its leases and can't remove who withholds them, it falls silent so that another may try (R17).
Next: `tenure`, which adds the log.
"""

from kubegrid.base.ids import Member
from kubegrid.replication import messages
from kubegrid.replication.instructions import Send
from kubegrid.replication.member import MemberState
from kubegrid.replication.promises import Promises
from kubegrid.replication.stream import Phase, Stream

FOREVER = 1 << 62


class Standing:
    """Invariant: `lease_until` is the shortest lease of the union; a silent primary has none and sends no beacons."""

    def __init__(self, state: MemberState, promises: Promises, now: int) -> None:
        self._state = state
        self._promises = promises
        self.epoch = state.epoch
        self.streams: dict[Member, Stream] = {}
        self.union: tuple[Stream, ...] = ()
        """Those in `streams` whose acknowledgements and leases are needed (R3)."""
        self.lease_until = 0
        self.inherited_seq = state.log.last_seq
        self.answering = False
        self.equal = False
        self.silent = False
        self.missing: tuple[Member, ...] = ()
        """Who kept a silent primary from finishing (R17)."""
        self.stuck_ms = now
        self._beacon_ms = now - state.settings.beacon_ms

    @property
    def serving(self) -> bool:
        return self.answering and not self.silent and (self.equal or not self._state.rules.equal_before_serving)

    def releasable(self, now: int) -> int:
        return self._state.log.commit_seq if now < self.lease_until and self.serving else -1

    # -- leases and beacons (R8)

    def beacon_acknowledged(self, now: int, sender: Member, message: messages.BeaconAck) -> None:
        if message.tenure != self.epoch:
            return
        self.stopped(now, sender)
        stream = self.streams.get(sender)
        if stream is None:
            return
        stream.heard_ms = now
        stream.preferred = message.preferred
        stream.leaving = message.leaving
        stream.echo.heard(now, message.stamp)
        rules = self._state.rules
        lease_ms = self._state.settings.lease_ms
        until = (message.sent_ms if rules.lease_from_sending else now) + lease_ms
        if until > stream.lease_until and not self.silent:
            stream.lease_until = until
            self.measure_lease()

    def stopped(self, now: int, sender: Member) -> None:
        """A former primary knows this tenure's epoch, or a higher one, and answers nothing any more (R12)."""
        self._promises.stopped(sender)
        self.try_answering(now)

    def try_answering(self, now: int) -> None:
        if self.answering:
            return
        if not self._promises.kept(now) or not self._state.rules.other_leases_awaited:
            self.answering = True
            self.stuck_ms = now

    def measure_lease(self) -> None:
        rules = self._state.rules
        leases = [stream.lease_until for stream in self.union]
        if not leases or not rules.lease_checked:
            self.lease_until = FOREVER
        else:
            self.lease_until = min(leases) if rules.lease_from_each else max(leases)

    def beacon(self, now: int) -> None:
        """To everybody, joiners too; and the question about its log to those who have not answered it."""
        state = self._state
        self._beacon_ms = now
        if not self.streams:
            return
        log = state.log
        beacon = messages.Beacon(state.known, self.epoch, now, log.commit_seq, self._echoes(now))
        state.out.append(Send(tuple(self.streams), beacon))
        for stream in self.streams.values():
            if stream.phase is Phase.MATCHING:
                stream.ask()
            stream.caught_up = stream.phase is Phase.LOG and stream.acked_seq >= stream.mark_seq >= 0
            stream.mark_seq = log.last_seq if stream.phase is Phase.LOG else -1

    def _echoes(self, now: int) -> tuple[int, ...]:
        if not self.serving or (now >= self.lease_until and self._state.rules.echoes_under_lease):
            return ()
        streams = self.streams
        return tuple(streams[m].echo.at(now) if m in streams else 0 for m in self._state.known.in_sync)

    def leases(self) -> dict[Member, int]:
        return {member: stream.lease_until for member, stream in self.streams.items()}

    # -- time (R12, R17)

    def tick(self, now: int) -> None:
        state = self._state
        settings = state.settings
        self.try_answering(now)
        if not self.silent and now - self._beacon_ms >= settings.beacon_ms:
            self.beacon(now)
        if self.streams:
            for stream in self.streams.values():
                stream.tick(now)
            self._watch_progress(now)

    def _watch_progress(self, now: int) -> None:
        """R17: fall silent when nothing moves for too long."""
        if self.silent or not self.answering:
            return
        holding_up = self.holding_up(now)
        if self.equal and not holding_up:
            self.stuck_ms = now
            return
        if not self.equal:
            self.stuck_ms = max([self.stuck_ms, *(stream.progress_ms for stream in self.union)])
        if now - self.stuck_ms < self._state.settings.finish_ms:
            return
        self.silent = True
        self.missing = tuple(stream.member for stream in holding_up)
        self._state.note("r17_silent", "waiting for " + ", ".join(map(str, self.missing)))
        for stream in self.streams.values():
            stream.lease_until = 0
        self.measure_lease()

    def holding_up(self, now: int) -> list[Stream]:
        stall_ms = self._state.settings.join_stall_ms
        return [
            stream
            for stream in self.union
            if stream.lease_until <= now
            or stream.acked_seq < self.inherited_seq
            or ((since := stream.stalled_since) is not None and now - since > stall_ms)
        ]

    def resume(self, now: int) -> None:
        """Those who held this tenure up no longer can (R17)."""
        self.stuck_ms = now
        if self.silent:
            self._state.count("r17resumed")
            self.silent = False
            self.missing = ()
            for stream in self.streams.values():
                stream.heard_ms = stream.progress_ms = now

    def shift(self, gap_ms: int) -> None:
        """This process stood still: what the others said meanwhile has still to be read, so don't hold it against them."""
        self.stuck_ms += gap_ms
        for stream in self.streams.values():
            stream.heard_ms += gap_ms
            stream.progress_ms += gap_ms
