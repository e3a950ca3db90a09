"""Hazelcast 5 and Ignite 2 as two nodes on loopback with one synchronous backup, for comparisons on the same machine.

Everything they need comes by name: the Java archives by their Maven coordinates (`mvn`), their own Python clients from
the package index, pinned in `peers/requirements.txt`. Both are kept in a cache folder and fetched once. `prepare` says
in one line what this machine lacks; nothing here is needed by KubeGrid itself.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.local_grid import free_port_base

HERE = Path(__file__).parent / "peers"
ARTEFACTS = {"hazelcast": "com.hazelcast:hazelcast:5.5.0", "ignite": "org.apache.ignite:ignite-core:2.17.0"}
JAVA_MIN, JAVA_MAX = 11, 21
START_S = 90
HEAP = "-Xmx1g"
PORT_SPREAD = 10
"""Ports of one peer: client ports at the base, whatever else it listens on above."""

HAZELCAST_FLAGS = [
    "--add-modules", "java.se",
    "--add-exports", "java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens", "java.base/java.lang=ALL-UNNAMED",
    "--add-opens", "java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens", "java.management/sun.management=ALL-UNNAMED",
    "--add-opens", "jdk.management/com.sun.management.internal=ALL-UNNAMED",
]  # fmt: skip
"""What Hazelcast's manual asks for on Java 11 and later."""

IGNITE_OPENS = [
    "java.base/jdk.internal.access", "java.base/jdk.internal.misc", "java.base/sun.nio.ch", "java.base/sun.util.calendar",
    "java.base/java.io", "java.base/java.nio", "java.base/java.net", "java.base/java.util",
    "java.base/java.util.concurrent", "java.base/java.util.concurrent.locks", "java.base/java.util.concurrent.atomic",
    "java.base/java.lang", "java.base/java.lang.invoke", "java.base/java.math", "java.base/java.time",
    "java.management/com.sun.jmx.mbeanserver", "jdk.internal.jvmstat/sun.jvmstat.monitor",
    "java.base/sun.reflect.generics.reflectiveObjects", "jdk.management/com.sun.management.internal",
    "java.sql/java.sql",
]  # fmt: skip
"""What Ignite's start script opens on Java 15 and later."""

HAZELCAST_CONFIG = """\
hazelcast:
  cluster-name: bench
  network:
    port: {{port: {port}, auto-increment: false}}
    interfaces: {{enabled: true, interfaces: [127.0.0.1]}}
    join:
      auto-detection: {{enabled: false}}
      multicast: {{enabled: false}}
      tcp-ip: {{enabled: true, member-list: ["127.0.0.1:{first}", "127.0.0.1:{second}"]}}
  map:
    default: {{backup-count: 1}}
  properties:
    hazelcast.phone.home.enabled: false
    hazelcast.socket.bind.any: false
"""


class PeerMissing(Exception):
    """A peer cannot run on this machine, in one line."""


def cache() -> Path:
    """Where archives and clients are kept: `$XDG_CACHE_HOME/kubegrid-bench`, or below `~/.cache`."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(home) if os.path.isabs(home) else Path.home() / ".cache"
    return base / "kubegrid-bench"


def prepare() -> None:
    """Fetch what is not there yet, and make the clients importable. Raises PeerMissing."""
    _check_java()
    for peer, coordinates in ARTEFACTS.items():
        _fetch_archives(peer, coordinates)
    _fetch_clients()


def _check_java() -> None:
    try:
        told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True, timeout=60).stderr
    except (OSError, subprocess.CalledProcessError):
        raise PeerMissing("java is missing: install Debian's openjdk-17-jdk-headless") from None
    found = re.search(r'version "(\d+)', told)
    if found is None or not JAVA_MIN <= int(found[1]) <= JAVA_MAX:
        raise PeerMissing(f"Java {JAVA_MIN} to {JAVA_MAX} is needed, this is: {told.splitlines()[0]}")
    if shutil.which("javac") is None:
        raise PeerMissing("javac is missing: install Debian's openjdk-17-jdk-headless")


def _fetch_archives(peer: str, coordinates: str) -> None:
    folder = cache() / coordinates.replace(":", "_")
    if (folder / "complete").exists():
        return
    if shutil.which("mvn") is None:
        raise PeerMissing("mvn is missing: install Debian's maven")
    folder.mkdir(parents=True, exist_ok=True)
    group, name, version = coordinates.split(":")
    (folder / "pom.xml").write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"<groupId>bench</groupId><artifactId>{peer}</artifactId><version>1</version><dependencies><dependency>"
        f"<groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>"
        "</dependency></dependencies></project>"
    )
    print(f"fetching {coordinates} into {folder} ...", file=sys.stderr, flush=True)
    _run(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"], folder)
    (folder / "complete").touch()


def _fetch_clients() -> None:
    wanted = HERE / "requirements.txt"
    folder = cache() / f"clients-{sys.version_info.major}.{sys.version_info.minor}"
    done = folder / "complete"
    if not done.exists() or done.read_text() != wanted.read_text():
        print(f"installing the peers' Python clients into {folder} ...", file=sys.stderr, flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        _run([*pip, "--upgrade", "--no-deps", "--target", str(folder), "-r", str(wanted)], HERE)
        done.write_text(wanted.read_text())
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:] or ["no output"]
        raise PeerMissing(f"{' '.join(command[:3])} failed: {last[0]}")


def _class_path(peer: str) -> str:
    return str(cache() / ARTEFACTS[peer].replace(":", "_") / "lib" / "*")


@contextlib.contextmanager
def running_hazelcast() -> Iterator[list[str]]:
    """Two members; the addresses for its client."""
    base = free_port_base(PORT_SPREAD) + PORT_SPREAD
    with _processes() as start:
        for port in (base, base + 1):
            config = start.folder / f"hazelcast-{port}.yaml"
            config.write_text(HAZELCAST_CONFIG.format(port=port, first=base, second=base + 1))
            flags = [*HAZELCAST_FLAGS, HEAP, f"-Dhazelcast.config={config}", "-Dhazelcast.local.localAddress=127.0.0.1"]
            start(["java", *flags, "-cp", _class_path("hazelcast"), "com.hazelcast.core.server.HazelcastMemberStarter"])
        start.await_text("Members {size:2,")
        yield [f"127.0.0.1:{base}", f"127.0.0.1:{base + 1}"]


@contextlib.contextmanager
def running_ignite() -> Iterator[list[tuple[str, int]]]:
    """Two nodes; the addresses for its thin client. Whoever makes a cache says how many backups it has."""
    base = free_port_base(PORT_SPREAD) + PORT_SPREAD
    with _processes() as start:
        opens = [f"--add-opens={package}=ALL-UNNAMED" for package in IGNITE_OPENS]
        quiet = ["-DIGNITE_UPDATE_NOTIFIER=false", "-DIGNITE_QUIET=true", f"-DIGNITE_HOME={start.folder}"]
        for number in (0, 1):
            ports = [str(port) for port in (base + 2, base + 2 + number, base + number)]
            source = str(HERE / "IgniteNode.java")
            start(["java", *opens, HEAP, *quiet, "-cp", _class_path("ignite"), source, *ports])
            start.await_text("READY", number)
        yield [("127.0.0.1", base), ("127.0.0.1", base + 1)]


class _Starter:
    """Starts processes with their output in files, so that their readiness can be read there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[tuple[str, subprocess.Popen[bytes], Path]] = []

    def __call__(self, command: list[str]) -> None:
        log = self.folder / f"{len(self.started)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        self.started.append((command[0], process, log))

    def await_text(self, text: str, number: int | None = None) -> None:
        """Until every process (or one) has printed `text`. Raises PeerMissing with its last line when it does not."""
        waiting = self.started if number is None else [self.started[number]]
        end = time.monotonic() + START_S
        for program, process, log in waiting:
            while text not in log.read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() > end:
                    last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
                    raise PeerMissing(f"{program} did not come up; it printed: {last[0]}")
                time.sleep(0.1)


@contextlib.contextmanager
def _processes() -> Iterator[_Starter]:
    folder = Path(tempfile.mkdtemp(prefix="peer-"))
    start = _Starter(folder)
    try:
        yield start
    finally:
        for _, process, _ in start.started:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
