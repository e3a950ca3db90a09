"""The parts of a pod's SQL: made when they are asked for, closed so that whoever asks goes before who is asked."""

from types import SimpleNamespace
from typing import Any

import pytest

from kubegrid.node.sql_service import CLOSED_IN_ORDER, SqlService
from kubegrid.sql.errors import Unavailable


class Part:
    def __init__(self, name: str, closed: list[str], fails: bool = False) -> None:
        self._name = name
        self._closed = closed
        self._fails = fails

    def close(self) -> None:
        self._closed.append(self._name)
        if self._fails:
            raise OSError("it does not close")


def service() -> SqlService:
    config = SimpleNamespace(grid="g", grid_id="1", name="p0-0", partition=0)
    pod: Any = SimpleNamespace(config=config, secret=None)
    return SqlService(pod)


@pytest.mark.parametrize("fails", ["", "engine", "partitions"])
def test_statements_end_before_what_they_work_with_in_whatever_order_it_was_made(fails: str) -> None:
    made = service()
    closed: list[str] = []
    for name in ("partitions", "engine", "caller", "fragments", "ingest"):
        made._part(name, lambda name=name: Part(name, closed, name == fails))  # type: ignore[misc]
    try:
        made.close()
    except OSError:
        assert fails
    assert closed == ["engine", "ingest", "fragments", "partitions", "caller"] == list(CLOSED_IN_ORDER)
    with pytest.raises(Unavailable, match="p0-0 is about to end"):
        made.engine()
    made.close()
