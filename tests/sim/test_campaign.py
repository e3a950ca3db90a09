"""Some hundreds of seeds in every run of the tests; `make sim SEEDS=n` runs as many as one has patience for."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.sim import __main__ as program
from tests.sim.campaign import Outcome, Totals, run_seed, run_seeds

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


def test_a_campaign_that_is_interrupted_tells_what_it_found_and_where_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(seeds: range, *rest: Any) -> Iterator[Outcome]:
        yield from map(run_seed, seeds[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "run_seeds", interrupted)
    assert program.main(["--seeds", "10", "--first", "40"]) == 130
    told = capsys.readouterr().out
    assert "interrupted after 3 of 10 seeds; go on with --first 43" in told
    assert told.splitlines()[-1].startswith("seeds 3, ")
