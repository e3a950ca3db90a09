"""The same requests to an installed Redis 7 in cluster mode and to `dispatch`: the same bytes must come back.

Replies that hold what only one of the two can know (numbers of clients, times, addresses) are compared elsewhere.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest
from tests.ports import HeldPorts
from tests.unit.node.drive import Drive, decode

from kubegrid.wire.command_table import COMMANDS

REDIS = shutil.which("redis-server")
if REDIS is None:
    pytest.skip("redis-server is not installed", allow_module_level=True)


class Redis:
    """A cluster of one node that owns every slot; with a password when one is given."""

    def __init__(self, folder: Path, password: str = "") -> None:
        self._held = HeldPorts(2)
        self.port, bus = self._held
        command = [
            str(REDIS),
            "--port",
            str(self.port),
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            str(bus),
            "--save",
            "",
        ]
        command += ["--dir", str(folder), "--bind", "127.0.0.1", "--daemonize", "no"]
        if password:
            command += ["--requirepass", password]
        self.password = password
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline, "redis-server did not start"
            try:
                admin = RedisClient(self)
            except OSError:
                time.sleep(0.02)
                continue
            if password:
                admin.raw("AUTH", password)
            admin.raw("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
            while b"cluster_state:ok" not in admin.raw("CLUSTER", "INFO"):
                assert time.monotonic() < deadline, "the cluster did not come up"
                time.sleep(0.02)
            return

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._held.close()


class RedisClient:
    def __init__(self, server: Redis) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.socket.settimeout(60)

    def raw(self, *words: str) -> bytes:
        parts = [word.encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts))
        return self.read()

    def together(self, *requests: list[str]) -> bytes:
        """All replies. Redis executes the requests as soon one after the other as it can."""
        self.socket.sendall(b"".join(hiredis.pack_command(tuple(words)) for words in requests))
        return self.read(len(requests))

    def read(self, count: int = 1) -> bytes:
        reader = hiredis.Reader()
        received = b""
        while count:
            data = self.socket.recv(1 << 20)
            assert data, "closed"
            received += data
            reader.feed(data)
            while count and reader.gets() is not False:
                count -= 1
        return received


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def guarded_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    server = Redis(tmp_path_factory.mktemp("redis"), "s3cret")
    yield server
    server.stop()


def _scripts() -> dict[str, list[str]]:
    scripts: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "session_scripts.txt").read_text().splitlines():
        if line.startswith("["):
            scripts[line.strip("[]")] = current = []
        elif line and not line.startswith("#"):
            current.append(line)
    return scripts


SCRIPTS = _scripts()


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("name", SCRIPTS)
def test_same_replies(redis: Redis, name: str, protocol: int) -> None:
    ours = Drive().connect()
    if protocol == 3:
        ours.resp = 3
    theirs = RedisClient(redis)
    theirs.raw("FLUSHALL")
    if protocol == 3:
        theirs.raw("HELLO", "3")
    for line in SCRIPTS[name]:
        words = ["" if word == '""' else word.replace("_", " ") for word in line.split()]
        assert ours.raw(*words) == theirs.raw(*words), line


GREETINGS = (
    "GET a; GET; foo; PING; EXEC; MULTI; HELLO; HELLO 3; HELLO 3 AUTH default x; HELLO 3 AUTH x s3cret; "
    "HELLO 3 SETNAME x; HELLO 9 AUTH default s3cret; AUTH x; AUTH default x; AUTH x s3cret; AUTH x s3cret "
    "y; CLIENT ID; CLIENT SETNAME x; READONLY; AUTH s3cret; GET a; RESET; GET a; AUTH default s3cret; GET "
    "a"
)


def test_same_replies_before_authentication(guarded_redis: Redis) -> None:
    ours = Drive(secret=b"s3cret").connect()
    theirs = RedisClient(guarded_redis)
    for line in GREETINGS.split("; "):
        assert ours.raw(*line.split()) == theirs.raw(*line.split()), line


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_greeting_has_the_fields_of_redis(redis: Redis, protocol: int) -> None:
    def fields(raw: bytes, number: int) -> bytes:
        return raw.replace(b":%d\r\n" % number, b":N\r\n")

    ours = Drive().connect()
    theirs = RedisClient(redis)
    number = int(theirs.raw("CLIENT", "ID")[1:])
    ours.id = number
    assert ours.raw("HELLO", str(protocol)) == theirs.raw("HELLO", str(protocol))


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_the_topology_has_the_form_of_redis(redis: Redis, protocol: str) -> None:
    drive = Drive()
    drive.topology.partitions[0].backups.clear()
    ours, theirs = drive.connect(), RedisClient(redis)
    ours.raw("HELLO", protocol)
    theirs.raw("HELLO", protocol)

    def shape(raw: bytes) -> list[bytes]:
        """The frame of a reply: types and lengths, without what stands in its strings and integers."""
        lines = raw.split(b"\r\n")
        set_of_types = (b"*", b"%", b"~", b":", b"$", b">", b"=")
        return [line[:1] if line[:1] in (b":", b"$") else line for line in lines if line[:1] in set_of_types]

    for command in (["CLUSTER", "SLOTS"], ["CLUSTER", "SHARDS"], ["CLUSTER", "MYID"]):
        assert shape(ours.raw(*command)) == shape(theirs.raw(*command)), command
    for command in (["CLUSTER", "NODES"], ["CLUSTER", "INFO"], ["INFO"], ["CLIENT", "LIST"], ["CLIENT", "INFO"]):
        assert ours.raw(*command)[:1] == theirs.raw(*command)[:1], command
    assert shape(ours.raw("TIME")) == shape(theirs.raw("TIME"))


def test_the_names_of_commands_include_subcommands_as_in_redis(redis: Redis) -> None:
    ours, theirs = Drive().connect(), RedisClient(redis)
    mine = set(decode(ours.raw("COMMAND", "LIST")))
    assert len(mine) == len(decode(ours.raw("COMMAND", "LIST", "FILTERBY", "PATTERN", "*")))
    known = {info.name.encode() for command in COMMANDS.values() for info in command.subcommands.values()}
    assert {b"client|list", b"config|get"} <= known & set(decode(theirs.raw("COMMAND", "LIST"))) <= mine


@pytest.mark.parametrize("command", [("CLIENT", "LIST"), ("client", "info"), ("CLIENT", "LIST", "TYPE", "normal")])
def test_the_lines_of_clients_are_those_of_redis(redis: Redis, command: tuple[str, ...]) -> None:
    def line(raw: bytes, number: int) -> dict[bytes, bytes]:
        lines = [text for text in decode(raw).splitlines() if text.startswith(b"id=%d " % number)]
        return dict(word.split(b"=", 1) for word in lines[0].split(b" "))

    ours, theirs = Drive().connect(), RedisClient(redis)
    mine = line(ours.raw(*command), ours.id)
    real = line(theirs.raw(*command), int(theirs.raw("CLIENT", "ID")[1:]))
    seconds = {b"age", b"idle"}  # of two clocks, and a second may have begun between the two questions
    own_values = {b"id", b"addr", b"fd", b"laddr", b"qbuf-free", b"argv-mem", b"rbs", b"rbp", b"tot-mem"} | seconds
    assert all(mine[name].isdigit() and real[name].isdigit() for name in seconds)
    assert list(real) == [name for name in mine if name not in (b"lib-name", b"lib-ver")]
    assert {n: v for n, v in mine.items() if n in real and n not in own_values} == {
        n: v for n, v in real.items() if n not in own_values
    }


ARGUMENTS = b"$9\r\narguments\r\n"
OWN_GROUPS = ("grid", "json")
"""Of commands that Redis does not have."""


def test_the_facts_about_every_command_are_those_of_redis(redis: Redis) -> None:
    newer = {"client|setinfo", "client|no-touch"}
    everything = [info for command in COMMANDS.values() for info in (command, *command.subcommands.values())]
    names = [info.name for info in everything if info.group not in OWN_GROUPS and info.name not in newer]
    ours, theirs = Drive().connect(), RedisClient(redis)
    for name in names:
        ((*mine, _),) = decode(ours.raw("COMMAND", "INFO", name))
        ((*real, _),) = decode(theirs.raw("COMMAND", "INFO", name))
        # The remarks in key specifications are sentences of Redis's documentation.
        real[8] = [spec[2:] if spec[0] == b"notes" else spec for spec in real[8]]
        assert mine == real, name


@pytest.mark.parametrize("protocol", ["2", "3"])
def test_the_arguments_of_every_command_are_described_as_redis_describes_them(redis: Redis, protocol: str) -> None:
    ours, theirs = Drive().connect(), RedisClient(redis)
    ours.raw("HELLO", protocol)
    theirs.raw("HELLO", protocol)
    everything = [info for command in COMMANDS.values() for info in (command, *command.subcommands.values())]
    for name in [info.name for info in everything if not info.subcommands]:
        real = theirs.raw("COMMAND", "DOCS", name)
        if real in (b"*0\r\n", b"%0\r\n"):
            continue  # newer than this Redis, or the grid's own
        mine = ours.raw("COMMAND", "DOCS", name)
        begin = real.find(ARGUMENTS)
        assert mine.endswith(real[begin:]) if begin >= 0 else ARGUMENTS not in mine, name


@pytest.mark.parametrize("fields", [1, 128, 129, 512, 513])
def test_hashes_of_this_many_fields_have_the_encoding_that_they_have_in_redis(redis: Redis, fields: int) -> None:
    ours, theirs = Drive().connect(), RedisClient(redis)
    theirs.raw("FLUSHALL")
    pairs = [word for number in range(fields) for word in (f"f{number}", "v")]
    for request in (["HSET", "h", *pairs], ["OBJECT", "ENCODING", "h"], ["CONFIG", "GET", "hash-max-listpack-entries"]):
        assert ours.raw(*request) == theirs.raw(*request)


@pytest.mark.parametrize("old_name", [False, True])
def test_when_a_hash_is_a_hashtable_can_be_set_as_in_redis(redis: Redis, old_name: bool) -> None:
    ours, theirs = Drive().connect(), RedisClient(redis)
    theirs.raw("FLUSHALL")
    lines = (
        "CONFIG SET hash-max-listpack-entries 2 hash-max-listpack-value 5; CONFIG GET hash-max-listpack-entries; "
        "CONFIG GET hash-max-listpack-value; HSET a x 1 y 2; OBJECT ENCODING a; HSET b x 1 y 2 z 3; OBJECT ENCODING b; "
        "HSET c x 12345; OBJECT ENCODING c; HSET d x 123456; OBJECT ENCODING d; CONFIG SET hash-max-listpack-value 1k; "
        "HSET e x 123456; OBJECT ENCODING e; CONFIG SET hash-max-listpack-entries x; CONFIG SET hash-max-listpack-entries -1; "
        "CONFIG SET hash-max-listpack-value x; CONFIG SET hash-max-listpack-entries 512 hash-max-listpack-value 64"
    )
    for line in lines.replace("listpack", "ziplist" if old_name else "listpack").split("; "):
        assert ours.raw(*line.split()) == theirs.raw(*line.split()), line


NO_TRUE_VALUE = (
    "allocator_ async_ atomicvar_ client_recent_ clients_in_ configured_hz current_ dump_payload expire_cycle expired_stale "
    "expired_time evicted_clients gcc_ hz instantaneous_input instantaneous_output io_threaded lazyfreed lru_clock mem_allocator "
    "mem_clients mem_cluster mem_replication mem_total monotonic_ multiplexing_ process_supervised rdb_last aof_last "
    "aof_rewrites rdb_current aof_current reply_buffer rss_overhead sync_ total_active total_eviction total_net total_reads "
    "total_writes "
    "used_memory_dataset_perc used_memory_functions used_memory_overhead used_memory_startup used_memory_vm repl_backlog_"
)
"""How fields of Redis begin that are about what it is made of, or that are not known here."""


def test_info_has_the_fields_of_redis_that_have_a_true_value_here(redis: Redis) -> None:
    def names(raw: bytes) -> set[str]:
        lines = decode(raw).decode().splitlines()
        return {
            line.partition(":")[0]
            for line in lines
            if ":" in line and not line.startswith(("cmdstat_", "latency_", "error"))
        }

    ours, theirs = Drive().connect(), RedisClient(redis)
    theirs.raw("FLUSHALL")
    missing = names(theirs.raw("INFO", "everything")) - names(ours.raw("INFO", "everything"))
    assert [name for name in sorted(missing) if not name.startswith(tuple(NO_TRUE_VALUE.split()))] == []


@pytest.mark.parametrize(
    "cursor", ["7", "4294967295", "4294967296", f"{2**63}", f"{2**64 - 1}", f"{2**64}", "-1", "+1", "x"]
)
def test_cursors_that_nobody_gave_out_are_answered_as_in_redis(redis: Redis, cursor: str) -> None:
    ours, theirs = Drive().connect(), RedisClient(redis)
    theirs.raw("FLUSHALL")
    for line in ("HSET h a 1 b 2 c 3", f"HSCAN h {cursor}", f"HSCAN h {cursor} MATCH b", f"SCAN {cursor} MATCH none"):
        mine, real = ours.raw(*line.split()), theirs.raw(*line.split())
        assert mine == real or (line.startswith("SCAN") and mine[:1] == real[:1] == b"*"), line
