"""Whatever is written in place of a statement that writes or defines, the answer is an error of SQL, never another one."""

from random import Random
from typing import Any

import pytest

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.sql import ddl, dml, dml_conflicts, dml_values, statements
from kubegrid.sql.errors import SqlError

T: dict[str, Any] = {
    "name": "t",
    "columns": [
        {"name": "a", "type": "BIGINT"},
        {"name": "b", "type": "VARCHAR", "default": "x"},
        {"name": "c", "type": "DECIMAL(9,2)"},
    ],
    "key": ["a"],
}
CATALOG = Catalog().create(parse_definition(None, T)).create(parse_definition("u", T | {"name": "u"}))
STATEMENTS = [
    "CREATE TABLE IF NOT EXISTS x (a BIGINT NOT NULL DEFAULT -5, b VARCHAR DEFAULT 'q', PRIMARY KEY (a, b), INDEX HASH (b), "
    "INDEX (b) USING BTREE) PARTITION BY (a) BROADCAST TTL '90 days'",
    "CREATE TABLE x (PRIMARY KEY (a), INDEX (b)) TTL INTERVAL 1 DAY AS SELECT a, b FROM t WHERE a > 5",
    "CREATE TABLE x PRIMARY KEY (a) PARTITION BY (a) WITH (ttl = '1h') AS FROM t",
    "ALTER TABLE t ADD COLUMN IF NOT EXISTS z INTEGER NOT NULL DEFAULT 5, ADD COLUMN y DATE",
    "DROP TABLE IF EXISTS t, u CASCADE",
    "TRUNCATE TABLE t",
    "INSERT INTO t (a, b, c) VALUES (1, 'x', 2.5), (2, DEFAULT, NULL) ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b || t.b, "
    "(c) = (5) WHERE t.a > 1",
    "INSERT OR REPLACE INTO t BY NAME SELECT a, 'k' AS b FROM u",
    "WITH q AS (SELECT 1 AS a) INSERT INTO t (a) SELECT a FROM q ON CONFLICT DO NOTHING",
    "UPDATE t AS x SET b = DEFAULT, (c) = (x.c + 1) FROM u, (SELECT 1) AS v(k) WHERE x.a = u.a AND u.c IN (1, 2)",
    "DELETE FROM t AS x USING u JOIN t ON t.a = u.a WHERE x.a = u.a",
]
MORE = (
    "SELECT * 1 'a' NULL DEFAULT ON = UNIQUE CHECK ? || - AS INDEX KEY LIMIT ORDER RETURNING VALUES CAST :: INT[] x.y.z"
)
MORE += " STRUCT(a INT) ENUM('a') GENERATED ALWAYS COLLATE REFERENCES { } [ ] ; -- /* $1"


def words(text: str) -> list[str]:
    for sign in "(),":
        text = text.replace(sign, f" {sign} ")
    return text.split()


VOCABULARY = [word for text in STATEMENTS for word in words(text)] + MORE.split()


def mutated(random: Random) -> str:
    said = words(random.choice(STATEMENTS))
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(said))
        match random.randrange(3):
            case 0:
                del said[place]
            case 1:
                said.insert(place, random.choice(VOCABULARY))
            case _:
                other = random.randrange(len(said))
                said[place], said[other] = said[other], said[place]
    return " ".join(said)


def read(text: str) -> None:
    """As far as a statement is read without a database."""
    statement = statements.parse(text)
    if statement.kind in (statements.INSERT, statements.UPDATE, statements.DELETE):
        change = dml.read(statement, CATALOG)
        if isinstance(change, dml.Insert):
            if change.conflict.action == dml_conflicts.MERGE:
                dml_conflicts.merged(change.table, change.conflict)
            if change.query is None:
                dml_values.rows(change.rows, [change.table.column(name) for name in change.columns])
                return
        change.query.sql("duckdb")
    elif statement.kind in (statements.CREATE, statements.CTAS, statements.ALTER, statements.DROP, statements.TRUNCATE):
        made = ddl.read(statement)
        if isinstance(made, ddl.CreateTableAs):
            made.definition((("a", "BIGINT"), ("b", "VARCHAR")))


@pytest.mark.parametrize("seed", range(8))
def test_a_mutilated_statement_is_understood_or_refused(seed: int) -> None:
    random = Random(seed)
    understood = 0
    for _ in range(100):
        text = mutated(random)
        try:
            read(text)
            understood += 1
        except SqlError as error:
            assert error.message, text
    assert 0 < understood < 100
