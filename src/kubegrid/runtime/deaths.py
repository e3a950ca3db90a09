"""Proofs of death: which incarnation of which member is known to be gone, and the manager's receipt for it.

A lone member's memory may be given up only when its process is proved dead (R20), and who reaped it is the
one who knows. A proof is written down before the member is started again, and kept until a manager has taken it, so that
neither a dead manager nor the supervisor's own death loses it.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from kubegrid.runtime import http
from kubegrid.runtime.errors import DiskError
from kubegrid.runtime.folder import Folder
from kubegrid.runtime.http import HttpError
from kubegrid.runtime.state import GridState

RETRY_S = 0.5
PROOFS_MAX = 10_000
"""More members than this cannot have died between two answers of a manager; the oldest are dropped."""


class Proof(msgspec.Struct, frozen=True):
    name: str
    incarnation: str


def incarnation_of(state_dir: Path) -> str | None:
    """The incarnation that last lived on this state, as the member itself wrote it down at its start."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return (state_dir / "incarnation").read_text(encoding="utf-8").strip() or None
    return None


class Deaths:
    """The proofs that no manager has taken yet. `note` only for a member whose lock is known to be free."""

    def __init__(self, folder: Folder, grid: GridState, secret: str | None) -> None:
        self._folder = folder
        self._grid = grid
        self._secret = secret
        self._members = {member.name for member in grid.members}
        self._news = asyncio.Event()
        self.pending: list[Proof] = []
        with contextlib.suppress(OSError, msgspec.DecodeError):
            self.pending = msgspec.json.decode(folder.deaths.read_bytes(), type=list[Proof])
        if self.pending:
            self._news.set()

    def note(self, name: str) -> None:
        incarnation = incarnation_of(self._folder.data(name))
        if incarnation is None or (proof := Proof(name, incarnation)) in self.pending:
            return
        self.pending = [*self.pending, proof][-PROOFS_MAX:]
        self._keep()
        self._news.set()

    def note_absent(self, names: Iterable[str]) -> None:
        """At the start: who does not run now has died since, whoever supervised it then."""
        for name in names:
            if name in self._members:
                self.note(name)

    async def deliver_forever(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self.pending:
                proof = self.pending[0]
                if await asyncio.to_thread(self._deliver, proof):
                    self.pending = [other for other in self.pending if other != proof]
                    self._keep()
                else:
                    await asyncio.sleep(RETRY_S)

    def _deliver(self, proof: Proof) -> bool:
        """Whether this proof needs no further telling: every manager that is configured took it, or refused it."""
        for address in self._grid.manager_addresses():
            try:
                http.post(address, "/v1/members/dead", msgspec.to_builtins(proof), self._secret)
            except HttpError as error:
                if error.status == 0 or error.status >= 500:
                    return False
        return True

    def _keep(self) -> None:
        with contextlib.suppress(DiskError):  # a full disk must not end the supervision; the proof is kept in memory
            self._folder.write_json(self._folder.deaths, self.pending)
