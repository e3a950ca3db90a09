"""INSERT, UPDATE and DELETE, from text to the SELECT that computes them and what its rows are for."""

from typing import Any

import pytest

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.sql import dml, dml_conflicts, dml_values, statements
from kubegrid.sql.errors import NotSupported, SqlError, TypeProblem, UnknownName, WriteRefused

TRADES = parse_definition(
    None,
    {
        "name": "trades",
        "columns": [
            {"name": "desk", "type": "VARCHAR"},
            {"name": "id", "type": "BIGINT"},
            {"name": "price", "type": "DECIMAL(9,2)", "default": "1.50"},
            {"name": "note", "type": "VARCHAR"},
            {"name": "lots", "type": "HUGEINT", "nullable": False, "default": 1},
        ],
        "key": ["desk", "id"],
    },
)
STRICT = parse_definition(
    None,
    {
        "name": "strict",
        "columns": [{"name": "id", "type": "INTEGER"}, {"name": "must", "type": "INTEGER", "nullable": False}],
        "key": ["id"],
    },
)
CATALOG = Catalog().create(TRADES).create(STRICT)


def read(text: str) -> Any:
    return dml.read(statements.parse(text), CATALOG)


def query(text: str) -> str:
    return read(text).query.sql("duckdb")


# -- UPDATE and DELETE -------------------------------------------------------------------------------------------------


def test_an_update_selects_whole_records_with_their_versions() -> None:
    change = read("UPDATE Trades SET Note = upper(note), price = DEFAULT WHERE id > 5")
    assert (change.table.name, change.assigned) == ("trades", ("note", "price"))
    assert change.query.sql("duckdb") == (
        'SELECT "Trades"."desk" AS c0, "Trades"."id" AS c1, CAST(\'1.50\' AS DECIMAL(9, 2)) AS c2, UPPER(note) AS c3, '
        'CAST(CAST("Trades"."lots" AS INT128) AS TEXT) AS c4, "Trades"."__version" AS c5 FROM Trades WHERE id > 5'
    )


def test_an_alias_other_tables_and_ctes_stay_what_they_are() -> None:
    text = query(
        "WITH q AS (SELECT 1 AS k) UPDATE trades AS t SET (note, price) = (s.note, 2) FROM strict s JOIN q ON q.k = s.id "
        "WHERE t.id = s.id"
    )
    assert text.startswith("WITH q AS (SELECT 1 AS k) SELECT ")
    assert "s.note AS c3, " in text and "2 AS c2, " in text
    assert text.endswith('"t"."__version" AS c5 FROM trades AS t, strict AS s JOIN q ON q.k = s.id WHERE t.id = s.id')


@pytest.mark.parametrize(
    "source",
    [
        "strict AS s NATURAL JOIN strict AS r",
        "(VALUES (1, 2)) AS v(id, n) NATURAL JOIN strict",
        "(VALUES (1)) AS v(id) LEFT JOIN strict USING (id)",
        "LATERAL UNNEST([1, 2]) AS v(id) NATURAL JOIN strict",
    ],
)
def test_what_is_joined_to_any_source_of_other_rows_is_read(source: str) -> None:
    assert query(f"UPDATE trades SET price = 2 FROM {source}").endswith(f"FROM trades, {source}")
    assert query(f"DELETE FROM trades USING {source}").endswith(f"FROM trades, {source}")
    assert query(f"DELETE FROM trades USING {source.removeprefix('LATERAL ')}").endswith(f"FROM trades, {source}")


def test_a_delete_selects_keys_and_versions() -> None:
    assert query("DELETE FROM trades") == (
        'SELECT "trades"."desk" AS c0, "trades"."id" AS c1, "trades"."__version" AS c2 FROM trades'
    )
    assert query("DELETE FROM trades t USING strict, (SELECT 1) AS u(k) WHERE t.id = u.k").endswith(
        "FROM trades AS t, strict, (SELECT 1) AS u(k) WHERE t.id = u.k"
    )


# -- INSERT ------------------------------------------------------------------------------------------------------------


def test_columns_of_an_insert_are_found_upper_and_lower_case_alike() -> None:
    change = read("INSERT INTO trades (ID, Desk) SELECT id, must FROM strict")
    assert change.columns == ("id", "desk")
    assert change.conflict == dml.Conflict(dml_conflicts.FAIL)
    assert change.named(("whatever", "names")).columns == ("id", "desk")
    assert read("INSERT INTO strict BY POSITION VALUES (1, 2)") == read("INSERT INTO strict VALUES (1, 2)")
    assert read("INSERT INTO trades BY NAME SELECT 1").named(("ID", "desk")).columns == ("id", "desk")


def test_rows_of_values_are_cast_each_by_itself() -> None:
    change = read("INSERT INTO trades VALUES ('a''b', 1, DEFAULT, NULL, 5), ('c', 1 + 1, 2.345, 'x', DEFAULT)")
    columns = [change.table.column(name) for name in change.columns]
    assert dml_values.rows(change.rows, columns) == (
        "SELECT * FROM (VALUES (CAST('a''b' AS VARCHAR), CAST(1 AS BIGINT), CAST(CAST('1.50' AS DECIMAL(9, 2)) AS DECIMAL(9,2)), "
        "CAST(NULL AS VARCHAR), CAST(CAST(5 AS HUGEINT) AS VARCHAR)), (CAST('c' AS VARCHAR), CAST(1 + 1 AS BIGINT), "
        "CAST(2.345 AS DECIMAL(9,2)), CAST('x' AS VARCHAR), CAST(CAST(CAST('1' AS INT128) AS HUGEINT) AS VARCHAR))) "
        "AS given(c0, c1, c2, c3, c4)"
    )
    assert not dml_values.asks_tables(change.rows)
    assert dml_values.asks_tables(read("INSERT INTO strict VALUES (1, (SELECT max(id) FROM trades))").rows)


def test_default_values_are_a_row_of_defaults() -> None:
    columns = [{"name": "id", "type": "BIGINT", "nullable": False, "default": 7}, {"name": "note", "type": "VARCHAR"}]
    table = parse_definition("all_of_it", {"columns": columns, "key": ["id"]})
    change = dml.read(statements.parse("INSERT INTO all_of_it DEFAULT VALUES"), Catalog().create(table))
    assert isinstance(change, dml.Insert)
    assert (change.columns, change.rows) == (("id", "note"), ((None, None),))


@pytest.mark.parametrize(
    ("clause", "action"),
    [
        ("", dml_conflicts.FAIL),
        ("ON CONFLICT DO NOTHING", dml_conflicts.NOTHING),
        ("ON CONFLICT (ID, desk) DO NOTHING", dml_conflicts.NOTHING),
        ("ON CONFLICT DO UPDATE SET note = 'x'", dml_conflicts.MERGE),
    ],
)
def test_what_becomes_of_a_key_that_is_there(clause: str, action: str) -> None:
    assert read(f"INSERT INTO trades (desk, id) VALUES ('a', 1) {clause}").conflict.action == action


def test_do_update_is_a_select_over_the_rows_given_and_the_records_there() -> None:
    change = read(
        "INSERT INTO trades AS t (desk, id, note) VALUES ('a', 1, 'n') "
        "ON CONFLICT DO UPDATE SET note = note || EXCLUDED.note, price = DEFAULT WHERE t.id > 0"
    )
    assert dml_conflicts.merged(change.table, change.conflict) == (
        'SELECT excluded.__place, "t".__version, "t"."desk" AS "desk", "t"."id" AS "id", '
        'CAST(\'1.50\' AS DECIMAL(9, 2)) AS "price", "t".note || EXCLUDED.note AS "note", '
        'CAST(CAST("t"."lots" AS INT128) AS TEXT) AS "lots" '
        'FROM excluded JOIN "t" ON "excluded"."desk" = "t"."desk" AND "excluded"."id" = "t"."id" WHERE t.id > 0'
    )


def test_insert_or_replace_sets_the_columns_that_are_given() -> None:
    conflict = read("INSERT OR REPLACE INTO trades (desk, id, note) VALUES ('a', 1, 'n')").conflict
    assert (conflict.action, [name for name, _ in conflict.assigned]) == (dml_conflicts.MERGE, ["note"])
    by_name = read("INSERT OR REPLACE INTO trades BY NAME SELECT 'n' AS note, 1 AS id, 'a' AS desk")
    conflict = by_name.named(("note", "id", "desk")).conflict
    assert (conflict.action, [name for name, _ in conflict.assigned]) == (dml_conflicts.MERGE, ["note"])
    assert read("INSERT OR IGNORE INTO trades (desk, id) VALUES ('a', 1)").conflict.action == dml_conflicts.NOTHING


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("UPDATE trade SET note = 1", UnknownName, "no table 'trade'; did you mean 'trades'?"),
        ("UPDATE trades SET nota = 1", UnknownName, "no column 'nota'; did you mean 'note'?"),
        ("UPDATE trades SET id = 1", WriteRefused, "INSERT the record under its other key and DELETE this one"),
        ("UPDATE trades SET note = 1, note = 2", TypeProblem, "column note is set twice"),
        ("UPDATE trades SET strict.note = 1", NotSupported, "only columns of table trades can be set"),
        ("UPDATE trades SET (note, price) = (1, 2, 3)", TypeProblem, "2 columns are to be set, and 3 values are given"),
        ("UPDATE strict SET must = DEFAULT", WriteRefused, "column must is NOT NULL and has no default"),
        ("UPDATE trades SET price = DEFAULT + 1", TypeProblem, "DEFAULT stands alone"),
        ("INSERT INTO strict VALUES (1, coalesce(DEFAULT, 2))", TypeProblem, "DEFAULT stands alone"),
        ("UPDATE trades SET note = 1 RETURNING id", NotSupported, "RETURNING is not supported"),
        ("UPDATE trades SET note = 1 LIMIT 5", NotSupported, "no ORDER BY and no LIMIT"),
        ("DELETE FROM other.trades", NotSupported, "there are no schemas; write trades"),
        ("INSERT INTO trades VALUES (1, 2)", TypeProblem, "5 columns are to be written in table trades"),
        ("INSERT INTO trades (desk, nope) VALUES (1, 2)", UnknownName, "no column 'nope'"),
        ("INSERT INTO trades (desk, desk) VALUES (1, 2)", TypeProblem, "names column desk of table trades twice"),
        ("INSERT INTO strict (id) VALUES (1)", WriteRefused, "column must of table strict is NOT NULL"),
        ("INSERT INTO strict DEFAULT VALUES", WriteRefused, "column id of table strict is NOT NULL"),
        ("INSERT INTO strict BY NAME VALUES (1, 2)", NotSupported, "BY NAME is for a SELECT"),
        ("INSERT INTO strict VALUES (1, 2) ON CONFLICT (must) DO NOTHING", WriteRefused, "and that is \\(id\\)"),
        ("INSERT INTO strict VALUES (1, 2) ON CONFLICT DO UPDATE SET id = 2", WriteRefused, "part of the key"),
        (
            "INSERT INTO strict VALUES (1, 2) ON CONFLICT (id) WHERE must > 1 DO NOTHING",
            NotSupported,
            "WHERE .* before DO",
        ),
        (
            "INSERT INTO strict VALUES (1, 2) ON CONFLICT DO UPDATE SET must = (SELECT 1)",
            NotSupported,
            "a subquery cannot stand in DO UPDATE",
        ),
        (
            "INSERT OR IGNORE INTO strict VALUES (1, 2) ON CONFLICT DO NOTHING",
            NotSupported,
            "say two things of one key",
        ),
        ("INSERT INTO strict VALUES (1, 2) ON DUPLICATE KEY UPDATE must = 3", SqlError, "ON CONFLICT|expected|belong"),
    ],
)
def test_what_cannot_be_written_is_refused_with_what_to_do(text: str, kind: type[SqlError], message: str) -> None:
    with pytest.raises(kind, match=message):
        read(text)


def test_a_query_with_other_columns_than_the_insert_is_refused() -> None:
    with pytest.raises(TypeProblem, match="2 columns are to be written in table trades, and its query gives 1"):
        read("INSERT INTO trades (desk, id) SELECT 1").named(("1",))
    with pytest.raises(UnknownName, match="did you mean 'note'"):
        read("INSERT INTO trades BY NAME SELECT 1 AS noted").named(("noted",))


def test_integers_of_128_bits_in_a_query_are_handed_over_as_text() -> None:
    given = read("INSERT INTO trades (desk, id) SELECT k, n FROM s").query
    assert dml.handed_over(given, (("k", "VARCHAR"), ("n", "BIGINT"))) is given
    assert dml.handed_over(given, (("k", "VARCHAR"), ("n", "UHUGEINT"))).sql("duckdb") == (
        'SELECT given.c0 AS "k", CAST(given.c1 AS TEXT) AS "n" FROM (SELECT k, n FROM s) AS given(c0, c1)'
    )


def test_explain_is_given_the_select() -> None:
    deleted = statements.parse("DELETE FROM strict WHERE id = 1")
    shown = dml.source(deleted, CATALOG)
    assert shown is not None and shown.sql("duckdb").endswith("FROM strict WHERE id = 1")
    assert dml.source(statements.parse("INSERT INTO strict VALUES (1, 2)"), CATALOG) is None
