"""The short way of reading a predicate finds what the long way finds, or nothing."""

from random import Random

import pytest

from kubegrid.base.table_definitions import parse_definition
from kubegrid.sql import conditions as c
from kubegrid.sql.errors import PredicateError
from kubegrid.sql.plain import PLAIN_CHARS_MAX, read_plain
from kubegrid.sql.reading import read

TABLE = parse_definition(
    "t",
    {
        "columns": [
            {"name": name, "type": kind}
            for name, kind in (
                ("n", "INTEGER"),
                ("d", "DECIMAL(10,2)"),
                ("f", "DOUBLE"),
                ("s", "VARCHAR"),
                ("b", "BOOLEAN"),
                ("day", "DATE"),
                ("Moment", "TIMESTAMPTZ"),
                ("j", "JSON"),
                ("not", "INTEGER"),
                ("key", "INTEGER"),
            )
        ],
        "key": ["n"],
    },
)
PIECES = (
    *("n", "d", "f", "s", "b", "day", "MOMENT", "j", "not", "key", "other", '"n"'),
    *("=", "=", "<>", "!=", "<", "<=", ">", ">=", "==", "IN", "LIKE"),
    *(
        "5",
        "-5",
        "1.5",
        "-0.5",
        ".5",
        "5.",
        "1e3",
        "1_0",
        "007",
        "'5'",
        "'a'",
        "''",
        "'it''s'",
        "'2013-01-31'",
        "'a\\'",
        "TRUE",
    ),
    *("AND", "and", "OR", "-- x", "(", ")", ";", "'", "9" * 38, "9" * 39, "- 5"),
)


@pytest.mark.parametrize(
    "text",
    [
        "n = 5",
        " n=-5 AND d>=1.50 ",
        "s = 'it''s' and\nday < '2013-01-31'",
        "moment >= '2013-01-31' AND f <> 'Infinity'",
        "key = 1 AND N != 007",
        "s = '' AND s = 'AND n = 5'",
        "b = 'true'",
    ],
)
def test_plain_predicates_are_read_as_the_parser_reads_them(text: str) -> None:
    assert read_plain(TABLE, text) == read(TABLE, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n",
        "n = ",
        "n = 5 AND",
        "n = 5 OR n = 6",
        "x = 5",
        "n = 'a'",
        "j = '{}'",
        "s = 5",
        "not = 5",
        "n = 5ANDd = 1",
        "n = 5 d = 1",
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(text: str) -> None:
    assert read_plain(TABLE, text) is None
    assert read_plain(TABLE, "n = 1 AND " * PLAIN_CHARS_MAX + "n = 1") is None


def test_random_texts_are_never_read_otherwise() -> None:
    random = Random(7)
    found = 0
    for _ in range(4000):
        words: list[str] = []
        for _ in range(random.choice((1, 1, 2))):
            words += ["AND"] if words else []
            words += [random.choice(PIECES[:12]), random.choice(PIECES[12:23]), random.choice(PIECES[23:39])]
        if random.random() < 0.2:
            words[random.randrange(len(words))] = random.choice(PIECES)
        text = random.choice((" ", " ", "")).join(words)
        plain = read_plain(TABLE, text)
        if plain is not None:
            found += 1
            assert plain == read(TABLE, text) or is_nan(plain), text
    assert found > 100


def is_nan(condition: c.Condition) -> bool:
    return "nan" in repr(condition)


def test_refusals_come_from_the_parser_with_their_place() -> None:
    with pytest.raises(PredicateError) as raised:
        read(TABLE, "n = 5 AND s = 5")
    assert raised.value.offset == 14
