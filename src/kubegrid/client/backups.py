"""Reads that a backup may answer, if it is sure to be fresh enough.

A backup says `-STALE` when it is not: the primary is asked then. What a backup cannot do for any reason, the primary does: such a
read never fails for the sake of a backup. Next on the path of the data: `caller`.
"""

import random
from typing import Any

from hiredis import ReplyError

from kubegrid.client import arguments, clock
from kubegrid.client.batch import Request
from kubegrid.client.caller import Caller
from kubegrid.client.connection import LostError, SilentError, pack_command

BACKUP_SILENCE_S = 0.2
"""A backup that does not answer within this is passed over."""


def stale_request(request: Request, max_staleness_ms: int) -> bytes:
    """The read with its bound, packed."""
    name, table, *keys = request.args
    return pack_command((name, table, b"MAXSTALENESS", arguments.count(max_staleness_ms, "max_staleness_ms"), *keys))


def read_on_backup(caller: Caller, request: Request, max_staleness_ms: int) -> Any | None:
    """What a backup answers; None when none of them may, or can."""
    packed = stale_request(request, max_staleness_ms)
    caller.check_open()
    backups = caller.of_slot[request.slot].backups
    if not backups:
        return None
    pool = caller.backup_pool(random.choice(backups))
    try:
        connection = caller.acquire(pool, clock.now() + BACKUP_SILENCE_S)
    except LostError:
        return None
    try:
        connection.set_silence(BACKUP_SILENCE_S)
        reply = connection.call(packed)
    except (LostError, SilentError):
        pool.discard(connection)
        return None
    except BaseException:
        pool.discard(connection)
        raise
    pool.release(connection)
    return None if type(reply) is ReplyError else reply
