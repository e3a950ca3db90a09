"""KG.WRITE, KG.READ, KG.CHANGE, KG.REMOVE, KG.VERSION, KG.COMMIT, and what other commands do at the keys of records."""

import json
import struct
from typing import Any

import msgspec
import pytest
from tests.unit.store.record_scripts import catalog, definition

from kubegrid.base.settings import StoreSettings
from kubegrid.store import Keyspace
from kubegrid.store.records import HEADER

pack = msgspec.msgpack.encode
KEY = b"trades:{a}:1"


@pytest.fixture(autouse=True)
def tables(keyspace: Keyspace) -> None:
    keyspace.adopt_catalog(catalog(definition("trades"), definition("quotes", ttl=60)))


def write(
    call: Any, *rows: list[Any], mode: bytes = b"REPLACE", table: bytes = b"trades", schema: bytes = b"0"
) -> bytes:
    return call(b"KG.WRITE", table, schema, mode, *map(pack, rows))


def document(call: Any, key: bytes = KEY) -> Any:
    reply = call(b"JSON.GET", key)
    return None if reply == b"$-1\r\n" else json.loads(reply.split(b"\r\n", 1)[1])


def test_written_rows_are_read_back_as_header_and_row(call: Any) -> None:
    assert write(call, ["a", 1, 2.5, "x"], ["b", 2, None, None]) == b"*3\r\n:1\r\n:2\r\n:0\r\n"
    record = HEADER.pack(1, 2) + pack(["b", 2, None, None])
    assert call(b"KG.READ", b"trades", b"trades:{b}:2", b"trades:{c}:2") == b"*2\r\n$%d\r\n%b\r\n$-1\r\n" % (
        len(record), record,
    )  # fmt: skip
    assert struct.unpack(">IQ", record[:12]) == (1, 2)
    assert call(b"KG.VERSION", KEY) == b":1\r\n"
    assert call(b"KG.VERSION", b"trades:{z}:1") == b":0\r\n"


def test_modes_of_writing_treat_existing_records_differently(call: Any) -> None:
    write(call, ["a", 1, 1.0, "old"])
    assert write(call, ["a", 1, 2.0, "new"], ["a", 2, 2.0, "new"], mode=b"KEEP") == b"*3\r\n:2\r\n:1\r\n:1\r\n"
    assert document(call)["note"] == "old"
    assert write(call, ["a", 3, 2.0, None], ["a", 1, 2.0, "new"], mode=b"FAIL") == (
        b"-EXISTS 'trades:{a}:1' exists already; nothing was written\r\n"
    )
    assert document(call, b"trades:{a}:3") is None
    assert write(call, ["a", 9, 2.0, None], ["a", 9, 3.0, None], mode=b"FAIL").startswith(b"-EXISTS")
    assert write(call, ["a", 9, 2.0, None], ["a", 9, 3.0, None], mode=b"KEEP") == b"*3\r\n:3\r\n:1\r\n:1\r\n"
    assert document(call, b"trades:{a}:9")["price"] == 2.0
    assert write(call, ["a", 9, 2.0, None], ["a", 9, 4.0, None]) == b"*3\r\n:4\r\n:2\r\n:0\r\n"
    assert document(call, b"trades:{a}:9")["price"] == 4.0


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ((b"trade", b"0", b"REPLACE", b""), b"-NOTABLE no table 'trade'; did you mean 'trades'?"),
        ((b"trades", b"7", b"REPLACE", b""), b"-SCHEMA table trades is at 1, not 7"),
        ((b"trades", b"x", b"REPLACE", b""), b"-ERR the number of the schema"),
        ((b"trades", b"1", b"UPSERT", b""), b"-ERR what to do with existing records"),
        (
            (b"trades", b"1", b"REPLACE", pack(["a", "b", None, None])),
            b"-BADVALUE table trades, column id: 'b' is not a",
        ),
        ((b"trades", b"1", b"REPLACE", pack(["a", None, None, None])), b"-BADVALUE table trades, column id: NULL"),
        ((b"trades", b"1", b"REPLACE", b"\xc1"), b"-BADVALUE table trades: the row is not valid msgpack"),
    ],
)
def test_a_bad_write_is_refused_with_its_reason_and_changes_nothing(
    call: Any, keyspace: Keyspace, args: tuple[bytes, ...], error: bytes
) -> None:
    keyspace.take_turn()
    assert call(b"KG.WRITE", *args).startswith(error)
    assert keyspace.take_turn() == ([], [], 0)


def test_one_bad_row_of_a_batch_refuses_the_batch(call: Any, keyspace: Keyspace) -> None:
    keyspace.take_turn()
    reply = write(call, ["a", 1, 1.0, None], ["a", 2, "much", None])
    assert reply.startswith(b"-BADVALUE table trades, column price: row 2 of the batch")
    assert keyspace.take_turn() == ([], [], 0)


def test_a_batch_is_one_effect(call: Any, keyspace: Keyspace) -> None:
    keyspace.take_turn()
    write(call, *(["a", i, 1.0, None] for i in range(50)))
    assert len(keyspace.take_turn()[0]) == 2


def test_a_batch_has_a_limit_of_rows(call: Any) -> None:
    assert call(b"KG.WRITE", b"trades", b"0", b"REPLACE", *([b""] * 5001)).startswith(
        b"-ERR KG.WRITE takes at most 5000 rows"
    )


def test_a_row_of_another_partition_is_moved_and_nothing_is_written(call: Any, keyspace: Keyspace) -> None:
    from kubegrid.store import slot_of

    slot = slot_of(b"trades:{b}:1")
    keyspace.slots[slot] = None
    keyspace.list_plain()
    assert write(call, ["a", 1, 1.0, None], ["b", 1, 1.0, None]) == b"-MOVED %d\r\n" % slot
    assert call(b"KG.READ", b"trades", b"trades:{b}:1") == b"-MOVED %d\r\n" % slot
    assert document(call) is None


def test_a_value_from_before_the_table_is_not_written_over(call: Any, keyspace: Keyspace) -> None:
    keyspace.place(slot_at(KEY), KEY, b"plain", None)
    assert write(call, ["a", 2, 1.0, None], ["a", 1, 1.0, None]).startswith(
        b"-WRONGTYPE 'trades:{a}:1' holds a value from"
    )
    assert call(b"GET", KEY) == b"$5\r\nplain\r\n"
    assert document(call, b"trades:{a}:2") is None
    assert call(b"DEL", KEY) == b":1\r\n"
    assert write(call, ["a", 1, 1.0, None]) == b"*3\r\n:1\r\n:1\r\n:0\r\n"


def slot_at(key: bytes) -> int:
    from kubegrid.store import slot_of

    return slot_of(key)


def test_each_write_restarts_the_tables_time_to_live_and_a_change_keeps_it(call: Any, keyspace: Keyspace) -> None:
    key = b"quotes:{a}:1"
    write(call, ["a", 1, 1.0, None], table=b"quotes")
    keyspace.now_ms += 50_000
    call(b"KG.CHANGE", key, b'{"increment": {"price": 1}}')
    assert call(b"PTTL", key) == b":10000\r\n"
    write(call, ["a", 1, 1.0, None], table=b"quotes")
    assert call(b"PTTL", key) == b":60000\r\n"
    keyspace.now_ms += 60_001
    assert call(b"KG.VERSION", key) == b":0\r\n"
    assert call(b"DBSIZE") == b":0\r\n"


def changed(call: Any, what: Any, key: bytes = KEY) -> bytes:
    return call(b"KG.CHANGE", key, json.dumps(what).encode())


def test_a_change_sets_and_increments_and_answers_the_new_record(call: Any) -> None:
    write(call, ["a", 1, 2.5, "x"])
    reply = changed(call, {"set": {"note": "y"}, "increment": {"price": 1.25}, "if_version": 1, "if": "note = 'x'"})
    record = HEADER.pack(1, 2) + pack(["a", 1, 3.75, "y"])
    assert reply == b"$%d\r\n%b\r\n" % (len(record), record)
    assert changed(call, {"set": {"note": "y"}}, b"trades:{z}:1") == b"$-1\r\n"
    assert changed(call, {}) == reply


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ({"if_version": 7}, b"-CONFLICT version is 1, not 7"),
        ({"if": "price > 3"}, b"-CONFLICT the condition does not hold"),
        ({"if": "price >"}, b"-PREDICATE "),
        ({"if": 3}, b"-BADVALUE table trades: 3 is no predicate"),
        ({"set": {"nota": "x"}}, b"-NOCOLUMN table trades has no column 'nota'; did you mean 'note'?"),
        ({"set": {"price": "x"}}, b"-BADVALUE table trades, column price: 'x' is not a DOUBLE"),
        ({"set": {"id": 2}}, b"-BADVALUE table trades, column id: 2 is another value than the key's 1"),
        ({"set": {"book": None}}, b"-BADVALUE table trades, column book: null is no value of a NOT NULL column"),
        ({"increment": {"note": 1}}, b"-BADVALUE table trades, column note: nothing can be added to a VARCHAR"),
        ({"increment": {"price": "1"}}, b"-BADVALUE table trades, column price: '1' cannot be added"),
        ({"increment": {"price": 1}, "set": {"price": 2}}, b"-BADVALUE table trades: set and increment"),
        ({"sets": {}}, b"-BADVALUE table trades: what to change is a JSON object with set"),
        ([], b"-BADVALUE table trades: what to change is a JSON object"),
    ],
)
def test_a_bad_change_is_refused_and_changes_nothing(call: Any, keyspace: Keyspace, what: Any, error: bytes) -> None:
    write(call, ["a", 1, 2.5, "x"])
    keyspace.take_turn()
    reply = changed(call, what)
    assert reply.startswith(error), reply
    assert keyspace.take_turn() == ([], [], 0)


def test_integers_do_not_overflow_and_decimals_keep_their_digits(call: Any, keyspace: Keyspace) -> None:
    columns = [
        {"name": "id", "type": "INTEGER", "nullable": False},
        {"name": "small", "type": "UTINYINT"},
        {"name": "exact", "type": "DECIMAL(38,2)"},
    ]
    keyspace.adopt_catalog(
        keyspace.catalog.create(definition("n", columns=columns, key=["id"], partition_by=[], indexes=[]))
    )
    call(b"JSON.SET", b"n:1", b"$", b'{"small": 250, "exact": "123456789012345678901234567890123456.78"}')
    assert changed(call, {"increment": {"small": 6}}, b"n:1").startswith(
        b"-BADVALUE table n, column small: 256 is too large"
    )
    assert changed(call, {"increment": {"small": -251}}, b"n:1").startswith(
        b"-BADVALUE table n, column small: -1 is too"
    )
    assert not changed(call, {"increment": {"small": -250, "exact": 0.01}}, b"n:1").startswith(b"-")
    assert call(b"HGET", b"n:1", b"exact") == b"$39\r\n123456789012345678901234567890123456.79\r\n"
    assert call(b"HGET", b"n:1", b"small") == b"$1\r\n0\r\n"
    assert (
        call(b"JSON.NUMINCRBY", b"n:1", b"$.exact", b"0.01") == b"$41\r\n[123456789012345678901234567890123456.80]\r\n"
    )
    assert call(b"HINCRBY", b"n:1", b"small", b"3") == b":3\r\n"
    assert call(b"HINCRBYFLOAT", b"n:1", b"exact", b"1.11") == b"$39\r\n123456789012345678901234567890123457.91\r\n"
    call(b"JSON.SET", b"n:1", b"$", b'{"small": 1.0, "exact": 12345678901234567890.5}')
    assert call(b"HGET", b"n:1", b"exact") == b"$23\r\n12345678901234567890.50\r\n"
    call(b"KG.CHANGE", b"n:1", b'{"set": {"exact": 22345678901234567890.25}}')
    assert call(b"HGET", b"n:1", b"exact") == b"$23\r\n22345678901234567890.25\r\n"
    call(b"KG.CHANGE", b"n:1", b'{"increment": {"exact": 10000000000000000000.75}}')
    assert call(b"HGET", b"n:1", b"exact") == b"$23\r\n32345678901234567891.00\r\n"


def test_a_record_is_removed_if_it_has_the_expected_version(call: Any) -> None:
    write(call, ["a", 1, 2.5, "x"])
    assert call(b"KG.REMOVE", KEY, b"IF", b"9") == b"-CONFLICT version is 1, not 9\r\n"
    assert call(b"KG.REMOVE", KEY, b"IF", b"1") == b":1\r\n"
    assert call(b"KG.REMOVE", KEY) == b":0\r\n"
    assert call(b"KG.REMOVE", KEY, b"IF", b"0") == b":0\r\n"
    assert call(b"KG.REMOVE", b"plain").startswith(b"-NOTABLE no table 'plain'")


@pytest.mark.parametrize(
    "args",
    [
        (b"SET", KEY, b"v"), (b"SETNX", KEY, b"v"), (b"SETEX", KEY, b"9", b"v"), (b"GETSET", KEY, b"v"), (b"APPEND", KEY, b"v"),
        (b"SETRANGE", KEY, b"0", b"v"), (b"INCR", KEY), (b"INCRBYFLOAT", KEY, b"1"), (b"MSET", b"{a}", b"v", KEY, b"v"),
        (b"MSETNX", KEY, b"v"), (b"RENAME", b"{a}", KEY), (b"COPY", b"{a}", KEY), (b"RENAMENX", KEY, b"{a}2"),
        (b"COPY", KEY, b"{a}2"),
        (b"HDEL", KEY, b"note"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("there", [False, True])
def test_plain_values_are_refused_at_the_key_of_a_record(
    call: Any, keyspace: Keyspace, args: tuple[bytes, ...], there: bool
) -> None:
    call(b"SET", b"{a}", b"plain")
    if there:
        write(call, ["a", 1, 2.5, "x"])
    keyspace.take_turn()
    assert call(*args).startswith(b"-WRONGTYPE")
    assert keyspace.take_turn() == ([], [], 0)


def test_a_colon_alone_makes_no_record(call: Any) -> None:
    assert call(b"SET", b"trades", b"v") == b"+OK\r\n"
    assert call(b"SET", b"other:trades:1", b"v") == b"+OK\r\n"
    assert call(b"HSET", b"trade:1", b"f", b"v") == b":1\r\n"


def test_commands_for_any_key_know_records(call: Any, keyspace: Keyspace) -> None:
    write(call, ["a", 1, 2.5, "x"])
    assert call(b"GET", KEY).startswith(b"-WRONGTYPE")
    assert call(b"STRLEN", KEY).startswith(b"-WRONGTYPE")
    assert call(b"EXISTS", KEY) == b":1\r\n"
    assert call(b"TYPE", KEY) == b"+record\r\n"
    assert call(b"OBJECT", b"ENCODING", KEY) == b"$6\r\nrecord\r\n"
    assert call(b"SCAN", b"0", b"COUNT", b"1000000", b"TYPE", b"record").endswith(b"$12\r\ntrades:{a}:1\r\n")
    assert call(b"EXPIRE", KEY, b"5") == b":1\r\n"
    assert call(b"TTL", KEY) == b":5\r\n"
    assert call(b"PERSIST", KEY) == b":1\r\n"
    assert call(b"DEL", KEY) == b":1\r\n"
    keyspace.validate()


def test_columns_are_the_fields_of_a_hash(call: Any) -> None:
    write(call, ["a", 1, 2.5, None])
    assert call(b"HGET", KEY, b"price") == b"$3\r\n2.5\r\n"
    assert call(b"HGET", KEY, b"note") == b"$-1\r\n"
    assert call(b"HMGET", KEY, b"id", b"nothing") == b"*2\r\n$1\r\n1\r\n$-1\r\n"
    assert (
        call(b"HGETALL", KEY) == b"*6\r\n$4\r\nbook\r\n$1\r\na\r\n$2\r\nid\r\n$1\r\n1\r\n$5\r\nprice\r\n$3\r\n2.5\r\n"
    )
    assert call(b"HKEYS", KEY) == b"*3\r\n$4\r\nbook\r\n$2\r\nid\r\n$5\r\nprice\r\n"
    assert call(b"HVALS", KEY) == b"*3\r\n$1\r\na\r\n$1\r\n1\r\n$3\r\n2.5\r\n"
    assert call(b"HLEN", KEY) == b":3\r\n"
    assert call(b"HEXISTS", KEY, b"note") == b":0\r\n"
    assert call(b"HSTRLEN", KEY, b"price") == b":3\r\n"
    assert call(b"HSCAN", KEY, b"0").startswith(b"*2\r\n$1\r\n0\r\n*6\r\n")
    assert call(b"HSET", KEY, b"note", b"n", b"price", b"3") == b":1\r\n"
    assert call(b"HSETNX", KEY, b"note", b"m") == b":0\r\n"
    assert call(b"HINCRBYFLOAT", KEY, b"price", b"0.5") == b"$3\r\n3.5\r\n"
    assert call(b"HINCRBY", KEY, b"price", b"1") == b"-ERR hash value is not an integer\r\n"
    assert call(b"HSET", KEY, b"price", b"dear").startswith(b"-BADVALUE table trades, column price: 'dear'")
    assert call(b"HSET", KEY, b"prize", b"1").startswith(b"-NOCOLUMN table trades has no column 'prize'; did you mean")
    assert document(call) == {"book": "a", "id": 1, "price": 3.5, "note": "n"}


def test_setting_columns_of_a_missing_record_writes_it_from_key_and_columns(call: Any, keyspace: Keyspace) -> None:
    assert call(b"HSET", KEY, b"price", b"1.5") == b":1\r\n"
    assert document(call) == {"book": "a", "id": 1, "price": 1.5, "note": None}
    assert call(b"HSET", b"trades:{a}:2", b"id", b"3").startswith(b"-BADVALUE table trades, column id")
    assert call(b"HSET", b"trades:a:2", b"price", b"3").startswith(b"-BADKEY")
    assert call(b"HINCRBYFLOAT", b"trades:{a}:7", b"price", b"3") == b"$1\r\n3\r\n"
    assert call(b"HGETALL", b"trades:{a}:8") == b"*0\r\n"
    keyspace.validate()


def committed(call: Any, checks: list[Any], operations: list[Any]) -> bytes:
    return call(b"KG.COMMIT", KEY, pack([checks, operations]))


def test_a_commit_does_all_operations_as_one(call: Any) -> None:
    write(call, ["a", 1, 1.0, "x"])
    reply = committed(
        call,
        [[KEY, 1], ["trades:{a}:2", 0]],
        [
            ["write", "trades", 1, pack(["a", 2, 2.0, None])],
            ["change", KEY, b'{"increment":{"price":1}}'],
            ["command", "SET", "log:{a}", "done"],
            ["command", "HSET", "{a}h", "f", 7],
            ["remove", KEY],
        ],
    )
    record = HEADER.pack(1, 3) + pack(["a", 1, 2.0, "x"])
    assert reply == b"*5\r\n:2\r\n$%d\r\n%b\r\n+OK\r\n:1\r\n:1\r\n" % (len(record), record)
    assert call(b"GET", b"log:{a}") == b"$4\r\ndone\r\n"
    assert document(call) is None


@pytest.mark.parametrize("recording", [True, False])
@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (["command", "INCR", "text:{a}"], b"-ERR operation 4: value is not an integer or out of range\r\n"),
        (["command", "SET", KEY, "x"], b"-WRONGTYPE operation 4: "),
        (["command", "SET", "{b}", "x"], b"-CROSSSLOT operation 4: "),
        (["command", "FLUSHALL"], b"-ERR operation 4: flushall cannot be part of KG.COMMIT\r\n"),
        (["command", "NONSENSE", "{a}"], b"-ERR operation 4: unknown command 'NONSENSE'"),
        (["command", "GET", "{a}", "x"], b"-ERR operation 4: wrong number of arguments for 'get' command\r\n"),
        (["write", "trades", 7, pack(["a", 2, 2.0, None])], b"-SCHEMA operation 4: "),
        (["write", "trades", 1, pack(["b", 2, 2.0, None])], b"-CROSSSLOT operation 4: "),
        (["write", "trades", 1, pack(["a", 2, "x", None])], b"-BADVALUE operation 4: "),
        (["change", KEY, b'{"if":"price > 7"}'], b"-CONFLICT operation 4: the condition does not hold\r\n"),
        (["remove", "trades:{b}:1"], b"-CROSSSLOT operation 4: "),
        (["remove", None], b"-BADVALUE operation 4: None is not text\r\n"),
        (["think"], b"-ERR operation 4: ['think'] is no operation"),
    ],
)
def test_a_commit_with_a_bad_operation_does_nothing(
    call: Any, keyspace: Keyspace, operation: list[Any], error: bytes, recording: bool
) -> None:
    write(call, ["a", 1, 1.0, "x"], ["a", 3, 1.0, "x"])
    call(b"SET", b"text:{a}", b"word", b"PX", b"9000")
    keyspace.take_turn()
    keyspace.recording = recording
    used, before = keyspace.used_bytes, document(call)
    head = [["change", KEY, b'{"set":{"note":"y"}}'], ["remove", "trades:{a}:3"], ["command", "DEL", "text:{a}"]]
    if operation[:2] == ["command", "INCR"]:
        head[2] = ["command", "PERSIST", "text:{a}"]
    reply = committed(call, [], [*head, operation])
    assert reply.startswith(error), reply
    assert document(call) == before
    assert call(b"PTTL", b"text:{a}") == b":9000\r\n"
    assert call(b"KG.VERSION", b"trades:{a}:3") == b":2\r\n"
    assert keyspace.take_turn() == ([], [], 0)
    assert keyspace.recording == recording
    assert keyspace.used_bytes == used
    keyspace.validate()


def test_a_commit_that_makes_too_much_of_what_is_there_does_nothing(call: Any, keyspace: Keyspace) -> None:
    keyspace.settings = StoreSettings(atomic_bytes_max=10_000)
    write(call, ["a", 1, 1.0, "x" * 3000])
    before = document(call)
    keyspace.take_turn()
    change = ["change", KEY, b'{"increment":{"price":1}}']
    assert (
        committed(call, [], [change] * 4)
        == b"-ERR transaction makes more bytes of values than one log entry may have\r\n"
    )
    assert document(call) == before
    assert keyspace.take_turn() == ([], [], 0)
    assert committed(call, [], [change] * 3).startswith(b"*3")
    keyspace.validate()


def test_a_commit_with_a_stale_check_names_its_key(call: Any) -> None:
    write(call, ["a", 1, 1.0, "x"])
    assert committed(call, [[KEY, 2]], []) == b"-CONFLICT 'trades:{a}:1': version is 1, not 2\r\n"
    assert committed(call, [["trades:{a}:5", 2]], []) == b"-CONFLICT 'trades:{a}:5': version is 0, not 2\r\n"
    assert committed(call, [["trades:{b}:5", 2]], []).startswith(b"-CROSSSLOT")
    assert call(b"KG.COMMIT", KEY, b"\x00").startswith(b"-ERR the payload of KG.COMMIT")


def test_tables_are_listed_and_described(call: Any, keyspace: Keyspace) -> None:
    assert call(b"KG.TABLES") == b"*2\r\n$6\r\ntrades\r\n$6\r\nquotes\r\n"
    described = json.loads(call(b"KG.DESCRIBE", b"quotes").split(b"\r\n", 1)[1])
    assert (described["id"], described["schema"], described["ttl"]) == (2, 1, 60)
    assert described == keyspace.catalog.by_name["quotes"].to_json()
    assert call(b"KG.DESCRIBE", b"quote").startswith(b"-NOTABLE no table 'quote'; did you mean 'quotes'?")


def test_writes_of_records_are_refused_when_memory_is_full(call: Any, keyspace: Keyspace) -> None:
    write(call, ["a", 1, 1.0, "x"])
    keyspace.limit_bytes = keyspace.used_bytes
    assert write(call, ["a", 2, 1.0, "x"]).startswith(b"-OOM")
    for args in ([b"KG.CHANGE", KEY, b"{}"], [b"JSON.SET", KEY, b"$", b"{}"], [b"HSET", KEY, b"note", b"n"],
                 [b"KG.COMMIT", KEY, pack([[], []])], [b"JSON.NUMINCRBY", KEY, b"$.id", b"1"]):  # fmt: skip
        assert call(*args).startswith(b"-OOM"), args
    assert call(b"KG.REMOVE", KEY) == b":1\r\n"


def test_indexes_count_as_memory(call: Any, keyspace: Keyspace) -> None:
    from kubegrid.store import memory_usage

    write(call, ["a", 1, 1.0, "x"])
    usage = memory_usage(keyspace, KEY)
    assert usage is not None
    assert keyspace.used_bytes == usage + keyspace.tables.index_bytes
    assert keyspace.tables.index_bytes > 300


class Watcher:
    dirty = False


@pytest.mark.parametrize(
    "args",
    [
        (b"KG.WRITE", b"trades", b"0", b"REPLACE", pack(["a", 1, 3.0, None])), (b"KG.CHANGE", KEY, b'{"set":{"price":7}}'),
        (b"JSON.SET", KEY, b"$.price", b"9"), (b"HSET", KEY, b"price", b"9"), (b"KG.REMOVE", KEY),
        (b"KG.TAKE", b"trades", b"id = 1"),
    ],
)  # fmt: skip
def test_a_change_of_a_record_marks_those_who_watch_it(call: Any, keyspace: Keyspace, args: tuple[bytes, ...]) -> None:
    write(call, ["a", 1, 1.0, "x"])
    watcher, other = Watcher(), Watcher()
    keyspace.watched = {KEY: {watcher}, b"trades:{a}:2": {other}}
    call(*args)
    assert watcher.dirty
    assert not other.dirty
    effects = keyspace.take_turn()[0]
    watcher.dirty = False
    keyspace.apply(effects)
    assert watcher.dirty
