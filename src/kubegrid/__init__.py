"""KubeGrid: an in-memory data grid for real-time analytics.

    grid = kubegrid.connect("127.0.0.1:7000")        # a grid that runs somewhere
    grid = await kubegrid.connect_async("…")         # the same for asyncio
    grid = kubegrid.local()                          # one inside this process, for tests and notebooks

The client and the embedded grid are imported when they are first asked for: the processes of a grid import this package, too.
"""

import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kubegrid.client import (
        AsyncGrid,
        AsyncTable,
        ClientOptions,
        Grid,
        SqlResult,
        Table,
        Versioned,
        connect,
        connect_async,
        deadline,
        retry_on_conflict,
        retry_on_conflict_async,
    )
    from kubegrid.client.errors import (
        AccessError,
        BadDefinitionError,
        BadValueError,
        ClientError,
        ClosedError,
        ConflictError,
        DoneError,
        GridNotReachableError,
        NoManagerError,
        NotDoneError,
        Outcome,
        OutcomeUnknownError,
        OutOfMemoryError,
        OverloadedError,
        PartlyDoneError,
        PredicateError,
        RecordExistsError,
        RejectedError,
        SchemaChangedError,
        SqlCancelledError,
        SqlError,
        SqlLimitError,
        SqlNameError,
        SqlNotSupportedError,
        SqlOutcomeUnknownError,
        SqlPartlyDoneError,
        SqlSyntaxError,
        SqlTimeoutError,
        SqlTypeError,
        SqlWriteRefusedError,
        StaleError,
        TableExistsError,
        UnavailableError,
        UnknownColumnError,
        UnknownTableError,
        WrongTypeError,
    )


def local(*, memory_bytes: int | None = None) -> "Grid":
    """A grid inside this process: one partition, no backups, gone with `close` or the process. Starts in a moment.

    It is the real data pod on a port of loopback, so everything works as on a grid; only failures cannot be tried on it.
    """
    from kubegrid.client import ClientOptions, Grid, arguments
    from kubegrid.runtime import embedded

    if memory_bytes is None:
        owner = embedded.start()
    else:
        owner = embedded.start(arguments.whole(memory_bytes, "memory_bytes"))
    try:
        return Grid(
            ",".join(owner.addresses), ClientOptions(password=owner.secret, busy_wait=0), owner.close, owner.check
        )
    except BaseException:
        owner.close()
        raise


__all__ = [
    "AccessError",
    "AsyncGrid",
    "AsyncTable",
    "BadDefinitionError",
    "BadValueError",
    "ClientError",
    "ClientOptions",
    "ClosedError",
    "ConflictError",
    "DoneError",
    "Grid",
    "GridNotReachableError",
    "NoManagerError",
    "NotDoneError",
    "OutOfMemoryError",
    "Outcome",
    "OutcomeUnknownError",
    "OverloadedError",
    "PartlyDoneError",
    "PredicateError",
    "RecordExistsError",
    "RejectedError",
    "SchemaChangedError",
    "SqlCancelledError",
    "SqlError",
    "SqlLimitError",
    "SqlNameError",
    "SqlNotSupportedError",
    "SqlOutcomeUnknownError",
    "SqlPartlyDoneError",
    "SqlResult",
    "SqlSyntaxError",
    "SqlTimeoutError",
    "SqlTypeError",
    "SqlWriteRefusedError",
    "StaleError",
    "Table",
    "TableExistsError",
    "UnavailableError",
    "UnknownColumnError",
    "UnknownTableError",
    "Versioned",
    "WrongTypeError",
    "__version__",
    "connect",
    "connect_async",
    "deadline",
    "local",
    "retry_on_conflict",
    "retry_on_conflict_async",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'kubegrid' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    from kubegrid import client
    from kubegrid.client import errors

    return getattr(client, name, None) or getattr(errors, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
