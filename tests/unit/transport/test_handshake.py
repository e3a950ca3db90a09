"""The handshake as a conversation of frames, without a socket."""

import json

import pytest

from kubegrid.transport.errors import Refused
from kubegrid.transport.handshake import PROTOCOL_VERSIONS, Handshake, Hello

A = Hello(kind="member", grid="g", name="p0-0", incarnation="a")
B = Hello(kind="member", grid="g", name="p0-1", incarnation="b")
SECRET = b"correct horse battery staple"


def sides(a: Hello = A, b: Hello = B, secret_a: bytes | None = SECRET, secret_b: bytes | None = SECRET):
    return Handshake(a, secret_a, connecting=True), Handshake(b, secret_b, connecting=False)


def converse(a: Handshake, b: Handshake) -> list[bytes]:
    """The whole exchange; returns the frames in order."""
    frames = [a.begin()]
    frames.append(b.receive(frames[0]))
    frames.append(a.receive(frames[1]))
    assert b.receive(frames[2]) is None
    frames.append(b.finish())
    a.receive(frames[3])
    return frames


@pytest.mark.parametrize("secret", [SECRET, None])
def test_both_sides_learn_who_the_other_is(secret):
    a, b = sides(secret_a=secret, secret_b=secret)
    converse(a, b)
    assert a.done and b.done
    assert (a.peer.name, b.peer.name) == ("p0-1", "p0-0")
    assert a.version == b.version == PROTOCOL_VERSIONS[1]


def test_the_secret_is_in_no_frame():
    for frame in converse(*sides()):
        assert SECRET not in frame and SECRET.hex().encode() not in frame


@pytest.mark.parametrize(("first", "second"), [((1, 2), (3, 5)), ((3, 5), (1, 2))])
def test_versions_that_do_not_overlap_are_refused_naming_both(first, second):
    a, b = sides(
        Hello(kind="member", grid="g", name="x", versions=first),
        Hello(kind="member", grid="g", name="y", versions=second),
    )
    with pytest.raises(Refused) as refused:
        b.receive(a.begin())
    assert "1 to 2" in refused.value.reason and "3 to 5" in refused.value.reason
    with pytest.raises(Refused) as refused:
        a.receive(Handshake(b.hello, SECRET, connecting=True).begin())
    assert "1 to 2" in refused.value.reason and "3 to 5" in refused.value.reason


def test_the_highest_common_version_is_spoken():
    a, b = sides(
        Hello(kind="member", grid="g", name="x", versions=(1, 4)),
        Hello(kind="member", grid="g", name="y", versions=(2, 9)),
    )
    converse(a, b)
    assert a.version == b.version == 4


def test_another_grid_is_refused_naming_both():
    a, b = sides(b=Hello(kind="member", grid="h", name="p0-1"))
    with pytest.raises(Refused, match=r"another grid: .* g$|another grid: .* to h, .* to g"):
        b.receive(a.begin())


def test_a_tool_needs_no_grid_but_a_member_does():
    converse(*sides(a=Hello(kind="tool", grid="")))
    with pytest.raises(Refused, match="another grid"):
        converse(*sides(a=Hello(kind="member", grid="")))


def test_one_side_without_a_secret_is_refused():
    for given in ((SECRET, None), (None, SECRET)):
        with pytest.raises(Refused, match=r"was given a secret and .* was not"):
            converse(*sides(secret_a=given[0], secret_b=given[1]))


def test_another_secret_is_refused():
    a, b = sides(secret_b=b"another")
    proof = a.receive(b.receive(a.begin()))
    with pytest.raises(Refused, match="another secret"):
        b.receive(proof)
    assert not b.done


def test_an_empty_proof_is_refused_when_there_is_a_secret():
    a, b = sides()
    a.receive(b.receive(a.begin()))
    with pytest.raises(Refused):
        b.receive(b'{"type":"proof","mac":""}')


def test_a_listener_cannot_be_used_to_make_its_own_proof():
    """Mallory has no secret. She opens a connection to A and reflects to it what A says on another one."""
    victim_connecting = Handshake(A, SECRET, connecting=True)
    victim_listening = Handshake(A, SECRET, connecting=False)
    # A connects to Mallory; she passes A's hello to A's own listener: it notices that it talks to itself.
    with pytest.raises(Refused, match="itself"):
        victim_listening.receive(victim_connecting.begin())
    # She claims another name with A's challenge instead, and sends A's proof back to A.
    hello = json.loads(victim_connecting.begin()) | {"name": "mallory", "challenge": "ab" * 32}
    proof = victim_connecting.receive(json.dumps(hello).encode())
    with pytest.raises(Refused, match="proof"):
        victim_connecting.receive(proof)
    assert not victim_connecting.done


def test_a_challenge_sent_back_is_refused():
    a = Handshake(A, SECRET, connecting=True)
    with pytest.raises(Refused, match="fresh"):
        a.receive(json.dumps(json.loads(a.begin()) | {"name": "mallory"}).encode())


def test_a_replayed_proof_is_refused():
    a, b = sides()
    frames = converse(a, b)
    again = Handshake(B, SECRET, connecting=False)
    again.receive(frames[0])
    with pytest.raises(Refused, match="proof"):
        again.receive(frames[2])


def test_a_name_changed_on_the_way_breaks_the_proof():
    a, b = sides()
    changed = json.dumps(json.loads(a.begin()) | {"name": "p9-9"}).encode()
    proof = a.receive(b.receive(changed))
    with pytest.raises(Refused, match="proof"):
        b.receive(proof)


@pytest.mark.parametrize(
    "frame",
    [b"", b"GET / HTTP/1.1", b"\xff\xfe\x00", b"{}", b'{"type":"hello"}', b'{"type":"proof","mac":"x"}', b"[" * 3000],
)
def test_nonsense_is_refused(frame):
    for connecting in (True, False):
        with pytest.raises(Refused):
            Handshake(A, SECRET, connecting=connecting).receive(frame)


def test_a_refusal_carries_its_reason():
    with pytest.raises(Refused) as refused:
        Handshake(A, None, connecting=True).receive(b'{"type":"refused","reason":"no room"}')
    assert refused.value.by_peer and refused.value.reason == "no room"


def test_unknown_fields_of_a_later_release_are_ignored():
    a, b = sides(secret_a=None, secret_b=None)
    hello = json.loads(a.begin()) | {"colour": "green"}
    assert b.receive(json.dumps(hello).encode()) is not None
