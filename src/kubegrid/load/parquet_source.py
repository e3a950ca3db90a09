"""Parquet: types are stated in the file; read in batches, so that memory does not depend on the file's size."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kubegrid.client.bulk.progress import Position
from kubegrid.load.blocks import BLOCK_ROWS, DECODED_BYTES, Block, Source, named_once
from kubegrid.load.errors import FileError
from kubegrid.wire.arrow_columns import value_shown
from kubegrid.wire.arrow_types import PANDAS_INDEX


class ParquetSource(Source):
    unit = "rows"
    where = "row"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with pq.ParquetFile(path) as file:
                self.schema = pa.schema(
                    [field for field in file.schema_arrow if not field.name.startswith(PANDAS_INDEX)]
                )
                self.total = file.metadata.num_rows
                groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
                self._groups = [group.num_rows for group in groups]
                self._row_bytes = sum([group.total_byte_size for group in groups]) // max(1, self.total) + 1
        except (pa.ArrowException, OSError) as error:
            raise FileError(f"{path} cannot be read as Parquet: {error}") from error
        double = named_once(self.schema.names)
        if double:
            raise FileError(f"{path} names the column {double[0]!r} more than once")

    def beginning(self) -> Position:
        return Position(0, 1)

    def blocks(self, wanted: pa.Schema, begin: Position) -> Iterator["ParquetBlock"]:
        """Whole row groups before `begin` are not read again."""
        first, row = 0, 0
        rows = max(1, min(BLOCK_ROWS, DECODED_BYTES // self._row_bytes))
        while first < len(self._groups) and row + self._groups[first] <= begin.offset:
            row += self._groups[first]
            first += 1
        try:
            # Buffering in advance, which suits a store far away, would read all row groups before the first batch.
            with pq.ParquetFile(self.path, pre_buffer=False) as file:
                groups = list(range(first, len(self._groups)))
                for batch in file.iter_batches(rows, row_groups=groups, columns=self.schema.names):
                    skipped = min(max(begin.offset - row, 0), len(batch))
                    rest = batch.slice(skipped)
                    row += len(batch)
                    if len(rest):
                        yield ParquetBlock(pa.Table.from_batches([rest]), row - len(rest), row)
        except (pa.ArrowException, OSError) as error:
            raise FileError(f"{self.path} cannot be read on from row {row + 1}: {error}") from error


class ParquetBlock(Block):
    __slots__ = ("_begin", "_rows")

    def __init__(self, rows: pa.Table, begin: int, end: int) -> None:
        super().__init__(Position(end, end + 1), end)
        self._rows = rows
        self._begin = begin

    def __len__(self) -> int:
        return len(self._rows)

    def table(self, start: int | None = None, stop: int | None = None) -> pa.Table:
        return self._rows if start is None else self._rows.slice(start, (stop or 0) - start)

    def line(self, row: int) -> int:
        return self._begin + row + 1

    def position(self, row: int) -> Position:
        return Position(self._begin + row, self._begin + row + 1)

    def text(self, row: int) -> str:
        one = self._rows.slice(row, 1)
        try:
            return str(one.to_pylist()[0])
        except (ValueError, OverflowError):  # a time that Python has no object for
            return ", ".join(f"{name}: {value_shown(one.column(name)[0])}" for name in one.column_names)
