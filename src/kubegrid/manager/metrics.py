"""The manager's metrics for Prometheus, made at the moment of asking: nothing is counted twice, nothing grows stale."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kubegrid.manager.operations import Operations


class _Grid(Collector):
    def __init__(self, operations: Operations) -> None:
        self.operations = operations

    def collect(self) -> Iterator[Metric]:
        grid = self.operations.grid
        coordinator = grid.coordinator
        yield _gauge("kubegrid_manager_members", "Members whose lease runs.", len(grid.lookup.entries))
        yield _gauge("kubegrid_manager_links", "Links of members and tools.", len(grid.sessions.all))
        yield _gauge(
            "kubegrid_manager_catalog_version", "Version of the catalog of tables.", grid.catalog.stored.version
        )
        yield _gauge(
            "kubegrid_manager_coordinator_ok", "1 while the coordinator reads and writes.", coordinator.state == "ok"
        )
        yield _gauge(
            "kubegrid_manager_commit_slowest_seconds",
            "Slowest durable commit since the start.",
            coordinator.slowest_commit_ms / 1000,
        )
        for name, text, value in (
            ("kubegrid_manager_commits", "Durable commits of the coordinator.", coordinator.commits),
            ("kubegrid_manager_writes", "Changes made by these commits.", coordinator.writes),
        ):
            counter = CounterMetricFamily(name, text)
            counter.add_metric([], value)
            yield counter
        epochs = GaugeMetricFamily("kubegrid_partition_epoch", "Epoch of the configuration.", labels=["partition"])
        in_sync = GaugeMetricFamily("kubegrid_partition_in_sync", "Members in sync.", labels=["partition"])
        serving = GaugeMetricFamily("kubegrid_partition_serving", "1 with a serving primary.", labels=["partition"])
        for partition in self.operations.partitions():
            label = [str(partition["id"])]
            epochs.add_metric(label, partition["epoch"])
            in_sync.add_metric(label, len(partition["in_sync"]))
            serving.add_metric(label, partition["state"] == "serving")
        yield from (epochs, in_sync, serving)


def metrics(operations: Operations) -> CollectorRegistry:
    """A registry for one scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Grid(operations))
    return registry


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))
