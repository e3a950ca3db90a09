"""Small JSON requests to managers and members, with a time limit and the grid's secret.

On the standard library's client: these are loopback calls of a few hundred bytes, and importing a bigger one would cost
more than all of them. A request that got no answer raises `HttpError` with status 0: its outcome is unknown.
"""

import http.client
from typing import Any
from urllib.parse import urlsplit

import msgspec

from kubegrid.base.errors import KubegridError, UsageError

ANSWER_BYTES_MAX = 16 * 2**20
TIMEOUT_S = 2.0


class HttpError(KubegridError):
    """No answer (status 0), or one that says no."""

    def __init__(self, address: str, status: int, message: str, remedy: str = "") -> None:
        super().__init__(f"{address}: {message}" if status == 0 else message, remedy)
        self.status = status
        self.outcome_known = status != 0


def get(address: str, path: str, secret: str | None = None, timeout_s: float = TIMEOUT_S) -> Any:
    return _request("GET", address, path, None, secret, timeout_s)


def post(address: str, path: str, body: Any, secret: str | None = None, timeout_s: float = TIMEOUT_S) -> Any:
    return _request("POST", address, path, body, secret, timeout_s)


def delete(address: str, path: str, secret: str | None = None, timeout_s: float = TIMEOUT_S) -> Any:
    return _request("DELETE", address, path, None, secret, timeout_s)


def _request(method: str, address: str, path: str, body: Any, secret: str | None, timeout_s: float) -> Any:
    """The decoded JSON answer; text where it is none. `address` is `host:port` or an http URL."""
    try:
        target = urlsplit(address if "//" in address else f"//{address}")
        port = target.port or 80
        if not target.hostname:
            raise ValueError("it names no host")
        if target.scheme not in ("", "http"):
            raise ValueError(f"{target.scheme} is not spoken here")
    except ValueError as error:
        raise UsageError(f"{address!r} is not an address such as 127.0.0.1:8000: {error}") from None
    headers: dict[str, str | bytes] = {"Accept": "application/json"}
    if secret is not None:
        headers["Authorization"] = f"Bearer {secret}".encode()
    content = None
    if method == "POST":
        content = msgspec.json.encode(body)
        headers["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection(target.hostname, port, timeout=timeout_s)
    try:
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        answer = response.read(ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise HttpError(address, 0, f"no answer ({str(error).strip() or type(error).__name__})") from error
    finally:
        connection.close()
    try:
        decoded = msgspec.json.decode(answer) if answer else None
    except msgspec.DecodeError:
        decoded = answer.decode(errors="replace").strip()
    if response.status >= 400:
        remedy = decoded.get("remedy") if isinstance(decoded, dict) else ""
        reason = _reason(decoded) or f"{response.status} {response.reason}"
        raise HttpError(address, response.status, reason, remedy if isinstance(remedy, str) else "")
    return decoded


def _reason(decoded: Any) -> str:
    if isinstance(decoded, dict):
        for key in ("error", "detail", "message"):
            value = decoded.get(key)
            if isinstance(value, dict):
                return _reason(value)
            if value:
                return str(value)
    return decoded if isinstance(decoded, str) else ""
