"""Every promise of GUARANTEES.md names a test, and every test that it names exists."""

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "GUARANTEES.md").read_text(encoding="utf-8")


def named_tests(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)


def test_every_named_test_exists() -> None:
    named = named_tests(PAGE)
    assert len(named) > 50
    missing = [f"{file}::{name}" for file, name in named if name not in _functions(ROOT / file)]
    assert missing == []


@functools.cache  # a file is named many times
def _functions(file: Path) -> set[str]:
    if not file.exists():
        return set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_promise_names_a_test() -> None:
    promises = re.split(r"(?m)^\*\*(?=\d+\. )", PAGE)[1:]
    assert [promise.split(".")[0] for promise in promises] == [str(number + 1) for number in range(len(promises))]
    assert [promise.splitlines()[0] for promise in promises if not named_tests(promise)] == []
