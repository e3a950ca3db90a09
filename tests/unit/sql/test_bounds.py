"""What an index can use of a predicate."""

from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from tests.unit.sql import random_predicates

from kubegrid.base.table_definitions import parse_definition
from kubegrid.sql.bounds import Bounds
from kubegrid.sql.predicate import parse

TYPES = {
    "n": "INTEGER",
    "d": "DECIMAL(10,2)",
    "f": "DOUBLE",
    "s": "VARCHAR",
    "b": "BOOLEAN",
    "day": "DATE",
    "moment": "TIMESTAMPTZ",
}
TABLE = parse_definition("t", {"columns": [{"name": name, "type": kind} for name, kind in TYPES.items()], "key": ["n"]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n = 5", {"n": Bounds(equal=(5,))}),
        ("5 = n", {"n": Bounds(equal=(5,))}),
        ("n IN (1, 2, 2, NULL)", {"n": Bounds(equal=(1, 2))}),
        ("n > 5", {"n": Bounds(low=5)}),
        ("5 <= n", {"n": Bounds(low=5, low_inclusive=True)}),
        ("n BETWEEN 1 AND 5 AND n < 3", {"n": Bounds(low=1, low_inclusive=True, high=3)}),
        ("n > 1 AND n >= 1", {"n": Bounds(low=1)}),
        ("n <= 3 AND n < 3", {"n": Bounds(high=3)}),
        ("n = 5 AND n > 7", {"n": Bounds(equal=())}),
        ("n IN (1, 2) AND n IN (2, 3)", {"n": Bounds(equal=(2,))}),
        ("n = 1.5", {"n": Bounds(equal=())}),
        ("n > 1.5", {"n": Bounds(low=2, low_inclusive=True)}),
        ("n < -1.5", {"n": Bounds(high=-2, high_inclusive=True)}),
        ("d = 1", {"d": Bounds(equal=(Decimal(1),))}),
        ("f >= 1", {"f": Bounds(low=1.0, low_inclusive=True)}),
        ("s LIKE 'ab%c'", {"s": Bounds(low="ab", low_inclusive=True, high="ac")}),
        ("s LIKE 'ab'", {"s": Bounds(equal=("ab",))}),
        ("s LIKE '\U0010ffff%'", {"s": Bounds(low="\U0010ffff", low_inclusive=True)}),
        ("s LIKE '\ud7ff%'", {"s": Bounds(low="\ud7ff", low_inclusive=True, high="\ue000")}),
        ("b AND NOT b", {"b": Bounds(equal=())}),
        ("day >= '2013-01-31'", {"day": Bounds(low=date(2013, 1, 31), low_inclusive=True)}),
        ("moment < DATE '2013-01-31'", {"moment": Bounds(high=datetime(2013, 1, 31, tzinfo=UTC))}),
        ("n = 1 AND (s = 'a' OR s = 'b')", {"n": Bounds(equal=(1,))}),
        # What says nothing about one column alone:
        ("n = 1 OR s = 'a'", {}),
        ("NOT (n = 1)", {}),
        ("n <> 1", {}),
        ("n = d", {}),
        ("n + 1 = 2", {}),
        ("s LIKE '%a'", {}),
        ("s ILIKE 'a%'", {}),
        ("s NOT LIKE 'a%'", {}),
        ("f > 'NaN'", {}),
        ("day < TIMESTAMP '2013-01-31 05:00:00'", {}),  # an index of dates does not hold timestamps
        ("n IS NULL", {}),
    ],
)
def test_bounds_come_from_what_and_joins(text: str, expected: dict[str, Bounds]) -> None:
    found = parse(TABLE, text).bounds
    assert found == expected
    for name, bounds in found.items():
        python = TABLE.column(name).type.python
        for value in (*(bounds.equal or ()), bounds.low, bounds.high):
            assert value is None or type(value) is python


def test_whatever_a_predicate_is_true_of_lies_within_its_bounds() -> None:
    random = Random(5)
    rows = [(number, *random_predicates.values(random)) for number in range(40)]
    for _ in range(150):
        parts = [f"({random_predicates.predicate(random, 1)})" for _ in range(3)]
        predicate = parse(random_predicates.DEFINITION, " AND ".join(parts))
        for row in filter(predicate.matches, rows):
            for name, bounds in predicate.bounds.items():
                assert inside(row[random_predicates.DEFINITION.positions[name]], bounds), (predicate.text, row)


def inside(value: Any, bounds: Bounds) -> bool:
    if bounds.equal is not None:
        return value in bounds.equal
    above = bounds.low is None or value > bounds.low or (value == bounds.low and bounds.low_inclusive)
    return above and (bounds.high is None or value < bounds.high or (value == bounds.high and bounds.high_inclusive))
