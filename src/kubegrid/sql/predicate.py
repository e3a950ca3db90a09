"""A predicate: a SQL condition over the columns of one table, ready to be asked of records.

    predicate = parse(definition, "book = 'FX' AND notional > 1000000")
    predicate.matches(values)          # of a decoded row, in three-valued logic, as DuckDB answers
    predicate.columns                  # ('book', 'notional'): all that needs decoding
    predicate.bounds                   # {'book': Bounds(equal=('FX',)), 'notional': Bounds(low=…)}: what an index can use

`reading` makes conditions of the text (`plain` does of the most usual ones), `compiling` a function of the conditions,
and `bounds` says what an index can use.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from kubegrid.base.tables import TableDefinition
from kubegrid.sql import conditions as c
from kubegrid.sql.bounds import Bounds, bounds_of
from kubegrid.sql.compiling import compiled
from kubegrid.sql.plain import read_plain

CACHED_MAX = 256


class Predicate:
    """Immutable. Belongs to one definition; parse it anew when the table has changed."""

    def __init__(self, definition: TableDefinition, text: str) -> None:
        self.definition = definition
        self.text = text
        self.condition = _read(definition, text)
        places = sorted(set(_places(self.condition)))
        self.columns = tuple(definition.names[place] for place in places)
        """The columns that it asks for, in the table's order."""
        self._places = places

    @cached_property
    def matches(self) -> Callable[[Sequence[Any]], bool]:
        """Whether it is true of a whole decoded row."""
        return compiled(self.condition, {place: place for place in self._places})

    @cached_property
    def matches_columns(self) -> Callable[[Sequence[Any]], bool]:
        """The same of the values of `columns` alone, in that order."""
        return compiled(self.condition, {place: at for at, place in enumerate(self._places)})

    @cached_property
    def bounds(self) -> dict[str, Bounds]:
        """For each column that the conditions joined by AND bound: between what its values lie where it is true."""
        return bounds_of(self.condition)


def parse(definition: TableDefinition, text: str) -> Predicate:
    """Raises PredicateError, which shows the place."""
    return Predicate(definition, text)


class Predicates:
    """Parses for one definition and remembers what it parsed last: parsing costs a hundred times what asking does."""

    def __init__(self, definition: TableDefinition) -> None:
        self._definition = definition
        self._parsed: dict[str, Predicate] = {}

    def parse(self, text: str) -> Predicate:
        """Raises PredicateError."""
        found = self._parsed.get(text)
        if found is None:
            found = Predicate(self._definition, text)
            if len(self._parsed) >= CACHED_MAX:
                del self._parsed[next(iter(self._parsed))]
            self._parsed[text] = found
        return found


def _read(definition: TableDefinition, text: str) -> c.Condition:
    plain = read_plain(definition, text)
    if plain is not None:
        return plain
    # Not imported before it is needed: sqlglot takes most of a second, which a member that starts has not.
    from kubegrid.sql.reading import read

    return read(definition, text)


def _places(condition: c.Condition) -> list[int]:
    found: list[int] = []
    waiting: list[c.Condition | c.Value] = [condition]
    while waiting:
        match waiting.pop():
            case c.And(parts) | c.Or(parts):
                waiting += parts
            case c.Not(inner) | c.IsTruth(inner, _):
                waiting.append(inner)
            case c.Comparison(_, left, right, _) | c.Arithmetic(_, left, right, _, _):
                waiting += (left, right)
            case c.OneOf(value, _, _, _) | c.Like(value, _) | c.IsNull(value) | c.Truth(value):
                waiting.append(value)
            case c.ColumnValue(_, place, _, _):
                found.append(place)
            case _:
                pass
    return found
