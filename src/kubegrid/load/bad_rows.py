"""The file of rows that did not fit: `flights.csv.bad-rows.ndjson` beside the input, one JSON object for each.

    {"line": 17, "reason": "column dep_time: 'abc' is not a BIGINT", "row": "2013,1,1,abc,…"}

It is made with its first row, and a load from the beginning starts it anew. A load that goes on keeps what was found
before the place where it goes on.
"""

from pathlib import Path
from typing import Any

import msgspec

from kubegrid.load.checkpoint import beside

TEXT_CHARS_MAX = 10_000
"""Of a row that is shown."""
BAD_ROWS_MAX = 100_000
"""More bad rows than this, and the file is not what the table is for."""


class BadRow(msgspec.Struct):
    line: int
    reason: str
    row: str

    def __post_init__(self) -> None:
        if len(self.row) > TEXT_CHARS_MAX:
            self.row = self.row[:TEXT_CHARS_MAX] + " …"


class BadRows:
    """Writes them as they are found."""

    def __init__(self, path: Path, unit: str, resumed_at: int | None) -> None:
        """`unit`: what rows are counted in, "line" or "row"; `resumed_at`: the line where a load goes on."""
        self.path = beside(path, ".bad-rows.ndjson")
        self._unit = unit
        self._file: Any = None
        kept = self._before(resumed_at) if resumed_at is not None else []
        self.path.unlink(missing_ok=True)
        for line in kept:
            self._write(line)

    def _before(self, line: int) -> list[bytes]:
        try:
            lines = self.path.read_bytes().splitlines()
            return [text for text in lines if msgspec.json.decode(text)[self._unit] < line]
        except (OSError, msgspec.DecodeError, KeyError, TypeError):
            return []

    def add(self, row: BadRow) -> None:
        self._write(msgspec.json.encode({self._unit: row.line, "reason": row.reason, "row": row.row}))

    def _write(self, line: bytes) -> None:
        if self._file is None:
            self._file = open(self.path, "wb")  # noqa: SIM115  closed in `close`
        self._file.write(line + b"\n")

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
