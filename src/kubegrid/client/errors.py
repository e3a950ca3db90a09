"""The errors of the client, one tree that says what became of the thing asked for.

    ClientError                        outcome   meaning
    ├── NotDoneError                   NOT_DONE  nothing was changed; asking again is safe
    │   ├── UnavailableError                     no member served it within the deadline
    │   │   ├── GridNotReachableError            no address of the grid answers (`attempts` says why, one by one)
    │   │   └── NoManagerError                   tables are made and changed by the manager, which does not answer
    │   ├── OverloadedError                      more is waiting than the client's limit allows
    │   ├── ClosedError                          the client was closed, or belongs to the parent of a fork
    │   ├── AccessError                          the password is missing or wrong
    │   └── RejectedError                        a member read the request and refused it (`code`)
    │       ├── ConflictError                    version or condition does not hold (any more)
    │       ├── RecordExistsError                on_duplicate="fail" and a record has the key
    │       ├── UnknownTableError, UnknownColumnError, TableExistsError
    │       ├── BadDefinitionError               a table that cannot be: every problem of its definition is named
    │       ├── BadValueError, PredicateError    a value or predicate that the table cannot take
    │       ├── SchemaChangedError               the table was altered meanwhile, and again while the client looked
    │       ├── StaleError                       no copy is fresh enough
    │       ├── WrongTypeError                   a command for another kind of value
    │       ├── OutOfMemoryError                 the member is full
    │       └── SqlError                         a statement of SQL was refused, or ended before it was done (`place`, `line`)
    │           ├── SqlSyntaxError               it cannot be read
    │           ├── SqlNameError                 no such table, column or function; the nearest is named
    │           ├── SqlTypeError                 values and types that do not go together, also while it ran
    │           ├── SqlNotSupportedError         SQL, but not here
    │           ├── SqlLimitError                beyond a limit: of text, rows, memory, statements at a time
    │           ├── SqlTimeoutError              it took longer than it may
    │           ├── SqlCancelledError            it was cancelled
    │           └── SqlWriteRefusedError         a rule of the table, or another write, forbids it
    ├── DoneError                      DONE      it happened; only its reply could not be used (`reply`)
    ├── PartlyDoneError                PARTLY    of several things some were done (`done`, `failures`)
    │   └── SqlPartlyDoneError                   a statement that some partitions have done (`outcomes`, `statement_id`)
    └── OutcomeUnknownError            UNKNOWN   it may have happened, or not
        └── SqlOutcomeUnknownError               a statement that writes; ask again under its `statement_id`

`error.outcome` tells the four apart without looking at classes. Reads change nothing: a read that fails is *not done*.
What the caller did wrong before anything was sent (a key of the wrong length, a class without annotations) is a
`NotDoneError`, too, or a plain TypeError or ValueError.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Any

from kubegrid.base.errors import KubegridError, NotReachableError


class Outcome(enum.Enum):
    """What became of the thing asked for."""

    NOT_DONE = "not done"
    DONE = "done"
    PARTLY = "partly done"
    UNKNOWN = "outcome unknown"


class ClientError(KubegridError):
    """Root of the tree. `outcome` says what became of the request."""

    outcome = Outcome.NOT_DONE


class NotDoneError(ClientError):
    """Nothing was changed."""


class UnavailableError(NotDoneError):
    """No member served the request within its deadline. Every attempt is known not to have been executed."""


class GridNotReachableError(UnavailableError, NotReachableError):
    """No address of the grid answers. `attempts`: address → why it failed."""

    def __init__(self, attempts: Mapping[str, str]) -> None:
        tried = (
            "; ".join(f"{address}: {reason}" for address, reason in attempts.items()) or "there was no address to try"
        )
        super().__init__(
            f"no member of the grid answers ({tried})",
            "Is it running? `kubegrid status` shows a local grid's addresses; `kubegrid up --detach` starts one.",
        )
        self.attempts = dict(attempts)


class NoManagerError(UnavailableError):
    """A change of tables: the manager makes it, and does not answer. Records are read and written without it."""


class OverloadedError(NotDoneError):
    """More requests wait in this client than its limit allows: wait for some of them first."""


class ClosedError(NotDoneError):
    """The client was closed, or was made by the parent of a forked process."""


class AccessError(NotDoneError):
    """The password is missing or wrong."""


class RejectedError(NotDoneError):
    """A member read the request and refused it. `code` is the first word of its reply (`ERR`, `OOM`, …)."""

    def __init__(self, message: str, remedy: str = "", code: str = "ERR") -> None:
        super().__init__(message, remedy)
        self.code = code


class ConflictError(RejectedError):
    """The version is another, or the condition does not hold: somebody changed the record first."""


class RecordExistsError(RejectedError):
    """A record of that key exists, and the write was asked to fail then."""


class UnknownTableError(RejectedError):
    """There is no such table."""


class UnknownColumnError(RejectedError):
    """The table has no such column."""


class TableExistsError(RejectedError):
    """A table of that name exists and is defined differently."""


class BadDefinitionError(RejectedError):
    """The definition of a table does not hold."""


class BadValueError(RejectedError):
    """A value does not fit its column, or the values of a key do not fit the table's key."""


class PredicateError(RejectedError):
    """The predicate does not parse, or is not one."""


class SchemaChangedError(RejectedError):
    """The table was altered, and again while the client read its new definition."""


class StaleError(RejectedError):
    """No copy is as fresh as asked for, and the primary did not serve within the deadline."""


class WrongTypeError(RejectedError):
    """The key holds another kind of value than the command is for."""


class OutOfMemoryError(RejectedError):
    """The member is full; reads and deletions work."""


class SqlError(RejectedError):
    """A statement was refused, or ended before it was done. `place`: its line with a caret, if the place is known."""

    def __init__(
        self, message: str, remedy: str = "", code: str = "SQL", place: str = "", line: int = 0, column: int = 0
    ):
        super().__init__(message, remedy, code)
        self.place = place
        self.line = line
        """From 1; 0: the place is not known."""
        self.column = column

    def __str__(self) -> str:
        return "\n".join(part for part in (self.message, self.place, self.remedy) if part)


class SqlSyntaxError(SqlError):
    """The statement cannot be read."""


class SqlNameError(SqlError):
    """A table, column or function that is not there."""


class SqlTypeError(SqlError):
    """Values and types that do not go together: a cast, an overflow, a value for a column."""


class SqlNotSupportedError(SqlError):
    """It is SQL, but the grid does not do it."""


class SqlLimitError(SqlError):
    """Beyond a limit: the size of the statement or of its answer, memory, statements at a time."""


class SqlTimeoutError(SqlError):
    """The statement took longer than it may."""


class SqlCancelledError(SqlError):
    """The statement was cancelled."""


class SqlWriteRefusedError(SqlError):
    """A rule of the table, or what somebody else wrote meanwhile, forbids it."""

    exit_status = 4


class DoneError(ClientError):
    """It happened, but what came back could not be turned into what was asked for. `reply` is what came back."""

    outcome = Outcome.DONE

    def __init__(self, message: str, remedy: str = "", reply: object = None) -> None:
        super().__init__(message, remedy)
        self.reply = reply


class PartlyDoneError(ClientError):
    """Of several things some were done: `done` of them; `failures` holds (index, error) of the others, in order.

    `outcome` is PARTLY, or UNKNOWN when it is of any of them. The errors of `failures` say what became of each.
    """

    outcome = Outcome.PARTLY

    def __init__(self, message: str, done: int, failures: Sequence[tuple[int, Exception]]) -> None:
        super().__init__(message)
        self.done = done
        self.failures = list(failures)
        if any(isinstance(error, OutcomeUnknownError) for _, error in failures):
            self.outcome = Outcome.UNKNOWN
            self.outcome_known = False
        elif not done:
            self.outcome = Outcome.NOT_DONE


class SqlPartlyDoneError(PartlyDoneError):
    """Not every partition is known to have done its part of a statement. Under the same `statement_id` it can be run again: what
    was done is not done twice. `outcomes` says of each partition what became of it."""

    def __init__(self, message: str, remedy: str, outcomes: Sequence[Any], statement_id: str) -> None:
        left = [one for one in outcomes if one.outcome != "done"]
        failures: list[tuple[int, Exception]] = []
        for one in left:
            kind = OutcomeUnknownError if one.outcome == "unknown" else NotDoneError
            failures.append((one.partition, kind(f"partition {one.partition}: {one.error or one.outcome}")))
        super().__init__(message, len(outcomes) - len(left), failures)
        self.remedy = remedy
        self.outcomes = tuple(outcomes)
        self.statement_id = statement_id


class OutcomeUnknownError(ClientError):
    """A write was sent and its reply never came: it may have happened, or not."""

    outcome = Outcome.UNKNOWN
    outcome_known = False


class SqlOutcomeUnknownError(OutcomeUnknownError):
    """A statement that writes was sent, and it is not known what became of it. Run it again under the same `statement_id`."""

    def __init__(self, message: str, remedy: str, statement_id: str) -> None:
        super().__init__(message, remedy)
        self.statement_id = statement_id
