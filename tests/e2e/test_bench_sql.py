"""The benchmarks of SQL run, compare answers, and tell the truth. Whether their limits are reached is for a quiet machine."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done.stdout


def test_statements_are_compared_alone_and_while_rows_change() -> None:
    told = run("bench.sql", "--rows", "20000", "--rounds", "1", "--seconds", "1", "--peers", "duckdb")
    assert len(re.findall(r"^\| (?:filter, aggregate|star join|point lookup by key) \|", told, re.MULTILINE)) == 6
    assert "changed rows cost the next query" in told
    assert "longest loop turn" in told
    assert "changed meanwhile: KubeGrid" in told


def test_the_queries_of_tpc_h_have_duckdbs_answers_on_a_grid() -> None:
    told = run("bench.tpch", "--scale", "0.01", "--rounds", "1")
    assert "; 22 of 22 answers equal" in told, told
