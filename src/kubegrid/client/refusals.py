"""What the error replies of members mean: the first word of a reply, and the error or the retry that follows from it.

Pure. GUARANTEES 3: an error reply means "not done"; what was executed and cannot be confirmed ends in a closed connection.
Next on the path of the data: `trial`.
"""

from kubegrid.client.errors import (
    AccessError,
    BadDefinitionError,
    BadValueError,
    ClientError,
    ConflictError,
    DoneError,
    OutcomeUnknownError,
    OutOfMemoryError,
    PredicateError,
    RecordExistsError,
    RejectedError,
    SchemaChangedError,
    StaleError,
    TableExistsError,
    UnknownColumnError,
    UnknownTableError,
    WrongTypeError,
)

NO_MANAGER = "NOMANAGER"
"""A change of tables, of which nothing was done."""
LATER = frozenset(("CLUSTERDOWN", "TRYAGAIN", "LOADING", "MASTERDOWN", "NOREPLICAS", "BUSY", "UNBLOCKED", NO_MANAGER))
"""Refused before anything was executed, and it will pass: a failover, a hand-over, a copy being filled, a backup away."""
ELSEWHERE = frozenset(("MOVED", "ASK"))
"""Another member has the slot."""
BEFORE_EXECUTION = LATER | ELSEWHERE | {"OOM", "NOAUTH", "READONLY", "STALE"}
"""Replies that say nothing about an earlier attempt whose reply was lost: they come before the request's id is looked at."""
FORGOTTEN = "STALEID"
"""The member does not know any more whether it executed this id."""
DONE_BEFORE = "TOOLONG"
"""It did, but did not keep the reply."""

_KINDS: dict[str, type[RejectedError]] = {
    "CONFLICT": ConflictError,
    "EXISTS": RecordExistsError,
    "NOTABLE": UnknownTableError,
    "TABLECONFLICT": TableExistsError,
    "BADDEFINITION": BadDefinitionError,
    "BADKEY": BadValueError,
    "NOCOLUMN": UnknownColumnError,
    "BADVALUE": BadValueError,
    "PREDICATE": PredicateError,
    "SCHEMA": SchemaChangedError,
    "STALE": StaleError,
    "WRONGTYPE": WrongTypeError,
    "OOM": OutOfMemoryError,
}
_REMEDIES = {
    "CONFLICT": "Read the record again and decide anew; `kubegrid.retry_on_conflict` does that.",
    "OOM": "Delete records, or give the members more memory.",
    "CROSSSLOT": "Keys that must change together need the same {tag}; get_many, set_many and delete take any keys.",
}
_TOO_LONG = "ERR Protocol error: invalid bulk length"
"""Of a word that is longer than a member takes; it reads no further."""
_ACCESS = frozenset(("NOAUTH", "WRONGPASS", "NOPERM"))


def code_of(text: str) -> str:
    """The first word of an error reply."""
    return text.partition(" ")[0]


def passes(text: str) -> bool:
    """Whether the member says nothing about the request itself: later, elsewhere, under another identity, or done before."""
    code = code_of(text)
    return code in LATER or code in ELSEWHERE or code in (FORGOTTEN, DONE_BEFORE)


def moved_to(text: str) -> str | None:
    """The address in `MOVED slot host:port`; None when it names none (an empty host: ask for the map)."""
    words = text.split()
    if len(words) != 3:
        return None
    host, _, port = words[2].rpartition(":")
    if not host or not port.isdigit():
        return None
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else words[2]


def answered_before() -> RejectedError:
    """To a request that brought its own number: its client said that it has the answer."""
    return RejectedError("the request was answered before, and its client said that it has the answer", code=FORGOTTEN)


def to_error(text: str) -> ClientError:
    """The exception for a reply that no retry can help."""
    code, _, rest = text.partition(" ")
    if text == _TOO_LONG:
        return RejectedError(
            "a word of the command is longer than a member takes",
            "Most likely a value: `proto-max-bulk-len` of CONFIG GET is the most.",
        )
    if code in _ACCESS:
        wanted = "a password" if code == "NOAUTH" else "another password"
        return AccessError(
            f"the grid wants {wanted} ({rest or text})",
            "Pass `password=…` to connect; it is the grid's secret.",
        )
    if code == FORGOTTEN:
        return OutcomeUnknownError("a write was sent before, and no member knows any more whether it was executed")
    if code == DONE_BEFORE:
        return DoneError("the write was done, but its reply was too long to be kept for the retry")
    if code == "NOTYET":
        return DoneError(rest, "Some partitions follow a little later; until then they may not know the change.")
    if code == "INDOUBT":
        return OutcomeUnknownError(rest, "Asking for the same again is harmless.")
    kind = _KINDS.get(code)
    if kind is None:
        return RejectedError(text.removeprefix("ERR "), _REMEDIES.get(code, ""), code)
    return kind(rest, _REMEDIES.get(code, ""), code)
