"""The databases in which statements are bound are opened when one needs them, and not after the end."""

from pathlib import Path

import pytest

from kubegrid.base.tables import Catalog
from kubegrid.query.binding import Binding
from kubegrid.sql.errors import Unavailable


def test_what_was_never_needed_is_not_opened_after_the_end(tmp_path: Path) -> None:
    binding = Binding(str(tmp_path), 2**20)
    assert binding.columns("SELECT 1 AS one", Catalog(), ()) == (("one", "INTEGER"),)
    binding.close()
    with pytest.raises(Unavailable, match="stopping"):
        binding.hidden_columns("SELECT 1 AS one", Catalog(), ())


def test_what_a_user_sees_and_what_runs_inside_are_bound_apart(tmp_path: Path) -> None:
    binding = Binding(str(tmp_path), 2**20)
    for _ in range(2):
        assert binding.hidden_columns("SELECT 1 AS one", Catalog(), ()) == (("one", "INTEGER"),)
        assert binding.columns("SELECT 'x' AS x", Catalog(), ()) == (("x", "VARCHAR"),)
    binding.close()
