"""What INFO tells of the time just past."""

from tests.unit.node.drive import Drive

from kubegrid.node.session_rates import SAMPLES, Rates


def info(drive: Drive, section: str) -> dict[str, str]:
    lines = drive.connect()("INFO", section).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def test_commands_a_second_are_those_of_the_last_intervals() -> None:
    now = 100.0
    rates = Rates(lambda: now)
    commands = 0
    for a_second in (1000, 20):
        for _ in range(SAMPLES + 1):
            rates.look(0, commands)
            now += 0.1
            commands += a_second // 10
        assert rates.commands_per_second == a_second
    rates.look(0, 5)
    assert rates.commands_per_second == 0, "the counters began anew"


def test_the_most_memory_that_was_seen_in_use_is_told() -> None:
    drive = Drive()
    client = drive.connect()
    client("SET", "k", "x" * 10_000)
    drive.node.look_at_rates()
    client("DEL", "k")
    told = info(drive, "memory")
    assert int(told["used_memory_peak"]) > 10_000 > int(told["used_memory"])
    assert told["used_memory_peak_perc"] == f"{100 * int(told['used_memory']) / int(told['used_memory_peak']):.2f}%"
    client("SET", "k", "x" * 20_000)
    assert info(drive, "memory")["used_memory_peak_perc"] == "100.00%"
