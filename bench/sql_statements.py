"""The table of trades that `bench.sql` measures on, and its statements, as each system spells them.

One fact table with a primary key of its own, and two small tables that are joined to it. Every column of a trade follows
from its number, so each system holds the same rows and must give the same answers.
"""

from dataclasses import dataclass

INSTRUMENTS = 1000
BOOKS = 50
ACCOUNTS = 100_000

GENERATE = {
    "trades": f"""
        SELECT i AS trade, 'B' || (hash(i) % {BOOKS}) AS book, (hash(i + 1) % {INSTRUMENTS})::INTEGER AS instrument,
            (hash(i + 2) % {ACCOUNTS})::INTEGER AS account, (hash(i + 3) % 100000000) / 1000.0 AS price,
            (hash(i + 4) % 10000)::INTEGER AS volume, TIMESTAMP '2024-01-01' + to_seconds((i % 30000000)::BIGINT) AS traded
        FROM range({{rows}}) r(i)""",
    "instruments": f"""
        SELECT i::INTEGER AS instrument, 'sector ' || (i % 12) AS sector, 'C' || (i % 7) AS currency
        FROM range({INSTRUMENTS}) r(i)""",
    "books": f"SELECT 'B' || i AS book, 'region ' || (i % 5) AS region FROM range({BOOKS}) r(i)",
}
"""For DuckDB, which makes the files that every system loads."""

COLUMNS = {
    "trades": [
        ("trade", "BIGINT"),
        ("book", "VARCHAR"),
        ("instrument", "INTEGER"),
        ("account", "INTEGER"),
        ("price", "DOUBLE"),
        ("volume", "INTEGER"),
        ("traded", "TIMESTAMP"),
    ],
    "instruments": [("instrument", "INTEGER"), ("sector", "VARCHAR"), ("currency", "VARCHAR")],
    "books": [("book", "VARCHAR"), ("region", "VARCHAR")],
}
"""The first column is the primary key."""
BROADCAST = ("instruments", "books")
CLICKHOUSE_TYPES = {
    "BIGINT": "Int64",
    "INTEGER": "Int32",
    "VARCHAR": "String",
    "DOUBLE": "Float64",
    "TIMESTAMP": "DateTime64(6)",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """`at_most`: our time as a multiple of DuckDB's; `over_postgres`: PostgreSQL's as a multiple of ours, at least."""

    name: str
    sql: str
    at_most: float | None = None
    over_postgres: float | None = None


STATEMENTS = (
    Statement(
        "filter, aggregate",
        "SELECT count(*) AS n, sum(volume) AS total, avg(price) AS mean FROM trades WHERE volume > 5000 AND book <> 'B7'",
        at_most=1.5,
        over_postgres=10,
    ),
    Statement(
        "top-k",
        "SELECT trade, price, volume FROM trades WHERE volume > 100 ORDER BY price DESC, trade LIMIT 10",
        at_most=1.5,
        over_postgres=10,
    ),
    Statement(
        "group by book",
        "SELECT book, count(*) AS n, sum(volume) AS total, max(price) AS highest FROM trades GROUP BY book ORDER BY book",
        at_most=1.5,
        over_postgres=10,
    ),
    Statement(
        f"group by account ({ACCOUNTS:,} groups)",
        "SELECT account, count(*) AS n, sum(volume) AS total FROM trades GROUP BY account ORDER BY total DESC, account "
        "LIMIT 20",
        at_most=1.5,
        over_postgres=10,
    ),
    Statement(
        "star join",
        "SELECT i.sector, b.region, count(*) AS n, sum(t.price * t.volume) AS notional FROM trades t "
        "JOIN instruments i ON t.instrument = i.instrument JOIN books b ON t.book = b.book "
        "WHERE i.currency = 'C3' GROUP BY i.sector, b.region ORDER BY i.sector, b.region",
    ),
    Statement("point lookup by key", "SELECT * FROM trades WHERE trade = {key}"),
)


def same(ours: list[tuple[object, ...]], theirs: list[tuple[object, ...]]) -> bool:
    """Whether two answers are equal, floating point numbers to a relative 1e-9."""

    def close(one: object, other: object) -> bool:
        if isinstance(one, float) or isinstance(other, float):
            a, b = float(one), float(other)  # type: ignore[arg-type]
            return abs(a - b) <= 1e-9 * max(abs(a), abs(b))
        return one == other or str(one) == str(other)

    return len(ours) == len(theirs) and all(
        len(one) == len(other) and all(map(close, one, other)) for one, other in zip(ours, theirs, strict=True)
    )
