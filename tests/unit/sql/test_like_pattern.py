"""LIKE, compared with the regular expression that means the same."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from kubegrid.sql.like_pattern import LikePattern

STEADY = settings(deadline=None, derandomize=True)


@STEADY
@given(st.text("ab%_", max_size=8), st.text("ab\n", max_size=8))
def test_a_pattern_matches_what_its_regular_expression_matches(pattern: str, text: str) -> None:
    expression = "".join({"%": ".*", "_": "."}.get(character, character) for character in pattern)
    assert LikePattern(pattern).matcher()(text) == (re.fullmatch(expression, text, re.DOTALL) is not None)


@STEADY
@given(st.text("ab%_", max_size=8), st.text("abAB", max_size=8))
def test_what_matches_begins_with_the_prefix(pattern: str, text: str) -> None:
    like = LikePattern(pattern)
    if like.matcher()(text):
        assert text.startswith(like.prefix)
        assert like.literal is None or like.literal == text
    assert LikePattern(pattern, ignore_case=True).matcher()(text) == like.matcher()(text.lower())


def test_many_wildcards_are_matched_in_linear_time() -> None:
    assert not LikePattern("%a" * 200 + "%b").matcher()("a" * 100_000)
    assert not LikePattern("%_a" * 50 + "%b").matcher()("a" * 10_000)
