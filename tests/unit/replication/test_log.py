"""The log by itself: agreement of two logs, trimming, frames."""

import pytest

from kubegrid.base.ids import ORIGIN, Position
from kubegrid.replication.log import Log


def log_of(*runs: tuple[int, int], base: Position = ORIGIN) -> Log:
    """A log made of runs `(epoch, how many)`."""
    log = Log()
    log.reset(base)
    for epoch, count in runs:
        for _ in range(count):
            log.append(epoch, ["effects"], None, 10)
    return log


@pytest.mark.parametrize(
    ("mine", "theirs", "agree"),
    [
        ([(1, 3)], [(1, 3)], 3),
        ([(1, 3)], [(1, 5)], 3),
        ([(1, 3), (2, 2)], [(1, 5)], 3),
        ([(1, 3), (2, 2)], [(1, 3), (2, 1)], 4),
        ([(1, 1), (3, 4)], [(1, 1), (2, 4)], 1),
        ([(2, 3)], [(1, 3)], 0),
        ([], [(1, 3)], 0),
        ([(1, 3)], [], 0),
    ],
)
def test_logs_agree_up_to_where_their_epochs_part(mine: list, theirs: list, agree: int) -> None:
    other = log_of(*theirs)
    assert log_of(*mine).agreement(other.base, other.runs()) == agree


def test_logs_that_do_not_overlap_agree_nowhere() -> None:
    trimmed = log_of((2, 5), base=Position(1, 100))
    fresh = log_of()
    assert trimmed.agreement(fresh.base, fresh.runs()) is None
    assert fresh.agreement(trimmed.base, trimmed.runs()) is None


def test_logs_that_overlap_behind_another_history_agree_nowhere() -> None:
    mine = log_of((3, 5), base=Position(3, 100))
    other = log_of((2, 110))
    assert mine.agreement(other.base, other.runs()) is None


def test_a_snapshots_base_is_where_logs_may_meet() -> None:
    mine = log_of((1, 5))
    other = log_of(base=Position(1, 5))
    assert mine.agreement(other.base, other.runs()) == 5


def test_trimming_keeps_what_is_needed_and_not_much_more_than_allowed() -> None:
    log = log_of((1, 100))
    log.commit_to(90)
    log.trim(95, 10_000, 40)
    assert log.base.seq == 65 and log.last_seq == 100
    log.trim(10, 10_000, 1)
    assert log.base.seq == 65, "the floor"
    log.trim(100, 10_000, 1)
    assert log.base.seq == 90, "never what is not committed"
    log.validate()


def test_trimming_by_bytes() -> None:
    log = log_of((1, 100))
    log.commit_to(100)
    log.trim(100, 500, 1000)
    assert 40 <= log.last_seq - log.base.seq <= 50
    log.validate()


def test_frames_are_about_as_large_as_asked_and_never_empty() -> None:
    log = log_of((1, 20))
    assert [seq for _, seq, _, _ in log.frame(3, 35)] == [4, 5, 6]
    assert len(log.frame(0, 1)) == 1
    assert len(log.frame(15, 10_000)) == 5


def test_bytes_are_counted_between_any_two_entries() -> None:
    log = log_of((1, 20))
    assert log.bytes_between(5, 12) == 70
    log.truncate(10)
    log.append(2, ["x"], None, 7)
    assert log.bytes_between(9, 11) == 17
    log.validate()


def test_committed_entries_are_never_truncated() -> None:
    log = log_of((1, 5))
    log.commit_to(3)
    with pytest.raises(AssertionError):
        log.truncate(2)
