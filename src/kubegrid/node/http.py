"""The member's HTTP port: probes, metrics, and its own record, served by the same loop that serves the data.

That it answers at all is the liveness probe: no thread of its own can keep `/livez` green while the serving loop hangs.
A plain ASGI application, because five routes need no framework in a process whose memory belongs to records.

    GET  /livez          200 while the loop turns
    GET  /readyz         200 in sync, or primary with a lease; 503 and the reason else
    GET  /metrics        Prometheus text
    GET  /v1/member      this member's record and its partition's configuration (JSON)
    POST /v1/hand-over   begin a hand-over, `?to=MEMBER` or to any backup (JSON)

`/v1` wants `Authorization: Bearer SECRET` where the grid has a secret; probes and metrics tell nothing of the data.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol
from urllib.parse import parse_qs

import msgspec
import uvicorn

from kubegrid import process
from kubegrid.base.bearer import admits

ASGI_REQUEST = Callable[[], Awaitable[dict[str, Any]]]
ASGI_SEND = Callable[[dict[str, Any]], Awaitable[None]]
TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"
CONNECTIONS_MAX = 64
"""Requests served at once; more get 503."""
KEEP_ALIVE_S = 5


class Answers(Protocol):
    """What the routes ask of the member."""

    def not_ready_because(self) -> str: ...
    def metrics_text(self) -> bytes: ...
    def describe(self) -> dict[str, Any]: ...
    async def hand_over(self, to: str | None) -> str: ...


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: stopping is decided by `main`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class HttpPort:
    """Serves the routes on one listening socket."""

    def __init__(self, answers: Answers, secret: bytes | None) -> None:
        self._answers = answers
        self._secret = secret
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int) -> int:
        """Listen on `host:port`; the port, chosen by the kernel when 0 was asked. Raises OSError when it is taken."""
        listener = process.listening(host, port)
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
        config = uvicorn.Config(
            self._application,
            interface="asgi3",
            proxy_headers=False,
            loop="none",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=1,
        )
        config.load()  # now, for it imports: the serving loop must not stop for that later
        self._server = _Server(config)
        self._task = asyncio.ensure_future(self._server.serve(sockets=[listener]))
        return int(listener.getsockname()[1])

    async def close(self) -> None:
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            self._server.force_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    # -- routes ----------------------------------------------------------------------------------------------------

    async def _application(self, scope: dict[str, Any], receive: ASGI_REQUEST, send: ASGI_SEND) -> None:
        if scope["type"] != "http":
            return
        status, kind, body = await self._answer(scope)
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, scope: dict[str, Any]) -> tuple[int, bytes, bytes]:
        path = scope["path"]
        method = scope["method"]
        wanted = "POST" if path == "/v1/hand-over" else "GET"
        if path not in ("/livez", "/readyz", "/metrics", "/v1/member", "/v1/hand-over"):
            return 404, TEXT, b"no such page\n"
        if method != wanted and not (wanted == "GET" and method == "HEAD"):
            return 405, TEXT, f"{path} answers {wanted} only\n".encode()
        if path.startswith("/v1/") and not self._authorized(scope["headers"]):
            return 401, TEXT, b"this grid has a secret: Authorization: Bearer SECRET\n"
        if path == "/livez":
            return 200, TEXT, b"ok\n"
        if path == "/readyz":
            reason = self._answers.not_ready_because()
            return (503, TEXT, reason.encode() + b"\n") if reason else (200, TEXT, b"ok\n")
        if path == "/metrics":
            return 200, b"text/plain; version=0.0.4; charset=utf-8", self._answers.metrics_text()
        if path == "/v1/member":
            return 200, JSON, msgspec.json.encode(self._answers.describe())
        to = parse_qs(scope["query_string"].decode("latin-1")).get("to", [None])[0]
        refusal = await self._answers.hand_over(to)
        if refusal:
            return 409, JSON, msgspec.json.encode({"error": refusal})
        return 202, JSON, msgspec.json.encode({"begun": True, "to": to})

    def _authorized(self, headers: list[tuple[bytes, bytes]]) -> bool:
        given = next((value for name, value in headers if name == b"authorization"), b"")
        return admits(self._secret, given)
