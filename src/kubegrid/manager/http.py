"""The manager's HTTP port: REST for people and programs, probes, metrics.

Every path but the probes and the metrics wants `Authorization: Bearer <secret>` when the grid has a secret. Errors are
`{"error": "…"}` with what else there is to know. `/docs` lists all paths, with what their functions here say of themselves
(`listing`).
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from prometheus_client import generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from kubegrid.base import bearer
from kubegrid.base.ids import Member
from kubegrid.coordination.catalog import ADD_COLUMN, CREATE, DECLARE, DROP, Change
from kubegrid.manager import listing
from kubegrid.manager.metrics import metrics
from kubegrid.manager.operations import HAND_OVER_TIMEOUT_S, OperationError, Operations

FREE_PATHS = {"/livez", "/readyz", "/metrics"}
BODY_BYTES_MAX = 1024 * 1024
CONNECTIONS_MAX = 256
KEEP_ALIVE_S = 5


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MemberName(Body):
    name: str = Field(min_length=1, max_length=253)
    incarnation: str = Field(min_length=1, max_length=253)


class DeathBody(MemberName):
    how: str = Field(default="its process was reaped", max_length=200)


class HandOverBody(Body):
    to: str | None = None
    timeout_s: float = Field(default=HAND_OVER_TIMEOUT_S, gt=0, le=300)


class AcceptLossBody(Body):
    dead: list[MemberName] = Field(default=[], max_length=64)
    vouched_by: str = Field(default="", max_length=200)


class ClosingBody(Body):
    cancel: bool = False


class RebuildBody(Body):
    force: bool = False
    confirm: str = ""


def application(operations: Operations, secret: bytes | None) -> FastAPI:
    """The routes."""
    app = FastAPI(title="KubeGrid manager", version="1", docs_url=None, redoc_url=None)
    grid = operations.grid

    @app.middleware("http")
    async def guard(request: Request, next_: Callable[[Request], Awaitable[Response]]) -> Response:
        if request.url.path not in FREE_PATHS:
            given = request.headers.get("authorization", "").encode("latin-1")  # Starlette decoded it so
            if not bearer.admits(secret, given):
                return JSONResponse({"error": bearer.REFUSAL}, 401)
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_BYTES_MAX or "transfer-encoding" in request.headers:
            return JSONResponse({"error": f"a body of known length up to {BODY_BYTES_MAX} bytes is wanted"}, 413)
        return await next_(request)

    @app.exception_handler(OperationError)
    async def refused(request: Request, error: OperationError) -> Response:
        return JSONResponse({"error": str(error), **error.details}, error.http_status)

    @app.exception_handler(RequestValidationError)
    async def wrong(request: Request, error: RequestValidationError) -> Response:
        said = "; ".join(": ".join(filter(None, (_place(e), e["msg"]))) for e in error.errors())
        return JSONResponse({"error": f"the request does not hold: {said}"}, 422)

    @app.exception_handler(HTTPException)
    async def nothing_there(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        told = {404: f"there is nothing at {path}; /docs lists what there is", 405: f"{path} takes no {request.method}"}
        said = told.get(error.status_code, str(error.detail))
        return JSONResponse({"error": said}, error.status_code, error.headers)

    @app.get("/livez", response_class=PlainTextResponse)
    async def livez() -> str:
        """The manager runs."""
        return "ok\n"

    @app.get("/readyz", response_class=PlainTextResponse)
    async def readyz() -> Response:
        """Whether its coordinator has its data; if not, why."""
        state, reason = grid.coordinator.state, grid.coordinator.reason
        return PlainTextResponse(f"{state}: {reason}\n", 200 if state == "ok" else 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def prometheus() -> Response:
        """For Prometheus."""
        return Response(generate_latest(metrics(operations)), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/status")
    async def status() -> Any:
        """Partitions, members and managers, as `kubegrid status` shows them."""
        return JSONResponse(operations.status())

    @app.get("/v1/members")
    async def members() -> Any:
        """What the members tell of themselves."""
        return Response(msgspec.json.encode(grid.lookup.find()), media_type="application/json")

    @app.get("/v1/partitions")
    async def partitions() -> Any:
        """Slots, epoch, primary and in-sync set of each partition."""
        return JSONResponse(operations.partitions())

    @app.post("/v1/partitions/{number}/hand-over")
    async def hand_over(number: int, body: HandOverBody | None = None) -> Any:
        """Make a backup the primary without failing a request."""
        body = body or HandOverBody()
        return await operations.hand_over(number, body.to, body.timeout_s)

    @app.post("/v1/partitions/{number}/accept-loss")
    async def accept_loss(number: int, body: AcceptLossBody | None = None) -> Any:
        """Let a partition serve again that lost all its copies."""
        body = body or AcceptLossBody()
        dead = [Member(member.name, member.incarnation) for member in body.dead]
        return await operations.accept_loss(number, dead, body.vouched_by)

    @app.get("/v1/tables")
    async def tables() -> Any:
        """The definitions of all tables, and their version."""
        return JSONResponse(operations.tables())

    @app.get("/v1/tables/{name}")
    async def table(name: str) -> Any:
        """The definition of a table."""
        return JSONResponse(operations.table(name))

    @app.post("/v1/tables")
    async def create_table(definition: dict[str, Any], extend: bool = False) -> Any:
        """Make a table; with `extend`, one of that name gets the columns that it lacks."""
        name = definition.get("name")
        change = Change(DECLARE if extend else CREATE, "", msgspec.json.encode(definition))
        changed = await operations.change_tables(change)
        return JSONResponse(changed.by_name[str(name)].to_json())

    @app.post("/v1/tables/{name}/columns")
    async def add_column(name: str, column: dict[str, Any]) -> Any:
        """Add this column at the end of a table."""
        changed = await operations.change_tables(Change(ADD_COLUMN, name, msgspec.json.encode(column)))
        return JSONResponse(changed.by_name[name].to_json())

    @app.delete("/v1/tables/{name}")
    async def drop_table(name: str) -> Any:
        """Drop a table with all its records."""
        changed = await operations.change_tables(Change(DROP, name))
        return JSONResponse({"dropped": name, "version": changed.version})

    @app.post("/v1/members/dead")
    async def dead(body: DeathBody) -> Any:
        """A process of this incarnation has ended; the supervisor says so."""
        return await operations.note_death(Member(body.name, body.incarnation), body.how)

    @app.post("/v1/grid/closing")
    async def closing(body: ClosingBody | None = None) -> Any:
        """The grid is being taken down in order; the supervisor says so."""
        return await operations.close_in_order((body or ClosingBody()).cancel)

    @app.post("/v1/rebuild")
    async def rebuild(body: RebuildBody | None = None) -> Any:
        """Make the coordinator's data anew from the members; refused while it has its own."""
        body = body or RebuildBody()
        return await operations.rebuild(body.force, body.confirm)

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> str:
        return listing.page(app.openapi())

    return app


def _place(error: dict[str, Any]) -> str:
    """Where in the request it is wrong; what is wrong with the body as a whole, or is no JSON, has no place of its own."""
    return "" if error["type"] == "json_invalid" else ".".join(str(part) for part in error["loc"][1:])


class Server(uvicorn.Server):
    """uvicorn on our loop and our socket; signals belong to `main`."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=2,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
