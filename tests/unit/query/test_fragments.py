"""Asking one partition until it has answered: what a partition says is told as what it means for the whole statement."""

import pytest

from kubegrid.query.fragments import until_available
from kubegrid.query.running import Running
from kubegrid.sql.errors import Cancelled, TimedOut


def test_a_partition_that_is_cancelled_when_the_time_is_over_is_told_as_the_time() -> None:
    running = Running(1000, lambda: False)

    def attempt() -> None:
        running.deadline = 0.0  # while it runs
        raise Cancelled("the statement was cancelled")

    with pytest.raises(TimedOut):
        until_available(0, attempt, running)


def test_a_partition_that_is_cancelled_before_is_cancelled() -> None:
    def attempt() -> None:
        raise Cancelled("the statement was cancelled")

    with pytest.raises(Cancelled):
        until_available(0, attempt, Running(1000, lambda: False))
