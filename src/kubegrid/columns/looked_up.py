"""A few records that a fragment names by their keys, in the place of their tables' copies.

Their tables need no copies, nothing that changed has to be applied, and whoever asks for one record does not wait for who
asks for all of them. Next on the path of the data: `reading`.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from kubegrid.base.tables import TableDefinition
from kubegrid.columns.conversion import Conversion
from kubegrid.columns.database import quoted
from kubegrid.store.records import Record

Found = Sequence[tuple[TableDefinition, Sequence[Record]]]
"""Each table once, with those of the records that there are."""


def put_in_place(cursor: Any, found: Found) -> None:
    """On this connection alone, the tables are these records: a temporary view is found before a table of its name.

    The records are converted here, so it does not belong in the serving loop. Raises what DuckDB raises.
    """
    for place, (definition, records) in enumerate(found):
        conversion = Conversion(definition)
        incoming = f"looked up {place}"  # with a blank, so that no table of a user is called so
        batches = list(conversion.slices(iter(records))) or [conversion.convert([])]
        cursor.register(incoming, pa.Table.from_batches(batches))
        cursor.execute(
            f"CREATE TEMP VIEW {quoted(definition.name)} AS SELECT {conversion.renamed} FROM {quoted(incoming)}"
        ).fetchall()
