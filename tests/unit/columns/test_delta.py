"""What came since a copy was brought up to date: no more of it than a few MiB is on its way into the copy at a time."""

from typing import Any

import pytest

from kubegrid.base.table_definitions import parse_definition
from kubegrid.columns import delta
from kubegrid.columns.conversion import Conversion
from kubegrid.columns.database import open_database
from kubegrid.columns.delta import INSERT_BYTES, Change, Copy
from kubegrid.store.changes import Captured
from kubegrid.store.records import record_of
from kubegrid.wire.rows import RowCodec

MIB = 2**20
LENGTH = 1_000_000
COUNT = 40


def test_large_records_that_changed_go_into_the_table_a_few_at_a_time(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = [{"name": "id", "type": "BIGINT"}, {"name": "text", "type": "VARCHAR"}]
    definition = parse_definition("papers", {"columns": columns, "key": ["id"]})
    codec = RowCodec(definition)
    conversion = Conversion(definition)
    database = open_database(256 * MIB, str(tmp_path), 2**30)
    database.execute(f"CREATE TABLE papers ({conversion.declared})")
    made: list[int] = []
    inserted: list[tuple[int, int]] = []
    convert, insert = Conversion.convert, delta.insert

    def watched(self: Conversion, records: Any) -> Any:
        batch = convert(self, records)
        made.append(batch.nbytes)
        return batch

    def watched_insert(cursor: Any, incoming: Any, statement: str) -> Any:
        inserted.append((incoming.nbytes, sum(made)))
        return insert(cursor, incoming, statement)

    monkeypatch.setattr(Conversion, "convert", watched)
    monkeypatch.setattr(delta, "insert", watched_insert)
    copy = Copy(definition, 1, 0, 1, 1)
    for first in (1, 1 + COUNT):
        versions = range(first, first + COUNT)
        added = {version: record_of(1, version, codec.encode((version % COUNT, "x" * LENGTH))) for version in versions}
        gone = set(range(1, first))
        change = Change(copy, Captured(added, gone, 1, [], set()))
        change.carry_out(database)
        change.done()
        assert not added
        assert not gone
        assert (copy.rows, copy.dead) == (COUNT, first - 1)
        found = database.sql("SELECT list(__version ORDER BY rowid), sum(length(text)) FROM papers").fetchall()
        assert found == [(list(versions), COUNT * LENGTH)]
    carried = 0
    for size, made_then in inserted:
        if size > MIB:  # else it is the versions that are gone
            carried += size
            assert size <= INSERT_BYTES + MIB + 1000
            assert made_then == carried, "what the next insertion takes was made already"
    assert carried >= 2 * COUNT * LENGTH
    database.close()
