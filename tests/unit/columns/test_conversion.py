"""Every column type's values come out of DuckDB as they went into the row."""

from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.column_values import STEADY, VALUES

from kubegrid.base.table_definitions import parse_definition
from kubegrid.columns.conversion import VERSION, Conversion
from kubegrid.columns.database import open_database
from kubegrid.store.records import Record, record_of
from kubegrid.wire.rows import RowCodec

NAMES = list(VALUES)
COLUMNS = [{"name": "id", "type": "BIGINT", "nullable": False}] + [
    {"name": f"v{number}", "type": name} for number, name in enumerate(NAMES)
]
WIDE = parse_definition("wide", {"columns": COLUMNS, "key": ["id"]})


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Any:
    opened = open_database(256 * 2**20, str(tmp_path_factory.mktemp("spill")), 2**30)
    yield opened
    opened.close()


def rows_in_duckdb(database: Any, conversion: Conversion, records: list[Record]) -> list[dict[str, Any]]:
    database.execute(f"CREATE OR REPLACE TABLE wide ({conversion.declared})")
    incoming = pa.Table.from_batches(list(conversion.slices(iter(records))) or [conversion.convert([])])
    database.register("incoming", incoming)
    database.execute(f"INSERT INTO wide SELECT {conversion.selected} FROM incoming")
    database.unregister("incoming")
    return database.sql(f"SELECT * FROM wide ORDER BY {VERSION}").to_arrow_table().to_pylist()


def seen(name: str, value: Any) -> Any:
    """What Arrow's Python values look like for a value in memory."""
    if value is None:
        return None
    if name in ("HUGEINT", "UHUGEINT"):
        return value.to_bytes(16, "little", signed=name == "HUGEINT")
    return value


@STEADY
@given(rows=st.lists(st.tuples(*[st.none() | VALUES[name] for name in NAMES]), min_size=1, max_size=5))
def test_values_of_every_type_and_nulls_survive(database: Any, rows: list[tuple[Any, ...]]) -> None:
    codec = RowCodec(WIDE)
    records = [record_of(1, 2**63 + number, codec.encode((number, *row))) for number, row in enumerate(rows)]
    found = rows_in_duckdb(database, Conversion(WIDE), records)
    for number, (row, got) in enumerate(zip(rows, found, strict=True)):
        assert got[VERSION] == 2**63 + number
        for place, (name, value) in enumerate(zip(NAMES, row, strict=True)):
            it = got[f"v{place}"]
            if name == "JSON" and it is not None:
                assert msgspec.json.decode(it) == value
            else:
                assert it == seen(name, value), name
