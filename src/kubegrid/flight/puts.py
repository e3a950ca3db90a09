"""DoPut: what comes in as batches. Rows for a table, and of Flight SQL: updates, parameters, bulk ingestion.

Rows for a table are acknowledged batch by batch, in the order they came, each when it is confirmed: `{"rows": 65536}` as
the metadata of an answer. So a client may keep several on their way, and knows what is in when something fails.

Next on the path of the data: `node.sql_ingest`, `statements`, `prepared`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa

from kubegrid.flight import messages, tickets
from kubegrid.flight.calls import ROWS, WRITE, Calls
from kubegrid.flight.failures import after
from kubegrid.flight.prepared import BOUND_ROWS_MAX, PreparedStatements
from kubegrid.flight.service import Service
from kubegrid.flight.statements import Statements
from kubegrid.sql.errors import Cancelled, NotSupported, TooMuch, WriteRefused
from kubegrid.wire import row_streams
from kubegrid.wire.sql_tickets import Statement, TicketError

MESSAGE_BYTES_MAX = 64 * 2**20
"""Of one incoming batch: it is in memory whole, beside what it becomes."""
OPTIONS_BYTES_MAX = 64 * 1024
CREATE, FAIL_IF_MISSING = 1, 2
FAIL_IF_THERE, APPEND, REPLACE = 1, 2, 3
"""What Flight SQL's ingestion calls the wishes about the table."""


class Puts:
    """Of one port."""

    def __init__(self, service: Service, calls: Calls, statements: Statements, prepared: PreparedStatements) -> None:
        self._service = service
        self._calls = calls
        self._statements = statements
        self._prepared = prepared

    def put(self, context: Any, descriptor: Any, reader: Any, writer: Any) -> None:
        """Raises SqlError, TicketError. What was acknowledged before stays."""
        path = [part.decode("utf-8", "replace") for part in descriptor.path or ()]
        if path:
            if path[0] == row_streams.ROWS:
                with self._calls.call(ROWS, context) as call:
                    self._service.ingest().serve(path[1:], reader, writer, call.cancelled)
                return
            if len(path) != 2 or path[0] != tickets.TABLE:
                raise TicketError(
                    f"rows are put to the path ({tickets.TABLE!r}, name of the table), not to {tuple(path)}"
                )
            self._into_table(path[1], {}, context, reader, writer)
            return
        name, command = messages.unpack(descriptor.command or b"")
        if name == "CommandStatementUpdate":
            _told(writer, self._statements.change([Statement(sql=command.query)], context))
        elif name == "CommandPreparedStatementQuery":
            self._prepared.bind(command.prepared_statement_handle, *_rows(reader))
        elif name == "CommandPreparedStatementUpdate":
            prepared = self._prepared.find(command.prepared_statement_handle)
            rows = _rows(reader)[0] if prepared.parameters else []
            _told(writer, self._statements.change(prepared.statements(rows), context))
        elif name == "CommandStatementIngest":
            _told(writer, self._ingest(command, context, reader))
        else:
            raise TicketError(f"{name} of Flight SQL takes no rows")

    # -- rows ------------------------------------------------------------------------------------------------------

    def _into_table(self, table: str, options: dict[str, Any], context: Any, reader: Any, writer: Any) -> None:
        ingest = self._service.ingest()
        with self._calls.call(WRITE, context) as call:
            for batch, metadata in _batches(reader):
                if call.cancelled():
                    raise Cancelled("the client went away")
                rows = ingest.write(table, batch, options | _options(metadata))
                call.rows += rows
                writer.write(pa.py_buffer(msgspec.json.encode({"rows": rows})))

    def _ingest(self, command: Any, context: Any, reader: Any) -> int:
        """Flight SQL's bulk ingestion: rows for a table that is there."""
        wish = command.table_definition_options
        there = command.table in self._service.catalog().by_name
        if command.temporary or command.HasField("transaction_id"):
            raise NotSupported("ingestion into a temporary table, or as part of a transaction")
        if there and wish.if_exists in (FAIL_IF_THERE, REPLACE):
            raise WriteRefused(
                f"table {command.table} exists", remedy="Use the mode `append`, or empty it with TRUNCATE before."
            )
        if not there:
            raise WriteRefused(
                f"there is no table {command.table}, and one that a batch describes would have no primary key",
                remedy="Make it with CREATE TABLE, then use the mode `append`.",
            )
        ingest = self._service.ingest()
        options = {option.key: option.value for option in command.options}
        with self._calls.call(WRITE, context) as call:
            try:
                for batch, _ in _batches(reader):
                    if call.cancelled():
                        raise Cancelled("the client went away")
                    call.rows += ingest.write(command.table, batch, options)
            except Exception as error:
                raise after(call.rows, call.told(error)) from error
            return call.rows


def _batches(reader: Any) -> Iterator[tuple[Any, bytes]]:
    while True:
        try:
            chunk = reader.read_chunk()
        except StopIteration:
            return
        except (pa.ArrowException, OSError) as error:
            raise TicketError(f"the batches cannot be read, or their sender went away: {error}") from error
        if chunk.data is None:
            continue
        if chunk.data.nbytes > MESSAGE_BYTES_MAX:
            raise TooMuch(
                f"a batch of {chunk.data.nbytes} bytes; {MESSAGE_BYTES_MAX} are the most",
                remedy="Send smaller batches.",
            )
        metadata = chunk.app_metadata
        yield chunk.data, b"" if metadata is None else metadata.to_pybytes()


def _options(metadata: bytes) -> dict[str, Any]:
    """What the sender says of one batch, as a JSON object in its metadata."""
    if not metadata:
        return {}
    if len(metadata) > OPTIONS_BYTES_MAX:
        raise TicketError(f"{len(metadata)} bytes of metadata beside a batch; {OPTIONS_BYTES_MAX} are the most")
    try:
        return msgspec.json.decode(metadata, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TicketError(f"the metadata beside a batch is no JSON object: {error}") from error


def _rows(reader: Any) -> tuple[list[list[Any]], int]:
    """Parameters: a row for each execution; and how many bytes they came in."""
    rows: list[list[Any]] = []
    size = 0
    for batch, _ in _batches(reader):
        if len(rows) + batch.num_rows > BOUND_ROWS_MAX:
            raise TooMuch(
                f"more than {BOUND_ROWS_MAX} rows of parameters",
                remedy="Write many rows with adbc_ingest or kubegrid load.",
            )
        size += batch.nbytes
        try:
            columns = [column.to_pylist() for column in batch.columns]
        except (ValueError, OverflowError, pa.ArrowException) as error:
            raise TicketError(f"a parameter is no value of SQL: {error}") from error
        rows += [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(batch.num_rows)]
    return rows, size


def _told(writer: Any, changed: int) -> None:
    writer.write(pa.py_buffer(messages.plain("DoPutUpdateResult", record_count=changed)))
