"""The benchmarks of client and load run and print their figures. Whether goals are reached is for a quiet machine."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_the_comparison_with_redis_py_prints_every_row() -> None:
    printed = run("bench.client", "--only", "redis-py", "--rounds", "1", "--seconds", "0.05")
    rows = [line.split("|") for line in printed.splitlines() if line.startswith("| redis-py")]
    assert len(rows) == 8
    assert all(float(row[column].replace(",", "")) > 0 for row in rows for column in (2, 3))


def test_what_the_hops_alone_cost_is_printed() -> None:
    printed = run("bench.floor", "--rounds", "1", "--seconds", "0.05")
    assert re.search(r"^\| put \| [\d,]+ \| \d+, \d+, \d+ \|$", printed, re.MULTILINE)
    assert re.search(r"^\| get \| [\d,]+ \| \d+, \d+ \|$", printed, re.MULTILINE)


def test_loading_memory_and_the_cost_of_an_index_are_measured() -> None:
    printed = run("bench.load", "--rows", "2000", "--rounds", "1")
    assert re.search(
        r"^memory: a flight takes -?[\d,]+ bytes as it was loaded, -?[\d,]+ bytes as a record", printed, re.MULTILINE
    )
    assert re.search(r"^load: 2,000 flights: KubeGrid [\d,]+ rows/s", printed, re.MULTILINE)
    assert re.search(
        r"^arrow: 2,000 flights: write_arrow [\d,]+ rows/s, write_many [\d,]+ rows/s", printed, re.MULTILINE
    )
    assert re.search(r"^index: a write of a flight with a hash index on dest takes [\d.]+ times", printed, re.MULTILINE)
