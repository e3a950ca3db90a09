"""Who may call: clients with the grid's secret, and members, whose own tickets carry a seal.

A client shows the secret as `Authorization: Bearer SECRET`, as on the HTTP ports, or as the password of `Basic` with any
user name. Drivers that log in once (`Handshake`) get a token for it that every member of the grid takes, because each
makes the same one from the secret: nothing is stored, and a restart forgets nobody. Nothing of this is encrypted here.

A fragment is for members only: it is SQL that nobody has planned or limited. It carries a
*seal*, an HMAC of its bytes, beside the authorization of the call. Where the grid has no secret it listens on loopback
only, and everybody there may ask; a password that is given anyway is not looked at.
"""

import base64
import binascii
import hmac
from hashlib import sha256
from typing import Any

from pyarrow import flight

HEADER = "authorization"
REFUSAL = (
    "this grid has a secret: the call shows none, or a wrong one. "
    "Give it as the password (any user name), or as the header `authorization: Bearer SECRET`."
)
UNSEALED = "this ticket is for the members of the grid among themselves: its seal is missing or wrong"


class Access:
    """The secret and what follows from it. Comparisons take the same time whatever was given."""

    def __init__(self, secret: bytes | None, grid_id: str) -> None:
        self.secret = secret
        self.token = "" if secret is None else _mac(secret, b"kubegrid flight client", grid_id.encode())
        self._grid_id = grid_id.encode()

    def admits(self, authorization: str) -> bool:
        """Whether a call with this header (empty: without one) may pass."""
        if self.secret is None:
            return True
        scheme, _, given = authorization.partition(" ")
        given = given.strip()
        if scheme.lower() == "bearer":
            shown = given.encode()
            return _same(shown, self.token.encode()) or _same(shown, self.secret)
        if scheme.lower() == "basic":
            try:
                padded = given + "=" * (-len(given) % 4)  # Go's Flight client leaves the padding out
                password = base64.b64decode(padded, validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return False
            return _same(password, self.secret)
        return False

    def seal(self, body: bytes) -> str:
        """Of what a member asks of another; empty without a secret."""
        return "" if self.secret is None else _mac(self.secret, b"kubegrid flight member", self._grid_id, body)

    def sealed(self, body: bytes, seal: str) -> bool:
        return _same(seal.encode(), self.seal(body).encode())

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What a member sends with its calls."""
        return [] if self.secret is None else [(HEADER.encode(), f"Bearer {self.token}".encode())]


def _mac(secret: bytes, *parts: bytes) -> str:
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.new(secret, text, sha256).hexdigest()


def _same(given: bytes, wanted: bytes) -> bool:
    return hmac.compare_digest(given, wanted)


class Door(flight.ServerMiddlewareFactory):  # type: ignore[misc] # pyarrow ships no types
    """Asked before every call, the logging in among them."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._access = access

    def start_call(self, info: Any, headers: Any) -> Any:
        given = next(iter(headers.get(HEADER, [])), "")
        if isinstance(given, bytes):
            given = given.decode("latin-1")
        if not self._access.admits(given):
            raise flight.FlightUnauthenticatedError(REFUSAL)
        return _Welcome(self._access.token) if info.method == flight.FlightMethod.HANDSHAKE else None


class _Welcome(flight.ServerMiddleware):  # type: ignore[misc]
    """Gives who has logged in the token for what follows."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def sending_headers(self) -> dict[str, str]:
        return {HEADER: f"Bearer {self._token or 'none'}"}


class NoQuestions(flight.ServerAuthHandler):  # type: ignore[misc]
    """Lets `Handshake` exist at all; who may call is decided by `Door`."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        return None

    def is_valid(self, token: Any) -> bytes:
        return b""
