"""A small grid in this process: trades in three partitions, desks broadcast."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.unit.query.in_process import InProcess, engine_over

from kubegrid.query.engine import Engine

TRADES = {
    "name": "trades",
    "columns": [
        {"name": "id", "type": "BIGINT", "nullable": False},
        {"name": "desk", "type": "VARCHAR"},
        {"name": "price", "type": "DECIMAL(10,2)"},
        {"name": "tag", "type": "UUID"},
    ],
    "key": ["id"],
}
DESKS = {
    "name": "desks",
    "columns": [{"name": "desk", "type": "VARCHAR", "nullable": False}, {"name": "city", "type": "VARCHAR"}],
    "key": ["desk"],
    "broadcast": True,
}
TRADES_COUNT = 3000


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[InProcess]:
    grid = InProcess(3, str(tmp_path))
    grid.create(TRADES)
    grid.create(DESKS)
    grid.insert(
        "trades",
        [
            (number, ("FX", "IR", "EQ", None)[number % 4], Decimal(number) / 4, str(UUID(int=number)))
            for number in range(TRADES_COUNT)
        ],
    )
    grid.insert("desks", [("FX", "London"), ("IR", "Paris"), ("EQ", "Tokyo"), ("CO", "Oslo")])
    yield grid
    grid.close()


@pytest.fixture
def engine(grid: InProcess) -> Iterator[Engine]:
    engine = engine_over(grid)
    yield engine
    engine.close()


def rows(engine: Engine, text: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in engine.execute(text, parameters).table().to_pylist()]
