"""docs/protocol.md has every rule that code, tests and pages name, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
RULE = re.compile(r"\b[Rr](\d+)(?=\b|_)")


def test_every_rule_that_is_named_is_on_the_page() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    told = [int(number) for number in re.findall(r"^\* \*\*R(\d+)\b", page, re.MULTILINE)]
    sources = [*ROOT.glob("src/kubegrid/replication/*.py"), *ROOT.glob("tests/unit/replication/test_*.py")]
    named = {int(number) for source in sources for number in RULE.findall(source.read_text())}
    assert told == list(range(1, max(named | set(told)) + 1))
