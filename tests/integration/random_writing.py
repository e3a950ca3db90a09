"""Random statements that write, over four tables that are spread in different ways, for comparing what they leave.

Everything is drawn from one Random, so a seed repeats it. Each table has its columns in another order, so that BY NAME and
lists of columns matter, and few keys, so that they meet. Where DuckDB leaves open which row counts (several that match one
record, several of one key), the statements are made so that there is one. Values are mostly computed within TRY(…), or half
of the statements would fail at a cast.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

NUMBERS = ("TINYINT", "INTEGER", "BIGINT", "HUGEINT", "DOUBLE", "DECIMAL(9,2)")
LITERALS = {
    "BOOLEAN": ("true", "false", "'t'", "0"),
    "TINYINT": ("1", "-128", "127", "'5'", "2.5"),
    "INTEGER": ("0", "1", "2", "-7", "2147483647", "'12'", "3.5", "1e3"),
    "BIGINT": ("5", "-9223372036854775808", "'77'", "true"),
    "HUGEINT": ("1", "170141183460469231731687303715884105727", "-5"),
    "DOUBLE": ("0.5", "-1.25", "1e300", "'inf'", "'nan'", "3"),
    "DECIMAL(9,2)": ("1", "2.345", "2.335", "'7.5'", "-0.005", "9999999.99"),
    "VARCHAR": ("'a'", "''", "'it''s'", "'12'", "'ü😀'", "'a-b'", "5", "DATE '2020-01-01'"),
    "DATE": ("'2013-01-31'", "DATE '2024-02-29'", "'1969-12-31'"),
    "TIMESTAMP": ("'2013-01-31 10:20:30.123456'", "TIMESTAMP '1969-12-31 23:59:59.999999'", "DATE '2024-02-29'"),
    "UUID": ("'6ba7b810-9dad-11d1-80b4-00c04fd430c8'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
    "BLOB": ("'abc'", "'\\xAA\\x00b'::BLOB", "''"),
    "JSON": ('\'{"a":[1,null,"x"]}\'', "'5'", "'\"s\"'", "'[]'"),
}
KEYS = {
    "k": ("'a'", "'b'", "'c:1'", "'d{x}'", "'ü'"),
    "id": ("0", "1", "2", "3", "4", "'5'"),
    "d": ("'2020-01-01'", "DATE '1969-12-31'"),
    "a": ("1", "1.5", "-2.25", "1.50", "'3'"),
}
MANY = 260
"""Rows that are encoded column by column."""

Scope = Sequence[tuple[str, dict[str, str]]]
"""The tables whose columns an expression may name: their aliases and columns."""


@dataclass
class Table:
    name: str
    columns: dict[str, str]
    key: tuple[str, ...]
    clauses: str = ""
    """That a grid has and DuckDB has not."""
    defaults: str = ""

    def definition(self) -> str:
        rules = dict(part.split(": ") for part in self.defaults.split("; ") if part)
        columns = ", ".join(f"{name} {kind} {rules.get(name, '')}" for name, kind in self.columns.items())
        return f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY ({', '.join(self.key)}))"

    @property
    def others(self) -> list[str]:
        return [name for name in self.columns if name not in self.key]


def tables() -> dict[str, Table]:
    wide = {"b": "BOOLEAN", "i": "TINYINT", "n": "INTEGER", "g": "BIGINT", "h": "HUGEINT", "x": "DOUBLE"}
    wide |= {
        "p": "DECIMAL(9,2)",
        "s": "VARCHAR",
        "d": "DATE",
        "ts": "TIMESTAMP",
        "u": "UUID",
        "bl": "BLOB",
        "j": "JSON",
    }
    defaults = "n: DEFAULT 7; p: NOT NULL DEFAULT 1.5; s: DEFAULT 'none'; d: DEFAULT '2020-02-29'"
    turned = dict(reversed({"k": "VARCHAR", "id": "INTEGER", **wide}.items()))
    return {
        "t": Table("t", {"k": "VARCHAR", "id": "INTEGER", **wide}, ("k", "id"), "PARTITION BY (k)", defaults),
        "u": Table("u", turned, ("id", "k")),
        "w": Table("w", {"id": "INTEGER", "s": "VARCHAR", "x": "DOUBLE", "g": "BIGINT"}, ("id",), "BROADCAST"),
        "z": Table("z", {"d": "DATE", "a": "DECIMAL(9,2)", "s": "VARCHAR", "n": "INTEGER"}, ("d", "a")),
    }


FILL = (
    "INSERT INTO t SELECT 'k' || i % 7, i, i % 2 = 0, i % 100, i * 7, i * 1000000007, i::HUGEINT * 10 ** 15, i / 7, "
    "i % 50 + 0.25, CASE WHEN i % 5 > 0 THEN 's' || i % 11 END, DATE '2020-01-01' + i::INTEGER, "
    "TIMESTAMP '2020-01-01' + to_seconds(i), '6ba7b810-9dad-11d1-80b4-' || lpad(i::VARCHAR, 12, '0'), "
    f"encode('b' || i), to_json([i, i + 1]) FROM range({MANY}) r(i)",
    "INSERT INTO u BY NAME SELECT * REPLACE (n + 1 AS n, s || '!' AS s) FROM t WHERE id % 3 = 0",
)
"""So that statements change many rows."""


class Statements:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.tables = tables()
        self._added = 0

    def next(self) -> str:
        makers = (self._insert, self._insert_select, self._update, self._update, self._delete, self._other)
        return self.random.choices(makers, (4, 4, 4, 4, 2, 1))[0]()

    def some_rows(self, table: Table) -> str:
        rows = ", ".join(self._row(table, list(table.columns)) for _ in range(8))
        return f"INSERT OR IGNORE INTO {table.name} VALUES {rows}"

    # -- statements ----------------------------------------------------------------------------------------------------

    def _insert(self) -> str:
        table = self._table("ttuuwz")
        lead = self.random.choice(("INSERT", "INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE"))
        names, listed = list(table.columns), ""
        if self._chance(0.5):
            names = [*table.key, *self._some(table.others, 1, 6)]
            self.random.shuffle(names)
            listed = f" ({', '.join(names)})"
        alias = "al" if not listed and self._chance(0.2) else ""
        rows = ", ".join(self._row(table, names) for _ in range(self.random.choice((1, 1, 2, 5))))
        after = self._conflict(table, names, alias) if lead == "INSERT" else ""
        return f"{lead} INTO {table.name}{alias and ' AS al'}{listed} VALUES {rows}{after}"

    def _insert_select(self) -> str:
        """Grouped by what becomes the key, so that each comes once."""
        table = self._table("ttuuwz")
        source, scope = self._source()
        keys = {name: self._key_of(name, table.columns[name], scope) for name in table.key}
        chosen = keys | {name: self._greatest(table.columns[name], scope) for name in self._some(table.others, 1, 4)}
        names = list(chosen)
        self.random.shuffle(names)
        conditions = " AND ".join(f"{key} IS NOT NULL" for key in keys.values())
        if self._chance(0.5):
            conditions += f" AND {self._condition(scope)}"
        query = (
            f"SELECT {', '.join(f'{chosen[name]} AS {name}' for name in names)} FROM {source} "
            f"WHERE {conditions} GROUP BY {', '.join(f'({key})' for key in keys.values())}"
        )
        if self._chance(0.2):
            query = f"WITH given AS ({query}) SELECT * FROM given"
        lead = self.random.choice(("INSERT", "INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE"))
        after = self._conflict(table, names, "") if lead == "INSERT" else ""
        listed = " BY NAME" if self._chance(0.3) else f" ({', '.join(names)})"
        return f"{lead} INTO {table.name}{listed} {query}{after}"

    def _conflict(self, table: Table, names: Sequence[str], alias: str) -> str:
        if self._chance(0.2):
            return ""
        target = f" ({', '.join(self.random.choice((table.key, table.key[::-1])))})" if self._chance(0.6) else ""
        if self._chance(0.3):
            return f" ON CONFLICT{target} DO NOTHING"
        here = alias or table.name
        scope = [("excluded", {name: table.columns[name] for name in names}), (here, table.columns)]
        parts = []
        for name in self._some(table.others, 1, 3):
            value = self._assigned(table.columns[name], scope, asks=False)
            if value != "DEFAULT":  # DuckDB casts also what it assigns to no record
                value = f"TRY(CAST({value} AS {table.columns[name]}))"
            if name in names and self._chance(0.4):
                value = self.random.choice((f"excluded.{name}", f"coalesce(excluded.{name}, {here}.{name})"))
            parts.append(f"{name} = {value}")
        where = f" WHERE {self._condition(scope, asks=False)}" if self._chance(0.3) else ""
        return f" ON CONFLICT{target} DO UPDATE SET {', '.join(parts)}{where}"

    def _update(self) -> str:
        table = self._table("ttuwz")
        alias = self.random.choice((table.name, "al"))
        text = f"UPDATE {table.name}{' AS al' if alias == 'al' else ''} SET "
        scope = [(alias, table.columns)]
        others = [each for each in self.tables.values() if set(each.key) == set(table.key) or each.key == ("id",)]
        if "id" not in table.key or self._chance(0.6):
            where = f" WHERE {self._condition(scope)}" if self._chance(0.85) else ""
            return f"{text}{self._assignments(table, scope)}{where}"
        other = self.random.choice(others)
        shift = " + 1" if other is table else ""
        on = " AND ".join(f"o.{name} = {alias}.{name}{shift if name == 'id' else ''}" for name in other.key)
        inner = f"(SELECT * FROM {other.name} i WHERE {self._condition([('i', other.columns)])})"
        source = self.random.choice((other.name, other.name, inner))
        scope.append(("o", other.columns))
        more = f" AND {self._condition(scope)}" if self._chance(0.4) else ""
        return f"{text}{self._assignments(table, scope)} FROM {source} AS o WHERE {on}{more}"

    def _assignments(self, table: Table, scope: Scope) -> str:
        names = self._some(table.others, 1, 3)
        values = [self._assigned(table.columns[name], scope) for name in names]
        if self._chance(0.15):
            return (
                f"({', '.join(names)}) = ROW({', '.join(values)})"
                if "DEFAULT" not in values
                else f"{names[0]} = DEFAULT"
            )
        return ", ".join(f"{name} = {value}" for name, value in zip(names, values, strict=True))

    def _assigned(self, kind: str, scope: Scope, asks: bool = True) -> str:
        return "DEFAULT" if self._chance(0.08) else self._value(kind, scope, asks=asks)

    def _delete(self) -> str:
        table = self._table("tuwz")
        scope = [(table.name, table.columns)]
        other = self._table("tuw")
        if "id" in table.key and other is not table and self._chance(0.4):
            scope.append(("o", other.columns))
            return f"DELETE FROM {table.name} USING {other.name} AS o WHERE o.id = {table.name}.id AND {self._condition(scope)}"
        return f"DELETE FROM {table.name} WHERE {self._condition(scope)} AND {self._condition(scope)}"

    def _other(self) -> str:
        table = self._table("tuwz")
        if self._chance(0.2):
            return f"TRUNCATE {table.name}"
        self._added += 1
        name, kind = f"added{self._added}", self.random.choice(("INTEGER", "VARCHAR", "DATE"))
        table.columns = {**table.columns, name: kind}
        default = {"INTEGER": "5", "VARCHAR": "'new'", "DATE": "'2024-02-29'"}[kind]
        return f"ALTER TABLE {table.name} ADD COLUMN {name} {kind}{f' DEFAULT {default}' if self._chance(0.6) else ''}"

    # -- rows and sources ----------------------------------------------------------------------------------------------

    def _row(self, table: Table, names: Sequence[str]) -> str:
        cells = []
        for name in names:
            if name in table.key:
                cells.append(self.random.choice(KEYS[name]))
            else:
                value = self._value(table.columns[name], (), asks=False)
                value = f"coalesce({value}, 2.5)" if name == "p" and table.defaults else value
                cells.append("DEFAULT" if self._chance(0.07) else value)
        return f"({', '.join(cells)})"

    def _source(self) -> tuple[str, Scope]:
        one, other = self._table("tuwz"), self._table("tuw")
        scope = [("a", one.columns)]
        if "id" not in one.columns or self._chance(0.5):
            return f"{one.name} AS a", scope
        join = self.random.choice(("JOIN", "LEFT JOIN"))
        return f"{one.name} AS a {join} {other.name} AS c ON a.id = c.id", [*scope, ("c", other.columns)]

    def _key_of(self, name: str, kind: str, scope: Scope) -> str:
        columns = [column for column in _columns(scope, kind) if column.startswith("a.")]
        if name == "k":  # an empty one has no slot
            columns = [column for column in columns if column.endswith(".k")]
        return (
            self.random.choice(columns)
            if columns and self._chance(0.8)
            else f"{self.random.choice(KEYS[name])}::{kind}"
        )

    # -- expressions ---------------------------------------------------------------------------------------------------

    def _greatest(self, kind: str, scope: Scope) -> str:
        """In just that type: DuckDB's `excluded` has the types of the query, and the grid's those of the table."""
        value = f"TRY(CAST({self._value(kind, scope, asks=False)} AS {kind}))"
        return f"max({value}::VARCHAR)::{kind}" if kind in ("JSON", "BOOLEAN", "UUID") else f"max({value})"

    def _value(self, kind: str, scope: Scope, asks: bool = True) -> str:
        columns = _columns(scope, kind)
        if self._chance(0.35):
            return self.random.choice(columns) if columns and self._chance(0.7) else self._literal(kind)
        if asks and scope and self._chance(0.15):
            return self._subquery(kind, scope)
        computed = self._computed(kind, scope)
        return f"TRY(CAST({computed} AS {kind}))" if self._chance(0.8) else f"TRY({computed})"

    def _computed(self, kind: str, scope: Scope) -> str:
        text, number, day = self._of("VARCHAR", scope), self._of("INTEGER", scope), self._of("DATE", scope)
        same, any_number = self._of(kind, scope), self._of(self.random.choice(NUMBERS), scope)
        forms = [
            f"coalesce({same}, {self._constant(kind)})",
            f"CASE WHEN {self._condition(scope, asks=False)} THEN {same} ELSE {self._constant(kind)} END",
        ]
        if kind not in ("JSON", "DATE", "TIMESTAMP"):  # a text may be an infinite one, which a grid does not take
            forms.append(f"CAST({text} AS {kind})")
        if kind in NUMBERS:
            forms += [f"{same} + 1", f"{same} * 2", f"{any_number} / 3", any_number, f"length({text})", f"-{same}"]
            forms += [f"{number} % 5", f"round({any_number}, 1)", f"greatest({same}, {number})", f"year({day})"]
        elif kind == "VARCHAR":
            forms += [f"{text} || '!'", f"{text} || {number}", f"string_split({text}, '-')[1]", f"{text}[1:2]"]
            forms += [f"CAST({any_number} AS VARCHAR)", f"concat({text}, '-', {day})", any_number]
        elif kind == "DATE":
            forms += [f"{day} + 1", f"{day} - INTERVAL 1 MONTH", f"date_trunc('month', {day})"]
        elif kind == "TIMESTAMP":
            forms += [f"{same} + INTERVAL 90 MINUTE", f"{day} + TIME '01:02:03'", day]
        elif kind == "JSON":
            forms += [f"json_object('a', {number}, 's', {text})", f"json_extract({same}, '$.a')", f"to_json({number})"]
        elif kind == "BLOB":
            forms += [f"encode({text})"]
        elif kind == "BOOLEAN":
            forms += [self._condition(scope, asks=False)]
        return self.random.choice(forms)

    def _subquery(self, kind: str, scope: Scope) -> str:
        table = self._table("tuwz")
        inner = [("q", table.columns)]
        column = self._of(kind, inner)
        column = f"{column}::VARCHAR" if kind in ("JSON", "BOOLEAN", "UUID") else column
        chosen = self.random.choice(
            (f"max({column})", f"min({column})", "count(*)" if kind in NUMBERS else f"max({column})")
        )
        where = self.random.choice(
            ("", f" WHERE {self._condition(inner, asks=False)}", f" WHERE {self._met(inner, scope)}")
        )
        return f"(SELECT {chosen} FROM {table.name} AS q{where})"

    def _met(self, inner: Scope, outer: Scope) -> str:
        kind = self.random.choice(("INTEGER", "VARCHAR", "DATE"))
        ones, others = _columns(inner, kind), _columns(outer, kind)
        return f"{self.random.choice(ones)} = {self.random.choice(others)}" if ones and others else "true"

    def _condition(self, scope: Scope, asks: bool = True) -> str:
        kind = self.random.choice(("INTEGER", "VARCHAR", "DATE", "DOUBLE", "DECIMAL(9,2)", "BIGINT", "BOOLEAN"))
        columns = _columns(scope, kind)
        if not columns:
            return self.random.choice(("true", "true", "false", "1 < 2"))
        column = self.random.choice(columns)
        if asks and self._chance(0.25):
            table = self._table("tuwz")
            inner = [("q", table.columns)]
            some = f"FROM {table.name} AS q WHERE {self._met(inner, scope)}"
            there = _columns(inner, kind)
            forms = [f"EXISTS (SELECT 1 {some})", f"NOT EXISTS (SELECT 1 {some})"]
            forms += [f"{column} {word} (SELECT {there[0]} {some})" for word in ("IN", "NOT IN", "<= ANY") if there]
            return self.random.choice(forms)
        if kind == "VARCHAR":
            return self.random.choice(
                (f"{column} LIKE '%1%'", f"{column} > 'a'", f"length({column}) < 3", f"{column} IS NULL")
            )
        if kind == "BOOLEAN":
            return self.random.choice((column, f"NOT {column}", f"{column} IS DISTINCT FROM true"))
        sign = self.random.choice(("=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"))
        return f"({column} {sign} {self._constant(kind)} OR {self.random.choice(columns)} IS NULL)"

    def _of(self, kind: str, scope: Scope) -> str:
        columns = _columns(scope, kind)
        return self.random.choice(columns) if columns and self._chance(0.85) else self._constant(kind)

    def _constant(self, kind: str) -> str:
        return f"CAST({self.random.choice(LITERALS[kind])} AS {kind})"

    def _literal(self, kind: str) -> str:
        return "NULL" if self._chance(0.15) else self.random.choice(LITERALS[kind])

    def _table(self, names: str) -> Table:
        return self.tables[self.random.choice(names)]

    def _some(self, names: Sequence[str], least: int, most: int) -> list[str]:
        return self.random.sample(names, min(len(names), self.random.randint(least, most)))

    def _chance(self, share: float) -> bool:
        return self.random.random() < share


def _columns(scope: Scope, kind: str) -> list[str]:
    return [f"{alias}.{name}" for alias, columns in scope for name, each in columns.items() if each == kind]


def as_seen(table: Table) -> str:
    """A query of all of a table in a form that Python compares."""
    texts = {
        name: f"{name}::VARCHAR AS {name}"
        for name, kind in table.columns.items()
        if kind in ("UUID", "JSON", "HUGEINT")
    }
    return f"SELECT {', '.join(texts.get(name, name) for name in table.columns)} FROM {table.name}"


def with_values(statement: str, random: Random) -> tuple[str, list[Any]]:
    """The statement with some of its constants as parameters: those that are cast, so that their own types do not matter."""
    values: list[Any] = []

    def replaced(found: re.Match[str]) -> str:
        if random.random() < 0.5:
            return found[0]
        values.append(found[1][1:-1] if found[1].startswith("'") else int(found[1]))
        return "CAST(? AS"

    return re.sub(r"CAST\(('[^'\\]*'|\d+) AS", replaced, statement), values
