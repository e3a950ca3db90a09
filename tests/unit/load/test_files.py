"""Files become blocks of rows: types, NULLs, line numbers, and any range of rows again."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubegrid.base.errors import UsageError
from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.table_errors import BadValue
from kubegrid.client.bulk.progress import Position
from kubegrid.load import agreement, blocks, parquet_source, text_blocks
from kubegrid.load.agreement import new_table
from kubegrid.load.blocks import Source
from kubegrid.load.csv_records import CsvRecords
from kubegrid.load.errors import FileError
from kubegrid.load.files import open_source
from kubegrid.load.parquet_source import ParquetBlock
from kubegrid.wire.arrow_columns import settled


def rows_of(source: Source, begin: Position | None = None) -> list[dict[str, object]]:
    found = source.blocks(source.schema, begin or source.beginning())
    return [row for block in found for row in block.table().to_pylist()]


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_types_are_inferred_and_missing_values_are_null(tmp_path: Path) -> None:
    text = "id,name,delay,at,ratio\n1,NA,NA,2013-01-01T10:00:00Z,NaN\n2,,7,,1.5\n"
    source = open_source(written(tmp_path / "a.csv", text))
    assert source.inferred == "inferred"
    assert [str(field.type) for field in source.schema] == [
        "int64",
        "string",
        "int64",
        "timestamp[s, tz=UTC]",
        "double",
    ]
    first, second = rows_of(source)
    assert first["name"] == "NA", "text stays text, whatever it says"
    assert first["delay"] is None
    assert first["ratio"] != first["ratio"], "NaN is a number"
    assert second["name"] is None, "an empty field is NULL"
    assert second["at"] is None


def test_whole_numbers_too_large_for_64_bits_are_not_rounded(tmp_path: Path) -> None:
    large = 12345678901234567891
    csv = open_source(written(tmp_path / "a.csv", f"id,n,x,long\n{large},1,1.5,1\n-1,NA,{large},{'9' * 39}\n7\n"))
    assert [str(field.type) for field in csv.schema] == ["decimal128(38, 0)", "int64", "double", "string"]
    good = written(tmp_path / "b.csv", f"id\n{large}\n\n-1\n")
    assert [row["id"] for row in rows_of(open_source(good))] == [large, -1]
    json = f'{{"id":{large},"x":1.5}}\nbad\n{{"id":-1,"x":{large}}}\n{{"id":null}}\n'
    ndjson = open_source(written(tmp_path / "a.ndjson", json))
    assert [str(field.type) for field in ndjson.schema] == ["decimal128(38, 0)", "double"]
    table = parse_definition(
        "t",
        {
            "columns": [{"name": c, "type": "DOUBLE"} for c in ("id", "x")]
            + [{"name": "k", "type": "BIGINT", "nullable": False}],
            "key": ["k"],
        },
    )
    assert not [
        line for line in agreement.differences(table, ndjson, (), ()) if "column id" in line or "column x" in line
    ]


def test_digits_with_leading_zeros_are_text(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv",
        'zip,n,half,minus,quoted,zero\n12345,1,0.5,-5,7,0\n00123,10,00.5,-05,"007",-0\n,NA,,,,0.0\n',
    )
    source = open_source(path)
    kinds = {field.name: str(field.type) for field in source.schema}
    assert kinds == {
        "zip": "string",
        "n": "int64",
        "half": "string",
        "minus": "string",
        "quoted": "string",
        "zero": "double",
    }
    (block,) = source.blocks(source.schema, source.beginning())
    assert block.table().column("zip").to_pylist() == ["12345", "00123", None]


def test_a_csv_of_a_header_only_says_what_becomes_of_its_types(tmp_path: Path) -> None:
    for content in ("id,name\n", "id,name", "id,name\n\n"):
        source = open_source(written(tmp_path / "a.csv", content))
        assert source.inferred.startswith("VARCHAR throughout, for the file has no rows")
        assert source.schema.types == [pa.string(), pa.string()]
    source = open_source(written(tmp_path / "a.csv", 'id,name\n1,"x\n'))
    assert source.inferred.startswith("VARCHAR throughout, for the file has no rows that can be read;")


def test_csv_null_spellings_can_be_added(tmp_path: Path) -> None:
    source = open_source(written(tmp_path / "a.csv", "id,name,n\n1,NA,-\n2,-,5\n"), nulls=["NA", "-"])
    assert rows_of(source) == [{"id": 1, "name": None, "n": None}, {"id": 2, "name": None, "n": 5}]


@pytest.mark.parametrize(("delimiter", "between"), [(";", ";"), ("tab", "\t"), ("|", "|")])
def test_fields_of_csv_may_be_separated_by_something_else(tmp_path: Path, delimiter: str, between: str) -> None:
    path = written(tmp_path / "a.csv", "id,name\n1,a\n2,b\n".replace(",", between))
    assert rows_of(open_source(path, delimiter=delimiter)) == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]


@pytest.mark.parametrize(
    ("between", "name", "say"),
    [(";", "a.csv", "';'"), ("\t", "a.csv", "tab"), ("|", "a.csv", "'|'"), (",", "a.tsv", "','")],
)
def test_a_csv_of_one_column_that_looks_like_several_says_what_to_say(
    tmp_path: Path, between: str, name: str, say: str
) -> None:
    path = written(tmp_path / name, "id,name\n1,a\n".replace(",", between))
    with pytest.raises(FileError) as caught:
        open_source(path)
    assert "has one column only" in caught.value.message
    assert caught.value.remedy.endswith(f"--delimiter {say}")


def test_what_is_no_delimiter_is_said(tmp_path: Path) -> None:
    for wrong in ("::", '"', "ß"):
        with pytest.raises(UsageError, match="--delimiter is one character, or `tab`"):
            open_source(written(tmp_path / "a.csv", "id\n1\n"), delimiter=wrong)
    with pytest.raises(UsageError, match="--delimiter is for CSV"):
        open_source(written(tmp_path / "a.ndjson", '{"id": 1}'), delimiter=";")


def test_text_that_is_not_utf_8_is_said_and_not_taken_for_bytes(tmp_path: Path) -> None:
    latin = written(tmp_path / "a.csv", "id,name\n1,Müller\n".encode("latin-1"))
    with pytest.raises(FileError, match="column name is not UTF-8 throughout") as caught:
        new_table("people", open_source(latin), ["id"], [])
    assert "iconv -f LATIN1 -t UTF-8" in caught.value.remedy
    wanted = pa.schema([("id", pa.int64()), ("name", pa.string())])
    source = open_source(latin)
    (block,) = source.blocks(wanted, source.beginning())
    with pytest.raises(BadValue, match="column name: its text is not UTF-8"):
        block.table()
    with pytest.raises(FileError, match="its first line is not UTF-8"):
        open_source(written(tmp_path / "b.csv", "id,größe\n1,2\n".encode("latin-1")))
    with pytest.raises(FileError, match="is UTF-16, not UTF-8"):
        open_source(written(tmp_path / "c.csv", "id,name\n1,a\n".encode("utf-16")))


def test_csv_records_may_span_lines_and_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    text = b'\xef\xbb\xbfid,text\r\n1,"one\r\n""two"""\r\n\r\n2,three\r\n'
    source = open_source(written(tmp_path / "a.csv", text))
    (block,) = source.blocks(source.schema, source.beginning())
    assert block.table().to_pylist() == [{"id": 1, "text": 'one\r\n"two"'}, {"id": 2, "text": "three"}]
    assert [block.line(0), block.line(1)] == [2, 5]
    assert block.table(1, 2).to_pylist() == [{"id": 2, "text": "three"}]
    assert block.text(1) == "2,three"


def test_a_block_of_csv_ends_between_records_also_when_a_line_feed_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f'{n},"a\n{n}\nb"' for n in range(200)]
    path = written(tmp_path / "a.csv", "id,text\n" + "\n".join(lines) + "\n")
    file = text_blocks.TextFile(path, CsvRecords(","))
    pieces = list(file.pieces(Position(0, 1), bytes_max=50))
    assert len(pieces) > 20
    assert b"".join(piece.data for piece in pieces) == path.read_bytes()
    assert all(piece.data.count(b'"') % 2 == 0 for piece in pieces)
    again = list(file.pieces(pieces[9].end, bytes_max=50))
    assert b"".join(piece.data for piece in again) == b"".join(piece.data for piece in pieces[10:])
    assert again[0].first_line == pieces[10].first_line


def test_packed_text_reads_as_unpacked_does_and_from_any_position(tmp_path: Path) -> None:
    text = "id,name\n" + "".join(f"{n},name {n}\n" for n in range(5000))
    plain = open_source(written(tmp_path / "a.csv", text))
    packed = open_source(written(tmp_path / "a.csv.gz", gzip.compress(text.encode())))
    assert rows_of(packed) == rows_of(plain)
    begin = Position(text.index("4000,"), 4002)
    assert rows_of(packed, begin) == rows_of(plain, begin) == rows_of(plain)[4000:]


def test_a_damaged_archive_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    packed = gzip.compress(b"id\n" + b"".join(b"%d\n" % (n * 7919) for n in range(20000)))
    path = written(tmp_path / "a.csv.gz", packed[:-2000])
    with pytest.raises(FileError, match=r"a\.csv\.gz cannot be read"):
        rows_of(open_source(path))


def test_ndjson_keeps_nested_values_as_json_and_takes_missing_fields_as_null(tmp_path: Path) -> None:
    text = (
        '{"id": 1, "more": {"x": [1, 2]}}\n\n{"id": 2, "more": "text", "at": "2013-01-01"}\n{"id": 3, "more": null}\n'
    )
    source = open_source(written(tmp_path / "a.ndjson", text), nested=frozenset({"more"}))
    wanted = pa.schema([("id", pa.int64()), ("more", pa.string()), ("at", pa.string())])
    (block,) = source.blocks(wanted, source.beginning())
    assert block.table().to_pylist() == [
        {"id": 1, "more": '{"x": [1, 2]}', "at": None},
        {"id": 2, "more": '"text"', "at": "2013-01-01"},
        {"id": 3, "more": None, "at": None},
    ]
    assert [block.line(row) for row in range(3)] == [1, 3, 4]


def test_types_of_ndjson_are_inferred_in_spite_of_bad_lines(tmp_path: Path) -> None:
    lines = [f'{{"id": {n}, "name": "n{n}"}}' for n in range(50)]
    lines[20] = '{"id": "twenty", "name": 5}'
    lines[30] = "not json"
    source = open_source(written(tmp_path / "a.jsonl", "\n".join(lines)))
    assert source.schema == pa.schema([("id", pa.int64()), ("name", pa.string())])


def test_parquet_is_read_in_batches_and_from_any_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_source, "BLOCK_ROWS", 70)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": list(range(1000))}), path, row_group_size=300)
    source = open_source(path)
    assert source.total == 1000
    found = list(source.blocks(source.schema, Position(350, 351)))
    assert [row["id"] for block in found for row in block.table().to_pylist()] == list(range(350, 1000))
    assert found[0].line(0) == 351
    assert found[-1].end == Position(1000, 1001)
    assert max(len(block) for block in found) <= 70


def test_parquet_is_not_read_ahead_of_what_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_source, "BLOCK_ROWS", 10_000)
    path = tmp_path / "a.parquet"
    noise = pa.array(np.random.default_rng(1).integers(0, 1 << 62, 400_000))
    pq.write_table(pa.table({"id": noise}), path, row_group_size=20_000, use_dictionary=False)
    source = open_source(path)
    before = pa.total_allocated_bytes()
    blocks = source.blocks(source.schema, source.beginning())
    for _ in range(5):
        next(blocks)
        assert pa.total_allocated_bytes() - before < path.stat().st_size // 2


def test_an_index_of_pandas_without_a_name_is_no_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": range(10), "name": ["a", "b"] * 5})
    frame[frame.id % 5 > 2].to_parquet(tmp_path / "a.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "a.parquet").names
    source = open_source(tmp_path / "a.parquet")
    assert source.schema.names == ["id", "name"]
    (block,) = source.blocks(source.schema, source.beginning())
    assert block.table().to_pylist() == [{"id": n, "name": "ab"[n % 2]} for n in (3, 4, 8, 9)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "id\n1\n", "what kind of file is this"),
        ("a.csv", "", "is empty"),
        ("a.csv", "id,id\n1,2\n", "names the column 'id' more than once"),
        ("a.parquet", "no parquet", "cannot be read as Parquet"),
        ("a.ndjson", '[{"id": 1}]', "is a JSON array"),
        ("a.ndjson", "\n\nno json\n", r"as one JSON object a line; line 3: it is not JSON: Invalid value\n.*jq -c"),
        ("a.ndjson", '{"a" 2}\n', r"line 1: it is not JSON: Missing a colon after a name of object member\n"),
        ("a.ndjson", "5\n", r"line 1: it is no object, but a number\n"),
        ("a.ndjson", "\n", "is empty"),
    ],
)
def test_what_is_no_such_file_is_said(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = written(tmp_path / name, content)
    with pytest.raises(FileError, match=message):
        open_source(path)


def test_a_missing_file_and_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"there is no file .*none\.csv$"):
        open_source(tmp_path / "none.csv")
    written(tmp_path / "trades.csv", "id\n")
    with pytest.raises(FileError, match=r"there is no file .*; did you mean .*trades\.csv\?$"):
        open_source(tmp_path / "trades.cvs")
    with pytest.raises(FileError, match="is a folder"):
        open_source(tmp_path)


def test_what_is_no_file_of_this_machine_is_said_with_what_to_do(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path, message in (
        (Path("https://example.org/a.csv"), r"^https://… is not a file of this machine\n"),
        (Path("-"), r"^- is not a file of this machine\n"),
        (tmp_path / "pipe.csv", r"pipe\.csv is not a file but a pipe or a device\n"),
    ):
        with pytest.raises(FileError, match=message + ".* put the data into a file first"):
            open_source(path)


def test_a_packed_file_whose_name_does_not_say_so_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"a\.csv is packed by gzip\nLet its name say so: a\.csv\.gz$"):
        open_source(written(tmp_path / "a.csv", gzip.compress(b"id\n1\n")))


def test_a_row_with_a_time_that_python_cannot_hold_can_be_shown(tmp_path: Path) -> None:
    far = pa.table({"id": [1], "at": pa.array([2**40], pa.timestamp("s"))})
    block = ParquetBlock(far, 0, 1)
    assert block.text(0).startswith("id: 1, at: ")
    column = parse_definition(
        "t", {"columns": [{"name": "at", "type": "TIMESTAMP", "nullable": False}], "key": ["at"]}
    ).column("at")
    with pytest.raises(BadValue, match="is not a TIMESTAMP"):
        settled(pa.array([2**62], pa.timestamp("s")), column)


def test_a_line_that_is_no_json_is_said_without_a_number_that_is_not_the_files(tmp_path: Path) -> None:
    source = open_source(written(tmp_path / "a.ndjson", '{"id":1}\n{"id"\n'))
    (block,) = source.blocks(source.schema, source.beginning())
    with pytest.raises(BadValue, match=r"^it is not JSON: Missing a colon after a name of object member$"):
        block.table(1, 2)


def test_a_line_that_never_ends_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_blocks, "RECORD_BYTES_MAX", 1000)
    path = written(tmp_path / "a.csv", "id,text\n1," + "x" * 2000)
    with pytest.raises(FileError, match=r"the record that begins at line 2 has no end"):
        list(text_blocks.TextFile(path, CsvRecords(",")).pieces(Position(8, 2), bytes_max=100))
    assert blocks.BLOCK_BYTES > 0
