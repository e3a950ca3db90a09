"""LATENCY: the seconds in which commands took longer than `latency-monitor-threshold`. They are kept in `slow_log`.

Two events of Redis are watched, `command` and `fast-command`; the loop's own pauses are in the metrics. Graphs and
histograms are left to those who have the metrics.
"""

from kubegrid.node.context import Session
from kubegrid.wire import resp

_HELP = (
    "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "DOCTOR",
    "    The events in words.",
    "HISTORY <event>",
    "    The worst time of each second of an event: Unix time in seconds, milliseconds.",
    "LATEST",
    "    Each event: its name, when it was last, its milliseconds then, and the most there ever were.",
    "RESET [<event> ...]",
    "    Forget these events, or all.",
    "HELP",
    "    This text.",
)


def _latest(session: Session, args: list[bytes]) -> bytes:
    lines: list[bytes] = []
    for name, event in session.node.slow_log.events.items():
        at_s, took_ms = event.samples[-1]
        lines.append(
            resp.array([resp.bulk(name.encode()), *map(resp.integer, (at_s, took_ms, event.longest_ms))]),
        )
    return resp.array(lines)


def _history(session: Session, args: list[bytes]) -> bytes:
    event = session.node.slow_log.events.get(args[2].decode("latin-1"))
    samples = [] if event is None else event.samples
    return resp.array([resp.array([resp.integer(at_s), resp.integer(took_ms)]) for at_s, took_ms in samples])


def _reset(session: Session, args: list[bytes]) -> bytes:
    return resp.integer(session.node.slow_log.reset_events([word.decode("latin-1") for word in args[2:]]))


def _doctor(session: Session, args: list[bytes]) -> bytes:
    slow_log = session.node.slow_log
    if not slow_log.latency_ms:
        text = "Nothing is watched: CONFIG SET latency-monitor-threshold to the milliseconds that are too long.\n"
    elif not slow_log.events:
        text = f"No command took {slow_log.latency_ms} ms or longer since the events were last reset.\n"
    else:
        lines = [
            f"{name}: {len(event.samples)} seconds with {slow_log.latency_ms} ms or more, at most {event.longest_ms} ms.\n"
            for name, event in slow_log.events.items()
        ]
        text = "".join(lines) + "SLOWLOG GET shows which commands these were, as far as it goes back.\n"
    return resp.verbatim(text.encode(), session.resp == 3)


def _help(session: Session, args: list[bytes]) -> bytes:
    return resp.lines(_HELP)


HANDLERS = {
    "latency|latest": _latest,
    "latency|history": _history,
    "latency|reset": _reset,
    "latency|doctor": _doctor,
    "latency|help": _help,
}
