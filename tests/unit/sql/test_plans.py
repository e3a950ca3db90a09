"""What runs in the partitions and what is left, statement by statement."""

import pytest
from tests.unit.sql.shop import CATALOG, PARTITIONS, only, planned

from kubegrid.sql import dml, plans
from kubegrid.sql.planner import plan
from kubegrid.sql.statements import parse


def test_plain_rows_come_straight_from_the_partitions() -> None:
    plan = planned("SELECT * FROM orders WHERE total > 5")
    assert plan.final is None
    assert plan.fragments[0].sql == ('SELECT "orders"."k", "orders"."total" FROM "orders" WHERE "orders"."total" > 5')
    assert plan.fragments[0].kind == plans.SCAN


def test_a_group_is_aggregated_in_parts_and_merged() -> None:
    plan = planned(
        "SELECT origin, count(*) AS n, avg(delay) FROM flights WHERE carrier = 'UA' GROUP BY origin HAVING n > 1"
    )
    (part,) = plan.fragments
    assert part.kind == plans.AGGREGATE
    assert part.sql == (
        'SELECT "flights"."origin" AS "__g0", COUNT(*) AS "__a0", SUM("flights"."delay") AS "__a1", '
        'COUNT("flights"."delay") AS "__a2" FROM "flights" WHERE "flights"."carrier" = \'UA\' GROUP BY 1'
    )
    assert plan.final == (
        'SELECT "__g0" AS "origin", CAST(COALESCE(SUM("__a0"), 0) AS BIGINT) AS "n", '
        '(CAST(SUM("__a1") AS DOUBLE) / SUM("__a2")) AS "__c2" FROM "__f0" GROUP BY "__g0" '
        'HAVING (CAST(COALESCE(SUM("__a0"), 0) AS BIGINT)) > 1'
    )


@pytest.mark.parametrize(
    "query",
    [
        "SELECT carrier FROM flights ORDER BY carrier COLLATE NOCASE",
        "SELECT count(*) FROM flights GROUP BY carrier COLLATE NOCASE",
        "SELECT DISTINCT x FROM (SELECT carrier COLLATE NOCASE AS x FROM flights)",
        "WITH c AS (SELECT lower(carrier COLLATE de) AS x FROM flights) SELECT x, count(*) FROM c GROUP BY x",
        "SELECT max(carrier COLLATE NOCASE) FROM flights",
    ],
)
def test_a_collation_is_left_to_the_final_statement_for_values_lose_it_on_their_way(query: str) -> None:
    plan = planned(query)
    assert [part.sql for part in plan.fragments] == ['SELECT "carrier" FROM "flights"']
    assert "COLLATE" in (plan.final or "")


def test_a_collation_that_only_chooses_rows_does_so_in_the_partitions() -> None:
    part = only("SELECT origin, count(*) FROM flights WHERE carrier COLLATE NOCASE = 'ua' GROUP BY origin")
    assert part.kind == plans.AGGREGATE
    assert "COLLATE NOCASE" in part.sql


def test_the_same_part_is_computed_once() -> None:
    part = only("SELECT count(*), count(*) + 1, avg(delay), sum(delay), stddev(delay), variance(delay) FROM flights")
    assert part.sql.count("COUNT(*)") == 1
    assert part.sql.count('COUNT("flights"."delay")') == 1
    assert part.sql.count("VAR_POP") == 1


def test_filters_of_aggregates_go_with_them() -> None:
    part = only("SELECT sum(delay) FILTER (WHERE origin = 'JFK') FROM flights")
    assert 'FILTER(WHERE "flights"."origin" = \'JFK\')' in part.sql


def test_distinct_values_are_counted_once_wherever_they_lie() -> None:
    plan = planned("SELECT origin, count(DISTINCT carrier), sum(delay) FROM flights GROUP BY 1")
    assert plan.fragments[0].sql.endswith("GROUP BY 1, 2")
    assert 'COUNT(DISTINCT "__d0")' in (plan.final or "")


def test_distinct_values_of_what_makes_the_slot_are_counted_where_they_lie() -> None:
    plan = planned("SELECT count(DISTINCT k) FROM items")
    assert 'COUNT(DISTINCT "items"."k")' in plan.fragments[0].sql
    assert "DISTINCT" not in (plan.final or "")
    plan = planned("SELECT count(DISTINCT k), count(DISTINCT Qty) FROM items")
    assert plan.fragments[0].kind == plans.SCAN, "a value of k comes once for every value of the other"


def test_groups_that_lie_in_one_partition_each_are_finished_there() -> None:
    plan = planned("SELECT k, median(Qty) AS m FROM items GROUP BY k HAVING count(*) > 2 ORDER BY m DESC LIMIT 3")
    (part,) = plan.fragments
    assert part.kind == plans.GROUPS
    assert part.sql.endswith('HAVING COUNT(*) > 2 ORDER BY "m" DESC LIMIT 3')
    assert plan.final == 'SELECT "k", "m" FROM "__f0" ORDER BY "m" DESC LIMIT 3'


def test_what_does_not_decompose_is_gathered_with_its_columns_only() -> None:
    plan = planned("SELECT origin, median(delay) FROM flights WHERE day > DATE '2013-01-01' GROUP BY origin")
    (part,) = plan.fragments
    assert part.kind == plans.SCAN
    assert part.sql == ('SELECT "origin", "delay" FROM "flights" WHERE "flights"."day" > CAST(\'2013-01-01\' AS DATE)')
    assert plan.final == 'SELECT origin, MEDIAN(delay) FROM "__f0" AS "flights" GROUP BY origin'


def test_top_k_takes_the_first_of_each_partition() -> None:
    plan = planned("SELECT carrier, flight FROM flights ORDER BY delay DESC LIMIT 10 OFFSET 5")
    (part,) = plan.fragments
    assert part.kind == plans.TOP_K
    assert part.sql.endswith('"flights"."delay" AS "__o0" FROM "flights" ORDER BY "__o0" DESC LIMIT 15')
    assert plan.final == 'SELECT "carrier", "flight" FROM "__f0" ORDER BY "__o0" DESC LIMIT 10 OFFSET 5'


def test_distinct_rows_are_made_distinct_on_both_sides() -> None:
    plan = planned("SELECT DISTINCT origin FROM flights")
    assert plan.fragments[0].kind == plans.DISTINCT
    assert plan.final == 'SELECT DISTINCT "origin" FROM "__f0"'


def test_tables_partitioned_alike_are_joined_where_they_lie() -> None:
    part = only("SELECT o.k, Qty FROM orders o JOIN items i USING (k)")
    assert part.kind == plans.JOIN
    assert part.tables == ("orders", "items")
    assert 'JOIN "items" AS "i" ON "o"."k" = "i"."k"' in part.sql


def test_a_broadcast_table_is_joined_whole() -> None:
    part = only("SELECT name, count(*) FROM flights LEFT JOIN airlines USING (carrier) GROUP BY name")
    assert (part.kind, part.tables, part.broadcast) == (plans.AGGREGATE, ("flights",), ("airlines",))
    assert 'LEFT JOIN "airlines__all" AS "airlines"' in part.sql


@pytest.mark.parametrize(
    "text",
    [
        "DELETE FROM airlines USING flights f WHERE f.carrier = airlines.carrier",
        "DELETE FROM airlines a USING orders WHERE orders.k = 7",
        "DELETE FROM airlines USING airlines b, flights f WHERE b.name = f.origin",
        "UPDATE airlines a SET name = f.origin FROM flights f WHERE f.carrier = a.carrier",
        "UPDATE airlines SET name = x.o FROM (SELECT carrier c, origin o FROM flights) x WHERE c = carrier",
        "UPDATE airlines SET name = (SELECT max(total)::VARCHAR FROM orders WHERE k = 7)",
    ],
)
def test_records_of_a_broadcast_table_are_written_as_the_partition_has_them_that_owns_them(text: str) -> None:
    change = dml.read(parse(text), CATALOG)
    fragments = plan(change.query, CATALOG, PARTITIONS).fragments
    writing = [part for part in fragments if "__version" in part.sql]
    assert [part.tables for part in writing] == [("airlines",)]
    assert not any("airlines__all" in part.sql for part in writing)


@pytest.mark.parametrize(
    "joined",
    [
        "airlines LEFT JOIN flights USING (carrier)",
        "flights FULL JOIN airlines ON flights.carrier = airlines.carrier",
        "flights RIGHT JOIN airlines ON flights.carrier = airlines.carrier",
        "orders LEFT JOIN items ON orders.total = items.Qty",
        "orders JOIN flights ON orders.k = flights.flight",
        "flights a JOIN flights b ON a.carrier = b.carrier",
    ],
)
def test_other_joins_are_gathered(joined: str) -> None:
    fragments = planned(f"SELECT count(*) FROM {joined}").fragments
    assert {fragment.kind for fragment in fragments} == {plans.SCAN}
    assert len(fragments) <= 2


def test_a_gathered_join_brings_only_rows_and_columns_that_it_needs() -> None:
    plan = planned(
        "SELECT f.day FROM flights f LEFT JOIN orders o ON o.k = f.flight AND o.total > 3 WHERE f.origin = 'JFK'"
    )
    flights, orders = plan.fragments
    assert flights.sql == 'SELECT "flight", "day" FROM "flights" AS "f" WHERE "f"."origin" = \'JFK\''
    assert orders.sql == 'SELECT "k" FROM "orders" AS "o" WHERE "o"."total" > 3'
    assert plan.final == 'SELECT f.day FROM "__f0" AS f LEFT JOIN "__f1" AS o ON o.k = f.flight'


def test_what_all_alternatives_ask_of_a_table_is_asked_there() -> None:
    plan = planned(
        "SELECT f.day FROM flights f, orders o WHERE o.k = f.flight "
        "AND ((f.origin = 'JFK' AND o.total > 1) OR (f.origin = 'LGA' AND o.total > 2 AND f.delay = o.total))"
    )
    flights, orders = plan.fragments
    assert flights.sql.endswith('WHERE ("f"."origin" = \'JFK\' OR "f"."origin" = \'LGA\')')
    assert orders.sql.endswith('WHERE ("o"."total" > 1 OR "o"."total" > 2)')
    assert "o.total > 2" in (plan.final or "")


def test_a_condition_on_rows_that_an_outer_join_may_lack_stays_behind_it() -> None:
    plan = planned("SELECT f.day FROM flights f LEFT JOIN orders o ON o.k = f.flight WHERE o.total IS NULL")
    assert plan.fragments[1].sql == 'SELECT "k", "total" FROM "orders" AS "o"'
    assert "WHERE o.total IS NULL" in (plan.final or "")


def test_parts_of_a_query_are_pushed_each_for_itself() -> None:
    plan = planned(
        "WITH late AS (SELECT origin, count(*) AS n FROM flights GROUP BY origin) "
        "SELECT * FROM late WHERE n > (SELECT avg(total) FROM orders) UNION ALL SELECT 'all', count(*) FROM items"
    )
    assert [part.kind for part in plan.fragments] == [plans.AGGREGATE] * 3
    assert {part.tables for part in plan.fragments} == {("flights",), ("orders",), ("items",)}


def test_windows_run_over_gathered_rows_and_over_merged_groups() -> None:
    plan = planned("SELECT origin, rank() OVER (ORDER BY delay) FROM flights WHERE carrier = 'UA'")
    assert plan.fragments[0].sql == 'SELECT "origin", "delay" FROM "flights" WHERE "flights"."carrier" = \'UA\''
    plan = planned("SELECT origin, rank() OVER (ORDER BY count(*)) FROM flights GROUP BY origin")
    assert plan.fragments[0].kind == plans.AGGREGATE
    assert "RANK() OVER (ORDER BY CAST(COALESCE(SUM" in (plan.final or "")


@pytest.mark.parametrize("function", ["random()", "uuid()", "now()", "current_date", "nextval('s')"])
def test_what_differs_from_pod_to_pod_is_not_pushed(function: str) -> None:
    plan = planned(f"SELECT count(*) FROM flights WHERE {function} IS NOT NULL")
    assert plan.fragments[0].kind == plans.SCAN
    assert function.partition("(")[0].upper() in (plan.final or "").upper()


def test_hidden_columns_are_of_no_star() -> None:
    for text in ("SELECT * FROM orders", "SELECT * FROM orders WHERE k = 1", "SELECT * FROM orders NATURAL JOIN items"):
        for part in planned(text).fragments:
            assert "*" not in part.sql.replace("SELECT * FROM (SELECT", "")
            assert "__version" not in part.sql


def test_names_are_found_in_any_case_and_with_their_schema() -> None:
    part = only('SELECT MAIN.Items.QTY, "K" FROM Main.ITEMS')
    assert part.sql == 'SELECT "ITEMS"."Qty", "ITEMS"."k" FROM "items" AS "ITEMS"'


def test_star_takes_exclude_and_replace() -> None:
    part = only("SELECT * EXCLUDE (origin, day) REPLACE (delay / 60 AS delay) FROM flights")
    assert part.sql == (
        'SELECT "flights"."carrier", "flights"."flight", "flights"."delay" / 60 AS "delay" FROM "flights"'
    )


def test_a_statement_over_no_table_is_left_as_it_is() -> None:
    plan = planned("SELECT 1 + 1 AS two")
    assert (plan.fragments, plan.final) == ((), "SELECT 1 + 1 AS two")


def test_one_scan_serves_two_places() -> None:
    plan = planned("SELECT count(*) FROM flights a JOIN flights b ON a.carrier = b.origin")
    assert len(plan.fragments) == 2  # the aliases differ in them
    plan = planned("SELECT (SELECT max(total) FROM orders) - (SELECT max(total) FROM orders)")
    assert len(plan.fragments) == 1


@pytest.mark.parametrize(
    "text",
    [
        "SELECT origin, count(*) FROM (SELECT * FROM flights WHERE carrier = 'UA') AS f WHERE delay > 3 GROUP BY 1",
        "WITH f AS (SELECT * FROM flights WHERE carrier = 'UA') SELECT origin, count(*) FROM f WHERE delay > 3 GROUP BY 1",
        "WITH a AS (SELECT * FROM flights), f AS (SELECT delay AS d, origin FROM a WHERE carrier = 'UA') "
        "SELECT origin, count(*) FROM f WHERE d > 3 GROUP BY 1",
    ],
)
def test_a_query_that_only_chooses_rows_and_columns_is_seen_through(text: str) -> None:
    plan = planned(text)
    (part,) = plan.fragments
    assert part.kind == plans.AGGREGATE
    assert "\"carrier\" = 'UA'" in part.sql
    assert '"delay" > 3' in part.sql
    assert "WITH" not in (plan.final or "")


def test_what_an_outer_join_may_lack_is_not_seen_through_when_it_computes() -> None:
    plan = planned("SELECT * FROM orders o LEFT JOIN (SELECT k, coalesce(Qty, 0) AS q FROM items) i ON o.k = i.k")
    assert len(plan.fragments) == 2
    plan = planned("SELECT * FROM orders o LEFT JOIN (SELECT k, Qty FROM items WHERE n = 1) i ON o.k = i.k")
    (part,) = plan.fragments
    assert 'ON "o"."k" = "i.items"."k" AND "i.items"."n" = 1' in part.sql


def test_existence_asks_for_no_column() -> None:
    plan = planned("SELECT total FROM orders o WHERE EXISTS (SELECT * FROM flights f WHERE f.flight = o.k)")
    assert sorted(part.sql for part in plan.fragments) == [
        'SELECT "flight" FROM "flights" AS "f"',
        'SELECT "k", "total" FROM "orders" AS "o"',
    ]


def test_a_query_with_a_name_that_nobody_asks_for_costs_nothing() -> None:
    assert len(planned("WITH c AS (SELECT * FROM flights) SELECT count(*) FROM orders").fragments) == 1


def test_a_query_may_have_the_name_of_its_table() -> None:
    part = only("WITH orders AS (SELECT * FROM orders WHERE total > 5) SELECT count(*) FROM orders")
    assert part.tables == ("orders",)
    assert '"total" > 5' in part.sql


def test_a_recursive_query_runs_over_gathered_rows() -> None:
    plan = planned(
        "WITH RECURSIVE r AS (SELECT k FROM orders UNION SELECT o.k FROM r JOIN orders o ON o.k = r.k + 1) SELECT * FROM r"
    )
    assert {part.kind for part in plan.fragments} == {plans.SCAN}
    assert (plan.final or "").startswith("WITH RECURSIVE r AS (")
