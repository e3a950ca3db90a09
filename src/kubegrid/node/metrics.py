"""What `/metrics` tells Prometheus: read from the running parts when asked, nothing is counted twice.

Not here: any bookkeeping. Each number belongs to the part that makes it (`turn`, `member`, `housekeeping`, `context`).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from kubegrid.node import metrics_sql
from kubegrid.node.turn import LATENCY_BOUNDS_MS
from kubegrid.replication import Role

if TYPE_CHECKING:
    from kubegrid.node.context import NodeContext
    from kubegrid.node.flight_port import FlightPort
    from kubegrid.node.housekeeping import Housekeeping
    from kubegrid.node.member import MemberDriver
    from kubegrid.node.server import RespServer
    from kubegrid.node.sql_service import SqlService
    from kubegrid.node.turn import Turn


class NodeMetrics(Collector):
    """One scrape's worth of everything."""

    def __init__(
        self,
        member: "MemberDriver",
        turn: "Turn",
        node: "NodeContext",
        server: "RespServer",
        housekeeping: "Housekeeping",
        flight: "FlightPort",
        sql: "SqlService",
    ) -> None:
        self.member = member
        self.turn = turn
        self.node = node
        self.server = server
        self.housekeeping = housekeeping
        self.flight = flight
        self.sql = sql
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def collect(self) -> Iterable[Metric]:
        member = self.member
        info = GaugeMetricFamily(
            "kubegrid_member_info",
            "Who this member is; always 1.",
            labels=["grid", "member", "partition", "incarnation", "role", "version"],
        )
        info.add_metric(
            [
                self.node.grid,
                member.me.name,
                str(member.config.partition),
                member.me.incarnation,
                member.role_name,
                self.node.version,
            ],
            1,
        )
        yield info
        yield from self._operations()
        yield from self._tables()
        yield from self._replication()
        yield from self._process()
        yield from metrics_sql.metrics(self.flight, self.sql)

    def _operations(self) -> Iterable[Metric]:
        turn = self.turn
        operations = CounterMetricFamily("kubegrid_operations", "Commands executed, by name.", labels=["command"])
        for name, count in sorted(self.node.operations.items()):
            if count:
                operations.add_metric([name], count)
        yield operations
        latency = HistogramMetricFamily(
            "kubegrid_operation_latency_seconds", "From the execution of a command to the leaving of its reply."
        )
        buckets: list[tuple[str, float]] = []
        total = 0
        for bound_ms, count in zip(LATENCY_BOUNDS_MS, turn.latency_counts, strict=False):
            total += count
            buckets.append((str(bound_ms / 1000), total))
        buckets.append(("+Inf", sum(turn.latency_counts)))
        latency.add_metric([], buckets, turn.latency_sum_ms / 1000)
        yield latency
        refused = CounterMetricFamily(
            "kubegrid_operations_refused", "Commands that were not executed, by name.", labels=["command"]
        )
        failed = CounterMetricFamily(
            "kubegrid_operations_failed", "Commands executed and answered with an error, by name.", labels=["command"]
        )
        for name, statistics in sorted(self.node.statistics.items()):
            if statistics.refused:
                refused.add_metric([name], statistics.refused)
            if statistics.failed:
                failed.add_metric([name], statistics.failed)
        yield refused
        yield failed
        yield _gauge("kubegrid_connections", "Clients connected.", len(self.node.sessions))
        yield _counter("kubegrid_connections_accepted", "Clients accepted.", self.server.accepted)
        yield _counter("kubegrid_connections_refused", "Clients refused for being too many.", self.server.refused)
        yield _counter(
            "kubegrid_requests_timed_out", "Connections closed for want of a confirmation.", self.housekeeping.timed_out
        )
        yield _counter(
            "kubegrid_connections_crowded_out",
            "Connections closed because the member had no memory for what they held.",
            self.housekeeping.crowded_out,
        )

    def _tables(self) -> Iterable[Metric]:
        keyspace = self.turn.keyspace
        records = GaugeMetricFamily("kubegrid_records", "Records held, by table.", labels=["table"])
        for table in keyspace.tables.by_id.values():
            records.add_metric([table.name], keyspace.tables.counts.get(table.id, 0))
        yield records
        yield _gauge(
            "kubegrid_catalog_version", "Version of the catalog of tables that holds.", keyspace.catalog.version
        )
        yield _gauge("kubegrid_waiting_takers", "Clients that wait for a record.", len(self.node.waiters))
        takers = self.node.takers
        taken = 0 if takers is None else takers.taken
        yield _counter("kubegrid_records_taken_after_waiting", "Records that waiting clients got.", taken)
        requests = keyspace.requests
        yield _gauge(
            "kubegrid_request_clients", "Clients whose numbered requests are remembered.", len(requests.clients)
        )
        yield _gauge("kubegrid_request_bytes", "Bytes of remembered replies, counted.", requests.used_bytes)

    def _replication(self) -> Iterable[Metric]:
        member = self.member
        replica = member.replica
        configuration = replica.configuration
        in_sync = len(configuration.in_sync) if configuration else 0
        yield _gauge("kubegrid_epoch", "Epoch of the newest known configuration.", replica.epoch)
        yield _gauge("kubegrid_in_sync_members", "Members of the in-sync set, as known here.", in_sync)
        yield _gauge("kubegrid_primary", "1 on the primary.", int(replica.role is Role.PRIMARY))
        yield _gauge("kubegrid_serving", "1 while this member serves as a primary with its leases.", int(member.open()))
        yield _gauge("kubegrid_log_position", "Sequence number of the log's end.", replica.last_seq)
        yield _gauge("kubegrid_commit_position", "Sequence number of the commit point.", replica.commit.seq)
        yield _gauge(
            "kubegrid_commit_lag_entries",
            "Entries executed and not yet confirmed (primary), or staged (backup).",
            max(0, replica.last_seq - replica.commit.seq),
        )
        yield _gauge(
            "kubegrid_commit_lag_seconds", "Age of the oldest unconfirmed reply.", self.turn.oldest_pending_ms() / 1000
        )
        yield _gauge(
            "kubegrid_replication_backlog_bytes", "Entries not yet confirmed, in bytes.", replica.backlog_bytes
        )
        yield _counter("kubegrid_failovers", "Times this member became primary.", member.promotions)
        events = CounterMetricFamily(
            "kubegrid_replication_events", "Rules and events of the protocol.", labels=["event"]
        )
        for name, count in sorted(replica.stats.items()):
            events.add_metric([name], count)
        yield events

    def _process(self) -> Iterable[Metric]:
        keyspace = self.turn.keyspace
        memory = self.housekeeping.memory
        watch = self.housekeeping.loop_watch
        yield _gauge("kubegrid_keys", "Keys held.", keyspace.key_count)
        yield _gauge("kubegrid_memory_used_bytes", "Counted bytes of records.", keyspace.used_bytes)
        yield _gauge("kubegrid_memory_limit_bytes", "Counted bytes at which writes are refused.", keyspace.limit_bytes)
        yield _gauge("kubegrid_memory_resident_bytes", "Resident size of the process.", memory.rss_bytes)
        yield _gauge("kubegrid_memory_total_bytes", "The member's whole memory.", memory.memory_bytes)
        yield _gauge(
            "kubegrid_loop_turn_longest_seconds", "Longest turn of the serving loop, recently.", watch.longest_ms / 1000
        )
        yield _counter(
            "kubegrid_busy_wait_seconds",
            "Time that the serving loop looked for what comes next.",
            self.turn.looking.spent_s,
        )
        yield _counter("kubegrid_keys_expired", "Keys deleted by active expiry.", self.housekeeping.expired)
        yield _counter("kubegrid_keyspace_hits", "Reads that found their key.", self.node.hits)
        yield _counter("kubegrid_keyspace_misses", "Reads that did not.", self.node.misses)
        yield _gauge("kubegrid_start_time_seconds", "When the member started, in Unix time.", self.node.started_at)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)
