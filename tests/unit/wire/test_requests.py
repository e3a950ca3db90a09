"""Requests from bytes: the common case, pieces, inline commands, and the errors of Redis."""

import pytest

from kubegrid.base.settings import ClientSettings, StoreSettings
from kubegrid.wire.requests import ProtocolError, RequestReader


def reader(authenticated: bool = True, **limits: int) -> RequestReader:
    result = RequestReader(ClientSettings(**limits), StoreSettings())
    result.authenticated = authenticated
    return result


def encode(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


SET = encode(b"SET", b"key", b"value")


def message(data: bytes, authenticated: bool = True, **limits: int) -> str:
    with pytest.raises(ProtocolError) as caught:
        reader(authenticated, **limits).feed(data)
    return caught.value.message


@pytest.mark.parametrize("count", [1, 2, 100])
def test_whole_requests_come_out_at_once(count: int) -> None:
    assert reader().feed(SET * count) == [[b"SET", b"key", b"value"]] * count


def test_a_request_may_arrive_byte_by_byte() -> None:
    r = reader()
    got = [request for byte in SET * 3 for request in r.feed(bytes([byte]))]
    assert got == [[b"SET", b"key", b"value"]] * 3


@pytest.mark.parametrize("cut", range(1, 2 * len(SET)))
def test_a_batch_may_be_cut_anywhere(cut: int) -> None:
    data = SET * 2 + encode(b"GET", b"a\r\n*2\r\n$1\r\nb") + SET
    r = reader()
    assert r.feed(data[:cut]) + r.feed(data[cut:]) == [
        [b"SET", b"key", b"value"],
        [b"SET", b"key", b"value"],
        [b"GET", b"a\r\n*2\r\n$1\r\nb"],
        [b"SET", b"key", b"value"],
    ]


def test_a_value_that_looks_like_requests_stays_a_value() -> None:
    value = SET * 50
    data = encode(b"SET", b"log", value) + SET
    r = reader()
    got = []
    for start in range(0, len(data), 97):
        got += r.feed(data[start : start + 97])
    assert got == [[b"SET", b"log", value], [b"SET", b"key", b"value"]]


def test_empty_and_negative_arrays_and_blank_lines_are_no_requests() -> None:
    assert reader().feed(b"*0\r\n*-1\r\n*-10\r\n\r\n   \r\n" + SET) == [[b"SET", b"key", b"value"]]
    assert reader().feed(SET + b"*0\r\n" + SET) == [[b"SET", b"key", b"value"]] * 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"PING\r\n", [b"PING"]),
        (b"PING\n", [b"PING"]),
        (b"  set  a   b \r\n", [b"set", b"a", b"b"]),
        (b'set a "hello world"\r\n', [b"set", b"a", b"hello world"]),
        (b"set a 'it\\'s'\r\n", [b"set", b"a", b"it's"]),
        (b'set a "\\x41\\n\\t\\\\\\"\\q"\r\n', [b"set", b"a", b'A\n\t\\"q']),
        (b"set a 'a\\nb'\r\n", [b"set", b"a", b"a\\nb"]),
        (b'set a ""\r\n', [b"set", b"a", b""]),
        (b'a"b c"\r\n', [b"ab c"]),
        (b"$5 +x\r\n", [b"$5", b"+x"]),
    ],
)
def test_inline_commands(line: bytes, words: list[bytes]) -> None:
    assert reader().feed(line) == [words]


@pytest.mark.parametrize("line", [b'a "b\r\n', b"a 'b\r\n", b'a "b"c\r\n', b'a "b\\"\r\n'])
def test_unbalanced_quotes(line: bytes) -> None:
    assert message(line) == "Protocol error: unbalanced quotes in request"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*4294967296\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*01\r\n$4\r\nPING\r\n", "invalid multibulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$2000000000\r\n", "invalid bulk length"),
        (b"*1\r\nfoo\r\n", "expected '$', got 'f'"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*2\r\n$4\r\nECHO\r\n:1\r\n", "expected '$', got ':'"),
        (b"*2\r\n$4\r\nECHO\r\n*1\r\n$1\r\nx\r\n", "expected '$', got '*'"),
        (b"*2\r\n$4\r\nECHO\r\n_\r\n", "expected '$', got '_'"),
        (b"*2\r\n$4\r\nECHO\r\n#t\r\n", "expected '$', got '#'"),
        (b"*" + b"1" * 70000, "too big mbulk count string"),
        (b"*1\r\n$" + b"1" * 70000, "too big bulk count string"),
        (b"x" * 70000, "too big inline request"),
    ],
)
def test_the_errors_of_redis(data: bytes, text: str) -> None:
    assert message(data) == "Protocol error: " + text


def test_an_error_comes_after_the_requests_before_it() -> None:
    with pytest.raises(ProtocolError) as caught:
        reader().feed(SET * 3 + b"*1\r\n:1\r\n" + SET)
    assert caught.value.requests == [[b"SET", b"key", b"value"]] * 3
    r = reader()
    assert r.feed(SET + SET[:9]) == [[b"SET", b"key", b"value"]]
    with pytest.raises(ProtocolError) as caught:
        r.feed(SET[9:] + SET + b"*x\r\n")
    assert caught.value.requests == [[b"SET", b"key", b"value"]] * 2


def test_a_stranger_may_send_small_requests_only() -> None:
    assert reader(False).feed(encode(b"AUTH", b"x")) == [[b"AUTH", b"x"]]
    assert message(encode(*[b"x"] * 11), False) == "Protocol error: unauthenticated multibulk length"
    assert message(b"*1\r\n$16385\r\n", False) == "Protocol error: unauthenticated bulk length"
    assert message(b"*1\r\n$100000000\r\n", False) == "Protocol error: unauthenticated bulk length"
    assert message(b"*1\r\n$536870913\r\n", False) == "Protocol error: invalid bulk length"


def test_what_is_kept_of_an_unfinished_request_is_bounded() -> None:
    r = reader(query_bytes_max=100_000)
    r.feed(b"*2\r\n$3\r\nSET\r\n$1000000\r\n")
    with pytest.raises(ProtocolError):
        for _ in range(20):
            r.feed(b"x" * 10_000)


def test_a_huge_array_announced_costs_nothing() -> None:
    r = reader()
    assert r.feed(b"*1048576\r\n" + b"$1\r\nx\r\n" * 10) == []
    assert len(r._strict._arguments) == 10


def test_requests_larger_than_the_common_case() -> None:
    words = [b"MSET", *[b"%d" % n for n in range(1000)]]
    assert reader().feed(encode(*words) * 2) == [words] * 2
    big = [b"SET", b"k", b"\r\n*1" * 300_000]
    data = encode(*big)
    r = reader()
    got = []
    for start in range(0, len(data), 65536):
        got += r.feed(data[start : start + 65536])
    assert got == [big]


def test_what_comes_with_an_auth_may_be_large_and_is_refused_later_when_that_failed() -> None:
    large = encode(b"MSET", *[b"x"] * 20)
    auth = encode(b"AUTH", b"pw")
    assert len(reader(False).feed(auth + large)) == 2
    r = reader(False)
    assert r.feed(auth + large[:50]) == [[b"AUTH", b"pw"]]
    r.authenticated = True
    assert r.feed(large[50:]) == [[b"MSET"] + [b"x"] * 20]
    r = reader(False)
    r.feed(auth + large[:50])
    with pytest.raises(ProtocolError):
        r.feed(large[50:])
    r = reader(False)
    r.feed(auth + b"*2\r\n$3\r\nSET\r\n$1000000\r\nxxx")
    with pytest.raises(ProtocolError):
        r.feed(b"x")
    assert len(reader(False).feed(b"AUTH pw\r\n" + large)) == 2
