"""The handshake of a link, as a pure exchange of frames: no socket, no clock.

    connecting                         accepting
    Hello ────────────────────────────►  versions, grid, secret?   (refuses, naming both sides)
    (checks the same) ◄──────────────── Hello
    Proof ────────────────────────────►  (checks; asks `accept`)
    (checks) ◄───────────────────────── Proof

The proof is HMAC-SHA256 of the secret over the direction and both hellos exactly as they went over the wire; each hello
holds a fresh 256-bit challenge. So a proof answers one exchange in one direction only: replaying it fails for want of the
challenge, reflecting it for the direction, and changing a name or a version on the way changes the text. The secret
itself is never sent, and the side that connected proves first: nobody can collect proofs from a listener to guess at.

Frames of the handshake are JSON, with unknown fields ignored, so that any later version, and a person with a packet
dump, can read why two versions do not get along.
"""

import hmac
import secrets
from hashlib import sha256

import msgspec

from kubegrid.transport.errors import Refused

PROTOCOL_VERSIONS = (1, 2)
"""The lowest and highest version of the protocol between processes that this release speaks. 2: long frames come in
fragments (`fragments`)."""

CHALLENGE_BYTES = 32
NAME_LENGTH_MAX = 253


class Hello(msgspec.Struct, frozen=True, tag="hello", kw_only=True):
    """Who one side is. `challenge` and `secret` are filled in by the handshake."""

    kind: str
    """`member`, `manager` or `tool`."""
    grid: str
    """UUID of the grid; only a tool may leave it empty."""
    name: str = ""
    incarnation: str = ""
    versions: tuple[int, int] = PROTOCOL_VERSIONS
    challenge: str = ""
    secret: bool = False
    """Whether this side was given a secret, and so wants a proof."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name or '?'}"


class Proof(msgspec.Struct, frozen=True, tag="proof"):
    mac: str


class Refusal(msgspec.Struct, frozen=True, tag="refused"):
    reason: str


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Hello | Proof | Refusal)


def refusal(reason: str) -> bytes:
    """The frame that tells the peer why."""
    return _encoder.encode(Refusal(reason[:1024]))


class Handshake:
    """One side of one handshake.

    Invariant: `done` only after the peer's hello was found compatible and, when there is a secret, its proof right.
    """

    def __init__(self, hello: Hello, secret: bytes | None, *, connecting: bool) -> None:
        self.hello = msgspec.structs.replace(
            hello, challenge=secrets.token_hex(CHALLENGE_BYTES), secret=secret is not None
        )
        self.secret = secret
        self.connecting = connecting
        self.peer: Hello | None = None
        self.version = 0
        self.done = False
        self._sent = _encoder.encode(self.hello)
        self._received = b""

    def begin(self) -> bytes | None:
        """The first frame, from the side that connected."""
        return self._sent if self.connecting else None

    def receive(self, payload: bytes) -> bytes | None:
        """Take the peer's next frame; returns what to answer. Raises Refused when there will be no link.

        On the accepting side the answer to the last frame is `finish()`, once the caller wants this peer.
        """
        try:
            frame = _decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused("this is not KubeGrid's protocol: the peer's first frames make no sense") from error
        if isinstance(frame, Refusal):
            raise Refused(frame.reason, by_peer=True)
        if isinstance(frame, Hello):
            if self.peer is not None:
                raise Refused("a second hello in one handshake")
            self.version = _check(self.hello, frame)
            self.peer = frame
            self._received = payload
            return _encoder.encode(Proof(self._mac(own=True))) if self.connecting else self._sent
        if self.peer is None or self.done:
            raise Refused("a proof without a hello before it")
        if not hmac.compare_digest(frame.mac.encode(), self._mac(own=False).encode()):
            raise Refused(f"the proof of {self.peer} is wrong: it was given another secret than {self.hello}")
        self.done = True
        return None

    def finish(self) -> bytes:
        """The accepting side's last frame."""
        assert self.done and not self.connecting
        return _encoder.encode(Proof(self._mac(own=True)))

    def _mac(self, *, own: bool) -> str:
        if self.secret is None:
            return ""
        direction = b"connecting" if self.connecting == own else b"accepting"
        first, second = (self._sent, self._received) if self.connecting else (self._received, self._sent)
        text = b"".join(len(part).to_bytes(4, "big") + part for part in (b"kubegrid 1", direction, first, second))
        return hmac.new(self.secret, text, sha256).hexdigest()


def _check(ours: Hello, theirs: Hello) -> int:
    """The protocol version to speak. Raises Refused, naming what both sides have."""
    low, high = max(ours.versions[0], theirs.versions[0]), min(ours.versions[1], theirs.versions[1])
    if low > high:
        raise Refused(f"no protocol version in common: {ours} speaks {_range(ours)}, {theirs} speaks {_range(theirs)}")
    tool = (ours.kind == "tool" and not ours.grid) or (theirs.kind == "tool" and not theirs.grid)
    if ours.grid != theirs.grid and not tool:
        raise Refused(f"another grid: {ours} belongs to {ours.grid or 'none'}, {theirs} to {theirs.grid or 'none'}")
    if ours.secret != theirs.secret:
        having, lacking = (ours, theirs) if ours.secret else (theirs, ours)
        raise Refused(f"{having} was given a secret and {lacking} was not")
    if len(theirs.challenge) < 2 * CHALLENGE_BYTES or theirs.challenge == ours.challenge:
        raise Refused(f"the challenge of {theirs} is not a fresh one")
    if len(theirs.name) > NAME_LENGTH_MAX or len(theirs.incarnation) > NAME_LENGTH_MAX:
        raise Refused("a name that is too long")
    if ours.name and (ours.kind, ours.name, ours.incarnation) == (theirs.kind, theirs.name, theirs.incarnation):
        raise Refused(f"{ours} was connected to itself")
    return high


def _range(hello: Hello) -> str:
    low, high = hello.versions
    return f"{low}" if low == high else f"{low} to {high}"
