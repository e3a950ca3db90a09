"""Switches that take one rule of the protocol away, so that the simulator can prove that it would be missed.

One bool per rule, and per mistake that is known to lose data in systems like this one. Production code never
passes anything but `ALL`; the core asks a switch only where its rule is kept, and never on the way of a batch that needs
no decision.
What a switched-off rule does instead is the mistake that a careless author would make, not the worst imaginable one.
"""

import msgspec


class Rules(msgspec.Struct, frozen=True):
    """All true: the protocol. One false: the protocol without that rule."""

    conditional_write: bool = True
    """R1. Off: the configuration is written whatever version the coordinator holds (`ANY_TOKEN`)."""
    unknown_stays_open: bool = True
    """R1, R3. Off: a lost answer or "version differs" is taken for a failure, and the proposal is forgotten."""
    joiner_waits: bool = True
    """R2. Off: a joiner that believes it has everything adds itself to the in-sync set."""
    incarnations: bool = True
    """R2, R6, R8. Off: members are told apart by name only (`Member(name, "")`), so an empty one inherits a full one's place."""
    joiner_in_union: bool = True
    """R3. Off: while a joiner is being added, writes are confirmed without it."""
    removal_known: bool = True
    """R3. Off: what a silent member lacks is confirmed as soon as its removal is proposed."""
    confirm_by_all: bool = True
    """R6. Off: a write is confirmed as soon as the primary has it."""
    acks_by_tenure: bool = True
    """R6. Off: an acknowledgement counts by its number, whichever tenure or copy of the log it was given for."""
    reads_wait: bool = True
    """R7. Off: `readable()` is the end of the log (dirty reads)."""
    lease_checked: bool = True
    """R8. Off: the primary answers without any lease."""
    lease_from_each: bool = True
    """R8. Off: the lease of one backup is enough."""
    lease_from_sending: bool = True
    """R8. Off: a lease is counted from the arrival of the acknowledgement."""
    echoes_under_lease: bool = True
    """R8. Off: a primary without leases tells backups how fresh they are; another may have confirmed more meanwhile."""
    leases_end_with_tenure: bool = True
    """R8. Off: leases outlive their tenure: a new one starts with those of the last, and meanwhile reads go on under them."""
    fencing: bool = True
    """R10. Off: frames of a lower epoch are served as if they were the primary's."""
    in_sync_promotes: bool = True
    """R11. Off: a joiner, or a member that was removed, promotes itself as well."""
    grace_before_promotion: bool = True
    """R11. Off: a backup promotes itself after two missed beacons."""
    grace_exceeds_lease: bool = True
    """R11. Off: the grace is half a lease, for R11 and for R12."""
    other_leases_awaited: bool = True
    """R12. Off: a winner answers without waiting for the leases that it gave to others."""
    inherited_uncommitted: bool = True
    """R13. Off: a winner commits what it inherited at once."""
    equal_before_serving: bool = True
    """R13. Off: a winner serves before the others are equal to it, from a store that lacks what it inherited."""
    match_before_apply: bool = True
    """R14. Off: a backup applies up to the primary's commit point before its log has been matched."""
    truncate_by_epoch: bool = True
    """R14. Off: logs are matched by length."""
    replies_dropped: bool = True
    """R15. Off: a deposed primary keeps its pending replies; a later commit point that passes their number releases them."""
    handover_stops_reads: bool = True
    """R16. Off: a hand-over stops only writes; the old primary answers reads while its leases last (`Gate.READS`)."""
    promises_of_the_dead: bool = True
    """R20. Off: a primary that the manager made waits for its own promises only, not for those that died with others."""
    snapshot_thrown_away: bool = True
    """R18. Off: a joiner keeps a snapshot whose position was not committed when the primary changes."""


ALL = Rules()
