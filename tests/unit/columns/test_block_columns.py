"""Rows that came as columns look in DuckDB exactly as they would if each had been a record."""

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.wire.column_values import VALUES

from kubegrid.base.column_numbers import DecimalType, IntegerType
from kubegrid.base.columns import parse_type
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import TableDefinition
from kubegrid.columns import block_columns
from kubegrid.columns.conversion import VERSION, Conversion
from kubegrid.columns.database import open_database
from kubegrid.store.blocks import Block
from kubegrid.store.changes import Cold
from kubegrid.wire.arrow_blocks import BlockRows, encode_columns
from kubegrid.wire.arrow_columns import settled_type
from kubegrid.wire.arrow_rows import ArrowRows

STEADY = settings(deadline=None, derandomize=True, max_examples=30)
FIRST = 2**63 + 7
UTC = dt.UTC

EDGES: dict[str, list[Any]] = {
    "BOOLEAN": [True, False],
    "REAL": [0.0, -0.0, float("nan"), float("inf"), float("-inf"), 1.1754943508222875e-38, 3.4028234663852886e38, 0.1],
    "DOUBLE": [0.0, -0.0, float("nan"), float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308, 0.1],
    "VARCHAR": ["", "a", "\0", "ä€😀", "x" * 5000, "null", "'\"\\"],
    "BLOB": [b"", b"\0", b"\xff\xfe", bytes(range(256)), b"x" * 5000],
    "DATE": [dt.date.min, dt.date.max, dt.date(1970, 1, 1), dt.date(1582, 10, 10), dt.date(1969, 12, 31)],
    "TIME": [dt.time.min, dt.time.max, dt.time(12, 30), dt.time(0, 0, 0, 1)],
    "TIMESTAMP": [
        dt.datetime.min,
        dt.datetime.max,
        dt.datetime(1970, 1, 1),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999_999),
        dt.datetime(2013, 1, 1, 5, 30, 0, 10),
        dt.datetime(1500, 2, 28, 1),
    ],
    "TIMESTAMP WITH TIME ZONE": [
        dt.datetime.min.replace(tzinfo=UTC),
        dt.datetime.max.replace(tzinfo=UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        dt.datetime(2013, 1, 1, 5, 30, tzinfo=UTC),
    ],
    "UUID": [
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "12345678-1234-5678-1234-56781234567A",
        "{12345678-1234-5678-1234-567812345678}",
        "12345678123456781234567812345678",
        "urn:uuid:12345678-1234-5678-1234-567812345678",
        "1-2345678123456781234567812345678",
    ],
    "JSON": [
        "null",
        " null ",
        "true",
        "1",
        "1.0",
        "-0.0",
        "-0",
        "1e2",
        "1E-7",
        "1e22",
        "18446744073709551615",
        "-9223372036854775808",
        "0.30000000000000004",
        '"x"',
        '"\\u00e4\\ud83d\\ude00\\/\\n\\u0000"',
        "[ ]",
        "{ }",
        ' { "b" : [1, 2.50, null] , "a" : {"c": "\\"" } } ',
        '{"a":1,"a":2}',
        '"' + "x" * 5000 + '"',
    ],
    "HUGEINT": ["+5", "-0", "0" * 59 + "7", str(-(2**127)), str(2**127 - 1), "0"],
    "UHUGEINT": ["+5", "0", "00012", str(2**128 - 1)],
}
EDGES |= {
    kind.name: [kind.low, -1 if kind.low else 0, 0, 1, kind.high]
    for kind in map(parse_type, VALUES)
    if isinstance(kind, IntegerType) and kind.name not in EDGES
}


def _decimals(kind: DecimalType) -> list[Decimal]:
    highest = 10**kind.precision - 1
    return [Decimal(f"{digits}e-{kind.scale}") for digits in (0, 1, -1, 10 ** (kind.precision - 1), highest, -highest)]


DECIMALS = ["DECIMAL(1,0)", "DECIMAL(4,1)", "DECIMAL(9,9)", "DECIMAL(18,3)", "DECIMAL(18,7)", "DECIMAL(38,6)"]
DECIMALS += ["DECIMAL(38,7)", "DECIMAL(38,38)", "DECIMAL(38,0)"]
EDGES |= {name: _decimals(parse_type(name)) for name in DECIMALS}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Any:
    opened = open_database(256 * 2**20, str(tmp_path_factory.mktemp("spill")), 2**30)
    yield opened
    opened.close()


def table(*columns: tuple[str, str, Any]) -> TableDefinition:
    """With these columns (name, type, default) behind its key."""
    all_columns: list[dict[str, Any]] = [{"name": "id", "type": "BIGINT", "nullable": False}]
    all_columns += [{"name": name, "type": kind, "default": default} for name, kind, default in columns]
    return parse_definition("t", {"columns": all_columns, "key": ["id"]})


def block_of(definition: TableDefinition, columns: dict[str, Any], taken: Any = (), first: int = FIRST) -> Block:
    """As a load brings it: admitted, settled, packed for the log."""
    given = pa.table(columns)
    settled, _ = ArrowRows(definition).prepare(given)
    return Block(1, first, len(given), encode_columns(settled), BlockRows(definition), taken)


def seen(database: Any, conversion: Conversion, relations: list[tuple[str, Any]]) -> list[Any]:
    """What DuckDB has of rows that are inserted: each value as text, in bits where text hides something, and its type."""
    database.execute(f"CREATE OR REPLACE TABLE seen ({conversion.declared})")
    for selected, rows in relations:
        database.register("incoming", rows)
        database.execute(f"INSERT INTO seen SELECT {selected} FROM incoming")
        database.unregister("incoming")
    shown = []
    for column in conversion.columns:
        name = column.name
        text = f"hex({name})" if column.type.name == "BLOB" else f"{name}::VARCHAR"
        shown += [f"typeof({name})", text]
        if column.type.name in ("REAL", "DOUBLE"):
            shown.append(f"signbit({name})")
    return database.sql(f"SELECT {VERSION}, {', '.join(shown)} FROM seen ORDER BY {VERSION}").fetchall()


def compare(database: Any, definition: TableDefinition, blocks: list[Block]) -> list[Any]:
    """Both ways of bringing the blocks' rows into DuckDB; what both gave."""
    conversion = Conversion(definition)
    cold = [Cold(block, frozenset(block.taken)) for block in blocks]
    records = [record for block in blocks for record in block.records(block.cold())]
    as_columns = seen(database, conversion, list(block_columns.incoming(conversion, cold)))
    as_records = seen(
        database, conversion, [(conversion.selected, pa.Table.from_batches(list(conversion.slices(iter(records)))))]
    )
    assert as_columns == as_records
    assert len(as_columns) == sum(block.size - len(block.taken) for block in blocks)
    return as_columns


@pytest.mark.parametrize("kind", EDGES)
def test_the_edges_of_every_type_and_null_are_the_same(database: Any, kind: str) -> None:
    values = [*EDGES[kind], None]
    definition = table(("v", kind, None))
    column = pa.array(values, settled_type(parse_type(kind)))
    block = block_of(definition, {"id": pa.array(range(len(values))), "v": column})
    compare(database, definition, [block])
    if len(values) > 2:  # and with some rows taken
        block.taken = {0, len(values) - 2}
        compare(database, definition, [block])


def test_every_type_there_is_was_tried() -> None:
    assert set(EDGES) >= set(VALUES) - {name for name in VALUES if name.startswith("DECIMAL")}


def test_json_that_is_null_is_null_and_other_json_is_written_as_for_a_record(database: Any) -> None:
    definition = table(("v", "JSON", None))
    values = ["null", ' {"b" : 1.0, "a":[ ]}', None]
    rows = compare(database, definition, [block_of(definition, {"id": pa.array([1, 2, 3]), "v": pa.array(values)})])
    assert [row[4] for row in rows] == [None, '{"b":1.0,"a":[]}', None]


NAMES = list(VALUES)


@STEADY
@given(rows=st.lists(st.tuples(*[st.none() | VALUES[name] for name in NAMES]), min_size=1, max_size=6), data=st.data())
def test_values_of_every_type_are_the_same(database: Any, rows: list[tuple[Any, ...]], data: Any) -> None:
    definition = table(*[(f"v{place}", name, None) for place, name in enumerate(NAMES)])
    columns: dict[str, Any] = {"id": pa.array(range(len(rows)), pa.int64())}
    for place, name in enumerate(NAMES):
        kind = parse_type(name)
        target = settled_type(kind)
        values = [row[place] for row in rows]
        if target == pa.string() and name != "VARCHAR":
            values = [None if value is None else kind.to_text(value).decode() for value in values]
        columns[f"v{place}"] = pa.array(values, target)
    taken = data.draw(st.sets(st.integers(0, len(rows) - 1), max_size=len(rows) - 1))
    compare(database, definition, [block_of(definition, columns, taken)])


DEFAULTS = [
    ("BOOLEAN", True),
    ("HUGEINT", str(-(2**127))),
    ("DECIMAL(38,20)", "1E-7"),
    ("DECIMAL(5,2)", "1.50"),
    ("REAL", 0.1),
    ("DOUBLE", -0.5),
    ("VARCHAR", "x'y"),
    ("BLOB", "/wA="),
    ("DATE", "2013-01-31"),
    ("TIME", "05:30:00.000001"),
    ("TIMESTAMP", "2013-01-31T05:00:00"),
    ("TIMESTAMP WITH TIME ZONE", "2013-01-31T05:00:00Z"),
    ("UUID", "12345678-1234-5678-1234-567812345678"),
    ("JSON", {"a": [1, None]}),
    ("JSON", [1]),
    ("UBIGINT", 2**64 - 1),
    ("INTEGER", None),
]


def test_columns_that_a_batch_lacks_or_the_table_got_later_read_as_their_defaults(database: Any) -> None:
    then = table(("a", "VARCHAR", "none"), *[(f"d{at}", *each) for at, each in enumerate(DEFAULTS)])
    later = table(
        ("a", "VARCHAR", "none"),
        *[(f"d{at}", *each) for at, each in enumerate(DEFAULTS)],
        *[(f"e{at}", *each) for at, each in enumerate(DEFAULTS)],
    )
    blocks = [
        block_of(then, {"id": pa.array([1, 2, 3])}),
        block_of(then, {"id": pa.array([4, 5]), "a": pa.array(["x", None])}, first=FIRST + 3),
        block_of(then, {"id": pa.array([6]), "d4": pa.array([2.5], pa.float32())}, first=FIRST + 5),
        block_of(later, {"id": pa.array([7, 8]), "e6": pa.array([None, "y"])}, taken={0}, first=FIRST + 6),
    ]
    rows = compare(database, later, blocks)
    assert {row[4] for row in rows} == {"none", "x", None}
    assert compare(database, then, blocks[:3])


def test_blocks_of_one_shape_are_put_together_and_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    definition = table(("v", "DOUBLE", None))
    conversion = Conversion(definition)
    ids = pa.array(range(10))
    blocks = [
        Cold(block_of(definition, {"id": ids, "v": pa.array([1.0] * 10)}, first=1 + 10 * at), set()) for at in range(4)
    ]
    blocks.append(Cold(block_of(definition, {"id": ids}, first=41), {3}))
    found = list(block_columns.incoming(conversion, blocks))
    assert [rows.num_rows for _, rows in found] == [40, 9]
    versions = [version for _, rows in found for version in rows.column(VERSION).to_pylist()]
    assert versions == [version for version in range(1, 51) if version != 44]
    monkeypatch.setattr(block_columns, "INSERT_ROWS", 15)
    assert [rows.num_rows for _, rows in block_columns.incoming(conversion, blocks)] == [20, 20, 9]


def test_uuids_of_the_edges_are_what_python_reads() -> None:
    """So that the comparison above is about something."""
    assert len({UUID(text) for text in EDGES["UUID"]}) == 4
