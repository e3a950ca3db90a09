"""R20: how a partition begins, and how it begins again when every copy of it is lost. Pure decisions.

All other changes of a configuration are the primary's (R2) or a promoted backup's. The manager makes one only where
nobody else may: when there has never been one, and when every incarnation of the in-sync set is *proven* dead. A lone
member needs no lease, so only its death fences it; a missed renewal, a broken link or a lost machine prove nothing.

Given up is what the dead held and no survivor has. So it happens by itself only where the grid was declared to bear it
(`on_loss: startEmpty`) or was taken down in order; else the partition stays down and says so until a person accepts the
loss. In each case the survivor of the highest (epoch, seq) goes first, then an empty member.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member, command_line
from kubegrid.coordination import Death, MemberRecord

START_EMPTY = "startEmpty"
PROPOSER = "manager"


class View(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known about one partition."""

    grid: str
    name: str
    """The grid's."""
    partition: int
    stored: Configuration | None
    """What the coordinator has; None when the partition has not begun."""
    records: Sequence[MemberRecord]
    """Its members whose lease runs, of each name the newest."""
    dead: dict[Member, Death]
    """Proofs."""
    on_loss: str
    first_primary: str
    """The member that a new partition begins with."""
    copies: int = 1
    settled: bool = True
    """Members had time to register: a better survivor, or the preferred one, would be here by now."""
    closed_at: float | None = None
    """When an orderly down was begun that covers every incarnation of the in-sync set."""
    now: float


class Propose(msgspec.Struct, frozen=True):
    """Store this configuration by compare-and-swap."""

    configuration: Configuration


class Wait(msgspec.Struct, frozen=True):
    """Nothing can be done yet, or by the manager; `explanation` says why, for people, when the partition is not well."""

    explanation: str = ""
    for_person: bool = False
    """A person has to decide."""


class Refuse(msgspec.Struct, frozen=True):
    """A loss that was to be accepted is not proven."""

    reason: str
    not_proven: tuple[Member, ...] = ()
    for_now: bool = False
    """Nothing speaks against it, but no member of the partition runs yet: ask again in a moment."""


def decide(view: View) -> Propose | Wait:
    """What the manager does by itself."""
    stored = view.stored
    if stored is None:
        return _begin(view)
    unproven = [member for member in stored.in_sync if member not in view.dead]
    if unproven:
        missing = sorted(str(m) for m in unproven if not any(record.member == m for record in view.records))
        if len(missing) < len(unproven):
            return Wait()
        return Wait(
            f"partition {view.partition}: no member of its in-sync set is registered ({', '.join(missing)}), "
            "and their death is not proven; it goes on when one of them is back"
        )
    if view.closed_at is not None:
        note = f"the grid was taken down in order at {_time(view.closed_at)}: its memory ended with it"
        return _begin_again_when_settled(view, note)
    if view.on_loss == START_EMPTY:
        return _begin_again_when_settled(view, f"{_loss(view)}; started again by itself, as onLoss: startEmpty says")
    advice = f"run `{command_line(f'partition accept-loss {view.partition}', view.name)}`"
    survivor = _survivor(view)
    if survivor is not None:
        advice = f"{survivor.name} has what there was up to {_position(survivor)}, and goes on with that; {advice}"
    return Wait(f"{_loss(view)}; {advice}", for_person=True)


def accept_loss(view: View, also_dead: Sequence[Member], vouched_by: str, connected: set[Member]) -> Propose | Refuse:
    """A person accepts that the partition's data are lost; `also_dead` is what this person vouches for or proves."""
    stored = view.stored
    if stored is None:
        return Refuse(f"partition {view.partition} has not begun: there is nothing to lose")
    alive = tuple(member for member in stored.in_sync if member not in view.dead and member in connected)
    if alive:
        verb = "lives" if len(alive) == 1 else "live"
        return Refuse(f"partition {view.partition} is not lost: {_names(alive)} of its in-sync set {verb}")
    unproven = tuple(m for m in stored.in_sync if m not in view.dead and m not in also_dead)
    if unproven:
        return Refuse(
            f"partition {view.partition}: it is not proven that {_names(unproven)} is dead; "
            "a member that only cannot be reached may still serve",
            unproven,
        )
    by = f", vouched for by {vouched_by}" if vouched_by else ""
    decision = _begin_again(view, f"{_loss(view)}; the loss was accepted at {_time(view.now)}{by}")
    if isinstance(decision, Wait):
        reason = f"partition {view.partition}: none of its members runs, so nobody can begin again; start one, and repeat this"
        return Refuse(reason, for_now=True)
    return decision


def _begin(view: View) -> Propose | Wait:
    for record in view.records:
        if record.name == view.first_primary and record.member not in view.dead:
            first = record.member
            break
    else:
        return Wait(f"partition {view.partition} has not begun: it waits for {view.first_primary} to register")
    return Propose(_configuration(view, 1, first, "the grid was made"))


def _begin_again_when_settled(view: View, note: str) -> Propose | Wait:
    if len(_living(view)) < view.copies and not view.settled:
        return Wait(f"{note}; waits a moment for its members")
    return _begin_again(view, note)


def _begin_again(view: View, note: str) -> Propose | Wait:
    assert view.stored is not None
    survivor = _survivor(view)
    if survivor is not None:
        chosen = survivor
        kept = f"{chosen.name} kept what it had up to {_position(chosen)}"
    elif living := _living(view):
        chosen = min(living, key=lambda record: (record.name != view.first_primary, record.ordinal))
        kept = f"{chosen.name} starts empty"
    else:
        return Wait(f"{note}; waits for a member to begin with")
    return Propose(_configuration(view, view.stored.epoch + 1, chosen.member, f"{note}; {kept}"))


def _living(view: View) -> list[MemberRecord]:
    return [record for record in view.records if record.member not in view.dead]


def _survivor(view: View) -> MemberRecord | None:
    """The member that was a copy once and has most. It may have all that was acknowledged: a primary that died while it
    removed this member had nothing confirmed without it."""
    complete = [record for record in _living(view) if record.complete]
    return max(complete, key=lambda record: (record.position, record.name == view.first_primary), default=None)


def _configuration(view: View, epoch: int, primary: Member, note: str) -> Configuration:
    return Configuration(
        grid=view.grid,
        partition=view.partition,
        epoch=epoch,
        primary=primary,
        in_sync=(primary,),
        proposer=PROPOSER,
        note=note,
    )


def _loss(view: View) -> str:
    assert view.stored is not None
    deaths = [view.dead[member] for member in view.stored.in_sync if member in view.dead]
    if not deaths:
        return f"partition {view.partition}: no copy is known"
    said = ", ".join(f"{death.member} died at {_time(death.at)} ({death.how})" for death in deaths)
    copies = "all copies" if _survivor(view) is None else "all copies in sync"
    return f"partition {view.partition}: {copies} were lost: {said}"


def _position(record: MemberRecord) -> str:
    return f"{record.last_epoch}.{record.last_seq}"


def _names(members: Sequence[Member]) -> str:
    return ", ".join(str(member) for member in members)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
