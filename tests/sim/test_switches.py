"""Every rule is needed: without it, the campaign's own generator finds something wrong within a thousand seeds.

What counts is seen from outside (see `observer`); a partition that merely stops making progress does not count, nor
does an assertion of the core. A rule whose removal is not found is either not needed or not tested.
"""

import pytest
from tests.sim.campaign import RULES, first_find

SEEDS = 1000

HARMLESS = {"grace_before_promotion"}
"""No mistake that loses data: R12 alone keeps a hasty winner from answering; it costs needless failovers."""


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in HARMLESS])
def test_without_the_rule_something_goes_wrong(rule: str) -> None:
    found = first_find(rule, range(SEEDS))
    assert found is not None, f"nobody noticed in {SEEDS} seeds that {rule} was off"
