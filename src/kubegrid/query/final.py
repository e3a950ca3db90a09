"""A statement of DuckDB's run in a connection of its own: the final one over what was gathered, or one without tables."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from kubegrid.columns.database import quoted
from kubegrid.query.binding import Columns, columns_of
from kubegrid.query.duck_errors import sql_error
from kubegrid.query.running import Running
from kubegrid.query.watch import Watch
from kubegrid.sql.errors import SqlError

WIDE_SHARE = 8
"""A batch of rows that have texts in them, or many columns, has only so small a part of the rows of another one: DuckDB
counts rows, and what a batch takes in memory is in nobody's account."""
NARROW_COLUMNS_MAX = 16
_FIXED = re.compile(r"U?(?:TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|BOOLEAN|DATE|TIME.*|DECIMAL\(.*\)|INTERVAL")


def run(
    cursor: Any, sql: str, columns: Columns, batch_rows: int, running: Running, watch: Watch, text: str = ""
) -> tuple[Iterator[Any], Callable[[], None]]:
    """Its batches, and what to call when they are not wanted any more; the connection is closed by that.

    Returns when the first rows are ready, so what is wrong with a statement is mostly said here. The types are made
    those that the statement was bound with, which a rewritten statement may have changed (a merged count is a sum).
    `text`: the user's, if `sql` is just that, so that a place in it may be told.
    """
    unwatch = watch.begin(running, cursor.interrupt)

    def end() -> None:
        unwatch()
        cursor.close()

    try:
        relation = cursor.sql(sql)
        if [kind for _, kind in columns_of(relation)] != [kind for _, kind in columns]:
            relation = cursor.sql(_cast(sql, columns))
        reader = relation.to_arrow_reader(batch_rows if _narrow(columns) else max(1, batch_rows // WIDE_SHARE))
    except BaseException as error:
        end()
        if isinstance(error, SqlError) or not isinstance(error, Exception):
            raise
        running.check()
        raise sql_error(error, text) from error
    return _batches(reader), end


def _narrow(columns: Columns) -> bool:
    """Whether a row has a size that is known, and small."""
    return len(columns) <= NARROW_COLUMNS_MAX and all(_FIXED.fullmatch(kind) for _, kind in columns)


def _batches(reader: Any) -> Iterator[Any]:
    try:
        yield from reader
    finally:
        reader.close()


def _cast(sql: str, columns: Columns) -> str:
    names = [f"c{place}" for place in range(len(columns))]
    casts = ", ".join(
        f"CAST({name} AS {kind}) AS {quoted(column)}" for name, (column, kind) in zip(names, columns, strict=True)
    )
    return f"SELECT {casts} FROM ({sql}) AS __final({', '.join(names)})"
