"""Arguments are looked at before anything is sent: what is none is named, and what is one travels as what it is."""

import enum
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import hiredis
import numpy as np
import pytest

from kubegrid.base.errors import UsageError
from kubegrid.client import arguments, commands
from kubegrid.client.arguments import INT64_MAX
from kubegrid.client.transactions import retry_on_conflict


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (np.float64(1.5), b"1.5"),
        (np.int64(7), b"7"),
        (np.str_("x"), b"x"),
        (Level.HIGH, b"3"),
        (bytearray(b"\x00a"), b"\x00a"),
        (memoryview(b"ab"), b"ab"),
        ("é", "é".encode()),
        (-1, b"-1"),
        (math.inf, b"inf"),
    ],
)
def test_a_word_is_sent_as_what_it_is_and_not_as_python_shows_it(given: Any, sent: bytes) -> None:
    assert hiredis.pack_command((arguments.word(given),)) == b"*1\r\n$%d\r\n%b\r\n" % (len(sent), sent)
    assert commands.key_bytes(given) == sent


@pytest.mark.parametrize("given", [None, True, [], {}, Decimal(1), object(), np.float32(1), np.array([1, 2])])
def test_what_is_no_word_is_a_type_error_that_names_it(given: Any) -> None:
    with pytest.raises(TypeError, match=r"^a field is str, bytes, int or float, not "):
        arguments.word(given, "a field")


def test_a_number_that_python_cannot_spell_is_refused_before_hiredis_sees_it() -> None:
    with pytest.raises(ValueError, match="a value is a number of 16610 bits"):
        arguments.word(10**5000)


def test_text_that_is_no_text_is_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"a value cannot be sent as UTF-8: .*surrogates"):
        arguments.word("\udc80")
    with pytest.raises(UsageError, match="condition cannot be sent as UTF-8"):
        arguments.text("\udc80", "condition")


def test_whole_numbers_are_what_operator_index_takes() -> None:
    assert arguments.whole(np.int64(3), "by") == 3
    assert arguments.count(10**400, "limit") == INT64_MAX
    for given in (True, 1.0, "1", None, np.float64(1), np.array([1])):
        with pytest.raises(UsageError, match=r"^by is a whole number, not "):
            arguments.whole(given, "by")
    with pytest.raises(UsageError, match="by is a whole number from -9223372036854775808 to"):
        arguments.whole(2**63, "by")
    with pytest.raises(UsageError, match="limit is a whole number, at least 0, not -1"):
        arguments.count(-1, "limit")


def test_times_are_numbers_of_seconds_within_their_limits() -> None:
    assert arguments.seconds(np.int64(3), "timeout") == 3
    assert arguments.seconds(math.inf, "timeout", least=0) == math.inf
    for given in (0, -1, math.nan, True, "1", None, Decimal(1)):
        with pytest.raises(UsageError, match=r"^timeout is a number of seconds above 0, not "):
            arguments.seconds(given, "timeout")
    with pytest.raises(UsageError, match=r"ex is a number of seconds at least 0.001, at most 100, not 1000"):
        arguments.seconds(1000, "ex", 100, least=0.001)


@pytest.mark.parametrize("given", [math.nan, math.inf, 10**4001, True, "1", None])
def test_a_number_is_one_and_finite(given: Any) -> None:
    assert arguments.number(np.float64(0.5), "by") == 0.5
    with pytest.raises(UsageError, match="by is a finite number, not "):
        arguments.number(given, "by")


@pytest.mark.parametrize(
    "check",
    [
        lambda given: arguments.mapping(given, "it", "key → value"),
        lambda given: arguments.several(given, "it", "keys"),
        lambda given: arguments.text(given, "it"),
        lambda given: arguments.truth(given, "it"),
    ],
)
def test_what_is_of_another_kind_is_named(check: Callable[[Any], Any]) -> None:
    for given in (5, None, b"ab"):
        with pytest.raises(UsageError, match=r"^it is "):
            check(given)


def test_a_text_is_not_taken_for_a_list_of_its_letters() -> None:
    with pytest.raises(UsageError, match="keys is a list of keys, or gives them one by one; not 'abc'"):
        arguments.several("abc", "keys", "keys")


def test_there_may_be_any_number_of_attempts_but_none() -> None:
    assert retry_on_conflict(lambda: 1, attempts=10**30) == 1
    with pytest.raises(UsageError, match="attempts is a whole number, at least 1, not 0"):
        retry_on_conflict(lambda: 1, attempts=0)
