"""Many requests at once through the sync client: one write per member, then all replies, in rounds of a bounded size.

What could not be served is asked again in the next round, in its order, until its deadline; everything else keeps its
reply. Next on the path of the data: `caller`, `connection`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hiredis import ReplyError

from kubegrid.client import clock
from kubegrid.client.caller import ONCE, Arguments, Caller
from kubegrid.client.connection import Connection, LostError, SilentError, pack_command
from kubegrid.client.errors import ClientError
from kubegrid.client.pool import Pool
from kubegrid.client.request_ids import RequestIds
from kubegrid.client.trial import Again, ForgottenError, Trial

ROUND_BYTES_MAX = 4 * 1024 * 1024
"""Requests to one member in one round, as bytes: bounds what is packed and kept at a time."""


@dataclass(slots=True)
class Request:
    """One request of a batch: its arguments, a slot of the partition that must serve it, whether it changes anything."""

    args: Arguments
    slot: int
    write: bool
    long: bool = False
    """It may take its time: silence is no fault of the member before the deadline."""
    once: bool = True
    """A write that carries a request id. Commands on all keys of a member (FLUSHALL) cannot."""


@dataclass(slots=True)
class _Sent:
    """What went to one member in one round."""

    pool: Pool
    connection: Connection | None = None
    numbers: list[int] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    failure: LostError | None = None
    since: float = 0.0
    """When it was sent."""


def run_batch(caller: Caller, requests: Sequence[Request], deadline: float | None = None) -> list[Any]:
    """The reply, or the ClientError, of each request, in order."""
    batch = _Batch(caller, requests, deadline)
    try:
        batch.run()
    finally:
        batch.end()
    return batch.replies


class _Batch:
    """Invariant: every number is in `todo`, or its reply or error is in `replies`; `todo` is in order."""

    def __init__(self, caller: Caller, requests: Sequence[Request], deadline: float | None) -> None:
        self.caller = caller
        self.requests = requests
        self.deadline = deadline
        self.replies: list[Any] = [None] * len(requests)
        self.todo: list[int] = list(range(len(requests)))
        self.trials: dict[int, Trial] = {}
        self.ids: dict[int, tuple[RequestIds, int]] = {}
        self.packed: dict[int, bytes] = {}

    def run(self) -> None:
        caller = self.caller
        while self.todo:
            caller.check_open()
            waits = self._round()
            if not waits:
                continue
            number, wait = max(waits, key=lambda one: (one[1].moved_to is None, one[1].delay))
            caller.prepare_again(wait, self.requests[number].slot, self.trial_of(number))
            for number, wait in waits:
                if wait.moved_to is not None:
                    caller.of_slot[self.requests[number].slot].address = wait.moved_to

    def end(self) -> None:
        """Numbers that are still in use (after Ctrl-C, or an error of the whole batch) are given up."""
        for ids, seq in self.ids.values():
            ids.done(seq)

    # -- one round ---------------------------------------------------------------------------------------------------

    def _round(self) -> list[tuple[int, Again]]:
        """Send a window's worth to each member and take in the replies; what to wait for before the next round."""
        sent, later, waits = self._choose()
        try:
            for one in sent:
                self._send(one)
            for one in sent:
                failed = self._receive(one)
                later += failed[0]
                waits += failed[1]
        except BaseException:
            for one in sent:
                if one.connection is not None:
                    one.pool.discard(one.connection)
            raise
        self.todo = sorted(later)
        return waits

    def _choose(self) -> tuple[list[_Sent], list[int], list[tuple[int, Again]]]:
        caller = self.caller
        window = caller.options.in_flight
        chosen: dict[str, _Sent] = {}
        later: list[int] = []
        waits: list[tuple[int, Again]] = []
        for number in self.todo:
            route = caller.of_slot[self.requests[number].slot]
            address = route.address
            if address is None:
                self._decide(number, lambda trial: trial.nobody(str(route), clock.now()), later, waits)  # noqa: B023
                continue
            one = chosen.get(address)
            if one is None:
                one = chosen[address] = _Sent(caller.pool(address))
            if len(one.numbers) >= window or one.size >= ROUND_BYTES_MAX:
                later.append(number)
                continue
            packed = self._pack(number)
            one.numbers.append(number)
            one.parts.append(packed)
            one.size += len(packed)
        return list(chosen.values()), later, waits

    def _pack(self, number: int) -> bytes:
        request = self.requests[number]
        if not (request.write and request.once and self.caller.options.request_ids):
            return pack_command(request.args)
        packed = self.packed.get(number)
        if packed is None:
            ids, seq, acked = self.caller.of_slot[request.slot].take()
            self.ids[number] = ids, seq
            packed = self.packed[number] = pack_command((ONCE, ids.client, seq, acked, *request.args))
        return packed

    def _send(self, one: _Sent) -> None:
        trial_deadline = self.trial_of(one.numbers[0]).deadline
        try:
            one.connection = self.caller.acquire(one.pool, trial_deadline)
            one.since = clock.now()
            one.connection.set_silence(min(self.caller.options.patience, max(0.001, trial_deadline - one.since)))
            one.connection.replies.clear()
            one.connection.send(b"".join(one.parts))
        except LostError as error:
            one.failure = error

    def _receive(self, one: _Sent) -> tuple[list[int], list[tuple[int, Again]]]:
        later: list[int] = []
        waits: list[tuple[int, Again]] = []
        connection = one.connection
        if connection is not None and one.failure is None:
            one.failure = self._take_in(one, connection)
        replies: list[Any] = []
        if connection is not None:
            replies, connection.replies = connection.replies, []
            if one.failure is None:
                one.pool.release(connection)
            else:
                one.pool.discard(connection)
            one.connection = None
        now = clock.now()
        address = one.pool.address
        for number, reply in zip(one.numbers, replies, strict=False):
            if type(reply) is ReplyError:
                self._decide(number, lambda trial: trial.refused(str(reply), address, now), later, waits)  # noqa: B023
            else:
                self._settle(number, reply)
        failure = one.failure
        if failure is not None:
            for number in one.numbers[len(replies) :]:
                self._decide(
                    number,
                    lambda trial: trial.lost(failure.reason, address, now, sent=failure.sent, since=one.since),
                    later,
                    waits,
                )
        return later, waits

    def _take_in(self, one: _Sent, connection: Connection) -> LostError | None:
        """Read all replies of a round; None when they came."""
        deadline = self.trial_of(one.numbers[0]).deadline
        patient = any(self.requests[number].long for number in one.numbers)
        silence = self.caller.options.patience
        while True:
            left = deadline - clock.now()
            if left <= 0:
                return LostError("did not answer in time", sent=True)
            before = len(connection.replies)
            connection.set_silence(min(silence, left))
            try:
                connection.receive(len(one.numbers))
            except LostError as error:
                return error
            except SilentError:
                if not patient and len(connection.replies) == before and left > silence:
                    return LostError(f"was silent for {silence:g} s", sent=True)
                continue
            connection.set_silence(silence)
            return None

    # -- outcomes ----------------------------------------------------------------------------------------------------

    def trial_of(self, number: int) -> Trial:
        trial = self.trials.get(number)
        if trial is None:
            request = self.requests[number]
            trial = self.trials[number] = self.caller.trial(request.args, request.write, self.deadline, request.once)
        return trial

    def _decide(self, number: int, ask: Any, later: list[int], waits: list[tuple[int, Again]]) -> None:
        """Let the trial of `number` decide what follows from what happened to it."""
        try:
            wait: Again = ask(self.trial_of(number))
        except ForgottenError:
            ids, seq = self.ids.pop(number)
            ids.done(seq)
            self.caller.of_slot[self.requests[number].slot].forget(ids)
            del self.packed[number]
            wait = Again(0.0, self.caller.of_slot[self.requests[number].slot].address)
        except ClientError as error:
            self._settle(number, error)
            return
        later.append(number)
        waits.append((number, wait))

    def _settle(self, number: int, reply: Any) -> None:
        self.replies[number] = reply
        self.packed.pop(number, None)
        taken = self.ids.pop(number, None)
        if taken is not None:
            taken[0].done(taken[1])
