"""The serving loop goes first: threads that work for SQL give way to it, and to the loops of other members beside it."""

import contextlib
import os
import threading

NICENESS = 5
"""A third of the weight of a thread that gives no way. With less a thread that holds the interpreter while the machine is
full would keep its own loop waiting for it."""


def give_way() -> None:
    """For the thread that calls it, and those that it starts from then on."""
    with contextlib.suppress(OSError):  # elsewhere than on Linux a thread has no priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
