"""What a coordinating pod asks of a partition's primary: one fragment of a statement, as it travels in a Flight ticket.

The sql is DuckDB's, over the catalog's tables: `t` are the rows of table t that this partition owns; `t__all` all rows of
a broadcast table, wherever they are owned. Next on the path of the data: `node/sql_fragments`.
"""

import msgspec


class FragmentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One fragment. The tables are by name; a name that the member does not know is an error of the catalog's version."""

    sql: str
    tables: list[str] = []
    """Read as own rows."""
    broadcast: dict[str, dict[int, str]] = {}
    """Broadcast table → partition → the mark of its owner that the copies must be at, or later."""
    catalog: int = 0
    """The member waits for a moment until it has this version or a later one."""
    ids: dict[str, int] = {}
    """The tables' numbers, as they were planned with. One that is another's by now: the error SCHEMA, plan again."""
    keys: dict[str, list[bytes]] | None = None
    """Of the only records of each of `tables` that the sql needs, those of other partitions among them; None: any may be."""
    record_columns: list[str] | None = None
    """What `sql` yields are these columns of the records with these `keys`, and all of these; None: it has to be run."""
    groups: bool = False
    """It yields a row for each group, and has no other aggregates than its columns (`dense_groups`)."""
    timeout_ms: int = 60_000
    """What is left of the statement's time when it is sent."""


def encode(request: FragmentRequest) -> bytes:
    """As JSON, for the ticket of the pods among themselves."""
    return msgspec.json.encode(request)


def decode(data: bytes) -> FragmentRequest:
    """Raises msgspec.DecodeError or ValidationError, which say what is wrong at which place."""
    return msgspec.json.decode(data, type=FragmentRequest)
