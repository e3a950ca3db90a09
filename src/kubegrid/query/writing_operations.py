"""Operations of KG.REWRITE: what a statement makes of records, partition by partition.

An operation is a row to be written or a key to be removed, with how the record must be found (`store.commands_rewrite` has
the same numbers). Who computes them is `writing_changes`, who sends them `writing_sending`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kubegrid.base.tables import TableDefinition
from kubegrid.base.units import bytes_text
from kubegrid.client.slots import slot_of
from kubegrid.sql.errors import TooMuch

MISSING = 0
ANY = -1
KEEP = -2
STATEMENT_BYTES_MAX = 128 * 1024 * 1024
"""Of the rows that one statement writes; they are in the coordinating pod's memory until all partitions have them."""


class Operation(NamedTuple):
    expected: int
    key: bytes
    row: bytes | None
    """None: the record is to be removed."""

    @property
    def size(self) -> int:
        return len(self.key if self.row is None else self.row) + 12


class Operations:
    """Of one statement."""

    def __init__(self, table: TableDefinition, partitions: Sequence[int]) -> None:
        """`partitions`: the partition of each slot."""
        self.table = table
        self.by_partition: dict[int, list[Operation]] = {}
        self._partitions = partitions
        self._bytes = 0

    def add(
        self,
        expected: Iterable[int],
        keys: Sequence[bytes],
        rows: Iterable[bytes | None],
        slots: Sequence[int] | None = None,
    ) -> int | None:
        """Add some; of several with one key the first. The number of the first that was left out for that. Raises TooMuch.

        `slots` of the keys, if they are known.
        """
        operations = list(map(Operation, expected, keys, rows))
        repeated = None
        if len(set(keys)) < len(keys):
            first: dict[bytes, int] = {}
            numbers = [first.setdefault(key, number) for number, key in enumerate(keys)]
            repeated = next(number for number, other in enumerate(numbers) if number != other)
            operations = [operations[number] for number in first.values()]
            slots = None
        self._bytes += sum([len(key if row is None else row) for _, key, row in operations]) + 12 * len(operations)
        if self._bytes > STATEMENT_BYTES_MAX:
            raise TooMuch(
                f"the statement writes more than {bytes_text(STATEMENT_BYTES_MAX)} of rows to table {self.table.name}",
                remedy="Divide it, for example by ranges of the key; files are loaded with kubegrid load.",
            )
        if slots is None:
            slots = [slot_of(key) for _, key, _ in operations]
        for slot, operation in zip(slots, operations, strict=True):
            partition = self._partitions[slot]
            if partition in self.by_partition:
                self.by_partition[partition].append(operation)
            else:
                self.by_partition[partition] = [operation]
        return repeated
