"""SLOWLOG and LATENCY: which commands are measured, what is kept of them, and how much."""

import pytest
from tests.unit.node.drive import Drive

from kubegrid.node import clocked
from kubegrid.node.dispatch import COMMANDS
from kubegrid.node.slow_log import SlowLog

MINUTE_S = 60.0


def noted(log: SlowLog, took_s: float, *words: bytes, at_s: int = 1, fast: bool = False) -> None:
    if took_s >= log.least_s:
        log.note(at_s, took_s, list(words), "127.0.0.1:1", b"name", fast)


def test_entries_are_numbered_and_the_oldest_are_forgotten() -> None:
    log = SlowLog()
    log.set_length_max(2)
    for number in range(3):
        noted(log, 0.01, b"SET", b"%d" % number)
    assert [(entry.number, entry.took_us, entry.words) for entry in log.entries] == [
        (2, 10_000, [b"SET", b"2"]),
        (1, 10_000, [b"SET", b"1"]),
    ]
    log.set_length_max(1)
    assert [entry.number for entry in log.entries] == [2]
    log.reset()
    noted(log, 0.01, b"SET", b"3")
    assert [entry.number for entry in log.entries] == [3]


@pytest.mark.parametrize(("slower_than_us", "kept"), [(-1, 0), (0, 3), (10_000, 2), (10_001, 1)])
def test_commands_that_take_as_long_as_was_said_are_kept(slower_than_us: int, kept: int) -> None:
    log = SlowLog()
    log.set_slower_than(slower_than_us)
    for took_s in (0.0, 0.01, MINUTE_S):
        noted(log, took_s, b"GET", b"k")
    assert len(log.entries) == kept


def test_events_have_the_worst_time_of_each_second() -> None:
    log = SlowLog()
    log.set_latency(20)
    for at_s, took_s in ((1, 0.030), (1, 0.050), (1, 0.020), (2, 0.025), (3, 0.019)):
        noted(log, took_s, b"KEYS", b"*", at_s=at_s)
    noted(log, 0.021, b"GET", b"k", at_s=4, fast=True)
    assert {name: (list(event.samples), event.longest_ms) for name, event in log.events.items()} == {
        "command": ([(1, 50), (2, 25)], 50),
        "fast-command": ([(4, 21)], 21),
    }
    assert log.reset_events(["fast-command", "nope"]) == 1
    assert log.reset_events([]) == 1


def test_the_seconds_of_an_event_that_are_kept_are_bounded() -> None:
    log = SlowLog()
    log.set_latency(1)
    for second in range(1000):
        noted(log, 1.0, b"KEYS", b"*", at_s=second)
    assert [at_s for at_s, _ in log.events["command"].samples] == list(range(840, 1000))


def test_commands_that_may_take_long_are_measured_each_time_and_short_ones_now_and_then() -> None:
    drive = Drive()
    client = drive.connect()
    drive.node.slow_log.set_slower_than(0)  # not by CONFIG SET, which would have each of them measured
    many = ["x"] * 3
    for _ in range(32):
        for request in (["SET", "k", "v"], ["TOUCH", "k"], ["HSET", "h", "f", "v"], ["HGETALL", "h"]):
            client(*request)
        client("MSET", *(word for number in range(4) for word in (f"{{a}}{number}", "x")))
        client("DEL", *many)
    words = [entry.words[0] for entry in drive.node.slow_log.entries]
    counts = {name: words.count(name) for name in set(words)}
    assert counts == {b"SET": 2, b"TOUCH": 2, b"HSET": 2, b"DEL": 2, b"HGETALL": 32, b"MSET": 32}


def test_the_mean_time_of_a_command_is_that_of_one_call_in_sixteen_whatever_was_measured_besides() -> None:
    drive = Drive()
    client = drive.connect()
    drive.node.slow_log.set_slower_than(0)
    for _ in range(32):
        client("HGETALL", "h")
        client("KEYS", "*")
        for request in (["MULTI"], ["HVALS", "h"], ["EXEC"]):
            client(*request)
    sampled = {name: drive.node.statistics[name].sampled for name in ("hgetall", "keys", "hvals")}
    assert sampled == {"hgetall": 2, "keys": 2, "hvals": 2}


@pytest.mark.parametrize("line", ["CLIENT NO-TOUCH ON; GET k", "MULTI; HGETALL h; EXEC", "KEYS *"])
def test_commands_that_are_executed_in_other_ways_are_kept_too(line: str) -> None:
    drive = Drive()
    client = drive.connect()
    client("CONFIG", "SET", "slowlog-log-slower-than", "0")
    client("SLOWLOG", "RESET")
    for request in line.split("; "):
        client(*request.split())
    kept = [b" ".join(entry.words).decode() for entry in drive.node.slow_log.entries]
    assert kept[::-1] == ["SLOWLOG RESET", *line.removesuffix("; EXEC").split("; ")]


def test_every_command_is_measured_while_somebody_wants_to_see_short_ones() -> None:
    drive = Drive()
    told: list[bool] = []
    drive.node.when_each = told.append
    client = drive.connect()
    for slower_than_us in ("999", "1000", "-1", "0"):
        client("CONFIG", "SET", "slowlog-log-slower-than", slower_than_us)
    client("SLOWLOG", "RESET")
    for _ in range(32):
        client("INCR", "n")
    assert told == [True, False, False, True]
    assert [entry.words[0] for entry in drive.node.slow_log.entries].count(b"INCR") == 32


def test_a_slow_command_is_shown_with_who_sent_it() -> None:
    drive = Drive()
    client = drive.connect()
    client("CLIENT", "SETNAME", "batch")
    clocked.took(client, COMMANDS[b"KEYS"], [b"KEYS", b"*"], MINUTE_S, True)
    assert client("SLOWLOG", "GET") == [
        [0, drive.keyspace.now_ms // 1000, 60_000_000, [b"KEYS", b"*"], client.peer.encode(), b"batch"]
    ]
    assert client("SLOWLOG", "LEN") == 1
    assert client("SLOWLOG", "RESET") == b"OK"
    assert client("SLOWLOG", "GET", "-1") == []


def test_the_doctor_says_what_was_seen() -> None:
    drive = Drive()
    client = drive.connect()
    assert b"latency-monitor-threshold" in client("LATENCY", "DOCTOR")
    client("CONFIG", "SET", "latency-monitor-threshold", "100")
    assert b"No command took 100 ms" in client("LATENCY", "DOCTOR")
    clocked.took(client, COMMANDS[b"KEYS"], [b"KEYS", b"*"], 0.25, True)
    assert b"command: 1 seconds with 100 ms or more, at most 250 ms" in client("LATENCY", "DOCTOR")
    second = drive.keyspace.now_ms // 1000
    assert client("LATENCY", "LATEST") == [[b"command", second, 250, 250]]
    assert client("LATENCY", "HISTORY", "command") == [[second, 250]]
    assert client("LATENCY", "RESET") == 1


def test_a_long_command_that_is_given_up_is_closed_and_not_kept() -> None:
    drive = Drive()
    client = drive.connect()
    client("CONFIG", "SET", "slowlog-log-slower-than", "0")
    client("SLOWLOG", "RESET")
    closed = []

    def slices() -> object:
        try:
            while True:
                yield None
        finally:
            closed.append(True)

    steps = clocked._measured(client, COMMANDS[b"KEYS"], [b"KEYS", b"*"], slices(), 0.0, True)  # type: ignore[arg-type]
    next(steps)
    steps.close()
    assert closed == [True]
    assert [entry[3] for entry in client("SLOWLOG", "GET")] == [[b"SLOWLOG", b"RESET"]]
