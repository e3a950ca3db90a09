"""Every limit and every time of the system, with its meaning, unit, default and reason.

Grouped by who uses them. The defaults of `ReplicationSettings` are the ones that `bench/failover.py` was measured with;
they hold these relations, which `check()` enforces:

    beacon_ms  <  silence_ms  <  lease_ms  <  grace_ms - drift_ms

A silent backup is noticed (`silence_ms`) and removed by compare-and-swap before its lease runs out, or the primary would
fall silent for want of it; a backup waits for `grace_ms` before it takes over, and by then every lease that the old
primary could hold has run out, even if the two clocks differ by the drift margin.
"""

import msgspec

MIB = 1024 * 1024


class ReplicationSettings(msgspec.Struct, frozen=True):
    """Times and limits of the replication protocol."""

    tick_ms: int = 20
    """How often the driver wakes the state machine. Finer than the beacon, coarser than a scheduler's quantum."""
    beacon_ms: int = 50
    """Interval of the primary's heartbeat, sent by the serving loop itself (R8)."""
    silence_ms: int = 300
    """A backup that acknowledged nothing for this long is proposed for removal (R3). A closed connection counts at once."""
    lease_ms: int = 500
    """How long a primary may answer after the sending of a beacon that a backup acknowledged (R8)."""
    drift_ms: int = 50
    """By how much two lease clocks may differ over one grace period: 7 %, far above any real quartz (R11)."""
    grace_ms: int = 650
    """How long a backup waits without a beacon before it promotes itself (R11)."""
    promotion_stagger_ms: int = 40
    """The k-th backup in the configuration's order waits k times this on top, so that two rarely compete."""
    cas_retry_ms: int = 100
    """A compare-and-swap without a known outcome is repeated after this (R1)."""
    read_retry_ms: int = 150
    """A reading of the configuration without an answer is repeated after this."""
    configuration_poll_ms: int = 1000
    """A member that hears from no primary reads the configuration this often; a watch is a hint only."""
    resend_ms: int = 200
    """Entries not acknowledged for this long are sent again."""
    handover_hold_ms: int = 400
    """How long a hand-over may hold new requests before the old primary resumes (R16)."""
    finish_ms: int = 1500
    """A winner that makes no progress towards serving for this long falls silent so that another may try (R17)."""
    failback_after_ms: int = 30_000
    """Full redundancy for this long before a primary that is not the preferred one hands over (R16)."""
    join_stall_ms: int = 3000
    """A member for which writes wait and that acknowledged nothing of what it was sent for this long is dropped, so that it
    holds up nobody (R2); a joiner for which nobody waits yet has ten times as long."""
    min_in_sync: int = 1
    """Copies without which a write is refused (R9)."""
    copies: int = 2
    """Members that the partition should have: the primary and its backups. Full redundancy is this many in sync."""
    frame_bytes_target: int = 1 * MIB
    """Entries are packed into frames of about this size when a log is sent again or to a joiner."""
    inflight_bytes_max: int = 16 * MIB
    """Entries sent to one member and not acknowledged; beyond it they wait in the log."""
    log_bytes_max: int = 64 * MIB
    """Committed entries kept so that a member that returns can join by log instead of by snapshot (R14)."""
    log_entries_max: int = 100_000
    """The same as a count."""
    join_log_bytes_max: int = 512 * MIB
    """Log kept for a joiner that is slower than the writes: beyond it, it is forgotten and the joiner begins again with a
    snapshot. Enough for a snapshot of some gigabytes under steady writes; never less than `log_bytes_max`."""
    snapshot_slices_inflight: int = 4
    """Slices of a snapshot on their way to one joiner."""

    def check(self) -> None:
        """Raise ValueError when the times cannot keep the protocol's promises."""
        if not self.beacon_ms < self.silence_ms < self.lease_ms < self.grace_ms - self.drift_ms + 1:
            raise ValueError(
                "replication times must hold beacon_ms < silence_ms < lease_ms <= grace_ms - drift_ms; got "
                f"beacon_ms={self.beacon_ms} silence_ms={self.silence_ms} lease_ms={self.lease_ms} "
                f"grace_ms={self.grace_ms} drift_ms={self.drift_ms}"
            )
        if self.join_log_bytes_max < self.log_bytes_max:
            raise ValueError(
                f"join_log_bytes_max={self.join_log_bytes_max} must not be below log_bytes_max={self.log_bytes_max}: "
                "a joiner would begin again for a log that is kept anyway"
            )


class StoreSettings(msgspec.Struct, frozen=True):
    """Limits of what is stored and of how much is done in one go."""

    key_bytes_max: int = 64 * 1024
    """Longest key."""
    value_bytes_max: int = 16 * MIB
    """Longest string value or hash field; also the longest bulk string a client may send. A value is copied several times
    on its way to the backups, each time in one go: longer ones would keep beacons from leaving for too long."""
    slice_bytes: int = 256 * 1024
    """One slice of a snapshot: small enough that cutting and loading it stay well under a loop turn's 50 ms."""
    slice_units: int = 4000
    """Keys or fields that one slice of a long command touches: a few milliseconds. The most that one of expiry or clean-up does
    (`node.pace`)."""
    atomic_units_max: int = 20_000
    """Keys or fields that a command which must be atomic (HGETALL, MSET, one command in EXEC) may touch: a fifth of what
    took 160 to 330 ms on a busy machine."""
    atomic_bytes_max: int = 32 * MIB
    """Bytes of a hash that RENAME or COPY may move: its content is one log entry, and that is one frame."""
    reply_bytes_max: int = 64 * MIB
    """One command's reply, and the replies of one EXEC: a few words may ask for every value that there is. Only a single
    value or record is answered whatever its size. A member with little memory answers less (`node.pod`)."""
    transaction_commands_max: int = 10_000
    """Commands that one MULTI may queue."""


class ClientSettings(msgspec.Struct, frozen=True):
    """Limits of a client's connection (Redis protocol)."""

    arguments_max: int = 1024 * 1024
    """Elements of one request's array, as in Redis."""
    inline_bytes_max: int = 64 * 1024
    """An inline request's line, as in Redis."""
    unauthenticated_arguments_max: int = 10
    unauthenticated_bulk_bytes_max: int = 16384
    """What a client may send before AUTH, as in Redis."""
    query_bytes_max: int = 32 * MIB
    """An unfinished request's bytes kept for one connection; also what one MULTI may queue. It is one log entry."""
    output_bytes_max: int = 64 * MIB
    """Replies that a client has not read: beyond it the connection is closed."""
    output_bytes_pause: int = 1 * MIB
    """Replies not read at which no more requests of this connection are read."""
    clients_max: int = 10_000
    tcp_keepalive_s: int = 300
    """Silence after which a client's machine is asked whether it is still there, as in Redis. 0: never."""
    idle_timeout_s: int = 0
    """Silence after which a client is closed (`timeout` of CONFIG). 0: never, as in Redis."""
    request_timeout_ms: int = 5000
    """A write that was executed and not confirmed within this: the connection is closed, outcome unknown."""


class SqlSettings(msgspec.Struct, frozen=True):
    """Limits of SQL in one data pod. A statement runs in threads beside the serving loop; none of this slows a GET."""

    queries_max: int = 4
    """Statements that one pod coordinates at once. More wait."""
    queue_max: int = 64
    """Statements that wait; the next one is refused."""
    fragments_max: int = 16
    """Parts of statements that one member runs at once, for whatever pod coordinates them. More wait, in their time."""
    threads: int = 1
    """Of DuckDB in one member, beside the threads that ask. Two small machines' cores have other things to do."""
    statement_timeout_ms: int = 60_000
    """The longest that a statement may take, with its waiting; a client may ask for less."""
    catalog_wait_ms: int = 2000
    """How long a fragment waits for the member to hear of the tables that it was planned with."""
    memory_bytes: int = 0
    """Of DuckDB for the columnar replica and what runs on it, and as much again for gathering. 0: a quarter of the
    member's memory, but at least `memory_bytes_min`."""
    memory_bytes_min: int = 64 * MIB
    spill_bytes_max: int = 4096 * MIB
    """Of temporary files, for the replica and for gathering each."""
    spill_folder: str = ""
    """Where they are: a folder of this process's own is made in it. Empty: the member's state folder, or the system's."""
    statement_bytes_max: int = 1 * MIB
    """Of one statement's text, without its parameters."""
    parameters_max: int = 10_000
    result_bytes_max: int = 1024 * MIB
    """Of Arrow that one statement may answer; larger ones are exported, or asked for in parts."""
    batch_rows: int = 65_536
    """Rows of one Arrow batch on its way."""
    replica_idle_s: float = 600.0
    """A table that nobody asked for so long loses its columnar replica; the next question builds it anew."""
    delta_rows_background: int = 2000
    """Changed records of a table at which they are applied without waiting for a question, if some came lately."""
    delta_lately_s: float = 10.0
    """What lately is: a table asked within this time is kept fresh."""
    broadcast_bytes_max: int = 256 * MIB
    """Of one broadcast table's rows that a member fetches from their owners for a join."""

    def replica_bytes(self, member_bytes: int) -> int:
        """What one DuckDB of a member with this much memory may use."""
        return self.memory_bytes or max(member_bytes // 4, self.memory_bytes_min)


class NodeConfig(msgspec.Struct):
    """What `kubegrid node --config FILE` reads: one member of one partition."""

    grid: str
    grid_id: str
    name: str
    partition: int
    ordinal: int
    partitions: int
    preferred: bool
    """Whether this member is the preferred primary of its partition."""
    bind: str
    advertise: str
    """The address that clients and other members are told."""
    resp_port: int
    http_port: int
    replication_port: int
    managers: list[str]
    """`host:port` of each manager's coordination port."""
    memory_bytes: int
    """The member's whole memory (its container's limit); records get the part that keeps the process inside."""
    state_dir: str
    flight_port: int = 0
    """Of Arrow Flight. 0: chosen freely and published."""
    secret_file: str | None = None
    host: str = ""
    zone: str | None = None
    failback: bool = True
    busy_wait: bool = True
    """Whether the serving loop looks for what comes next before it sleeps, where that is of use (`node.looking`)."""
    on_loss: str = "wait"
    replication: ReplicationSettings = ReplicationSettings()
    store: StoreSettings = StoreSettings()
    clients: ClientSettings = ClientSettings()
    sql: SqlSettings = SqlSettings()


class ManagerConfig(msgspec.Struct):
    """What `kubegrid manager --config FILE` reads."""

    grid: str
    grid_id: str
    name: str
    bind: str
    advertise: str
    http_port: int
    coordination_port: int
    state_dir: str
    partitions: int
    copies: int
    on_loss: str
    first_primaries: dict[str, str]
    """Partition number (as text) → name of the member that a new grid starts with as primary."""
    spec: dict[str, object]
    """The manifest's `spec`, as given, for `status` and the console."""
    secret_file: str | None = None
    lookup_lease_ms: int = 3000
    """A member that does not renew for this long disappears from the lookup service."""
    arrival_ms: int = 2000
    """After a manager's start, members have this long to register before one may change a configuration without the others
    of its in-sync set, who may know a newer one: four times the pause between two attempts to connect."""
