"""What is no predicate, and that the message says so at the right place."""

from random import Random

import pytest

from kubegrid.base.table_definitions import parse_definition
from kubegrid.sql.errors import PredicateError
from kubegrid.sql.parsing import DEPTH_MAX, PREDICATE_CHARS_MAX, TOKENS_MAX
from kubegrid.sql.predicate import CACHED_MAX, Predicates, parse

TABLE = parse_definition(
    "flights",
    {
        "columns": [
            {"name": "carrier", "type": "VARCHAR"},
            {"name": "dep_time", "type": "INTEGER"},
            {"name": "cost", "type": "DECIMAL(10,2)"},
            {"name": "day", "type": "DATE"},
            {"name": "extra", "type": "JSON"},
        ],
        "key": ["carrier"],
    },
)


def refusal(text: str) -> PredicateError:
    with pytest.raises(PredicateError) as raised:
        parse(TABLE, text)
    return raised.value


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("", "", "empty"),
        ("  -- nothing", "  -- nothing", "empty"),
        ("carier = 'UA'", "carier", "did you mean 'carrier'?"),
        ("lower(carrier) = 'ua'", "lower", "lower() is a function"),
        ("dep_time > 5 AND coalesce (dep_time, 1) = 1", "coalesce", "is a function"),
        ("dep_time IN (SELECT 1)", "SELECT", "a subquery"),
        ("dep_time = (SELECT 1)", "SELECT", "a subquery"),
        ("EXISTS (SELECT 1)", "EXISTS", "cannot stand in a predicate"),
        ("dep_time = CASE WHEN TRUE THEN 1 END", "CASE", "CASE"),
        ("dep_time = ?", "?", "a parameter"),
        ("dep_time = $1", "$", "a parameter"),
        ("dep_time = 1; DROP TABLE flights", ";", "a second statement"),
        ("dep_time[1] = 2", "[1]", "a list"),
        ("extra -> 'a' = 1", "->", "->"),
        ("dep_time = 'abc'", "'abc'", "column dep_time INTEGER: 'abc' is not an INTEGER"),
        ("dep_time = '1.5'", "'1.5'", "it has a fraction"),
        ("day = '2013-02-30'", "'2013-02-30'", "is not a DATE"),
        ("day = DATE 'tomorrow'", "'tomorrow'", "is not a DATE"),
        ("carrier = 5", "5", "column carrier VARCHAR does not compare with the integer 5"),
        ("dep_time = TRUE", "", "does not compare with the boolean True"),
        ("dep_time", "dep_time", "is not a condition"),
        ("'UA'", "'UA'", "is not a condition"),
        ("extra = '{}'", "'{}'", "only IS NULL can be asked"),
        ("dep_time / 2 > 1", "dep_time", "+, - and *"),
        ("carrier + 1 = 2", "carrier", "calculates with numbers"),
        ("carrier || 'x' = 'y'", "carrier", "|| cannot stand"),
        ("carrier ~ 'x'", "carrier", "~ cannot stand"),
        ("dep_time LIKE '5%'", "dep_time", "LIKE asks of a VARCHAR"),
        ("carrier LIKE carrier", "carrier", "the pattern of LIKE is a text"),
        ("carrier LIKE 'a!' ESCAPE '!'", "'a!'", "ends with its escape character"),
        ("carrier LIKE 'a' ESCAPE '!!'", "'!!'", "ESCAPE takes one character"),
        ("carrier LIKE ANY ('x')", "ANY", "is a function"),
        ("carrier = 'UA' b", "b", "does not belong here"),
        ("(carrier = 'UA'", "'UA'", "expecting )"),
        ("carrier = 'UA')", ")", "does not belong here"),
        ("carrier = ", "=", "something is missing here"),
        ("carrier = 'UA", "'UA", "does not end"),
        ("dep_time BETWEEN SYMMETRIC 1 AND 2", "dep_time", "SYMMETRIC"),
        ("dep_time IS DISTINCT FROM 5", "dep_time", "IS DISTINCT FROM"),
        ("dep_time IS 5", "dep_time", "IS asks for NULL, TRUE or FALSE"),
        ("dep_time = 1 = TRUE", "dep_time", "a condition stands where a value is expected"),
        ("dep_time::VARCHAR = '5'", "dep_time", "only a text in quotes can be given a type"),
        ("other.carrier = 'UA'", "other", "about table flights only"),
        ("dep_time IN ()", "dep_time", "at least one value"),
        ("dep_time < current_date", "dep_time", "CurrentDate"),
        ("cost + 1 = '2'", "'2'", "write it as a number"),
        ("carrier = '\ud800'", "\ud800", "not valid UTF-8"),
        ("+".join(["dep_time"] * 11) + " = 1", "", "more than 8 operations"),
    ],
)
def test_what_is_no_predicate_is_refused_with_its_place(text: str, place: str, reason: str) -> None:
    error = refusal(text)
    assert reason in str(error)
    assert error.code == "PREDICATE"
    if place:
        assert text[error.offset :].startswith(place)
    assert "\n" not in error.message


def test_the_caret_stands_below_the_place() -> None:
    text = "dep_time > 5 AND\ncarier = 'UA'"
    line, caret = refusal(text).remedy.split("\n")
    assert line[caret.index("^") :].startswith("carier")


def test_the_caret_finds_its_place_in_a_long_text_too() -> None:
    line, caret = refusal("carrier = 'x' AND " * 30 + "carier = 'x'" + " AND carrier = 'x'" * 30).remedy.split("\n")
    assert line[caret.index("^") :].startswith("carier")
    assert len(line) < 80


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "dep_time = 1" + ")" * 5000,
        "(" * 100 + "dep_time = 1" + ")" * 100,
        "(" * 400,
        "NOT " * 400 + "dep_time = 1",
        "dep_time = " + "- " * 400 + "1",
        "dep_time = " + "(1 + " * 100 + "1" + ")" * 100,
        "dep_time = " + "1 = " * 400 + "1",
        "dep_time " + "IS NULL " * 400,
        "dep_time = " + "CAST(" * 100 + "1",
        "dep_time" + " BETWEEN 1 AND dep_time" * 200,
        "INTERVAL " * 400,
        "DATE " * 400,
        "dep_time = 1" + " OR dep_time = 1" * TOKENS_MAX,
        "carrier = '" + "x" * PREDICATE_CHARS_MAX + "'",
    ],
)
def test_what_is_too_long_or_too_deep_is_refused_before_it_can_hurt(text: str) -> None:
    refusal(text)


def test_the_depth_that_is_allowed_can_be_parsed() -> None:
    for opened, closed in (("(", ")"), ("NOT ", ""), ("NOT (", ")")):
        depth = DEPTH_MAX // (2 if len(opened) == 5 else 1)
        assert parse(TABLE, opened * depth + "dep_time = 1" + closed * depth).columns == ("dep_time",)


PIECES = (
    *(
        "carrier",
        "dep_time",
        "=",
        "'a'",
        "5",
        "AND",
        "NOT",
        "(",
        ")",
        "\n",
        "\r",
        "\0",
        "--",
        "/*",
        "*/",
        "'",
        '"',
        "::",
    ),
    *(
        "$",
        "{",
        "[",
        ";",
        "LIKE",
        "%",
        "IN",
        ",",
        "IS",
        "NULL",
        "BETWEEN",
        "é",
        "\u2028",
        "CAST",
        "AS",
        "INT",
        "1e5",
        "-",
    ),
    *(".", "@", "\\", "`", "DATE", "OR", "||", "x'", "ESCAPE", "a.b", "*", "INTERVAL", "ARRAY", "->", "FILTER", "OVER"),
    *("COLLATE", "AT TIME ZONE", "#", "TRUE", "day", "extra", "cost", "+", "<", "<>"),
)


def test_any_text_is_a_predicate_or_refused_in_one_line() -> None:
    random = Random(3)
    for _ in range(1500):
        text = random.choice((" ", "")).join(random.choice(PIECES) for _ in range(random.randint(1, 12)))
        try:
            parse(TABLE, text).matches(("a", 5, None, None, None))
        except PredicateError as error:
            assert error.message.isprintable(), text


def test_parsed_predicates_are_remembered_but_not_without_end() -> None:
    predicates = Predicates(TABLE)
    first = predicates.parse("dep_time = 0")
    assert predicates.parse("dep_time = 0") is first
    for number in range(CACHED_MAX):
        predicates.parse(f"dep_time = {number}")
    predicates.parse(f"dep_time = {CACHED_MAX}")
    assert predicates.parse("dep_time = 0") is not first
