"""A few records that a fragment names by their keys, in the place of their tables' copies, or as they are.

Their tables need no copies, nothing that changed has to be applied, and whoever asks for one record does not wait for who
asks for all of them. Next on the path of the data: `reading`.
"""

from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa

from kubegrid.base.tables import TableDefinition
from kubegrid.columns.conversion import Conversion
from kubegrid.columns.database import quoted
from kubegrid.store.records import Record
from kubegrid.wire.arrow_schemas import arrow_type

_PARSED: dict[str, Callable[[Any], Any]] = {
    "DATE": date.fromisoformat,
    "TIME": time.fromisoformat,
    "TIMESTAMP": datetime.fromisoformat,
    "UUID": lambda value: str(UUID(bytes=value)),
}
"""What a record has in another form than an answer, and what makes it that without DuckDB. So are DECIMALs."""

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


def plain_columns(definition: TableDefinition, names: Sequence[str], records: Sequence[Record]) -> pa.RecordBatch:
    """These columns of a few records, in the Arrow types of an answer. Like `put_in_place` it belongs in no serving loop."""
    batch = Conversion(definition).convert(records)
    arrays = []
    for name in names:
        place = definition.position(name)
        kind = definition.columns[place].type
        array = batch.column(place)
        parse = Decimal if kind.name.startswith("DECIMAL") else _PARSED.get(kind.name)
        if parse is not None:
            values = array.storage.to_pylist() if kind.name == "UUID" else array.to_pylist()
            array = pa.array([None if value is None else parse(value) for value in values], arrow_type(kind))
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, list(names))
