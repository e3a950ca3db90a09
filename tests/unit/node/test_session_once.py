"""KG.ONCE: executed once, answered as often as asked, and only then remembered when it was executed."""

import pytest
from tests.unit.node.drive import Client, Drive, error_text

ME = b"0123456789abcdef"


@pytest.fixture
def drive() -> Drive:
    return Drive()


@pytest.fixture
def client(drive: Drive) -> Client:
    return drive.connect()


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
