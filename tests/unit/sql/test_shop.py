"""Queries that people write, over the tables of `shop`: answers equal those of one DuckDB."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from random import Random

import pytest
from tests.unit.sql.partitioned_tables import PartitionedTables
from tests.unit.sql.shop import CATALOG, PARTITIONS

QUERIES = """
SELECT o FROM orders o
SELECT i FROM orders o JOIN items i USING (k)
FROM orders, range(2) r(x)
SELECT x FROM orders, unnest([1,2]) u(x)
SELECT * FROM orders o, LATERAL (SELECT max(Qty) AS m FROM items i WHERE i.k=o.k) l
SELECT count(*) FROM (orders JOIN items ON orders.k=items.k) JOIN airlines ON true
SELECT * FROM (orders o JOIN items i USING (k)) WHERE o.total > 2
SELECT * FROM orders AS x(a,b) WHERE a > 3
SELECT a FROM orders AS x(a) GROUP BY a
SELECT * FROM (SELECT k, total FROM orders) AS x(a,b) WHERE b>1
SELECT DISTINCT ON (origin) origin, carrier FROM flights ORDER BY origin, carrier, flight
SELECT COLUMNS('c.*') FROM flights
SELECT max(COLUMNS(*)) FROM orders
SELECT count(*) FROM flights TABLESAMPLE 100%
SELECT * FROM orders NATURAL JOIN items
SELECT * FROM orders POSITIONAL JOIN orders b WHERE false
SELECT k FROM orders UNION ALL BY NAME SELECT Qty AS k, n AS z FROM items
(SELECT k FROM orders ORDER BY k LIMIT 3) UNION ALL (SELECT n FROM items ORDER BY n DESC LIMIT 2)
SELECT count(DISTINCT k), count(DISTINCT Qty) FROM items
SELECT count(DISTINCT Qty) FILTER (WHERE n > 1), count(DISTINCT k) FILTER (WHERE n > 1) FROM items
SELECT "sum(total)" FROM (SELECT sum(total) FROM orders)
SELECT * FROM (SELECT count(*), k % 2 FROM orders GROUP BY 2)
SELECT "count_star()" + 1 FROM (SELECT count(*) FROM orders)
SELECT (SELECT sum(Qty) FROM items i WHERE i.k = o.k) FROM orders o
SELECT k, total / sum(total) OVER () FROM orders
SELECT origin, count(*) * 100.0 / sum(count(*)) OVER () FROM flights GROUP BY origin
SELECT carrier, count(*) FILTER (WHERE delay > 0) AS late, late / count(*) FROM flights GROUP BY 1 HAVING late > 1 ORDER BY late
SELECT o.k FROM orders o SEMI JOIN items i ON o.k=i.k AND i.Qty=1
SELECT o.k FROM orders o ANTI JOIN items i USING (k)
SELECT name FROM airlines ANTI JOIN flights USING (carrier)
SELECT flight FROM flights SEMI JOIN airlines USING (carrier)
SELECT * FROM flights ASOF JOIN orders ON flights.flight >= orders.k
SELECT a.carrier FROM flights a, airlines b WHERE a.carrier = b.carrier AND b.name LIKE 'U%' GROUP BY a.carrier
SELECT name, (SELECT count(*) FROM flights f WHERE f.carrier=a.carrier) FROM airlines a
WITH RECURSIVE r AS (SELECT 0 AS k UNION ALL SELECT r.k+1 FROM r JOIN orders o ON o.k = r.k) SELECT count(*) FROM r
WITH a AS (SELECT k, sum(total) s FROM orders GROUP BY k), b AS (SELECT max(s) m FROM a) SELECT a.k FROM a, b WHERE a.s = b.m
WITH a AS (SELECT * FROM items), a2 AS (SELECT * FROM a WHERE Qty > 1) SELECT x.k, y.n FROM a2 x JOIN a y ON x.k = y.k
WITH a(x, y) AS (SELECT k, total FROM orders) SELECT x, sum(y) FROM a GROUP BY x
SELECT k FROM orders WHERE k IN (SELECT k FROM items GROUP BY k HAVING count(*) > 2)
SELECT k FROM orders WHERE total > ALL (SELECT Qty FROM items WHERE Qty IS NOT NULL)
SELECT k FROM orders WHERE (k, k) IN (SELECT k, n FROM items)
SELECT CASE WHEN EXISTS (FROM items WHERE k = 3) THEN 'y' ELSE 'n' END
SELECT array(SELECT k FROM orders ORDER BY k)
SELECT list(k ORDER BY k) FROM orders WHERE k IN (1,2,3)
SELECT k, list(n ORDER BY n) FROM items GROUP BY k
SELECT k, string_agg(n::VARCHAR, ',' ORDER BY n) FROM items GROUP BY k HAVING median(Qty) > 1
SELECT origin, day, count(*) FROM flights GROUP BY ROLLUP (origin, day)
SELECT year(day) AS y, month(day) AS m, count(*) FROM flights GROUP BY y, m
SELECT origin o, sum(delay) FROM flights GROUP BY o HAVING sum(delay) > 10 ORDER BY o LIMIT 3
SELECT * EXCLUDE (k) FROM orders
SELECT o.*, i.* EXCLUDE (k) FROM orders o LEFT JOIN items i USING (k)
SELECT * FROM orders FULL JOIN items USING (k)
SELECT k FROM orders FULL JOIN items USING (k)
SELECT * FROM orders o RIGHT JOIN items i USING (k) WHERE k > 3
SELECT count(DISTINCT (origin, carrier)) FROM flights
SELECT count(DISTINCT origin), count(DISTINCT carrier) FROM flights
SELECT sum(DISTINCT Qty) FILTER (WHERE n > 3), avg(DISTINCT Qty) FROM items
SELECT flight FROM flights ORDER BY delay NULLS FIRST, flight LIMIT 5
SELECT flight AS delay FROM flights ORDER BY delay LIMIT 3
SELECT max(flight) FROM flights ORDER BY min(delay)
SELECT 1 FROM orders LIMIT 3
SELECT count(*) FROM orders OFFSET 1
SELECT k FROM orders ORDER BY k OFFSET 20
SELECT min(day), max(day), max(day) - min(day) FROM flights
SELECT avg(day)::DATE FROM flights WHERE carrier='UA'
SELECT any_value(carrier) FROM flights WHERE carrier = 'UA'
SELECT arg_max(flight, delay) FROM flights WHERE delay IS NOT NULL
SELECT k + 1 AS k FROM orders ORDER BY k
SELECT total AS k FROM orders WHERE k = 3
SELECT k AS total, count(*) FROM orders GROUP BY total, k
SELECT x.k FROM orders x, orders y WHERE x.k = y.k AND y.total > 3
SELECT x.flight FROM flights x JOIN flights y ON x.carrier = y.carrier AND x.flight = y.flight
SELECT count(*) FROM flights WHERE carrier = 'UA' AND flight = 3 AND delay > (SELECT avg(delay) FROM flights)
SELECT (SELECT count(*) FROM flights) + (SELECT count(*) FROM orders WHERE k = 2)
SELECT 1 WHERE 2 IN (SELECT k FROM orders)
VALUES (1), (2)
SELECT * FROM (VALUES (1,'UA')) v(x, c) JOIN flights ON carrier = c
SELECT origin FROM flights INTERSECT SELECT 'JFK'
SELECT k FROM orders EXCEPT SELECT k FROM items ORDER BY 1 LIMIT 4
SELECT sum(CASE WHEN delay > 0 THEN 1 ELSE 0 END) / count(*) FROM flights
SELECT carrier || '-' || origin AS r, avg(delay) FROM flights GROUP BY ALL ORDER BY ALL
SELECT TRY(CAST(carrier AS INT)) FROM flights
SELECT count(*) FROM flights WHERE carrier SIMILAR TO 'U.*'
SELECT * FROM orders o LEFT JOIN items i ON o.k = i.k AND i.k = 3
SELECT * FROM orders o LEFT JOIN items i ON o.k = i.k WHERE i.k = 3
SELECT * FROM orders o RIGHT JOIN items i ON o.k = i.k AND o.k = 3
SELECT * FROM orders o FULL JOIN items i ON o.k = i.k WHERE o.k = 3
SELECT * FROM orders o, items i WHERE o.k = 3 AND i.k = 4
SELECT * FROM orders o, items i WHERE o.k IN (3, 4) AND i.k = o.k
SELECT count(*) FROM orders WHERE k = 3 OR k = 5
SELECT * FROM orders o LEFT JOIN orders p ON o.k = p.k AND p.k = 4 WHERE o.total > 2
SELECT * FROM orders o JOIN airlines a ON a.carrier = 'UA' WHERE o.k = 3
SELECT * FROM airlines a LEFT JOIN orders o ON o.k = 3
SELECT sum(total) FROM orders WHERE k IN (SELECT 3)
SELECT median(total), count(*) FROM orders WHERE k = 99999
SELECT * FROM (SELECT * FROM orders WHERE k = 3) o JOIN (SELECT * FROM items WHERE k = 3) i USING (k)
SELECT max(total) FROM (SELECT * FROM orders ORDER BY k LIMIT 5)
SELECT * FROM orders WHERE k = 3 UNION ALL SELECT * FROM orders WHERE k = 7
SELECT o.k, count(i.n) FROM orders o LEFT JOIN items i ON o.k = i.k GROUP BY o.k
SELECT i.k, count(o.total) FROM orders o RIGHT JOIN items i ON o.k = i.k GROUP BY i.k
SELECT i.k, count(*) FROM orders o LEFT JOIN items i ON o.k = i.k GROUP BY i.k
SELECT o.k, i.k, count(*) FROM orders o FULL JOIN items i ON o.k = i.k GROUP BY o.k, i.k
SELECT count(DISTINCT i.k) FROM orders o LEFT JOIN items i ON o.k = i.k
SELECT o.k FROM orders o LEFT JOIN items i ON o.k = i.k LEFT JOIN orders p ON p.k = i.k WHERE p.k IS NULL
SELECT o.k FROM orders o LEFT JOIN items i ON o.k = i.k JOIN orders p ON p.k = i.k
SELECT count(*) FROM orders o LEFT JOIN items i ON o.k = i.k RIGHT JOIN orders p ON p.k = i.k
SELECT count(*) FROM orders o FULL JOIN items i ON o.k = i.k FULL JOIN orders p ON p.k = i.k
SELECT count(*) FROM orders o FULL JOIN items i ON o.k = i.k LEFT JOIN airlines a ON a.carrier = 'UA'
SELECT count(*) FROM airlines a CROSS JOIN orders o LEFT JOIN items i ON o.k=i.k
SELECT count(*) FROM airlines a RIGHT JOIN flights f USING (carrier)
SELECT count(*) FROM airlines a, airlines b WHERE a.carrier < b.carrier
SELECT count(*) FROM airlines a LEFT JOIN airlines b ON a.carrier < b.carrier
SELECT count(*) FROM airlines a FULL JOIN airlines b ON a.carrier < b.carrier
SELECT DISTINCT k, k FROM items
SELECT DISTINCT Qty FROM items ORDER BY Qty DESC LIMIT 2
SELECT * FROM (SELECT DISTINCT Qty FROM items) q JOIN orders ON orders.k = q.Qty
SELECT max(n) OVER (PARTITION BY k) FROM items WHERE k IN (1,2,3,4)
SELECT k FROM orders WHERE k BETWEEN 3 AND 5 AND k IN (4, 9)
SELECT 'a' AS x, count(*) FROM orders GROUP BY x
SELECT 'a' AS x, k FROM orders ORDER BY x, k LIMIT 2
SELECT NULL AS x, sum(total) FROM orders
SELECT 1 FROM orders GROUP BY k HAVING count(*) > 0
SELECT count(*) + 1 AS k FROM orders HAVING k > 1
SELECT k % 3 AS m, k % 3 AS n, count(*) FROM orders GROUP BY m, n
SELECT (k % 3) + 1, count(*) FROM orders GROUP BY k % 3
SELECT k % 3 + count(*) FROM orders GROUP BY k % 3
SELECT upper(carrier) AS carrier, count(*) FROM flights GROUP BY carrier
SELECT upper(carrier) AS c, count(*) FROM flights GROUP BY c ORDER BY upper(c)
SELECT sum(total) AS total FROM orders HAVING sum(total) > 1 ORDER BY total
SELECT total + 1 AS total FROM orders WHERE total > 3 ORDER BY total + 1
SELECT k FROM orders GROUP BY k ORDER BY sum(total) DESC LIMIT 3
SELECT row_number() OVER (ORDER BY sum(total) DESC) AS r, k % 4 FROM orders GROUP BY 2 QUALIFY r <= 2
SELECT count(*) FROM orders, items, flights WHERE orders.k = items.k AND flights.flight = items.n
SELECT "k" AS "Total Sum", sum("total") AS "order" FROM "orders" GROUP BY "k" ORDER BY "order" LIMIT 3
SELECT orders.* FROM orders JOIN items i ON i.k = orders.k
SELECT i.*, orders.total FROM orders JOIN items i ON i.k = orders.k
SELECT main.orders.k FROM main.orders WHERE main.orders.total > 3
SELECT * FROM main.orders o WHERE EXISTS (SELECT 1 FROM main.items WHERE main.items.k = o.k)
SELECT t.k FROM (SELECT main.orders.k FROM main.orders) t
SELECT count(*) FROM orders WHERE total IN (1, 2, NULL)
SELECT count(*) FROM orders WHERE NOT (total IN (1, NULL))
SELECT coalesce(sum(total), 0), count(*) FROM orders WHERE false
SELECT k FROM orders WHERE k = 3 LIMIT 0
SELECT min(k) FROM orders WHERE total > (SELECT avg(o2.total) FROM orders o2 WHERE o2.k < 10)
SELECT a.n, b.n FROM items a JOIN items b ON a.k = b.k AND a.n = b.n
SELECT f.carrier, name FROM flights f LEFT JOIN (SELECT * FROM airlines WHERE name <> 'None') a USING (carrier)
SELECT f.carrier FROM flights f WHERE f.carrier IN (SELECT carrier FROM airlines)
SELECT x.c FROM (SELECT carrier AS c, count(*) AS n FROM flights GROUP BY carrier) x JOIN airlines ON x.c = airlines.carrier
SELECT avg(n) FROM (SELECT count(*) AS n FROM items GROUP BY k)
SELECT avg(n), max(n) FROM (SELECT k, count(*) AS n FROM items GROUP BY k HAVING n > 1) WHERE k > 2
WITH t AS (SELECT k, row_number() OVER (PARTITION BY k ORDER BY n) AS r FROM items) SELECT count(*) FROM t WHERE r = 1
SELECT k, n FROM items WHERE n = (SELECT max(n) FROM items i2 WHERE i2.k = items.k)
SELECT sum(total) FILTER (WHERE k > 3) AS a, a + 1 AS b FROM orders
SELECT count(*) AS "count", "count" FROM orders
SELECT k AS a, a AS b, b + 1 AS c FROM orders WHERE c > 4 ORDER BY c
SELECT flight, delay FROM flights WHERE delay = (SELECT min(delay) FROM flights) OR flight = 3
SELECT o.k, p.k, i.n FROM orders o, orders p LEFT JOIN items i ON p.k = i.k AND o.k = p.k WHERE o.k < 6 AND p.k < 6
SELECT count(*) FROM orders o JOIN items i ON o.k = i.k AND o.k = 5 RIGHT JOIN orders p ON p.k = o.k
SELECT count(*) FROM orders o JOIN items i ON o.k = i.k AND o.k = 5 FULL JOIN orders p ON p.k = i.k
SELECT f.flight, o.k FROM flights f ASOF JOIN orders o ON f.flight >= o.k WHERE o.total > 5
SELECT f.flight, o.k FROM flights f ASOF JOIN orders o ON f.flight >= o.k WHERE o.k = 7
SELECT f.flight, o.k FROM flights f ASOF LEFT JOIN orders o ON f.flight >= o.k AND o.total > 5
SELECT count(*) FROM orders o LEFT JOIN items i ON o.k = i.k AND o.k = 5
SELECT o.k, i.n FROM orders o ANTI JOIN items b ON o.k = b.k AND b.Qty = 2 JOIN items i ON i.k = o.k
SELECT o.k FROM orders o SEMI JOIN items i ON o.k = i.k AND o.k = 5, orders p WHERE p.k = o.k
"""


@pytest.fixture(scope="module")
def tables() -> Iterator[PartitionedTables]:
    random = Random(3)
    carriers, origins = ("UA", "AA", "DL"), ("JFK", "LGA", None)
    rows = {
        "flights": [
            (
                random.choice(carriers),
                n,
                random.choice(origins),
                random.choice((None, n / 4 - 5)),
                date(2013, 1, 1 + n % 28),
            )
            for n in range(60)
        ],
        "airlines": [("UA", "United"), ("AA", "American"), ("XX", "None")],
        "orders": [(k, Decimal(random.randint(0, 900)) / 100) for k in range(25)],
        "items": [(random.randint(0, 30), n, random.choice((None, 1, 2, 3))) for n in range(50)],
    }
    made = PartitionedTables(CATALOG, rows, PARTITIONS)
    yield made
    made.close()


@pytest.mark.parametrize("query", QUERIES.strip().split("\n"))
def test_the_answer_is_that_of_one_table(tables: PartitionedTables, query: str) -> None:
    types, rows = tables.expected(query)
    _, found_types, found = tables.planned(query)
    assert found_types == types
    assert sorted(map(str, found)) == sorted(map(str, rows))


def test_most_of_these_find_something(tables: PartitionedTables) -> None:
    queries = QUERIES.strip().split("\n")
    assert sum(bool(tables.expected(query)[1]) for query in queries) > 0.85 * len(queries)
