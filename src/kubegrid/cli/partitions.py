"""`kubegrid partition hand-over` and `accept-loss`: the two decisions about a partition that are a person's."""

import getpass
from typing import Any

from kubegrid.base.errors import RefusedError
from kubegrid.cli.show import labelled, print_json
from kubegrid.cli.target import Grid

HAND_OVER_S = 10
ANSWER_SLACK_S = 5


def hand_over(grid: Grid, partition: int, to: str | None, as_json: bool) -> int:
    body = {"to": to, "timeout_s": HAND_OVER_S}
    answer = grid.ask("POST", f"/v1/partitions/{partition}/hand-over", body, HAND_OVER_S + ANSWER_SLACK_S)
    _print(
        answer, as_json, f"partition {partition}: the primary is {_of(answer, 'primary')}, epoch {_of(answer, 'epoch')}"
    )
    return 0


def accept_loss(grid: Grid, partition: int | None, vouch: bool, as_json: bool) -> int:
    """Of one partition, or of all that are down."""
    if partition is not None:
        numbers = [partition]
    else:
        numbers = [part["id"] for part in grid.read_status()["partitions"] if part["state"] == "down"]
    answers = {number: _accept(grid, number, vouch) for number in numbers}
    lines = [labelled(n, _of(a, "note") or f"accepted, epoch {_of(a, 'epoch')}") for n, a in answers.items()]
    rows = [{"partition": number, **answer} for number, answer in answers.items()]
    _print(rows, as_json, "\n".join(lines) or "no partition waits for it")
    return 0


def _accept(grid: Grid, number: int, vouch: bool) -> dict[str, Any]:
    body = {"vouched_by": getpass.getuser()} if vouch else {}
    try:
        answer = grid.ask("POST", f"/v1/partitions/{number}/accept-loss", body, HAND_OVER_S)
    except RefusedError as error:
        raise RefusedError(labelled(number, error.message), error.remedy) from error
    return answer if isinstance(answer, dict) else {}


def _of(answer: Any, key: str) -> Any:
    return answer.get(key) if isinstance(answer, dict) else None


def _print(answer: Any, as_json: bool, text: str) -> None:
    if as_json:
        print_json(answer)
    else:
        print(text)
