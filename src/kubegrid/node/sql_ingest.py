"""Bulk writes of Arrow batches, as Flight brings them: in a thread of gRPC from bytes to prepared rows, then to the loop.

Two ways in:

* `write`: rows of whatever partitions, from anybody. They are checked here and written as a client writes in bulk
  (`client.bulk`): each partition's primary gets its part, asked again through a failover, applied once.
* `serve`: a stream of batches for this partition, each with a request id, as `kubegrid load` sends them. Each is one entry of
  the log (`ingest_turns`). While one is executed and confirmed the next is read and prepared; answers leave in order, from a
  thread of their own. After a batch that was refused nothing of its stream is executed, so that batches that are sent again
  cannot change places with later ones.

What travels on a stream is in `wire.row_streams`.
Next on the path of the data: `wire.arrow_rows`, `ingest_batch`, `ingest_turns`.
"""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pyarrow as pa

from kubegrid.base.table_errors import SchemaChanged, TableError, UnknownTable
from kubegrid.base.tables import TableDefinition
from kubegrid.client.bulk import writing
from kubegrid.client.bulk.flight_streams import FlightStreams
from kubegrid.client.bulk.writing import FEW_ROWS
from kubegrid.client.caller import Caller
from kubegrid.client.errors import ClientError
from kubegrid.node.context import NodeContext
from kubegrid.node.ingest_batch import RECORDS_MAX, Batch, Lane, Prepared, TooLarge
from kubegrid.node.ingest_turns import IngestTurns
from kubegrid.node.turn import Turn
from kubegrid.sql.errors import Cancelled, NotSupported, PartlyDone, Unavailable, WriteRefused
from kubegrid.store.record_changes import refusal
from kubegrid.store.row_batches import MODES
from kubegrid.wire import row_streams
from kubegrid.wire.arrow_rows import ArrowRows

AHEAD_MAX = 4
"""Batches of one stream that are prepared or executed and not answered yet."""
LOOK_S = 0.05
"""How often a thread that waits for the loop looks whether it still should."""
SLICE_ROWS = 8 * RECORDS_MAX
"""Rows of a batch of `write` that are prepared at once: bounds what is in memory beside it."""
LARGE_BYTES = 8 * 2**20
"""Batches of `write` above this are written one after the other: each is in memory several times meanwhile."""
_MODES = {mode.decode().lower(): mode for mode in MODES}


class Ingest:
    """One for a pod. Every method but `close` is called from gRPC's threads."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, turn: Turn, node: NodeContext, caller: Callable[[], Caller]
    ) -> None:
        self.turns = IngestTurns(loop, turn, node)
        self._loop = loop
        self._node = node
        self._caller = caller
        self._encoders: dict[int, ArrowRows] = {}
        self._streams: FlightStreams | None = None
        self._guard = threading.Lock()
        self._large = threading.Lock()
        """Held while a large batch is written."""
        self._closed = False

    def close(self) -> None:
        """From any thread. What waits is refused."""
        self._closed = True
        if self._streams is not None:
            self._streams.close()
        try:
            self._loop.call_soon_threadsafe(self.turns.close)
        except RuntimeError:  # the loop is closed, and nobody waits for it any more
            return

    # -- anybody's rows --------------------------------------------------------------------------------------------

    def write(self, table: str, batch: Any, options: dict[str, Any]) -> int:
        """Write the rows of one batch, each to its partition; how many were written. Raises SqlError.

        `options`: `mode` is replace (the default), keep or fail. What is wrong with a row is found before any is sent.
        """
        mode = _MODES.get(str(options.get("mode", "replace")).lower())
        if mode is None:
            raise NotSupported(f"mode {options['mode']!r}: it is one of {', '.join(_MODES)}")
        if self._closed:
            raise Unavailable("this member is stopping")
        try:
            encoder = self._encoder(self._definition(table))
            with self._one_by_one() if batch.nbytes > LARGE_BYTES else contextlib.nullcontext():
                return (self._write_few if len(batch) <= FEW_ROWS else self._write_many)(encoder, mode.decode(), batch)
        except TableError as error:
            raise WriteRefused(error.message) from error

    @contextlib.contextmanager
    def _one_by_one(self) -> Iterator[None]:
        while not self._large.acquire(timeout=LOOK_S):
            if self._closed:
                raise Unavailable("this member is stopping")
        try:
            yield
        finally:
            self._large.release()
            pa.default_memory_pool().release_unused()

    def _write_few(self, encoder: ArrowRows, mode: str, batch: Any) -> int:
        return _written(writing.write_few(self._caller(), encoder, mode, encoder.admit(batch)), len(batch))

    def _write_many(self, encoder: ArrowRows, mode: str, batch: Any) -> int:
        parts = [encoder.admit_prepared(batch.slice(start, SLICE_ROWS)) for start in range(0, len(batch), SLICE_ROWS)]
        caller = self._caller()
        with self._guard:
            if self._streams is None:
                self._streams = FlightStreams(caller)
        return _written(writing.write(caller, encoder, mode, self._streams, [parts]), len(batch))

    # -- a stream of one partition's rows ----------------------------------------------------------------------------

    def serve(self, words: list[str], reader: Any, writer: Any, cancelled: Callable[[], bool]) -> None:
        """Take batches until the stream ends. `words`: table, mode, number of its schema. Raises SqlError."""
        try:
            table, mode_word, schema = words
            mode = _MODES[mode_word.lower()]
            definition = self._definition(table)
            known = int(schema)
        except (ValueError, KeyError):
            raise NotSupported(f"rows are put to (table, mode, number of the schema), not to {tuple(words)}") from None
        except TableError as error:
            if not self.turns.may_write():  # a member that was just started does not know the tables yet
                raise Unavailable("this member is not the primary of its partition") from error
            raise WriteRefused(error.message) from error
        stream = _Stream(self, self._encoder(definition), mode, writer, cancelled)
        if definition.schema != known:
            stream.refused = refusal(SchemaChanged(table, definition.schema, known))
        try:
            while True:
                try:
                    chunk = reader.read_chunk()
                except StopIteration:
                    break
                if chunk.data is not None and not stream.lane.over:
                    stream.take(chunk.data, chunk.app_metadata)
        finally:
            stream.finish()

    def check(self, cancelled: Callable[[], bool]) -> None:
        """Whoever waits asks now and then whether it still should."""
        if self._closed:
            raise Unavailable("this member is stopping")
        if cancelled():
            raise Cancelled("the client went away")

    def _definition(self, table: str) -> TableDefinition:
        """As the store has it now. Raises UnknownTable."""
        definition = self._node.keyspace.catalog.by_name.get(table)
        if definition is None:
            raise UnknownTable(table, self._node.keyspace.catalog.by_name)
        return definition

    def _encoder(self, definition: TableDefinition) -> ArrowRows:
        encoder = self._encoders.get(definition.id)
        if encoder is None or encoder.definition != definition:
            known = self._node.keyspace.catalog.by_id
            self._encoders = {number: kept for number, kept in self._encoders.items() if number in known}
            encoder = self._encoders[definition.id] = ArrowRows(definition)
        return encoder


class _Stream:
    """One call of `serve`. Its second thread answers."""

    def __init__(
        self, ingest: Ingest, encoder: ArrowRows, mode: bytes, writer: Any, cancelled: Callable[[], bool]
    ) -> None:
        self.lane = Lane()
        self.refused = b""
        """Why none of its batches can be taken; empty else."""
        self._ingest = ingest
        self._encoder = encoder
        self._mode = mode
        self._writer = writer
        self._cancelled = cancelled
        self._ahead: queue.Queue[Batch | None] = queue.Queue(AHEAD_MAX)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._answer_all, name="kubegrid-ingest", daemon=True)
        self._thread.start()

    def take(self, data: Any, metadata: Any) -> None:
        """Prepare one batch and hand it in; waits while enough of this stream are on their way."""
        try:
            identity = row_streams.decode_identity(b"" if metadata is None else metadata.to_pybytes())
        except msgspec.MsgspecError:
            raise NotSupported("a batch of rows has [client, seq, acked] beside it, as MessagePack") from None
        batch = Batch(self._encoder.definition, self._mode, None, identity, self.lane)
        if self.refused:
            batch.send(self.refused)
            self._ahead.put(batch)
            return
        try:
            batch.prepared = self._prepared(data)
        except TooLarge as error:
            batch.split(error)
        except TableError as error:
            batch.send(refusal(error))
        else:
            self._ingest.turns.hand_in(batch)
        self._ahead.put(batch)

    def _prepared(self, data: Any) -> Prepared:
        if not self._encoder.definition.columnar:
            return Prepared(self._encoder, data, as_rows=True)
        prepared = Prepared(self._encoder, data, as_rows=False)
        if self.lane.rows_wanted and len(prepared.keys) <= RECORDS_MAX:
            prepared.make_rows()
        return prepared

    def finish(self) -> None:
        """Answer what is on its way. Raises what ended the answering."""
        self._ahead.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _answer_all(self) -> None:
        """In its own thread."""
        while True:
            batch = self._ahead.get()
            if batch is None:
                return
            try:
                if self._failure is None:
                    self._answer(batch)
            except BaseException as error:
                self.lane.over = True
                self._failure = error

    def _answer(self, batch: Batch) -> None:
        while not batch.done.wait(LOOK_S):
            self._ingest.check(self._cancelled)
        self._writer.write(pa.py_buffer(row_streams.encode_answer(batch.identity.seq, batch.reply)))


def _written(outcome: writing.Outcome, count: int) -> int:
    """How many of `count` rows were written. Raises what went wrong."""
    error = outcome.failure
    if error is None:
        return outcome.counts.written
    if not isinstance(error, ClientError):
        raise error
    if outcome.known and not outcome.done:
        raise WriteRefused(error.message, remedy=error.remedy) from error
    rest = "the others were not" if outcome.known else "the others were not, or may not have been"
    raise PartlyDone(
        f"{outcome.done} of {count} rows were written; {rest}: {error.message}",
        remedy="Rows have keys: writing the whole batch again with mode replace or keep does no harm.",
        outcome_known=outcome.known,
    ) from error
