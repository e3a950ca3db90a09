"""Rules for the whole suite: with KUBEGRID_NO_SKIPS set, as `.ci/run` does, a skipped test fails the run."""

import gc
import os

import pytest

_skipped: list[str] = []


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
