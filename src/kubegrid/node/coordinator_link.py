"""The member's questions to the coordinator, about its own partition's configuration: read, compare-and-swap, watch.

Every question is a task of its own; an answer that does not come is reported as *unknown*, or, for a reading, not at
all: the state machine asks again by its own timers. A configuration of another grid never reaches it (R5).

A coordinator that lost its data, or came back with old ones, is recognised here for the log alone: the members know
newer epochs, refuse what is older, and go on serving. A person is told once, with the way out.

Next on the path of the data: `coordination`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from kubegrid.base.configuration import Configuration
from kubegrid.coordination import CoordinatorError, CoordinatorUnavailable, Managers, Outcome, SwapResult
from kubegrid.replication import CasOutcome

log = logging.getLogger("kubegrid.node.coordinator")

ROLLED_BACK_AFTER_S = 3.0
"""An older configuration read this long after a newer one became known is no late answer any more."""
QUESTIONS_MAX = 8
"""Questions under way at once; beyond it a reading is dropped (it is asked again) and a swap is unknown."""

Read = Callable[[Configuration | None, int], None]
Answered = Callable[[CasOutcome, Configuration | None, int], None]

_OUTCOMES = {
    Outcome.APPLIED: CasOutcome.APPLIED,
    Outcome.CONFLICT: CasOutcome.CONFLICT,
    Outcome.UNKNOWN: CasOutcome.UNKNOWN,
}


class CoordinatorLink:
    """One partition's record in the coordinator. `complaint` says what is wrong with the coordinator's data, if it is."""

    def __init__(self, client: Managers, grid_id: str, partition: int) -> None:
        self.complaint = ""
        self._client = client
        self._grid_id = grid_id
        self._key = f"partition/{partition}"
        self._partition = partition
        self._epoch = 0
        self._epoch_since = time.monotonic()
        self._tasks: set[asyncio.Task[None]] = set()
        self._reading = False
        self._told: tuple[Outcome, int, str] | None = None
        self._silence = ""
        """Why the last reading had no answer, as it was logged."""

    def know(self, epoch: int) -> None:
        """The newest epoch that this member knows, from anybody."""
        if epoch > self._epoch:
            self._epoch = epoch
            self._epoch_since = time.monotonic()

    def watch(self, hint: Callable[[], None]) -> None:
        """Call `hint` whenever the record may have changed."""
        self._client.watch(self._key, lambda _key: hint())

    def read(self, answer: Read) -> None:
        """Ask for the record; `answer` is called if an answer comes."""
        if not self._reading and len(self._tasks) < QUESTIONS_MAX:
            self._reading = True
            self._run(self._read(answer))

    def compare_and_swap(self, token: int, proposed: Configuration, answer: Answered) -> None:
        """Propose a successor of the record whose version is `token`; `answer` is always called."""
        if len(self._tasks) >= QUESTIONS_MAX:
            asyncio.get_running_loop().call_soon(answer, CasOutcome.UNKNOWN, None, 0)
        else:
            self._run(self._compare_and_swap(token, proposed, answer))

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _run(self, question: Any) -> None:
        task = asyncio.ensure_future(question)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, answer: Read) -> None:
        asked = time.monotonic()
        try:
            configuration, token = await self._client.read_configuration(self._partition)
        except CoordinatorError as error:
            # That no manager can be reached, the links to them have said.
            if str(error) != self._silence and not isinstance(error, CoordinatorUnavailable):
                self._silence = str(error)
                log.warning("configuration not read reason=%r", self._silence)
            return
        finally:
            self._reading = False
        self._silence = ""
        if configuration is None or self._ours(configuration):
            self._judge(configuration, asked)
            answer(configuration, token)

    async def _compare_and_swap(self, token: int, proposed: Configuration, answer: Answered) -> None:
        """A question goes first: where packets get there and none comes back, a swap would apply and its proposer never know.
        It would be primary, or alone in sync, and silent, with nobody left who may act."""
        outcome, current, current_token = SwapResult(Outcome.UNKNOWN, None, 0)
        with contextlib.suppress(CoordinatorError):
            await self._client.read_configuration(self._partition)
            outcome, current, current_token = await self._client.swap_configuration(proposed, token)
        told = (outcome, proposed.epoch, proposed.proposer)
        if told != self._told:  # an unknown outcome is asked for again, many times a second
            self._told = told
            log.info(
                "compare-and-swap outcome=%s epoch=%d proposer=%s", outcome.name, proposed.epoch, proposed.proposer
            )
        if current is not None and not self._ours(current):
            outcome, current, current_token = SwapResult(Outcome.UNKNOWN, None, 0)
        answer(_OUTCOMES[outcome], current, current_token)

    def _ours(self, configuration: Configuration) -> bool:
        if configuration.grid == self._grid_id and configuration.partition == self._partition:
            return True
        self._complain(
            f"the record {self._key} is of grid {configuration.grid}, partition {configuration.partition}; "
            f"this member belongs to grid {self._grid_id}, partition {self._partition}"
        )
        return False

    def _judge(self, configuration: Configuration | None, asked: float) -> None:
        """Notice a coordinator whose data are gone or older than what the grid has already been told."""
        if not self._epoch or asked - self._epoch_since < ROLLED_BACK_AFTER_S:
            return
        if configuration is None:
            self._complain(f"it has no record {self._key}, but this member knows epoch {self._epoch}")
        elif configuration.epoch < self._epoch:
            self._complain(
                f"its record {self._key} is of epoch {configuration.epoch}, but epoch {self._epoch} is known"
            )
        elif self.complaint:
            log.info("coordinator accepted again epoch=%d", configuration.epoch)
            self.complaint = ""

    def _complain(self, complaint: str) -> None:
        if complaint != self.complaint:
            self.complaint = complaint
            log.error(
                "coordinator refused reason=%r remedy=%r",
                complaint,
                "its data were lost, rolled back or belong to another grid; the members go on serving. "
                "`kubegrid manager rebuild` makes its records anew from what the members know",
            )
