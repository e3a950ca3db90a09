"""A data pod as a script: it answers KG.ENDPOINTS and PING as a member does, and statements as a test tells it to.

For what a real grid does only with luck: a pod that dies in the middle of an answer, falls silent, or loses an answer.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import flight

from kubegrid.sql.errors import SqlError
from kubegrid.wire import sql_tickets
from kubegrid.wire.sql_tickets import Note, Statement

SCHEMA = pa.schema([("n", pa.int64())])
Answer = Callable[[Statement, "Asking"], Any]


def batch(*numbers: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(numbers, pa.int64())], schema=SCHEMA)


batch(0)  # the first array of a process imports pandas: not within the time of a test


def rows(*numbers: int) -> Any:
    return flight.RecordBatchStream(pa.Table.from_batches([batch(*numbers)]))


def done(count: int | None) -> Any:
    """The answer of a statement that wrote."""
    note = msgspec.json.encode(Note(rows_changed=count))
    schema = pa.schema([], metadata={sql_tickets.NOTE: note})
    return flight.RecordBatchStream(pa.Table.from_batches([], schema))


def error(problem: SqlError) -> Exception:
    return flight.FlightServerError(problem.message, sql_tickets.encode_error(problem.to_json()))


class Asking:
    """What a script may want to know while it answers."""

    def __init__(self, pod: "ScriptedPod", context: Any) -> None:
        self.pod = pod
        self._context = context

    def gone(self) -> bool:
        return bool(self._context.is_cancelled())


class ScriptedPod:
    """`answer` gets each statement; `statements` has all that came. `others` are told by KG.ENDPOINTS, too."""

    def __init__(self, answer: Answer | None = None, password: str | None = None) -> None:
        self.answer: Answer = answer or (lambda statement, asking: rows(1))
        self.statements: list[Statement] = []
        self.cancelled: list[str] = []
        self.cancel = threading.Event()
        self.frozen = False
        """It accepts connections for commands, and says nothing."""
        self.others: list[ScriptedPod] = []
        self.flight_port: int | None = None
        self._password = password
        self._server = _Flight(self)
        self.flight_port = self._server.port
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def stop_flight(self) -> None:
        """As if the process had died, but for its commands."""
        self._server.shutdown()

    def close(self) -> None:
        self.cancel.set()
        self._socket.close()
        self._server.shutdown()

    # -- commands ----------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._commands, args=(connection,), daemon=True).start()

    def _commands(self, connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                if self.frozen:
                    continue
                if b"SHARDS" in data:
                    connection.sendall(self._shards())
                elif b"ENDPOINTS" in data:
                    told = msgspec.json.encode([pod._entry(at) for at, pod in enumerate([self, *self.others])])
                    connection.sendall(b"$%d\r\n%b\r\n" % (len(told), told))
                else:
                    connection.sendall(b"+OK\r\n")

    def _shards(self) -> bytes:
        fields = [b"id", b"x", b"port", self.port, b"ip", b"127.0.0.1", b"role", b"master", b"health", b"online"]
        node = b"".join(b":%d\r\n" % f if isinstance(f, int) else b"$%d\r\n%b\r\n" % (len(f), f) for f in fields)
        return b"*1\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n*10\r\n" + node

    def _entry(self, number: int) -> dict[str, Any]:
        return {
            "name": f"p{number}-0",
            "partition": number,
            "role": "primary",
            "resp": self.address,
            "flight": f"127.0.0.1:{self.flight_port}",
        }


class _Flight(flight.FlightServerBase):  # type: ignore[misc]
    def __init__(self, pod: ScriptedPod) -> None:
        super().__init__(
            "grpc://127.0.0.1:0", middleware={"access": _Access(pod._password)} if pod._password is not None else {}
        )
        self._pod = pod

    def do_get(self, context: Any, ticket: Any) -> Any:
        statement = sql_tickets.decode(ticket.ticket)
        self._pod.statements.append(statement)
        return self._pod.answer(statement, Asking(self._pod, context))

    def do_action(self, context: Any, action: Any) -> Iterator[bytes]:
        self._pod.cancelled.append(msgspec.json.decode(action.body.to_pybytes())["statement_id"])
        self._pod.cancel.set()
        return iter(())


class _Access(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    def __init__(self, password: str) -> None:
        self._wanted = f"Bearer {password}"

    def start_call(self, info: Any, headers: Any) -> None:
        if headers.get("authorization") != [self._wanted]:
            raise flight.FlightUnauthenticatedError("the password is missing or wrong")
