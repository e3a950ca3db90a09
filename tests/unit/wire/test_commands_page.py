"""docs/commands.md says what the command table says."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_page_of_commands_is_what_the_table_gives() -> None:
    spec = importlib.util.spec_from_file_location("make_commands", ROOT / "docs" / "make_commands.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "commands.md").read_text() == module.page(), "run `python docs/make_commands.py`"
