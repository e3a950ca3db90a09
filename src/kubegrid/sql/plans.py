"""What the planner gives: the SQL that the partitions run, and the SQL that makes the answer of what they yield.

A plan is text, so that it can be shown (EXPLAIN), sent and run by whoever has a DuckDB. Next: `planner`, which makes
it, and `query`, which runs it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from kubegrid.sql.merging import Merging

SCAN = "scan"
"""Rows of one table: the columns and rows that the final statement needs."""
JOIN = "join"
"""Rows of tables joined inside the partitions."""
AGGREGATE = "partial aggregate"
"""A group may be in several partitions: the final statement merges its parts."""
GROUPS = "groups"
"""Every group is in one partition, so it is finished there."""
TOP_K = "top-k"
"""The first rows of each partition, among which the first of all are."""
DISTINCT = "distinct"
RECORD = "record"
"""Columns of the one record that has a key, as they are: the store tells it, and nothing is computed."""
WHOLE = "whole"
"""A query, or a part of one, whose rows are all in one partition: nothing is left to merge."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """How a top-k is asked for less: for rows that come as early in its order as a value that is known to be there.

    If all partitions together yield `rows` of them, these are enough: each row that was left out comes after all of these.
    """

    column: str
    """Of what the fragment yields: the first of the order. NULLs are last."""
    descending: bool
    rows: int
    before: str
    """The SQL up to the value."""
    after: str

    def sql(self, literal: str) -> str:
        return f"{self.before}{literal}{self.after}"


@dataclass(frozen=True, slots=True)
class Fragment:
    """One statement for some of the partitions; its rows of all of them are the relation `name` of the final one."""

    name: str
    sql: str
    """In it `t` is the partition's own rows of table t, and `t__all` all rows of a broadcast table."""
    partitions: tuple[int, ...] | None
    """None: all of them. Empty: no row can match, nobody is asked."""
    tables: tuple[str, ...]
    """Read as own rows."""
    broadcast: tuple[str, ...]
    """Broadcast tables read whole."""
    kind: str
    columns: tuple[tuple[str, str], ...] = ()
    """Name and DuckDB type of each column that it yields; the planner binds no types and leaves this to `query`."""
    keys: Mapping[str, tuple[bytes, ...]] | None = None
    """Of the only records that it needs of each of `tables`; None: any may be."""
    threshold: Threshold | None = None
    record_columns: tuple[str, ...] | None = None
    """Its rows are these columns of the records with these `keys`, whose conditions let all of them through; None: `sql` has
    to be run."""


@dataclass(frozen=True, slots=True)
class Plan:
    fragments: tuple[Fragment, ...]
    final: str | None
    """Over the relations of the fragments; None: the rows of the only fragment, which runs in one partition, are the
    answer."""
    columns: tuple[tuple[str, str], ...] = ()
    """Names and DuckDB types of the answer, in order: those of the statement itself. Filled by `query`; the names that
    `final` yields may differ, their order does not."""
    merging: Merging | None = None
    """What `final` does, if rows that are few need no DuckDB for it."""
