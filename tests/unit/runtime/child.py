"""A stand-in for the grid's processes, so that the supervisor is tested alone: `child.py node|manager --config FILE`.

A node writes down its incarnation and waits. A manager answers `/v1/status` that all is well and keeps what it is told
in `told.json`. A file `misbehave` in the state folder makes a process end at once (`crash`, or `crash silently`) or ignore
SIGTERM (`stubborn`).
"""

import json
import signal
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def main() -> None:
    word, _, path = sys.argv[-3:]
    config = json.loads(Path(path).read_text())
    state = Path(config["state_dir"])
    misbehaviour = (state / "misbehave").read_text() if (state / "misbehave").exists() else ""
    if misbehaviour == "crash":
        sys.exit("this child was told to crash")
    if misbehaviour == "crash silently":
        sys.exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if misbehaviour == "stubborn" else lambda *_: sys.exit(0))
    if word == "node":
        _write(state / "incarnation", str(uuid.uuid4()))
        while True:
            time.sleep(60)
    ThreadingHTTPServer((config["bind"], config["http_port"]), _handler(config, state)).serve_forever()


def _write(path: Path, text: str) -> None:
    """Whoever looks finds all of it or nothing."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text)
    new.replace(path)


def _handler(config: dict[str, Any], state: Path) -> type[BaseHTTPRequestHandler]:
    told: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(_status(config))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told.append([self.path, body])
            _write(state / "told.json", json.dumps(told))
            self._answer({})

        def _answer(self, value: Any) -> None:
            content = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    return Handler


def _status(config: dict[str, Any]) -> dict[str, Any]:
    partitions = []
    for number in range(config["partitions"]):
        names = [f"p{number}-{ordinal}" for ordinal in range(config["copies"])]
        members = [{"name": name, "role": "primary" if name == names[0] else "backup", "pid": 1} for name in names]
        partitions.append(
            {"id": number, "state": "serving", "primary": names[0], "in_sync": names, "members": members, "epoch": 1}
        )
    managers = [{"name": config["name"], "pid": 1, "leader": True}]
    return {"grid": config["grid"], "partitions": partitions, "managers": managers}


if __name__ == "__main__":
    main()
