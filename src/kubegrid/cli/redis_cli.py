"""`kubegrid cli`: a Redis prompt on the grid. `redis-cli -c` where it is installed, else a small one of our own."""

import os
import shutil

from kubegrid.cli.target import Grid
from kubegrid.runtime.errors import NoGridError


def cli(grid: Grid, command: list[str]) -> int:
    told = grid.read_status()
    members = [member for partition in told["partitions"] for member in partition["members"] if member["resp"]]
    if not members:
        raise NoGridError(f"no member of {told['grid']} runs", "`kubegrid up` starts them.")
    first = min(members, key=lambda member: member["role"] != "primary")
    host, _, port = first["resp"].rpartition(":")
    program = shutil.which("redis-cli")
    if program is not None:
        if grid.secret is not None:
            os.environ["REDISCLI_AUTH"] = grid.secret
        os.execv(program, [program, "-c", "-h", host, "-p", port, *command])
    from kubegrid.cli import line_client

    client = line_client.LineClient((host, int(port)), grid.secret)
    return line_client.run_once(client, command) if command else line_client.prompt(client)
