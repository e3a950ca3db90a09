"""One request that did not succeed at once: whether to ask again, when, and what to say in the end.

Pure: the time is handed in, nothing is sent from here. The sync and the async client both act on its answers.

Invariant: `doubtful` is set from the moment an attempt was sent whose reply cannot come any more, and only a reply from an
execution clears the doubt. A write without a request id is not asked again once it is doubtful; one with an id is, because
the members apply it once. Next on the path of the data: `connection`.
"""

import copy
import random
from dataclasses import dataclass

from kubegrid.client import refusals
from kubegrid.client.errors import (
    ClientError,
    GridNotReachableError,
    NoManagerError,
    OutcomeUnknownError,
    UnavailableError,
)
from kubegrid.client.options import RETRY_PERIOD_MAX_S, ClientOptions

REDIRECTIONS_MAX = 5
"""Redirections followed without a wait; more of them mean that two members disagree, which takes a moment to pass."""
ATTEMPTS_SHOWN = 8
LATE = "did not answer in time"
"""Of an attempt that was under way when the deadline passed. Why there had to be another attempt says more."""
MANAGER_S = 5.0
"""How long a change of tables is asked for while no manager answers: one that died is started again in less."""


class ForgottenError(Exception):
    """The members forgot this client's identity; nothing was executed. The request may be sent under another one."""


@dataclass(frozen=True, slots=True)
class Again:
    """Ask again after `delay` seconds, of `moved_to` if given; otherwise read the slot map first."""

    delay: float
    moved_to: str | None = None


class Trial:
    """The attempts of one request so far."""

    __slots__ = (
        "_delay",
        "_no_manager_since",
        "_options",
        "_redirections",
        "deadline",
        "doubtful",
        "identified",
        "reasons",
        "started",
        "unreachable",
        "what",
        "write",
    )

    def __init__(
        self, options: ClientOptions, what: str, *, write: bool, identified: bool, started: float, deadline: float
    ) -> None:
        self._options = options
        self._delay = options.retry_first
        self._redirections = 0
        self._no_manager_since: float | None = None
        self.what = what
        self.write = write
        self.identified = identified
        self.started = started
        self.deadline = deadline
        self.doubtful = False
        self.unreachable: dict[str, str] = {}
        """Address → reason, when the last reading of the slot map found nobody who answers."""
        self.reasons: dict[str, str] = {}
        """Address → the last thing that went wrong there."""

    def of_one(self, deadline: float) -> "Trial":
        """The same attempts for one of several requests that went together, or for several that go together from now on."""
        one = copy.copy(self)
        one.deadline = deadline
        one.reasons = dict(self.reasons)
        return one

    def refused(self, text: str, address: str, now: float) -> Again:
        """A member answered with an error. Raises ClientError when that is the end."""
        code = refusals.code_of(text)
        if code in refusals.ELSEWHERE:
            self._redirections += 1
            target = refusals.moved_to(text)
            if target is not None and self._redirections <= REDIRECTIONS_MAX:
                return Again(0.0, target)
            self.reasons[address] = f"says that {target or 'nobody known'} has the slot"
            return self._later(now, target)
        if code == refusals.NO_MANAGER:
            since = self._no_manager_since = self._no_manager_since or now
            if now - since >= MANAGER_S and not self.doubtful:
                raise self._no_manager(text)
        if code in refusals.LATER:
            self.reasons[address] = text
            return self._later(now)
        if self.doubtful and code in refusals.BEFORE_EXECUTION:
            raise self._unknown(f"afterwards {address} answered: {text}")
        if code == refusals.FORGOTTEN and not self.doubtful:
            raise ForgottenError
        raise refusals.to_error(text)

    def lost(self, reason: str, address: str, now: float, *, sent: bool, since: float | None = None) -> Again:
        """No reply will come: the connection could not be made (`sent` false), or broke, or was silent for too long.

        `since`: when it was sent, which may be long ago by now if the machine was suspended; None: just now.
        """
        if reason != LATE or address not in self.reasons:
            self.reasons[address] = reason
        if sent and self.write:
            self.doubtful = True
            self.deadline = min(self.deadline, (now if since is None else since) + RETRY_PERIOD_MAX_S)
            if not self.identified:
                raise self._unknown(f"{address}: {reason}")
        return self._later(now)

    def nobody(self, partition: str, now: float) -> Again:
        """The slot map names no primary for the partition."""
        self.reasons[partition] = "has no primary"
        return self._later(now)

    def ended(self, error: ClientError) -> ClientError:
        """What is said when the client cannot ask any more: it was closed, or the password is another one now."""
        return self._unknown(error.message) if self.doubtful else error

    def give_up(self) -> ClientError:
        """The deadline has passed."""
        tried = "; ".join(f"{where}: {why}" for where, why in list(self.reasons.items())[-ATTEMPTS_SHOWN:])
        if self.doubtful:
            return self._unknown(tried)
        if self.unreachable:
            return GridNotReachableError(self.unreachable)
        told = next((why for why in self.reasons.values() if refusals.code_of(why) == refusals.NO_MANAGER), None)
        if told is not None:
            return self._no_manager(told)
        took = self.deadline - self.started
        return UnavailableError(
            f"{self.what} was not served within {took:.3g} s ({tried or 'no answer'})",
            "`kubegrid status` shows which partition has no primary, and why.",
        )

    def _no_manager(self, text: str) -> NoManagerError:
        return NoManagerError(
            f"{self.what}: the manager, which makes and changes tables, does not answer ({text.partition(' ')[2] or text})",
            "`kubegrid status` shows what runs, and what to do; records are read and written meanwhile.",
        )

    def _later(self, now: float, target: str | None = None) -> Again:
        if now >= self.deadline:
            raise self.give_up()
        delay = self._delay * random.uniform(0.7, 1.0)
        self._delay = min(self._delay * 1.6, self._options.retry_max)
        return Again(min(delay, self.deadline - now), target)

    def _unknown(self, detail: str) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"{self.what} was sent, and its reply never came ({detail})",
            "It may have happened, or not: read what it would have changed before asking again.",
        )
