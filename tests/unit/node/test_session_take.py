"""KG.TAKE with BLOCK: who waits, who gets what is written, and how waiting ends."""

import asyncio
from collections.abc import Generator

import msgspec
import pytest
from tests.unit.node.drive import Client, Drive, decode, error_text
from tests.unit.node.table_rows import declare, packed, write
from tests.unit.node.test_turn import Member

from kubegrid.base.settings import ClientSettings
from kubegrid.node import session_takers
from kubegrid.node.dispatch import dispatch
from kubegrid.store import COMMANDS
from kubegrid.wire import command_table

ME = b"0123456789abcdef"
TAKE = ["KG.TAKE", "jobs", "state = 'new'"]


@pytest.fixture
def drive() -> Drive:
    drive = Drive()
    declare(drive)
    return drive


def taken(waiter: Client) -> list[str]:
    """The identifiers of the records that a client got after waiting."""
    return [msgspec.json.decode(decode(answer))["id"] for answer in waiter.answers]


def test_a_record_that_is_there_is_taken_without_waiting(client: Client) -> None:
    write(client, ("a", "new", 1))
    assert msgspec.json.decode(client(*TAKE, "BLOCK", 1000))["id"] == "a"
    assert client("EXISTS", "jobs:a") == 0


def test_who_waited_longest_gets_the_first_record_that_fits(drive: Drive, client: Client) -> None:
    first, second, picky = drive.connect(), drive.connect(), drive.connect()
    picky.waits("KG.TAKE", "jobs", "priority > 100", "BLOCK", 0)
    first.waits(*TAKE, "BLOCK", 0)
    second.waits(*TAKE, "BLOCK", 0)
    write(client, ("old", "done", 1), ("a", "new", 1), ("b", "new", 2), ("c", "new", 3))
    drive.later()
    assert (taken(first), taken(second), taken(picky)) == (["a"], ["b"], [])
    assert client("EXISTS", "jobs:a") + client("EXISTS", "jobs:b") == 0
    write(client, ("d", "new", 101))
    drive.later()
    assert taken(picky) == ["d"]
    assert drive.node.waiters == {} == drive.node.blocked
    assert drive.keyspace.waited_tables == set() and drive.keyspace.written == []


@pytest.mark.parametrize(
    "change",
    [
        ["KG.CHANGE", "jobs:a", '{"set": {"state": "new"}}'],
        ["HSET", "jobs:a", "state", "new"],
        ["JSON.SET", "jobs:a", "$.state", '"new"'],
    ],
)
def test_a_record_that_comes_to_fit_is_taken(drive: Drive, client: Client, change: list[str]) -> None:
    write(client, ("a", "done", 1))
    waiter = drive.connect()
    waiter.waits(*TAKE, "BLOCK", 0)
    client(*change)
    drive.later()
    assert taken(waiter) == ["a"]


def test_what_a_transaction_wrote_is_offered_when_it_is_over(drive: Drive, client: Client) -> None:
    waiter = drive.connect()
    waiter.waits(*TAKE, "BLOCK", 0)
    client("MULTI")
    write(client, ("a", "new", 1))
    client("EXISTS", "jobs:a")
    assert client("EXEC")[1] == 1
    drive.later()
    assert taken(waiter) == ["a"]


def test_who_comes_between_does_not_get_what_others_waited_for(drive: Drive, client: Client) -> None:
    waiter = drive.connect()
    waiter.waits(*TAKE, "BLOCK", 0)
    write(client, ("a", "new", 1))
    assert client(*TAKE) is None
    assert taken(waiter) == ["a"]


@pytest.mark.parametrize(("protocol", "null"), [(2, b"$-1\r\n"), (3, b"_\r\n")])
def test_waiting_ends_with_a_null_at_its_time(drive: Drive, client: Client, protocol: int, null: bytes) -> None:
    client.resp = protocol
    client.waits(*TAKE, "BLOCK", 50)
    assert 0.05 in [timer.delay_s for timer in drive.turn.loop.timers]
    drive.time_passes()
    assert client.answers == [null]
    assert drive.node.waiters == {} == drive.node.blocked


def test_a_taker_whose_time_ended_or_who_left_gets_nothing_more(drive: Drive, client: Client) -> None:
    gone, late = drive.connect(), drive.connect()
    gone.waits(*TAKE, "BLOCK", 0)
    late.waits(*TAKE, "BLOCK", 50)
    gone.close()
    drive.time_passes()
    write(client, ("a", "new", 1))
    drive.later()
    assert gone.answers == [] and len(late.answers) == 1
    assert client("EXISTS", "jobs:a") == 1


def test_a_demotion_ends_all_waiting_with_an_error(drive: Drive, client: Client) -> None:
    client.waits(*TAKE, "BLOCK", 0)
    drive.become_backup()
    (answer,) = client.answers
    assert answer.startswith(b"-UNBLOCKED ")
    assert drive.keyspace.waited_tables == set()


@pytest.mark.parametrize(
    ("how", "begin"), [("TIMEOUT", b"$-1"), ("ERROR", b"-UNBLOCKED client unblocked"), ("", b"$-1")]
)
def test_another_client_can_end_the_waiting(drive: Drive, client: Client, how: str, begin: bytes) -> None:
    waiter = drive.connect()
    assert client("CLIENT", "UNBLOCK", waiter.id) == 0
    waiter.waits(*TAKE, "BLOCK", 0)
    assert b"flags=b " in client("CLIENT", "LIST", "ID", waiter.id)
    assert client("CLIENT", "UNBLOCK", waiter.id, *([how] if how else [])) == 1
    assert waiter.answers[0].startswith(begin)


def test_during_a_hand_over_nothing_is_taken_but_nothing_is_forgotten(drive: Drive, client: Client) -> None:
    waiter = drive.connect()
    waiter.waits(*TAKE, "BLOCK", 0)
    write(client, ("a", "new", 1))
    drive.turn.open_gate = False
    drive.later()
    assert waiter.answers == []
    drive.turn.open_gate = True
    drive.time_passes()
    assert taken(waiter) == ["a"]


def test_only_so_many_may_wait(drive: Drive, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_takers, "WAITERS_MAX", 1)
    drive.connect().waits(*TAKE, "BLOCK", 0)
    assert error_text(client(*TAKE, "BLOCK", 0)).startswith("BUSY ")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([*TAKE, "BLOCK"], "ERR syntax error"),
        ([*TAKE, "WAIT", "5"], "ERR syntax error"),
        ([*TAKE, "BLOCK", "x"], "ERR timeout is not an integer or out of range"),
        ([*TAKE, "BLOCK", "-1"], "ERR timeout is negative"),
        (["KG.TAKE", "job", "TRUE", "BLOCK", "0"], "NOTABLE no table 'job'; did you mean 'jobs'?"),
        (["KG.TAKE", "jobs", "state ==", "BLOCK", "0"], "PREDICATE "),
    ],
)
def test_bad_requests_do_not_wait(client: Client, words: list[str], error: str) -> None:
    assert error_text(client(*words)).startswith(error)


def test_a_table_searched_in_slices_misses_nothing_that_is_written_meanwhile(drive: Drive, client: Client) -> None:
    everything = ["KG.TAKE", "jobs", "priority = 7"]  # no index: a search in slices
    for number in range(3000):
        write(client, (f"j{number}", "new", 1))
    waiter = drive.connect()
    steps = dispatch(waiter, [word.encode() for word in [*everything, "BLOCK", "0"]])
    assert isinstance(steps, Generator)
    next(steps)
    write(client, ("j0", "new", 7))  # perhaps behind the place that the search has reached
    drive.later()
    with pytest.raises(StopIteration) as done:
        while True:
            next(steps)
    assert msgspec.json.decode(decode(done.value.value))["id"] == "j0"
    assert drive.node.waiters == {}


def test_a_numbered_take_is_given_again_but_taken_once(drive: Drive, client: Client) -> None:
    waiter = drive.connect()
    waiter.waits("KG.ONCE", ME, 1, 0, *TAKE, "BLOCK", 0)
    write(client, ("a", "new", 1))
    drive.later()
    write(client, ("b", "new", 1))
    again = drive.connect().raw("KG.ONCE", ME, 1, 0, *TAKE, "BLOCK", 0)
    assert [again] == waiter.answers and taken(waiter) == ["a"]
    assert client("EXISTS", "jobs:b") == 1


@pytest.mark.parametrize("block", [[], ["BLOCK", "0"]])
def test_a_numbered_take_that_searches_in_slices_is_remembered_too(
    drive: Drive, client: Client, block: list[str]
) -> None:
    for number in range(3000):
        write(client, (f"j{number}", "new", 7))
    request = ["KG.ONCE", ME, 1, 0, "KG.TAKE", "jobs", "priority = 7", *block]
    drive.keyspace.take_turn()
    first = client.raw(*request)
    effects, _, _ = drive.keyspace.take_turn()
    assert drive.connect().raw(*request) == first
    assert client("KG.COUNT", "jobs", "TRUE") == 2999
    assert len(effects) == 4, "the deletion and one reply"


def test_when_too_much_is_written_to_be_offered_those_who_wait_search(
    drive: Drive, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_takers, "WRITTEN_MAX", 5)
    first, second, third = drive.connect(), drive.connect(), drive.connect()
    for waiter in (first, second, third):
        waiter.waits(*TAKE, "BLOCK", 0)
    write(client, *[(f"j{n}", "done", 1) for n in range(10)], ("a", "new", 1), ("b", "new", 1))
    drive.later()
    assert (taken(first), taken(second), taken(third)) == (["a"], ["b"], [])
    assert drive.keyspace.written == []
    write(client, ("c", "new", 1))
    drive.later()
    assert taken(third) == ["c"]


def test_who_is_being_closed_takes_nothing(drive: Drive, client: Client) -> None:
    closing, waiter = drive.connect(), drive.connect()
    closing.waits(*TAKE, "BLOCK", 0)
    waiter.waits(*TAKE, "BLOCK", 0)
    closing.waiting = "close"
    write(client, ("a", "new", 1))
    drive.later()
    assert (closing.answers, taken(waiter)) == ([], ["a"])


def test_a_numbered_take_that_is_sent_again_while_it_waits_waits_once(drive: Drive, client: Client) -> None:
    first, second = drive.connect(), drive.connect()
    first.waits("KG.ONCE", ME, 1, 0, *TAKE, "BLOCK", 0)
    second.waits("KG.ONCE", ME, 1, 0, *TAKE, "BLOCK", 0)
    assert first.closed
    write(client, ("a", "new", 1), ("b", "new", 1))
    drive.later()
    assert (taken(second), first.answers) == (["a"], [])
    assert client("EXISTS", "jobs:b") == 1


def test_too_many_waiting_is_no_execution(drive: Drive, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_takers, "WAITERS_MAX", 0)
    assert error_text(client("KG.ONCE", ME, 1, 0, *TAKE, "BLOCK", 0)).startswith("BUSY ")
    write(client, ("a", "new", 1))
    assert b'"a"' in client("KG.ONCE", ME, 1, 0, *TAKE, "BLOCK", 0)


def test_a_numbered_write_is_held_while_writes_are_paused(drive: Drive, client: Client) -> None:
    client("CLIENT", "PAUSE", 100, "WRITE")
    held = dispatch(drive.connect(), [b"KG.ONCE", ME, b"1", b"0", b"INCR", b"k"])
    assert isinstance(held, Generator)
    assert next(held) is not None and client("GET", "k") is None
    assert b"blocked_clients:1\r\n" in client("INFO", "clients") and b" flags=b " in client("CLIENT", "LIST")
    drive.time_passes()
    with pytest.raises(StopIteration) as done:
        next(held)
    assert done.value.value == b":1\r\n"
    assert b"blocked_clients:0\r\n" in client("INFO", "clients")
    assert client("KG.ONCE", ME, 1, 0, "INCR", "k") == 1


def test_every_command_of_the_store_has_a_row_in_the_table() -> None:
    assert {name.lower() for name in COMMANDS} <= set(command_table.COMMANDS)


async def test_after_a_search_in_slices_a_connection_waits_and_goes_on_afterwards() -> None:
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    member = Member(ClientSettings())
    member.port = await member.server.listen("127.0.0.1", 0)
    declare(member.drive)
    writer = member.drive.connect()
    for number in range(3000):
        write(writer, (f"j{number}", "new", 1))
    waiter, other = await member.connect(), await member.connect()
    waiter.send(("KG.TAKE", "jobs", "priority = 7", "BLOCK", "0"), ("PING",))
    while not [w for w in member.drive.node.waiters.values() if not w.scanning]:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    other.send(("KG.CHANGE", "jobs:j0", '{"set": {"priority": 7}}'))
    await other.reply()
    assert msgspec.json.decode(await waiter.reply())["id"] == "j0"
    assert await waiter.reply() == b"PONG"
    assert not failures
    await member.server.close()


async def test_who_left_while_waiting_takes_nothing() -> None:
    member = Member(ClientSettings())
    member.port = await member.server.listen("127.0.0.1", 0)
    declare(member.drive)
    gone, other = await member.connect(), await member.connect()
    gone.send(("KG.TAKE", "jobs", "TRUE", "BLOCK", "0"))
    while not member.drive.node.waiters:
        await asyncio.sleep(0.001)
    gone.writer.close()
    async with asyncio.timeout(60):
        while member.drive.node.waiters:
            await asyncio.sleep(0.001)
    other.send(("KG.WRITE", "jobs", "0", "FAIL", packed("a", "new", 1)), ("EXISTS", "jobs:a"))
    assert await other.replies(2) == [[1, 1, 0], 1]
    await member.server.close()


async def test_a_search_whose_client_left_takes_nothing_and_is_not_remembered() -> None:
    member = Member(ClientSettings())
    member.port = await member.server.listen("127.0.0.1", 0)
    declare(member.drive)
    writer = member.drive.connect()
    for number in range(20_000):
        write(writer, (f"j{number}", "new", 7))
    gone, other = await member.connect(), await member.connect()
    gone.send(("KG.ONCE", ME, "1", "0", "KG.TAKE", "jobs", "priority = 7"))
    gone.writer.close()
    other.send(("KG.COUNT", "jobs", "TRUE"), ("KG.ONCE", ME, "1", "0", "KG.TAKE", "jobs", "priority = 7"))
    count, taken = await other.replies(2)
    assert (count, b'"priority":7' in taken) == (20_000, True)
    other.send(("KG.COUNT", "jobs", "TRUE"))
    assert await other.reply() == 19_999
    await member.server.close()
