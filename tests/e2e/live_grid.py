"""A grid of real processes under test: started by `kubegrid up`, looked at from outside, hurt with signals.

Everything goes through the command line and the sockets that a user has. `status` is the one of `kubegrid status --json`,
read in this process because a new interpreter for every look would take longer than most of what is being looked at.
Waiting is always for a condition; the ceilings are generous and are reached only by a failure.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from binascii import crc_hqx
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import hiredis
import psutil
from bench.local_grid import are_free
from demo.writers import Writer, connect, lost_writes
from redis.cluster import RedisCluster
from redis.exceptions import RedisError

from kubegrid.base.ids import slots_of_partition
from kubegrid.cli import target
from kubegrid.runtime import folder

WAIT_S = 90.0
COMMAND_S = 120.0
POLL_S = 0.05
GONE_S = 30.0


def wait_until(condition: Callable[[], Any], timeout_s: float = WAIT_S, what: str = "the condition") -> Any:
    """The first truthy answer of `condition`; AssertionError after `timeout_s`."""
    until = time.monotonic() + timeout_s
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < until, f"not within {timeout_s:g} s: {what}"
        time.sleep(POLL_S)


def free_base(members: int) -> int:
    """A port P such that P…P+members and P+1000…P+1002 are free now. Random, for several suites may run at once."""
    for _ in range(1000):
        base = random.randrange(17_000, 29_000, 20)
        if are_free(base, members):
            return base
    raise AssertionError("no free ports")


class RawConnection:
    """A socket that sends exactly what it is told and reads one reply at a time. Context manager."""

    def __init__(self, host: str, port: int, timeout_s: float = 60.0) -> None:
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        self._reader = hiredis.Reader()

    def send(self, *words: str | bytes) -> None:
        self.socket.sendall(hiredis.pack_command(words))

    def reply(self) -> Any:
        """The next reply; an error reply is returned as `hiredis.ReplyError`. EOFError when the peer closed."""
        while (reply := self._reader.gets()) is False:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise EOFError("the member closed the connection")
            self._reader.feed(data)
        return reply

    def call(self, *words: str | bytes) -> Any:
        self.send(*words)
        return self.reply()

    def at_end(self) -> bool:
        """Whether the peer has closed; waits for that, or for data, at most the socket's timeout."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class LiveGrid:
    """One state folder with what runs in it."""

    def __init__(self, root: Path, *, partitions: int = 3, backups: int = 1, secret: str | None = None) -> None:
        self.root = root
        self.directory = root / "state"
        self.partitions = partitions
        self.backups = backups
        self.secret = secret
        self.port = free_base(partitions * (backups + 1))
        self.places = folder.Folder(self.directory)

    # -- commands ----------------------------------------------------------------------------------------------------

    def write_manifest(self, **spec: Any) -> Path:
        """A grid.yaml of this grid's shape with `spec` on top."""
        path = self.root / "grid.yaml"
        whole = {"partitions": self.partitions, "backups": self.backups, **spec}
        document = {
            "apiVersion": "kubegrid.io/v1alpha1",
            "kind": "DataGrid",
            "metadata": {"name": "test"},
            "spec": whole,
        }
        path.write_text(json.dumps(document))
        return path

    def run(
        self, *words: str, check: bool = True, timeout_s: float = COMMAND_S, environment: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """`kubegrid WORDS --dir DIR`; with `check`, anything but exit status 0 is an AssertionError."""
        given = {key: value for key, value in os.environ.items() if key != "KUBEGRID_SECRET"}
        if self.secret is not None:
            given["KUBEGRID_SECRET"] = self.secret
        done = subprocess.run(
            [sys.executable, "-m", "kubegrid.cli", *words, "--dir", str(self.directory)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=given | (environment or {}),
            check=False,
        )
        assert not check or done.returncode == 0, (
            f"kubegrid {' '.join(words)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.all_logs()}"
        )
        return done

    def up(self, **spec: Any) -> Self:
        self.run("up", str(self.write_manifest(**spec)), "--port", str(self.port), "--detach")
        return self

    def up_again(self) -> "subprocess.CompletedProcess[str]":
        """As a person would type it later: without saying again what the folder knows."""
        return self.run("up", "--detach", check=False)

    # -- looking -----------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return target.local(None, self.directory).read_status()

    def partition(self, number: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.status()["partitions"][number]
        return found

    def member(self, name: str) -> dict[str, Any]:
        partition = self.partition(int(name[1:].split("-")[0]))
        found: dict[str, Any] = next(member for member in partition["members"] if member["name"] == name)
        return found

    def primary(self, number: int = 0) -> str:
        return str(self.partition(number)["primary"])

    def backup(self, number: int = 0) -> str:
        partition = self.partition(number)
        return next(str(member["name"]) for member in partition["members"] if member["name"] != partition["primary"])

    def pid(self, name: str) -> int:
        """Of a member, a manager or `supervisor`."""
        record = self.places.supervisor if name == "supervisor" else self.places.run(name)
        return int(json.loads(record.read_text())["pid"])

    def resp_port(self, name: str) -> int:
        partition, ordinal = map(int, name[1:].split("-"))
        return self.port + partition * (self.backups + 1) + ordinal

    def names(self) -> list[str]:
        return [f"p{p}-{o}" for p in range(self.partitions) for o in range(self.backups + 1)]

    def log(self, name: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self.places.log(name).read_text(errors="replace")
        return ""

    def all_logs(self) -> str:
        """The ends of all logs, for the message of a failure."""
        files = sorted(self.places.logs.glob("*.log")) if self.places.logs.exists() else []
        return "\n".join(f"--- {file.name}\n{file.read_text(errors='replace')[-1500:]}" for file in files)

    def owners(self) -> dict[int, int]:
        """Slot → partition, as the writers of the demo want it."""
        return {
            slot: partition["id"]
            for partition in self.status()["partitions"]
            for first, last in partition["slots"]
            for slot in range(first, last + 1)
        }

    # -- waiting -----------------------------------------------------------------------------------------------------

    def is_whole(self) -> bool:
        return all(
            partition["state"] == "serving" and len(partition["in_sync"]) == self.backups + 1
            for partition in self.status()["partitions"]
        )

    def wait_whole(self, timeout_s: float = 120.0) -> None:
        try:
            wait_until(self.is_whole, timeout_s, "every partition whole")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status(), indent=1)}\n{self.all_logs()}") from None

    def wait_serving(self, timeout_s: float = WAIT_S) -> None:
        """Every partition takes a write and answers a read, as an application sees it."""
        for number in range(self.partitions):
            key = self.key_of(number, "probe")
            wait_until(lambda key=key: self._answers(key), timeout_s, f"partition {number} serving")

    def _answers(self, key: str) -> bool:
        with contextlib.suppress(RedisError, OSError):
            client = self.client(patient=False)
            try:
                return bool(client.set(key, "1")) and client.get(key) == b"1"
            finally:
                client.close()
        return False

    def wait_new_primary(self, number: int, old: str, timeout_s: float = WAIT_S) -> str:
        def found() -> str | None:
            partition = self.partition(number)
            other = partition["primary"] != old and partition["state"] == "serving"
            return str(partition["primary"]) if other else None

        return str(wait_until(found, timeout_s, f"another primary of partition {number} than {old}"))

    # -- talking -----------------------------------------------------------------------------------------------------

    def client(self, *, patient: bool = True, **options: Any) -> "RedisCluster[Any]":
        """redis-py's cluster client: with its defaults, or one that reports every error at once."""
        if patient:
            return RedisCluster(host="127.0.0.1", port=self.port, password=self.secret, **options)
        return connect(self.port, patient=False)

    def raw(self, name: str, timeout_s: float = 60.0) -> RawConnection:
        """A plain socket to one member."""
        return RawConnection("127.0.0.1", self.resp_port(name), timeout_s)

    def key_of(self, partition: int, prefix: str = "key") -> str:
        """Some key that lives in `partition`."""
        return next(self.keys_of(partition, prefix))

    def keys_of(self, partition: int, prefix: str = "key") -> Iterator[str]:
        """Ever more keys that live in `partition`."""
        first, last = slots_of_partition(partition, self.partitions)
        number = 0
        while True:
            key = f"{prefix}:{number}"
            if first <= slot_of(key) <= last:
                yield key
            number += 1

    @contextlib.contextmanager
    def writers(self, count: int = 2) -> Iterator[list[Writer]]:
        """Writers that run until the block ends, and are stopped then whatever happened."""
        owners = self.owners()
        started = [Writer(number, self.port, owners) for number in range(count)]
        for writer in started:
            writer.start()
        try:
            wait_until(
                lambda: all(len(writer.acknowledged) > 20 for writer in started), what="the writers' first writes"
            )
            yield started
        finally:
            for writer in started:
                writer.stopping.set()
            for writer in started:
                writer.stop()

    def lost(self, writers: list[Writer]) -> list[str]:
        """The acknowledged writes that are not there any more."""
        return lost_writes(self.client(), writers)

    # -- hurting and ending --------------------------------------------------------------------------------------------

    def signal(self, name: str, number: signal.Signals) -> int:
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def kill(self, name: str) -> int:
        """SIGKILL; returns when the process is gone. Its pid."""
        pid = self.signal(name, signal.SIGKILL)
        wait_until(lambda: not runs(pid), what=f"the end of {name}")
        return pid

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for this folder, found by its arguments."""
        place = str(self.directory)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                ours = any(word == place or word.startswith(place + "/") for word in words)
                if ours and "kubegrid" in " ".join(words) and process.pid != os.getpid():
                    found.append(process)
        return found

    def close(self) -> None:
        """End everything that runs here, politely not being the point."""
        for _ in range(3):  # a supervisor may have started one more while it was being looked for
            found = self.processes()
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(found, GONE_S)


def slot_of(key: str) -> int:
    return crc_hqx(key.encode(), 0) % 16384


def runs(pid: int) -> bool:
    """Whether the process lives; a zombie does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@contextlib.contextmanager
def live_grid(
    root: Path, *, partitions: int = 3, backups: int = 1, secret: str | None = None, **spec: Any
) -> Iterator[LiveGrid]:
    """A fresh grid that is whole, gone afterwards whatever happens. `spec` goes into its manifest."""
    grid = LiveGrid(root, partitions=partitions, backups=backups, secret=secret)
    try:
        yield grid.up(**spec)
    finally:
        grid.close()
