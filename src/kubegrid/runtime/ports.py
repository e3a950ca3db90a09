"""Ports: which the contract fixes, which are chosen, and who sits on one that is taken.

Members' RESP ports and managers' HTTP ports follow from the base port. The others are chosen once, below the range that
the kernel hands out to outgoing connections, so that a restarted process finds its port free again.
"""

import contextlib
import random
import socket
from collections.abc import Iterable
from pathlib import Path

import psutil

from kubegrid.base.errors import KubegridError, UsageError
from kubegrid.runtime.errors import PortsTakenError

PORT_MAX = 65535
MANAGER_OFFSET = 1000
FREE_FIRST = 10_000
ATTEMPTS_MAX = 2000


def check_range(port: int, members: int, managers: int) -> None:
    """Raises UsageError when the fixed ports do not fit, or members would run into the managers."""
    if not 1 <= port <= PORT_MAX:
        raise UsageError(f"--port {port} is not a port: 1 to {PORT_MAX}")
    if members > MANAGER_OFFSET:
        raise UsageError(
            f"{members} members need ports {port} to {port + members - 1}, which runs into the managers' at "
            f"{port + MANAGER_OFFSET}; {MANAGER_OFFSET} members are the most on one machine"
        )
    last = port + MANAGER_OFFSET + managers - 1
    if last > PORT_MAX:
        raise UsageError(
            f"--port {port} is too high: a manager's HTTP would be on {last}",
            f"The highest possible is {PORT_MAX - MANAGER_OFFSET - managers + 1}.",
        )


def is_free(host: str, port: int) -> bool:
    """Whether one could listen there now. Connections in TIME_WAIT do not count, as for any server's restart."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError as error:
            raise UsageError(f"port {port} may not be used without being root", "Choose one from 1024 on.") from error
        except OSError:
            return False
    return True


def check_free(host: str, wanted: Iterable[tuple[int, str]]) -> None:
    """`wanted` is (port, what for). Raises PortsTakenError that names every taken one and, if it can be told, by whom."""
    taken = [(port, purpose) for port, purpose in wanted if not is_free(host, port)]
    if not taken:
        return
    lines = [f"port {port} (for {purpose}) is taken{_holder_text(port)}" for port, purpose in taken]
    raise PortsTakenError("\n".join(lines), "Choose others with --port, or stop what listens there.")


def choose(host: str, count: int, avoid: Iterable[int]) -> list[int]:
    """`count` free ports outside `avoid`. Random, so that two grids that start together rarely choose the same."""
    avoided = set(avoid)
    chosen: list[int] = []
    last = _ephemeral_first() - 1
    for _ in range(ATTEMPTS_MAX + 10 * count):
        if len(chosen) == count:
            return chosen
        port = random.randint(FREE_FIRST, last)
        if port not in avoided and is_free(host, port):
            avoided.add(port)
            chosen.append(port)
    raise KubegridError(f"no {count} free ports between {FREE_FIRST} and {last}")


def _ephemeral_first() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32768
    return first if first > FREE_FIRST + 5000 else PORT_MAX


def _holder_text(port: int) -> str:
    pid = None
    with contextlib.suppress(psutil.Error, OSError, RuntimeError):
        connections = [c for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port]
        listening = [c for c in connections if c.status == psutil.CONN_LISTEN] or connections
        pid = next((c.pid for c in listening if c.pid), None)
    if pid is None:
        return " (by a process of another user)" if _answers(port) else ""
    with contextlib.suppress(psutil.Error):
        command = " ".join(psutil.Process(pid).cmdline())
        return f" by process {pid}: {command if len(command) <= 160 else command[:157] + '…'}"
    return f" by process {pid}"


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.3):
        return True
    return False
