"""Redis' own programs, from the distribution: `redis-cli -c` and `redis-benchmark --cluster`."""

import csv
import io
import json
import re
import subprocess
from collections.abc import Iterator

import pytest
from tests.e2e.live_grid import LiveGrid, live_grid


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    with live_grid(tmp_path_factory.mktemp("tools")) as grid:
        yield grid


def redis_cli(grid: LiveGrid, *words: str, stdin: str | None = None, port: int | None = None) -> str:
    """What `redis-cli -c` printed."""
    done = subprocess.run(
        ["redis-cli", "-c", "-p", str(port or grid.port), *words],
        input=stdin, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.rstrip("\n")


def test_redis_cli_follows_the_redirections(grid: LiveGrid) -> None:
    for number in range(12):
        assert redis_cli(grid, "SET", f"cli:{number}", f"value {number}") == "OK"
    for name in grid.names():
        assert redis_cli(grid, "GET", "cli:7", port=grid.resp_port(name)) == "value 7"


def test_redis_cli_reads_commands_from_a_file(grid: LiveGrid) -> None:
    lines = [f"SET line:{number} {number}\nINCR line:{number}" for number in range(50)]
    printed = redis_cli(grid, stdin="\n".join(lines) + "\n").splitlines()
    numbers = [line for line in printed if line and not line.startswith(("OK", "->"))]
    assert numbers == [str(number + 1) for number in range(50)]


def test_redis_cli_speaks_the_third_protocol(grid: LiveGrid) -> None:
    redis_cli(grid, "HSET", "cli:hash", "a", "1")
    assert redis_cli(grid, "-3", "HGETALL", "cli:hash").splitlines()[-1] in ('1# "a" => "1"', "a 1", "1")
    assert redis_cli(grid, "-3", "--json", "HGETALL", "cli:hash") == '{"a":"1"}'


def test_the_cluster_describes_itself(grid: LiveGrid) -> None:
    information = dict(line.split(":") for line in redis_cli(grid, "CLUSTER", "INFO").split())
    assert information["cluster_state"] == "ok"
    assert information["cluster_slots_assigned"] == information["cluster_slots_ok"] == "16384"
    assert information["cluster_known_nodes"] == "6"
    assert information["cluster_size"] == "3"
    nodes = redis_cli(grid, "CLUSTER", "NODES").splitlines()
    assert len(nodes) == 6
    assert sum("master" in node for node in nodes) == 3
    assert sum("myself" in node for node in nodes) == 1
    identity = redis_cli(grid, "CLUSTER", "MYID")
    assert re.fullmatch("[0-9a-f]{40}", identity)
    assert any(node.startswith(identity) and "myself" in node for node in nodes)
    assert redis_cli(grid, "CLUSTER", "KEYSLOT", "{user1000}.following") == "3443"
    assert redis_cli(grid, "--json", "CLUSTER", "SLOTS").count("127.0.0.1") == 6
    assert redis_cli(grid, "--json", "CLUSTER", "SHARDS").count("online") == 6


def test_redis_cli_checks_the_cluster_as_it_would_one_of_its_own(grid: LiveGrid) -> None:
    printed = subprocess.run(
        ["redis-cli", "--cluster", "info", f"127.0.0.1:{grid.port}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    ).stdout
    assert "keys in 3 masters" in printed, printed


def test_inline_commands(grid: LiveGrid) -> None:
    key = grid.key_of(0, "inline")
    with grid.raw("p0-0") as raw:
        raw.socket.sendall(b"PING\r\n")
        assert raw.reply() == b"PONG"
        raw.socket.sendall(f'SET {key} "a value with \\"quotes\\""\r\nGET {key}\r\n'.encode())
        assert raw.reply() == b"OK"
        assert raw.reply() == b'a value with "quotes"'


@pytest.mark.parametrize("pipeline", [1, 16])
def test_redis_benchmark_of_the_cluster(grid: LiveGrid, pipeline: int) -> None:
    command = ["redis-benchmark", "--cluster", "-h", "127.0.0.1", "-p", str(grid.port), "-t", "set,get,incr,hset,mset"]
    command += ["-n", "20000", "-c", "20", "-P", str(pipeline), "-r", "10000", "--csv"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "error" not in (done.stdout + done.stderr).lower()
    rates = {row[0]: float(row[1]) for row in csv.reader(io.StringIO(done.stdout)) if len(row) > 1 and row[0] != "test"}
    assert {name.split(" ")[0] for name in rates} == {"SET", "GET", "INCR", "HSET", "MSET"}
    assert all(rate > 0 for rate in rates.values())


MONITORS_ASK = (
    "INFO all; CONFIG GET *; SLOWLOG LEN; SLOWLOG GET 128; LATENCY LATEST; LATENCY HISTORY command; CLIENT LIST; MODULE LIST; "
    "ACL WHOAMI; ACL LIST; MEMORY STATS; MEMORY DOCTOR; MEMORY PURGE; DBSIZE; COMMAND; COMMAND DOCS; CLUSTER INFO; ROLE; "
    "CLIENT TRACKINGINFO; OBJECT HELP; TIME"
)
"""Of a server: redis_exporter, RedisInsight and redis-cli itself."""


def test_what_monitors_ask_is_answered_by_every_member(grid: LiveGrid) -> None:
    for name in grid.names():
        port = grid.resp_port(name)
        for line in MONITORS_ASK.split("; "):
            # -e: a reply that is an error ends redis-cli with a status of its own.
            redis_cli(grid, "-e", *line.split(), port=port)


def test_a_slow_log_shows_the_requests_of_a_real_client(grid: LiveGrid) -> None:
    redis_cli(grid, "CONFIG", "SET", "slowlog-log-slower-than", "0")
    redis_cli(grid, "SLOWLOG", "RESET")
    redis_cli(grid, "--json", "PING", "slow?")
    entries = json.loads(redis_cli(grid, "--json", "SLOWLOG", "GET", "-1"))
    redis_cli(grid, "CONFIG", "SET", "slowlog-log-slower-than", "10000")
    assert ["PING", "slow?"] in [words for _, _, _, words, _, _ in entries]


def test_redis_cli_finds_the_big_keys_of_a_member(grid: LiveGrid) -> None:
    redis_cli(grid, "SET", "cli:big", "x" * 5000)
    port = next(
        grid.resp_port(name) for name in grid.names() if int(redis_cli(grid, "DBSIZE", port=grid.resp_port(name)))
    )
    assert "strings with" in redis_cli(grid, "--bigkeys", port=port)
    assert "strings with" in redis_cli(grid, "--memkeys", port=port)
