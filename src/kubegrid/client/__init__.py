"""The Python client, sync and async: plain Python on hiredis, no dependency on the server's parts.

`connect` → `Grid` (`grid`) → `caller` (which member, retries) → `connection` (a socket); async the same way by
`async_grid`, `async_caller`, `link`. The errors and what they say about the outcome are in `errors`.
"""

from typing import Any

from kubegrid.client.async_grid import AsyncGrid, connect_async
from kubegrid.client.deadline import deadline
from kubegrid.client.grid import Grid
from kubegrid.client.options import ClientOptions


def connect(addresses: str = "127.0.0.1:7000", **options: Any) -> Grid:
    """A client of the grid whose members listen at `addresses` (`host:port[,host:port…]`; one is enough, more are safer).

    Options are the fields of `ClientOptions`: password, timeout, … Raises GridNotReachableError, AccessError, UsageError.
    """
    return Grid(addresses, ClientOptions(**options))


__all__ = ["AsyncGrid", "ClientOptions", "Grid", "connect", "connect_async", "deadline"]
