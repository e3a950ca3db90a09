"""The serving loop goes first: threads that work for SQL give way to it, and to the loops of other members beside it."""

import contextlib
import os
import threading

NICENESS = 5
"""A third of the weight of a thread that gives no way. With much less, a thread that was made to wait while it holds the
interpreter would keep its own loop waiting; with more, p99 of point operations under scans is 12 ms instead of 10."""


def give_way() -> None:
    """For the thread that calls it, and those that it starts from then on."""
    with contextlib.suppress(OSError):  # elsewhere than on Linux a thread has no priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
