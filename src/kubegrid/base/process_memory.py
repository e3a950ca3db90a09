"""How much memory this process has, as the system counts it."""

import ctypes
import resource
import sys
from typing import NamedTuple

_PAGE_BYTES = resource.getpagesize()
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""Of the GNU C library; others have none."""


class ProcessMemory(NamedTuple):
    """Of one moment. Both are 0 where the system does not tell."""

    resident_bytes: int
    file_bytes: int
    """The part that is mapped from files, such as libraries: the system takes it back when it needs the memory, so nothing
    is ended for it."""

    @property
    def own_bytes(self) -> int:
        """What the system could not take back."""
        return self.resident_bytes - self.file_bytes


def process_memory() -> ProcessMemory:
    try:
        with open("/proc/self/statm", "rb") as statm:
            _, resident, shared = statm.read().split()[:3]
    except OSError:
        return ProcessMemory(0, 0)
    return ProcessMemory(int(resident) * _PAGE_BYTES, int(shared) * _PAGE_BYTES)


def give_back() -> None:
    """Have the allocators return what is free to the system. Walking a large heap takes milliseconds."""
    if _malloc_trim is not None:
        _malloc_trim(0)
    arrow = sys.modules.get("pyarrow")  # has an allocator of its own, and is long to import
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
