"""When it is of use to look for something before one sleeps, and when not."""

from pathlib import Path

import pytest

from kubegrid.base import spinning
from kubegrid.base.spinning import REST_MAX, TAKEN_MAX, Looks, bounded, processors


def passed(looks: Looks) -> int:
    """Occasions that are let pass until the next look begins."""
    count = 0
    while not looks.due():
        count += 1
    return count


def test_looks_in_vain_are_followed_by_longer_rests_until_one_is_of_use() -> None:
    looks = Looks()
    lengths = []
    for _ in range(13):
        lengths.append(passed(looks))
        looks.in_vain(0.0)
    assert lengths[:6] == [0, 1, 2, 4, 8, 16]
    assert lengths[-3:] == [512, REST_MAX, REST_MAX]
    assert passed(looks) == REST_MAX
    looks.begin(5.0, 1.0)
    assert looks.came(6.0, 2.0)
    looks.in_vain(0.0)
    assert passed(looks) == 1


def test_a_look_while_others_had_the_processor_is_of_no_use() -> None:
    looks = Looks()
    looks.begin(5.0, 1.0)
    now, ran = 5.0, 1.0
    for _ in range(3):  # one look that goes on: each time what is awaited comes
        now, ran = now + 1, ran + 1 - TAKEN_MAX + 0.01
        assert looks.came(now, ran)
    assert not looks.came(now + 1, ran + 1 - TAKEN_MAX - 0.01)
    assert looks.spent_s == pytest.approx(4)
    assert passed(looks) == 1


def test_with_less_than_two_processors_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    for count, seconds in ((1.5, 0), (2.0, 0.25)):
        monkeypatch.setattr(spinning, "processors", lambda count=count: count)
        assert bounded(0.25) == seconds


@pytest.mark.parametrize("text", ["150000 100000\n", "max 100000\n", ""])
def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = tmp_path / "cpu.max"
    monkeypatch.setattr(spinning, "CPU_MAX", str(file))
    without = processors()
    file.write_text(text)
    assert processors() == (min(without, 1.5) if text.startswith("150000") else without)
