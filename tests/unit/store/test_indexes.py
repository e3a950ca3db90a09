"""Indexes alone: any number of records of one value stay in order, and every entry is counted."""

from random import Random

import pytest

from kubegrid.store.indexes import LIST_MAX, NAN, NULL, TOP, Index, place_of
from kubegrid.store.records import Record, record_of


def record(version: int) -> Record:
    return record_of(7, version, b"row")


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("count", [1, 2, 40, LIST_MAX, 3 * LIST_MAX])
def test_records_of_one_value_are_kept_in_the_order_of_their_versions(count: int, ordered: bool) -> None:
    random = Random(count)
    index = Index([0], ordered)
    versions = list(range(count))
    random.shuffle(versions)
    for version in versions:
        index.add("x", record(version))
    assert list(index.equal("x")) == [record(version) for version in range(count)]
    index.recount()
    random.shuffle(versions)
    left = set(versions)
    for version in versions:
        index.remove("x", record(version))
        left.discard(version)
        if len(left) % 97 == 0:
            assert list(index.equal("x")) == [record(each) for each in sorted(left)]
            index.recount()
    assert index.buckets == {}
    assert index.cost_bytes == 0
    assert not ordered or len(index.order) == 0


def test_a_long_queue_is_worked_off_from_its_front_while_it_grows() -> None:
    index = Index([0], False)
    for version in range(5 * LIST_MAX):
        index.add("x", record(version))
    for version in range(4 * LIST_MAX):
        first = next(iter(index.equal("x")))
        assert first == record(version)
        index.remove("x", first)
        index.add("x", record(5 * LIST_MAX + version))
    assert len(index.equal("x")) == 5 * LIST_MAX
    index.recount()


def test_an_index_that_is_ready_knows_every_record_it_is_told_to_forget() -> None:
    index = Index([0], False)
    index.add("x", record(1))
    with pytest.raises(AssertionError):
        index.remove("x", record(2))
    with pytest.raises(AssertionError):
        index.remove("y", record(1))


def test_an_index_that_is_built_takes_records_in_any_order_and_twice() -> None:
    index = Index([0], True)
    index.building = True
    for version in (3, 1, 3, 2, 1):
        index.add("x", record(version))
    assert index.remove("x", record(9)) == 0
    assert index.remove("y", record(1)) == 0
    assert list(index.equal("x")) == [record(1), record(2), record(3)]
    index.recount()


def test_null_and_nan_stand_behind_every_value() -> None:
    places = [place_of(value) for value in (None, 2.0, float("nan"), 1.0, float("inf"))]
    assert sorted([*places, TOP]) == [1.0, 2.0, float("inf"), NAN, NULL, TOP]
    assert sorted([("b", NULL), ("b", 1), ("a", NAN), ("b", NAN), ("a",), ("a", TOP)]) == [
        ("a",), ("a", NAN), ("a", TOP), ("b", 1), ("b", NAN), ("b", NULL),
    ]  # fmt: skip
    assert place_of("") == ""
    assert place_of(float("nan")) is place_of(float("nan"))
