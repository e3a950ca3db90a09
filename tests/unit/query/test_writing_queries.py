"""What a writing statement may ask: `__version` by its name, never by a `*`."""

from pathlib import Path
from typing import Any

import pytest
import sqlglot
from tests.unit.query.conftest import TRADES_COUNT
from tests.unit.query.in_process import InProcess

from kubegrid.base.settings import SqlSettings
from kubegrid.query import writing_changes
from kubegrid.query.engine import Engine
from kubegrid.query.writer import Queries, Written
from kubegrid.sql import dml
from kubegrid.sql.errors import TooMuch, TypeProblem, UnknownName


class Asking:
    """A writer that asks, and changes nothing."""

    def __init__(self, ask: Any) -> None:
        self.ask = ask

    def execute(self, statement: Any, queries: Queries, **_: Any) -> Written:
        self.answer = self.ask(queries)
        return Written(0)


def asked(grid: InProcess, ask: Any) -> Any:
    writer = Asking(ask)
    engine = Engine(lambda: grid.catalog, grid, writer, SqlSettings())
    try:
        result = engine.execute("DELETE FROM trades")
        assert result.table().to_pylist() == [{"Count": 0}]
        assert engine.running == 0
    finally:
        engine.close()
    return writer.answer


class Slow:
    """A writer that is done just when the statement's time is over."""

    def execute(self, statement: Any, queries: Queries, *, cancelled: Any, **_: Any) -> Written:
        while not cancelled():
            pass
        return Written(3, statement_id="ab" * 16)


def test_what_was_done_is_told_even_after_the_statements_time(grid: InProcess) -> None:
    engine = Engine(lambda: grid.catalog, grid, Slow(), SqlSettings())
    result = engine.execute("DELETE FROM trades", timeout_s=1)
    assert (result.rows_changed, result.statement_id) == (3, "ab" * 16)
    assert result.table().to_pylist() == [{"Count": 3}]
    assert engine.running == 0
    engine.close()


def test_a_statement_that_reads_more_than_can_be_written_here_ends_before_it_has_read_all(
    grid: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An UPDATE of everything is quickly typed; what it would make of the rows is several times their size."""
    monkeypatch.setattr(writing_changes, "SMALL_BYTES", 1000)
    writer = Asking(lambda queries: writing_changes.selected(query("SELECT * FROM trades"), queries).num_rows)
    left_bytes = 1 << 40
    engine = Engine(lambda: grid.catalog, grid, writer, SqlSettings(), lambda wanted: min(wanted, left_bytes))
    engine.execute("DELETE FROM trades")
    assert writer.answer == TRADES_COUNT
    left_bytes = 20_000
    with pytest.raises(TooMuch, match=r"more records than this member has memory for: .* 19.5Ki are left"):
        engine.execute("DELETE FROM trades")
    engine.close()


def query(text: str) -> Any:
    return sqlglot.parse_one(text, read="duckdb")


def test_the_version_of_records_can_be_asked_for(grid: InProcess) -> None:
    text = 'SELECT trades.id, trades."__version" AS v, trades."__version" FROM trades WHERE trades.id < 3'

    def ask(queries: Queries) -> Any:
        rows = [tuple(row.values()) for batch in queries.select(query(text)) for row in batch.to_pylist()]
        return queries.columns(query(text)), sorted(rows)

    columns, rows = asked(grid, ask)
    assert columns == (("id", "BIGINT"), ("v", "UBIGINT"), ("__version", "UBIGINT"))
    assert rows == [(0, 1, 1), (1, 2, 2), (2, 3, 3)]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM desks",
        "SELECT d.* FROM desks d JOIN (SELECT * FROM trades) t USING (desk)",
        "SELECT * FROM (SELECT * FROM desks) AS d",
    ],
)
def test_a_star_never_includes_the_version(grid: InProcess, text: str) -> None:
    names = asked(grid, lambda queries: [name for name, _ in queries.columns(query(text))])
    assert names == ["desk", "city"]
    batches = asked(grid, lambda queries: list(queries.select(query(text))))
    assert batches[0].schema.names == ["desk", "city"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("DELETE FROM trades\n  USING desk b WHERE b.desk = 'x'", "desk b"),
        ("EXPLAIN DELETE FROM trades USING desk b WHERE b.desk = 'x'", "desk b"),
        ("UPDATE trades SET price = prize", "prize"),
        ("INSERT INTO trades BY NAME SELECT dsk FROM trades", "dsk"),
        ("INSERT INTO trades SELECT id, dsk FROM trades ON CONFLICT DO NOTHING", "dsk"),
        ("UPDATE trades SET price = prize + ?", ""),
    ],
)
def test_an_error_shows_its_place_in_the_statement_as_it_was_given(grid: InProcess, text: str, word: str) -> None:
    class Reading:
        def execute(self, statement: Any, queries: Queries, **_: Any) -> Written:
            change = dml.read(statement, queries.catalog)
            assert change.query is not None
            queries.columns(change.query)
            raise AssertionError("no error")

    engine = Engine(lambda: grid.catalog, grid, Reading(), SqlSettings())
    with pytest.raises(UnknownName) as failed:
        engine.execute(text, [1] * text.count("?"))
    engine.close()
    line, column = failed.value.line, failed.value.column
    assert (line, bool(failed.value.where)) == (text.count("\n") + 1 if word else 0, bool(word))
    assert text.split("\n")[line - 1][column - 1 :].startswith(word)


def test_a_small_question_sees_only_the_tables_it_is_given(grid: InProcess, tmp_path: Path) -> None:
    def ask(queries: Queries) -> Any:
        rows = next(iter(queries.select(query("SELECT count(*) AS n FROM trades"))))
        import pyarrow as pa

        return queries.local("SELECT n + 1 AS more FROM given", {"given": pa.Table.from_batches([rows])})

    assert asked(grid, ask).to_pylist() == [{"more": TRADES_COUNT + 1}]
    with pytest.raises(TypeProblem, match="Could not convert"):
        asked(grid, lambda queries: queries.local("SELECT 'x'::INTEGER", {}))
