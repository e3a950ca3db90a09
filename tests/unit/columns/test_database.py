"""The DuckDB that statements run in: closed to everything but its tables; its temporary files go with it."""

import os
from pathlib import Path

import pytest

from kubegrid.columns.database import SpillFolder, open_database, quoted

CLOSED = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "COPY (SELECT 1) TO '/tmp/x.csv'",
    "ATTACH '/tmp/x.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 8",
    "SET enable_external_access = true",
    "SET memory_limit = '1TB'",
    "RESET lock_configuration",
    "SELECT * FROM CLOSED",
]


def test_a_transaction_sees_what_there_was_when_it_began(tmp_path: Path) -> None:
    opened = open_database(64 * 2**20, str(tmp_path), 2**20)
    opened.execute("CREATE TABLE t AS SELECT 1 AS a")
    reader = opened.cursor()
    reader.execute("BEGIN TRANSACTION READ ONLY")
    opened.execute("INSERT INTO t VALUES (2)")
    assert reader.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
    opened.close()


@pytest.mark.parametrize("statement", CLOSED)
def test_nothing_but_tables_can_be_reached(tmp_path: Path, statement: str) -> None:
    import duckdb

    database = open_database(64 * 2**20, str(tmp_path), 2**20)
    with pytest.raises(duckdb.Error):
        database.execute(statement).fetchall()
    assert database.execute("SELECT 1").fetchall() == [(1,)]
    database.close()


def test_wide_integers_and_uuids_come_out_as_what_they_are_or_as_what_programs_read(tmp_path: Path) -> None:
    sql = "SELECT 170141183460469231731687303715884105727::HUGEINT AS h, uuid() AS u"
    exact = open_database(64 * 2**20, str(tmp_path), 2**20)
    assert [str(field.type)[:15] for field in exact.sql(sql).to_arrow_table().schema] == ["extension<arrow"] * 2
    plain = open_database(64 * 2**20, str(tmp_path), 2**20, lossless=False)
    assert [str(field.type) for field in plain.sql("SELECT 1::HUGEINT AS h, uuid() AS u").to_arrow_table().schema] == [
        "decimal128(38, 0)",
        "string",
    ]
    exact.close()
    plain.close()


def test_a_folder_for_temporary_files_takes_those_of_dead_processes_with_it(tmp_path: Path) -> None:
    dead = tmp_path / "kubegrid-replica-999999999-x"
    dead.mkdir()
    (dead / "file").write_text("left")
    same = tmp_path / f"kubegrid-replica-{os.getpid()}-x"  # of a process of this number that ran before
    same.mkdir()
    other = tmp_path / "kubegrid-gathering-999999999-x"
    other.mkdir()
    first, second = SpillFolder(str(tmp_path), "replica"), SpillFolder(str(tmp_path), "replica")
    assert not dead.exists() and not same.exists() and other.exists()
    assert Path(first.path).exists() and Path(second.path).exists()
    first.remove()
    first.remove()
    second.remove()
    assert list(tmp_path.iterdir()) == [other]


def test_names_are_quoted() -> None:
    assert quoted('a"b') == '"a""b"'
