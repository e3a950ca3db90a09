"""Which kind of file a path is, by its name."""

from collections.abc import Sequence
from pathlib import Path

from kubegrid.load.blocks import Source
from kubegrid.load.csv_source import CsvSource
from kubegrid.load.errors import FileError
from kubegrid.load.ndjson_source import NdjsonSource
from kubegrid.load.parquet_source import ParquetSource

KINDS = ".csv, .tsv, .parquet, .ndjson or .jsonl, the text ones also with .gz"


def open_source(path: Path, nulls: Sequence[str] = (), nested: frozenset[str] = frozenset()) -> Source:
    """`nulls`: further spellings of NULL in CSV; `nested`: columns that the table declares as JSON. Raises FileError."""
    if not path.exists():
        raise FileError(f"there is no file {path}")
    if not path.is_file():
        raise FileError(f"{path} is not a file", "One file is loaded at a time.")
    name = path.name.lower()
    packed = name.endswith(".gz")
    kind = Path(name.removesuffix(".gz")).suffix
    try:
        if kind in (".csv", ".tsv"):
            return CsvSource(path, nulls)
        if kind in (".ndjson", ".jsonl", ".json"):
            return NdjsonSource(path, nested)
        if kind in (".parquet", ".pq") and not packed:
            return ParquetSource(path)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    raise FileError(f"{path}: what kind of file is this? The name ends in none of {KINDS}")
