"""The grid in this very process: the real pod, started in no time, closed or ended with the process."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
import redis
from pyarrow import flight
from redis.cluster import RedisCluster

import kubegrid
from kubegrid.runtime import embedded
from kubegrid.runtime.embedded import EmbeddedError, EmbeddedGrid

FLIGHTS = '{"columns": [{"name": "id", "type": "INTEGER"}, {"name": "origin", "type": "VARCHAR"}], "key": ["id"]}'


@pytest.fixture
def grid() -> Iterator[EmbeddedGrid]:
    with embedded.start() as started:
        yield started


def client(grid: EmbeddedGrid, **options: Any) -> "redis.Redis[bytes]":
    host, port = grid.addresses[0].split(":")
    return redis.Redis(host=host, port=int(port), socket_timeout=10, **options)


def run(program: str, timeout_s: float = 120) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=timeout_s
    )


def test_it_serves_every_slot_to_a_cluster_client_at_once(grid: EmbeddedGrid) -> None:
    host, port = grid.addresses[0].split(":")
    cluster = RedisCluster(host=host, port=int(port))
    assert all(cluster.set(f"key:{number}", number) for number in range(100))
    assert cluster.dbsize() == 100
    cluster.close()


def test_it_starts_quickly() -> None:
    begun = time.monotonic()
    with embedded.start() as grid:
        assert client(grid).ping()
    assert time.monotonic() - begun < 10, "some ten milliseconds, on a machine that has the time"


def test_tables_are_made_changed_and_dropped(grid: EmbeddedGrid) -> None:
    connection = client(grid)
    for _ in range(2):
        assert connection.execute_command("KG.CREATE", "flights", FLIGHTS) == b"OK"
    assert (
        connection.execute_command("KG.ALTER", "flights", "ADD", "COLUMN", '{"name": "day", "type": "DATE"}') == b"OK"
    )
    assert connection.execute_command("KG.TABLES") == [b"flights"]
    with pytest.raises(redis.ResponseError, match="TABLECONFLICT table flights exists"):
        connection.execute_command("KG.CREATE", "flights", FLIGHTS)
    with pytest.raises(redis.ResponseError, match="TABLECONFLICT table flights exists already"):
        connection.execute_command("KG.CREATE", "flights", FLIGHTS, "NEW")
    with pytest.raises(redis.ResponseError, match="NOTABLE no table 'flights with id 7'"):
        connection.execute_command("KG.DROP", "flights", "ID", 7)
    for words in (
        ["KG.CREATE", "flights", FLIGHTS, "OLD"],
        ["KG.DROP", "flights", "ID"],
        ["KG.DROP", "flights", "ID", "x"],
    ):
        with pytest.raises(redis.ResponseError, match="syntax error"):
            connection.execute_command(*words)
    assert connection.execute_command("KG.DROP", "flights") == b"OK"
    number = connection.execute_command("KG.CREATE", "flights", FLIGHTS, "NEW")
    assert connection.execute_command("KG.DROP", "flights", "ID", number) == b"OK"
    with pytest.raises(redis.ResponseError, match="no table 'flights'"):
        connection.execute_command("KG.DROP", "flights")


def test_rows_that_come_as_arrow_stay_columns_whoever_sends_them(grid: EmbeddedGrid) -> None:
    resp = client(grid)
    resp.execute_command("KG.CREATE", "flights", FLIGHTS)
    (pod,) = json.loads(resp.execute_command("KG.ENDPOINTS"))
    count = 5000
    rows = pa.record_batch({"id": pa.array(range(count), pa.int32()), "origin": ["JFK"] * count})
    with flight.connect(f"grpc://{pod['flight']}") as connection:
        writer, answers = connection.do_put(flight.FlightDescriptor.for_path("table", "flights"), rows.schema)
        writer.write_batch(rows)
        assert json.loads(answers.read().to_pybytes()) == {"rows": count}
        writer.write_with_metadata(rows.slice(0, 600), pa.py_buffer(b'{"mode": "fail"}'))
        writer.done_writing()
        with pytest.raises(pa.ArrowException, match="exists already"):
            writer.close()
    cold = sum(type(value) is int for values in grid._pod.keyspace.slots for value in (values or {}).values())
    assert cold == count
    assert resp.execute_command("HGET", "flights:7", "origin") == b"JFK"


def test_replies_keep_their_order_around_a_command_that_waits(grid: EmbeddedGrid) -> None:
    pipeline = client(grid).pipeline(transaction=False)
    pipeline.set("a", 1).execute_command("KG.CREATE", "flights", FLIGHTS).get("a").execute_command("KG.TABLES")
    assert pipeline.execute() == [True, b"OK", b"1", [b"flights"]]


def test_records_of_a_dropped_table_are_cleared_away(grid: EmbeddedGrid) -> None:
    connection = client(grid)
    connection.execute_command("KG.CREATE", "flights", FLIGHTS)
    for number in range(50):
        connection.execute_command("JSON.SET", f"flights:{number}", "$", f'{{"id": {number}, "origin": "JFK"}}')
    used = grid._pod.keyspace.used_bytes
    connection.execute_command("KG.DROP", "flights")
    until = time.monotonic() + 60
    while grid._pod.keyspace.key_count and time.monotonic() < until:
        time.sleep(0.01)
    assert grid._pod.keyspace.key_count == 0 and grid._pod.keyspace.used_bytes < used


def times_of(connection: Any) -> tuple[int, int, int, int]:
    """Whether it is kept alive, after how long a silence, and how often at what distance the other end is asked."""
    alive = connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle, apart, count = socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT
    return alive, *[connection.getsockopt(socket.IPPROTO_TCP, one) for one in (idle, apart, count)]  # type: ignore[return-value]


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this kernel has one time for all connections")
def test_clients_connections_are_kept_alive_as_in_redis(grid: EmbeddedGrid) -> None:
    first = client(grid, single_connection_client=True)

    def times_of_the_next() -> tuple[int, int, int, int]:
        connection = client(grid, single_connection_client=True)
        return times_of(grid._pod.context.sessions[connection.client_id()].transport.get_extra_info("socket"))

    assert first.config_get("tcp-keepalive") == {"tcp-keepalive": "300"}
    assert times_of_the_next() == (1, 300, 100, 3)
    first.config_set("tcp-keepalive", 10)
    assert times_of_the_next() == (1, 10, 3, 3)
    first.config_set("tcp-keepalive", 2**31 - 1)  # more than the kernel takes
    assert times_of_the_next()[0] == 1
    first.config_set("tcp-keepalive", 0)
    assert times_of_the_next()[0] == 0


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this kernel has one time for all connections")
async def test_the_python_clients_connections_are_kept_alive(grid: EmbeddedGrid) -> None:
    with kubegrid.connect(grid.addresses[0]) as own:
        own.get("a")
        assert times_of(own.caller.pool(own.members[0]).free[0].sock) == (1, 60, 20, 3)
    async with await kubegrid.connect_async(grid.addresses[0]) as other:
        await other.get("a")
        (link,) = other.caller.members.links()
        assert times_of(link._transport.get_extra_info("socket")) == (1, 60, 20, 3)


def test_two_at_once_know_nothing_of_each_other(grid: EmbeddedGrid) -> None:
    with embedded.start() as other:
        client(grid).set("a", 1)
        assert client(other).get("a") is None


def test_after_close_it_is_refused_and_its_port_is_free(grid: EmbeddedGrid) -> None:
    connection = client(grid)
    connection.ping()
    others = _threads() - 1
    grid.close()
    grid.close()
    with pytest.raises(EmbeddedError, match="was closed"):
        grid.check()
    with pytest.raises(redis.ConnectionError):
        client(grid).ping()
    assert _threads() == others


def _threads() -> int:
    return sum(thread.name == "kubegrid-embedded" for thread in threading.enumerate())


def test_in_a_forked_child_it_is_refused_and_goes_on_in_the_parent(grid: EmbeddedGrid) -> None:
    client(grid).set("a", 1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            grid.check()
            os.write(writing, b"nothing was refused")
        except EmbeddedError as error:
            os.write(writing, str(error).encode())
        finally:
            grid.close()
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read()
    assert f"is of process {os.getpid()}" in said and "kubegrid.local()" in said
    assert client(grid).get("a") == b"1"
    grid.check()


def test_a_child_does_not_hold_the_port_when_the_parent_is_gone() -> None:
    done = run(
        """
        import os, sys, time
        from kubegrid.runtime import embedded
        grid = embedded.start()
        if os.fork() == 0:
            os.close(1); os.close(2)
            time.sleep(5)
            os._exit(0)
        print(grid.addresses[0], flush=True)
        os._exit(0)
        """
    )
    host, port = done.stdout.strip().split(":")
    with pytest.raises(redis.ConnectionError):
        redis.Redis(host=host, port=int(port), socket_timeout=2).ping()


def test_it_ends_with_the_process_and_says_nothing() -> None:
    done = run(
        """
        from kubegrid.runtime import embedded
        import redis
        grid = embedded.start()
        redis.Redis(port=int(grid.addresses[0].split(":")[1])).set("a", 1)
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_too_little_memory_is_refused() -> None:
    with pytest.raises(EmbeddedError, match="at least"):
        embedded.start(memory_bytes=1000)


def test_a_forked_child_neither_keeps_the_port_for_sql_nor_waits_for_its_threads(grid: EmbeddedGrid) -> None:
    connection = client(grid)

    def port() -> Any:
        (member,) = json.loads(connection.execute_command("KG.ENDPOINTS"))
        return member["flight"] and int(member["flight"].split(":")[1])

    while (flight := port()) is None:
        pass
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            grid._pod.flight._server = None  # what the end of an interpreter does with everything
            time.sleep(0.5)
            os._exit(0)
        os._exit(1)
    grid.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", flight)) != 0, "the child holds the port"
    assert os.waitpid(child, 0)[1] == 0
