"""Links over real sockets on this machine."""

import asyncio
import contextlib
import socket
import struct
import time

import msgspec
import pytest

from kubegrid.transport import FrameTooLarge, Hello, Refused, TimedOut, TransportSettings, Unreachable, connect, listen

SERVER = Hello(kind="member", grid="g", name="p0-0", incarnation="s")
CLIENT = Hello(kind="member", grid="g", name="p0-1", incarnation="c")
SMALL = TransportSettings(frame_bytes_max=100_000, handshake_timeout_s=60, handshakes_max=3)
HASTY = msgspec.structs.replace(SMALL, handshake_timeout_s=0.2)


class Side:
    """What one end saw."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed: list[str] = []
        self.link = None
        self.arrived = asyncio.Event()
        self.ended = asyncio.Event()

    def accept(self, link):
        self.link = link
        return self.frame, self.close

    def frame(self, link, payload):
        self.frames.append(payload)
        self.arrived.set()

    def close(self, link, reason):
        self.closed.append(reason)
        self.ended.set()

    async def until(self, count):
        async with asyncio.timeout(60):
            while len(self.frames) < count:
                self.arrived.clear()
                await self.arrived.wait()


@contextlib.asynccontextmanager
async def pair(secret=b"s", settings=SMALL):
    server, client = Side(), Side()
    listener = await listen("127.0.0.1", 0, SERVER, secret, server.accept, settings=settings)
    link = await connect(
        "127.0.0.1", listener.port, CLIENT, secret, client.frame, client.close, timeout_s=60, settings=settings
    )
    client.link = link
    try:
        yield server, client, listener
    finally:
        link.close("done")
        listener.close()
        await asyncio.sleep(0)


async def raw(port: int):
    return await asyncio.open_connection("127.0.0.1", port)


async def test_frames_arrive_whole_and_in_order_both_ways():
    async with pair() as (server, client, _):
        sent = [bytes([n % 251]) * size for n, size in enumerate([0, 1, 5, 40_000, 3, 100_000, 17, 0, 99_999])]
        for payload in sent:
            client.link.send(payload)
        await server.until(len(sent))
        assert server.frames == sent
        server.link.send(b"back")
        await client.until(1)
        assert client.frames == [b"back"]
        assert (server.link.peer.name, client.link.peer.name) == ("p0-1", "p0-0")


async def test_frames_cut_anywhere_are_put_together():
    async with pair(secret=None) as (server, _, _):
        sent = [b"x" * n for n in (0, 1, 2, 3, 10, 100)]
        stream = b"".join(struct.pack(">I", len(p)) + p for p in sent)
        for step in (1, 2, 3, 5, 7, 64):
            server.frames.clear()
            for at in range(0, len(stream), step):
                server.link.data_received(stream[at : at + step])
            assert server.frames == sent


async def test_a_thousand_frames_in_one_read_are_all_delivered():
    async with pair(secret=None) as (server, _, _):
        server.link.data_received(struct.pack(">I", 2) + b"ab" + (struct.pack(">I", 1) + b"z") * 1000)
        assert len(server.frames) == 1001


LARGE = TransportSettings(frame_bytes_max=20_000_000)


async def test_an_urgent_frame_overtakes_a_long_one_and_others_keep_their_order():
    async with pair(settings=LARGE) as (server, client, _):
        frames = [bytes([n]) * size for n, size in enumerate((9_000_000, 3, 9_000_000, 200_000, 5))]
        for payload in frames:
            client.link.send(payload)
        client.link.send(b"beacon", urgent=True)
        await server.until(6)
        assert [frame for frame in server.frames if frame != b"beacon"] == frames
        assert server.frames[0] == b"beacon"


async def test_urgent_frames_arrive_while_a_long_one_is_on_its_way():
    async with pair(settings=LARGE) as (server, client, _):
        client.link.send(b"x" * 20_000_000)
        for number in range(50):
            client.link.send(b"%d" % number, urgent=True)
            await asyncio.sleep(0)
        await server.until(51)
        assert server.frames.index(b"x" * 20_000_000) > 0
        assert [frame for frame in server.frames if len(frame) < 3] == [b"%d" % number for number in range(50)]


async def test_a_peer_of_an_older_release_gets_long_frames_in_one_piece():
    async with pair(settings=LARGE) as (server, client, _):
        client.link._whole = server.link._whole = True
        client.link.send(b"x" * 5_000_000)
        client.link.send(b"y")
        await server.until(2)
        assert server.frames == [b"x" * 5_000_000, b"y"]


FRAGMENT, LAST_FRAGMENT = 1 << 31, 1 << 30


@pytest.mark.parametrize(
    "stream, reason",
    [
        (struct.pack(">I", FRAGMENT), "an empty one"),
        ((struct.pack(">I", FRAGMENT | 60_000) + b"x" * 60_000) * 2, "the limit is 100000"),
        (struct.pack(">I", FRAGMENT | 100_001), "the limit is 100000"),
    ],
)
async def test_fragments_of_a_bad_peer_close_the_link(stream, reason):
    async with pair() as (server, _, _):
        server.link.data_received(stream)
        await asyncio.wait_for(server.ended.wait(), 60)
        assert reason in server.closed[0] and server.frames == []


async def test_a_fragment_before_the_handshake_is_refused():
    async with pair() as (_, _, listener):
        reader, writer = await raw(listener.port)
        writer.write(struct.pack(">I", FRAGMENT | 10) + b"x" * 10)
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()


@pytest.mark.parametrize("where", ["server", "client"])
async def test_a_link_is_made_or_nobody_gets_a_frame_of_it_also_when_time_runs_out_just_then(where):
    """It was given up, and whoever had a frame of it already went on sending on a link that nobody heard, for ever."""
    server, client = Side(), Side()

    def busy(here):
        if where == here:  # a busy machine: the end of the handshake and the end of the time are found together
            time.sleep(0.2)

    def accept(link):
        busy("server")
        link.send(b"first")
        return server.accept(link)

    def frame(link, payload):
        busy("client")
        client.frame(link, payload)

    listener = await listen("127.0.0.1", 0, SERVER, b"s", accept, settings=HASTY)
    try:
        link = await connect("127.0.0.1", listener.port, CLIENT, b"s", frame, client.close, timeout_s=0.1)
    except TimedOut:
        await asyncio.sleep(0.05)
        assert client.frames == []
    else:
        await client.until(1)
        link.send(b"heard")
        await server.until(1)
        assert server.frames == [b"heard"] and client.frames == [b"first"]
        link.close("done")
    listener.close()


async def test_a_frame_between_two_fragments_is_delivered_at_once():
    async with pair() as (server, _, _):
        server.link.data_received(struct.pack(">I", FRAGMENT | 2) + b"ab" + struct.pack(">I", 1) + b"!")
        assert server.frames == [b"!"]
        server.link.data_received(struct.pack(">I", LAST_FRAGMENT | 1) + b"c")
        assert server.frames == [b"!", b"abc"]


async def test_a_frame_over_the_limit_is_not_sent_and_not_received():
    async with pair() as (server, client, _):
        with pytest.raises(FrameTooLarge):
            client.link.send(b"x" * 100_001)
        server.link.data_received(struct.pack(">I", 100_001))
        await asyncio.wait_for(server.ended.wait(), 60)
        assert "100001 bytes" in server.closed[0]
        await asyncio.wait_for(client.ended.wait(), 60)
        assert client.closed == ["closed by the peer"]


async def test_both_ends_give_up_a_machine_that_is_silent():
    async with pair() as (server, client, _):
        for side in (server, client):
            connection = side.link._transport.get_extra_info("socket")
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * SMALL.silence_s
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == SMALL.silence_s


async def test_what_the_other_machine_has_not_taken_is_under_way():
    async with pair() as (server, client, _):
        server.link._transport.pause_reading()
        while not client.link.backlog_bytes:
            client.link.send(b"x" * 50_000)
        assert client.link.underway_bytes > client.link.backlog_bytes
        server.link._transport.resume_reading()
        async with asyncio.timeout(60):
            while client.link.underway_bytes:
                await asyncio.sleep(0.01)
        client.link.close("done")
        assert client.link.underway_bytes == 0


async def test_on_close_is_called_once_on_both_sides_and_frames_stop():
    async with pair() as (server, client, listener):
        client.link.close("enough")
        assert client.closed == []
        await asyncio.wait_for(client.ended.wait(), 60)
        await asyncio.wait_for(server.ended.wait(), 60)
        client.link.close("again")
        client.link.data_received(struct.pack(">I", 0))
        client.link.send(b"dropped")
        await asyncio.sleep(0.01)
        assert client.closed == ["enough"] and len(server.closed) == 1
        assert client.frames == [] and not listener.links


async def test_what_was_sent_before_close_arrives():
    async with pair() as (server, client, _):
        client.link.send(b"last words")
        client.link.close("done")
        await server.until(1)
        assert server.frames == [b"last words"]


async def test_a_handler_that_fails_closes_its_link_only():
    async with pair() as (server, client, _):
        server.link.on_frame = lambda link, payload: 1 / 0
        client.link.send(b"boom")
        await asyncio.wait_for(client.ended.wait(), 60)
        assert "internal error" in server.closed[0]


async def test_what_accept_sends_arrives_after_the_handshake():
    client = Side()

    def accept(link):
        link.send(b"welcome " * 1000)
        return (lambda link, payload: None), (lambda link, reason: None)

    listener = await listen("127.0.0.1", 0, SERVER, b"s", accept)
    link = await connect("127.0.0.1", listener.port, CLIENT, b"s", client.frame, client.close, timeout_s=60)
    await client.until(1)
    assert client.frames == [b"welcome " * 1000]
    link.close("done")
    listener.close()


async def test_accept_may_refuse_and_the_peer_is_told():
    def accept(link):
        raise Refused("no room for you")

    listener = await listen("127.0.0.1", 0, SERVER, b"s", accept)
    with pytest.raises(Refused) as refused:
        await connect("127.0.0.1", listener.port, CLIENT, b"s", Side().frame, Side().close, timeout_s=60)
    assert refused.value.reason == "no room for you" and refused.value.by_peer
    assert listener.refused == 1 and not listener.links and not listener.handshaking
    listener.close()


@pytest.mark.parametrize(
    ("change", "secret", "wanted"),
    [
        ({"versions": (7, 9)}, b"s", ["speaks 1", "7 to 9"]),
        ({"grid": "other"}, b"s", ["other", "to g"]),
        ({}, b"wrong", ["another secret"]),
        ({}, None, ["was given a secret"]),
    ],
)
async def test_a_wrong_peer_is_refused_on_both_sides_with_the_reason(change, secret, wanted):
    server, client = Side(), Side()
    listener = await listen("127.0.0.1", 0, SERVER, b"s", server.accept)
    hello = msgspec.structs.replace(CLIENT, **change)
    with pytest.raises(Refused) as refused:
        await connect("127.0.0.1", listener.port, hello, secret, client.frame, client.close, timeout_s=60)
    for text in wanted:
        assert text in refused.value.reason and text in listener.last_refusal
    assert server.link is None and client.closed == []
    listener.close()


async def test_garbage_closes_that_connection_only():
    async with pair() as (server, client, listener):
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x05hello", b"\xff" * 100, b"\x00" * 64):
            reader, writer = await raw(listener.port)
            writer.write(garbage)
            await asyncio.wait_for(reader.read(), 60)
            writer.close()
        client.link.send(b"still here")
        await server.until(1)
        assert not listener.handshaking


async def test_half_a_handshake_is_given_up():
    listener = await listen("127.0.0.1", 0, SERVER, b"s", Side().accept, settings=HASTY)
    for start in (b"", b"\x00\x00", struct.pack(">I", 300) + b"{"):
        reader, writer = await raw(listener.port)
        writer.write(start)
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
    assert not listener.handshaking
    listener.close()


async def test_a_flood_of_silent_connections_does_not_lock_out_a_member():
    settings = TransportSettings(handshake_timeout_s=60, handshakes_max=3)
    async with pair(settings=settings) as (_, _, listener):
        silent = [await raw(listener.port) for _ in range(20)]
        side = Side()
        link = await connect(
            "127.0.0.1", listener.port, CLIENT, b"s", side.frame, side.close, timeout_s=60, settings=settings
        )
        assert len(listener.handshaking) <= 3
        link.close("done")
        for _, writer in silent:
            writer.close()


async def test_a_port_where_nobody_listens_is_unreachable():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable):
            await connect("127.0.0.1", unused.getsockname()[1], CLIENT, None, Side().frame, Side().close, timeout_s=60)


async def test_a_peer_that_says_nothing_times_out():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        side = Side()
        with pytest.raises(TimedOut):
            await connect("127.0.0.1", silent.getsockname()[1], CLIENT, None, side.frame, side.close, timeout_s=0.1)
        await asyncio.sleep(0)
        assert side.closed == []


async def test_a_peer_that_hangs_up_in_the_handshake_is_unreachable():
    async def hang_up(reader, writer):
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(Unreachable):
        await connect("127.0.0.1", port, CLIENT, None, Side().frame, Side().close, timeout_s=60)
    server.close()


@pytest.mark.parametrize("size", [10_000, 1_000_000])
async def test_a_peer_that_does_not_read_is_closed_at_the_limit(size):
    settings = TransportSettings(backlog_bytes_max=4_000_000)
    async with pair(settings=settings) as (server, client, _):
        server.link._transport.pause_reading()
        for _ in range(100_000_000 // size):
            client.link.send(b"x" * size)
        assert client.link.closed and client.link.close_reason == "the peer does not read"


async def test_two_listeners_on_one_port_are_refused_plainly():
    async with pair() as (_, _, listener):
        with pytest.raises(Unreachable, match=r"cannot listen on 127\.0\.0\.1"):
            await listen("127.0.0.1", listener.port, SERVER, None, Side().accept)
