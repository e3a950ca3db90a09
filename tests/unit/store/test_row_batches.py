"""Rows made of Arrow and put into tables with indexes: the store is the same as when each came by KG.WRITE."""

from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.column_values import STEADY, VALUES

from kubegrid.base.columns import parse_type
from kubegrid.base.settings import StoreSettings
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.store import COMMANDS, Keyspace, row_batches
from kubegrid.wire.arrow_columns import settled_type
from kubegrid.wire.arrow_rows import ArrowRows
from kubegrid.wire.rows import RowCodec

TYPES = (
    "DOUBLE",
    "VARCHAR",
    "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE",
    "DECIMAL(10,2)",
    "BOOLEAN",
    "DATE",
    "UUID",
    "HUGEINT",
)


def definition(kind: str) -> Any:
    columns = [{"name": "id", "type": "INTEGER"}, {"name": "note", "type": "VARCHAR"}, {"name": "x", "type": kind}]
    indexes = [{"columns": ["x"], "kind": "hash"}, {"columns": ["x", "id"], "kind": "ordered"}]
    return parse_definition("t", {"columns": columns, "key": ["id"], "indexes": indexes})


def keyspace(kind: str) -> Keyspace:
    made = Keyspace(StoreSettings(), 0, 16383, random=Random(7).randrange)
    made.primary = True
    made.adopt_catalog(Catalog().create(definition(kind)))
    return made


def contents(of: Keyspace) -> list[Any]:
    of.validate()
    records = [(key, bytes(value)) for values in filter(None, of.slots) for key, value in sorted(values.items())]
    return [records, [index.recount() for index in of.tables.by_name[b"t"].indexes]]


@STEADY
@given(st.data(), st.sampled_from(TYPES), st.sampled_from(row_batches.MODES))
def test_a_batch_leaves_what_the_same_rows_leave_that_come_by_command(
    data: st.DataObject, kind: str, mode: bytes
) -> None:
    by_batch, by_command = keyspace(kind), keyspace(kind)
    table = by_batch.tables.by_name[b"t"]
    encoder, codec = ArrowRows(table.definition), RowCodec(table.definition)
    values = VALUES[kind] if kind != "DOUBLE" else st.floats()
    for _ in range(data.draw(st.integers(1, 3))):
        rows = data.draw(
            st.lists(st.tuples(st.integers(0, 9), st.just("n"), st.none() | values), min_size=1, max_size=8)
        )
        texts = [None if v is None else str(v) if kind in ("UUID", "HUGEINT") else v for _, _, v in rows]
        columns = [
            pa.array([row[0] for row in rows], pa.int32()),
            pa.array([row[1] for row in rows]),
            pa.array(texts, settled_type(parse_type(kind))),
        ]
        made = encoder.admit(pa.table(columns, ["id", "note", "x"]))
        try:
            reply = row_batches.write(by_batch, table, mode, made.rows, made.keys, made.values, made.slots)
        except row_batches.Exists:
            reply = b"-EXISTS"
        told = COMMANDS[b"KG.WRITE"](by_command, [b"KG.WRITE", b"t", b"0", mode, *map(codec.encode, rows)], False)
        assert isinstance(told, bytes)
        assert told.startswith(reply)
    assert contents(by_batch) == contents(by_command)


def test_columns_that_a_batch_leaves_out_are_indexed_by_their_defaults() -> None:
    one = keyspace("VARCHAR")
    table = one.tables.by_name[b"t"]
    made = ArrowRows(table.definition).admit(pa.table([pa.array([1, 2])], ["id"]))
    row_batches.write(one, table, row_batches.REPLACE, made.rows, made.keys, made.values, made.slots)
    one.validate()


@pytest.mark.parametrize("first", [0, 8192])
def test_rows_of_slots_that_are_not_owned_are_refused(first: int) -> None:
    one = Keyspace(StoreSettings(), first, first + 8191, random=Random(7).randrange)
    one.primary = True
    one.adopt_catalog(Catalog().create(definition("VARCHAR")))
    table = one.tables.by_name[b"t"]
    made = ArrowRows(table.definition).admit(pa.table([pa.array(range(50))], ["id"]))
    reply = row_batches.write(one, table, row_batches.REPLACE, made.rows, made.keys, made.values, made.slots)
    foreign = next(slot for slot in made.slots if slot not in one.owned)
    assert reply == b"-MOVED %d\r\n" % foreign
    assert one.key_count == 0
