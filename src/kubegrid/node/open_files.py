"""How many clients the operating system lets this process have: each connection is an open file.

Clients that used up all files would keep a member from its peers, its coordinator and its own disk, so `maxclients` stays
below the limit by what those need; whoever is one too many is then refused with an error. The soft limit, often 1,024, is
raised as far as the hard one allows. Next on the path of the data: `server`.
"""

import resource
from typing import Final

RESERVED: Final = 256
"""For links, Arrow Flight, probes, logs, DuckDB's temporary files."""


def clients_possible(wanted: int) -> int:
    """`wanted`, or as many as the hard limit leaves room for; one at least."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if hard == resource.RLIM_INFINITY else max(1, min(wanted, hard - RESERVED))


def make_room(wanted: int) -> int:
    """Raise the soft limit for so many clients; how many there is room for."""
    possible = clients_possible(wanted)
    needed = possible + RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return possible
    try:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else min(needed, hard), hard)
        )
    except (ValueError, OSError):  # some systems have a limit of their own below the hard one
        return max(1, min(wanted, soft - RESERVED))
    return possible
