"""Rules for the whole suite: with KUBEGRID_NO_SKIPS set, as `.ci/run` does, a skipped test fails the run.

Examples of hypothesis are the same in every run, and no example has a time: what CI finds is then what everybody finds. Who
looks for something new runs `pytest --hypothesis-profile=searching tests/fuzz`, as often as one likes.
"""

import gc
import os
import signal

import hypothesis
import pytest

_untimed = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("steady", derandomize=True, **_untimed)
hypothesis.settings.register_profile("searching", derandomize=False, **_untimed)
hypothesis.settings.load_profile("steady")

_skipped: list[str] = []

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job, and so every process that it starts, is deaf to Ctrl-C, which tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A module that skips itself (because a program that it wants is not there) has no test that could report it."""
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if os.environ.get("KUBEGRID_NO_SKIPS") and _skipped and not hasattr(session.config, "workerinput"):
        print(f"\nskipped although this run installs what the tests need: {', '.join(sorted(set(_skipped)))}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Pods that ran in this process have frozen what they found. Frozen, it is never freed, and DuckDB complains at the end."""
    gc.unfreeze()
    gc.collect()
