"""KG.ONCE: executed once, answered as often as asked, and only then remembered when it was executed."""

import hiredis
import pytest
from tests.unit.node.drive import Client, Drive, error_text
from tests.unit.node.table_rows import declare

from kubegrid.base.settings import StoreSettings

ME = b"0123456789abcdef"


def test_a_request_that_is_sent_again_gets_the_reply_of_the_first_time(drive: Drive, client: Client) -> None:
    assert client("KG.ONCE", ME, 1, 0, "INCRBY", "k", 5) == 5
    assert drive.connect()("KG.ONCE", ME, 1, 0, "INCRBY", "k", 5) == 5
    assert client("KG.ONCE", ME, 2, 2, "INCRBY", "k", 5) == 10
    assert client("GET", "k") == b"10"


def test_the_reply_is_in_the_same_entry_as_the_write(drive: Drive, client: Client) -> None:
    drive.keyspace.take_turn()
    client("KG.ONCE", ME, 1, 0, "SET", "k", "v")
    effects, undo, _ = drive.keyspace.take_turn()
    backup = Drive()
    backup.keyspace.apply(effects)
    assert backup.connect()("KG.ONCE", ME, 1, 0, "SET", "k", "other") == b"OK"
    assert backup.connect()("GET", "k") == b"v"
    drive.keyspace.revert(undo)
    assert client("GET", "k") is None
    assert client("KG.ONCE", ME, 1, 0, "SET", "k", "again") == b"OK"
    assert client("GET", "k") == b"again"


def test_errors_of_an_execution_are_remembered_like_any_reply(client: Client) -> None:
    client("SET", "k", "text")
    assert error_text(client("KG.ONCE", ME, 1, 0, "INCR", "k")).startswith("ERR value is not an integer")
    client("SET", "k", "1")
    assert error_text(client("KG.ONCE", ME, 1, 0, "INCR", "k")).startswith("ERR value is not an integer")
    assert client("GET", "k") == b"1"


def test_what_was_answered_is_not_executed_when_a_delayed_copy_arrives(client: Client) -> None:
    client("KG.ONCE", ME, 1, 0, "INCR", "k")
    client("KG.ONCE", ME, 2, 2, "INCR", "k")
    assert error_text(client("KG.ONCE", ME, 1, 0, "INCR", "k")).startswith("STALEID")
    assert client("GET", "k") == b"2"


@pytest.mark.parametrize(
    "why", ["MOVED", "NOREPLICAS", "OOM", "ERR wrong number of arguments for 'incr' command", "CROSSSLOT"]
)
def test_a_refusal_is_no_execution_and_is_not_remembered(why: str) -> None:
    drive = Drive(partitions=3)
    client = drive.connect()
    request = ["INCR", "{b}"]
    if why == "MOVED":
        request = ["INCR", "{a}"]
    elif why == "NOREPLICAS":
        drive.turn.writable = False
    elif why == "OOM":
        drive.keyspace.limit_bytes = 0
    elif why == "CROSSSLOT":
        request = ["MSET", "{b}", "1", "{a}", "1"]
    else:
        request = ["INCR", "{b}", "2"]
    assert error_text(client("KG.ONCE", ME, 1, 0, *request)).startswith(why)
    drive.turn.writable = True
    drive.keyspace.limit_bytes = 1 << 40
    assert client("KG.ONCE", ME, 1, 0, "INCR", "{b}") == 1


def test_a_known_reply_is_given_where_nothing_may_be_written(drive: Drive, client: Client) -> None:
    client("KG.ONCE", ME, 1, 0, "INCR", "k")
    drive.turn.writable = False
    drive.keyspace.limit_bytes = 0
    assert client("KG.ONCE", ME, 1, 0, "INCR", "k") == 1


def test_a_backup_sends_the_client_to_the_primary(drive: Drive, client: Client) -> None:
    client("KG.ONCE", ME, 1, 0, "INCR", "{b}")
    drive.become_backup()
    assert client.raw("KG.ONCE", ME, 1, 0, "INCR", "{b}").startswith(b"-MOVED 3300 ")


@pytest.mark.parametrize(
    ("inner", "error"),
    [
        (["GET", "k"], "ERR KG.ONCE is for writes, GET is none"),
        (["KG.ONCE", ME, 2, 0, "SET", "k", "v"], "ERR KG.ONCE is for writes, KG.ONCE is none"),
        (["NOSUCH", "k"], "ERR unknown command 'NOSUCH'"),
        (["MULTI", "k"], "ERR KG.ONCE is for writes, MULTI is none"),
        (["OBJECT", "nosuch"], "ERR unknown command"),
    ],
)
def test_only_writes_can_be_repeated(client: Client, inner: list[str], error: str) -> None:
    assert error_text(client("KG.ONCE", ME, 1, 0, *inner)).startswith(error)


def test_bad_numbers_and_identities_are_refused(client: Client) -> None:
    assert error_text(client("KG.ONCE", ME, "x", 0, "SET", "k", "v")).startswith("ERR the numbers of KG.ONCE")
    assert error_text(client("KG.ONCE", "short", 1, 0, "SET", "k", "v")).startswith("ERR the identity of a client")
    assert error_text(client("KG.ONCE", ME, 1, 2, "SET", "k", "v")).startswith("ERR the numbers of a request")
    assert client("EXISTS", "k") == 0


def test_it_is_no_part_of_a_transaction(client: Client) -> None:
    client("MULTI")
    assert error_text(client("KG.ONCE", ME, 1, 0, "SET", "k", "v")) == "ERR KG.ONCE is not allowed in a transaction"
    assert error_text(client("EXEC")).startswith("EXECABORT")


@pytest.mark.parametrize(
    "before", [["SET", "{b}", "old"], ["SET", "{b}", "old", "EX", "100"], ["HSET", "{b}", "f", "v"]]
)
def test_a_plain_set_replaces_whatever_was_there_and_is_taken_back(before: list[str]) -> None:
    drive = Drive(partitions=3)
    client = drive.connect()
    client(*before)
    kind, ttl = client("TYPE", "{b}"), client("TTL", "{b}")
    drive.keyspace.take_turn()
    assert client("KG.ONCE", ME, 1, 0, "SET", "{b}", "new") == b"OK"
    assert (client("GET", "{b}"), client("TTL", "{b}")) == (b"new", -1)
    drive.keyspace.validate()
    _, undo, _ = drive.keyspace.take_turn()
    drive.keyspace.revert(undo)
    assert (client("TYPE", "{b}"), client("TTL", "{b}")) == (kind, ttl)
    drive.keyspace.validate()


@pytest.mark.parametrize(
    ("key", "error"),
    [("{a}", "MOVED"), ("{b}", "NOREPLICAS"), ("{b}", "OOM"), ("{b}" + "x" * 20_000, "ERR key is longer")],
)
def test_a_plain_set_is_refused_like_any_write(key: str, error: str) -> None:
    drive = Drive(partitions=3, store=StoreSettings(key_bytes_max=10_000))
    client = drive.connect()
    drive.turn.writable = error != "NOREPLICAS"
    drive.keyspace.limit_bytes = 0 if error == "OOM" else 1 << 40
    assert error_text(client("KG.ONCE", ME, 1, 0, "SET", key, "v")).startswith(error)
    drive.turn.writable = True
    drive.keyspace.limit_bytes = 1 << 40
    assert client("KG.ONCE", ME, 1, 0, "SET", "{b}", "v") == b"OK", "a refusal is not remembered"


def test_neither_a_plain_set_nor_a_batch_of_them_touches_a_records_key() -> None:
    drive = Drive()
    declare(drive)
    client = drive.connect()
    assert error_text(client("KG.ONCE", ME, 1, 0, "SET", "jobs:1", "v")).startswith("WRONGTYPE")
    requests = b"".join(bytes(hiredis.pack_command(("SET", key, "v"))) for key in ("a", "jobs:1", "b"))
    replies = client("KG.ONCE", ME, 2, 0, "KG.BATCH", requests)
    assert (replies[0], replies[2]) == (b"OK", b"OK")
    assert error_text(replies[1]).startswith("WRONGTYPE")
    assert client("EXISTS", "jobs:1") == 0
