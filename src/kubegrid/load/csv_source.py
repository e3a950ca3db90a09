"""CSV with a header line, `.csv`, `.tsv`, or packed (`.csv.gz`). Fields are separated by commas, in `.tsv` by tabs, or as told.

A column whose digits begin with zeros (postal codes, `00123`) is text, as DuckDB takes it: as numbers they would lose them.

An empty field is NULL, in every column. In columns that are not text, the usual spellings of a missing value (`NA`, `N/A`,
`NULL` …) are NULL as well; `nulls` names more, for all columns. `NaN` is a number of DOUBLE, not a missing value.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import compute, csv

from kubegrid.base.errors import UsageError
from kubegrid.base.table_errors import BadValue
from kubegrid.client.bulk.progress import Position
from kubegrid.load.blocks import BLOCK_BYTES, LARGE_WHOLE, Block, Source, named_once
from kubegrid.load.csv_records import CsvRecords
from kubegrid.load.errors import FileError
from kubegrid.load.text_blocks import BOM, Piece, Record, TextFile
from kubegrid.wire.arrow_types import article, sql_type

SAMPLE_BYTES = 2 * BLOCK_BYTES
"""What the types of columns are inferred from."""
NO_ROWS = "VARCHAR throughout, for the file has no rows"
SAMPLE_TEXT_BYTES = 2**18
SAMPLE_LINES = 100
_FAULT = re.compile(r"In CSV column #(\d+): .*invalid value '(.*)'", re.DOTALL)
_NOT_UTF8 = re.compile(r"In CSV column #(\d+): .*invalid UTF8 data", re.DOTALL)
_COUNT = re.compile(r"Expected (\d+) columns, got (\d+)")
_WHOLE = r"^[+-]?[0-9]+$"
_LEADING_ZERO = r"^[+-]?0[0-9]"
_NEVER_CLOSED = "begins with a quote that is never closed"
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_OTHER_DELIMITERS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','"}
"""What else may separate fields, as `--delimiter` takes it."""
NULLS = ["", "NA", "N/A", "#N/A", "NULL", "null", "n/a"]


class CsvSource(Source):
    unit = "bytes"
    values_are_text = True

    def __init__(self, path: Path, nulls: Sequence[str] = (), delimiter: str = "") -> None:
        """`delimiter`: a character, or "tab"; without it the file's name decides."""
        self.path = path
        self.delimiter = _character(delimiter) or ("\t" if ".tsv" in path.suffixes else ",")
        self.extra_nulls = list(nulls)
        self.records = CsvRecords(self.delimiter)
        self._file = TextFile(path, self.records)
        self.total = self._file.total
        sample = self._beginning()
        if not sample:
            raise FileError(f"{path} is empty: a CSV file begins with a line of column names")
        self.names, self._header_bytes, self._header_lines = self._header(sample)
        self._sample = sample[self._header_bytes :]
        self.inferred = (
            f"inferred from the first {SAMPLE_BYTES // 2**20} MiB" if self.total > SAMPLE_BYTES else "inferred"
        )
        self.schema = self._infer(self._sample)

    def _beginning(self) -> bytes:
        """At least half of SAMPLE_BYTES, or the whole file: the first piece ends before a quote that is never closed."""
        data = b""
        for piece in self._file.pieces(Position(0, 1), SAMPLE_BYTES):
            data += piece.data
            if len(data) >= SAMPLE_BYTES // 2:
                break
        return data

    def _header(self, data: bytes) -> tuple[list[str], int, int]:
        if data.startswith(_GZIP):
            raise FileError(f"{self.path} is packed by gzip", f"Let its name say so: {self.path.name}.gz")
        if data.startswith(_UTF16):
            raise FileError(f"{self.path} is UTF-16, not UTF-8", _recoding("UTF-16", self.path))
        first = data.removeprefix(BOM)
        found = self.records.split(first, 1)
        if not found:
            raise FileError(f"{self.path} has no line of column names")
        text = found[0].text
        end = data.index(text) + len(text)
        self._refuse_header(found[0])
        try:
            names = csv.read_csv(pa.py_buffer(text + b"\n"), parse_options=self._parsing()).column_names
        except pa.ArrowException as error:
            raise FileError(f"{self.path}: its first line cannot be read as column names: {error}") from error
        except UnicodeDecodeError as error:
            raise FileError(f"{self.path}: its first line is not UTF-8", _recoding("LATIN1", self.path)) from error
        others = [told for one, told in _OTHER_DELIMITERS.items() if one in names[0] and one != self.delimiter]
        if len(names) == 1 and others:
            raise FileError(
                f"{self.path} has one column only, named {names[0]!r}",
                f"If {others[0]} separates its fields, say so: --delimiter {others[0]}",
            )
        double = named_once(names)
        if double:
            raise FileError(f"{self.path} names the column {double[0]!r} more than once")
        return names, end, data.count(b"\n", 0, end)

    def _refuse_header(self, header: Record) -> None:
        """Raises FileError for one that has no end, or another one than pyarrow sees."""
        if not header.closed:
            raise FileError(f"{self.path}: its first line, of column names, has a name that {_NEVER_CLOSED}")
        if b"\r" in header.text.rstrip(b"\r\n") and b'"' not in header.text:
            raise FileError(
                f"{self.path}: its lines end with carriage returns, not with line feeds",
                f"`tr '\\r' '\\n' < {self.path} > lines-{self.path.name}` makes those.",
            )

    def refuse_encoding(self) -> None:
        """Raises FileError when a column is no text in UTF-8, which pyarrow takes for bytes."""
        for field in self.schema:
            if pa.types.is_binary(field.type):
                raise FileError(
                    f"{self.path}: column {field.name} is not UTF-8 throughout",
                    f"{_recoding('LATIN1', self.path)}\nFor bytes make the table first, with a BLOB.",
                )

    def _parsing(self) -> csv.ParseOptions:
        return csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True)

    def _parsing_good_rows(self) -> csv.ParseOptions:
        parsing = self._parsing()
        parsing.invalid_row_handler = lambda row: "skip"
        return parsing

    def _infer(self, data: bytes) -> pa.Schema:
        if not self.records.paired(data):
            data = b"".join(record.text for record in self.records.split(data, 1) if record.closed)
        if not data.strip():
            what = "that can be read" if self._sample.strip() else ""
            self.inferred = f"{NO_ROWS} {what}".rstrip() + "; make the table first to choose others"
            return pa.schema([(name, pa.string()) for name in self.names])
        try:
            schema = self.read(data, {}).schema
        except (
            pa.ArrowException
        ):  # bad rows in the sample: what the first good rows say counts, the rest is sifted later
            schema = self._infer_in_spite_of_bad_rows(data)
        exact = self._exact(data, [f for f in schema if pa.types.is_floating(f.type) or pa.types.is_integer(f.type)])
        return pa.schema(
            [(f.name, pa.string() if pa.types.is_null(f.type) else exact.get(f.name, f.type)) for f in schema]
        )

    def _infer_in_spite_of_bad_rows(self, data: bytes) -> pa.Schema:
        try:
            return self.read(data, {}, self._parsing_good_rows()).schema
        except pa.ArrowException as error:
            raise FileError(f"{self.path} cannot be read as CSV: {error}") from error

    def _exact(self, data: bytes, numbers: Sequence[pa.Field]) -> dict[str, pa.DataType]:
        """Types of those columns whose values are not the numbers that pyarrow would make of them: text where one has leading
        zeros, and whole numbers of which one is too large for an int64, as a floating number of which it would be rounded."""
        if not numbers:
            return {}
        found: dict[str, pa.DataType] = {}
        as_text = {field.name: pa.string() for field in numbers}
        texts = self.read(data, as_text, self._parsing_good_rows())
        missing = pa.array(NULLS + self.extra_nulls)
        for field in numbers:
            column = texts.column(field.name)
            values = column.filter(compute.invert(compute.is_in(column, missing))).drop_null()
            if compute.any(compute.match_substring_regex(values, _LEADING_ZERO)).as_py():
                found[field.name] = pa.string()
            elif (
                pa.types.is_floating(field.type) and compute.all(compute.match_substring_regex(values, _WHOLE)).as_py()
            ):
                digits = compute.max(compute.utf8_length(compute.utf8_ltrim(values, "+-0"))).as_py()
                found[field.name] = LARGE_WHOLE if digits <= LARGE_WHOLE.precision else pa.string()
        return found

    def sample_texts(self, column: str) -> list[str]:
        found = self.records.split(self._sample[:SAMPLE_TEXT_BYTES], 1)[:SAMPLE_LINES]
        try:
            table = self.read(
                b"".join(record.text for record in found if record.closed),
                dict.fromkeys(self.names, pa.string()),
                self._parsing_good_rows(),
            )
        except pa.ArrowException:
            return []
        return [text for text in table.column(column).to_pylist() if text is not None and text not in NULLS]

    def read(self, data: bytes, types: dict[str, pa.DataType], parsing: csv.ParseOptions | None = None) -> pa.Table:
        convert = csv.ConvertOptions(
            column_types=types,
            null_values=NULLS + self.extra_nulls,
            strings_can_be_null=False,
        )
        reading = csv.ReadOptions(column_names=self.names, block_size=len(data) + 1, use_threads=False)
        try:
            table = csv.read_csv(pa.py_buffer(data), reading, parsing or self._parsing(), convert)
        except pa.ArrowInvalid as error:
            fault = _FAULT.search(str(error))
            encoding = _NOT_UTF8.search(str(error))
            if encoding is not None:
                raise BadValue("its text is not UTF-8", column=self.names[int(encoding[1])]) from error
            count = _COUNT.search(str(error))
            if count is not None and types:
                raise BadValue(f"values in the row: {count[2]}, columns in the first line: {count[1]}") from error
            if fault is None or not types:
                raise
            name = self.names[int(fault[1])]
            raise BadValue(f"{fault[2]!r} is not {article(sql_type(types[name]) or 'value')}", column=name) from error
        for index, field in enumerate(table.schema):
            if pa.types.is_string(field.type):
                table = table.set_column(index, field.name, self._without_empty(table.column(index)))
        return table

    def refuse_open(self, text: bytes) -> None:
        """Raises BadValue for a record with a quote that is never closed."""
        column = self.records.column_left_open(text)
        raise BadValue(f"its value {_NEVER_CLOSED}", column=self.names[column] if column < len(self.names) else "")

    def _without_empty(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        missing = compute.is_in(column, value_set=pa.array(["", *self.extra_nulls]))
        return compute.if_else(missing, pa.scalar(None, pa.string()), column)

    def beginning(self) -> Position:
        return Position(self._header_bytes, 1 + self._header_lines)

    def blocks(self, wanted: pa.Schema, begin: Position) -> Iterator["CsvBlock"]:
        types = {field.name: _read_as(field.type) for field in wanted}
        for piece in self._file.pieces(begin):
            yield CsvBlock(self, piece, types)


class CsvBlock(Block):
    __slots__ = ("_piece", "_records", "_source", "_types")

    def __init__(self, source: CsvSource, piece: Piece, types: dict[str, pa.DataType]) -> None:
        super().__init__(piece.end, piece.done)
        self._source = source
        self._piece = piece
        self._types = types
        self._records: list[Record] | None = None

    def _rows(self) -> list[Record]:
        if self._records is None:
            self._records = self._source.records.split(self._piece.data, self._piece.first_line)
        return self._records

    def __len__(self) -> int:
        return len(self._rows())

    def table(self, start: int | None = None, stop: int | None = None) -> pa.Table:
        data = self._piece.data
        if start is None and self._source.records.paired(data):
            table = self._read(data)
            if b'"' not in data or len(table) >= data.count(b"\n"):
                return table
        rows = self._rows()[start:stop]
        for row in rows:
            if not row.closed:
                self._source.refuse_open(row.text)
        return self._read(b"".join([row.text for row in rows]))

    def _read(self, data: bytes) -> pa.Table:
        if not data.strip():
            return pa.table({name: pa.array([], self._types[name]) for name in self._source.names})
        return self._source.read(data, self._types)

    def line(self, row: int) -> int:
        return self._rows()[row].line

    def position(self, row: int) -> Position:
        return self._piece.position(self.line(row))

    def text(self, row: int) -> str:
        return self._rows()[row].text.decode(errors="backslashreplace").rstrip("\r\n")


def _read_as(wanted: pa.DataType) -> pa.DataType:
    """What pyarrow can read from text by itself; everything else is read as text, and converted with the other formats'."""
    types = pa.types
    by_itself = (
        types.is_integer,
        types.is_floating,
        types.is_boolean,
        types.is_date32,
        types.is_time,
        types.is_timestamp,
    )
    if any(test(wanted) for test in by_itself) or types.is_decimal128(wanted) or types.is_binary(wanted):
        return wanted
    return pa.string()


def _character(delimiter: str) -> str:
    """Raises UsageError."""
    known = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
    if len(known) > 1 or not known.isascii() or known in ('"', "\n", "\r"):
        raise UsageError(f"--delimiter is one character, or `tab`, not {delimiter!r}")
    return known


def _recoding(encoding: str, path: Path) -> str:
    return f"`iconv -f {encoding} -t UTF-8 {path} > utf8-{path.name}` makes that, if it is {encoding}."
