"""Columns of Arrow become rows of a table: every type, NULLs, and what does not fit is told with column and value."""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.table_errors import BadValue
from kubegrid.wire.arrow_rows import ArrowRows
from kubegrid.wire.rows import RowCodec

ONE = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
UTC = dt.UTC


def table_of(**types: str) -> Any:
    columns = [{"name": "id", "type": "BIGINT", "nullable": False}]
    columns += [{"name": name, "type": kind} for name, kind in types.items()]
    return parse_definition("t", {"columns": columns, "key": ["id"]})


def stored(kind: str, array: pa.Array) -> list[Any]:
    """What a record holds of a column of `kind` that is loaded from `array`."""
    definition = table_of(x=kind)
    table = pa.table({"x": array, "id": pa.array(range(len(array)), pa.int32())})
    encoded = ArrowRows(definition).encode(table)
    assert encoded.keys == [b"t:%d" % n for n in range(len(array))]
    codec = RowCodec(definition)
    assert [codec.admit(row)[0] for row in encoded.rows] == encoded.rows, "a member keeps the bytes as they were sent"
    return [codec.decode(row)[1] for row in encoded.rows]


@pytest.mark.parametrize(
    ("kind", "array", "values"),
    [
        ("BOOLEAN", pa.array([True, None, False]), [True, None, False]),
        ("TINYINT", pa.array([-128, None, 127]), [-128, None, 127]),
        ("INTEGER", pa.array([1.0, 2.0, None]), [1, 2, None]),
        ("UBIGINT", pa.array([2**64 - 1, None], pa.uint64()), [2**64 - 1, None]),
        ("HUGEINT", pa.array([2**63 - 1, None]), [2**63 - 1, None]),
        ("HUGEINT", pa.array([str(2**126)]), [2**126]),
        ("REAL", pa.array([1.5, None], pa.float32()), [1.5, None]),
        ("DOUBLE", pa.array([1, None]), [1.0, None]),
        ("DECIMAL(9,2)", pa.array([Decimal("1.50"), None]), [Decimal("1.50"), None]),
        ("DECIMAL(9,2)", pa.array([7]), [Decimal("7.00")]),
        ("DECIMAL(9,2)", pa.array([Decimal("1.5")]), [Decimal("1.50")]),
        ("VARCHAR", pa.array(["a", None, "ü"]), ["a", None, "ü"]),
        ("VARCHAR", pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        ("BLOB", pa.array([b"\x00", None]), [b"\x00", None]),
        ("DATE", pa.array([dt.date(2013, 1, 31), None]), [dt.date(2013, 1, 31), None]),
        ("TIME", pa.array([dt.time(5, 6, 7, 8), None]), [dt.time(5, 6, 7, 8), None]),
        ("TIME", pa.array(["05:06:07"]), [dt.time(5, 6, 7)]),
        ("TIMESTAMP", pa.array([dt.datetime(1969, 12, 31, 1), None]), [dt.datetime(1969, 12, 31, 1), None]),
        ("TIMESTAMP", pa.array([dt.date(2013, 1, 31)]), [dt.datetime(2013, 1, 31)]),
        (
            "TIMESTAMP WITH TIME ZONE",
            pa.array([dt.datetime(2013, 1, 1, 5, 0, 0, 1, UTC), None], pa.timestamp("us", "Europe/Berlin")),
            [dt.datetime(2013, 1, 1, 5, 0, 0, 1, UTC), None],
        ),
        ("UUID", pa.array([str(ONE), None]), [ONE, None]),
        ("JSON", pa.array(['{"a": [1]}', None, "5"]), [{"a": [1]}, None, 5]),
        ("JSON", pa.array([{"a": [1]}, None]), [{"a": [1]}, None]),
    ],
)
def test_values_of_every_type_arrive_exactly(kind: str, array: pa.Array, values: list[Any]) -> None:
    found = stored(kind, array)
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("TINYINT", pa.array([128])),
        ("INTEGER", pa.array([1.5])),
        ("INTEGER", pa.array([float("nan")])),
        ("DOUBLE", pa.array([2**53 + 1])),
        ("DECIMAL(4,2)", pa.array([Decimal("100.00")])),
        ("DECIMAL(4,2)", pa.array([Decimal("1.234")])),
        ("TIMESTAMP", pa.array([1], pa.timestamp("ns"))),
        ("TIMESTAMP WITH TIME ZONE", pa.array(["2013-01-01T05:00:00"])),
        ("UUID", pa.array(["no uuid"])),
        ("JSON", pa.array(["{"])),
        ("HUGEINT", pa.array(["12x"])),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_column(kind: str, array: pa.Array) -> None:
    with pytest.raises(BadValue) as caught:
        stored(kind, array)
    assert caught.value.column == "x"
    assert kind in str(caught.value)


def test_a_part_of_an_array_is_only_that_part() -> None:
    whole = pa.table({"id": pa.array(range(6)), "x": pa.array([None, "a", None, "b", None, "b"])})
    definition = table_of(x="VARCHAR")
    encoded = ArrowRows(definition).encode(whole.slice(2, 3))
    codec = RowCodec(definition)
    assert [tuple(codec.decode(row)) for row in encoded.rows] == [(2, None), (3, "b"), (4, None)]


def test_null_in_a_key_is_refused() -> None:
    encoder = ArrowRows(table_of(x="BIGINT"))
    with pytest.raises(BadValue, match="NULL is no value of a NOT NULL column") as caught:
        encoder.encode(pa.table({"id": pa.array([1, None]), "x": pa.array([1, 2])}))
    assert caught.value.column == "id"
