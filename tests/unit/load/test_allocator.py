"""While a load runs, arrays come from an allocator that keeps what becomes free; afterwards the process has its own again."""

import pyarrow as pa
import pytest

from kubegrid.load import allocator
from kubegrid.load.allocator import WANTED, keeping_memory

pytestmark = pytest.mark.skipif(WANTED not in pa.supported_memory_backends(), reason="this build of Arrow lacks it")


def backend() -> str:
    name: str = pa.default_memory_pool().backend_name
    return name


def test_arrays_of_a_load_come_from_another_allocator_and_outlive_it() -> None:
    before = backend()
    with keeping_memory():
        assert backend() == WANTED
        made = pa.array(range(100_000))
    assert backend() == before
    assert made.sum().as_py() == 4_999_950_000


def test_the_allocator_is_put_back_when_a_load_fails() -> None:
    before = backend()
    with pytest.raises(ValueError, match="bad"), keeping_memory():
        raise ValueError("bad")
    assert backend() == before


def test_a_build_without_the_allocator_goes_on_with_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "WANTED", "none that there is")
    before = backend()
    with keeping_memory():
        assert backend() == before
    assert backend() == before
