"""SQL through the Flight ports of real members: every pod takes statements, whatever happens to the others."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import adbc_driver_manager
import pyarrow as pa
import pytest
import redis
from adbc_driver_flightsql import dbapi
from pyarrow import flight
from tests.integration.member_processes import GridProcesses, grid_processes, wait_until

import kubegrid
from kubegrid.sql.errors import SqlError
from kubegrid.wire import sql_tickets

pytestmark = pytest.mark.filterwarnings("ignore:Cannot disable autocommit")
SECRET = "s3cret"
FLIGHTS = '{"columns": [{"name": "id", "type": "INTEGER"}, {"name": "origin", "type": "VARCHAR"}], "key": ["id"]}'
ROWS = 1000


def endpoints(grid: GridProcesses, name: str) -> dict[str, dict[str, Any]]:
    told = json.loads(grid.client(name).execute_command("KG.ENDPOINTS"))
    return {member["name"]: member for member in told}


def all_open(grid: GridProcesses, name: str) -> dict[str, dict[str, Any]]:
    """Every member's addresses, as `name` tells them, once all listen for Flight."""

    def look() -> Any:
        try:
            told = endpoints(grid, name)
        except redis.ConnectionError:  # it becomes the primary just then
            return False
        return len(told) == len(grid.names) and all(member["flight"] for member in told.values()) and told

    found: dict[str, dict[str, Any]] = wait_until(look, 60, "every member listens for Flight")
    return found


def fill(grid: GridProcesses, told: dict[str, dict[str, Any]]) -> None:
    seeds = ",".join(member["resp"] for member in told.values())
    with kubegrid.connect(seeds, password=grid.secret) as connected:
        connected.execute("KG.CREATE", "flights", FLIGHTS)
        rows = [{"id": number, "origin": "JFK" if number % 4 else "LGA"} for number in range(ROWS)]
        connected.table("flights").write_many(rows)


def asked(address: str, sql: str, secret: str | None = None, **more: Any) -> list[dict[str, Any]]:
    headers = [] if secret is None else [(b"authorization", f"Bearer {secret}".encode())]
    with flight.connect(f"grpc://{address}") as client:
        ticket = flight.Ticket(sql_tickets.encode(sql, **more))
        rows: list[dict[str, Any]] = (
            client.do_get(ticket, flight.FlightCallOptions(headers=headers)).read_all().to_pylist()
        )
        return rows


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GridProcesses]:
    """Three partitions without backups, with a secret, and a table whose rows are in all of them."""
    with grid_processes(tmp_path_factory.mktemp("grid"), partitions=3, copies=1, secret=SECRET) as processes:
        processes.start()
        fill(processes, all_open(processes, "p0-0"))
        yield processes


def test_every_pod_answers_for_all_partitions(grid: GridProcesses) -> None:
    for member in all_open(grid, "p1-0").values():
        assert asked(member["flight"], "SELECT count(*) AS n FROM flights", SECRET) == [{"n": ROWS}]
        found = asked(member["flight"], "SELECT origin, count(*) AS n FROM flights GROUP BY origin ORDER BY n", SECRET)
        assert found == [{"origin": "LGA", "n": ROWS // 4}, {"origin": "JFK", "n": ROWS * 3 // 4}]


def test_what_was_written_is_in_the_next_answer_of_any_pod(grid: GridProcesses) -> None:
    told = all_open(grid, "p0-0")
    pods = [member["flight"] for member in told.values()]
    with kubegrid.connect(told["p0-0"]["resp"], password=SECRET) as connected:
        table = connected.table("flights")
        for number in range(20):
            table.write({"id": 10_000 + number, "origin": "NEW"})
            count = "SELECT count(*) AS n FROM flights WHERE origin = 'NEW'"
            assert asked(pods[number % 3], count, SECRET) == [{"n": number + 1}]
    asked(pods[0], "DELETE FROM flights WHERE origin = 'NEW'", SECRET)
    assert asked(pods[0], "SELECT count(*) AS n FROM flights", SECRET) == [{"n": ROWS}]


def test_adbc_works_on_a_grid(grid: GridProcesses) -> None:
    address = all_open(grid, "p0-0")["p2-0"]["flight"]
    options = {"username": "me", "password": SECRET}
    with dbapi.connect(f"grpc://{address}", db_kwargs=options) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE planes (tail VARCHAR PRIMARY KEY, seats INTEGER)")
        cursor.executemany("INSERT INTO planes VALUES (?, ?)", [(f"N{number}", number) for number in range(30)])
        assert cursor.rowcount == 30
        cursor.execute("SELECT sum(seats) FROM planes WHERE seats < ?", (10,))
        assert cursor.fetchall() == [(45,)]
        for factor, product in ((2, [(14,)]), (1.5, [(10.5,)])):  # names and types of columns hang on the values
            cursor.execute("SELECT seats * ? FROM planes WHERE tail = 'N7'", (factor,))
            assert cursor.fetchall() == product
        cursor.execute("UPDATE planes SET seats = seats + 1 WHERE tail = 'N7'")
        cursor.execute("SELECT seats FROM planes WHERE tail = 'N7'")
        assert cursor.fetchall() == [(8,)]
        assert cursor.adbc_ingest("planes", pa.table({"tail": [f"M{n}" for n in range(100)]}), mode="append") == 100
        assert set(connection.adbc_get_table_schema("planes").names) == {"tail", "seats"}
        with pytest.raises(adbc_driver_manager.Error, match="seets"):
            cursor.execute("SELECT seets FROM planes")
        cursor.execute("DROP TABLE planes")


def test_rows_from_anybody_go_to_their_partitions_as_columns(grid: GridProcesses) -> None:
    address = all_open(grid, "p0-0")["p1-0"]["flight"]
    count = 20_000
    rows = pa.table(
        {"tail": [f"T{n % (count // 2)}" for n in range(count)], "seats": pa.array(range(count), pa.int32())}
    )
    asked(address, "CREATE TABLE jets (tail VARCHAR PRIMARY KEY, seats INTEGER)", SECRET)
    with (
        dbapi.connect(f"grpc://{address}", db_kwargs={"username": "me", "password": SECRET}) as connection,
        connection.cursor() as cursor,
    ):
        assert cursor.adbc_ingest("jets", rows, mode="append") == count
        last = pa.table({"tail": ["T1"], "seats": pa.array([-1], pa.int32())})
        assert cursor.adbc_ingest("jets", last, mode="append") == 1
    told = asked(address, "SELECT count(*) AS n, sum(seats)::BIGINT AS seats FROM jets", SECRET)
    assert told == [{"n": count // 2, "seats": sum(range(count // 2, count)) - (count // 2 + 1) - 1}]
    for name in grid.names:
        assert 'kubegrid_flight_calls_total{kind="rows",outcome="done"}' in grid.get(name, "/metrics")[1].decode()
    asked(address, "DROP TABLE jets", SECRET)


def test_broadcast_rows_are_joined_fresh_in_every_pod(grid: GridProcesses) -> None:
    pods = [member["flight"] for member in all_open(grid, "p0-0").values()]
    asked(pods[0], "CREATE TABLE airports (code VARCHAR PRIMARY KEY, town VARCHAR) BROADCAST", SECRET)
    join = "SELECT town, count(*) AS n FROM flights JOIN airports ON code = origin GROUP BY town ORDER BY town"
    asked(pods[0], "INSERT INTO airports VALUES ('JFK', 'New York')", SECRET)
    for pod in pods:
        assert asked(pod, join, SECRET) == [{"town": "New York", "n": ROWS * 3 // 4}]
    asked(pods[1], "INSERT INTO airports VALUES ('LGA', 'Queens')", SECRET)
    asked(pods[2], "UPDATE airports SET town = 'Jamaica' WHERE code = 'JFK'", SECRET)
    for pod in pods:
        assert asked(pod, join, SECRET) == [{"town": "Jamaica", "n": ROWS * 3 // 4}, {"town": "Queens", "n": ROWS // 4}]
    asked(pods[0], "DROP TABLE airports", SECRET)


def test_a_join_whose_time_is_over_ends_then_and_names_the_member_that_it_waited_for(grid: GridProcesses) -> None:
    pods = {name: member["flight"] for name, member in all_open(grid, "p0-0").items()}
    asked(pods["p0-0"], "CREATE TABLE towns (code VARCHAR PRIMARY KEY, town VARCHAR) BROADCAST", SECRET)
    join = "SELECT count(*) AS n FROM flights JOIN towns ON code = origin"
    assert asked(pods["p0-0"], join, SECRET) == [{"n": 0}]
    process = grid.processes["p1-0"]
    process.send_signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        with pytest.raises(flight.FlightTimedOutError, match=r"500 ms it had; partition 1 had not answered: .*p1-0"):
            asked(pods["p0-0"], join, SECRET, timeout_ms=500)
        assert time.monotonic() - begun < 10
    finally:
        process.send_signal(signal.SIGCONT)
    wait_until(lambda: asked(pods["p0-0"], join, SECRET) == [{"n": 0}])
    asked(pods["p0-0"], "DROP TABLE towns", SECRET)


def test_a_pod_refuses_strangers_and_members_of_other_partitions(grid: GridProcesses) -> None:
    told = all_open(grid, "p0-0")
    for secret in (None, "wrong"):
        with pytest.raises(flight.FlightUnauthenticatedError):
            asked(told["p0-0"]["flight"], "SELECT 1", secret)


def test_metrics_and_the_members_record_tell_of_sql(grid: GridProcesses) -> None:
    address = all_open(grid, "p0-0")["p0-0"]["flight"]
    asked(address, "SELECT count(*) FROM flights", SECRET)
    metrics = grid.get("p0-0", "/metrics")[1].decode()
    assert 'kubegrid_flight_calls_total{kind="statement",outcome="done"}' in metrics
    assert 'kubegrid_columns_rows{table="flights"}' in metrics
    described = grid.describe("p0-0")
    assert described is not None and f"127.0.0.1:{described['flight_port']}" == address


def test_the_loop_serves_while_a_statement_computes(grid: GridProcesses) -> None:
    address = all_open(grid, "p0-0")["p0-0"]["flight"]
    client = grid.client("p0-0")
    statement_id = "1" * 32
    failed: list[BaseException] = []

    def compute() -> None:
        try:
            asked(address, "SELECT count(*) FROM range(100000000) a, range(1000) b", SECRET, statement_id=statement_id)
        except flight.FlightError as error:
            failed.append(error)

    computing = threading.Thread(target=compute)
    computing.start()
    running = 'kubegrid_flight_calls_running{kind="statement"} 1.0'
    wait_until(lambda: running in grid.get("p0-0", "/metrics")[1].decode(), 30, "the statement runs")
    for _ in range(200):
        assert client.ping()
    assert computing.is_alive()
    options = flight.FlightCallOptions(headers=[(b"authorization", f"Bearer {SECRET}".encode())])
    body = json.dumps({"statement_id": statement_id}).encode()
    with flight.connect(f"grpc://{address}") as other:
        while computing.is_alive():
            list(other.do_action(flight.Action("kubegrid.cancel", body), options))
            computing.join(0.05)
    (error,) = failed
    document = sql_tickets.decode_error(error.extra_info)  # type: ignore[attr-defined]
    assert document is not None and SqlError.from_json(document).code == "CANCELLED"


# -- members that go away --------------------------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path: Path) -> Iterator[GridProcesses]:
    """Two partitions with a backup each."""
    with grid_processes(tmp_path, partitions=2, copies=2) as processes:
        processes.start()
        fill(processes, all_open(processes, "p0-0"))
        yield processes


def asked_throughout(grid: GridProcesses, change: Callable[[str], Any]) -> None:
    """Ask one partition's primary again and again while something is done to the other's: every answer is whole."""
    told = all_open(grid, "p0-0")
    asked_pod = told[grid.wait_whole(0)]["flight"]
    changed = grid.wait_whole(1)
    assert asked(asked_pod, "SELECT count(*) AS n FROM flights") == [{"n": ROWS}]
    answers: list[list[dict[str, Any]]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answers.append(asked(asked_pod, "SELECT count(*) AS n FROM flights", timeout_ms=30_000))

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: len(answers) > 2, 30)
    change(changed)
    before = len(answers)
    wait_until(lambda: len(answers) > before + 3, 60, "answers after it happened")
    stop.set()
    asking.join(60)
    assert not asking.is_alive() and all(answer == [{"n": ROWS}] for answer in answers)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM], ids=lambda number: number.name)
def test_a_partitions_primary_that_goes_away_costs_time_and_no_answer(
    pairs: GridProcesses, number: signal.Signals
) -> None:
    asked_throughout(pairs, lambda name: pairs.signal(name, number))


def test_rows_that_are_put_while_a_primary_dies_are_all_there(pairs: GridProcesses) -> None:
    told = all_open(pairs, "p0-0")
    address = told[pairs.wait_whole(0)]["flight"]
    victim = pairs.wait_whole(1)
    batches, size = 20, 5_000
    with flight.connect(f"grpc://{address}") as client:
        descriptor = flight.FlightDescriptor.for_path("table", "flights")
        schema = pa.schema([("id", pa.int32()), ("origin", pa.string())])
        writer, answers = client.do_put(descriptor, schema)
        for number in range(batches):
            if number == batches // 2:
                pairs.kill(victim)
            first = 1_000_000 + number * size
            ids = pa.array(range(first, first + size), pa.int32())
            writer.write_batch(pa.record_batch([ids, pa.array(["PUT"] * size)], schema=schema))
            assert json.loads(answers.read().to_pybytes()) == {"rows": size}
        writer.close()
    count = "SELECT count(*) AS n FROM flights WHERE origin = 'PUT'"
    assert asked(address, count, timeout_ms=30_000) == [{"n": batches * size}]


def test_hand_overs_under_queries_cost_no_answer(pairs: GridProcesses) -> None:
    def hand_over(name: str) -> None:
        for _ in range(3):
            name = pairs.hand_over(name)
            pairs.wait_whole(1)

    asked_throughout(pairs, hand_over)


def test_a_pod_that_ends_tells_so_and_ends_in_time(pairs: GridProcesses) -> None:
    name = pairs.wait_whole(0)
    address = all_open(pairs, name)[name]["flight"]
    errors: list[BaseException] = []

    def compute() -> None:
        try:
            asked(address, "SELECT count(*) FROM range(100000000) a, range(1000) b")
        except (flight.FlightError, pa.ArrowException, OSError) as error:
            errors.append(error)

    computing = threading.Thread(target=compute)
    computing.start()
    running = 'kubegrid_flight_calls_running{kind="statement"} 1.0'
    wait_until(lambda: running in pairs.get(name, "/metrics")[1].decode(), 30, "the statement runs")
    begun = time.monotonic()
    pairs.signal(name, signal.SIGTERM)
    assert pairs.processes[name].wait(60) == 0
    assert time.monotonic() - begun < 30
    computing.join(30)
    assert errors
