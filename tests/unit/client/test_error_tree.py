"""The tree of errors is drawn twice, for who reads the page and for who reads the module. Both are the classes' own."""

import re
from pathlib import Path

import pytest

from kubegrid.client import errors

PAGE = (Path(__file__).parents[3] / "docs" / "errors.md").read_text().partition("```text\n")[2]
MODULE = (errors.__doc__ or "").partition("\n\n")[2]
NAMES = re.compile(r"[A-Z]\w*Error(?:, [A-Z]\w*Error)*")


def drawn(text: str) -> set[tuple[str, str]]:
    """Pairs of a class and the one that it stands under; the deeper in its line, the lower."""
    pairs = set()
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = NAMES.search(line)
        if match is None or not re.fullmatch(r"[ │├└─]*", line[: match.start()]):
            break
        names = match[0].split(", ")
        above = [one for one in above if one[0] < match.start()]
        pairs |= {(name, above[-1][1] if above else "") for name in names}
        above.append((match.start(), names[-1]))
    return pairs


@pytest.mark.parametrize("text", [PAGE, MODULE], ids=["page", "module"])
def test_the_tree_of_errors_is_as_it_is_drawn(text: str) -> None:
    classes = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.ClientError)
    ]
    parents = {(kind.__name__, kind.__bases__[0].__name__) for kind in classes if kind is not errors.ClientError}
    assert drawn(text) - {("ClientError", "")} == parents
