"""The benchmarks run and tell the truth. Whether their limits are reached is for a quiet machine, not for a test."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from bench import redis_ratio
from tests.e2e.live_grid import live_grid

ROOT = Path(__file__).resolve().parents[2]
OUTAGE_MAX_MS = 10_000
"""Of a failover that ends by itself; how short it is is for a quiet machine."""


def test_failovers_lose_nothing_and_hand_overs_fail_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.failover", "--kills", "2", "--hand-overs", "3", "--saturate-seconds", "0"],
        cwd=ROOT, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert " writes acknowledged, 0 lost" in done.stdout, done.stdout + done.stderr
    assert " requests, 0 failed, " in done.stdout
    outages = [int(found) for found in re.findall(r"outage (\d+) ms", done.stdout)]
    assert len(outages) == 2
    assert max(outages) <= OUTAGE_MAX_MS


def test_the_comparison_with_redis_prints_both_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(redis_ratio, "PIPELINES", (16,))
    with (
        redis_ratio.running_redis(replica=False) as (theirs, _),
        live_grid(tmp_path, partitions=1, backups=0) as grid,
    ):
        redis_ratio.throughput("no backup", grid.port, theirs, rounds=1, seconds=0.2)
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    assert [row[2].strip() for row in rows] == ["SET", "GET"]
    assert all(float(row[column].replace(",", "")) > 1000 for row in rows for column in (4, 5))
