"""What clients can ask of one key, as a sequential specification: the one thing the store and the checker share.

Every operation that observes a value returns it (a failed SETNX names what was in its way). So a history says what was
seen, and an unknown write whose value nobody saw can be left out of the search (see `linearizability`). Written values
are unique within a seed, except those of counters and deletions. Next on the path: `keyvalue` executes these.
"""

from typing import Any, NamedTuple

Value = str | int | None
"""Of a key: None is "not there". Counters are integers, registers and logs are text."""

REGISTERS = ("r0", "r1", "r2")
COUNTERS = ("c0",)
LOGS = ("l0", "l1")
KEYS = REGISTERS + COUNTERS + LOGS

WRITES_OF_REGISTER = ("set", "set", "setnx", "cas", "delete")


class Request(NamedTuple):
    """Who asks, the number of this request, and below which number every answer has come (see `store.requests`)."""

    client: bytes
    seq: int
    acked: int


class Operation:
    """One request of one client, from its sending to what became of it.

    Invariant: `returned` is set exactly when the client was answered; `state` then is "done".
    """

    __slots__ = (
        "after_seq",
        "argument",
        "called",
        "client",
        "key",
        "kind",
        "number",
        "origin",
        "request",
        "result",
        "returned",
        "state",
    )

    def __init__(self, number: int, client: int, key: str, kind: str, argument: Any, called: int) -> None:
        self.number = number
        self.client = client
        self.key = key
        self.kind = kind
        self.argument = argument
        self.called = called
        """Number of the event at which it was sent (events are totally ordered, moments are not)."""
        self.after_seq = 0
        """Highest number that was confirmed, anywhere, when it was called."""
        self.returned: int | None = None
        self.result: Any = None
        self.state = "pending"
        """pending, done, unknown (may have happened, may still happen) or refused (did not happen)."""
        self.request: Request | None = None
        """R22: what the store knows it by when it is sent again."""
        self.origin: Operation | None = None
        """What this is a try of: the histories hold that one alone."""

    def attempt(self, called: int, after_seq: int) -> "Operation":
        """One try of this, on its way to one member."""
        attempt = Operation(self.number, self.client, self.key, self.kind, self.argument, called)
        attempt.after_seq, attempt.request, attempt.origin = after_seq, self.request, self
        return attempt

    def __repr__(self) -> str:
        end = self.returned if self.returned is not None else "…"
        shown = "" if self.argument is None else f" {self.argument!r}"
        asked = f"#{self.number} client {self.client} {self.kind} {self.key}{shown}"
        return f"{asked} → {self.result!r} [{self.called}, {end}] {self.state}"


def is_read(kind: str) -> bool:
    return kind == "get"


def execute(kind: str, argument: Any, value: Value) -> tuple[Any, Value]:
    """The answer and the key's new value, when the key holds `value`."""
    if kind == "get":
        return value, value
    if kind == "set":
        return "OK", argument
    if kind == "setnx":
        return (True, None) if value is None else (False, value), argument if value is None else value
    if kind == "cas":
        expected, new = argument
        return (value == expected, value), new if value == expected else value
    if kind == "delete":
        return value, None
    if kind == "incr":
        number = (value if isinstance(value, int) else 0) + 1
        return number, number
    if kind == "append":
        text = f"{value or ''}{argument},"
        return text, text
    raise ValueError(kind)


def written_value(kind: str, argument: Any) -> str | None:
    """The unique text that this operation would leave behind; None when what it writes is not unique."""
    if kind in ("set", "setnx", "append"):
        return str(argument)
    if kind == "cas":
        return str(argument[1])
    return None


def texts_seen(kind: str, result: Any) -> tuple[str, ...]:
    """The unique texts that an answer shows to have been in the key."""
    if kind in ("setnx", "cas"):
        result = result[1]
    elif kind == "set":
        return ()
    if not isinstance(result, str):
        return ()
    return tuple(result.split(",")) if "," in result else (result,)
