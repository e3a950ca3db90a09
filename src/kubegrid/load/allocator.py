"""Where a load has the memory of its arrays: blocks of tens of MiB, made and thrown away one after the other.

mimalloc, which Arrow takes if nobody says otherwise, gives back to the system what was free for some milliseconds, and gets it
again in huge pages, which the kernel clears first: a tenth of all processor time that a load took, members included, in an hour
when fresh memory was dear. jemalloc keeps it for a second. Next: `loading`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

WANTED = "jemalloc"
"""Not every build of Arrow has it; where it is missing all stays as it is."""


@contextmanager
def keeping_memory() -> Iterator[None]:
    """Inside, the whole process's arrays come from an allocator that keeps what becomes free; it gives all back at the end.

    Every array knows where it came from, so they may outlive this. Of two loads at a time the one that began first puts the
    process's own allocator back.
    """
    before = pa.default_memory_pool()
    if before.backend_name == WANTED or WANTED not in pa.supported_memory_backends():
        yield
        return
    keeping = pa.jemalloc_memory_pool()
    pa.set_memory_pool(keeping)
    try:
        yield
    finally:
        pa.set_memory_pool(before)
        keeping.release_unused()
