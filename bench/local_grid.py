"""A grid of real processes for benchmarks and the demo, started and stopped by the same command a user types."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UP_TIMEOUT_S = 120


def free_port_base(count: int) -> int:
    """A port P such that P..P+count and P+1000..P+1002 are free now."""
    for base in range(7000, 30000, 100):
        if are_free(base, count):
            return base
    raise RuntimeError("no free range of ports between 7000 and 30000")


def are_free(base: int, count: int) -> bool:
    """Whether a grid of `count` members could have its ports from `base` on, its manager's with them."""
    return all(_is_free(port) for port in [*range(base, base + count), *range(base + 1000, base + 1003)])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class LocalGrid:
    """One `kubegrid up --detach`; every call goes through the command line."""

    def __init__(self, directory: Path, name: str, port: int, source: Path | None = None) -> None:
        """`source`: a folder with another state of our code, which runs in this one's place."""
        self.directory = directory
        self.name = name
        self.port = port
        self._environment = None if source is None else {**os.environ, "PYTHONPATH": str(source)}

    def command(
        self, *args: str, check: bool = True, timeout_s: float = UP_TIMEOUT_S
    ) -> "subprocess.CompletedProcess[str]":
        """Run `kubegrid ARGS --dir DIR`; raises RuntimeError with what it printed when it fails and `check` is set."""
        done = subprocess.run(
            [sys.executable, "-m", "kubegrid.cli", *args, "--dir", str(self.directory)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=self._environment,
        )
        if check and done.returncode:
            raise RuntimeError(f"kubegrid {' '.join(args)} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.command("status", "--json").stdout)
        return status

    def member(self, name: str) -> dict[str, Any]:
        for partition in self.status()["partitions"]:
            for member in partition["members"]:
                if member["name"] == name:
                    found: dict[str, Any] = member
                    return found
        raise KeyError(name)

    def manager_http(self) -> str:
        return str(self.status()["managers"][0]["http"])

    def kill(self, pid: int) -> None:
        """SIGKILL: no warning, no last words."""
        os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def running_grid(
    *,
    partitions: int,
    backups: int,
    name: str = "bench",
    memory: str = "4Gi",
    busy_wait: bool = True,
    port: int | None = None,
    source: Path | None = None,
) -> Iterator[LocalGrid]:
    """A fresh grid in a temporary folder, gone afterwards whatever happens. `source`: of another state of our code."""
    directory = Path(tempfile.mkdtemp(prefix="kubegrid-"))
    port = free_port_base(partitions * (backups + 1)) if port is None else port
    grid = LocalGrid(directory / "state", name, port, source)
    manifest = directory / "grid.yaml"
    manifest.write_text(
        "apiVersion: kubegrid.io/v1alpha1\nkind: DataGrid\n"
        f"metadata: {{name: {name}}}\n"
        f"spec: {{partitions: {partitions}, backups: {backups}, memory: {memory}, busyWait: {str(busy_wait).lower()}}}\n"
    )
    try:
        grid.command("up", str(manifest), "--port", str(port), "--detach")
        yield grid
    finally:
        with contextlib.suppress(Exception):
            grid.command("down", check=False)
        shutil.rmtree(directory, ignore_errors=True)
