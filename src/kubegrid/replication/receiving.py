"""What a message of the known epoch does: at a primary, and at a member that is not.

The two that carry the data, `Append` and `Ack`, do not come this way: `replica` passes them on by itself.
"""

from kubegrid.base.ids import Member
from kubegrid.replication import messages
from kubegrid.replication.following import Following
from kubegrid.replication.member import MemberState
from kubegrid.replication.membership import Membership
from kubegrid.replication.messages import Message
from kubegrid.replication.promises import Promises
from kubegrid.replication.tenure import Tenure


def from_primary(state: MemberState, sender: Member) -> bool:
    return sender == state.known.primary or not state.rules.fencing


def as_primary(
    now: int, state: MemberState, tenure: Tenure, membership: Membership, sender: Member, message: Message
) -> None:
    """Everything but `Ack`."""
    stream = tenure.streams.get(sender)
    if isinstance(message, messages.BeaconAck):
        tenure.beacon_acknowledged(now, sender, message)
    elif isinstance(message, messages.JoinRequest):
        membership.asked_to_join(now, sender)
    elif isinstance(message, messages.LeaveRequest):
        membership.asked_to_leave(now, sender)
    elif isinstance(message, messages.Stopped):
        if message.configuration.epoch >= tenure.epoch:
            tenure.stopped(now, sender)
    elif stream is not None and isinstance(message, messages.LogShape) and message.tenure == tenure.epoch:
        stream.shaped(now, message, tenure.take_number())
        if not state.rules.acks_by_tenure:
            stream.pump(now)
            tenure.refresh(now)
    elif stream is not None and isinstance(message, messages.SnapshotAck) and message.tenure == tenure.epoch:
        stream.loaded(now, message)
    if stream is not None:
        stream.heard_ms = now
        stream.connected = True


def as_follower(
    now: int, state: MemberState, promises: Promises, following: Following, sender: Member, message: Message
) -> None:
    """Everything but `Append`."""
    if not isinstance(message, messages.FROM_PRIMARY) or not from_primary(state, sender):
        if message.configuration.epoch < state.epoch and not isinstance(message, messages.ANSWERS):
            state.send(sender, messages.News(state.known))
        return
    if isinstance(message, messages.Beacon):
        _beacon(now, state, promises, following, sender, message)
    elif isinstance(message, messages.Match):
        following.match(now, sender, message)
    elif isinstance(message, messages.Matched):
        following.matched_at(now, sender, message)
    elif isinstance(message, messages.SnapshotBegin):
        following.begin_snapshot(now, sender, message)
    elif isinstance(message, messages.SnapshotSlice):
        following.load_slice(now, sender, message)


def _beacon(
    now: int, state: MemberState, promises: Promises, following: Following, sender: Member, message: messages.Beacon
) -> None:
    known = state.known
    promises.quiet_since = now
    if state.me in known.in_sync or state.me in known.joining:
        promises.acknowledge(now, sender)
        ready = state.preferred and not state.leaving
        state.send(sender, messages.BeaconAck(known, message.tenure, message.sent_ms, ready, state.leaving, now))
        following.beacon(message)
