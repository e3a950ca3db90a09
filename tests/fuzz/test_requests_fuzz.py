"""The request reader against a parser that is too simple to be wrong, with any bytes, cut anywhere."""

import contextlib
import itertools
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from kubegrid.base.settings import ClientSettings, StoreSettings
from kubegrid.wire.inline import split_words
from kubegrid.wire.requests import ProtocolError, RequestReader

REQUEST = st.lists(st.binary(max_size=30), min_size=1, max_size=6)
ODDITIES = r"""
*1\r\n *2\r\n *3\r\n *0\r\n *-1\r\n *999999\r\n *99\r\n *100\r\n *4294967295\r\n *?\r\n $1\r\n $0\r\n\r\n $3\r\nGET\r\n
$-1\r\n $03\r\n $?\r\n +x\r\n :1\r\n _\r\n #t\r\n ,1.5\r\n (123\r\n %1\r\n ~2\r\n >1\r\n |1\r\n =5\r\ntxt:x\r\n -ERR\r\n
!5\r\nERRRx\r\n .\r\n ;1\r\n PING\r\n " ' \\x4 \r\n \n \r x \0 a\x20b
"""
INTERESTING = st.sampled_from([item.encode().decode("unicode_escape").encode() for item in ODDITIES.split()])
STREAM = st.lists(INTERESTING | st.binary(max_size=8) | REQUEST.map(lambda r: encode(r)), max_size=12).map(b"".join)


def encode(words: list[bytes]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(bounds)]


def read(data: bytes, cuts: list[int], authenticated: bool = True) -> tuple[list[list[bytes]], bool]:
    """What comes out, and whether it ended with an error."""
    reader = RequestReader(ClientSettings(), StoreSettings())
    reader.authenticated = authenticated
    out: list[list[bytes]] = []
    for piece in pieces(data, cuts):
        try:
            out += reader.feed(piece)
        except ProtocolError as error:
            assert error.message.startswith("Protocol error: ")
            return out + error.requests, True
    return out, False


def simple(data: bytes) -> tuple[list[list[bytes]], bool]:
    """The reference: one request after the other from the whole stream; the protocol as Redis reads it."""
    out: list[list[bytes]] = []
    position = 0

    def line(start: int) -> tuple[bytes, int] | None:
        end = data.find(b"\r", start)
        return None if end < 0 or end + 1 >= len(data) else (data[start:end], end + 2)

    def number(text: bytes) -> int | None:
        try:
            value = int(text)
        except ValueError:
            return None
        return value if b"%d" % value == text else None

    while position < len(data):
        if data[position : position + 1] != b"*":
            end = data.find(b"\n", position)
            if end < 0:
                return out, False
            words = split_words(data[position:end].removesuffix(b"\r"))
            if words is None:
                return out, True
            if words:
                out.append(words)
            position = end + 1
            continue
        header = line(position)
        if header is None:
            return out, False
        count = number(header[0][1:])
        if count is None or count > 1024 * 1024:
            return out, True
        position = header[1]
        request: list[bytes] = []
        for _ in range(count):
            header = line(position)
            if header is None:
                return out, False
            if header[0][:1] != b"$":
                return out, True
            size = number(header[0][1:])
            if size is None or not 0 <= size <= 64 * 1024 * 1024:
                return out, True
            if header[1] + size + 2 > len(data):
                return out, False
            request.append(data[header[1] : header[1] + size])
            position = header[1] + size + 2
        if request:
            out.append(request)
    return out, False


@settings(max_examples=600, deadline=None)
@given(st.lists(REQUEST, max_size=10), st.lists(st.integers(0, 10_000), max_size=5))
def test_well_formed_requests_come_out_as_they_went_in(requests: list[list[bytes]], cuts: list[int]) -> None:
    assert read(b"".join(map(encode, requests)), cuts) == (requests, False)


@settings(max_examples=1500, deadline=None)
@given(STREAM, st.lists(st.integers(0, 10_000), max_size=5))
def test_any_stream_is_read_as_the_reference_reads_it(data: bytes, cuts: list[int]) -> None:
    out, failed = read(data, cuts)
    assert all(type(word) is bytes for request in out for word in request) and all(out)
    expected, expected_failure = simple(data)
    if b"\n+" in data or b"\n=" in data or b"\n(" in data:
        return  # several requests in one read: a status line as an element is taken as a string (documented)
    assert (out, failed) == (expected, expected_failure)


@settings(max_examples=300, deadline=None)
@given(STREAM, st.lists(st.integers(0, 10_000), max_size=5))
def test_where_the_stream_is_cut_does_not_matter_to_a_stranger(data: bytes, cuts: list[int]) -> None:
    assert read(data, cuts, authenticated=False) == read(data, [], authenticated=False)


def test_memory_stays_in_proportion_to_what_was_received() -> None:
    attacks = [
        b"*4294967295\r\n",
        b"*99\r\n" * 10_000,
        b"*99\r\n$1\r\nx\r\n" * 10_000,
        b"*1048576\r\n" + b"*99\r\n$0\r\n\r\n" * 5_000,
        b"*2\r\n$536870912\r\n",
        b"*1048576\r\n" + b"$0\r\n\r\n" * 10_000,
        b"%99\r\n" * 10_000,
        b"~99\r\n" * 10_000,
    ]
    for attack in attacks:
        reader = RequestReader(ClientSettings(), StoreSettings())
        reader.authenticated = True
        tracemalloc.start()
        with contextlib.suppress(ProtocolError):
            reader.feed(attack)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 200 * len(attack) + 100_000, (attack[:20], peak, len(attack))
