"""Rows that were put over Arrow Flight and refused leave the member's memory at once, without the garbage collector, which
looks at nothing old in a member."""

import gc
import json
import weakref
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import flight
from tests.integration.member_processes import wait_until

import kubegrid
from kubegrid.node.sql_ingest import Ingest

COUNT = 5000


def test_nothing_is_left_of_rows_that_were_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    write = Ingest.write

    def watched(self: Ingest, table: str, batch: Any, options: dict[str, Any]) -> int:
        seen.append(weakref.ref(batch))
        return write(self, table, batch, options)

    monkeypatch.setattr(Ingest, "write", watched)
    rows = pa.record_batch([pa.array(range(COUNT), pa.int64()), pa.array(["x" * 1000] * COUNT)], ["id", "text"])
    with kubegrid.local() as grid:
        columns = [{"name": "id", "type": "BIGINT"}, {"name": "text", "type": "VARCHAR"}]
        grid.table({"columns": columns, "key": ["id"]}, name="papers").write({"id": COUNT - 1, "text": "there"})
        address = wait_until(
            lambda: json.loads(grid.execute("KG.ENDPOINTS"))[0]["flight"], 30, "the member listens for Flight"
        )
        gc.collect()
        gc.disable()
        try:
            with flight.connect(f"grpc://{address}") as client:
                before = pa.total_allocated_bytes()
                writer, reader = client.do_put(flight.FlightDescriptor.for_path("table", "papers"), rows.schema)
                writer.write_with_metadata(rows, b'{"mode": "fail"}')
                writer.done_writing()
                with pytest.raises(flight.FlightServerError, match=r"exists|were written"):
                    while reader.read() is not None:
                        pass
                    writer.close()
                del writer, reader
            assert len(seen) == 1
            assert seen[0]() is None
            assert pa.total_allocated_bytes() < before + rows.nbytes // 4
        finally:
            gc.enable()
