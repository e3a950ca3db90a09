"""The calls that run: how many, for how long, whether their client is still there; and the end of all of them.

gRPC gives every call a thread of its own and has no limit of them; here is one. Statements, and fragments of statements
that run elsewhere, are counted apart: if statements could take the places of fragments, the pods of a busy grid would
wait for each other for ever. So are writes of rows of all partitions and the streams of one partition's rows.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from kubegrid.sql.errors import Cancelled, Unavailable

STATEMENT = "statement"
FRAGMENT = "fragment"
WRITE = "write"
ROWS = "rows"
OTHER = "other"
RUNNING_MAX = {STATEMENT: 64, FRAGMENT: 256, WRITE: 64, ROWS: 256, OTHER: 64}
"""Calls of a kind at once; more are refused. Of statements the engine runs fewer, and lets the others wait in its queue."""
LOOK_S = 0.01
"""How long the answer to whether a client is still there is good for. gRPC looks through a call's queue for it, with the
interpreter's lock given back and waited for again: a small statement, which asks between any two steps, would do little else."""
ENDING, ASK_ANOTHER = "this member is about to end", "Ask another one."


@dataclass(slots=True)
class Totals:
    """Since the start, of one kind. Read by the metrics without a lock: a scrape may see a call a moment late."""

    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    refused: int = 0
    seconds: float = 0.0
    rows: int = 0


class Call:
    """One call. Invariant: after `end` the context, which gRPC frees then, is never touched again."""

    def __init__(self, kind: str, context: Any, calls: "Calls", name: str) -> None:
        self.kind = kind
        self.name = name
        self.given_up = False
        """Somebody who knew its name cancelled it."""
        self.rows = 0
        self._context = context
        self._calls = calls
        self._guard = threading.Lock()
        self._begun = time.monotonic()
        self._looked = self._begun
        """When gRPC was last asked; a client that has just asked is there."""
        self._gone = False

    def cancelled(self) -> bool:
        """Whether the client is gone (known `LOOK_S` later), or the port closes. From any thread, also after the end."""
        if self.given_up or self._gone or self._calls.closing:
            return True
        with self._guard:
            context = self._context
            if context is None:
                return True
            now = time.monotonic()
            if now - self._looked >= LOOK_S:
                self._looked = now
                self._gone = bool(context.is_cancelled())
            return self._gone

    def told(self, error: BaseException) -> BaseException:
        """What to tell of it. Nobody cancelled a statement that ends because the port closes: another pod can be asked."""
        if not isinstance(error, Cancelled) or self.given_up or not self._calls.closing:
            return error
        known = error.outcome_known
        return Unavailable(ENDING, remedy=ASK_ANOTHER, outcomes=error.outcomes, outcome_known=known)

    def fail(self, error: BaseException) -> NoReturn:
        """It is over with this error. Raises it as it is `told`."""
        told = self.told(error)
        self.end(told)
        if told is error:
            raise error
        raise told from error

    def end(self, error: BaseException | None = None) -> None:
        """It is over; only the first word counts."""
        with self._guard:
            context, self._context = self._context, None
        if context is not None:
            self._calls.ended(self, time.monotonic() - self._begun, error)


@dataclass
class Calls:
    """All calls of one port. Invariant: `totals[kind].running` is the number of calls begun and not ended."""

    closing: bool = False
    totals: dict[str, Totals] = field(default_factory=lambda: {kind: Totals() for kind in RUNNING_MAX})
    named: dict[str, Call] = field(default_factory=dict)
    """Running calls that were given a name, for `cancel`. Of two of one name the later one counts."""
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, kind: str, context: Any, name: str = "") -> Call:
        """Raises Unavailable when the port closes, or too many calls of this kind run."""
        totals = self.totals[kind]
        with self._guard:
            if self.closing:
                totals.refused += 1
                raise Unavailable(ENDING, remedy=ASK_ANOTHER)
            if totals.running >= RUNNING_MAX[kind]:
                totals.refused += 1
                raise Unavailable(
                    f"{totals.running} calls of the kind {kind} run here, which is the most there can be",
                    remedy="Ask again a little later, or another member.",
                )
            totals.running += 1
            call = Call(kind, context, self, name)
            if name:
                self.named[name] = call
        return call

    def cancel(self, name: str) -> bool:
        """Let the running call of this name end soon; whether there is one."""
        call = self.named.get(name)
        if call is not None:
            call.given_up = True
        return call is not None

    @contextmanager
    def call(self, kind: str, context: Any) -> Iterator[Call]:
        """A call that is over when its block is."""
        call = self.begin(kind, context)
        try:
            yield call
        except BaseException as error:
            call.fail(error)
        call.end()

    def ended(self, call: Call, seconds: float, error: BaseException | None) -> None:
        totals = self.totals[call.kind]
        with self._guard:
            totals.running -= 1
            if self.named.get(call.name) is call:
                del self.named[call.name]
            totals.seconds += seconds
            totals.rows += call.rows
            if error is None:
                totals.done += 1
            elif getattr(error, "code", "") == "CANCELLED" or isinstance(error, GeneratorExit):
                totals.cancelled += 1
            else:
                totals.failed += 1
