"""Random queries: joins, groups, top-k, windows, CTEs, subqueries, set operations."""

from dataclasses import dataclass
from random import Random

from tests.unit.sql.random_expressions import Scope, aggregate, condition, expression, literal
from tests.unit.sql.random_statements import BOOL, DATE, DECIMAL, DOUBLE, INT, KINDS, TEXT, Column, Table


@dataclass
class Query:
    text: str
    """Without ORDER BY and LIMIT."""
    columns: list[Column]
    """Of the answer; all have names."""
    order: str = ""
    ordered_by: tuple[int, ...] = ()
    """The columns of the answer by which it is ordered."""
    limit: str = ""

    @property
    def whole(self) -> str:
        return self.text + self.order + self.limit


class Queries:
    def __init__(self, random: Random, tables: list[Table]) -> None:
        self._random = random
        self._tables = {table.name: table for table in tables}
        self._names = 0

    def query(self) -> Query:
        made = self._any(depth=2)
        return self._finished(made)

    def _finished(self, made: Query) -> Query:
        random = self._random
        if random.random() < 0.6:
            places = random.sample(range(len(made.columns)), random.randint(1, min(3, len(made.columns))))
            keys = [random.choice((made.columns[place].name, str(place + 1))) for place in places]
            ends = [random.choice(("", " DESC", " NULLS FIRST", " DESC NULLS LAST", " ASC")) for _ in places]
            made.order = " ORDER BY " + ", ".join(key + end for key, end in zip(keys, ends, strict=True))
            made.ordered_by = tuple(places)
        if random.random() < 0.35:
            made.limit = f" LIMIT {random.choice((0, 1, 3, 3, 5, 5, 8, 100))}"
            if random.random() < 0.4:
                made.limit += f" OFFSET {random.choice((0, 1, 2))}"
        return made

    def _any(self, depth: int) -> Query:
        shapes = [self._rows, self._rows, *([self._groups] * 7), self._star]
        if depth:
            shapes += [self._with_cte, self._from_query, self._union, self._windows, self._with_subquery]
        return self._random.choice(shapes)(depth)

    def _rows(self, depth: int) -> Query:
        random = self._random
        source, scope = self._source()
        columns, items = [], []
        for _ in range(random.randint(1, 4)):
            kind = random.choice(KINDS)
            self._item(expression(random, kind, scope), kind, columns, items)
        word = "SELECT DISTINCT" if random.random() < 0.25 else "SELECT"
        return Query(f"{word} {', '.join(items)} FROM {source}{self._where(scope)}", columns)

    def _star(self, depth: int) -> Query:
        random = self._random
        table = random.choice(list(self._tables.values()))
        scope = [(column.name, column) for column in table.columns]
        text = f"SELECT * FROM {self._spelt(table)}"
        columns = list(table.columns)
        if random.random() < 0.3:
            gone = random.choice(columns)
            columns.remove(gone)
            text = text.replace("*", f"* EXCLUDE ({gone.name})")
        elif random.random() < 0.3:
            changed = random.choice(columns)
            text = text.replace(
                "*", f"* REPLACE (coalesce({changed.name}, {literal(random, changed.kind)}) AS {changed.name})"
            )
        return Query(text + self._where(scope), columns)

    def _groups(self, depth: int) -> Query:
        random = self._random
        source, scope = self._source()
        columns: list[Column] = []
        items: list[str] = []
        keys = []
        for _ in range(random.choice((0, 1, 1, 1, 2))):
            kind = random.choice((INT, TEXT, DATE, BOOL, DECIMAL))
            text = expression(random, kind, scope, random.choice((0, 0, 1)))
            self._item(text, kind, columns, items)
            keys.append(random.choice((text, str(len(items)), columns[-1].name)))
        for _ in range(random.randint(0 if keys else 1, 3)):
            text, kind = aggregate(random, scope)
            self._item(text, kind, columns, items)
        group = ""
        if keys:
            group = " GROUP BY " + random.choice((", ".join(keys), "ALL"))
            if any("'" in key or key.replace(".", "").lstrip("-").isdigit() for key in keys):
                group = " GROUP BY ALL"
        having = ""
        if random.random() < 0.25:
            text, kind = aggregate(random, scope)
            compared = literal(random, kind if kind in (INT, DOUBLE, DECIMAL, BOOL, TEXT, DATE) else INT)
            having = (
                f" HAVING {text} >= {compared}" if kind in (INT, DOUBLE, DECIMAL) else f" HAVING {text} IS NOT NULL"
            )
        if keys and random.random() < 0.15:
            text, _ = aggregate(random, scope)
            self._item(f"rank() OVER (ORDER BY {text})", INT, columns, items)
        if random.random() < 0.3:
            order = random.sample(items, len(items))
            columns = [columns[items.index(item)] for item in order]
            items = order
            if any(key.isdecimal() for key in keys) and group:
                group = " GROUP BY ALL"
        return Query(f"SELECT {', '.join(items)} FROM {source}{self._where(scope)}{group}{having}", columns)

    def _windows(self, depth: int) -> Query:
        random = self._random
        source, scope = self._source()
        columns: list[Column] = []
        items: list[str] = []
        for _ in range(2):
            kind = random.choice((INT, TEXT))
            self._item(expression(random, kind, scope, 1), kind, columns, items)
        part = expression(random, random.choice((INT, TEXT)), scope, 0)
        number = expression(random, INT, scope, 0)
        window = random.choice(
            (
                f"sum({number}) OVER (PARTITION BY {part})",
                f"rank() OVER (ORDER BY {number})",
                f"count(*) OVER (PARTITION BY {part} ORDER BY {number} RANGE UNBOUNDED PRECEDING)",
                f"min({number}) OVER ()",
                f"max({number}) FILTER (WHERE {condition(random, scope, 0)}) OVER (PARTITION BY {part})",
            )
        )
        self._item(window, INT, columns, items)
        return Query(f"SELECT {', '.join(items)} FROM {source}{self._where(scope)}", columns)

    def _with_cte(self, depth: int) -> Query:
        random = self._random
        inner = self._any(depth - 1)
        name = f"c{self._number()}"
        scope = [(f"{name}.{column.name}", column) for column in inner.columns]
        other = random.choice(("", "", "SELF", "TABLE"))
        source = name
        if other == "SELF":
            same = inner.columns[0].name
            source = f"{name} JOIN {name} AS other ON {name}.{same} = other.{same}"
        elif other == "TABLE":
            numbers = [column for column in inner.columns if column.kind == INT]
            table = self._tables["items"]
            if numbers:
                source = f"{name} {random.choice(('JOIN', 'LEFT JOIN'))} items ON items.v = {name}.{numbers[0].name}"
                scope += [(f"items.{column.name}", column) for column in table.columns]
        made = self._over(source, scope)
        return Query(f"WITH {name} AS ({inner.text}) {made.text}", made.columns)

    def _from_query(self, depth: int) -> Query:
        inner = self._any(depth - 1)
        name = f"d{self._number()}"
        if self._random.random() < 0.3:
            inner = self._finished(inner)
            if inner.limit and len(inner.ordered_by) < len(inner.columns):
                inner.order = " ORDER BY ALL"
        scope = [(self._random.choice((column.name, f"{name}.{column.name}")), column) for column in inner.columns]
        return self._over(f"({inner.whole}) AS {name}", scope)

    def _over(self, source: str, scope: Scope) -> Query:
        """A query over another one's columns."""
        random = self._random
        columns: list[Column] = []
        items: list[str] = []
        if random.random() < 0.5:
            for name, column in random.sample(scope, min(2, len(scope))):
                self._item(name, column.kind, columns, items)
            return Query(f"SELECT {', '.join(items)} FROM {source}{self._where(scope)}", columns)
        name, column = random.choice(scope)
        self._item(name, column.kind, columns, items)
        self._item(f"count(*) + coalesce(max({len(items)}), 0)", INT, columns, items)
        return Query(f"SELECT {', '.join(items)} FROM {source}{self._where(scope)} GROUP BY {name}", columns)

    def _union(self, depth: int) -> Query:
        random = self._random
        queries = []
        columns = [Column(f"u{self._number()}", INT, ""), Column(f"u{self._number()}", TEXT, "")]
        for _ in range(2):
            source, scope = self._source()
            first = expression(random, INT, scope, 1)
            second = expression(random, TEXT, scope, 1)
            tail = self._where(scope)
            if random.random() < 0.4:
                first, tail = (
                    f"count({first})",
                    tail + f" GROUP BY {second}" if "'" not in second else tail + " GROUP BY ALL",
                )
            queries.append(f"SELECT {first} AS {columns[0].name}, {second} AS {columns[1].name} FROM {source}{tail}")
        word = random.choice(("UNION", "UNION ALL", "INTERSECT", "EXCEPT"))
        return Query(f" {word} ".join(queries), columns)

    def _with_subquery(self, depth: int) -> Query:
        random = self._random
        outer = random.choice(list(self._tables.values()))
        inner = random.choice(list(self._tables.values()))
        scope = [(f"x.{column.name}", column) for column in outer.columns]
        inside = [(f"y.{column.name}", column) for column in inner.columns]
        number = expression(random, INT, inside, 0)
        asked = expression(random, INT, scope, 0)
        where = self._where(inside)
        also = f"{where} AND " if where else " WHERE "
        test = random.choice(
            (
                f"{asked} IN (SELECT {number} FROM {self._spelt(inner)} AS y{where})",
                f"{asked} NOT IN (SELECT {number} FROM {inner.name} AS y{also}{number} IS NOT NULL)",
                f"EXISTS (SELECT * FROM {inner.name} AS y{also}y.k = x.k)",
                f"NOT EXISTS (SELECT 1 FROM {inner.name} y{also}y.k = x.k AND {condition(random, inside, 0)})",
                f"{asked} >= (SELECT avg({number}) FROM {inner.name} AS y{where})",
                f"{asked} < (SELECT max(y.v) FROM {inner.name} AS y WHERE y.k = x.k)",
            )
        )
        made = self._over(f"{outer.name} AS x", scope)
        joined = made.text.replace(" WHERE ", f" WHERE {test} AND ", 1)
        if joined == made.text:
            before, group, after = made.text.partition(" GROUP BY ")
            joined = f"{before} WHERE {test}{group}{after}"
        return Query(joined, made.columns)

    def _source(self) -> tuple[str, Scope]:
        """A FROM and the columns in it."""
        random = self._random
        if random.random() < 0.5:
            table = random.choice(list(self._tables.values()))
            alias = random.choice(("", "x", '"A b"'))
            names = [f"{alias or table.name}.{column.name}" for column in table.columns]
            plain = [self._cased(column.name) for column in table.columns]
            spelt = [random.choice(pair) for pair in zip(names, plain, strict=True)]
            return f"{self._spelt(table)} {alias}", list(zip(spelt, table.columns, strict=True))
        first, second = random.choice(
            (
                *(
                    ("orders", "items"),
                    ("orders", "items"),
                    ("items", "orders"),
                    ("items", "names"),
                    ("orders", "Loose"),
                ),
                *(("orders", "names"), ("names", "orders"), ("names", "Loose"), ("items", "items"), ("Loose", "Loose")),
            )
        )
        left, right = self._tables[first], self._tables[second]
        scope = [(f"x.{column.name}", column) for column in left.columns]
        scope += [(f"y.{column.name}", column) for column in right.columns]
        on = random.choice(
            (
                "x.k = y.k",
                "x.k = y.k",
                "x.k = y.k AND x.v < y.v",
                "y.v = x.v",
                f"x.k = y.k AND {condition(random, scope, 0)}",
            )
        )
        if first == second == "Loose":
            on = random.choice((on, "x.id = y.id"))
        join = random.choice(("JOIN", "JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", ","))
        if join == ",":
            scope.append((random.choice(("x.k = y.k", "x.k = y.k", "x.v = y.v")), Column("", BOOL, "")))
            join = "CROSS JOIN"
        text = f"{first} x {join} {second} y" + ("" if join == "CROSS JOIN" else f" ON {on}")
        shape = random.random() if join != "CROSS JOIN" else 1
        if shape < 0.15 and first != second:
            text = f"{first} x {join} {second} y USING (k)"
            merged = random.choice([column for column in left.columns if column.name == "k"])
            scope.append(("k", merged))
        elif shape < 0.2 and first != second:
            text = f"{first} x NATURAL JOIN {second} y"
        if random.random() < 0.25:
            third = self._tables[random.choice(("names", "items", "items", "orders"))]
            also = random.choice(("", "", " AND x.k = y.k", f" AND {condition(random, scope, 0)}"))
            word = random.choice(("JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"))
            text += f" {word} {third.name} z ON z.k = {random.choice('xy')}.k{also}"
            scope += [(f"z.{column.name}", column) for column in third.columns]
        return text, scope

    def _where(self, scope: Scope) -> str:
        random = self._random
        parts = [name for name, column in scope if not column.name]
        parts += [
            condition(random, [each for each in scope if each[1].name], 1)
            for _ in range(random.choice((0, 0, 0, 1, 1, 2)))
        ]
        keys = [(name, column) for name, column in scope if column.name in ("k", "n", "id")]
        if keys and random.random() < 0.2:
            for name, column in random.sample(keys, random.randint(1, len(keys))):
                some = ", ".join(literal(random, column.kind) for _ in range(random.randint(1, 3)))
                parts.append(random.choice((f"{name} = {literal(random, column.kind)}", f"{name} IN ({some})")))
        return " WHERE " + " AND ".join(parts) if parts else ""

    def _item(self, text: str, kind: str, columns: list[Column], items: list[str]) -> None:
        name = f"r{self._number()}"
        columns.append(Column(name, kind, ""))
        items.append(f"{text} AS {name}")

    def _spelt(self, table: Table) -> str:
        return self._random.choice((table.name, self._cased(table.name), f"main.{table.name}", f'"{table.name}"'))

    def _cased(self, name: str) -> str:
        return self._random.choice((name, name, name.upper()))

    def _number(self) -> int:
        self._names += 1
        return self._names
