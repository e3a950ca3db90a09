"""Records of CSV files that are not as they should be: nothing is swallowed, and what is wrong is said with its line."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv

from kubegrid.base.table_errors import BadValue
from kubegrid.client.bulk.progress import Position
from kubegrid.load import text_blocks
from kubegrid.load.csv_records import CsvRecords
from kubegrid.load.errors import FileError
from kubegrid.load.files import open_source
from kubegrid.load.sifting import sift

OPEN = "its value begins with a quote that is never closed"
SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])
Row = tuple[Any, ...]


def loaded(path: Path, content: bytes) -> tuple[list[Row], list[tuple[int, str]]]:
    """The rows of a file, and the lines of the bad ones with what is wrong, as a load that skips them has them."""
    path.write_bytes(content)
    source = open_source(path)
    rows: list[Row] = []
    bad: list[tuple[int, str]] = []
    for block in source.blocks(SCHEMA, source.beginning()):
        try:
            tables = [block.table()]
        except (BadValue, pa.ArrowException):
            tables, found = sift(len(block), block.table)
            bad += [(block.line(row), getattr(error, "reason", str(error))) for row, error in found]
        rows += [tuple(row.values()) for table in tables for row in table.to_pylist()]
    return rows, bad


@pytest.mark.parametrize(
    ("lines", "rows", "bad"),
    [
        ('1,a|2,"b|3,c|4,d|', [(1, "a"), (3, "c"), (4, "d")], [3]),
        ('1,"a"|2,"b|3,"c"|4,"d"|', [(1, "a"), (3, "c"), (4, "d")], [3]),
        ('1,"a|2,"b|3,c|', [(3, "c")], [2, 3]),
        ('1,a|2,"b', [(1, "a")], [3]),
        ('1,a|2,"b""|3,""|', [(1, "a"), (3, None)], [3]),
        ('1,"a|b"|2,"c|3,d|', [(1, "a\nb"), (3, "d")], [4]),
        ('1,"a|b|2,c|3,"d|e"|', [(2, "c"), (3, "d\ne")], [2, 3]),
        ('"1,a|2,b|', [(2, "b")], [2]),
        ('1,a|2" x,"b|3,c|', [(1, "a"), (3, "c")], [3]),
    ],
)
def test_a_quote_that_is_never_closed_makes_a_bad_row_of_its_line(
    tmp_path: Path, lines: str, rows: list[Row], bad: list[int]
) -> None:
    found, wrong = loaded(tmp_path / "a.csv", b"id,text\n" + lines.replace("|", "\n").encode())
    assert (found, [line for line, _ in wrong]) == (rows, bad)
    assert wrong[0][1] == OPEN


def test_the_column_of_the_quote_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,"a, b",text\n1,"x, y","never\n2,x,y\n')
    source = open_source(path)
    (block,) = source.blocks(source.schema, source.beginning())
    with pytest.raises(BadValue) as caught:
        block.table()
    assert (caught.value.column, caught.value.reason) == ("text", OPEN)
    assert [str(field.type) for field in source.schema] == ["int64", "string", "string"]


@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        ('1,5" pipe|2,b|3,6" x|', [(1, '5" pipe'), (2, "b"), (3, '6" x')]),
        ('1,5" pipe|2,"b|c"|3,d|', [(1, '5" pipe'), (2, "b\nc"), (3, "d")]),
        ('1,"a"b|2,c|', [(1, "ab"), (2, "c")]),
        ('1,"a|""b"""|2,"|"|3,""|', [(1, 'a\n"b"'), (2, "\n"), (3, None)]),
        ('1,"a\r|b"\r|2,c\r|3,"d"\r|', [(1, "a\r\nb"), (2, "c"), (3, "d")]),
        ('1,"a|b"', [(1, "a\nb")]),
        ('1,"a"\r', [(1, "a")]),
        ("||1,a||2,b||", [(1, "a"), (2, "b")]),
        ("1,a\0b|", [(1, "a\0b")]),
        ("", []),
    ],
)
@pytest.mark.parametrize("end", ["", "\n"])
def test_quotes_line_ends_and_what_is_odd_but_right(tmp_path: Path, lines: str, rows: list[Row], end: str) -> None:
    content = ("id,text\n" + lines).replace("|", "\n").encode() + end.encode()
    assert loaded(tmp_path / "a.csv", content) == (rows, [])
    assert loaded(tmp_path / "a.csv", b"\xef\xbb\xbf" + content) == (rows, [])


def test_too_few_and_too_many_values_are_bad_rows(tmp_path: Path) -> None:
    rows, bad = loaded(tmp_path / "a.csv", b'id,text\n1\n2,b\n3,c,d\n4,"e\nf",g\n')
    assert rows == [(2, "b")]
    assert bad == [
        (2, "values in the row: 1, columns in the first line: 2"),
        (4, "values in the row: 3, columns in the first line: 2"),
        (5, "values in the row: 3, columns in the first line: 2"),
    ]


def test_text_that_is_not_utf_8_is_a_bad_row(tmp_path: Path) -> None:
    rows, bad = loaded(tmp_path / "a.csv", b'id,text\n1,"a\nb"\n2,M\xfcller\n3,c\n')
    assert (rows, bad) == ([(1, "a\nb"), (3, "c")], [(4, "its text is not UTF-8")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'id,"text\n1,a\n',
            "its first line, of column names, has a name that begins with a quote that is never closed",
        ),
        (b"id,text\r1,a\r2,b\r", "its lines end with carriage returns"),
        (b"\n\n", "has no line of column names"),
    ],
)
def test_what_has_no_line_of_column_names_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(FileError, match=message):
        open_source(tmp_path / "a.csv")


def test_a_quote_that_is_open_for_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_blocks, "RECORD_BYTES_MAX", 1000)
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"open' + "\n2,x" * 1000 + "\n")
    records = CsvRecords(",")
    pieces = list(text_blocks.TextFile(path, records).pieces(Position(8, 2), bytes_max=100))
    assert len(pieces) > 20
    found = [record for piece in pieces for record in records.split(piece.data, piece.first_line)]
    assert [record.line for record in found] == list(range(2, 1003))
    assert [record.line for record in found if not record.closed] == [2]


@pytest.mark.parametrize("seed", range(300))
def test_records_of_any_text_are_those_of_pyarrow_however_it_is_cut(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(
        chance.choices(["a", ",", "\n", '"', '""', '","', ',"', '"\n', "\r\n"], k=chance.randrange(40))
    ).encode()
    records = CsvRecords(",")
    whole = records.split(text, 1)
    assert [line for record in whole for line in _lines(record.text)] == _lines(text)
    if all(record.closed for record in whole):
        assert _rows(text) == sum(_rows(record.text) for record in whole) == len(whole)
    if any(
        records.paired(line)
        for record in whole
        if not _is_line(record)
        for line in record.text.split(b"\n")
        if b'"' in line
    ):
        return  # a quote in the middle of a value, and one that opens another, on one line
    (tmp_path / "a.csv").write_bytes(text)
    for size in (1, 3, 10):
        pieces = text_blocks.TextFile(tmp_path / "a.csv", records).pieces(Position(0, 1), bytes_max=size)
        assert [record for piece in pieces for record in records.split(piece.data, piece.first_line)] == whole


def _is_line(record: text_blocks.Record) -> bool:
    return record.closed and b"\n" not in record.text.rstrip(b"\n")


def _lines(text: bytes) -> list[bytes]:
    return [line for line in text.split(b"\n") if line.strip(b"\r")]


def _rows(text: bytes) -> int:
    """How many rows pyarrow sees, with however many values."""
    seen = []
    parsing = csv.ParseOptions(newlines_in_values=True)
    parsing.invalid_row_handler = lambda row: seen.append(row) or "skip"
    reading = csv.ReadOptions(column_names=["x"], block_size=len(text) + 1, use_threads=False)
    if not text.strip(b"\r\n"):
        return 0
    return csv.read_csv(pa.py_buffer(text), reading, parsing).num_rows + len(seen)
