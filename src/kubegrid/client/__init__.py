"""The Python client, sync and async: plain Python on hiredis, no dependency on the server's parts.

`connect` → `Grid` (`grid`) → `caller` (which member, retries) → `connection` (a socket); async the same way by
`async_grid`, `async_caller`, `link`. Tables: `table`, on the pure `table_plan` and `table_steps`. SQL: `sql` and `async_sql`
lead the conversations of `sql_calls` over Arrow Flight. The errors and what they say about the outcome are in `errors`.
"""

from typing import Any

from kubegrid.client.async_grid import AsyncGrid, connect_async
from kubegrid.client.async_table import AsyncTable
from kubegrid.client.deadline import deadline
from kubegrid.client.grid import Grid
from kubegrid.client.options import ClientOptions
from kubegrid.client.sql_result import SqlResult
from kubegrid.client.table import Table
from kubegrid.client.table_plan import Versioned
from kubegrid.client.transactions import retry_on_conflict, retry_on_conflict_async


def connect(addresses: str = "127.0.0.1:7000", **options: Any) -> Grid:
    """A client of the grid whose members listen at `addresses` (`host:port[,host:port…]`; one is enough, more are safer).

    Options are the fields of `ClientOptions`: password, timeout, … Raises GridNotReachableError, AccessError, UsageError.
    """
    return Grid(addresses, ClientOptions.of(options))


__all__ = [
    "AsyncGrid",
    "AsyncTable",
    "ClientOptions",
    "Grid",
    "SqlResult",
    "Table",
    "Versioned",
    "connect",
    "connect_async",
    "deadline",
    "retry_on_conflict",
    "retry_on_conflict_async",
]
