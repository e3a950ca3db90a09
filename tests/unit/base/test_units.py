"""Amounts as people write them."""

import pytest

from kubegrid.base import units


@pytest.mark.parametrize(
    ("text", "amount"),
    [("512Mi", 2**29), ("1.5Gi", 3 * 2**29), ("1G", 10**9), ("1048576", 2**20), ("64k", 64_000), ("0", 0)],
)
def test_memory(text: str, amount: int) -> None:
    assert units.bytes_of(text) == amount


@pytest.mark.parametrize("text", ["", "Mi", "-1Mi", "512 Mi", "1e3", "5MiB", "٣Mi", "1" * 40])
def test_what_is_no_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount of memory"):
        units.bytes_of(text)


@pytest.mark.parametrize(("text", "amount"), [("30s", 30_000), ("500ms", 500), ("1m30s", 90_000), ("0.5h", 1_800_000)])
def test_durations(text: str, amount: int) -> None:
    assert units.milliseconds_of(text) == amount


@pytest.mark.parametrize("text", ["30", "", "s", "-1s", "1d", "1 s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        units.milliseconds_of(text)


def test_spelling() -> None:
    assert [units.bytes_text(n) for n in (0, 2**29, 3 * 2**29, 1500)] == ["0", "512Mi", "1.5Gi", "1.5Ki"]
    assert [units.duration_text(n) for n in (200, 1500, 90_000, 60_000)] == ["200ms", "1.5s", "1m30s", "1m"]
