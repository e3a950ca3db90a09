"""Drives one member's `Replica` with real links, real clocks and the real coordinator.

The state machine decides; this carries out. Inputs (frames, ticks, answers of the coordinator) are queued with the turn
and run in its step 2, so that everything executed before them is in the log; `drain` is the turn's step 3 and carries
out the instructions in order. Nothing here calls the state machine at any other moment, except for `append`, `gate` and
`releasable`, which the turn asks at its own steps.

Clock: CLOCK_BOOTTIME in milliseconds, which counts suspended time, so that a lease runs out while a laptop sleeps (R8).

Not here: what the store does with entries (`applying`), how members reach each other (`peers`), and who decides what
clients are told (`turn`). Next on the path of the data: `replication.replica`.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.base.settings import NodeConfig
from kubegrid.node.applying import Applying
from kubegrid.node.coordinator_link import CoordinatorLink
from kubegrid.node.handover_hold import HandoverHold
from kubegrid.node.peers import Peers
from kubegrid.node.snapshots import SnapshotStreams
from kubegrid.node.turn import Turn
from kubegrid.replication import (
    URGENT,
    Apply,
    CompareAndSwap,
    DropReplies,
    Gate,
    LoadSlice,
    Message,
    Note,
    ReadConfiguration,
    Replica,
    ResetStore,
    Revert,
    Role,
    RoleChanged,
    Send,
    StopSnapshot,
    StreamSnapshot,
)
from kubegrid.store import Keyspace
from kubegrid.wire.replication import MalformedMessage, MessageCodec

log = logging.getLogger("kubegrid.node.member")

CLOCK = time.CLOCK_BOOTTIME
SMALL_EFFECTS = 4
"""An entry of no more than these (one write with its request id) is applied after the loop has sent what is written, its
acknowledgement above all: one client's write waits for that, and not for this member's store. With many clients at a time
entries are longer, and it would only cost another round of the loop."""
NOTES_A_SECOND_MAX = 20
"""Notes of the state machine that are logged; the rest is counted in its stats."""


class MemberDriver:
    """The shell around one `Replica`. Holds no protocol state of its own."""

    def __init__(self, config: NodeConfig, replica: Replica, me: Member, keyspace: Keyspace) -> None:
        self.config = config
        self.replica = replica
        self.me = me
        self.keyspace = keyspace
        self.promotions = 0
        self.role_listeners: list[Callable[[], None]] = []
        """Called after every visible change."""
        self.primary_listeners: list[Callable[[], None]] = []
        """Called when this member became the primary, or ceased to be it."""
        self.applying = Applying(keyspace)
        self.hold = HandoverHold(me, config.replication.handover_hold_ms)
        self.recording = replica.recording
        self.writable = replica.writable
        """Both change with inputs only, so they are copied once a turn (`drain`): commands ask often."""
        self.peers: Peers
        self.turn: Turn
        self.coordinator: CoordinatorLink
        self.snapshots: SnapshotStreams
        self._codec: MessageCodec[Any] = MessageCodec(Message)
        self._tick_s = config.replication.tick_ms / 1000
        self._ticker: asyncio.TimerHandle | None = None
        self._unapplied: list[Apply] = []
        """What `drain` has put off until the acknowledgement is on its way. Carried out before anything looks at the store."""
        self._note_budget = NOTES_A_SECOND_MAX
        self._note_second = 0
        self._stopped = False
        self._carry_out: dict[type, Callable[[Any], None]] = {
            Send: self._send,
            Apply: self._apply,
            ReadConfiguration: self._read_configuration,
            CompareAndSwap: self._compare_and_swap,
            Revert: self._revert,
            DropReplies: self._drop_replies,
            StreamSnapshot: self._stream_snapshot,
            StopSnapshot: self._stop_snapshot,
            ResetStore: self._reset_store,
            LoadSlice: self._load_slice,
            RoleChanged: self._role_changed,
            Note: self._note,
        }

    def wire(self, turn: Turn, peers: Peers, coordinator: CoordinatorLink) -> None:
        """Connect the parts that need each other; before `start`."""
        self.turn = turn
        self.peers = peers
        self.coordinator = coordinator
        self.snapshots = SnapshotStreams(self.keyspace, self.replica, turn, self.applying, self.now_ms)

    def start(self) -> None:
        """Begin: the state machine asks for the configuration, and time starts to pass for it."""
        self.turn.input(lambda: self.replica.start(self.now_ms()))
        self._ticker = asyncio.get_running_loop().call_later(self._tick_s, self._tick)

    def stop(self) -> None:
        """No more ticks, no more instructions."""
        self._stopped = True
        if self._ticker is not None:
            self._ticker.cancel()

    # -- what the turn asks -----------------------------------------------------------------------------------------

    @staticmethod
    def now_ms() -> int:
        return time.clock_gettime_ns(CLOCK) // 1_000_000

    def gate(self, now: int) -> Gate:
        """Asked before anything is executed."""
        if self._unapplied:
            self._catch_up()
        gate = self.replica.gate(now)
        applying = self.applying
        if applying.busy and (gate is Gate.OPEN or applying.reverting):
            return Gate.HOLD
        if gate is Gate.CLOSED and self.hold.holds(now):
            return Gate.HOLD
        return gate

    def open(self) -> bool:
        """Whether commands are executed here now."""
        return self.gate(self.now_ms()) is Gate.OPEN

    @property
    def last_seq(self) -> int:
        return self.replica.last_seq

    @property
    def backlog_bytes(self) -> int:
        return self.replica.backlog_bytes

    def append(self, now: int, effects: list[Any] | None, undo: list[Any] | None, size: int) -> int:
        return self.replica.append(now, effects, undo, size)

    def releasable(self, now: int) -> int:
        return self.replica.releasable(now)

    def readable(self, now: int) -> int:
        return self.replica.readable(now)

    def staleness_ms(self, now: int) -> int | None:
        """How old what a reader finds here may be (see `Replica.staleness_ms`); None while the store is behind the log."""
        self._catch_up()
        return None if self.applying.busy else self.replica.staleness_ms(now)

    def drain(self) -> None:
        """Carry out what the state machine asked for, in order."""
        applying = self.applying
        applying.units = 0
        if applying.busy:
            applying.go_on()
        if self._unapplied:
            self._catch_up()
        out = self.replica.out
        if out and not self._stopped:
            carry_out = self._carry_out
            instructions = out[:]
            out.clear()
            if len(instructions) == 2 and type(instructions[1]) is Apply and type(instructions[0]) is Send:
                self._send(instructions[0])
                self._apply_soon(instructions[1])
            else:
                for instruction in instructions:
                    carry_out[type(instruction)](instruction)
        self.recording = self.replica.recording
        self.writable = self.replica.writable
        if applying.busy:
            asyncio.get_running_loop().call_soon(self.turn.input, _nothing)
        elif self.snapshots.streams:
            self.snapshots.schedule()

    # -- inputs -----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._stopped:
            return
        self._ticker = asyncio.get_running_loop().call_later(self._tick_s, self._tick)
        self.turn.input(self._ticked)

    def _ticked(self) -> None:
        self.replica.tick(self.now_ms())

    def frame_received(self, sender: Member, payload: bytes) -> None:
        """A frame of a peer arrived."""
        try:
            message = self._codec.decode(payload)
        except MalformedMessage as error:
            self.peers.cut(sender, str(error))
            return
        self.turn.input(self._received, sender, message)

    def _received(self, sender: Member, message: Any) -> None:
        self.replica.receive(self.now_ms(), sender, message)
        hold = self.hold
        hold.latest = (sender, message.configuration.epoch)
        if hold.awaited is not None:
            hold.heard(sender, message.configuration)

    def peer_connected(self, member: Member) -> None:
        self.turn.input(lambda: self.replica.connected(self.now_ms(), member))

    def peer_disconnected(self, member: Member) -> None:
        self.turn.input(lambda: self.replica.disconnected(self.now_ms(), member))

    def configuration_hint(self) -> None:
        """The coordinator's watch says that the partition's configuration may have changed."""
        self.turn.input(lambda: self.replica.changed_hint(self.now_ms()))

    def hand_over(self, to: Member | None) -> "asyncio.Future[bool]":
        """Begin a hand-over to `to`, or to whoever suits; the result says whether it began."""
        begun: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def ask() -> None:
            if not begun.cancelled():
                begun.set_result(self.replica.hand_over(self.now_ms(), to))

        self.turn.input(ask)
        return begun

    def leave(self) -> None:
        """Hand over, and get out of the in-sync set; `replica.left` tells when that is done."""
        self.turn.input(lambda: self.replica.leave(self.now_ms()))

    # -- instructions -----------------------------------------------------------------------------------------------

    def _send(self, instruction: Send) -> None:
        message, to = instruction.message, instruction.to
        if instruction.again:
            to = tuple(member for member in to if self.peers.idle(member))
        if to:
            self.peers.send(to, self._codec.encode(message), urgent=isinstance(message, URGENT))

    def _apply_soon(self, instruction: Apply) -> None:
        """The rest of the drain was an acknowledgement: let it leave first, if this is a little."""
        entries = instruction.entries
        if len(entries) > 1 or self.applying.busy or len(entries[0].effects or ()) > SMALL_EFFECTS:
            self._apply(instruction)
            return
        self._unapplied.append(instruction)
        self.turn.loop.call_soon(self._catch_up)
        self.turn.looking.expect()

    def _catch_up(self) -> None:
        """Carry out what was put off, before anything else happens to the store."""
        unapplied = self._unapplied
        if unapplied:
            self._unapplied = []
            for instruction in unapplied:
                self._apply(instruction)

    def _apply(self, instruction: Apply) -> None:
        apply = self.applying.apply
        for entry in instruction.entries:
            apply(entry.seq, entry.effects)

    def _revert(self, instruction: Revert) -> None:
        log.warning("reverting entries=%d newest=%d", len(instruction.entries), instruction.entries[0].seq)
        for entry in instruction.entries:
            self.applying.revert(entry.undo)

    def _drop_replies(self, _instruction: DropReplies) -> None:
        self.turn.drop_replies("this member is no longer the primary")

    def _stream_snapshot(self, instruction: StreamSnapshot) -> None:
        self.snapshots.start(instruction.to, instruction.snapshot)

    def _stop_snapshot(self, instruction: StopSnapshot) -> None:
        self.snapshots.stop(instruction.to, instruction.snapshot)

    def _reset_store(self, _instruction: ResetStore) -> None:
        log.info("store emptied keys=%d", self.keyspace.key_count)
        self.applying.reset()

    def _load_slice(self, instruction: LoadSlice) -> None:
        self.applying.load(instruction.payload)

    def _role_changed(self, instruction: RoleChanged) -> None:
        primary = instruction.role is Role.PRIMARY
        if primary is not self.keyspace.primary:
            self.promotions += primary
            self.keyspace.primary = primary
            for listener in self.primary_listeners:
                listener()
        configuration = instruction.configuration
        self.hold.learn(self.now_ms(), configuration)
        log.info(
            "role changed role=%s serving=%s epoch=%s configuration=%s",
            instruction.role.value,
            instruction.serving,
            configuration.epoch if configuration else None,
            describe_configuration(configuration),
        )
        for listener in self.role_listeners:
            listener()

    def _note(self, note: Note) -> None:
        second = self.now_ms() // 1000
        if second != self._note_second:
            self._note_second = second
            self._note_budget = NOTES_A_SECOND_MAX
        if self._note_budget > 0:
            self._note_budget -= 1
            log.info("replication %s %s", note.kind, note.detail)

    def _read_configuration(self, _instruction: ReadConfiguration) -> None:
        self.coordinator.know(self.replica.epoch)
        self.coordinator.read(self._configuration_read)

    def _configuration_read(self, configuration: Configuration | None, token: int) -> None:
        self.turn.input(lambda: self.replica.configuration_read(self.now_ms(), configuration, token))

    def _compare_and_swap(self, instruction: CompareAndSwap) -> None:
        attempt = instruction.attempt

        def answered(outcome: Any, configuration: Configuration | None, token: int) -> None:
            self.turn.input(lambda: self.replica.cas_answered(self.now_ms(), attempt, outcome, configuration, token))

        self.coordinator.compare_and_swap(instruction.token, instruction.proposed, answered)

    # -- what others ask --------------------------------------------------------------------------------------------

    @property
    def role_name(self) -> str:
        return self.replica.role.value

    def in_sync(self) -> bool:
        configuration = self.replica.configuration
        return configuration is not None and self.me in configuration.in_sync

    def not_ready_because(self) -> str:
        """Why this member is not ready; empty when it is in sync, or a primary with its leases."""
        replica = self.replica
        if replica.configuration is None:
            return "the partition's configuration is not known yet"
        if replica.role is Role.PRIMARY:
            return (
                ""
                if self.gate(self.now_ms()) is not Gate.CLOSED
                else "primary, but not serving: no lease or not recovered"
            )
        if not self.in_sync():
            return f"not in the in-sync set of epoch {replica.epoch}: {self.role_name}"
        primary = replica.configuration.primary
        if primary is None or not self.peers.connected(primary):
            return f"in sync as of epoch {replica.epoch}, but without a link to the primary"
        return "" if not self.applying.busy else "in sync, still applying what it received"


def describe_configuration(configuration: Configuration | None) -> str:
    """One line of who is what."""
    if configuration is None:
        return "none"
    in_sync = ",".join(map(str, configuration.in_sync))
    joining = ",".join(map(str, configuration.joining))
    return f"primary={configuration.primary} in_sync=[{in_sync}] joining=[{joining}]"


def _nothing() -> None:
    """An input that only makes the turn end, so that queued work goes on."""
