"""The program `kubegrid`: reads the command line, calls the packages below, and turns their errors into exit statuses.

    0 done    1 failed    2 wrong usage or manifest    3 no such grid, or not reachable    4 refused    130 interrupted

Nothing is decided here. What a command does not need is not imported: the processes of the grid start through this
module too (`kubegrid node --config FILE`), and they pay for neither Typer nor Rich.
"""

import os
import sys
from typing import Any

INTERRUPTED = 130
NOT_NEEDED = ("numpy", "pandas")
"""What pyarrow would load where it is installed, for a second or more, and no command uses."""


def main() -> int:
    """Entry point of the console script; returns the exit status."""
    arguments = sys.argv[1:]
    if len(arguments) == 3 and arguments[0] in ("node", "manager") and arguments[1] == "--config":
        return _run_process(arguments[0], arguments[2])
    sys.meta_path.insert(0, _NotFound())
    if sys.stdout is None:  # closed by whoever started us: `>&-`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # as long as the process lives
    try:
        from kubegrid.cli import program

        return program.run(arguments)
    except KeyboardInterrupt:  # while modules were loaded; a command that runs tells more
        return INTERRUPTED


class _NotFound:
    """Finds the modules `NOT_NEEDED` missing, whatever is installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in NOT_NEEDED:
            raise ModuleNotFoundError(f"{name} is not for this program", name=name)


def _run_process(word: str, config: str) -> int:
    """One of the grid's own processes."""
    from kubegrid.base.errors import KubegridError

    try:
        if word == "node":
            from kubegrid.node import main as node_main

            return node_main.run(config)
        from kubegrid.manager import main as manager_main

        return manager_main.run(config)
    except KubegridError as error:
        print(f"kubegrid {word}: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED
