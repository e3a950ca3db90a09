"""Random work on tables for the tests of the log, of snapshots and of taking back: catalogs, rows, steps."""

import json
from random import Random
from typing import Any

import msgspec
from hypothesis import strategies as st

from kubegrid.base.settings import StoreSettings
from kubegrid.base.table_definitions import parse_column, parse_definition
from kubegrid.base.tables import Catalog
from kubegrid.store import COMMANDS, Keyspace
from kubegrid.store.hashes import Hash
from kubegrid.store.records import Record

Step = list[Any]
pack = msgspec.msgpack.encode


def definition(name: str, **more: Any) -> Any:
    document: dict[str, Any] = {
        "name": name,
        "columns": [
            {"name": "book", "type": "VARCHAR", "nullable": False},
            {"name": "id", "type": "BIGINT", "nullable": False},
            {"name": "price", "type": "DOUBLE"},
            {"name": "note", "type": "VARCHAR"},
        ],
        "key": ["book", "id"],
        "partition_by": ["book"],
        "indexes": [{"columns": ["note"], "kind": "hash"}, {"columns": ["price", "note"], "kind": "ordered"}],
    }
    return parse_definition(None, json.dumps(document | more))


def catalog(*definitions: Any) -> Catalog:
    made = Catalog()
    for each in definitions:
        made = made.create(each)
    return made


TINY = StoreSettings(slice_bytes=200, slice_units=5)


def tiny_keyspace(*, primary: bool, tables: Catalog | None) -> Keyspace:
    """At the time 1,000,000 ms, with slices of a few units."""
    made = Keyspace(TINY, 0, 16383, random=Random(7).randrange)
    made.primary = primary
    made.now_ms = 1_000_000
    if tables is not None:
        made.adopt_catalog(tables)
        made.take_turn()
    return made


BOOKS = ["a", "b", "FX:{1}"]
ids = st.integers(0, 3)
notes = st.sampled_from(["x", "y", "", None])
prices = st.sampled_from([None, 0.0, 1.5, -2.0, float("nan"), float("inf")])
rows = st.tuples(st.sampled_from(BOOKS), ids, prices, notes).map(list)
names = st.sampled_from(["trades", "trades", "trades", "quotes"])
keys = st.tuples(names, st.sampled_from(["a", "b", "FX%3A%7B1%7D"]), ids).map(
    lambda t: f"{t[0]}:{{{t[1]}}}:{t[2]}".encode()
)
clients = st.integers(0, 2).map(lambda n: bytes([n]) * 16)
modes = st.sampled_from([b"REPLACE", b"REPLACE", b"KEEP", b"FAIL"])
writes = st.tuples(names, modes, st.lists(rows, min_size=1, max_size=6)).map(
    lambda t: [b"KG.WRITE", t[0].encode(), b"0", t[1], *map(pack, t[2])]
)
record_steps = st.one_of(
    writes,
    writes,
    writes,
    st.tuples(keys, notes).map(lambda t: [b"KG.CHANGE", t[0], json.dumps({"set": {"note": t[1]}}).encode()]),
    st.tuples(keys, st.sampled_from([b"1", b"2.5"])).map(lambda t: [b"HINCRBYFLOAT", t[0], b"price", t[1]]),
    st.tuples(keys, st.sampled_from([b'{"price":3}', b'{"note":"x"}'])).map(lambda t: [b"JSON.SET", t[0], b"$", t[1]]),
    keys.map(lambda k: [b"KG.REMOVE", k]),
    keys.map(lambda k: [b"DEL", k]),
    keys.map(lambda k: [b"GET", k]),
    keys.map(lambda k: [b"SET", k, b"plain"]),
    st.tuples(keys, st.sampled_from([b"1", b"50", b"-1"])).map(lambda t: [b"PEXPIRE", *t]),
    keys.map(lambda k: [b"PERSIST", k]),
)
catalog_steps = st.one_of(
    st.tuples(st.just("create"), names, st.sampled_from([None, 1])).map(list),
    st.tuples(st.just("create"), names, st.sampled_from([None, 1])).map(list),
    st.tuples(st.just("drop"), names).map(list),
    st.tuples(st.just("add column"), names).map(list),
    st.just(["sweep"]),
    st.just(["build"]),
)
request_steps = st.tuples(st.just("request"), clients, st.integers(1, 6), st.integers(0, 6), st.binary(max_size=9)).map(
    list
)
forget_steps = st.just(["idle"])
steps = st.one_of(
    record_steps, record_steps, record_steps, record_steps, record_steps, catalog_steps, request_steps, forget_steps
)


def act(on: Keyspace, step: Step) -> bytes:
    """Do one step on a primary; the reply of a command."""
    what = step[0]
    tables = on.catalog
    if isinstance(what, bytes):
        reply = COMMANDS[what](on, list(step), False)
        assert isinstance(reply, bytes)
        return reply
    if what == "create":
        if step[1] not in tables.by_name:
            on.adopt_catalog(tables.create(definition(step[1], ttl=step[2])))
    elif what == "drop":
        if step[1] in tables.by_name:
            on.adopt_catalog(tables.drop(step[1]))
    elif what == "add column":
        if step[1] in tables.by_name and len(tables.by_name[step[1]].columns) < 7:
            number = len(tables.by_name[step[1]].columns)
            on.adopt_catalog(
                tables.add_column(step[1], parse_column({"name": f"more{number}", "type": "INTEGER", "default": 7}))
            )
    elif what == "sweep":
        on.sweep_slice(10)
    elif what == "build":
        on.build_slice(2000)
    elif what == "idle":
        on.now_ms += 400_000
        on.requests.forget_slice(on.now_ms, 10)
    elif what == "request":
        _, client, seq, acked, reply = step
        begun = on.requests.begin(client, seq, min(acked, seq), on.now_ms)
        if not isinstance(begun, bytes):
            on.requests.finish(client, seq, min(acked, seq), on.now_ms, b"+" + reply + b"\r\n")
    return b""


def state(of: Keyspace, *, version: bool = True) -> Any:
    """Everything that counts, comparable; the books are checked on the way."""
    of.validate()
    values: dict[bytes, Any] = {}
    for table in filter(None, of.slots):
        for key, value in table.items():
            values[key] = dict(value.items()) if type(value) is Hash else (type(value) is Record, bytes(value))
    expires = {key: at for table in filter(None, of.expires) for key, at in table.items()}
    requests = {
        client: (known.acked, known.used_ms, dict(known.replies)) for client, known in of.requests.clients.items()
    }
    indexes = {
        (table.id, number): index.recount()
        for table in of.tables.by_id.values()
        for number, index in enumerate(table.indexes)
    }
    last = of.record_version if version else 0
    return values, expires, of.used_bytes, of.key_count, of.catalog.encode(), requests, indexes, last
