"""Reads that a backup may answer, for the async client; see `backups`."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from hiredis import ReplyError

from kubegrid.client.async_caller import AsyncCaller
from kubegrid.client.backups import BACKUP_SILENCE_S, stale_request
from kubegrid.client.batch import Request


async def read_on_backup(
    caller: AsyncCaller, request: Request, max_staleness_ms: int, answer: Callable[[Any], Any]
) -> Any:
    """What a backup answers, or the primary when none of them may, or can."""
    packed = stale_request(request, max_staleness_ms)
    caller.members.check_here()
    backups = caller.backups_of(request.slot)
    if backups:
        link = None
        try:
            async with asyncio.timeout(BACKUP_SILENCE_S):
                link = await caller.members.link(random.choice(backups), readonly=True)
                reply = await link.ask(packed)
            if type(reply) is not ReplyError:
                return answer(reply)
        except (OSError, TimeoutError):
            if link is not None:
                link.lose(f"was silent for {BACKUP_SILENCE_S:g} s")
    return await caller.submit(request.args, request.slot, False, answer)
