"""TPC-H's 22 queries over three partitions give the answers of one DuckDB with all rows."""

import math
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from bench.tpch_statements import QUERIES, TABLES
from tests.unit.query.in_process import InProcess, engine_over

from kubegrid.query.engine import Engine

SCALE = "0.02"
"""The smallest at which query 17 finds something to sum up is 0.02; at 0.01 its answer is NULL."""
RELATIVE = 1e-9


@pytest.fixture(scope="module")
def tpch(tmp_path_factory: Any) -> Iterator[InProcess]:
    folder = tmp_path_factory.mktemp("tpch")
    program = Path(sys.executable).with_name("tpchgen-cli")
    subprocess.run([program, "parquet", "-s", SCALE, "--output-dir", folder], check=True, capture_output=True)
    grid = InProcess(3, str(folder))
    for table in TABLES:
        grid.create(table)
        grid.insert(table["name"], pq.read_table(folder / f"{table['name']}.parquet"))
    yield grid
    grid.close()


@pytest.fixture(scope="module")
def engine(tpch: InProcess) -> Iterator[Engine]:
    engine = engine_over(tpch)
    yield engine
    engine.close()


def close(one: Any, other: Any) -> bool:
    if isinstance(one, float | Decimal) and isinstance(other, float | Decimal):
        return math.isclose(one, other, rel_tol=RELATIVE)
    return bool(one == other)


@pytest.mark.parametrize("number", QUERIES)
def test_a_query_of_tpch_gives_duckdbs_answer_in_its_order(tpch: InProcess, engine: Engine, number: int) -> None:
    expected = tpch.expected(QUERIES[number])
    answer = engine.execute(QUERIES[number]).table()
    assert answer.schema.names == expected.schema.names
    assert answer.schema.types == expected.schema.types
    rows = [list(row.values()) for row in answer.to_pylist()]
    wanted = [list(row.values()) for row in expected.to_pylist()]
    assert wanted, "an empty answer proves nothing"
    assert len(rows) == len(wanted)
    for row, right in zip(rows, wanted, strict=True):
        assert all(map(close, row, right)), f"{row} is not {right}"
