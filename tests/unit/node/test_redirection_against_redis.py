"""Three partitions with a backup each, beside a real Redis Cluster of that shape: who answers, and who says `-MOVED`.

The requests go to the primary of the first partition, or to its backup; the same bytes must come back from both, with
only the ports of the members put aside.
"""

import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ports import HeldPorts
from tests.unit.node.drive import Client, Drive
from tests.unit.node.test_session_against_redis import REDIS, RedisClient

CLI = shutil.which("redis-cli")
if CLI is None:
    pytest.skip("redis-cli is not installed", allow_module_level=True)

BUS = 10_000
"""Between the port of a Redis node and that of its cluster bus."""


class Node:
    def __init__(self, port: int) -> None:
        self.port = port


class RedisCluster:
    """Three primaries and three replicas, made with `redis-cli --cluster create`."""

    def __init__(self, folder: Path) -> None:
        self._held = HeldPorts(6, beside=BUS)
        self.ports = self._held.numbers
        self.processes = []
        for port in self.ports:
            place = folder / str(port)
            place.mkdir()
            command = [str(REDIS), "--port", str(port), "--cluster-enabled", "yes", "--save", "", "--dir", str(place)]
            command += ["--bind", "127.0.0.1", "--daemonize", "no", "--repl-diskless-sync-delay", "0"]
            self.processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        until = time.monotonic() + 180
        for port in self.ports:
            while not _listens(port):
                assert time.monotonic() < until, "redis-server did not start"
                time.sleep(0.02)
        addresses = [f"127.0.0.1:{port}" for port in self.ports]
        made = subprocess.run(
            [str(CLI), "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        while not self._whole():
            assert time.monotonic() < until, "the cluster did not come up"
            time.sleep(0.05)

    def _whole(self) -> bool:
        states = [self.client(port).raw("CLUSTER", "INFO") for port in self.ports]
        if not all(b"cluster_state:ok" in state for state in states):
            return False
        return all(b"master_link_status:up" in self.client(port).raw("INFO", "replication") for port in self.ports[3:])

    def client(self, port: int) -> RedisClient:
        return RedisClient(Node(port))  # type: ignore[arg-type]

    @property
    def replica(self) -> int:
        """The port of the first primary's replica."""
        master = f"master_port:{self.ports[0]}\r".encode()
        return next(p for p in self.ports[3:] if master in self.client(p).raw("INFO", "replication"))

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self._held.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    running = RedisCluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.stop()


def without_ports(reply: bytes, ports: list[int]) -> bytes:
    """Ports of primaries by the number of their partition."""
    return re.sub(rb"127\.0\.0\.1:(\d+)", lambda found: b"primary %d" % ports.index(int(found[1])), reply)


# {b} is in the first partition, {c} in the second, {a} in the third.
ON_A_PRIMARY = (
    "GET {b}; GET {c}; GET {a}; SET {a} 1; SET {b} 1; GET {b}; MGET {b} {a}; MGET {a}1 {a}2; MGET {b}1 {b}2; "
    "MSET {a} 1 {b} 2; DEL {a}; DEL {b} {a}; EXISTS {c}; RENAME {b} {a}; RENAME {a} {a}x; COPY {b} {a}; COPY {c} {c}1; "
    "LCS {a} {a}; LCS {a} {b}; OBJECT ENCODING {a}; MEMORY USAGE {a}; TYPE {a}; TTL {c}; EXPIRE {a} 1; HSET {a} f v; "
    "HGETALL {c}; INCR {a}; GETEX {a}; TOUCH {a} {c}; UNLINK {a}; WATCH {a}; WATCH {a} {b}; WATCH {b}; UNWATCH; "
    # Transactions: a key of another partition is refused when it is queued, and voids the whole.
    "MULTI; GET {a}; EXEC; MULTI; SET {b} 2; SET {a} 1; EXEC; GET {b}; MULTI; SET {b} 3; INCR {b}; EXEC; "
    "MULTI; MGET {b} {a}; EXEC; MULTI; WATCH {a}; EXEC; MULTI; SET {b} 1; SET {f}x 1; EXEC; GET {b}; MULTI; GET {b}; "
    "PING; EXEC; MULTI; EXEC; MULTI; GET {a}; DISCARD; GET {b}; "
    "WATCH {b}; SET {b} 5; MULTI; GET {b}; EXEC; MULTI; GET {a} x; GET {a}; EXEC; "
    # What names no key is answered by whoever is asked.
    "READONLY; GET {a}; GET {b}; SET {a} 1; READWRITE; ASKING; GET {a}; GET {b}; CLUSTER KEYSLOT {a}; "
    "CLUSTER COUNTKEYSINSLOT 15495; CLUSTER GETKEYSINSLOT 15495 10; CLUSTER COUNTKEYSINSLOT 3300; "
    "CLUSTER GETKEYSINSLOT 3300 10; DBSIZE; KEYS *; SCAN 0 COUNT 100; RANDOMKEY; COMMAND GETKEYS GET {a}; FLUSHALL; DBSIZE"
)
ON_A_BACKUP = (
    "GET {b}; GET {a}; SET {b} 1; DEL {b}; MGET {b} {b}2; MGET {a} {b}; WATCH {b}; OBJECT ENCODING {b}; MULTI; GET {b}; "
    "EXEC; MULTI; SET {b} 1; EXEC; READONLY; GET {b}; GET {a}; GET {c}; MGET {b} {b}2; MGET {a} {b}; TYPE {b}; TTL {b}; "
    "STRLEN {b}; SET {b} 2; INCR {b}; EXPIRE {b} 5; DEL {b}; GETEX {b}; GETDEL {b}; HSET {b}h f w; HGETALL {b}h; "
    "OBJECT ENCODING {b}; "
    "MULTI; GET {b}; EXEC; MULTI; GET {b}; HGET {b}h f; EXEC; MULTI; SET {b} 1; EXEC; MULTI; GET {b}; INCR {b}; EXEC; "
    "MULTI; GET {a}; EXEC; MULTI; PING; EXEC; WATCH {b}; MULTI; GET {b}; EXEC; WATCH {b}; UNWATCH; "
    "KEYS {b}; SCAN 0 MATCH {b} COUNT 100; DBSIZE; FLUSHALL; FLUSHDB; WAIT 0 0; WAIT 1 1; CLUSTER COUNTKEYSINSLOT 3300; "
    "MULTI; FLUSHALL; EXEC; READWRITE; GET {b}; PING; ECHO x; SELECT 0"
)


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_primary_sends_clients_where_redis_does(cluster: RedisCluster, protocol: int) -> None:
    drive = Drive(partitions=3)
    ours, theirs = drive.connect(), cluster.client(cluster.ports[0])
    theirs.raw("FLUSHALL")
    if protocol == 3:
        ours.resp = 3
        theirs.raw("HELLO", "3")
    compare(ON_A_PRIMARY, ours, theirs, [7000, 7002, 7004], cluster)


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_backup_answers_what_a_replica_does(cluster: RedisCluster, protocol: int) -> None:
    drive = Drive(partitions=3)
    primary = cluster.client(cluster.ports[0])
    for words in (["FLUSHALL"], ["SET", "{b}", "1"], ["HSET", "{b}h", "f", "v"]):
        primary.raw(*words)
        drive.connect().raw(*words)
    primary.raw("WAIT", "1", "10000")
    drive.become_backup()
    ours, theirs = drive.connect(), cluster.client(cluster.replica)
    if protocol == 3:
        ours.resp = 3
        theirs.raw("HELLO", "3")
    compare(ON_A_BACKUP, ours, theirs, [7001, 7002, 7004], cluster)


OVER_ON_A_BACKUP = (
    "GET {b}over; EXISTS {b}over; EXISTS {b}over {b}; TTL {b}over; PTTL {b}over; EXPIRETIME {b}over; TYPE {b}over; "
    "STRLEN {b}over; MGET {b}over {b}; HGETALL {b}gone; HGET {b}gone f; HLEN {b}gone; OBJECT ENCODING {b}over; TOUCH {b}over; "
    "GETRANGE {b}over 0 1; LCS {b}over {b}; KEYS {b}over; KEYS {b}; SCAN 0 MATCH {b}over COUNT 100; DBSIZE; "
    "CLUSTER COUNTKEYSINSLOT 3300; WATCH {b}over; MULTI; GET {b}over; EXEC; DBSIZE"
)


@pytest.mark.parametrize("protocol", [2, 3])
def test_keys_whose_time_is_over_are_missing_on_a_backup_before_the_primary_says_so(
    cluster: RedisCluster, protocol: int
) -> None:
    drive = Drive(partitions=3)
    primary = cluster.client(cluster.ports[0])
    mine = drive.connect()
    for line in ("FLUSHALL", "SET {b} 1", "SET {b}over v PX 2000", "HSET {b}gone f v", "PEXPIRE {b}gone 2000"):
        primary.raw(*line.split())
        mine.raw(*line.split())
    primary.raw("WAIT", "1", "10000")
    cluster.processes[0].send_signal(signal.SIGSTOP)  # a primary that cannot delete what has expired
    try:
        time.sleep(2.2)
        drive.become_backup()
        drive.keyspace.now_ms += 2200
        ours, theirs = drive.connect(), cluster.client(cluster.replica)
        for client in (ours, theirs):
            client.raw("HELLO", str(protocol))
            client.raw("READONLY")
        compare(OVER_ON_A_BACKUP, ours, theirs, [7001, 7002, 7004], cluster)
    finally:
        cluster.processes[0].send_signal(signal.SIGCONT)


def compare(script: str, ours: Client, theirs: RedisClient, primaries: list[int], cluster: RedisCluster) -> None:
    different = []
    for line in script.split("; "):
        mine = without_ports(ours.raw(*line.split()), primaries)
        real = without_ports(theirs.raw(*line.split()), cluster.ports)
        if mine != real:
            different.append((line, mine, real))
    assert not different
