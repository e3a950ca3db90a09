"""What the manager concludes from what it finds at its start."""

import msgspec
import pytest

from kubegrid.coordination.marker import Found, Issued, Marker, judge

WHOLE = Found(
    grid="g",
    permission=None,
    issued=Issued("g", "d"),
    database_exists=True,
    database="d",
    database_grid="g",
    revision=10,
    answered=10,
)
NOTHING = Found(grid="g", permission=None, issued=None, database_exists=False)


@pytest.mark.parametrize(
    ("found", "changes", "verdict"),
    [
        (WHOLE, {}, "whole"),
        (WHOLE, {"revision": 11}, "whole"),
        (WHOLE, {"issued": None}, "whole"),
        (WHOLE, {"permission": "g", "issued": None}, "whole"),
        (WHOLE, {"revision": 9}, "older copy"),
        (WHOLE, {"database": "other"}, "another one"),
        (WHOLE, {"database_grid": "h"}, "belongs to the grid h"),
        (WHOLE, {"issued": Issued("h", "d")}, "belongs to the grid h"),
        (WHOLE, {"issued": Issued("g", "d", lost="because")}, "because"),
        (NOTHING, {"permission": "g"}, "new"),
        (NOTHING, {}, "not just made"),
        (NOTHING, {"permission": "h"}, "not just made"),
        (NOTHING, {"issued": Issued("g", "d")}, "is gone"),
        (NOTHING, {"issued": Issued("g", "d"), "permission": "g"}, "is gone"),
    ],
)
def test_only_what_belongs_together_is_whole_and_only_a_new_grid_is_new(found, changes, verdict):
    said = judge(msgspec.structs.replace(found, **changes))
    assert verdict == said if verdict in ("whole", "new") else verdict in said


def test_a_damaged_marker_counts_as_a_loss_not_as_a_new_grid(tmp_path):
    (tmp_path / "issued.json").write_bytes(b"\0\0\0")
    issued = Marker(tmp_path).issued()
    assert issued is not None
    found = Found("grid", None, issued, True, "database", "grid", 5, 5)
    assert judge(found).startswith(f"{tmp_path / 'issued.json'} is damaged (")


def test_a_damaged_revision_counts_as_unknown(tmp_path):
    (tmp_path / "coordinator.revision").write_bytes(b"\0\0\0")
    marker = Marker(tmp_path)
    assert marker.answered() == 0
    marker.set_answered(1234567890123)
    assert marker.answered() == 1234567890123
    marker.close()
