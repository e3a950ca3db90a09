"""The root of every error that a person may see, and the exit status that each kind of it gives a command.

    KubegridError             1   failed
    ├── UsageError            2   wrong usage, or a manifest that does not hold
    ├── NotReachableError     3   no such grid, or nothing of it answers
    └── RefusedError          4   refused as unsafe, or in conflict with what is there

Each package roots its own tree in one of these. An error says what was wrong with what, and, in `remedy`, what to do;
`outcome_known` is False when the thing asked for may or may not have happened. Programming mistakes are ordinary
exceptions and are not in this tree: they show a traceback, because somebody has to mend the program.
"""


class KubegridError(Exception):
    """Something that was asked for did not happen, for a reason that can be told."""

    exit_status = 1
    outcome_known = True

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class UsageError(KubegridError):
    """The request itself is wrong: an option, a file, a manifest. Nothing was touched."""

    exit_status = 2


class NotReachableError(KubegridError):
    """There is no such grid, or none of its processes answers."""

    exit_status = 3


class RefusedError(KubegridError):
    """It could be done, but would be unsafe, or collides with something that is there. Nothing was touched."""

    exit_status = 4
