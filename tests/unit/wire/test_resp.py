"""Replies as hiredis reads them back."""

import math
from typing import Any

import hiredis
import pytest

from kubegrid.wire import resp


def decode(raw: bytes) -> Any:
    reader = hiredis.Reader()
    reader.feed(raw)
    value = reader.gets()
    assert not reader.has_data()
    return value


@pytest.mark.parametrize("size", [0, 1, 9, 10, 1023, 1024, 1025, 100_000])
def test_strings_of_every_size(size: int) -> None:
    assert decode(resp.bulk(b"\r" * size)) == b"\r" * size
    assert decode(resp.array_of_bulks([b"x" * size, b""])) == [b"x" * size, b""]


@pytest.mark.parametrize("number", [0, 1, -1, 1023, 1024, 1 << 62, -(1 << 63), (1 << 63) - 1])
def test_integers(number: int) -> None:
    assert decode(resp.integer(number)) == number


def test_containers_flatten_in_the_second_protocol() -> None:
    parts = [resp.bulk(b"a"), resp.integer(1), resp.bulk(b"b"), resp.integer(2)]
    assert decode(resp.map_of(parts, True)) == {b"a": 1, b"b": 2}
    assert decode(resp.map_of(parts, False)) == [b"a", 1, b"b", 2]
    assert resp.set_of([resp.ONE], True) == b"~1\r\n:1\r\n"
    assert decode(resp.set_of([resp.ONE], False)) == [1]
    assert decode(resp.array([resp.ONE] * 2000)) == [1] * 2000
    assert resp.push([resp.bulk(b"x")]) == b">1\r\n$1\r\nx\r\n"


def test_nulls() -> None:
    assert resp.null(False) == b"$-1\r\n" and resp.null(True) == b"_\r\n"
    assert resp.null_array(False) == b"*-1\r\n" and resp.null_array(True) == b"_\r\n"
    assert resp.bulk_or_null(None, False) == b"$-1\r\n" and resp.bulk_or_null(b"", True) == b"$0\r\n\r\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, b"1"),
        (0.1, b"0.1"),
        (-2.5, b"-2.5"),
        (3e300, b"3e+300"),
        (math.inf, b"inf"),
        (-math.inf, b"-inf"),
        (math.nan, b"nan"),
    ],
)
def test_doubles(value: float, text: bytes) -> None:
    assert resp.double(value, True) == b"," + text + b"\r\n"
    assert decode(resp.double(value, False)) == text


def test_booleans_and_verbatim_text() -> None:
    assert resp.boolean(True, True) == b"#t\r\n" and resp.boolean(False, False) == b":0\r\n"
    assert resp.verbatim(b"hi", True) == b"=6\r\ntxt:hi\r\n"
    assert decode(resp.verbatim(b"hi", False)) == b"hi"


def test_a_line_break_cannot_smuggle_a_second_reply_into_an_error() -> None:
    assert resp.error("ERR a\r\n+OK") == b"-ERR a  +OK\r\n"
    assert resp.simple(b"a\nb") == b"+a b\r\n"
