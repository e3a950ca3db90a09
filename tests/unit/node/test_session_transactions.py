"""MULTI, EXEC, WATCH: queued, then all at once or not at all."""

import pytest
from tests.unit.node.drive import Client, Drive, error_text

from kubegrid.base.settings import StoreSettings


def test_queued_commands_run_together_and_answer_one_by_one(client: Client) -> None:
    assert client("MULTI") == b"OK"
    assert client("SET", "a", "x") == b"QUEUED"
    assert client("INCR", "a") == b"QUEUED"
    assert client("GET", "a") == b"QUEUED"
    ok, error, value = client("EXEC")
    assert (ok, value) == (b"OK", b"x")
    assert error_text(error) == "ERR value is not an integer or out of range"


def test_the_effects_of_a_transaction_are_those_of_one_turn(drive: Drive, client: Client) -> None:
    drive.keyspace.take_turn()
    client("MULTI")
    client("SET", "{t}a", "1")
    client("HSET", "{t}b", "f", "v")
    assert drive.keyspace.effects == []
    client("EXEC")
    effects, undo, _ = drive.keyspace.take_turn()
    assert len(effects) == len(undo) == 4
    drive.keyspace.revert(undo)
    assert client("EXISTS", "{t}a", "{t}b") == 0


def test_an_error_while_queueing_makes_the_transaction_void(client: Client) -> None:
    for bad in (["GET"], ["foo"], ["CLIENT", "foo"], ["MGET", "a", "b"]):
        client("MULTI")
        client("SET", "a", "1")
        assert error_text(client(*bad))
        assert client.raw("EXEC") == b"-EXECABORT Transaction discarded because of previous errors.\r\n"
        assert client("EXISTS", "a") == 0


def test_keys_of_two_slots_are_found_out_at_the_end(client: Client) -> None:
    client("MULTI")
    client("SET", "a", "1")
    assert client("SET", "b", "1") == b"QUEUED"
    assert client.raw("EXEC") == b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"
    assert client.multi is None
    assert client("EXISTS", "a") == 0


def test_nested_multi_and_watch_inside_are_refused_without_harm(client: Client) -> None:
    client("MULTI")
    assert client.raw("MULTI") == b"-ERR MULTI calls can not be nested\r\n"
    assert client.raw("WATCH", "a") == b"-ERR WATCH inside MULTI is not allowed\r\n"
    client("PING")
    assert client("EXEC") == [b"PONG"]


def test_exec_and_discard_need_multi(client: Client) -> None:
    assert client.raw("EXEC") == b"-ERR EXEC without MULTI\r\n"
    assert client.raw("DISCARD") == b"-ERR DISCARD without MULTI\r\n"
    client("MULTI")
    client("SET", "a", "1")
    assert client("DISCARD") == b"OK"
    assert client("EXISTS", "a") == 0


@pytest.mark.parametrize(
    "change",
    [
        ["SET", "k", "2"],
        ["DEL", "k"],
        ["EXPIRE", "k", "100"],
        ["APPEND", "k", "x"],
        ["FLUSHALL"],
        ["RENAME", "k", "{k}2"],
    ],
)
def test_a_change_by_another_client_makes_exec_answer_null(drive: Drive, client: Client, change: list[str]) -> None:
    other = drive.connect()
    client("SET", "k", "1")
    client("WATCH", "k")
    other(*change)
    client("MULTI")
    client("SET", "{k}3", "x")
    assert client.raw("EXEC") == b"*-1\r\n"
    assert client("EXISTS", "{k}3") == 0
    assert drive.keyspace.watched == {}


def test_the_null_of_exec_in_the_third_protocol(drive: Drive, client: Client) -> None:
    client("HELLO", "3")
    client("WATCH", "k")
    drive.connect()("SET", "k", "1")
    client("MULTI")
    assert client.raw("EXEC") == b"_\r\n"


def test_own_changes_count_and_unwatch_forgets(drive: Drive, client: Client) -> None:
    client("WATCH", "k")
    client("SET", "k", "1")
    client("MULTI")
    assert client("EXEC") is None
    client("WATCH", "k")
    client("UNWATCH")
    client("SET", "k", "2")
    client("MULTI")
    assert client("EXEC") == []


def test_a_watched_key_that_expires_counts_as_changed(drive: Drive, client: Client) -> None:
    client("SET", "k", "1", "PX", "100")
    client("WATCH", "k")
    drive.keyspace.now_ms += 1000
    client("MULTI")
    client("SET", "k", "2")
    assert client("EXEC") is None


def test_a_change_of_role_voids_every_watch(drive: Drive, client: Client) -> None:
    client("WATCH", "k")
    drive.node.role_changed()
    client("MULTI")
    assert client("EXEC") is None


def test_a_lost_primary_executes_no_part_of_a_transaction(drive: Drive, client: Client) -> None:
    client("MULTI")
    client("SET", "k", "1")
    drive.become_backup()
    assert error_text(client("EXEC")).startswith("MOVED")
    assert client.multi is None


def test_refusals_of_writes_name_their_reason(drive: Drive, client: Client) -> None:
    client("MULTI")
    client("SET", "k", "1")
    drive.turn.writable = False
    text = b"-EXECABORT Transaction discarded because of: NOREPLICAS Not enough good replicas to write.\r\n"
    assert client.raw("EXEC") == text
    drive.turn.writable = True
    client("MULTI")
    client("SET", "k", "1")
    drive.keyspace.limit_bytes = 0
    assert client.raw("EXEC").startswith(b"-EXECABORT Transaction discarded because of: OOM command not allowed")


def test_a_connection_that_goes_away_leaves_no_watch_behind(drive: Drive, client: Client) -> None:
    client("WATCH", "k", "{k}2")
    assert len(drive.keyspace.watched) == 2
    client.close()
    assert drive.keyspace.watched == {}


def test_a_transaction_has_a_limit_of_commands() -> None:
    client = Drive(store=StoreSettings(transaction_commands_max=3)).connect()
    client("MULTI")
    for _ in range(3):
        assert client("PING") == b"QUEUED"
    assert error_text(client("PING")).startswith("ERR transaction exceeds the limit")
    assert error_text(client("EXEC")).startswith("EXECABORT")


def test_long_commands_run_in_one_go_inside_and_are_refused_when_too_long() -> None:
    drive = Drive(store=StoreSettings(slice_units=2, atomic_units_max=10))
    client = drive.connect()
    for n in range(8):
        client("SET", f"k{n}", "v")
    client("MULTI")
    client("KEYS", "*")
    client("FLUSHALL")
    keys, ok = client("EXEC")
    assert len(keys) == 8 and ok == b"OK"
    for n in range(11):
        client("SET", f"k{n}", "v")
    client("MULTI")
    client("FLUSHALL")
    (refused,) = client("EXEC")
    assert error_text(refused).startswith("ERR too many keys")
    assert client("DBSIZE") == 11


def test_wait_inside_answers_at_once(client: Client) -> None:
    client("MULTI")
    client("WAIT", "5", "0")
    assert client("EXEC") == [1]


def test_reads_are_not_executed_any_more_when_the_replies_are_too_long() -> None:
    client = Drive(store=StoreSettings(reply_bytes_max=1000)).connect()
    client("SET", "{t}a", "v" * 600)
    client("MULTI")
    for _ in range(3):
        client("GET", "{t}a")
    client("GETDEL", "{t}a")
    first, second, third, taken = client("EXEC")
    assert (first, second, taken) == (b"v" * 600, b"v" * 600, b"v" * 600)
    assert error_text(third).startswith("ERR the replies of this transaction are too long already")
    assert client("EXISTS", "{t}a") == 0


@pytest.mark.parametrize("recording", [True, False])
def test_a_transaction_that_makes_too_much_of_what_is_there_does_nothing(recording: bool) -> None:
    drive = Drive(store=StoreSettings(atomic_bytes_max=10_000))
    client = drive.connect()
    client("SET", "{t}a", "v" * 3000)
    before = drive.keyspace.used_bytes
    drive.keyspace.take_turn()
    drive.keyspace.recording = recording
    for copies, done in ((3, True), (4, False)):
        client("FLUSHALL")
        client("SET", "{t}a", "v" * 3000)
        drive.keyspace.take_turn()
        client("MULTI")
        client("SET", "{t}b", "1")
        for number in range(copies):
            client("COPY", "{t}a", f"{{t}}copy{number}")
        answer = client("EXEC")
        effects, _, _ = drive.keyspace.take_turn()
        assert drive.keyspace.recording == recording
        assert bool(effects) == (done and recording)
        if done:
            assert answer == [b"OK", 1, 1, 1]
        else:
            assert error_text(answer).startswith("EXECABORT Transaction discarded because of: the commands make more")
            assert client("EXISTS", "{t}b", "{t}copy0") == 0
            assert drive.keyspace.used_bytes == before
    drive.keyspace.validate()
