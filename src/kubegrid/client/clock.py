"""The client's clock: seconds that go on while the machine is suspended.

A promise like "a write is not sent again after five minutes" is about the grid's time, and the grid goes on while a laptop
sleeps with its lid closed. `time.monotonic()` stands still meanwhile (on Linux); CLOCK_BOOTTIME does not. Where there is no
CLOCK_BOOTTIME the monotonic clock is taken: macOS's stands still, too, and the promise has that gap there.

Silence of a member is measured by the loop's own clock instead: a client that slept has no reason to take everybody for dead.
"""

import functools
import time
from collections.abc import Callable

now: Callable[[], float] = (
    functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)
"""What every deadline of the client is measured by."""
