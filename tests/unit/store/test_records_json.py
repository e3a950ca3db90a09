"""Unmodified redis-py's `.json()` on records, in both protocols, and the replies byte for byte where clients differ."""

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import hiredis
import msgspec
import pytest
import redis
from redis.commands.json.path import Path
from tests.unit.store.record_scripts import catalog, definition

from kubegrid.store import COMMANDS, Keyspace

KEY = "trades:{a}:1"
DOCUMENT = {"book": "a", "id": 1, "price": 2.5, "note": "x"}


@pytest.fixture(autouse=True)
def tables(keyspace: Keyspace) -> None:
    keyspace.adopt_catalog(catalog(definition("trades")))


class Server(threading.Thread):
    """Executes data commands of one client at a time: no more of a member than redis-py's `.json()` needs."""

    def __init__(self, keyspace: Keyspace) -> None:
        super().__init__(daemon=True)
        self.keyspace = keyspace
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            reader, resp3 = hiredis.Reader(), False
            while data := connection.recv(65536):
                reader.feed(data)
                while (args := reader.gets()) is not False:
                    if args[0] == b"HELLO":
                        resp3 = args[1] == b"3"
                        reply: Any = b"%1\r\n$5\r\nproto\r\n:3\r\n"
                    elif args[0] == b"CLIENT":
                        reply = b"+OK\r\n"
                    else:
                        reply = COMMANDS[args[0]](self.keyspace, args, resp3)
                    connection.sendall(reply)


@pytest.fixture(params=[2, 3])
def client(keyspace: Keyspace, request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    server = Server(keyspace)
    server.start()
    with redis.Redis(port=server.port, protocol=request.param, single_connection_client=True) as made:
        yield made
    server.listener.close()


def test_documents_are_set_and_got_whole_and_by_column(client: redis.Redis) -> None:
    documents = client.json()
    assert documents.set(KEY, "$", DOCUMENT) is True
    assert documents.get(KEY) == DOCUMENT
    assert documents.get(KEY, "$") == [DOCUMENT]
    assert documents.get(KEY, "$.price") == [2.5]
    assert documents.get(KEY, Path(".note")) == "x"
    assert documents.get(KEY, "$.price", "$.note") == {"$.price": [2.5], "$.note": ["x"]}
    assert documents.get(KEY, "$.nothing") == []
    assert documents.set(KEY, "$.price", 3) is True
    assert documents.get(KEY, "$['price']") == [3.0]
    assert documents.get("trades:{a}:9") is None
    assert documents.set(KEY, Path.root_path(), {"note": "y"}) is True, "key columns are the key's"
    assert documents.get(KEY) == {"book": "a", "id": 1, "price": None, "note": "y"}


def test_conditions_of_setting(client: redis.Redis) -> None:
    documents = client.json()
    assert documents.set(KEY, "$", DOCUMENT, xx=True) is None
    assert documents.set(KEY, "$", DOCUMENT, nx=True) is True
    assert documents.set(KEY, "$", DOCUMENT, nx=True) is None
    assert documents.set(KEY, "$.note", None) is True
    assert documents.set(KEY, "$.note", "n", xx=True) is None
    assert documents.set(KEY, "$.note", "n", nx=True) is True
    with pytest.raises(redis.ResponseError, match="new objects must be created at the root"):
        documents.set("trades:{a}:9", "$.note", "n")


def test_several_documents_are_got_at_once(client: redis.Redis) -> None:
    documents = client.json()
    documents.set(KEY, "$", DOCUMENT)
    assert documents.mget([KEY, "trades:{a}:9"], "$.id") == [[1], None]
    assert documents.mget([KEY, "trades:{a}:9"], ".id") == [1, None]


def test_numbers_are_added(client: redis.Redis) -> None:
    documents = client.json()
    documents.set(KEY, "$", DOCUMENT)
    assert documents.numincrby(KEY, "$.price", 1.25) == [3.75]
    resp3 = client.get_connection_kwargs().get("protocol") == 3
    assert documents.numincrby(KEY, ".price", 1) == ([4.75] if resp3 else 4.75)
    with pytest.raises(redis.ResponseError, match="nothing can be added to a VARCHAR"):
        documents.numincrby(KEY, "$.note", 1)
    with pytest.raises(redis.ResponseError, match="key that doesn't exist"):
        documents.numincrby("trades:{a}:9", "$.id", 1)
    with pytest.raises(redis.ResponseError, match="the key of a record cannot be changed"):
        documents.numincrby(KEY, "$.id", 1)


def test_types_and_deletions(client: redis.Redis) -> None:
    documents = client.json()
    documents.set(KEY, "$", DOCUMENT)
    resp3 = client.get_connection_kwargs().get("protocol") == 3
    assert documents.type(KEY, "$.price") == ([[b"number"]] if resp3 else [b"number"])
    assert documents.type(KEY) == ([b"object"] if resp3 else b"object")
    assert documents.delete(KEY, "$.note") == 1
    assert documents.delete(KEY, "$.note") == 0
    assert documents.delete(KEY, "$.nothing") == 0
    assert documents.get(KEY, "$.note") == [None]
    with pytest.raises(redis.ResponseError, match="NOT NULL"):
        documents.delete(KEY, "$.id")
    assert documents.delete(KEY) == 1
    assert documents.forget(KEY) == 0
    assert documents.get(KEY) is None


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (
            (b"JSON.SET", KEY.encode(), b"$", b'{"prize": 1}'),
            b"-NOCOLUMN table trades has no column 'prize'; did you mean",
        ),
        (
            (b"JSON.SET", KEY.encode(), b"$", b'{"id": 2}'),
            b"-BADVALUE table trades, column id: 2 is another value than the",
        ),
        ((b"JSON.SET", KEY.encode(), b"$", b"{"), b"-BADVALUE table trades: the document is not valid JSON"),
        ((b"JSON.SET", KEY.encode(), b"$", b"3"), b"-BADVALUE table trades: a record is a JSON object, not 3"),
        (
            (b"JSON.SET", KEY.encode(), b"$.price", b"x"),
            b"-BADVALUE table trades, column price: the value is not valid JSON",
        ),
        ((b"JSON.SET", KEY.encode(), b"$..price", b"1"), b"-BADVALUE '$..price' is no path here"),
        ((b"JSON.SET", KEY.encode(), b"$.a.b", b"1"), b"-BADVALUE '$.a.b' is no path here"),
        ((b"JSON.SET", KEY.encode(), b"$", b"{}", b"NX", b"XX"), b"-ERR syntax error"),
        ((b"JSON.SET", b"trades:{a}:x", b"$", b"{}"), b"-BADKEY "),
        ((b"JSON.SET", b"plain", b"$", b"{}"), b"-NOTABLE no table 'plain'"),
        ((b"JSON.GET", KEY.encode(), b".nothing"), b"-NOCOLUMN table trades has no column 'nothing'"),
        ((b"JSON.GET", b"text"), b"-WRONGTYPE 'text' is no record of a table"),
        ((b"JSON.GET", KEY.encode(), b"INDENT"), b"-ERR syntax error"),
        (
            (b"JSON.NUMINCRBY", KEY.encode(), b"$.price", b"x"),
            b"-BADVALUE table trades, column price: 'x' is not a number",
        ),
    ],
)
def test_bad_requests_are_refused_and_change_nothing(
    call: Any, keyspace: Keyspace, args: tuple[bytes, ...], error: bytes
) -> None:
    call(b"SET", b"text", b"plain")
    call(b"JSON.SET", KEY.encode(), b"$", json.dumps(DOCUMENT).encode())
    keyspace.take_turn()
    reply = call(*args)
    assert reply.startswith(error), reply
    assert keyspace.take_turn() == ([], [], 0)


def test_a_document_is_laid_out_as_asked(call: Any) -> None:
    call(b"JSON.SET", KEY.encode(), b"$", json.dumps(DOCUMENT).encode())
    reply = call(b"JSON.GET", KEY.encode(), b"INDENT", b"\t", b"NEWLINE", b"\n", b"SPACE", b" ", b"$")
    text = reply.split(b"\r\n", 1)[1][:-2]
    assert text == json.dumps([DOCUMENT], indent="\t").encode()
    assert call(b"JSON.MGET", b"plain", KEY.encode(), b"$.id") == b"*2\r\n$-1\r\n$3\r\n[1]\r\n"
    assert msgspec.json.decode(text) == [DOCUMENT]


def test_a_layout_that_would_blow_up_the_reply_is_refused(call: Any) -> None:
    call(b"JSON.SET", KEY.encode(), b"$", json.dumps(DOCUMENT).encode())
    reply = call(b"JSON.GET", KEY.encode(), b"INDENT", b"x" * 4_000_000, b"$")
    assert reply.startswith(b"-ERR the reply would be too long")
