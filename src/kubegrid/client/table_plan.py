"""What a table's operations are on the wire: records to rows and keys, replies to records. Shared by the sync and async client.

Pure: nothing is sent from here. A plan holds one version of the table's schema; when a member refuses a write because the
table was altered (`-SCHEMA`), the plan is replaced by one of the new schema and the write is made anew.

What is wrong with a value is found here, before anything is sent, by the same codec that the members check with.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from kubegrid.base.columns import parse_type
from kubegrid.base.errors import KubegridError, UsageError
from kubegrid.base.table_errors import BadValue, DefinitionError, shown
from kubegrid.base.tables import TableDefinition
from kubegrid.client import arguments, refusals
from kubegrid.client.batch import Request
from kubegrid.client.errors import BadValueError, ClientError, DoneError, UnknownTableError
from kubegrid.client.record_shapes import Shape
from kubegrid.client.slots import slot_of
from kubegrid.wire.rows import RowCodec

R = TypeVar("R")
HEADER_BYTES = 12
"""Before the row: four bytes of the table's id, eight of the record's version, both big-endian."""
READ_KEYS_MAX = 500
"""Keys in one KG.READ: a reply of a size that a member makes in a millisecond or so."""
WRITE_ROWS_MAX = 500
WRITE_BYTES_MAX = 256 * 1024
"""Rows in one KG.WRITE, which is one entry of the log."""
MODES = {"replace": b"REPLACE", "keep": b"KEEP", "fail": b"FAIL"}
_OF_JSON = (str, int, float, type(None))

_json = msgspec.json.Encoder(decimal_format="string").encode


class Versioned(NamedTuple, Generic[R]):
    """A record with its version, which every change of it raises."""

    record: R
    version: int


class TablePlan(Generic[R]):
    """The operations of one table under one schema, for records of one shape (a class, or dict)."""

    def __init__(self, definition: TableDefinition, shape: "Shape[R]") -> None:
        self.definition = definition
        self.name = definition.name.encode()
        self.codec = RowCodec(definition)
        self.shape = shape
        self.values_of, self.make = shape.bind(definition)
        self._schema = str(definition.schema).encode()
        self._id = definition.id.to_bytes(4, "big")

    def renewed(self, definition: TableDefinition) -> "TablePlan[R]":
        return TablePlan(definition, self.shape)

    # -- keys --------------------------------------------------------------------------------------------------------

    def key(self, given: Any) -> bytes:
        """The key of the record with these values in its key columns: one value, or a tuple of them."""
        try:
            return self.codec.keys.from_python(given)
        except KubegridError as error:
            raise client_error(error) from error

    def row(self, record: R) -> tuple[bytes, bytes]:
        """Key and row of a record; BadValueError names table, column, value and expected type."""
        try:
            values = self.values_of(record)
            row = self.codec.encode(values)
            return self.codec.keys.from_python([values[place] for place in self.definition.key_positions]), row
        except KubegridError as error:
            raise client_error(error) from error
        except (AttributeError, TypeError) as error:
            raise BadValueError(
                f"table {self.definition.name}: a record is a {self.shape.name}, not {shown(record)} ({error})"
            ) from error

    # -- requests ----------------------------------------------------------------------------------------------------

    def write(self, record: R, on_duplicate: str) -> Request:
        key, row = self.row(record)
        return Request((b"KG.WRITE", self.name, self._schema, mode(on_duplicate), row), slot_of(key), True)

    def write_batches(
        self, records: Iterable[tuple[int, R]], on_duplicate: str, partition_of: Sequence[Any]
    ) -> "Iterable[tuple[list[tuple[int, R]], Request]]":
        """The records, each with its number, in batches for one partition each. Within a partition their order is kept."""
        chosen = mode(on_duplicate)
        open_batches: dict[int, _Batch[R]] = {}
        for number, record in records:
            try:
                key, row = self.row(record)
            except BadValueError as error:
                raise BadValueError(f"record {number}: {error.message}", error.remedy, error.code) from error
            slot = slot_of(key)
            partition = id(partition_of[slot])
            batch = open_batches.get(partition)
            if batch is None:
                batch = open_batches[partition] = _Batch(slot)
            batch.records.append((number, record))
            batch.rows.append(row)
            batch.size += len(row)
            if len(batch.rows) >= WRITE_ROWS_MAX or batch.size >= WRITE_BYTES_MAX:
                del open_batches[partition]
                yield batch.records, self._write_request(batch, chosen)
        for batch in open_batches.values():
            yield batch.records, self._write_request(batch, chosen)

    def _write_request(self, batch: "_Batch[R]", chosen: bytes) -> Request:
        return Request((b"KG.WRITE", self.name, self._schema, chosen, *batch.rows), batch.slot, True)

    def read(self, key: Any) -> Request:
        raw = self.key(key)
        return Request((b"KG.READ", self.name, raw), slot_of(raw), False)

    def read_batches(self, keys: Iterable[Any], partition_of: Sequence[Any]) -> list[tuple[list[int], Request]]:
        """Places in the list of keys, with the request that reads them."""
        chosen: dict[int, list[tuple[int, bytes]]] = {}
        for number, key in enumerate(keys):
            raw = self.key(key)
            chosen.setdefault(id(partition_of[slot_of(raw)]), []).append((number, raw))
        batches = []
        for of_partition in chosen.values():
            for start in range(0, len(of_partition), READ_KEYS_MAX):
                part = of_partition[start : start + READ_KEYS_MAX]
                args = (b"KG.READ", self.name, *(raw for _, raw in part))
                batches.append(([number for number, _ in part], Request(args, slot_of(part[0][1]), False)))
        return batches

    def change(
        self,
        key: Any,
        set: Mapping[str, Any] | None,
        increment: Mapping[str, Any] | None,
        if_version: int | None,
        condition: str | None,
    ) -> Request:
        raw = self.key(key)
        return Request(
            (b"KG.CHANGE", raw, self.change_document(set, increment, if_version, condition)), slot_of(raw), True
        )

    def change_document(
        self,
        set: Mapping[str, Any] | None,
        increment: Mapping[str, Any] | None,
        if_version: int | None = None,
        condition: str | None = None,
    ) -> bytes:
        """What KG.CHANGE is told, as JSON."""
        document: dict[str, Any] = {}
        try:
            if set is not None:
                changed = arguments.mapping(set, "set", "column → new value").items()
                document["set"] = {name: self._json_value(name, value) for name, value in changed}
            if increment is not None:
                added = arguments.mapping(increment, "increment", "column → what to add").items()
                document["increment"] = {name: self._addend(name, value) for name, value in added}
        except KubegridError as error:
            raise client_error(error) from error
        if if_version is not None:
            document["if_version"] = _version(if_version)
        if condition is not None:
            document["if"] = arguments.text(condition, "condition")
        return _json(document)

    def column_document(self, name: str, type: str, nullable: bool, default: Any) -> bytes:
        """What KG.ALTER … ADD COLUMN is told, as JSON. What is wrong with it the members say, with the table's name."""
        document = {"name": arguments.text(name, "name"), "type": arguments.text(type, "type")}
        if not isinstance(default, _OF_JSON):
            default = self._settled(name, type, default)
        return _json({**document, "nullable": arguments.truth(nullable, "nullable"), "default": default})

    def _settled(self, name: str, type: str, default: Any) -> Any:
        """A default of another type than JSON has, as JSON has it."""
        try:
            kind = parse_type(type)
            return kind.to_json(kind.from_python(default))
        except BadValue as error:
            why = f"table {self.definition.name}: column {name}: default: {error.reason}"
        except ValueError as error:
            why = f"table {self.definition.name}: column {name}: {error}"
        raise client_error(DefinitionError([why]))

    def _json_value(self, name: str, value: Any) -> Any:
        column = self.definition.column(name)
        if value is None:
            return self.codec.null(column)
        try:
            return column.type.to_json(column.type.from_python(value))
        except KubegridError as error:
            raise error.at(self.definition.name, name) if hasattr(error, "at") else error from None

    def _addend(self, name: str, value: Any) -> Any:
        self.definition.position(name)
        if isinstance(value, Decimal):
            return value
        try:
            return arguments.number(value, "an increment")
        except UsageError:
            raise BadValue(f"{shown(value)} cannot be added", self.definition.name, name) from None

    def remove(self, key: Any, if_version: int | None) -> Request:
        raw = self.key(key)
        args: tuple[Any, ...] = (b"KG.REMOVE", raw)
        if if_version is not None:
            args += (b"IF", _version(if_version))
        return Request(args, slot_of(raw), True)

    def find_words(self, predicate: str, limit: int | None) -> tuple[Any, ...]:
        args: tuple[Any, ...] = (b"KG.FIND", self.name, predicate)
        if limit is not None:
            args += (b"LIMIT", limit)
        return args

    # -- replies -----------------------------------------------------------------------------------------------------

    def record(self, data: bytes | None) -> Versioned[R] | None:
        """What KG.READ and KG.CHANGE answer, as a record and its version; None stays None."""
        if data is None:
            return None
        if data[:4] != self._id:
            raise UnknownTableError(
                f"table {self.definition.name} was dropped and made anew since it was opened here",
                "Open it again with grid.table(…).",
                "NOTABLE",
            )
        return Versioned(
            self.make(self.codec.decode(memoryview(data)[HEADER_BYTES:])), int.from_bytes(data[4:HEADER_BYTES])
        )

    def document(self, data: bytes) -> R:
        """A record from its JSON document."""
        return self.make(self.codec.documents.decode(data))

    def taken(self, data: bytes | None) -> R | None:
        """What KG.TAKE answers. The record is gone from the grid, so it must not get lost here: DoneError has its JSON."""
        if data is None:
            return None
        try:
            return self.document(data)
        except Exception as error:
            raise DoneError(
                f"the record was taken, but it cannot be made a {self.shape.name}: {error}", reply=data
            ) from error


class _Batch(Generic[R]):
    __slots__ = ("records", "rows", "size", "slot")

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.records: list[tuple[int, R]] = []
        self.rows: list[bytes] = []
        self.size = 0


def client_error(error: KubegridError) -> KubegridError:
    """An error of `base`'s tables as the client's, by the code that a member would have answered with."""
    code = getattr(error, "code", None)
    if code is None or isinstance(error, ClientError):
        return error
    made = refusals.to_error(f"{code} {error.message}")
    made.remedy = made.remedy or error.remedy
    return made


def _version(given: Any) -> int:
    return arguments.whole(given, "if_version", 0)


def mode(on_duplicate: str) -> bytes:
    """The word of KG.WRITE for it. Raises BadValueError."""
    found = MODES.get(on_duplicate) if isinstance(on_duplicate, str) else None
    if found is None:
        raise BadValueError(f"on_duplicate is 'replace', 'keep' or 'fail', not {shown(on_duplicate)}")
    return found
