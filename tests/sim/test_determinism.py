"""The same seed is the same run, event by event, whatever the interpreter's hash seed."""

import os
import subprocess
import sys

import pytest
from tests.sim.campaign import run_seed

SEEDS = (1, 2, 3, 7, 11)


def hash_in_a_process_of_its_own(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "tests.sim", "--seed", str(seed)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    return next(line for line in output.splitlines() if line.startswith("trace hash"))


@pytest.mark.parametrize("seed", SEEDS)
def test_same_seed_same_trace(seed: int) -> None:
    assert run_seed(seed).hash == run_seed(seed, tracing=True).hash


def test_same_trace_under_another_hash_seed() -> None:
    for seed in SEEDS[:2]:
        assert hash_in_a_process_of_its_own(seed, "1") == hash_in_a_process_of_its_own(seed, "2")


def test_another_seed_is_another_trace() -> None:
    assert len({run_seed(seed).hash for seed in SEEDS}) == len(SEEDS)
