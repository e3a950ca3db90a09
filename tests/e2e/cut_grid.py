"""A grid with each process in a network namespace of its own, and a knife for every wire and direction.

Namespaces hang on one bridge, and so does this process. What is cut is lost in silence, as where a cable is pulled: the
sender is told a hardware address that nobody has. Nothing but iproute2 and root is needed for that.
"""

import itertools
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.integration.member_processes import GridProcesses

NOBODY = "02:00:00:00:00:01"
SECRET = "cut"
_numbers = itertools.count()


def cannot() -> str:
    """Why this machine cannot have namespaces; empty when it can."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "network namespaces need root and iproute2"
    name = f"kg-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        ip("netns", "del", name)
    return tried.stderr.strip()


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


def ip(*words: str) -> None:
    run("ip", *words)


class CutGrid(GridProcesses):
    """One partition and a manager. `addresses` has the one of each process, and of `here`: this process."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, secret=SECRET, **options)
        self._tag = f"kg{os.getpid()}-{next(_numbers)}"  # what is deleted goes a moment later
        net = f"198.18.{random.randrange(1, 255)}"  # of the range that is for tests of networks
        self.addresses = {name: f"{net}.{number}" for number, name in enumerate(["here", "m0", *self.names], 1)}
        self._cuts: list[tuple[str, str]] = []

    def __enter__(self) -> "CutGrid":
        hub = self._namespace("hub")
        ip("netns", "add", hub)
        ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        ip("-n", hub, "link", "set", "bridge", "up")
        for number, (name, address) in enumerate(self.addresses.items()):
            place: tuple[str, ...] = ()
            device, port = f"{self._tag}e", f"port{number}"
            peer = ["peer", "name", device]
            if name != "here":
                ip("netns", "add", self._namespace(name))
                place = ("-n", self._namespace(name))
                peer += ["netns", self._namespace(name)]
            ip("link", "add", port, "netns", hub, "type", "veth", *peer)
            ip("-n", hub, "link", "set", port, "master", "bridge", "up")
            ip(*place, "addr", "add", f"{address}/24", "dev", device)
            ip(*place, "link", "set", device, "up")
            if place:
                ip(*place, "link", "set", "lo", "up")
        return self

    def __exit__(self, *details: object) -> None:
        self.close()
        for name in ["hub", *self.addresses]:
            if name != "here":
                subprocess.run(["ip", "netns", "del", self._namespace(name)], check=False)

    def _namespace(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def host(self, name: str) -> str:
        return self.addresses[name]

    def inside(self, name: str) -> list[str]:
        return ["ip", "netns", "exec", self._namespace(name)]

    def cut(self, sender: str, receiver: str) -> None:
        """What `sender` sends to `receiver` is lost from now on."""
        self._neighbour(sender, receiver, "replace", "lladdr", NOBODY, "nud", "permanent")
        self._cuts.append((sender, receiver))

    def isolate(self, name: str) -> None:
        """From all processes of the grid, in both directions. This process goes on seeing it."""
        for other in self.addresses:
            if other not in (name, "here"):
                self.cut(name, other)
                self.cut(other, name)

    def slow_down(self, name: str, megabits: float) -> None:
        """What `name` sends leaves at this rate, megabits a second."""
        device = f"{self._tag}e"
        shape = ["tbf", "rate", f"{megabits:g}mbit", "burst", "16kb", "latency", "400ms"]
        run("ip", "netns", "exec", self._namespace(name), "tc", "qdisc", "replace", "dev", device, "root", *shape)

    def heal(self) -> None:
        for sender, receiver in self._cuts:
            self._neighbour(sender, receiver, "del")
        self._cuts.clear()

    def _neighbour(self, sender: str, receiver: str, verb: str, *how: str) -> None:
        place = ("-n", self._namespace(sender))
        ip(*place, "neigh", verb, self.addresses[receiver], "dev", f"{self._tag}e", *how)
