"""KG.ONCE … KG.BATCH: many writes under one number, executed once together, or refused together."""

from typing import Any

import hiredis
import pytest
from tests.unit.node.drive import Client, Drive, error_text
from tests.unit.node.table_rows import declare, write

from kubegrid.base.settings import StoreSettings
from kubegrid.node import session_batch

ME = b"0123456789abcdef"


def packed(*requests: str | tuple[Any, ...]) -> bytes:
    split = [tuple(one.split()) if isinstance(one, str) else one for one in requests]
    return b"".join(bytes(hiredis.pack_command(one)) for one in split)


def send(client: Client, seq: int, *requests: str | tuple[Any, ...], acked: int = 0) -> Any:
    return client("KG.ONCE", ME, seq, acked, "KG.BATCH", packed(*requests))


def test_a_batch_is_executed_in_order_and_answered_one_by_one(client: Client) -> None:
    assert send(client, 1, "SET k 1", "INCRBY k 5", "APPEND k 0", "DEL k", "HSET k f v") == [b"OK", 6, 2, 1, 1]
    assert client("HGET", "k", "f") == b"v"


@pytest.mark.parametrize("requests", [("SET a 1", "SET b 2", "SET a 3"), ("INCR a", "INCR a", "SET b 1")])
def test_a_batch_that_is_sent_again_gets_the_replies_of_the_first_time(
    drive: Drive, client: Client, requests: tuple[str, ...]
) -> None:
    first = send(client, 1, *requests)
    client("SET", "a", "7")
    assert send(drive.connect(), 1, *requests) == first
    assert client("GET", "a") == b"7"


@pytest.mark.parametrize("requests", [("SET a 1", "SET b 2"), ("INCR a", "SET b 2")])
def test_all_writes_and_the_reply_are_one_entry(drive: Drive, client: Client, requests: tuple[str, ...]) -> None:
    drive.keyspace.take_turn()
    first = send(client, 1, *requests)
    effects, undo, _ = drive.keyspace.take_turn()
    backup = Drive()
    backup.keyspace.apply(effects)
    assert send(backup.connect(), 1, *requests) == first
    assert (backup.connect()("GET", "a"), backup.connect()("GET", "b")) == (b"1", b"2")
    drive.keyspace.revert(undo)
    assert (client("GET", "a"), client("GET", "b")) == (None, None)
    assert send(client, 1, "SET a again") == [b"OK"]
    drive.keyspace.validate()


@pytest.mark.parametrize("command", ["SET", "SETNX"])
@pytest.mark.parametrize(
    ("odd", "error"),
    [
        ("{} {{a}} v", "MOVED"),
        ("GET {{b}}", "ERR KG.BATCH cannot hold GET"),
        ("DEL {{b}} {{b}}2", "ERR KG.BATCH cannot hold DEL of several keys"),
        ("NOSUCH {{b}}", "ERR KG.BATCH cannot hold NOSUCH"),
        ("INCR {{b}} 1", "ERR wrong number of arguments"),
        ("{} {{b}}0123456789abcdef v", "ERR key is longer"),
    ],
)
def test_what_is_wrong_with_one_request_is_an_error_in_its_place(command: str, odd: str, error: str) -> None:
    drive = Drive(partitions=3, store=StoreSettings(key_bytes_max=16))
    client = drive.connect()
    replies = send(client, 1, f"{command} {{b}}1 v", odd.format(command), f"{command} {{b}}2 v")
    assert error_text(replies[1]).startswith(error)
    assert (client("GET", "{b}1"), client("GET", "{b}2"), client("EXISTS", "{b}")) == (b"v", b"v", 0)
    drive.keyspace.validate()


def test_what_may_not_be_written_now_is_refused_whole_and_not_remembered(drive: Drive, client: Client) -> None:
    drive.turn.writable = False
    assert error_text(send(client, 1, "INCR a", "INCR a")).startswith("NOREPLICAS")
    drive.turn.writable = True
    assert send(client, 1, "INCR a", "INCR a") == [1, 2]
    drive.turn.writable = False
    assert send(client, 1, "INCR a", "INCR a") == [1, 2], "what is known is answered"


def test_without_room_deletions_are_executed_all_the_same(drive: Drive, client: Client) -> None:
    client("SET", "a", "1")
    drive.keyspace.limit_bytes = 0
    replies = send(client, 1, "SET b 1", "DEL a")
    assert error_text(replies[0]).startswith("OOM")
    assert replies[1] == 1


def test_errors_of_an_execution_stand_in_their_place_and_are_remembered(client: Client) -> None:
    client("HSET", "h", "f", "v")
    replies = send(client, 1, "SET a 1", "INCR h", "SET h text", "SET b 2")
    assert [replies[0], replies[2], replies[3]] == [b"OK", b"OK", b"OK"]
    assert error_text(replies[1]).startswith("WRONGTYPE")
    again = send(client, 1, "SET a 1", "INCR h", "SET h text", "SET b 2")
    assert list(map(str, again)) == list(map(str, replies))


def test_a_hash_among_plain_sets_is_replaced_and_nothing_is_done_twice(drive: Drive, client: Client) -> None:
    client("HSET", "h", "f", "v")
    client("SET", "gone", "1", "PX", "100000")
    drive.keyspace.take_turn()
    assert send(client, 1, "SET a 1", "SET h 2", "SET gone 3", "SET a 4") == [b"OK"] * 4
    assert [client("GET", key) for key in ("a", "h", "gone")] == [b"4", b"2", b"3"]
    assert client("TTL", "gone") == -1
    drive.keyspace.validate()
    _, undo, _ = drive.keyspace.take_turn()
    drive.keyspace.revert(undo)
    assert (client("EXISTS", "a"), client("TYPE", "h"), client("GET", "gone")) == (0, b"hash", b"1")
    drive.keyspace.validate()


def test_no_room_left_in_the_middle_is_an_error_in_its_place(drive: Drive, client: Client) -> None:
    client("HSET", "h", "f", "v")
    drive.keyspace.limit_bytes = drive.keyspace.used_bytes + 10
    replies = send(client, 1, ("SET", "a", "x" * 100), ("SET", "h", "y"), ("SET", "b", "z"))
    assert replies[0] == b"OK"
    assert [error_text(one).partition(" ")[0] for one in replies[1:]] == ["OOM", "OOM"]
    assert client("TYPE", "h") == b"hash"


@pytest.mark.parametrize("text", [b"", b"*1", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n", packed("SET a 1") + b"*2\r\n"])
def test_half_a_request_is_none(client: Client, text: bytes) -> None:
    assert error_text(client("KG.ONCE", ME, 1, 0, "KG.BATCH", text)).startswith("ERR KG.BATCH")
    assert client("EXISTS", "a") == 0


def test_what_is_no_request_is_told(client: Client) -> None:
    reply = error_text(client("KG.ONCE", ME, 1, 0, "kg.batch", packed("SET a 1") + b"*1\r\n:5\r\n"))
    assert reply.startswith("ERR KG.BATCH: Protocol error")
    assert error_text(client("KG.ONCE", ME, 1, 0, "KG.BATCH", b"x", b"y")).startswith(
        "ERR KG.ONCE client seq acked KG.BATCH"
    )
    assert client("EXISTS", "a") == 0


def test_a_batch_is_bounded(client: Client) -> None:
    most = session_batch.COMMANDS_MAX
    assert error_text(send(client, 1, *["SET a 1"] * (most + 1))).startswith(f"ERR KG.BATCH holds at most {most}")
    assert error_text(send(client, 1, ("SET", "a", b"x" * session_batch.BYTES_MAX))).startswith("ERR KG.BATCH holds")
    assert send(client, 1, *["SET a 1"] * most) == [b"OK"] * most


def test_a_backup_sends_the_client_to_the_primary(drive: Drive, client: Client) -> None:
    drive.become_backup()
    assert client.raw("KG.ONCE", ME, 1, 0, "KG.BATCH", packed("SET a 1")).startswith(b"-MOVED 0 ")


def test_keys_that_are_watched_are_noticed(drive: Drive, client: Client) -> None:
    other = drive.connect()
    other("WATCH", "a")
    send(client, 1, "SET a 1", "SET b 2")
    other("MULTI")
    other("SET", "c", "3")
    assert other("EXEC") is None


def test_a_batch_that_makes_too_much_of_what_is_there_leaves_the_rest_undone() -> None:
    drive = Drive(store=StoreSettings(atomic_bytes_max=10_000))
    client = drive.connect()
    declare(drive)
    write(client, ("j1", "v" * 3000, 0))
    drive.keyspace.take_turn()
    replies = send(client, 1, *["HINCRBY jobs:j1 priority 1"] * 20)
    assert replies[:4] == [1, 2, 3, 4]
    assert {error_text(reply)[:38] for reply in replies[4:]} == {"ERR the requests of KG.BATCH before th"}
    assert client("HGET", "jobs:j1", "priority") == b"4"
    assert drive.keyspace.take_turn()[2] < 20_000
