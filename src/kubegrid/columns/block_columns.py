"""Rows that still are columns in the store (its blocks), as columns that DuckDB takes in: no step of Python for a row.

A block's columns are settled (`wire.arrow_columns`), and DuckDB reads most of them as they lie there. What Arrow has no type
for is text: DuckDB makes HUGEINT and UUID of it, JSON is written anew as `conversion` writes it for a record, because its
text is what SQL sees. A column that a block lacks, because its batch had none or because the table has it since later, reads
as its default. Next: `building` and `delta`, which put records beside.
"""

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec
import pyarrow as pa

from kubegrid.columns.conversion import SLICE_ROWS, VERSION, Conversion, json_text
from kubegrid.store.changes import Cold

if TYPE_CHECKING:
    from kubegrid.store.blocks import Block

INSERT_ROWS = 2**20
"""About so many rows are one INSERT: several of DuckDB's groups of rows."""
INCOMING_BYTES = 32 * 2**20
"""And no more bytes: of a block that lacks rows, and of JSON, they are there a second time."""
_SPELT = r"^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
"""A UUID as everybody writes it. Python reads more than DuckDB does."""
_CAST = ("HUGEINT", "UHUGEINT", "UUID")
_json_value = msgspec.json.Decoder().decode


class Incoming(NamedTuple):
    """Rows for one INSERT."""

    selected: str
    """What to select from the relation, to insert into the table."""
    rows: Any
    """A pyarrow.Table."""


def incoming(conversion: Conversion, blocks: Iterable[Cold]) -> Iterator[Incoming]:
    """All rows of these blocks, in their order."""
    batches: list[pa.RecordBatch] = []
    selected = ""
    rows = size = 0
    for cold in blocks:
        select, batch = convert(conversion, cold)
        enough = rows >= INSERT_ROWS or size >= INCOMING_BYTES
        if batches and (enough or select != selected or batch.schema != batches[0].schema):
            yield Incoming(selected, pa.Table.from_batches(batches))
            batches, rows, size = [], 0, 0
        selected = select
        batches.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
    if batches:
        yield Incoming(selected, pa.Table.from_batches(batches))


def convert(conversion: Conversion, cold: Cold) -> tuple[str, pa.RecordBatch]:
    """The rows of one block: what to select of them; columns c0, c1 … and the versions."""
    block: Block = cold.block
    given = block.columns
    places = {name: place for place, name in enumerate(given.schema.names)}
    kept = _kept(block.size, cold.taken) if cold.taken else None
    count = block.size - len(cold.taken)
    arrays: list[Any] = []
    names: list[str] = []
    selected: list[str] = []
    for place, column in enumerate(conversion.columns):
        name = column.type.name
        if column.name in places:
            found = given.column(places[column.name])
            arrays.append(_readable(found if kept is None else found.filter(kept), name))
            selected.append(f"CAST(c{place} AS {name})" if name in _CAST else f"c{place}")
        elif column.default is not None:
            arrays.append(_repeated(conversion.default(place).column(0).chunk(0), count))
            selected.append(conversion.selected_of(place))
        else:
            selected.append("NULL")
            continue
        names.append(f"c{place}")
    numbers = _versions(block.first, block.size)
    arrays.append(numbers if kept is None else numbers.filter(kept))
    return ", ".join([*selected, VERSION]), pa.RecordBatch.from_arrays(arrays, [*names, VERSION])


def _kept(size: int, taken: Collection[int]) -> Any:
    """Which places are not taken."""
    places = bytearray(b"\1") * size
    for place in taken:
        places[place] = 0
    return pa.Array.from_buffers(pa.uint8(), size, [None, pa.py_buffer(places)]).cast(pa.bool_())


_numbers: list[Any] = [pa.array([], pa.uint64())]
"""0, 1 … as far as any block was long."""


def _versions(first: int, size: int) -> Any:
    from pyarrow import compute

    from kubegrid.wire.arrow_packing import scalar

    if len(_numbers[0]) < size:
        data = pa.py_buffer(array("Q", range(size)).tobytes())
        _numbers[0] = pa.Array.from_buffers(pa.uint64(), size, [None, data])
    return compute.add(_numbers[0].slice(0, size), scalar(first, pa.uint64()))


def _repeated(one: Any, count: int) -> Any:
    places = pa.Array.from_buffers(pa.int32(), count, [None, pa.py_buffer(bytes(4 * count))])
    return one.take(places)


def _readable(given: Any, name: str) -> Any:
    """A settled column as DuckDB is to read it."""
    if name == "JSON":
        return _rewritten(given, _json)
    if name == "UUID":
        from pyarrow import compute

        if compute.all(compute.match_substring_regex(given, _SPELT)).as_py() is False:
            return _rewritten(given, _uuid)
    return given


def _rewritten(given: Any, rewrite: Callable[[str], str | None]) -> Any:
    """The texts of a column, each distinct one rewritten, in slices: between two the GIL can be had by others."""
    coded = given.dictionary_encode()
    distinct = coded.dictionary
    made: list[str | None] = []
    for start in range(0, len(distinct), SLICE_ROWS):
        made += [rewrite(text) for text in distinct.slice(start, SLICE_ROWS).to_pylist()]
    return pa.array(made, pa.string()).take(coded.indices)


def _json(text: str) -> str | None:
    """As a record's value is written; null is NULL."""
    value = _json_value(text)
    return None if value is None else json_text(value)


def _uuid(text: str) -> str:
    return str(UUID(text))
