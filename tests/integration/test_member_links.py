"""Links between the members of a partition, over real sockets on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kubegrid.base.ids import Member
from kubegrid.node.peers import BACKLOG_BYTES_MAX, Peers
from kubegrid.transport import Hello, Refused, connect

GRID = "11111111-1111-1111-1111-111111111111"


class Place:
    """One member's links, and what came over them."""

    def __init__(self, name: str, incarnation: str = "a" * 32, grid: str = GRID, secret: bytes | None = None) -> None:
        self.me = Member(name, incarnation)
        self.events: list[tuple[str, Member]] = []
        self.received: list[tuple[Member, bytes]] = []
        self.hello = Hello(kind="member", grid=grid, name=name, incarnation=incarnation)
        self.peers = Peers(
            self.me,
            0,
            self.hello,
            secret,
            lambda sender, payload: self.received.append((sender, payload)),
            lambda member: self.events.append(("connected", member)),
            lambda member: self.events.append(("disconnected", member)),
            lambda: None,
        )
        self.port = 0

    async def listen(self) -> "Place":
        self.port = await self.peers.listen("127.0.0.1", 0)
        return self

    def know(self, *others: "Place") -> None:
        self.peers.set_addresses({other.me: ("127.0.0.1", other.port) for other in others})


async def until(condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def places() -> AsyncIterator[Callable[..., Any]]:
    made: list[Place] = []

    async def make(*args: Any, **kwargs: Any) -> Place:
        place = Place(*args, **kwargs)
        made.append(place)
        return await place.listen()

    yield make
    for place in made:
        place.peers.close()


async def test_a_pair_that_both_dial_settles_on_one_link_without_a_disconnection(places: Callable[..., Any]) -> None:
    a, b = await places("p0-0"), await places("p0-1")
    a.know(b)
    b.know(a)
    await until(lambda: a.peers.connected(b.me) and b.peers.connected(a.me))
    assert await b.peers._dial(a.me, ("127.0.0.1", a.port))
    await until(lambda: len(a.peers.links[b.me]) == 2)
    for number in range(100):
        a.peers.send((b.me,), b"%d" % number)
    await until(lambda: len(a.peers.links[b.me]) == len(b.peers.links[a.me]) == 1)
    assert [payload for _, payload in b.received] == [b"%d" % number for number in range(100)]
    assert a.events == [("connected", b.me)]
    assert b.events == [("connected", a.me)]


async def test_the_greater_name_dials_when_the_smaller_does_not_know_it(places: Callable[..., Any]) -> None:
    a, b = await places("p0-0"), await places("p0-1")
    b.know(a)
    await until(lambda: a.peers.connected(b.me) and b.peers.connected(a.me))
    a.peers.send((b.me,), b"hello")
    await until(lambda: b.received == [(a.me, b"hello")])


async def test_a_broken_link_is_told_at_once_and_made_again(places: Callable[..., Any]) -> None:
    a, b = await places("p0-0"), await places("p0-1")
    a.know(b)
    await until(lambda: b.peers.connected(a.me) and a.peers.connected(b.me))
    b.peers.links[a.me][0].close("test")
    await until(lambda: b.events.count(("connected", a.me)) == 2 and a.peers.connected(b.me))
    assert b.events == [("connected", a.me), ("disconnected", a.me), ("connected", a.me)]


async def test_a_new_incarnation_of_a_name_is_another_member(places: Callable[..., Any]) -> None:
    a, b = await places("p0-0"), await places("p0-1")
    a.know(b)
    await until(lambda: a.peers.connected(b.me))
    b.peers.close()
    again = await places("p0-1", "b" * 32)
    a.know(again)
    await until(lambda: a.peers.connected(again.me) and not a.peers.connected(b.me))
    assert a.events == [("connected", b.me), ("disconnected", b.me), ("connected", again.me)]


@pytest.mark.parametrize(
    ("name", "grid", "kind", "words"),
    [
        ("p1-0", GRID, "member", "not of the partition"),
        ("p0-0", GRID, "member", "own name"),
        ("p0-1", "22222222-2222-2222-2222-222222222222", "member", "grid"),
        ("tool", GRID, "tool", "members only"),
    ],
)
async def test_who_is_no_other_member_of_the_partition_is_refused_and_told_why(
    places: Callable[..., Any], name: str, grid: str, kind: str, words: str
) -> None:
    a = await places("p0-0")
    hello = Hello(kind=kind, grid=grid, name=name, incarnation="c" * 32)
    with pytest.raises(Refused, match=words):
        await connect("127.0.0.1", a.port, hello, None, lambda *_: None, lambda *_: None, timeout_s=30)
    assert a.events == []


async def test_a_peer_without_the_secret_is_refused(places: Callable[..., Any]) -> None:
    a, b = await places("p0-0", secret=b"s3cret"), await places("p0-1", secret=b"other")
    b.know(a)
    a.know(b)
    await asyncio.sleep(0.3)
    assert a.events == b.events == []


async def test_a_peer_is_not_idle_while_much_is_on_its_way_to_it(places: Callable[..., Any]) -> None:
    a, b = await places("p0-0"), await places("p0-1")
    a.know(b)
    assert not a.peers.idle(b.me)
    await until(lambda: a.peers.connected(b.me) and b.peers.connected(a.me))
    assert a.peers.idle(b.me)
    reader = b.peers.links[a.me][0]._transport
    reader.pause_reading()
    a.peers.send((b.me,), b"x" * 16_000_000)
    assert not a.peers.idle(b.me)
    reader.resume_reading()
    await until(lambda: b.received and a.peers.idle(b.me))


async def test_a_peer_that_does_not_read_is_cut(places: Callable[..., Any]) -> None:
    a = await places("p0-0")
    hello = Hello(kind="member", grid=GRID, name="p0-1", incarnation="d" * 32)
    member = Member("p0-1", "d" * 32)
    link = await connect("127.0.0.1", a.port, hello, None, lambda *_: None, lambda *_: None, timeout_s=30)
    assert link._transport is not None
    link._transport.pause_reading()
    await until(lambda: a.peers.connected(member))
    frame = bytes(16 * 2**20)
    sent = 0
    while a.peers.connected(member) and not a.peers.links[member][0].closed:
        a.peers.send((member,), frame)
        sent += len(frame)
        assert sent < 2 * BACKLOG_BYTES_MAX
    await until(lambda: ("disconnected", member) in a.events)
    link.close("done")
