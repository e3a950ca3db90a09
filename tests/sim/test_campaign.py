"""Some hundreds of seeds in every run of the tests; `make sim SEEDS=n` runs as many as one has patience for."""

import pytest
from tests.sim.campaign import Totals, run_seeds

BLOCKS = 8
SEEDS_PER_BLOCK = 60


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_seed_violates_anything(block: int) -> None:
    totals = Totals()
    for outcome in run_seeds(range(block * SEEDS_PER_BLOCK, (block + 1) * SEEDS_PER_BLOCK)):
        totals.add(outcome)
    assert [f"seed {found.seed}: {found.violation}" for found in totals.violations] == []
    assert totals.losses <= 0.2 * totals.seeds
    assert totals.failovers > SEEDS_PER_BLOCK // 2
    assert totals.counts["removed alive"] > SEEDS_PER_BLOCK // 4, "members must be removed and come back, often"
