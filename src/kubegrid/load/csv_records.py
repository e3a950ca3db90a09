"""Where the records of a CSV file end: at a line feed that is not between quotes, and which quotes were never closed.

The rules are pyarrow's, which reads the records later: a quote opens a value only where the value begins, two quotes in it
stand for one, and what follows the closing quote belongs to the value as it is. One rule is stricter: a value with line
feeds in it ends with its closing quote. Where one does not, or has none, a quote was forgotten, and what follows on other
lines is no part of the value: the record is taken to end with its line, so that no row is swallowed by another.

Most blocks are settled without looking for values: where each line has its quotes in pairs, each is a record. It is not if a
quote opens a value on it, and one in the middle of another value makes that a pair: `5" x,"abc`. Then there will be fewer rows
than lines, and whoever reads them looks closely. Next on the path of the data: `csv_source`.
"""

import re
from typing import Final

from kubegrid.load.text_blocks import Record, lines

_OTHERS: Final = bytes(set(range(256)) - {ord('"'), ord("\n")})


class CsvRecords:
    """The records of a text whose values are separated by `delimiter`."""

    def __init__(self, delimiter: str) -> None:
        between = re.escape(delimiter.encode())
        in_line = rb'"(?:[^"\n]++|"")*+"[^%b\n]*+' % between
        over_lines = rb'"(?:[^"]++|"")*+"(?:(?=%b)|\r?(?=\n)|\r?\Z)' % between
        bare = rb'(?!")[^%b\n]*+' % between
        value = b"(?:%b|%b|%b)" % (in_line, over_lines, bare)
        record = rb'(?:[^"\n]*+|%b(?:%b%b)*+)' % (value, between, value)
        self._value = re.compile(value + between)
        self._whole = re.compile(rb"(?:%b\n)*+" % record)
        self._record = re.compile(rb"%b(?:\n|\Z)" % record)
        self._opens = re.compile(rb'(?:%b%b)*+"' % (value, between))
        self._unfinished = re.compile(rb"(?:%b%b)*+%b\Z" % (value, between, value))
        self._still_open = re.compile(rb'(?:%b%b)*+"(?:[^"]++|"")*+"?\r?\Z' % (value, between))

    def paired(self, data: bytes) -> bool:
        """Whether each line has its quotes in pairs."""
        return b'"' not in data or b'"' not in data.translate(None, _OTHERS).replace(b'""', b"")

    def end(self, data: bytes, *, waits: bool) -> int:
        """Where the last whole record ends; 0 when there is none.

        `waits`: a value that is open at the end may be closed by what comes; else its quote is taken for a forgotten one.
        """
        if self.paired(data):
            return data.rfind(b"\n") + 1
        position = 0
        while True:
            position = self._whole.match(data, position).end()  # type: ignore[union-attr]
            if self._unfinished.match(data, position) or (waits and self._still_open.match(data, position)):
                return position
            line_end = data.find(b"\n", position) + 1
            if not line_end:
                return position
            position = line_end

    def split(self, data: bytes, first_line: int) -> list[Record]:
        """The records that are not empty."""
        if b'"' not in data:
            return lines(data, first_line)
        found: list[Record] = []
        position, line = 0, first_line
        while position < len(data):
            match = self._record.match(data, position)
            end = match.end() if match else data.find(b"\n", position) + 1 or len(data)
            text = data[position:end]
            if text.strip(b"\r\n"):
                found.append(Record(line, text, match is not None))
            position, line = end, line + text.count(b"\n")
        return found

    def column_left_open(self, text: bytes) -> int:
        """The number of the column, counted from 0, whose quote is never closed in a record that is not whole."""
        opens = self._opens.match(text)
        return len(self._value.findall(text, 0, opens.end() - 1)) if opens else 0
