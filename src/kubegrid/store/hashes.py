"""The value of a hash key: compact while it is small, sharded when it grows.

Small hashes (the records of tables) hold a list of values and share their field names in a `Shape`; larger ones, and
those whose names are not worth sharing, hold `Shards`. Which form a hash has follows from its fields, not from its
history (as long as the table of shapes has room), so that two members count the same bytes for the same data.

Not here: keys, expiry, effects (`keyspace`).
"""

from collections.abc import Iterator

from kubegrid.store.memory import (
    COMPACT_FIELD_OVERHEAD_BYTES,
    HASH_OVERHEAD_BYTES,
)
from kubegrid.store.shapes import SHAPE_FIELDS_MAX, Shape, known_shape, shape_of
from kubegrid.store.shards import HASH_SPACE, Shards


class Hash:
    """Fields and values. Invariant: with a `shape`, `table` has a value for each of its fields; else `table` is `Shards`.

    Methods that change it return by how much the counted bytes changed, for the keyspace's sum.
    """

    __slots__ = ("shape", "table")

    shape: Shape | None
    table: "list[bytes] | Shards"

    def __init__(self, pairs: list[bytes]) -> None:
        """From `field, value, …`; of a field that stands twice the last value counts."""
        fields = tuple(pairs[0::2])
        shape = known_shape(fields)
        if shape is not None:
            self.shape = shape
            self.table = pairs[1::2]
            return
        self.shape = None
        self._settle(dict(zip(fields, pairs[1::2], strict=True)))

    def _settle(self, fields: dict[bytes, bytes]) -> None:
        """Take the form that these fields ask for."""
        self.shape = shape_of(tuple(fields)) if len(fields) <= SHAPE_FIELDS_MAX else None
        self.table = list(fields.values()) if self.shape is not None else Shards(fields)

    def __len__(self) -> int:
        table = self.table
        return len(table) if type(table) is list else table.size  # type: ignore[union-attr]

    @property
    def cost(self) -> int:
        """Counted bytes, beyond the key's."""
        table = self.table
        if type(table) is list:
            return HASH_OVERHEAD_BYTES + COMPACT_FIELD_OVERHEAD_BYTES * len(table) + sum(map(len, table))
        return table.cost  # type: ignore[union-attr]

    def get(self, field: bytes) -> bytes | None:
        shape = self.shape
        if shape is None:
            return self.table.get(field)  # type: ignore[union-attr]
        index = shape.index.get(field)
        return None if index is None else self.table[index]  # type: ignore[index]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        table = self.table
        if self.shape is not None:
            return zip(self.shape.fields, table, strict=True)  # type: ignore[arg-type]
        return table.items()  # type: ignore[union-attr]

    def fields(self) -> list[bytes]:
        if self.shape is not None:
            return list(self.shape.fields)
        return [field for field, _ in self.table.items()]  # type: ignore[union-attr]

    def values(self) -> list[bytes]:
        table = self.table
        if type(table) is list:
            return table
        return [value for _, value in table.items()]  # type: ignore[union-attr]

    def pairs(self) -> list[bytes]:
        """`field, value, …`, as `Hash()` takes it."""
        table = self.table
        if self.shape is not None:
            flat = [b""] * (2 * len(table))  # type: ignore[arg-type]
            flat[0::2] = self.shape.fields
            flat[1::2] = table  # type: ignore[assignment]
            return flat
        flat = []
        for pair in table.items():  # type: ignore[union-attr]
            flat += pair
        return flat

    def update(self, pairs: list[bytes], start: int, old: list[bytes | None] | None) -> tuple[int, int]:
        """Set the fields of `pairs[start:]`; how many are new, and the change in bytes. `old` collects what was."""
        shape = self.shape
        if shape is None:
            return self._update_shards(pairs, start, old)
        table: list[bytes] = self.table  # type: ignore[assignment]
        index = shape.index
        new: dict[bytes, bytes] | None = None
        change = 0
        for i in range(start, len(pairs), 2):
            field = pairs[i]
            value = pairs[i + 1]
            at = index.get(field)
            if at is not None:
                before = table[at]
                table[at] = value
                change += len(value) - len(before)
                if old is not None:
                    old += (field, before)
            elif new is None:
                new = {field: value}
            else:
                new[field] = value
        if new is None:
            return 0, change
        if old is not None:
            for field in new:
                old += (field, None)
        grown = shape_of(shape.fields + tuple(new)) if len(table) + len(new) <= SHAPE_FIELDS_MAX else None
        if grown is not None:
            self.shape = grown
            table += new.values()
            return len(new), change + sum(map(len, new.values())) + COMPACT_FIELD_OVERHEAD_BYTES * len(new)
        # `change` is contained in the cost before the conversion, which is taken after the values were set.
        before_cost = self.cost
        fields = dict(self.items())
        fields.update(new)
        self._settle(fields)
        return len(new), change + self.cost - before_cost

    def _update_shards(self, pairs: list[bytes], start: int, old: list[bytes | None] | None) -> tuple[int, int]:
        shards: Shards = self.table  # type: ignore[assignment]
        size = shards.size
        cost = shards.cost
        for i in range(start, len(pairs), 2):
            before = shards.put(pairs[i], pairs[i + 1])
            if old is not None:
                old += (pairs[i], before)
        return shards.size - size, shards.cost - cost

    def remove(self, names: list[bytes], start: int, old: list[bytes | None] | None) -> tuple[int, int]:
        """Remove the fields of `names[start:]`; how many were there, and the change in bytes."""
        before_cost = self.cost
        if self.shape is None:
            shards: Shards = self.table  # type: ignore[assignment]
            removed = 0
            for i in range(start, len(names)):
                before = shards.pop(names[i])
                if before is not None:
                    removed += 1
                    if old is not None:
                        old += (names[i], before)
            if removed and shards.size <= SHAPE_FIELDS_MAX:
                self._settle(dict(shards.items()))
            return removed, self.cost - before_cost
        index = self.shape.index
        if not any(names[i] in index for i in range(start, len(names))):
            return 0, 0
        fields = dict(self.items())
        removed = len(fields)
        for i in range(start, len(names)):
            value = fields.pop(names[i], None)
            if value is not None and old is not None:
                old += (names[i], value)
        removed -= len(fields)
        self._settle(fields)
        return removed, self.cost - before_cost

    def scan(self, position: int) -> tuple[list[tuple[bytes, bytes]], int]:
        """A bounded number of fields from `position` of the hash space on, and the next position; 0 when it is the end.

        Whoever calls it from 0 until it returns 0 gets every field that was there all the time. A small hash is returned whole
        at any position, as in Redis.
        """
        if self.shape is not None:
            return list(self.items()), 0
        shards: Shards = self.table  # type: ignore[assignment]
        table, end = shards.range_at(position)
        return list(table.items()), 0 if end >= HASH_SPACE else end

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hash) and dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Hash({dict(self.items())!r})"
