"""Where a grid's SQL is asked, told from its status: one Flight port out of many, for who wants just one.

Any data pod takes any statement. A primary is told first, because it has part of the answer itself.
A manager of an earlier version tells of no such port.
"""

from collections.abc import Mapping, Sequence
from typing import Any


def flight_address(partitions: Sequence[Mapping[str, Any]]) -> str | None:
    """`host:port` of the first serving primary that listens for Flight, else of any member; None when none listens."""
    members = [
        (partition, member) for partition in partitions for member in partition["members"] if member.get("flight")
    ]
    for partition, member in members:
        if partition["state"] == "serving" and member["name"] == partition["primary"]:
            return str(member["flight"])
    return str(members[0][1]["flight"]) if members else None
