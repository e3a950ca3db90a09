"""Proofs of death: which incarnations are known to be gone for good (R20).

A proof is about an incarnation, so it never grows old: that memory does not come back. It is forgotten only when no
configuration can name its incarnation any more. What shows life after its proof, by a new handshake, was not dead, and
the proof is withdrawn.
"""

from collections.abc import Iterable

import msgspec

from kubegrid.base.ids import Member
from kubegrid.coordination import Death

DEATHS_MAX = 2000
KEEP_S = 3600.0
"""A proof that no configuration needs is kept this long: one that adds the dead may still be on its way (R1)."""


class Deaths:
    """Pure; `encode` and `load` are for keeping it in the coordinator."""

    def __init__(self) -> None:
        self.proofs: dict[Member, Death] = {}

    def add(self, death: Death) -> bool:
        """True when it was not known."""
        if death.member in self.proofs:
            return False
        self.proofs[death.member] = death
        return True

    def withdraw(self, member: Member) -> bool:
        return self.proofs.pop(member, None) is not None

    def forget(self, needed: set[Member], now: float) -> None:
        """Drop what no configuration names and nobody can be about to name."""
        for member, death in list(self.proofs.items()):
            if member not in needed and (now - death.at > KEEP_S or len(self.proofs) > DEATHS_MAX):
                del self.proofs[member]

    def encode(self) -> bytes:
        return msgspec.json.encode(list(self.proofs.values()))

    def load(self, value: bytes) -> None:
        """Add what was kept. Raises msgspec.MsgspecError."""
        deaths: Iterable[Death] = msgspec.json.decode(value, type=list[Death])
        for death in deaths:
            self.proofs.setdefault(death.member, death)
