"""Real processes for the tests of data pods: one manager and the members of one or more partitions, on loopback."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import redis
from tests.ports import HeldPorts

from kubegrid.base.ids import member_name
from kubegrid.base.settings import ManagerConfig, NodeConfig, ReplicationSettings

NODE = "import sys; from kubegrid.node.main import run; sys.exit(run(sys.argv[1]))"
MANAGER = "import sys; from kubegrid.manager.main import run; sys.exit(run(sys.argv[1]))"

PATIENT = ReplicationSettings(copies=2, silence_ms=1500, lease_ms=2500, grace_ms=3000, handover_hold_ms=5000)
"""For tests whose load, or that of others, must not be taken for a failure on a busy machine."""


def wait_until(condition: Callable[[], Any], timeout_s: float = 60.0, what: str = "") -> Any:
    """The first truthy answer of `condition`."""
    until = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout_s} s: {what or condition}")
        time.sleep(0.02)


class GridProcesses:
    """A manager and members. Every process is reported dead to nobody: tests that need that do it themselves."""

    def __init__(
        self,
        folder: Path,
        *,
        partitions: int = 1,
        copies: int = 2,
        secret: str | None = None,
        memory_bytes: int = 256 * 2**20,
        replication: ReplicationSettings | None = None,
    ) -> None:
        self.folder = folder
        self.partitions = partitions
        self.copies = copies
        self.grid_id = str(uuid.uuid4())
        self.secret = secret
        self._secret_file: str | None = None
        if secret is not None:
            self._secret_file = str(folder / "secret")
            Path(self._secret_file).write_text(secret)
        self.memory_bytes = memory_bytes
        self.replication = replication or ReplicationSettings(copies=copies)
        self.names = [member_name(p, o) for p in range(partitions) for o in range(copies)]
        self._held = HeldPorts(2 + 3 * len(self.names))
        ports = self._held.numbers
        self.manager_http, self.manager_port = ports[:2]
        self.ports = {name: ports[2 + 3 * i : 5 + 3 * i] for i, name in enumerate(self.names)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started: list[subprocess.Popen[bytes]] = []

    # -- processes ---------------------------------------------------------------------------------------------------

    def start_manager(self) -> None:
        state = self.folder / "m0"
        if not state.exists():
            state.mkdir(parents=True)
            (state / "new-grid").write_text(self.grid_id)
        config = ManagerConfig(
            grid="test",
            grid_id=self.grid_id,
            name="m0",
            bind=self.host("m0"),
            advertise=self.host("m0"),
            http_port=self.manager_http,
            coordination_port=self.manager_port,
            state_dir=str(state),
            partitions=self.partitions,
            copies=self.copies,
            on_loss="wait",
            first_primaries={str(p): member_name(p, 0) for p in range(self.partitions)},
            spec={},
            secret_file=self._secret_file,
        )
        self._start("m0", MANAGER, msgspec.json.encode(config))

    def start_member(self, name: str, **changes: Any) -> None:
        partition, ordinal = map(int, name[1:].split("-"))
        resp, http, replication = self.ports[name]
        config = NodeConfig(
            grid="test",
            grid_id=self.grid_id,
            name=name,
            partition=partition,
            ordinal=ordinal,
            partitions=self.partitions,
            preferred=ordinal == 0,
            bind=self.host(name),
            advertise=self.host(name),
            resp_port=resp,
            http_port=http,
            replication_port=replication,
            managers=[f"{self.host('m0')}:{self.manager_port}"],
            memory_bytes=self.memory_bytes,
            state_dir=str(self.folder / name),
            secret_file=self._secret_file,
            replication=self.replication,
        )
        for key, value in changes.items():
            setattr(config, key, value)
        self._start(name, NODE, msgspec.json.encode(config))

    def start(self) -> "GridProcesses":
        """Everything, until every partition serves with all its copies in sync."""
        self.start_manager()
        for name in self.names:
            self.start_member(name)
        for partition in range(self.partitions):
            self.wait_whole(partition)
        return self

    def host(self, name: str) -> str:
        """Where a process listens."""
        return "127.0.0.1"

    def inside(self, name: str) -> list[str]:
        """What a process is started by, where it is not simply started."""
        return []

    def _start(self, name: str, program: str, config: bytes) -> None:
        path = self.folder / f"{name}.json"
        path.write_bytes(config)
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [*self.inside(name), sys.executable, "-c", program, str(path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._started.append(self.processes[name])

    def signal(self, name: str, number: signal.Signals) -> None:
        os.kill(self.processes[name].pid, number)

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        self.processes[name].wait(30)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait(30)
        self._held.close()

    # -- questions ---------------------------------------------------------------------------------------------------

    def get(self, name: str, path: str, method: str = "GET", timeout_s: float = 10.0) -> tuple[int, bytes]:
        """An answer of the member's HTTP port."""
        request = urllib.request.Request(f"http://{self.host(name)}:{self.ports[name][1]}{path}", method=method)
        if self.secret is not None:
            request.add_header("Authorization", f"Bearer {self.secret}")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def describe(self, name: str) -> dict[str, Any] | None:
        """What the member says of itself; None when it does not answer."""
        try:
            described: dict[str, Any] = json.loads(self.get(name, "/v1/member", timeout_s=2.0)[1])
        except (OSError, ValueError):
            return None
        return described

    def members(self, partition: int = 0) -> list[str]:
        return [member_name(partition, ordinal) for ordinal in range(self.copies)]

    def primary(self, partition: int = 0) -> str | None:
        """The member that serves the partition now."""
        for name in self.members(partition):
            if self.processes.get(name) is not None and self.processes[name].poll() is None:
                described = self.describe(name)
                if described and described["role"] == "primary" and described["open"]:
                    return name
        return None

    def whole(self, partition: int = 0, copies: int | None = None) -> str | None:
        """The serving primary's name, if the in-sync set is complete."""
        name = self.primary(partition)
        described = name and self.describe(name)
        if described and described["configuration"]:
            configuration = described["configuration"]
            if len(configuration["in_sync"]) == (copies or self.copies) and not configuration["joining"]:
                return name
        return None

    def wait_whole(self, partition: int = 0, copies: int | None = None, timeout_s: float = 90.0) -> str:
        try:
            return str(wait_until(lambda: self.whole(partition, copies), timeout_s, f"partition {partition} whole"))
        except AssertionError:
            for name in [*self.members(partition), "m0"]:
                print(f"--- {name}\n{self.log(name)[-4000:]}", self.describe(name) if name != "m0" else "")
            raise

    def wait_primary(self, partition: int = 0, timeout_s: float = 60.0, other_than: str | None = None) -> str:
        return str(
            wait_until(
                lambda: (found := self.primary(partition)) and found != other_than and found, timeout_s, "a primary"
            )
        )

    def hand_over(self, name: str) -> str:
        """Make another member than `name` the primary; who it is. One that takes longer than it may hold up requests is given
        up, as on a busy machine, and asked for again."""

        def asked() -> str | None:
            self.get(name, "/v1/hand-over", "POST")
            with contextlib.suppress(AssertionError):
                return self.wait_primary(int(name[1:].split("-")[0]), 3.0, other_than=name)
            return None

        return str(wait_until(asked, what=f"another primary than {name}"))

    def client(self, name: str, **options: Any) -> redis.Redis:
        """A connection to one member, which does not retry."""
        options = {"socket_timeout": 10, "retry": None, "single_connection_client": True} | options
        return redis.Redis(host=self.host(name), port=self.ports[name][0], password=self.secret, **options)


@contextlib.contextmanager
def grid_processes(folder: Path, **options: Any) -> Iterator[GridProcesses]:
    grid = GridProcesses(folder, **options)
    try:
        yield grid
    finally:
        grid.close()
