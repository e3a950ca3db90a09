"""Numbers as Redis reads and prints them; what real Redis answered, so that it holds where none is installed."""

import pytest

from kubegrid.store import long_double
from kubegrid.store.numbers import parse_int64


@pytest.mark.parametrize("text", [b"0", b"-1", b"9223372036854775807", b"-9223372036854775808"])
def test_canonical_integers_are_read(text: bytes) -> None:
    assert parse_int64(text) == int(text)


@pytest.mark.parametrize(
    "text",
    [b"", b"+1", b"01", b"-0", b" 1", b"1 ", b"1_0", b"9223372036854775808", b"1.0", b"\xd9\xa1", b"1\n", b"9" * 5000],
)
def test_other_spellings_are_no_integers(text: bytes) -> None:
    assert parse_int64(text) is None


@pytest.mark.parametrize(
    ("a", "b", "total"),
    [
        (b"10.50", b"0.1", b"10.6"),
        (b"3.0e3", b"0", b"3000"),
        (b"5.0e3", b"2.0e2", b"5200"),
        (b"0", b"-0.0", b"0"),
        (b"1", b"-1.1", b"-0.1"),
        (b"0x1p3", b"1", b"9"),
        (b"17179869184", b"0", b"17179869184"),
        (b"1e-18", b"0", b"0"),
        (b"3", b"1.000000000000000005", b"4.00000000000000001"),
    ],
)
def test_sums_are_rounded_and_printed_as_redis_does(a: bytes, b: bytes, total: bytes) -> None:
    one, other = long_double.parse(a), long_double.parse(b)
    assert one is not None and other is not None
    result = long_double.add(one, other)
    assert result is not None and long_double.text_of(result) == total


@pytest.mark.parametrize(
    "text", [b"", b" 1", b"1 ", b"nan", b"1e", b".", b"0x", b"1e5000", b"1e-5000", b"1\x00", b"--1"]
)
def test_what_is_no_float(text: bytes) -> None:
    assert long_double.parse(text) is None


def test_infinities_are_read_and_never_added() -> None:
    assert long_double.parse(b"-INFINITY") == float("-inf")
    assert long_double.add(float("inf"), (1, 1)) is None
    largest = long_double.parse(b"1.18e4932")
    assert largest is not None and long_double.add(largest, largest) is None
