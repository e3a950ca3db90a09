"""Whether a plan gives the answer that one DuckDB with all rows gives: types, rows, order.

Rows without an order are compared as a multiset, floating-point numbers to 1e-9 of their size. With LIMIT the keys of
the order decide, and which of the rows with equal keys stand at the end of it is free, as it is in DuckDB: every row
must be one of the answer without LIMIT. An overflow or cast that fails in a row which DuckDB happens not to reach, or in
a column that nobody asks for, may fail here; such statements are counted, and have to be few.
"""

import math
from collections import Counter
from typing import Any

import duckdb
from tests.unit.sql.partitioned_tables import PartitionedTables, Rows
from tests.unit.sql.random_queries import Query

CLOSE = 1e-9


class Comparison:
    """Counts what it has compared: a test over statements that all fail or find nothing proves nothing."""

    def __init__(self) -> None:
        self.statements = self.refused = self.failed = self.answered = self.looked_up = self.narrowed = self.merged = 0
        self.kinds: Counter[str] = Counter()

    def compare(self, tables: PartitionedTables, query: Query) -> None:
        self.statements += 1
        try:
            types, rows = tables.expected(query.whole)
        except duckdb.Error:
            self.refused += 1
            return
        try:
            plan, found_types, found = tables.planned(query.whole)
        except (duckdb.OutOfRangeException, duckdb.ConversionException):
            self.failed += 1
            return
        self.kinds.update(fragment.kind for fragment in plan.fragments)
        self.answered += bool(rows)
        self.narrowed += bool(tables.narrowed)
        tables.narrowed = 0
        self.looked_up += bool(rows) and any(fragment.keys for fragment in plan.fragments)
        assert found_types == types
        self._same_rows(tables, query, found, rows)
        if tables.merged is not None:
            self.merged += 1
            self._same_rows(tables, query, tables.merged, rows)

    @staticmethod
    def _same_rows(tables: PartitionedTables, query: Query, found: Rows, rows: Rows) -> None:
        assert len(found) == len(rows), (found, rows)
        if query.limit:
            rest = _without_limit(tables, query, found)
            for row in found:
                place = next((place for place, other in enumerate(rest) if same(row, other)), None)
                assert place is not None, (row, "is no row of the answer")
                del rest[place]
        else:
            for one, other in zip(_sorted(found), _sorted(rows), strict=True):
                assert same(one, other), (one, other)
        for one, other in zip(found, rows, strict=True):
            keys = [tuple(row[place] for place in query.ordered_by) for row in (one, other)]
            assert same(*keys), (keys, "is the order")


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(map(_same, one, other))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        both = math.isnan(one) and math.isnan(other)
        return both or one == other or math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    return bool(one == other)


def _sorted(rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: [_place(value) for value in row])


def _place(value: Any) -> tuple[int, Any]:
    if value is None:
        return (2, 0)
    if isinstance(value, float):
        return (1, 0) if math.isnan(value) else (0, round(value, 6) + 0.0)
    return (0, value)


def _without_limit(tables: PartitionedTables, query: Query, found: Rows) -> Rows:
    try:
        return tables.expected(query.text)[1]
    except duckdb.Error:  # in a row that LIMIT leaves out
        return list(found)
