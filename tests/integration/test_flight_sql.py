"""Flight and Flight SQL as drivers speak them: ADBC and pyarrow's own client, against one server without a grid."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import adbc_driver_flightsql
import adbc_driver_manager
import pyarrow as pa
import pytest
from adbc_driver_flightsql import dbapi
from pyarrow import flight
from tests.integration.flight_service import OneService, serving

from kubegrid.flight import messages
from kubegrid.flight.server import FlightServer
from kubegrid.sql.errors import SqlError
from kubegrid.wire import sql_tickets

SECRET = "s3cret word"
pytestmark = pytest.mark.filterwarnings("ignore:Cannot disable autocommit")


@pytest.fixture
def both() -> Iterator[tuple[OneService, FlightServer]]:
    with serving() as running:
        yield running


@pytest.fixture
def connection(both: tuple[OneService, FlightServer]) -> Iterator[Any]:
    with dbapi.connect(f"grpc://127.0.0.1:{both[1].port}") as made:
        yield made


@pytest.fixture
def cursor(connection: Any) -> Iterator[Any]:
    with connection.cursor() as made:
        yield made


@pytest.fixture
def client(both: tuple[OneService, FlightServer]) -> Iterator[Any]:
    with flight.connect(f"grpc://127.0.0.1:{both[1].port}") as made:
        yield made


def eventually(condition: Callable[[], Any], what: str) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.005)


# -- ADBC ------------------------------------------------------------------------------------------------------------


def test_adbc_runs_queries_of_all_types(cursor: Any) -> None:
    cursor.execute("SELECT * FROM flights ORDER BY id")
    assert cursor.fetchall() == [
        (1, "JFK", 2.5, Decimal("10.25")),
        (2, "LGA", None, None),
        (3, "EWR", -1.0, Decimal(7)),
    ]
    cursor.execute("SELECT range AS n, repeat('x', 500) AS t FROM range(100000)")
    table = cursor.fetch_arrow_table()
    assert table.num_rows == 100_000 and table.column("n").to_pylist() == list(range(100_000))


def test_adbc_binds_parameters_to_prepared_statements(both: tuple[OneService, FlightServer], cursor: Any) -> None:
    query = "SELECT id FROM flights WHERE origin = ? AND id > ?"
    for origin, least, found in (("JFK", 0, [(1,)]), ("JFK", 5, []), ("EWR", 1, [(3,)])):
        cursor.execute(query, (origin, least))
        assert cursor.fetchall() == found
    assert len(cursor.adbc_prepare(query)) == 2
    cursor.close()
    assert len(both[1].prepared) == 0


def test_adbc_writes_and_is_told_how_many(cursor: Any) -> None:
    cursor.execute("INSERT INTO flights VALUES (10, 'ORD', 1, 1)")
    assert cursor.fetchall() == [(1,)]
    cursor.execute("INSERT INTO flights VALUES (?, ?, NULL, NULL)", (11, "ORD"))
    cursor.executemany("INSERT INTO flights VALUES (?, 'SFO', ?, NULL)", [(20 + n, n / 2) for n in range(5)])
    assert cursor.rowcount == 5
    cursor.execute("SELECT origin, count(*) FROM flights GROUP BY origin ORDER BY origin")
    assert dict(cursor.fetchall()) == {"EWR": 1, "JFK": 1, "LGA": 1, "ORD": 2, "SFO": 5}


def test_a_statement_that_writes_is_done_though_nobody_reads_its_answer(connection: Any, cursor: Any) -> None:
    other = connection.cursor()
    other.execute("INSERT INTO flights VALUES (10, 'ORD', 1, 1)")
    other.close()
    cursor.execute("SELECT count(*) FROM flights WHERE id = 10")
    assert cursor.fetchone() == (1,)


def test_adbc_lists_what_there_is(connection: Any) -> None:
    (catalog,) = connection.adbc_get_objects(depth="all").read_all().to_pylist()
    (schema,) = catalog["catalog_db_schemas"]
    (table,) = schema["db_schema_tables"]
    assert (schema["db_schema_name"], table["table_name"], table["table_type"]) == ("main", "flights", "BASE TABLE")
    columns = [(column["column_name"], column["xdbc_type_name"]) for column in table["table_columns"]]
    assert columns == [("id", "INTEGER"), ("origin", "VARCHAR"), ("delay", "DOUBLE"), ("fare", "DECIMAL(10,2)")]
    found = connection.adbc_get_objects(depth="tables", table_name_filter="pl%").read_all().to_pylist()
    assert not any(schema["db_schema_tables"] for catalog in found for schema in catalog["catalog_db_schemas"])
    assert connection.adbc_get_table_types() == ["BASE TABLE"]
    assert connection.adbc_get_table_schema("flights").names == ["id", "origin", "delay", "fare"]
    assert connection.adbc_get_info()["vendor_name"] == "KubeGrid"


def test_errors_arrive_with_their_text_and_nothing_of_our_stack(cursor: Any) -> None:
    with pytest.raises(adbc_driver_manager.Error, match=r'syntax error at or near "SELEC"') as caught:
        cursor.execute("SELEC 1")
    assert "Traceback" not in str(caught.value) and ".py" not in str(caught.value)
    with pytest.raises(adbc_driver_manager.Error, match=r"(?s)nope.*The nearest is flights"):
        cursor.execute("SELECT nope FROM flights")
    cursor.execute("SELECT 1")
    assert cursor.fetchall() == [(1,)]


def test_adbc_ingests_into_a_table_that_is_there(cursor: Any) -> None:
    rows = pa.table({"id": pa.array([50, 51], pa.int32()), "origin": ["a", None]})
    assert cursor.adbc_ingest("flights", rows, mode="append") == 2
    with pytest.raises(adbc_driver_manager.Error, match="there is no table planes"):
        cursor.adbc_ingest("planes", rows, mode="create")
    for mode in ("create", "replace"):
        with pytest.raises(adbc_driver_manager.Error, match="table flights exists"):
            cursor.adbc_ingest("flights", rows, mode=mode)


def test_an_error_tells_what_the_same_call_wrote_before(client: Any, cursor: Any) -> None:
    batches = [pa.record_batch({"id": pa.array(ids, pa.int32())}) for ids in ([80, 81], [82, 80], [83])]
    wish = {"table": "flights", "table_definition_options": {"if_not_exist": 2, "if_exists": 2}}
    command = messages.pack("CommandStatementIngest", **wish)
    with pytest.raises(flight.FlightError, match=r"2 rows of this call were written before: .*[Dd]uplicate"):
        put(client, flight.FlightDescriptor.for_command(command), batches)
    with pytest.raises(adbc_driver_manager.Error, match=r"1 row of this call was written before: .*[Dd]uplicate"):
        cursor.executemany("INSERT INTO flights (id) VALUES (?)", [[90], [90], [91]])
    with pytest.raises(adbc_driver_manager.Error, match=r"(?<!written before: )Constraint|[Dd]uplicate") as nothing:
        cursor.executemany("INSERT INTO flights (id) VALUES (?)", [[90], [91]])
    assert "written before" not in str(nothing.value)


def test_a_transaction_is_refused_by_name(connection: Any) -> None:
    with pytest.raises(adbc_driver_manager.Error):
        connection.adbc_connection.set_autocommit(False)


# -- other calls of Flight SQL ---------------------------------------------------------------------------------------


def asked(client: Any, name: str, **fields: Any) -> Any:
    info = client.get_flight_info(flight.FlightDescriptor.for_command(messages.pack(name, **fields)))
    table = client.do_get(info.endpoints[0].ticket).read_all()
    assert table.schema.equals(info.schema)
    return table


def test_every_metadata_command_answers_in_its_own_schema(client: Any) -> None:
    keys = asked(client, "CommandGetPrimaryKeys", table="flights").to_pylist()
    assert [(row["column_name"], row["key_sequence"]) for row in keys] == [("id", 1)]
    assert asked(client, "CommandGetXdbcTypeInfo").num_rows > 20
    assert asked(client, "CommandGetXdbcTypeInfo", data_type=4).num_rows == 2
    assert asked(client, "CommandGetSqlInfo", info=[0]).to_pylist() == [{"info_name": 0, "value": "KubeGrid"}]
    assert asked(client, "CommandGetSqlInfo").num_rows > 30
    assert asked(client, "CommandGetCatalogs").num_rows == 1
    assert asked(client, "CommandGetDbSchemas", db_schema_filter_pattern="m_in").num_rows == 1
    assert asked(client, "CommandGetTables", include_schema=True).num_rows == 1
    for name in ("ExportedKeys", "ImportedKeys"):
        assert asked(client, f"CommandGet{name}", table="flights").num_rows == 0
    assert asked(client, "CommandGetCrossReference", pk_table="flights", fk_table="flights").num_rows == 0


def test_schemas_are_told_without_running_anything(client: Any) -> None:
    query = messages.pack("CommandStatementQuery", query="SELECT id, origin FROM flights")
    assert client.get_schema(flight.FlightDescriptor.for_command(query)).schema.names == ["id", "origin"]
    tables = messages.pack("CommandGetTableTypes")
    assert client.get_schema(flight.FlightDescriptor.for_command(tables)).schema.names == ["table_type"]


GARBAGE = [
    b"",
    b"garbage",
    b"{",
    b'{"sql"}',
    b'{"fragment": {}}',
    b"\xff" * 50,
    b"\x0a\x05abcde",
    messages.pack("CommandGetTables")[:-1] + b"\xff",
    messages.pack("CommandStatementIngest"),
    b"\x0a\x2etype.googleapis.com/arrow.flight.protocol.sql.X",
    messages.pack("TicketStatementQuery", statement_handle=b"x"),
    messages.pack("TicketStatementQuery", statement_handle=b'{"changed":'),
    messages.pack("CommandPreparedStatementQuery", prepared_statement_handle=b"unknown"),
    b'{"sql": "' + b"x" * (5 * 2**20) + b'"}',
]


@pytest.mark.parametrize("ticket", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_refused_in_words_and_harms_nothing(client: Any, ticket: bytes) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: client.do_get(flight.Ticket(ticket)).read_all(),
        lambda: client.get_flight_info(flight.FlightDescriptor.for_command(ticket)),
        lambda: client.get_schema(flight.FlightDescriptor.for_command(ticket)),
        lambda: list(client.do_action(flight.Action("CreatePreparedStatement", ticket))),
        lambda: list(client.do_action(flight.Action("kubegrid.cancel", ticket))),
        lambda: list(client.do_action(flight.Action("no such", ticket))),
        lambda: put(client, flight.FlightDescriptor.for_command(ticket), []),
    ]
    for number, call in enumerate(calls):
        try:
            call()
        except (flight.FlightError, pa.ArrowException) as error:
            assert "mistake" not in str(error)
            # pyarrow puts the stack into whatever a GetSchema raises; there is nothing of ours in it but one frame.
            assert "Traceback" not in str(error) or number == 2
    assert client.do_get(flight.Ticket(b'{"sql": "SELECT 1 AS one"}')).read_all().to_pylist() == [{"one": 1}]


# -- what other drivers of Flight SQL go by ------------------------------------------------------------------------


def test_a_prepared_statement_that_writes_is_told_from_a_question_by_its_schema(client: Any) -> None:
    """By it JDBC's driver chooses between executeQuery and executeUpdate; and it writes values as the schema of the
    parameters says."""
    for text, columns, count in (
        ("SELECT id, origin FROM flights WHERE id = ?", ["id", "origin"], 1),
        ("UPDATE flights SET origin = ? WHERE id = ?", [], 2),
        ("DELETE FROM flights", [], 0),
    ):
        body = messages.pack("ActionCreatePreparedStatementRequest", query=text)
        (answer,) = client.do_action(flight.Action("CreatePreparedStatement", body))
        _, made = messages.unpack(answer.body.to_pybytes())
        assert pa.ipc.read_schema(pa.py_buffer(made.dataset_schema)).names == columns
        parameters = pa.ipc.read_schema(pa.py_buffer(made.parameter_schema))
        assert parameters.types == [pa.string()] * count


# -- Flight without Flight SQL ---------------------------------------------------------------------------------------


def put(client: Any, descriptor: Any, batches: list[Any], metadata: bytes | None = None) -> list[Any]:
    """What the server answered, message by message."""
    schema = batches[0].schema if batches else pa.schema([])
    writer, reader = client.do_put(descriptor, schema)
    for batch in batches:
        if metadata is None:
            writer.write_batch(batch)
        else:
            writer.write_with_metadata(batch, metadata)
    writer.done_writing()
    answers = []
    while (buffer := reader.read()) is not None:
        answers.append(json.loads(buffer.to_pybytes()))
    writer.close()
    return answers


def test_a_statement_is_one_ticket_of_json(client: Any) -> None:
    ticket = sql_tickets.encode("SELECT ? AS a, ? AS b", [Decimal("1.50"), "x"])
    assert client.do_get(flight.Ticket(ticket)).read_all().to_pylist() == [{"a": Decimal("1.50"), "b": "x"}]
    stream = client.do_get(flight.Ticket(sql_tickets.encode("DELETE FROM flights", statement_id="f" * 32)))
    note = sql_tickets.note_of(stream.schema.metadata)
    assert note is not None and (note.rows_changed, note.statement_id) == (3, "f" * 32)
    assert stream.read_all().num_rows == 0


def test_an_error_comes_as_itself_beside_its_text(client: Any) -> None:
    with pytest.raises(flight.FlightServerError) as caught:
        client.do_get(flight.Ticket(b'{"sql": "SELEC"}'))
    document = sql_tickets.decode_error(caught.value.extra_info)
    assert document is not None
    error = SqlError.from_json(document)
    assert error.code == "SYNTAX" and error.message in str(caught.value)


def test_tables_are_listed_described_and_read(client: Any) -> None:
    (listed,) = list(client.list_flights())
    assert listed.descriptor.path == [b"table", b"flights"]
    described = client.get_flight_info(flight.FlightDescriptor.for_path("table", "flights"))
    assert described.schema.names == ["id", "origin", "delay", "fare"]
    assert client.do_get(described.endpoints[0].ticket).read_all().num_rows == 3
    with pytest.raises(flight.FlightError, match="flights"):
        client.get_flight_info(flight.FlightDescriptor.for_path("table", "flightz"))


def test_rows_are_put_and_acknowledged_batch_by_batch(both: tuple[OneService, FlightServer], client: Any) -> None:
    batches = [pa.record_batch({"id": pa.array([60 + n, 70 + n], pa.int32())}) for n in range(3)]
    descriptor = flight.FlightDescriptor.for_path("table", "flights")
    assert put(client, descriptor, batches, b'{"mode": "keep"}') == [{"rows": 2}] * 3
    assert both[0].one_ingest.options == [{"mode": "keep"}] * 3
    with pytest.raises(flight.FlightError, match="no JSON object"):
        put(client, descriptor, batches, b"[1]")
    with pytest.raises(flight.FlightError, match="rows are put to the path"):
        put(client, flight.FlightDescriptor.for_path("flights"), batches)


# -- access ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded() -> Iterator[FlightServer]:
    with serving(SECRET.encode()) as (_, server):
        yield server


def test_adbc_logs_in_with_the_password_or_shows_the_secret(guarded: FlightServer) -> None:
    uri = f"grpc://127.0.0.1:{guarded.port}"
    header = adbc_driver_flightsql.DatabaseOptions.AUTHORIZATION_HEADER.value
    for options in ({"username": "me", "password": SECRET}, {header: f"Bearer {SECRET}"}):
        with dbapi.connect(uri, db_kwargs=options) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM flights")
            assert cursor.fetchall() == [(3,)]


@pytest.mark.parametrize("options", [{}, {"username": "me", "password": "wrong"}])
def test_adbc_is_refused_without_the_secret_and_told_why(guarded: FlightServer, options: dict[str, str]) -> None:
    with (
        pytest.raises(adbc_driver_manager.Error, match="this grid has a secret"),
        dbapi.connect(f"grpc://127.0.0.1:{guarded.port}", db_kwargs=options) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT 1")


def test_no_call_passes_without_the_secret(guarded: FlightServer) -> None:
    descriptor = flight.FlightDescriptor.for_path("table", "flights")
    with flight.connect(f"grpc://127.0.0.1:{guarded.port}") as client:
        calls: list[Callable[[], Any]] = [
            lambda: client.do_get(flight.Ticket(b'{"sql": "SELECT 1"}')),
            lambda: client.get_flight_info(descriptor),
            lambda: client.get_schema(descriptor),
            lambda: list(client.list_flights()),
            lambda: list(client.list_actions()),
            lambda: list(client.do_action(flight.Action("kubegrid.cancel", b'{"statement_id": "x"}'))),
            lambda: put(client, descriptor, [pa.record_batch({"id": pa.array([1], pa.int32())})]),
            lambda: client.authenticate_basic_token("me", "wrong"),
        ]
        for call in calls:
            with pytest.raises((flight.FlightUnauthenticatedError, OSError), match="this grid has a secret"):
                call()
        token = client.authenticate_basic_token("me", SECRET)
        assert SECRET.encode() not in token[1] and base64.b64encode(SECRET.encode()) not in token[1]
        options = flight.FlightCallOptions(headers=[token])
        assert client.do_get(flight.Ticket(b'{"sql": "SELECT 1 AS a"}'), options).read_all().num_rows == 1


def test_a_fragment_needs_the_seal_of_a_member_even_from_who_knows_the_token(guarded: FlightServer) -> None:
    with flight.connect(f"grpc://127.0.0.1:{guarded.port}") as client:
        options = flight.FlightCallOptions(headers=[client.authenticate_basic_token("me", SECRET)])
        for seal in ("", "0" * 64):
            ticket = f'{{"fragment":{{"sql":"SELECT 1"}},"partition":0,"seal":"{seal}"}}'.encode()
            with pytest.raises(flight.FlightError, match="seal is missing or wrong"):
                client.do_get(flight.Ticket(ticket), options)


# -- the end of a call -----------------------------------------------------------------------------------------------


def test_a_client_that_goes_away_cancels_its_statement(both: tuple[OneService, FlightServer], client: Any) -> None:
    engine = both[0].one_engine
    with pytest.raises(flight.FlightTimedOutError):
        client.do_get(flight.Ticket(b'{"sql": "SLEEP"}'), flight.FlightCallOptions(timeout=2.0))
    assert engine.cancelled.wait(60)
    eventually(lambda: both[1].calls.totals["statement"].running == 0, "the call did not end")


def test_adbc_cancels_a_statement_that_runs(both: tuple[OneService, FlightServer], cursor: Any) -> None:
    engine = both[0].one_engine
    threading.Thread(target=lambda: engine.waiting.wait(60) and cursor.adbc_cancel(), daemon=True).start()
    with pytest.raises(adbc_driver_manager.Error):
        cursor.execute("SLEEP")
        cursor.fetchall()
    assert engine.cancelled.wait(60)


def test_a_statement_is_cancelled_by_its_id(both: tuple[OneService, FlightServer], client: Any) -> None:
    engine = both[0].one_engine
    body = json.dumps({"statement_id": "a" * 32}).encode()
    other = flight.connect(f"grpc://127.0.0.1:{both[1].port}")

    def cancel() -> None:
        assert engine.waiting.wait(60)
        list(other.do_action(flight.Action("kubegrid.cancel", b'{"statement_id": "unknown"}')))
        list(other.do_action(flight.Action("kubegrid.cancel", body)))

    canceller = threading.Thread(target=cancel, daemon=True)
    canceller.start()
    with pytest.raises(flight.FlightError, match="it was cancelled"):
        client.do_get(flight.Ticket(sql_tickets.encode("SLEEP", statement_id="a" * 32)))
    canceller.join(60)
    other.close()


def test_a_reader_that_stops_in_the_middle_ends_its_statement(
    both: tuple[OneService, FlightServer], client: Any
) -> None:
    stream = client.do_get(flight.Ticket(b'{"sql": "SELECT repeat(\'x\', 1000) AS t FROM range(1000000)"}'))
    stream.read_chunk()
    stream.cancel()
    eventually(lambda: both[0].one_engine.closed == 1, "the statement was not closed")
    eventually(lambda: both[1].calls.totals["statement"].cancelled == 1, "the call did not end")


def test_closing_the_port_ends_what_runs_and_refuses_what_comes(
    both: tuple[OneService, FlightServer], client: Any
) -> None:
    service, server = both
    errors: list[Exception] = []

    def ask() -> None:
        try:
            client.do_get(flight.Ticket(b'{"sql": "SLEEP"}'))
        except flight.FlightError as error:
            errors.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert service.one_engine.waiting.wait(60)
    server.refuse()
    with pytest.raises(flight.FlightUnavailableError, match="about to end"):
        client.do_get(flight.Ticket(b'{"sql": "SELECT 1"}'))
    begun = time.monotonic()
    server.close()
    asking.join(60)
    assert errors and time.monotonic() - begun < 30
