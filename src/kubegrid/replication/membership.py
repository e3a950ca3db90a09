"""What a primary wants its configuration to be, and the way there (R2, R3).

On each tick it compares what it wants with what is: members that are lost are removed, those who ask are taken up as
joiners, and one joiner at a time that has caught up is added to the in-sync set: the union opens for it first, and the
swap is sent only when it has acknowledged all that was confirmed before (R3). A member whose removal has been proposed
stays condemned until the outcome is known, even if it comes back meanwhile: it can join again.
"""

from kubegrid.base.ids import Member
from kubegrid.replication.member import MemberState
from kubegrid.replication.proposals import Proposals
from kubegrid.replication.stream import Phase, Stream
from kubegrid.replication.tenure import Tenure

JOINING_MAX = 4
"""Joiners at a time: each costs the primary a snapshot. The others ask again."""
SLOW_FACTOR = 10
"""A joiner for which nobody waits yet has so many times longer before it is dropped: over a link of one megabit a second a
frame of the log takes eight seconds, what it says comes behind, and beginning again would not be faster."""


class Membership:
    """Invariant: `requests` and `leavers` hold members that asked within the last `join_stall_ms`."""

    def __init__(self, state: MemberState, tenure: Tenure, proposals: Proposals) -> None:
        self._state = state
        self._tenure = tenure
        self._proposals = proposals
        self.requests: dict[Member, int] = {}
        self.leavers: dict[Member, int] = {}

    def asked_to_join(self, now: int, member: Member) -> None:
        self.requests[member] = now

    def asked_to_leave(self, now: int, member: Member) -> None:
        self.leavers[member] = now
        self.requests.pop(member, None)

    def tick(self, now: int) -> None:
        """Propose what is wanted, or repeat what is open."""
        self._forget_old(now)
        tenure = self._tenure
        state = self._state
        self._give_up_adding(now)
        self._open_union(now)
        in_sync, joining = self._wanted(now)
        newest = self._proposals.open[-1].configuration if self._proposals.open else None
        known = state.known
        wanted = (state.me, in_sync, joining)
        is_so = wanted == (known.primary, known.in_sync, known.joining)
        if is_so or (newest is not None and wanted == (newest.primary, newest.in_sync, newest.joining)):
            self._proposals.repeat(now)
        elif self._proposals.settled(now) and self._proposals.propose(now, *wanted) is not None:
            self._count(in_sync, joining)
            tenure.refresh(now)

    def _count(self, in_sync: tuple[Member, ...], joining: tuple[Member, ...]) -> None:
        known = self._state.known
        for member in known.in_sync:
            if member not in in_sync:
                self._state.note("remove", str(member))
        for member in in_sync:
            if member not in known.in_sync:
                self._state.note("add", str(member))
        if any(m not in known.joining for m in joining):
            self._state.count("joiners_taken_up")

    def _wanted(self, now: int) -> tuple[tuple[Member, ...], tuple[Member, ...]]:
        state = self._state
        known = state.known
        tenure = self._tenure
        in_sync = [m for m in known.in_sync if m == state.me or not self._lost(now, m)]
        joining = [m for m in known.joining if not self._gone(now, m)]
        adding = tenure.adding
        if adding is not None and adding in joining and tenure.streams[adding].acked_seq >= tenure.barrier_seq:
            in_sync.append(adding)
            joining.remove(adding)
        spare = len(in_sync) - state.settings.min_in_sync
        for member in list(self.leavers):
            if member in joining:
                joining.remove(member)
            elif member in in_sync and member != state.me and spare > 0:
                in_sync.remove(member)
                spare -= 1
        names = known.names()
        for member in self.requests:
            if member.name not in names and len(joining) < JOINING_MAX:
                names.add(member.name)
                joining.append(member)
        return tuple(in_sync), tuple(joining)

    def _superseded(self, member: Member) -> bool:
        """R2: another incarnation of this name asks to join; this one has to go first."""
        return any(m.name == member.name and m != member for m in self.requests)

    def _lost(self, now: int, member: Member) -> bool:
        """Whether an in-sync member has to be removed."""
        tenure = self._tenure
        if any(member not in p.configuration.in_sync for p in self._proposals.open) or self._superseded(member):
            return True
        stream = tenure.streams[member]
        if member in tenure.missing or stream.unusable or not stream.connected:
            return True
        settings = self._state.settings
        if not tenure.silent and now - stream.heard_ms > settings.silence_ms:
            return True
        return self._stalled(now, stream, settings.join_stall_ms)

    def _gone(self, now: int, member: Member) -> bool:
        """Whether a joiner has to be dropped: at once like a backup, if writes already wait for it."""
        tenure = self._tenure
        stream = tenure.streams[member]
        if self._superseded(member) or not stream.connected or member in tenure.missing:
            return True
        in_union = member == tenure.adding or any(member in p.configuration.in_sync for p in self._proposals.open)
        settings = self._state.settings
        stall_ms = settings.join_stall_ms * (1 if in_union else SLOW_FACTOR)
        if not tenure.silent and now - stream.heard_ms > (settings.silence_ms if in_union else stall_ms):
            return True
        return self._stalled(now, stream, stall_ms)

    def _stalled(self, now: int, stream: Stream, patience_ms: int) -> bool:
        since = stream.stalled_since
        return since is not None and not self._tenure.silent and now - since > patience_ms

    def _open_union(self, now: int) -> None:
        """Choose a joiner that has caught up: from here on it counts for R3."""
        tenure = self._tenure
        if tenure.adding is not None or not tenure.serving or not tenure.equal:
            return
        log = self._state.log
        for member in self._state.known.joining:
            stream = tenure.streams[member]
            if (
                stream.phase is Phase.LOG
                and stream.caught_up
                and stream.lease_until > now
                and log.commit_seq >= stream.settled_seq
                and member not in self.leavers
                and not self._gone(now, member)
            ):
                tenure.adding = member
                tenure.barrier_seq = log.commit_seq
                tenure.refresh(now)
                return

    def _give_up_adding(self, now: int) -> None:
        tenure = self._tenure
        member = tenure.adding
        if member is not None and (member not in self._state.known.joining or self._gone(now, member)):
            tenure.adding = None
            tenure.refresh(now)

    def _forget_old(self, now: int) -> None:
        stall_ms = self._state.settings.join_stall_ms
        known = self._state.known
        for asked in (self.requests, self.leavers):
            for member in [m for m, ms in asked.items() if now - ms > stall_ms]:
                del asked[member]
        for member in [m for m in self.requests if m in known.joining or m in known.in_sync]:
            del self.requests[member]
