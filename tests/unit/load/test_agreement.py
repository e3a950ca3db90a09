"""A file makes a table, or is compared with the one that is there."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubegrid.base.errors import UsageError
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import TableDefinition
from kubegrid.load.agreement import differences, new_table, refuse_difference
from kubegrid.load.blocks import Source
from kubegrid.load.errors import FileError, SchemaConflict
from kubegrid.load.files import open_source


def parquet(folder: Path, **columns: pa.Array) -> Source:
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path)
    return open_source(path)


def csv(folder: Path, text: str) -> Source:
    path = folder / "a.csv"
    path.write_text(text)
    return open_source(path)


def table(*columns: tuple[str, str], key: str = "id") -> TableDefinition:
    described = [{"name": name, "type": kind, "nullable": name != key} for name, kind in columns]
    return parse_definition("t", {"columns": described, "key": [key]})


def test_a_new_table_has_the_files_types_and_only_its_key_is_not_null(tmp_path: Path) -> None:
    source = parquet(
        tmp_path,
        id=pa.array([1], pa.int32()),
        price=pa.array([None], pa.decimal128(9, 2)),
        at=pa.array([None], pa.timestamp("ns", "UTC")),
        more=pa.array([{"a": 1}]),
        code=pa.array(["x"]).dictionary_encode(),
    )
    made = new_table("t", source, ["code", "id"], ["code"])
    assert list(map(str, made.columns)) == [
        "id INTEGER NOT NULL",
        "price DECIMAL(9,2)",
        "at TIMESTAMP WITH TIME ZONE",
        "more JSON",
        "code VARCHAR NOT NULL",
    ]
    assert made.key == ("code", "id")
    assert made.partition_by == ("code",)


def test_a_new_table_needs_a_key_of_columns_that_are_there(tmp_path: Path) -> None:
    source = csv(tmp_path, "id,carrier\n1,UA\n")
    with pytest.raises(UsageError, match="--key"):
        new_table("t", source, [], [])
    with pytest.raises(UsageError, match="no column 'carier'; did you mean 'carrier'"):
        new_table("t", source, ["carier"], [])
    with pytest.raises(UsageError, match="leading part of the key"):
        new_table("t", source, ["id", "carrier"], ["carrier"])


def test_columns_that_cannot_be_named_or_typed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"'Unit Price' cannot be a column: .*\n.*--rename 'Unit Price=unit_price'"):
        new_table("t", csv(tmp_path, "id,Unit Price\n1,2\n"), ["id"], [])
    with pytest.raises(FileError, match="for which there is no SQL type"):
        new_table("t", parquet(tmp_path, id=pa.array([1]), x=pa.array([1], pa.duration("s"))), ["id"], [])


def test_types_that_convert_are_no_difference(tmp_path: Path) -> None:
    source = parquet(tmp_path, id=pa.array([1], pa.int16()), n=pa.array([1.0]), d=pa.array([5]), u=pa.array(["x"]))
    there = table(("id", "BIGINT"), ("n", "INTEGER"), ("d", "DECIMAL(9,2)"), ("u", "UUID"))
    assert differences(there, source, ["id"], []) == []


def test_every_difference_is_told(tmp_path: Path) -> None:
    source = parquet(tmp_path, id=pa.array([1]), delay=pa.array(["x"]), carier=pa.array(["UA"]))
    there = table(("id", "BIGINT"), ("delay", "INTEGER"), ("carrier", "VARCHAR"))
    with pytest.raises(SchemaConflict) as caught:
        refuse_difference(there, source, ["delay"], [])
    assert caught.value.exit_status == 4
    for line in (
        "column delay is INTEGER; in the file it is VARCHAR",
        "column carier (VARCHAR) is not in the table; did you mean 'carrier'?",
        "column carrier VARCHAR is not in the file",
        "its key is (id), not (delay)",
    ):
        assert line in caught.value.message


def test_csv_differs_only_when_no_value_is_of_the_tables_type(tmp_path: Path) -> None:
    there = table(("id", "BIGINT"), ("n", "INTEGER"))
    assert differences(there, csv(tmp_path, "id,n\n1,x\n2,5\n"), [], []) == []
    (line,) = differences(there, csv(tmp_path, "id,n\n1,x\n2,y\n"), [], [])
    assert line == "column n is INTEGER; in the file it is text such as 'x'"
    assert differences(table(("id", "BIGINT"), ("n", "VARCHAR")), csv(tmp_path, "id,n\n1,5\n"), [], []) == []


def test_a_csv_none_of_whose_columns_is_known_is_told_what_its_first_line_is_for(tmp_path: Path) -> None:
    there = table(("id", "BIGINT"), ("n", "INTEGER"))
    with pytest.raises(SchemaConflict, match="The first line of a CSV file names its columns"):
        refuse_difference(there, csv(tmp_path, "7,5\n8,6\n"), [], [])
    with pytest.raises(SchemaConflict) as caught:
        refuse_difference(there, csv(tmp_path, "id,m\n8,6\n"), [], [])
    assert "first line" not in str(caught.value)


def test_ndjson_may_leave_out_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"id": 1}\n')
    there = table(("id", "BIGINT"), ("n", "INTEGER"))
    assert differences(there, open_source(path), [], []) == []
