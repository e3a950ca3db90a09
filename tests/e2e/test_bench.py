"""The benchmarks run, and their small versions hold the limits that the large ones are measured by."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_bench(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )


def test_failovers_and_hand_overs_stay_within_their_limits() -> None:
    done = run_bench("bench.failover", "--kills", "3", "--hand-overs", "3", "--saturate-seconds", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 lost" in done.stdout
    assert "0 failed" in done.stdout


def test_the_comparison_with_redis_prints_its_table() -> None:
    done = run_bench("bench.redis_ratio", "--rounds", "1", "--seconds", "0.2", "--only", "throughput")
    rows = [line for line in done.stdout.splitlines() if line.startswith(("| no backup", "| synchronous backup"))]
    assert len(rows) == 2 * 2 * 3, done.stdout + done.stderr
