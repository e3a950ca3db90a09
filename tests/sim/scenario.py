"""What a seed is like: how many members, which limits, how bad the network, which faults and how often.

Each seed draws its own mixture and leaves many kinds of faults out altogether ("swarm testing": Groce et al. 2012): a
seed with everything at once hides the histories that need a quiet spell. The times are a few times shorter than the
defaults, in the same relations and at the edge of what `ReplicationSettings.check` allows, so that a few virtual seconds
hold many failovers. Next on the path: `world` builds what this describes.
"""

import random
from dataclasses import dataclass, field

from kubegrid.base.settings import ReplicationSettings

FAULTS = {
    "isolate-backup": 5.0,
    "isolate-primary": 4.0,
    "cut-pair": 3.0,
    "cut-one-way": 3.0,
    "strand-primary": 4.0,
    "strand-in-steps": 3.0,
    "flap": 3.0,
    "split": 2.0,
    "clog": 2.0,
    "crash": 3.0,
    "crash-primary": 3.0,
    "pause": 2.0,
    "pause-primary": 3.0,
    "pause-and-cut": 2.0,
    "stall-in-turn": 2.0,
    "suspend-all": 0.5,
    "wall-clock-jump": 0.5,
    "coordinator-outage": 1.5,
    "coordinator-cut": 3.0,
    "coordinator-slow": 1.5,
    "hand-over": 3.0,
    "leave": 1.5,
    "disconnect": 1.5,
    "replace": 0.7,
    "burst": 1.0,
}
"""Kinds of faults and how likely each is, relative to the others, in a seed that has it."""


@dataclass
class Scenario:
    """Everything that a seed decides before its first event."""

    members: int
    all_in_sync: bool
    """Whether the partition begins with all members in sync (all empty), or with one that the others join."""
    settings: ReplicationSettings
    failback: bool
    clients: int
    roamers: int
    think_ms: int
    """A client's longest pause between two operations."""
    patience_ms: int
    """How long a client waits for an answer before it closes the connection."""
    chaos_ms: int
    calm_ms: int
    """The mean time between two faults."""
    delay_us: tuple[int, int]
    loss: float
    duplication: float
    reordering: float
    ordered: bool
    """Whether messages between two members keep their order (TCP) unless another fault says otherwise."""
    notices: float
    """How likely a closed connection is noticed."""
    stale_reads: float
    lost_answers: float
    late_cas: float
    clock_drift: float
    """Largest difference of a lease clock's rate from 1, as a fraction."""
    slice_ms: int
    """Time between two slices of a snapshot; 0 sends them as fast as the window allows."""
    eager: float
    """How likely a new primary is met by a write the moment it serves (clients that are told of changes)."""
    ambush: float
    """How likely a decisive moment (a swap, a tenure's beginning, a snapshot, a hand-over) is met by a fault."""
    faults: dict[str, float] = field(default_factory=dict)
    reckless: bool = False
    """Whether crashes may take the whole in-sync set."""


def draw(rng: random.Random) -> Scenario:
    members = rng.choices((1, 2, 3, 4), (4, 28, 48, 20))[0]
    lease_ms, grace_ms, drift_ms = 240, 280, 40
    settings = ReplicationSettings(
        tick_ms=25,
        beacon_ms=50,
        silence_ms=rng.choice((110, 110, 200)),
        lease_ms=lease_ms,
        drift_ms=drift_ms,
        grace_ms=grace_ms,
        promotion_stagger_ms=rng.choice((0, 25)),
        cas_retry_ms=60,
        read_retry_ms=60,
        configuration_poll_ms=150,
        resend_ms=70,
        handover_hold_ms=80,
        finish_ms=350,
        failback_after_ms=400,
        join_stall_ms=300,
        min_in_sync=rng.choice((1, 1, 2)) if members > 2 else rng.choice((1, 1, 1, members)),
        copies=members,
        log_entries_max=rng.choice((4, 8, 1000)),
        inflight_bytes_max=rng.choice((4000, 1 << 20)),
        frame_bytes_target=rng.choice((400, 1 << 20)),
        snapshot_slices_inflight=rng.choice((1, 2)),
    )
    settings.check()
    chosen = {kind: weight for kind, weight in FAULTS.items() if rng.random() < 0.45}
    if not chosen:
        chosen = {"isolate-backup": 1.0, "isolate-primary": 1.0}
    clean = rng.random() < 0.4
    return Scenario(
        members=members,
        all_in_sync=rng.random() < 0.5,
        settings=settings,
        failback=rng.random() < 0.4,
        clients=rng.choice((1, 2, 3)),
        roamers=rng.choice((0, 2, 2)),
        think_ms=rng.choice((30, 80, 400, 1500)),
        patience_ms=rng.choice((150, 400, 1000)),
        chaos_ms=rng.choice((1200, 2000, 3000)),
        calm_ms=rng.choice((60, 150, 150, 300)),
        delay_us=rng.choice(((200, 1000), (500, 5000), (1000, 20_000))),
        loss=0.0 if clean else rng.choice((0.0, 0.01, 0.1)),
        duplication=0.0 if clean else rng.choice((0.0, 0.02, 0.2)),
        reordering=0.0 if clean else rng.choice((0.0, 0.02, 0.2)),
        ordered=clean or rng.random() < 0.5,
        notices=rng.choice((0.0, 0.5, 1.0)),
        stale_reads=rng.choice((0.0, 0.0, 0.2)),
        lost_answers=rng.choice((0.0, 0.0, 0.2)),
        late_cas=rng.choice((0.0, 0.0, 0.2)),
        clock_drift=rng.choice((0.0, 0.5, 1.0)) * (grace_ms - lease_ms - 4) / (grace_ms + lease_ms),
        slice_ms=rng.choice((0, 5, 40)),
        eager=rng.choice((0.0, 0.7, 1.0)),
        ambush=rng.choice((0.0, 0.15, 0.4)),
        faults=chosen,
        reckless=rng.random() < 0.12,
    )
