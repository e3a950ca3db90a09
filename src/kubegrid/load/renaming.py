"""Columns under other names than the file has: `--rename "Arrival Delay=arr_delay"`.

A file is read as it is; only what others see of it has the new names, so that no format has to know of them. What is said
about a bad row may therefore name a column as the file does.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from kubegrid.base.errors import UsageError
from kubegrid.base.nearest import hint
from kubegrid.base.table_definitions import NAME, NAME_CHARS_MAX
from kubegrid.client.bulk.progress import Position
from kubegrid.load.blocks import Block, Source, named_once

SUGGESTED_MAX = 20


def parse(options: Sequence[str]) -> dict[str, str]:
    """Names in the file → names of columns, of `OLD=NEW` each: the last equals sign counts. Raises UsageError."""
    names: dict[str, str] = {}
    for option in options:
        old, equals, new = option.rpartition("=")
        if not equals or not NAME.fullmatch(new):
            raise UsageError(f"--rename is OLD=NEW, a name in the file and one of a column, not {option!r}")
        if names.setdefault(old, new) != new:
            raise UsageError(f"--rename gives {old!r} two names, {names[old]} and {new}")
    return names


def suggestion(names: Sequence[str]) -> str:
    """What to say on the command line for those names of a file that no column can have."""
    taken = {name.lower() for name in names if NAME.fullmatch(name)}
    words = []
    for number, name in enumerate(names, 1):
        if NAME.fullmatch(name):
            continue
        plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")[: NAME_CHARS_MAX - 8].lower()
        plain = f"column_{number}" if not plain else f"c_{plain}" if plain[0].isdigit() else plain
        new = plain if plain not in taken else f"{plain}_{number}"
        taken.add(new)
        words.append(f"--rename {shlex.quote(f'{name}={new}')}")
    return " ".join(words[:SUGGESTED_MAX]) + (" …" if len(words) > SUGGESTED_MAX else "")


class Renamed(Source):
    """A source whose columns have other names."""

    def __init__(self, source: Source, names: Mapping[str, str]) -> None:
        """Raises UsageError for a name that the file does not have, or that two columns would have."""
        for old in names:
            if old not in source.schema.names:
                raise UsageError(f"--rename: {source.path} has no column {old!r}{hint(old, source.schema.names)}")
        new = [names.get(name, name) for name in source.schema.names]
        double = named_once(new)
        if double:
            raise UsageError(f"--rename: two columns of {source.path} would be called {double[0]}")
        self._source = source
        self._old = {new: old for old, new in names.items()}
        self._new = dict(names)
        self.path = source.path
        self.schema = pa.schema([field.with_name(name) for field, name in zip(source.schema, new, strict=True)])
        self.inferred = source.inferred
        self.total = source.total
        self.unit = source.unit
        self.where = source.where
        self.may_leave_out = source.may_leave_out
        self.values_are_text = source.values_are_text

    def beginning(self) -> Position:
        return self._source.beginning()

    def refuse_encoding(self) -> None:
        self._source.refuse_encoding()

    def sample_texts(self, column: str) -> list[str]:
        return self._source.sample_texts(self._old.get(column, column))

    def blocks(self, wanted: pa.Schema, begin: Position) -> Iterator[Block]:
        of_file = pa.schema([field.with_name(self._old.get(field.name, field.name)) for field in wanted])
        for block in self._source.blocks(of_file, begin):
            yield RenamedBlock(block, self._new)


class RenamedBlock(Block):
    __slots__ = ("_block", "_new")

    def __init__(self, block: Block, new: Mapping[str, str]) -> None:
        super().__init__(block.end, block.done)
        self._block = block
        self._new = new

    def __len__(self) -> int:
        return len(self._block)

    def table(self, start: int | None = None, stop: int | None = None) -> pa.Table:
        table = self._block.table(start, stop)
        return table.rename_columns([self._new.get(name, name) for name in table.column_names])

    def line(self, row: int) -> int:
        return self._block.line(row)

    def position(self, row: int) -> Position:
        return self._block.position(row)

    def text(self, row: int) -> str:
        return self._block.text(row)
