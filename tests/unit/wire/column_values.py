"""Strategies for the values that columns hold, by type."""

from datetime import UTC
from decimal import Decimal
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from kubegrid.base.column_numbers import IntegerType
from kubegrid.base.columns import TYPES, parse_type

STEADY = settings(deadline=None, derandomize=True, max_examples=50)
"""The same values on every run, and no time limit, which a busy machine would break."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(st.none() | inner, max_size=3) | st.dictionaries(TEXT, st.none() | inner, max_size=3),
    max_leaves=5,
)
DECIMALS = ("DECIMAL(1,0)", "DECIMAL(18,3)", "DECIMAL(38,38)", "DECIMAL(38,0)", "DECIMAL(10,2)")


def _decimals(name: str) -> st.SearchStrategy[Decimal]:
    kind = parse_type(name)
    highest = 10**kind.precision - 1  # type: ignore[attr-defined]
    digits = st.integers(-highest, highest).map(str)
    return digits.map(lambda text: Decimal(f"{text}e-{kind.scale}"))  # type: ignore[attr-defined]


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "BOOLEAN": st.booleans(),
    "REAL": st.floats(width=32, allow_nan=False),
    "DOUBLE": st.floats(allow_nan=False),
    "VARCHAR": TEXT,
    "BLOB": st.binary(max_size=20),
    "DATE": st.dates(),
    "TIME": st.times(),
    "TIMESTAMP": st.datetimes(),
    "TIMESTAMP WITH TIME ZONE": st.datetimes(timezones=st.just(UTC)),
    "UUID": st.uuids(),
    "JSON": JSON,
}
VALUES |= {name: st.integers(kind.low, kind.high) for name, kind in TYPES.items() if isinstance(kind, IntegerType)}
VALUES |= {name: _decimals(name) for name in DECIMALS}
