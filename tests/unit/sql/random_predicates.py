"""Random predicates over a table `t`, as text, for comparing with the answers of another database."""

from random import Random

from kubegrid.base.table_definitions import parse_definition

NUMBERS = ("i", "j", "k")
TEXTS = ("s", "u")
DEFINITION = parse_definition(
    "t",
    {
        "columns": [
            {"name": "id", "type": "INTEGER"},
            {"name": "i", "type": "INTEGER"},
            {"name": "j", "type": "BIGINT", "nullable": False},
            {"name": "k", "type": "SMALLINT"},
            {"name": "s", "type": "VARCHAR"},
            {"name": "u", "type": "VARCHAR", "nullable": False},
        ],
        "key": ["id"],
    },
)
TEXT_VALUES = ("", "a", "ab", "abc", "b", "B", "aXb", "%", "a%b", "ä")
PATTERNS = ("%", "a%", "%b", "a_b", "_", "%a%b%", "", "ab", "__%", "%_b", "a%%b", "%X_")


def values(random: Random) -> tuple[object, ...]:
    """A row but for its id."""

    def number() -> int:
        return random.randint(-3, 3)

    return (
        random.choice((None, number())),
        number(),
        random.choice((None, number())),
        random.choice((None, random.choice(TEXT_VALUES))),
        random.choice(TEXT_VALUES),
    )


def predicate(random: Random, depth: int = 3) -> str:
    choice = random.random()
    if depth and choice < 0.55:
        if choice < 0.15:
            return f"NOT ({predicate(random, depth - 1)})"
        word = "AND" if choice < 0.35 else "OR"
        return f"({predicate(random, depth - 1)}) {word} ({predicate(random, depth - 1)})"
    return random.choice((_number_question, _number_question, _text_question, _null_question))(random)


def _number(random: Random) -> str:
    plain = random.choice((*NUMBERS, str(random.randint(-3, 3)), "1.5", "-0.5"))
    if random.random() < 0.2:
        return f"{random.choice(NUMBERS)} {random.choice('+-*')} {random.choice((*NUMBERS, '2'))}"
    return plain


def _sign(random: Random) -> str:
    return random.choice(("=", "<>", "!=", "<", "<=", ">", ">="))


def _number_question(random: Random) -> str:
    kind = random.random()
    negated = random.choice(("", "NOT "))
    if kind < 0.2:
        items = ", ".join(random.choice(("1", "2", "-3", "NULL", "j")) for _ in range(random.randint(1, 3)))
        return f"{random.choice(NUMBERS)} {negated}IN ({items})"
    if kind < 0.4:
        return f"{_number(random)} {negated}BETWEEN {_number(random)} AND {_number(random)}"
    return f"{_number(random)} {_sign(random)} {_number(random)}"


def _text(random: Random) -> str:
    return random.choice((*TEXTS, "'" + random.choice(TEXT_VALUES) + "'"))


def _text_question(random: Random) -> str:
    negated = random.choice(("", "NOT "))
    if random.random() < 0.5:
        return f"{random.choice(TEXTS)} {negated}LIKE '{random.choice(PATTERNS)}'"
    return f"{_text(random)} {_sign(random)} {_text(random)}"


def _null_question(random: Random) -> str:
    return f"{random.choice(NUMBERS + TEXTS)} IS {random.choice(('', 'NOT '))}NULL"
