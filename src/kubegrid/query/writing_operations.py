"""Operations of KG.REWRITE: what a statement makes of records, partition by partition.

An operation is a row to be written or a key to be removed, with how the record must be found (`store.commands_rewrite` has
the same numbers). Who computes them is `writing_changes`, who sends them `writing_sending`.
"""

from collections.abc import Callable
from typing import NamedTuple

from kubegrid.base.tables import TableDefinition
from kubegrid.base.units import bytes_text
from kubegrid.sql.errors import TooMuch

MISSING = 0
ANY = -1
KEEP = -2
STATEMENT_BYTES_MAX = 128 * 1024 * 1024
"""Of the rows that one statement writes; they are in the coordinating pod's memory until all partitions have them."""

PartitionOf = Callable[[bytes], int]


class Operation(NamedTuple):
    expected: int
    key: bytes
    row: bytes | None
    """None: the record is to be removed."""

    @property
    def size(self) -> int:
        return len(self.key if self.row is None else self.row) + 12


class Operations:
    """Of one statement. Invariant: no key stands there twice."""

    def __init__(self, table: TableDefinition, partition_of: PartitionOf) -> None:
        self.table = table
        self.by_partition: dict[int, list[Operation]] = {}
        self._partition_of = partition_of
        self._seen: set[bytes] = set()
        self._bytes = 0

    def add(self, operation: Operation) -> bool:
        """False if its key was there before. Raises TooMuch."""
        if operation.key in self._seen:
            return False
        self._seen.add(operation.key)
        self._bytes += operation.size
        if self._bytes > STATEMENT_BYTES_MAX:
            raise TooMuch(
                f"the statement writes more than {bytes_text(STATEMENT_BYTES_MAX)} of rows to table {self.table.name}",
                remedy="Divide it, for example by ranges of the key; files are loaded with kubegrid load.",
            )
        self.by_partition.setdefault(self._partition_of(operation.key), []).append(operation)
        return True
