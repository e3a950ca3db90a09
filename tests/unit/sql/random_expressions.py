"""Random SQL expressions of a kind, over the columns that can be seen."""

from decimal import Decimal
from random import Random

from tests.unit.sql.random_statements import BOOL, DATE, DECIMAL, DOUBLE, INT, KINDS, TEXT, TIMESTAMP, Column, value

Scope = list[tuple[str, Column]]
"""As they may be written, and what they are."""

_COMPARE = ("=", "<>", "<>", "<", "<=", ">", ">=")


def expression(random: Random, kind: str, scope: Scope, depth: int = 2) -> str:
    own = [name for name, column in scope if column.kind == kind]
    if own and (depth == 0 or random.random() < 0.6):
        return random.choice(own)
    if depth == 0 or random.random() < 0.2:
        return literal(random, kind)

    def inner(of: str) -> str:
        return expression(random, of, scope, depth - 1)

    if random.random() < 0.1:
        return f"CASE WHEN {condition(random, scope, depth - 1)} THEN {inner(kind)} ELSE {inner(kind)} END"
    if random.random() < 0.1:
        return f"coalesce({inner(kind)}, {literal(random, kind)})"
    if kind == INT:
        choices = (
            f"({inner(INT)} {random.choice('+-')} {inner(INT)})",
            f"{inner(INT)} * {random.randint(-2, 3)}",
            f"-({inner(INT)})",
            f"length({inner(TEXT)})",
            f"extract(year FROM {inner(DATE)})",
            f"{inner(INT)} % 5",
            f"{inner(INT)} // 2",
        )
    elif kind == DOUBLE:
        choices = (f"{inner(DOUBLE)} * 0.5", f"{inner(INT)} / 4", f"round({inner(DOUBLE)}, 1)", f"abs({inner(DOUBLE)})")
    elif kind == DECIMAL:
        choices = (f"{inner(DECIMAL)} * 2", f"{inner(DECIMAL)} + 0.5", f"-({inner(DECIMAL)})")
    elif kind == TEXT:
        choices = (
            f"upper({inner(TEXT)})",
            f"{inner(TEXT)} || {inner(TEXT)}",
            f"substr({inner(TEXT)}, 1, 1)",
            f"CAST({inner(INT)} AS VARCHAR)",
        )
    elif kind == DATE:
        choices = (f"{inner(DATE)} + {random.randint(0, 3)}", f"CAST({inner(TIMESTAMP)} AS DATE)")
    elif kind == TIMESTAMP:
        choices = (f"date_trunc('hour', {inner(TIMESTAMP)})", f"{inner(TIMESTAMP)} + INTERVAL 1 DAY")
    else:
        return f"({condition(random, scope, depth - 1)})"
    return random.choice(choices)


def condition(random: Random, scope: Scope, depth: int = 2) -> str:
    if depth > 0 and random.random() < 0.35:
        word = random.choice(("AND", "AND", "OR"))
        text = f"{condition(random, scope, depth - 1)} {word} {condition(random, scope, depth - 1)}"
        return f"NOT ({text})" if random.random() < 0.15 else f"({text})"
    kind = random.choice([column.kind for _, column in scope])
    left = expression(random, kind, scope, max(0, depth - 1))
    if kind == BOOL and random.random() < 0.5:
        return left
    shape = random.random()
    if shape < 0.15:
        return f"{left} IS {random.choice(('', 'NOT '))}NULL"
    if shape < 0.3:
        return f"{left} {random.choice(('', 'NOT '))}IN ({', '.join(literal(random, kind) for _ in range(random.randint(1, 4)))})"
    if shape < 0.4 and kind != BOOL:
        word = random.choice(("BETWEEN", "BETWEEN", "NOT BETWEEN"))
        return f"{left} {word} {literal(random, kind)} AND {literal(random, kind)}"
    if shape < 0.5 and kind == TEXT:
        return f"{left} LIKE {random.choice(('a%', '%b', '_', '%', '%'))!r}"
    if shape < 0.6:
        word = random.choice(("IS DISTINCT FROM", "IS NOT DISTINCT FROM"))
        return f"{left} {word} {expression(random, kind, scope, 0)}"
    right = literal(random, kind) if random.random() < 0.7 else expression(random, kind, scope, 0)
    return f"{left} {random.choice(_COMPARE)} {right}"


def literal(random: Random, kind: str) -> str:
    drawn = value(random, kind, plain=True)
    if kind == TEXT:
        return "'" + drawn.replace("'", "''") + "'"
    if kind == DATE:
        return random.choice((f"DATE '{drawn}'", f"CAST('{drawn}' AS DATE)"))
    if kind == TIMESTAMP:
        return f"TIMESTAMP '{drawn}'"
    if kind == DOUBLE:
        return f"CAST({drawn} AS DOUBLE)"
    return str(Decimal(drawn) if kind == DECIMAL else drawn)


def aggregate(random: Random, scope: Scope) -> tuple[str, str]:
    """An aggregate and the kind of what it gives."""
    kinds = [kind for kind in KINDS if any(column.kind == kind for _, column in scope)]
    numbers = [kind for kind in kinds if kind in (INT, DOUBLE, DECIMAL)] or [INT]
    number = random.choice(numbers)
    kind = random.choice(kinds)

    def of(wanted: str) -> str:
        return expression(random, wanted, scope, random.choice((0, 0, 1, 2)))

    choices = [
        ("count(*)", INT),
        (f"count({of(kind)})", INT),
        (f"sum({of(number)})", number),
        (f"avg({of(number)})", DOUBLE),
        (f"avg({of(number)})", DOUBLE),
        (f"min({of(kind)})", kind),
        (f"max({of(kind)})", kind),
        (f"{random.choice(('stddev', 'stddev_samp', 'stddev_pop'))}({of(number)})", DOUBLE),
        (f"{random.choice(('variance', 'var_samp', 'var_pop'))}({of(number)})", DOUBLE),
        (f"{random.choice(('bool_and', 'bool_or'))}({condition(random, scope, 1)})", BOOL),
        (f"count_if({condition(random, scope, 1)})", INT),
        (f"count(DISTINCT {of(kind)})", INT),
        (f"count(DISTINCT {of(kind)})", INT),
        (f"sum(DISTINCT {of(INT)})", INT),
        (f"median({of(number)})", DOUBLE),
        (f"{random.choice(('bit_and', 'bit_or', 'bit_xor'))}(v)", INT),
    ]
    text, result = random.choice(choices)
    if text.endswith("(v)"):
        own = [name for name, column in scope if column.type == "INTEGER"]
        text = text.replace("(v)", f"({random.choice(own)})") if own else "count(*)"
    if random.random() < 0.25 and "median" not in text:
        text += f" FILTER (WHERE {condition(random, scope, 1)})"
    return text, result
