"""Columns whose names no table can have are loaded under others."""

import gzip
import json
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubegrid.base.errors import UsageError
from kubegrid.load import renaming
from kubegrid.load.agreement import new_table
from kubegrid.load.files import open_source

RENAME = ["Arrival Delay=arr_delay", "a=b=c", "=first"]
ROWS = [{"": 1, "Arrival Delay": 5, "a=b": "x"}, {"": 2, "Arrival Delay": -3, "a=b": "y"}]
RENAMED = [{"first": 1, "arr_delay": 5, "c": "x"}, {"first": 2, "arr_delay": -3, "c": "y"}]


def written(path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".ndjson":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        lines = [",".join(ROWS[0]), *[",".join(map(str, row.values())) for row in ROWS]]
        text = "\n".join(lines).encode() + b"\n"
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.ndjson", "a.parquet"])
def test_columns_have_the_names_that_were_given_whatever_the_files_kind(tmp_path: Path, name: str) -> None:
    source = open_source(written(tmp_path / name), rename=RENAME)
    table = new_table("t", source, ["first"], [])
    assert (table.names, table.key) == (("first", "arr_delay", "c"), ("first",))
    (block,) = source.blocks(source.schema, source.beginning())
    assert block.table().to_pylist() == RENAMED
    assert block.table(1, 2).to_pylist() == RENAMED[1:]
    assert len(block) == 2


def test_a_column_of_json_is_known_by_its_name_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_text('{"id": 1, "Any Thing": {"x": 1}}\n{"id": 2, "Any Thing": [2]}\n')
    source = open_source(path, nested=frozenset({"thing"}), rename=["Any Thing=thing"])
    (block,) = source.blocks(source.schema, source.beginning())
    assert block.table().column("thing").to_pylist() == ['{"x": 1}', "[2]"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["id"], "--rename is OLD=NEW, a name in the file and one of a column, not 'id'"),
        (["id=unit price"], "--rename is OLD=NEW"),
        (["id=__x"], "--rename is OLD=NEW"),
        (["id=a", "id=b"], "--rename gives 'id' two names, a and b"),
        (["idd=a"], "has no column 'idd'; did you mean 'id'"),
        (["id=n"], "two columns of .* would be called n"),
    ],
)
def test_a_name_that_cannot_be_given_is_said(tmp_path: Path, options: list[str], said: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,n\n1,2\n")
    with pytest.raises(UsageError, match=said):
        open_source(path, rename=options)


def test_two_columns_may_change_their_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,n\n1,x\n")
    source = open_source(path, rename=["id=n", "n=id"])
    (block,) = source.blocks(source.schema, source.beginning())
    assert block.table().to_pylist() == [{"n": 1, "id": "x"}]
    assert source.sample_texts("id") == ["x"]


def test_what_is_suggested_can_be_said(tmp_path: Path) -> None:
    names = ["id", "Unit Price", "UNIT_price", "2nd", "", "__x", "größe", "it's", "x" * 70]
    said = renaming.suggestion(names)
    assert (
        "--rename 'Unit Price=unit_price_2'" in said and "--rename 2nd=c_2nd" in said and "--rename =column_5" in said
    )
    options = [word for word in shlex.split(said) if word != "--rename"]
    path = tmp_path / "a.csv"
    path.write_text(",".join(names) + "\n" + ",".join("1" * len(names)) + "\n")
    table = new_table("t", open_source(path, rename=options), ["id"], [])
    assert len(table.names) == len(names)
