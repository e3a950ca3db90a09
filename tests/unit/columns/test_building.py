"""A table's first copy: no more of it than a few MiB is on its way at a time."""

from typing import Any

import pytest

from kubegrid.base.table_definitions import parse_definition
from kubegrid.columns import building
from kubegrid.columns.building import Build
from kubegrid.columns.conversion import Conversion
from kubegrid.columns.database import open_database
from kubegrid.columns.delta import INSERT_BYTES
from kubegrid.store.changes import Met
from kubegrid.store.records import record_of
from kubegrid.wire.rows import RowCodec

MIB = 2**20
LENGTH = 1_000_000


def test_large_records_go_into_the_table_a_few_at_a_time(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [{"name": "id", "type": "BIGINT"}, {"name": "text", "type": "VARCHAR"}]
    definition = parse_definition("papers", {"columns": columns, "key": ["id"]})
    codec = RowCodec(definition)
    database = open_database(256 * MIB, str(tmp_path), 2**30)
    inserted: list[int] = []
    insert = building.insert

    def watched(cursor: Any, incoming: Any, statement: str) -> Any:
        inserted.append(incoming.nbytes)
        return insert(cursor, incoming, statement)

    monkeypatch.setattr(building, "insert", watched)
    database.execute(f"CREATE SCHEMA {building.HIDDEN}")
    build = Build(database.cursor(), Conversion(definition))
    for first in range(1, 41, 10):
        records = [record_of(1, version, codec.encode((version, "x" * LENGTH))) for version in range(first, first + 10)]
        build.put(Met(records, []))
    build.finish()
    assert database.sql("SELECT count(*), sum(length(text)) FROM papers").fetchall() == [(40, 40 * LENGTH)]
    assert len(inserted) >= 4
    assert max(inserted) <= INSERT_BYTES + MIB + 1000
    database.close()
