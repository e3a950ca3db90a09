"""One primary's unbroken time: streams to the others, the commit point, and who counts for it (R3, R6, R13).

A tenure begins when a configuration of a higher epoch names this member as primary, and ends when one names another
(`epochs`). Whether it may answer is in `standing`; who belongs to the configuration is decided in `membership`; giving the
tenure away is `hand_over`.
"""

from typing import Any

from kubegrid.base.ids import Member
from kubegrid.replication import messages
from kubegrid.replication.instructions import Apply, Send
from kubegrid.replication.member import MemberState
from kubegrid.replication.promises import Promises
from kubegrid.replication.proposals import Proposals
from kubegrid.replication.standing import FOREVER, Standing
from kubegrid.replication.stream import Phase, Stream


class Tenure(Standing):
    """Invariant: `union` is R3's, without me, and each of it has a stream; nothing is committed in this tenure that one of
    the union has not acknowledged to it."""

    def __init__(
        self,
        state: MemberState,
        proposals: Proposals,
        promises: Promises,
        now: int,
        first_stream: int,
        carried_leases: dict[Member, int],
    ) -> None:
        super().__init__(state, promises, now)
        self._proposals = proposals
        self._carried_leases = carried_leases
        self.next_stream = first_stream
        self.adding: Member | None = None
        """A joiner for which the union has been opened (R3)."""
        self.barrier_seq = -1
        """What was confirmed before the union opened."""
        self.hold_until = 0
        """A tenure that began by a hand-over serves in milliseconds: until then requests are held, not refused (R16)."""
        self.refresh(now)
        self.try_answering(now)

    # -- the hot path

    def append(self, now: int, effects: Any, undo: Any, size_bytes: int) -> int:
        """What one turn executed. Once per turn, to all whose window is open, as one message."""
        state = self._state
        log = state.log
        if effects is None:
            return self._append_unrecorded(now)
        seq = log.append(state.epoch, effects, undo, size_bytes).seq
        to = []
        inflight_bytes_max = state.settings.inflight_bytes_max
        for stream in self.streams.values():
            if stream.next_seq == seq and stream.phase is Phase.LOG:
                if stream.acked_seq == seq - 1:
                    stream.progress_ms = now
                elif stream.inflight_bytes >= inflight_bytes_max:
                    continue
                stream.next_seq = seq + 1
                to.append(stream.member)
        if to:
            entries = [(state.epoch, seq, size_bytes, effects)]
            append = messages.Append(state.known, self.epoch, seq - 1, log.commit_seq, entries)
            state.out.append(Send(tuple(to), append))
        if not self.union or not state.rules.confirm_by_all or not state.rules.acks_by_tenure:
            self._advance(now)
        return seq

    def _append_unrecorded(self, now: int) -> int:
        """A lone member's turn, of which nothing is kept. A joiner that was just taken up begins again behind it."""
        if self.union:
            raise ValueError("a member with in-sync backups has to record its effects")
        seq = self._state.log.skip(self._state.epoch)
        for member, stream in list(self.streams.items()):
            stream.stop()
            self.streams[member] = self._open(now, member)
        return seq

    def acknowledged(self, now: int, sender: Member, message: messages.Ack) -> None:
        stream = self.streams.get(sender)
        if stream is None:
            return
        if (message.tenure != self.epoch or message.stream != stream.number) and self._counts_not(message):
            self._state.count("stale_acks")
            return
        stream.heard_ms = now
        seq = message.seq
        if seq <= stream.acked_seq:
            return
        if stream.phase is not Phase.LOG or seq > self._state.log.last_seq:
            return
        stream.acknowledged(now, seq)
        self._advance(now)
        if stream.next_seq <= self._state.log.last_seq:
            stream.pump(now)

    def _counts_not(self, message: messages.Ack) -> bool:
        rules = self._state.rules
        return rules.acks_by_tenure and (rules.fencing or message.tenure != self.epoch or message.stream >= 0)

    # -- the commit point (R6, R13)

    def _advance(self, now: int) -> None:
        state = self._state
        log = state.log
        seq = log.last_seq
        if state.rules.confirm_by_all or not self.equal:
            for stream in self.union:
                if stream.acked_seq < seq:
                    seq = stream.acked_seq
        if not self.equal:
            if not state.rules.inherited_uncommitted and log.commit_seq < self.inherited_seq:
                state.out.append(Apply(log.commit_to(self.inherited_seq)))
            if seq < self.inherited_seq:
                return
            self.equal = True
            self.stuck_ms = now
            inherited = log.between(log.commit_seq, self.inherited_seq)
            if inherited:
                state.count("r13_inherited")
                log.commit_to(self.inherited_seq)
                state.out.append(Apply(inherited))
        if seq <= log.commit_seq:
            return
        for entry in log.commit_to(seq):
            entry.undo = None
        settings = state.settings
        if log.crowded(settings.log_bytes_max, settings.log_entries_max):
            log.trim(self.pinned_seq(), settings.log_bytes_max, settings.log_entries_max)

    def pinned_seq(self) -> int:
        """R19: no log is forgotten above the lowest acknowledgement in sync, nor what a joiner still needs."""
        floor = self._state.log.commit_seq
        for stream in self.union:
            floor = min(floor, stream.acked_seq)
        for stream in self.streams.values():
            pinned_seq = stream.pinned_seq
            if pinned_seq is not None:
                floor = min(floor, pinned_seq)
        return floor

    def ahead_seq(self) -> int:
        """Entries behind this number were executed here ahead of their confirmation: a deposed primary takes them back."""
        return max(self._state.log.commit_seq, self.inherited_seq)

    # -- who is in the union (R3)

    def refresh(self, now: int) -> None:
        """The configuration or the open proposals changed: bring streams and union in line."""
        state = self._state
        rules = state.rules
        known = state.known
        union = dict.fromkeys(known.in_sync)
        for proposal in self._proposals.open:
            if rules.joiner_in_union:
                union.update(dict.fromkeys(proposal.configuration.in_sync))
            if not rules.removal_known:
                for member in known.in_sync:
                    if member not in proposal.configuration.in_sync:
                        union.pop(member, None)
        if self.adding is not None and rules.joiner_in_union:
            union[self.adding] = None
        union.pop(state.me, None)
        wanted = dict.fromkeys([*known.in_sync, *union, *known.joining])
        wanted.pop(state.me, None)
        for member in [m for m in self.streams if m not in wanted]:
            self.streams.pop(member).stop()
            state.send(member, messages.News(known))
        for member in wanted:
            if member not in self.streams:
                self.streams[member] = self._open(now, member)
        self.union = tuple(self.streams[member] for member in union)
        if self.silent and not any(member in self.missing for member in union):
            self.resume(now)
        self.measure_lease()
        self._advance(now)

    def _open(self, now: int, member: Member) -> Stream:
        stream = Stream(self._state, member, self.take_number(), self.epoch, now)
        stream.lease_until = self._carried_leases.get(member, 0)
        stream.ask()
        return stream

    def take_number(self) -> int:
        self.next_stream += 1
        return self.next_stream

    def tick(self, now: int) -> None:
        super().tick(now)
        if len(self.streams) > len(self.union):
            self._unpin(now)

    def _unpin(self, now: int) -> None:
        """A joiner that is too slow for the writes must not fill the memory with the log that it still needs: it begins
        again, with a snapshot, without asking the coordinator. Nobody who counts for R3 is a joiner here (R19)."""
        state = self._state
        settings = state.settings
        log = state.log
        for member, stream in list(self.streams.items()):
            pinned_seq = stream.pinned_seq
            if pinned_seq is None or stream in self.union or member in state.known.in_sync:
                continue
            if log.bytes_between(pinned_seq, log.last_seq) > settings.join_log_bytes_max:
                state.note("join_too_slow", f"{member} needs more than {settings.join_log_bytes_max} bytes of the log")
                stream.stop()
                self.streams[member] = self._open(now, member)
                log.trim(self.pinned_seq(), settings.log_bytes_max, settings.log_entries_max)

    def changed(self, now: int) -> None:
        """A change of membership of this tenure's own is known to have succeeded."""
        if self.adding is not None and self.adding not in self._state.known.joining:
            self.adding = None
        self.resume(now)
        self.refresh(now)
        self.beacon(now)

    def end(self) -> None:
        for stream in self.streams.values():
            stream.stop()

    def validate(self) -> None:
        state = self._state
        members = {stream.member for stream in self.union}
        assert state.me not in members and state.me not in self.streams
        if state.rules.removal_known:
            assert members >= {m for m in state.known.in_sync if m != state.me}
        for stream in self.streams.values():
            stream.validate()
            assert self.streams[stream.member] is stream
        assert self.lease_until == FOREVER or any(s.lease_until == self.lease_until for s in self.union)
