"""The tables of one member's store: what the catalog says, made ready to work with.

The catalog comes as an effect (`TABLES`), so every entry of the log is read under the catalog that stands before it. A
record says itself which table it is of, by number. One whose table is not in the catalog counts as missing: its table was
dropped, and it is removed slice by slice (`sweep_slice`); or a snapshot was cut while its table was made, and the log is
about to say so.

`enter` and `leave` are called for every record that comes into or goes out of the keyspace, whatever the reason is: they
are what keeps indexes right, and `changes`. Next: `indexes`; who writes records is `record_writes`.
"""

from collections import deque
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, Final

from kubegrid.base.tables import ORDERED, Catalog, TableDefinition
from kubegrid.sql.predicate import Predicates
from kubegrid.store import cold_rows
from kubegrid.store.blocks import Block
from kubegrid.store.changes import Changes
from kubegrid.store.indexes import Index, placer
from kubegrid.store.records import HEADER_BYTES, Record
from kubegrid.store.slots import slot_of
from kubegrid.wire.rows import RowCodec

if TYPE_CHECKING:
    from kubegrid.store.keyspace import Keyspace

COLUMNS_PER_UNIT: Final = 32
"""So many values are decoded in the time of a plain GET."""


class Table:
    """One table under one version of its schema. Immutable but for the content of its indexes, which outlive it."""

    __slots__ = (
        "_places",
        "_project",
        "codec",
        "definition",
        "head",
        "id",
        "indexes",
        "mark",
        "name",
        "predicates",
        "schema",
        "width_units",
    )

    def __init__(self, definition: TableDefinition, indexes: list[Index]) -> None:
        self.definition = definition
        self.id = definition.id
        self.schema = definition.schema
        self.name = definition.name
        self.mark = definition.name.encode() + b":"
        """What the keys of its records begin with."""
        self.head = definition.id.to_bytes(4)
        """What its records begin with."""
        self.codec = RowCodec(definition)
        self.width_units = len(definition.columns) // COLUMNS_PER_UNIT
        """What taking a record apart costs of a turn, beyond what doing anything with a key does."""
        self.predicates = Predicates(definition)
        self.indexes = indexes
        columns = sorted({column for index in indexes for column in index.columns})
        self._project = self.codec.projection([definition.names[column] for column in columns])
        self._places = [placer([columns.index(column) for column in index.columns]) for index in indexes]

    def places(self, row: bytes) -> list[Any]:
        """Where a record with this row belongs in each index."""
        values = self._project(row)
        return [place(values) for place in self._places]


class Tables:
    """Invariant (`validate`): `counts` says how many records each number has; `strays` is the sum of those whose table is
    not in the catalog; an index that is not `building` has each record of its table once."""

    def __init__(self) -> None:
        self.catalog = Catalog()
        self.by_id: dict[int, Table] = {}
        self.by_name: dict[bytes, Table] = {}
        self.counts: dict[int, int] = {}
        self.strays = 0
        self.sweep_slot: int | None = None
        self.sweep_queue: list[bytes] = []
        self.builders: dict[int, Generator[int, int, None]] = {}
        self.changes = Changes()
        self.deltas = self.changes.deltas

    # -- records come and go -------------------------------------------------------------------------------------

    def enter(self, record: Record) -> int:
        """A record was put into the keyspace; by how many bytes indexes grew."""
        number = record.table_id
        self.counts[number] = self.counts.get(number, 0) + 1
        table = self.by_id.get(number)
        if table is None:
            self.strays += 1
            return 0
        if self.deltas and number in self.deltas:
            self.deltas[number].enter(record)
        if not table.indexes:
            return 0
        places = table.places(record[HEADER_BYTES:])
        return sum([index.add(place, record) for index, place in zip(table.indexes, places, strict=True)])

    def leave(self, record: Record) -> int:
        """A record is no longer in the keyspace; by how many bytes indexes shrank."""
        number = record.table_id
        self.count(number, -1)
        table = self.by_id.get(number)
        if table is None:
            return 0
        if self.deltas and number in self.deltas:
            self.deltas[number].leave([record.version])
        if not table.indexes:
            return 0
        places = table.places(record[HEADER_BYTES:])
        return sum([index.remove(place, record) for index, place in zip(table.indexes, places, strict=True)])

    def enter_block(self, block: Block) -> None:
        """The same for a block's rows, those that are cold. Tables that have blocks have no indexes."""
        self.count(block.number, block.size - len(block.taken))
        if self.deltas and block.number in self.deltas:
            self.deltas[block.number].enter_block(block)

    def leave_block(self, number: int, versions: Sequence[int]) -> None:
        """Cold rows of a block of this table are no longer in the keyspace."""
        self.count(number, -len(versions))
        if self.deltas and number in self.deltas:
            self.deltas[number].leave(versions)

    def count(self, number: int, came: int) -> None:
        """So many records of a table came, or left."""
        now = self.counts.get(number, 0) + came
        if now:
            self.counts[number] = now
        else:
            del self.counts[number]
        if number not in self.by_id:
            self.strays += came

    def is_stray(self, record: Record) -> bool:
        return record.table_id not in self.by_id

    # -- the catalog changes -------------------------------------------------------------------------------------

    def adopt(self, catalog: Catalog) -> list[Any]:
        """These are the tables from now on; what the indexes of those that are gone held, to be freed in slices.

        Records and indexes of tables that stay are not touched.
        """
        before = self.by_id
        self.by_id = {}
        for definition in catalog.tables:
            old = before.get(definition.id)
            if old is None:
                table = Table(definition, [_index_of(definition, i) for i in range(len(definition.indexes))])
                for index in table.indexes:
                    # Records that are there before their table are the exception: see the module's docstring.
                    index.building = definition.id in self.counts
            else:
                table = old if old.definition == definition else Table(definition, old.indexes)
            self.by_id[definition.id] = table
        self._settle(catalog)
        gone = [table for number, table in before.items() if number not in self.by_id]
        buckets: list[Any] = [index.buckets for table in gone for index in table.indexes if index.buckets]
        return buckets + self.changes.keep_only(self.by_id)

    def restore(self, by_id: dict[int, Table], catalog: Catalog) -> set[int]:
        """Take an adoption back; the identities of what must not be freed."""
        self.by_id = by_id
        self._settle(catalog)
        self.changes.keep_only(by_id)
        return {id(index.buckets) for table in by_id.values() for index in table.indexes}

    def _settle(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.by_name = {table.name.encode(): table for table in self.by_id.values()}
        self.strays = sum([count for number, count in self.counts.items() if number not in self.by_id])
        self.sweep_slot = None
        self.sweep_queue = []
        self.builders = {number: builder for number, builder in self.builders.items() if number in self.by_id}

    @property
    def index_bytes(self) -> int:
        return sum([index.cost_bytes for table in self.by_id.values() for index in table.indexes])

    # -- everything goes, and comes back -------------------------------------------------------------------------

    def contents(self) -> list[Any]:
        """What `clear` throws away, by reference."""
        indexes = [index for table in self.by_id.values() for index in table.indexes]
        return [dict(self.counts), [(index, index.contents()) for index in indexes]]

    def put_back(self, contents: list[Any]) -> set[int]:
        """Undo `clear`; the identities of what must not be freed."""
        self.counts, indexes = contents
        for index, content in indexes:
            index.put_back(content)
        self.strays = sum([count for number, count in self.counts.items() if number not in self.by_id])
        self.changes.keep_only(())  # nobody counted what came back: whoever has copies begins again
        return {id(content[0]) for _, content in indexes}

    def clear(self, garbage: deque[Any]) -> None:
        """No record is left."""
        for table in self.by_id.values():
            for index in table.indexes:
                if index.buckets:
                    garbage.append(index.clear())
                index.building = False
        self.changes.everything_went(garbage)
        self.counts = {}
        self.strays = 0
        self.sweep_slot = None
        self.sweep_queue = []
        self.builders.clear()

    # -- chores --------------------------------------------------------------------------------------------------

    def build_slice(self, keyspace: "Keyspace", budget: int) -> int:
        """Go on entering records into indexes that were made after them: look at about `budget` keys; how many it were."""
        done = 0
        for table in self.by_id.values():
            if any(index.building for index in table.indexes):
                builder = self.builders.get(table.id)
                if builder is None:
                    builder = self.builders[table.id] = _build(keyspace, table.id)
                    next(builder)
                try:
                    done += builder.send(budget)
                except StopIteration:
                    del self.builders[table.id]
                    for index in table.indexes:
                        index.building = False
                    done += 1
                if done >= budget:
                    break
        return done

    def sweep_slice(self, keyspace: "Keyspace", budget: int) -> int:
        """Delete records of dropped tables: look at `budget` keys; how many units of work it was, 0 when none is left.

        Blocks go first, and need no look at the keyspace. The deletions are effects like any other; only a primary may
        call it.
        """
        work = cold_rows.sweep_slice(keyspace, budget) if self.strays else 0
        owned = keyspace.owned
        while self.strays and work < budget:
            if not self.sweep_queue:
                slot = owned.start if self.sweep_slot is None or self.sweep_slot not in owned else self.sweep_slot
                self.sweep_slot = slot + 1
                values = keyspace.slots[slot]
                if values:
                    self.sweep_queue = list(values)
                work += slot % 16 == 0  # an empty slot costs next to nothing beside a key
                continue
            key = self.sweep_queue.pop()
            work += 1
            value = (keyspace.slots[slot_of(key)] or {}).get(key)
            if type(value) is Record and self.is_stray(value):
                keyspace.remove(key)
        return work

    # -- tests ---------------------------------------------------------------------------------------------------

    def validate(self, records: list[Record]) -> None:
        """Check the invariants against all records that there are."""
        counts: dict[int, int] = {}
        for record in records:
            counts[record.table_id] = counts.get(record.table_id, 0) + 1
        assert counts == self.counts, (counts, self.counts)
        assert self.strays == sum(count for number, count in counts.items() if number not in self.by_id)
        assert set(self.by_id) == set(self.catalog.by_id)
        assert set(self.deltas) <= set(self.by_id)
        assert {table.name for table in self.by_id.values()} == {name.decode() for name in self.by_name}
        for table in self.by_id.values():
            own = sorted(record for record in records if record.table_id == table.id)
            if table.id in self.deltas:
                self.deltas[table.id].validate(own)
            for index in table.indexes:
                expected: dict[Any, list[Record]] = {}
                for record in own:
                    expected.setdefault(index.place(table.codec.decode(record.row)), []).append(record)
                found = index.recount()
                if not index.building:
                    assert found == expected, (table.name, index.columns)


def _index_of(definition: TableDefinition, number: int) -> Index:
    index = definition.indexes[number]
    return Index([definition.positions[name] for name in index.columns], index.kind == ORDERED)


def _build(keyspace: "Keyspace", number: int) -> Generator[int, int, None]:
    """Gets a budget with each `send` and yields how many units it took; ends when every record is in its indexes."""
    budget = yield 0
    work = 0
    for slot in keyspace.owned:
        for key in list(keyspace.slots[slot] or ()):
            # Looked up again: the key may have changed since it was listed, and the table its schema.
            value = (keyspace.slots[slot] or {}).get(key)
            table = keyspace.tables.by_id.get(number)
            if table is None:
                return
            if type(value) is Record and value[:4] == table.head:
                for index, place in zip(table.indexes, table.places(value[HEADER_BYTES:]), strict=True):
                    if index.building:
                        keyspace.used_bytes += index.add(place, value)
            work += 1
            if work >= budget:
                budget = yield work
                work = 0
        work += slot % 16 == 0
        if work >= budget:
            budget = yield work
            work = 0
