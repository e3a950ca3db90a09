"""`kubegrid cli`: a Redis prompt on the grid. `redis-cli -c` where it is installed, else a small one of our own."""

import os
import shutil

from kubegrid.cli.target import Grid, places


def cli(grid: Grid, command: list[str]) -> int:
    host, _, port = places(grid, grid.read_status())[0].rpartition(":")
    program = shutil.which("redis-cli")
    if program is not None:
        if grid.secret is not None:
            os.environ["REDISCLI_AUTH"] = grid.secret
        os.execv(program, [program, "-c", "-h", host, "-p", port, *command])
    from kubegrid.cli import line_client

    client = line_client.LineClient((host, int(port)), grid.secret)
    return line_client.run_once(client, command) if command else line_client.prompt(client)
