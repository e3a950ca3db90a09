"""NDJSON: one JSON object a line, `.ndjson` or `.jsonl`, or packed (`.ndjson.gz`).

A field that a line leaves out is NULL. Fields that the table does not have make the line a bad row. Numbers, booleans and
text are read by pyarrow straight into the columns' types; dates, times and timestamps are text in JSON and converted
afterwards. Nested values (columns of type JSON) are kept as JSON text.
"""

import base64
import binascii
import contextlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
from pyarrow import json

from kubegrid.base.table_errors import BadValue
from kubegrid.client.bulk.progress import Position
from kubegrid.load.blocks import BLOCK_BYTES, LARGE_WHOLE, Block, Source
from kubegrid.load.errors import FileError
from kubegrid.load.sifting import sift
from kubegrid.load.text_blocks import BOM, Lines, Piece, Record, TextFile, lines
from kubegrid.wire.arrow_types import article

SAMPLE_BYTES = 2 * BLOCK_BYTES
_FAULT = re.compile(r"Column\(/([^)]+)\) changed from (\w+) to (\w+)")
_NO_OBJECT = re.compile(r"Column\(\) changed from object to (\w+)")

_IN_ROW = re.compile(r" in row \d+$")
_WHOLE = re.compile(rb"-?[0-9]{1,38}|null")


class NdjsonSource(Source):
    unit = "bytes"
    may_leave_out = True

    def __init__(self, path: Path, nested: frozenset[str] = frozenset()) -> None:
        """`nested`: columns that an existing table declares as JSON, whatever stands in them."""
        self.path = path
        self._file = TextFile(path, Lines())
        self.total = self._file.total
        sample = next(self._file.pieces(Position(0, 1), SAMPLE_BYTES), None)
        data = b"" if sample is None else sample.data.removeprefix(BOM)
        if not data.strip():
            raise FileError(f"{path} is empty: one JSON object a line is expected")
        self._begin = Position(len(BOM) if sample is not None and sample.data.startswith(BOM) else 0, 1)
        if data.lstrip().startswith(b"["):
            raise FileError(
                f"{path} is a JSON array: one JSON object a line is expected", f"`jq -c '.[]' {path}` makes that."
            )
        inferred = _with_large_whole_numbers(self._infer(data), data)
        self.nested = nested | {field.name for field in inferred if pa.types.is_nested(field.type)}
        self.schema = pa.schema([(field.name, _plain(field.type)) for field in inferred])
        self.inferred = (
            f"inferred from the first {SAMPLE_BYTES // 2**20} MiB" if self.total > SAMPLE_BYTES else "inferred"
        )

    def _infer(self, data: bytes) -> pa.Schema:
        """From the sample; when rows of it are bad, from the largest parts without them."""
        try:
            return _read(data, None).schema
        except pa.ArrowException:
            records = lines(data, 1)
        rows = [record.text for record in records]
        parts, bad = sift(len(rows), lambda start, stop: (stop - start, _read(b"".join(rows[start:stop]), None).schema))
        if not parts:
            row, problem = bad[0]
            reason = _told(problem) if isinstance(problem, pa.ArrowInvalid) else problem
            raise FileError(
                f"{self.path} cannot be read as one JSON object a line; line {records[row].line}: {reason}",
                f"`jq -c . {shlex.quote(str(self.path))}` puts each value on one line, if that is what it lacks.",
            ) from problem
        parts.sort(key=lambda part: -part[0])
        schema = parts[0][1]
        for _, other in parts[1:]:
            with contextlib.suppress(pa.ArrowException):
                schema = pa.unify_schemas([schema, other], promote_options="permissive")
        return schema

    def beginning(self) -> Position:
        return self._begin

    def blocks(self, wanted: pa.Schema, begin: Position) -> Iterator["NdjsonBlock"]:
        types = pa.schema([(field.name, _read_as(field.type)) for field in wanted])
        blobs = [field.name for field in wanted if pa.types.is_binary(field.type)]
        for piece in self._file.pieces(begin):
            yield NdjsonBlock(piece, types, self.nested & set(types.names), blobs)


class NdjsonBlock(Block):
    __slots__ = ("_blobs", "_nested", "_piece", "_records", "_types")

    def __init__(self, piece: Piece, types: pa.Schema, nested: frozenset[str], blobs: list[str]) -> None:
        super().__init__(piece.end, piece.done)
        self._piece = piece
        self._types = types
        self._nested = nested
        self._blobs = blobs
        self._records: list[Record] | None = None

    def _rows(self) -> list[Record]:
        if self._records is None:
            self._records = lines(self._piece.data, self._piece.first_line)
        return self._records

    def __len__(self) -> int:
        return len(self._rows())

    def table(self, start: int | None = None, stop: int | None = None) -> pa.Table:
        data = self._piece.data if start is None else b"".join(row.text for row in self._rows()[start:stop])
        if not data.strip():
            return self._types.empty_table()
        if self._nested:
            data = _with_nested_as_text(data, self._nested)
        try:
            table = _read(data, self._types).select(self._types.names)
        except pa.ArrowInvalid as error:
            raise _told(error) from error
        for name in self._blobs:
            decoded = pa.array(list(map(_from_base64, table.column(name).to_pylist())), pa.binary())
            table = table.set_column(table.schema.get_field_index(name), name, decoded)
        return table

    def line(self, row: int) -> int:
        return self._rows()[row].line

    def position(self, row: int) -> Position:
        return self._piece.position(self.line(row))

    def text(self, row: int) -> str:
        return self._rows()[row].text.decode(errors="backslashreplace").rstrip("\r\n")


def _read(data: bytes, types: pa.Schema | None) -> pa.Table:
    parsing = json.ParseOptions(
        explicit_schema=types, unexpected_field_behavior="infer" if types is None else "error", newlines_in_values=False
    )
    return json.read_json(pa.BufferReader(data), json.ReadOptions(use_threads=False, block_size=len(data) + 1), parsing)


def _with_large_whole_numbers(inferred: pa.Schema, data: bytes) -> pa.Schema:
    """pyarrow takes a whole number that is too large for an int64 for a floating one, and would round it."""
    left = {field.name for field in inferred if pa.types.is_floating(field.type)}
    for record in lines(data, 1):
        if not left:
            break
        with contextlib.suppress(msgspec.DecodeError):  # a bad row
            document = msgspec.json.decode(record.text, type=dict[str, msgspec.Raw])
            left -= {name for name in left & document.keys() if not _WHOLE.fullmatch(bytes(document[name]))}
    return pa.schema([(field.name, LARGE_WHOLE if field.name in left else field.type) for field in inferred])


def _with_nested_as_text(data: bytes, nested: frozenset[str]) -> bytes:
    """The same lines with the nested fields' values as JSON texts, which pyarrow would want to be of one shape."""
    documents = []
    for record in lines(data, 1):
        try:
            document = msgspec.json.decode(record.text, type=dict[str, msgspec.Raw])
        except msgspec.DecodeError as error:
            raise pa.ArrowInvalid(f"JSON parse error: {error}") from error
        for name in nested & document.keys():
            if bytes(document[name]) != b"null":
                document[name] = msgspec.Raw(msgspec.json.encode(bytes(document[name]).decode()))
        documents.append(msgspec.json.encode(document))
    return b"\n".join(documents)


def _told(error: pa.ArrowInvalid) -> Exception:
    """pyarrow's words in ours, where they can be."""
    kinds = _FAULT.search(str(error))
    if kinds is not None:
        return BadValue(f"a {kinds[3]} where a {kinds[2]} is expected", column=kinds[1])
    no_object = _NO_OBJECT.search(str(error))
    if no_object is not None:
        return BadValue(f"it is no object, but {article(no_object[1])}")
    if "unexpected field" in str(error):
        return BadValue("it has a field that the table does not have")
    return BadValue(_shortened(error)) if _IN_ROW.search(str(error)) else error


def _shortened(error: Exception) -> str:
    """Without the number of a row, which pyarrow counts from where it was told to begin."""
    return _IN_ROW.sub("", str(error)).replace("JSON parse error: ", "it is not JSON: ").rstrip(".")


def _from_base64(text: str | None) -> bytes | None:
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise pa.ArrowInvalid(f"{text[:50] if text else text!r} is not base64, as bytes are written in JSON") from error


def _plain(inferred: pa.DataType) -> pa.DataType:
    if pa.types.is_nested(inferred):
        return pa.json_(pa.string())
    return pa.string() if pa.types.is_null(inferred) else inferred


def _read_as(wanted: pa.DataType) -> pa.DataType:
    """What stands in JSON as a number or a boolean is read as such; everything else as text, and converted afterwards."""
    types = pa.types
    by_itself = types.is_integer(wanted) or types.is_floating(wanted) or types.is_boolean(wanted)
    return wanted if by_itself or types.is_decimal128(wanted) else pa.string()
