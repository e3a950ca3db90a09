"""What all parts of one replica share: who it is, what it knows, its log, and where instructions go.

No decisions here, but the one door for instructions and for counting, so that the parts need not know each other.
"""

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.base.settings import ReplicationSettings
from kubegrid.replication.instructions import Instruction, Note, Send
from kubegrid.replication.log import Log
from kubegrid.replication.messages import Message
from kubegrid.replication.rules import Rules


class MemberState:
    """Invariant: `epoch` is the configuration's, 0 without one; `token`, if known, is of the version that holds it."""

    def __init__(
        self, me: Member, partition: int, settings: ReplicationSettings, grid: str, preferred: bool, rules: Rules
    ) -> None:
        self.rules = rules
        self.me = self.identify(me)
        self.partition = partition
        self.settings = settings
        self.grid = grid
        self.preferred = preferred
        self.leaving = False
        self.configuration: Configuration | None = None
        self.epoch = 0
        self.token: int | None = None
        self.log = Log()
        self.out: list[Instruction] = []
        self.stats: dict[str, int] = {}
        self.grace_ms = settings.grace_ms if rules.grace_exceeds_lease else settings.lease_ms // 2

    def identify(self, member: Member) -> Member:
        """Members are told apart by name and incarnation (R2)."""
        return member if self.rules.incarnations else Member(member.name, "")

    def normalise(self, configuration: Configuration) -> Configuration:
        if self.rules.incarnations:
            return configuration
        return Configuration(
            grid=configuration.grid,
            partition=configuration.partition,
            epoch=configuration.epoch,
            primary=self.identify(configuration.primary) if configuration.primary else None,
            in_sync=tuple(self.identify(m) for m in configuration.in_sync),
            joining=tuple(self.identify(m) for m in configuration.joining),
            proposer=configuration.proposer,
            note=configuration.note,
        )

    @property
    def known(self) -> Configuration:
        assert self.configuration is not None, "no configuration is known yet"
        return self.configuration

    def in_sync(self, member: Member) -> bool:
        return self.configuration is not None and member in self.configuration.in_sync

    def send(self, to: Member, message: Message, *, again: bool = False) -> None:
        self.out.append(Send((to,), message, again))

    def count(self, kind: str) -> None:
        self.stats[kind] = self.stats.get(kind, 0) + 1

    def note(self, kind: str, detail: str) -> None:
        self.count(kind)
        self.out.append(Note(kind, detail))
