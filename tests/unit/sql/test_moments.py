"""A statement is of one moment."""

from datetime import UTC, datetime, timedelta, timezone

import duckdb
from tests.unit.sql.shop import CATALOG, PARTITIONS

from kubegrid.sql import plans
from kubegrid.sql.moments import at_moment
from kubegrid.sql.planner import plan
from kubegrid.sql.statements import parse

NOON = datetime(2013, 1, 31, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=-11)))


def test_every_word_for_now_keeps_its_type_and_name() -> None:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    words = (
        "now()",
        "current_date",
        "today()",
        "current_timestamp",
        "localtimestamp",
        "current_time",
        "localtime",
        "get_current_timestamp()",
        "transaction_timestamp()",
    )
    for word in words:
        tree = parse(f"SELECT typeof({word})")
        made = at_moment(tree.expression, NOON)
        assert made is not tree.expression
        before = connection.execute(f"SELECT typeof({word})").fetchone()
        after = connection.execute(made.sql("duckdb")).fetchone()
        assert before is not None and after is not None
        assert before[0] == after[0], word


def test_it_is_the_moment_in_utc() -> None:
    made = at_moment(parse("SELECT current_date AS d, localtimestamp AS t").expression, NOON)
    assert duckdb.connect().execute(made.sql("duckdb")).fetchone() == (
        NOON.astimezone(UTC).date(),
        NOON.astimezone(UTC).replace(tzinfo=None),
    )


def test_a_statement_without_it_is_left_alone() -> None:
    tree = parse("SELECT 1 AS now").expression
    assert at_moment(tree, NOON) is tree


def test_with_it_a_condition_is_pushed() -> None:
    tree = at_moment(parse("SELECT count(*) FROM flights WHERE day < current_date - 3").expression, NOON)
    (part,) = plan(tree, CATALOG, PARTITIONS).fragments
    assert part.kind == plans.AGGREGATE
    assert "CAST('2013-01-31' AS DATE) - 3" in part.sql
