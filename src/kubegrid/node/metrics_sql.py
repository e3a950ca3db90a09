"""What `/metrics` tells of SQL: calls of the Flight port, statements of the engine, copies in columns. Only what is there.

A scrape makes nothing: a member that nobody asked a statement has no engine and no copies, and says nothing of them.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

if TYPE_CHECKING:
    from kubegrid.node.flight_port import FlightPort
    from kubegrid.node.sql_service import SqlService

OUTCOMES = ("done", "failed", "cancelled", "refused")


def metrics(flight: "FlightPort", service: "SqlService") -> Iterable[Metric]:
    """Everything that there is to say now."""
    yield from _calls(flight)
    engine = service.made("engine")
    if engine is not None:
        yield GaugeMetricFamily("kubegrid_sql_running", "Statements coordinated here that run.", value=engine.running)
        yield GaugeMetricFamily("kubegrid_sql_waiting", "Statements that wait for a place.", value=engine.waiting)
    fragments = service.made("fragments")
    if fragments is not None:
        rows = GaugeMetricFamily("kubegrid_columns_rows", "Rows in the columnar copy of a table.", labels=["table"])
        for copy in fragments.describe():
            rows.add_metric([copy["table"]], copy["rows"])
        yield rows
        told = fragments.statistics()
        yield GaugeMetricFamily(
            "kubegrid_columns_bytes", "Memory of the columnar copies and of what runs on them.", value=told["bytes"]
        )
        yield CounterMetricFamily("kubegrid_columns_built", "Copies built anew.", value=told["builds"])
        yield CounterMetricFamily(
            "kubegrid_columns_changes_applied", "Changed records brought into copies.", value=told["applied"]
        )


def _calls(flight: "FlightPort") -> Iterable[Metric]:
    calls = flight.calls
    if calls is None:
        return
    outcomes = CounterMetricFamily(
        "kubegrid_flight_calls",
        "Calls of Arrow Flight that ended, by kind (statement, fragment, write, other) and outcome.",
        labels=["kind", "outcome"],
    )
    running = GaugeMetricFamily("kubegrid_flight_calls_running", "Calls that run, by kind.", labels=["kind"])
    seconds = CounterMetricFamily("kubegrid_flight_seconds", "Time that calls took, by kind.", labels=["kind"])
    rows = CounterMetricFamily("kubegrid_flight_rows", "Rows answered, or written, by kind.", labels=["kind"])
    for kind, totals in calls.totals.items():
        for outcome in OUTCOMES:
            outcomes.add_metric([kind, outcome], getattr(totals, outcome))
        running.add_metric([kind], totals.running)
        seconds.add_metric([kind], totals.seconds)
        rows.add_metric([kind], totals.rows)
    yield from (outcomes, running, seconds, rows)
