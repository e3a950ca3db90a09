"""What the REST interface can ask for: each operation checks, does, waits for the outcome, and answers in plain words.

OperationError            an HTTP status, a sentence, and what a program may want to know beside it
"""

import asyncio
import os
import time
from typing import Any

from kubegrid.base.configuration import Configuration
from kubegrid.base.errors import KubegridError
from kubegrid.base.ids import Member, command_line
from kubegrid.base.table_errors import DefinitionError, UnknownTable
from kubegrid.base.tables import Catalog
from kubegrid.coordination import (
    CATALOG_KEY,
    CLOSING_KEY,
    DEATHS_KEY,
    CoordinatorError,
    Death,
    Outcome,
    catalog,
    partition_key,
    records,
)
from kubegrid.coordination.catalog import Change
from kubegrid.manager import beginning, rebuild, status
from kubegrid.manager.catalog import NotAdopted
from kubegrid.manager.grid import NOTES_KEY, Grid

HAND_OVER_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 2.0
"""For the primary to say that it has begun."""

MEMBER_WAIT_S = 8.0
"""For a member of a lost partition to be started again, when the loss is accepted."""
MEMBER_PAUSE_S = 0.1


class OperationError(Exception):
    """Not done. `http_status`: 404 no such thing, 409 refused, 422 it does not hold, 503 the coordinator can't be written,
    504 no outcome yet."""

    def __init__(self, http_status: int, message: str, **details: Any) -> None:
        super().__init__(message)
        self.http_status = http_status
        self.details = details


class Operations:
    def __init__(self, grid: Grid) -> None:
        self.grid = grid

    # -- looking -------------------------------------------------------------------------------------------------

    def manager(self) -> dict[str, Any]:
        """This manager's entry in the status."""
        config, coordinator = self.grid.config, self.grid.coordinator
        states = {"ok": "ok", "lost": "lost", "new": "storage-failing", "failing": "storage-failing"}
        advice = {
            "lost": f"{coordinator.reason}; members go on serving; "
            f"`{command_line('manager rebuild', config.grid)}` makes the data anew from them",
            "storage-failing": f"{coordinator.reason}; members go on serving; it recovers when the disk takes writes",
        }
        state = states[coordinator.state]
        return {
            "name": config.name,
            "pid": os.getpid(),
            "http": f"{config.advertise}:{config.http_port}",
            "coordinator": "embedded",
            "leader": True,
            "coordinator_state": state,
            "advice": advice.get(state, ""),
        }

    def partitions(self) -> list[dict[str, Any]]:
        grid = self.grid
        configurations = grid.configurations()
        members = grid.members_by_partition()
        return [
            status.partition_status(
                number,
                grid.config.partitions,
                grid.config.copies,
                configurations.get(number),
                members[number],
                grid.waits.get(number, beginning.Wait()),
                grid.notes.get(number, ""),
                can_promote=grid.coordinator.state != "lost",
            )
            for number in range(grid.config.partitions)
        ]

    def status(self) -> dict[str, Any]:
        config = self.grid.config
        return status.grid_status(config.grid, config.grid_id, config.copies, self.partitions(), [self.manager()])

    # -- partitions ----------------------------------------------------------------------------------------------

    async def hand_over(self, number: int, to: str | None, timeout_s: float) -> dict[str, Any]:
        """Returns when another member is primary."""
        deadline = time.monotonic() + timeout_s
        before = self._configuration(number)
        if before.primary is None:
            raise OperationError(409, f"partition {number} has no primary that could hand over")
        if to == before.primary.name:
            if before.primary not in self.grid.sessions.by_member:
                raise OperationError(
                    409, f"{before.primary} is the primary of partition {number}, and is not connected"
                )
            return {"primary": to, "epoch": before.epoch}
        target: Member | None = None
        if to is not None:
            target = next((member for member in before.in_sync if member.name == to), None)
            if target is None:
                in_sync = ", ".join(member.name for member in before.in_sync)
                raise OperationError(409, f"{to} is not in sync in partition {number}; in sync: {in_sync}")
        elif len(before.in_sync) < 2:
            raise OperationError(409, f"partition {number} has no other member in sync")
        refusal = await self.grid.sessions.hand_over(before.primary, number, target, min(ANSWER_TIMEOUT_S, timeout_s))
        if refusal:
            raise OperationError(409, f"partition {number} is not handed over: {refusal}")
        while True:
            changed = self.grid.changed
            now = self._configuration(number)
            if now.primary is not None and now.primary != before.primary:
                if target is not None and now.primary != target:
                    raise OperationError(409, f"partition {number} went to {now.primary.name} instead of {to}")
                return {"primary": now.primary.name, "epoch": now.epoch}
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await changed.wait()
            except TimeoutError:
                raise OperationError(
                    504, f"partition {number} was not handed over within {timeout_s:g} s; it may still be"
                ) from None

    def _configuration(self, number: int) -> Configuration:
        self._check(number)
        found = self.grid.configurations().get(number)
        if found is None:
            raise OperationError(409, f"partition {number} has not begun")
        return found

    def _check(self, number: int) -> None:
        if not 0 <= number < self.grid.config.partitions:
            raise OperationError(404, f"no partition {number}: there are 0 to {self.grid.config.partitions - 1}")

    async def accept_loss(self, number: int, dead: list[Member], vouched_by: str) -> dict[str, Any]:
        """The partition begins again with what is left; a member that is just being started is waited for."""
        self._check(number)
        grid = self.grid
        for _ in range(int(MEMBER_WAIT_S / MEMBER_PAUSE_S)):
            decision = beginning.accept_loss(grid.view(number), dead, vouched_by, grid.lookup.connected())
            if isinstance(decision, beginning.Propose) or not decision.for_now:
                break
            await asyncio.sleep(MEMBER_PAUSE_S)
        if isinstance(decision, beginning.Refuse):
            raise OperationError(
                409,
                decision.reason,
                remedy="If you know that they are dead, --vouch-dead says so." if decision.not_proven else "",
                not_proven=[{"name": member.name, "incarnation": member.incarnation} for member in decision.not_proven],
            )
        configuration = decision.configuration
        try:
            result = await grid.propose(configuration)
        except CoordinatorError as error:
            raise _unwritable(error) from error
        if result.outcome is not Outcome.APPLIED:
            raise OperationError(409, f"partition {number} was changed at the same moment; look at it again")
        assert configuration.primary is not None
        return {"epoch": configuration.epoch, "primary": configuration.primary.name, "note": configuration.note}

    # -- tables --------------------------------------------------------------------------------------------------

    def tables(self) -> dict[str, Any]:
        """The catalog, and the partitions that are still at an older version of it."""
        stored = self.grid.catalog.stored
        return stored.to_json() | {"behind": self.grid.catalog.behind(stored.version)}

    def table(self, name: str) -> dict[str, Any]:
        try:
            return self.grid.catalog.stored.table(name).to_json()
        except UnknownTable as error:
            raise _refused(error) from error

    async def change_tables(self, change: Change) -> Catalog:
        """The catalog with the change, which is in force everywhere then."""
        try:
            return await self.grid.catalog.change(change)
        except KubegridError as error:
            raise _refused(error) from error
        except NotAdopted as error:
            raise OperationError(504, str(error), done=True, version=error.version, behind=error.partitions) from error
        except CoordinatorError as error:
            raise _unwritable(error) from error

    # -- deaths, closing, rebuilding -----------------------------------------------------------------------------

    async def note_death(self, member: Member, how: str) -> dict[str, Any]:
        try:
            await self.grid.note_death(Death(member.name, member.incarnation, time.time(), how))
        except CoordinatorError as error:
            raise _unwritable(error) from error
        return {"dead": [member.incarnation]}

    async def close_in_order(self, cancel: bool) -> dict[str, Any]:
        try:
            await self.grid.close_in_order(cancel)
        except CoordinatorError as error:
            raise _unwritable(error) from error
        return {"closing": not cancel}

    async def rebuild(self, force: bool, confirm: str) -> dict[str, Any]:
        """The coordinator's data anew, from this manager's memory and the members'."""
        grid = self.grid
        config, coordinator = grid.config, grid.coordinator
        if coordinator.state != "lost":
            raise OperationError(409, "the coordinator has its own data: there is nothing to rebuild")
        remembered = dict(grid.stored) if coordinator.known_exactly else None
        planned = rebuild.plan(config.partitions, config.grid_id, remembered, grid.lookup.configurations())
        if planned.missing and not force:
            raise OperationError(
                409,
                "the newest configuration is not certain of "
                + "; ".join(f"partition {number}: {why}" for number, why in planned.missing.items())
                + ". When these members will not come back, force it: what only they had is lost then",
                missing={str(number): why for number, why in planned.missing.items()},
            )
        if force and confirm != config.grid:
            raise OperationError(409, f'to force it, confirm with the name of the grid: "confirm": "{config.grid}"')
        sources = dict(planned.found)
        for number in planned.missing:
            if number not in sources:
                unknown = rebuild.unknown(config.grid_id, number, time.time())
                sources[number] = rebuild.Source(unknown, "nobody")
        tables, origin = await grid.catalog.rebuilt(grid.sessions, coordinator.known_exactly)
        values = grid.first_values() | {
            CATALOG_KEY: catalog.encoded(tables),
            NOTES_KEY: records.encode(grid.notes),
            DEATHS_KEY: grid.deaths.encode(),
            CLOSING_KEY: records.encode(grid.closing),
        }
        for number, source in sources.items():
            values[partition_key(number)] = records.encode(source.configuration)
        try:
            await coordinator.begin(values)
        except CoordinatorError as error:
            raise _unwritable(error) from error
        return {
            "partitions": {
                str(number): {"epoch": source.configuration.epoch, "from": source.origin}
                for number, source in sources.items()
            },
            "tables": {"version": tables.version, "count": len(tables.tables), "from": origin},
        }


def _refused(error: KubegridError) -> OperationError:
    status = 404 if isinstance(error, UnknownTable) else 422 if isinstance(error, DefinitionError) else 409
    return OperationError(status, error.message, code=catalog.error_code(error), remedy=error.remedy)


def _unwritable(error: CoordinatorError) -> OperationError:
    return OperationError(503, f"the coordinator cannot be written: {error}")
