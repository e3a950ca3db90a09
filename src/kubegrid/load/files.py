"""Which kind of file a path is, by its name."""

import re
from collections.abc import Sequence
from pathlib import Path

from kubegrid.base.errors import UsageError
from kubegrid.base.nearest import nearest
from kubegrid.load import renaming
from kubegrid.load.blocks import Source
from kubegrid.load.csv_source import CsvSource
from kubegrid.load.errors import FileError
from kubegrid.load.ndjson_source import NdjsonSource
from kubegrid.load.parquet_source import ParquetSource

KINDS = ".csv, .tsv, .parquet, .ndjson or .jsonl, the text ones also with .gz"

NOT_A_FILE = "A load may have to go on where it stopped: put the data into a file first."
_ADDRESS = re.compile(r"([a-z][a-z0-9]+):/", re.IGNORECASE)
"""How an address begins that became a path, which drops one of its slashes."""


def open_source(
    path: Path,
    nulls: Sequence[str] = (),
    nested: frozenset[str] = frozenset(),
    delimiter: str = "",
    rename: Sequence[str] = (),
) -> Source:
    """`nulls`, `delimiter`: of CSV, see there; `nested`: columns that the table declares as JSON; `rename`: see `renaming`.

    Raises FileError, UsageError.
    """
    names = renaming.parse(rename)
    if not names:
        return _open(path, nulls, nested, delimiter)
    old = {new: old for old, new in names.items()}
    source = _open(path, nulls, frozenset(old.get(name, name) for name in nested), delimiter)
    return renaming.Renamed(source, names)


def _open(path: Path, nulls: Sequence[str], nested: frozenset[str], delimiter: str) -> Source:
    if not path.exists():
        address = _ADDRESS.match(str(path))
        if address is not None or str(path) == "-":
            raise FileError(
                f"{path if address is None else address[1] + '://…'} is not a file of this machine", NOT_A_FILE
            )
        raise FileError(f"there is no file {path}{_like(path)}")
    if path.is_dir():
        raise FileError(f"{path} is a folder", "One file is loaded at a time.")
    if not path.is_file():
        raise FileError(f"{path} is not a file but a pipe or a device", NOT_A_FILE)
    name = path.name.lower()
    packed = name.endswith(".gz")
    kind = Path(name.removesuffix(".gz")).suffix
    is_csv = kind in (".csv", ".tsv")
    if delimiter and not is_csv:
        raise UsageError(f"--delimiter is for CSV, and {path} is none, by its name")
    try:
        if is_csv:
            return CsvSource(path, nulls, delimiter)
        if kind in (".ndjson", ".jsonl", ".json"):
            return NdjsonSource(path, nested)
        if kind in (".parquet", ".pq") and not packed:
            return ParquetSource(path)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    raise FileError(f"{path}: what kind of file is this? The name ends in none of {KINDS}")


def _like(path: Path) -> str:
    """A file beside it that may have been meant."""
    try:
        close = nearest(path.name, [one.name for one in path.parent.iterdir() if one.is_file()])
    except OSError:
        return ""
    return f"; did you mean {path.with_name(close)}?" if close else ""
