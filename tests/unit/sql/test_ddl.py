"""Statements that define tables, from text to the definition that the catalog takes."""

from typing import Any

import pytest
from sqlglot import exp

from kubegrid.sql import ddl, statements
from kubegrid.sql.errors import NotSupported, SqlError, SyntaxProblem, TypeProblem, WriteRefused


def read(text: str) -> Any:
    return ddl.read(statements.parse(text))


def refusal(text: str) -> SqlError:
    with pytest.raises(SqlError) as caught:
        read(text)
    return caught.value


def test_every_clause_of_create_table() -> None:
    made = read(
        """CREATE TABLE IF NOT EXISTS trades (desk VARCHAR, id BIGINT, price DECIMAL(18,4) NOT NULL DEFAULT -1.50,
                                               at TIMESTAMPTZ, note TEXT DEFAULT 'none' NULL, open BOOL DEFAULT true,
                                               PRIMARY KEY (Desk, ID), INDEX HASH (note), INDEX ORDERED (at, price),
                                               INDEX (price), INDEX (id) USING btree, INDEX (desk))
           PARTITION BY (desk) BROADCAST TTL '90 days'"""
    )
    assert made.if_not_exists
    assert made.definition.to_json() == {
        "name": "trades",
        "columns": [
            {"name": "desk", "type": "VARCHAR", "nullable": False, "default": None},
            {"name": "id", "type": "BIGINT", "nullable": False, "default": None},
            {"name": "price", "type": "DECIMAL(18,4)", "nullable": False, "default": "-1.5000"},
            {"name": "at", "type": "TIMESTAMP WITH TIME ZONE", "nullable": True, "default": None},
            {"name": "note", "type": "VARCHAR", "nullable": True, "default": "none"},
            {"name": "open", "type": "BOOLEAN", "nullable": True, "default": True},
        ],
        "key": ["desk", "id"],
        "partition_by": ["desk"],
        "indexes": [
            {"columns": ["note"], "kind": "hash"},
            {"columns": ["at", "price"], "kind": "ordered"},
            {"columns": ["price"], "kind": "ordered"},
            {"columns": ["id"], "kind": "ordered"},
            {"columns": ["desk"], "kind": "hash"},
        ],
        "broadcast": True,
        "ttl": 90 * 86400,
    }


@pytest.mark.parametrize(
    ("clause", "seconds"),
    [
        ("TTL 3600", 3600),
        ("TTL '3600'", 3600),
        ("TTL '1h 30m'", 5400),
        ("TTL '1.5 hours'", 5400),
        ("TTL INTERVAL 7 DAYS", 7 * 86400),
        ("TTL INTERVAL '2 weeks'", 14 * 86400),
        ("WITH (ttl = '30s', broadcast = false)", 30),
    ],
)
def test_times_to_live_as_people_write_them(clause: str, seconds: int) -> None:
    made = read(f"CREATE TABLE t (a INT PRIMARY KEY) {clause}").definition
    assert (made.ttl, made.broadcast) == (seconds, False)


def test_words_of_our_clauses_are_names_where_a_name_stands() -> None:
    made = read('CREATE TABLE t (index INT PRIMARY KEY, ttl INT, broadcast INT, "partition" DATE)').definition
    assert made.names == ("index", "ttl", "broadcast", "partition")
    assert read("CREATE TABLE t (index DECIMAL(9,2) PRIMARY KEY)").definition.columns[0].type.name == "DECIMAL(9,2)"


@pytest.mark.parametrize(
    ("column", "default"),
    [
        ("INTEGER DEFAULT '5'", 5),
        ("DOUBLE DEFAULT (-2)", -2.0),
        ("DATE DEFAULT DATE '2013-01-31'", "2013-01-31"),
        ("TIMESTAMP DEFAULT '2013-01-31 05:00:00'", "2013-01-31T05:00:00"),
        ("VARCHAR DEFAULT 7", "7"),
        ("BLOB DEFAULT 'ab'", "YWI="),
        ("JSON DEFAULT '{\"a\": [1]}'", {"a": [1]}),
        ("HUGEINT DEFAULT 170141183460469231731687303715884105727", 2**127 - 1),
        ("UUID DEFAULT '6BA7B810-9DAD-11D1-80B4-00C04FD430C8'", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("INTEGER DEFAULT NULL", None),
    ],
)
def test_defaults_of_every_kind(column: str, default: Any) -> None:
    made = read(f"CREATE TABLE t (a INT PRIMARY KEY, b {column})").definition
    assert made.to_json()["columns"][1]["default"] == default


def test_a_table_as_a_query_takes_its_types_and_the_declared_names() -> None:
    made = read("CREATE TABLE t (PRIMARY KEY (A), INDEX (b)) TTL 60 AS SELECT 1 AS a, DATE '2013-01-31' AS b")
    assert isinstance(made.query, exp.Query)
    table = made.definition((("a", "INTEGER"), ("b", "DATE")))
    assert [str(column) for column in table.columns] == ["a INTEGER NOT NULL", "b DATE"]
    assert (table.key, table.ttl, table.indexes[0].columns) == (("a",), 60, ("b",))
    renamed = read("CREATE TABLE t (x, y, PRIMARY KEY (y)) AS FROM s")
    assert renamed.definition((("a", "DATE"), ("b", "INTEGER"))).names == ("x", "y")
    with pytest.raises(WriteRefused, match="2 names of columns, and its query 1"):
        renamed.definition((("a", "DATE"),))
    after = read("CREATE TABLE t PRIMARY KEY (a) PARTITION BY (a) AS SELECT 1 AS a").definition((("a", "BIGINT"),))
    assert after.partition_by == ("a",)
    with pytest.raises(WriteRefused, match="'INTERVAL' is not a type"):
        after = made.definition((("a", "INTEGER"), ("b", "INTERVAL")))


def test_columns_are_added() -> None:
    made = read("ALTER TABLE IF EXISTS t ADD COLUMN IF NOT EXISTS x INT NOT NULL DEFAULT 5, ADD y DATE")
    assert (made.table, made.if_exists, made.if_not_exists) == ("t", True, {"x"})
    assert [str(column) for column in made.columns] == ["x INTEGER NOT NULL DEFAULT 5", "y DATE"]


def test_tables_are_dropped_and_truncated() -> None:
    assert read("DROP TABLE a") == ddl.DropTables(("a",), False)
    assert read("DROP TABLE IF EXISTS main.a, b CASCADE") == ddl.DropTables(("a", "b"), True)
    assert read("TRUNCATE a") == read("TRUNCATE TABLE a") == ddl.Truncate(("a",))


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("CREATE TABLE t (a INT)", WriteRefused, "table t has no PRIMARY KEY"),
        ("CREATE TABLE t AS SELECT 1 a", WriteRefused, "CREATE TABLE t \\(PRIMARY KEY \\(column, …\\)\\) AS SELECT"),
        ("CREATE TABLE t (a INT PRIMARY KEY, PRIMARY KEY (a))", NotSupported, "two primary keys"),
        ("CREATE TABLE t (a INTEGR PRIMARY KEY)", WriteRefused, "'INTEGR' is not a type; did you mean 'INTEGER'"),
        ("CREATE TABLE t (a INT, PRIMARY KEY (b))", WriteRefused, "no column 'b'"),
        ("CREATE TABLE t (a INT, a DATE, PRIMARY KEY (a))", WriteRefused, "column a stands there more than once"),
        ("CREATE TABLE t (a INT, b INT, PRIMARY KEY (a, b)) PARTITION BY (b)", WriteRefused, "leading part of key"),
        ("CREATE TABLE t (a DOUBLE PRIMARY KEY)", WriteRefused, "which no key can have"),
        ("CREATE TABLE t (a INT PRIMARY KEY, b INT UNIQUE)", NotSupported, "UNIQUE is not supported"),
        ("CREATE TABLE t (a INT PRIMARY KEY, CHECK (a > 1))", NotSupported, "CHECK is not supported"),
        ("CREATE TABLE t (a INT PRIMARY KEY, b INT REFERENCES x(y))", NotSupported, "REFERENCES is not supported"),
        ("CREATE TABLE t (a INT PRIMARY KEY, b AS (a + 1))", NotSupported, "GENERATED is not supported"),
        ("CREATE TABLE t (a INT PRIMARY KEY, b INT AS (a + 1))", NotSupported, "GENERATED is not supported"),
        (
            "CREATE TABLE t (a INT PRIMARY KEY, b GENERATED ALWAYS AS (a + 1) VIRTUAL)",
            NotSupported,
            "GENERATED is not .*column 38",
        ),
        ("ALTER TABLE t ADD COLUMN b AS (a + 1)", NotSupported, "GENERATED is not supported"),
        ("CREATE TABLE t (a INT PRIMARY KEY, b TIMESTAMP DEFAULT now())", NotSupported, "a default is a constant"),
        (
            "CREATE TABLE t (a INT PRIMARY KEY, b INT DEFAULT 'x')",
            TypeProblem,
            "column b: default: 'x' is not an INTEGER",
        ),
        ("CREATE TABLE t (a INT PRIMARY KEY, INDEX i (a))", NotSupported, "Write INDEX \\(a\\)"),
        ("CREATE TABLE t (a INT PRIMARY KEY) TTL 'soon'", TypeProblem, "TTL 'soon' is no time"),
        ("CREATE TABLE t (a INT PRIMARY KEY) TTL '1 month'", TypeProblem, "is no time"),
        ("CREATE TABLE t (a INT PRIMARY KEY) TTL 0", WriteRefused, "ttl is 0"),
        ("CREATE TABLE t (a INT PRIMARY KEY) WITH (fillfactor = 70)", NotSupported, "is no clause of CREATE TABLE"),
        ("CREATE OR REPLACE TABLE t (a INT PRIMARY KEY)", NotSupported, "DROP TABLE t first"),
        ("CREATE TEMP TABLE t (a INT PRIMARY KEY)", NotSupported, "no temporary tables"),
        ("CREATE TABLE other.t (a INT PRIMARY KEY)", NotSupported, "there are no schemas; write t"),
        ("CREATE INDEX i ON t (a)", NotSupported, "an index is declared with its table"),
        ("CREATE VIEW v AS SELECT 1", NotSupported, "CREATE VIEW is not supported"),
        ("CREATE TABLE t (a INT PRIMARY KEY) FROBNICATE", SyntaxProblem, "this CREATE TABLE is not understood"),
        ("CREATE TABLE t (a INT PRIMARY KEY", SyntaxProblem, "expected here"),
        ("ALTER TABLE t DROP COLUMN a", NotSupported, "can only ADD COLUMN"),
        ("ALTER TABLE t RENAME TO u", NotSupported, "can only ADD COLUMN"),
        ("ALTER TABLE t ALTER COLUMN a TYPE INT", NotSupported, "can only ADD COLUMN"),
        ("ALTER TABLE t ADD COLUMN a INT PRIMARY KEY", WriteRefused, "the key of a table that exists"),
        ("DROP VIEW v", NotSupported, "DROP VIEW is not supported"),
        ("DROP SCHEMA s", NotSupported, "DROP SCHEMA is not supported"),
    ],
)
def test_what_cannot_be_defined_is_refused_with_what_to_do(text: str, kind: type[SqlError], message: str) -> None:
    error = refusal(text)
    assert type(error) is kind, error
    with pytest.raises(SqlError, match=message):
        raise error
