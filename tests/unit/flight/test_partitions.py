"""A pod's way to the primaries, its own among them: what goes wrong says with whom."""

from collections.abc import Iterator
from typing import Any

import pytest

from kubegrid.columns.requests import FragmentRequest
from kubegrid.flight.access import Access
from kubegrid.flight.partitions import GridPartitions, Place
from kubegrid.sql.errors import Cancelled, SqlError, TimedOut, TypeProblem


class Own:
    """The pod is p1-0, and its fragments end with what a test says."""

    count = 2

    def __init__(self) -> None:
        self.error: SqlError = TimedOut("the statement did not end within 200 ms", remedy="Ask for less.")

    def place(self, partition: int) -> Place | None:
        return Place(f"p{partition}-0", None)

    def own(self, partition: int) -> bool:
        return partition == 1

    def run(self, request: FragmentRequest, cancelled: Any) -> Any:
        raise self.error


@pytest.fixture
def own() -> Own:
    return Own()


@pytest.fixture
def partitions(own: Own) -> Iterator[GridPartitions]:
    made = GridPartitions(own, Access(None, "grid"), lambda: own)
    yield made
    made.close()


def test_a_fragment_of_the_pods_own_that_did_not_end_names_it(own: Own, partitions: GridPartitions) -> None:
    with pytest.raises(TimedOut, match=r"^p1-0: the statement did not end within 200 ms") as raised:
        partitions.run(1, FragmentRequest(sql="SELECT 1"), lambda: False)
    assert raised.value.advice == "Ask for less."
    own.error = Cancelled("the statement was cancelled")
    with pytest.raises(Cancelled, match=r"^p1-0: the statement was cancelled"):
        partitions.run(1, FragmentRequest(sql="SELECT 1"), lambda: False)


def test_what_is_wrong_with_a_statement_is_told_as_it_is(own: Own, partitions: GridPartitions) -> None:
    own.error = TypeProblem("could not convert 'x' to INT32")
    with pytest.raises(TypeProblem, match=r"^could not convert"):
        partitions.run(1, FragmentRequest(sql="SELECT 1"), lambda: False)
