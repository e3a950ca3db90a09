"""INFO and TIME: what this member is and how it does, in the words that Redis tools expect.

Fields that Redis has and this server has no counterpart for are left out, save those that common tools refuse to do
without. `redis_version` names the version whose behaviour clients may expect, `kubegrid_version` ours.
"""

import os
import resource
import sys
import time
from collections.abc import Callable

from kubegrid.base.process_memory import process_memory
from kubegrid.node import session_statistics
from kubegrid.node.context import REDIS_VERSION, NodeContext, Session
from kubegrid.node.session_statistics import Fields
from kubegrid.replication import Role
from kubegrid.wire import resp


def _human(number: float) -> str:
    """Bytes as INFO shows them to people: `1.50M`."""
    for unit in ("B", "K", "M", "G"):
        if number < 1024:
            return f"{number:.2f}{unit}" if unit != "B" else f"{int(number)}B"
        number /= 1024
    return f"{number:.2f}T"


def _server(node: NodeContext) -> Fields:
    uptime_s = int(time.time() - node.started_at)
    system = os.uname()
    return {
        "redis_version": REDIS_VERSION,
        "kubegrid_version": node.version,
        "redis_git_sha1": "00000000",
        "redis_git_dirty": 0,
        "redis_build_id": node.run_id[:16],
        "redis_mode": "cluster",
        "os": f"{system.sysname} {system.release} {system.machine}",
        "arch_bits": 64,
        "python_version": sys.version.split()[0],
        "process_id": os.getpid(),
        "run_id": node.run_id,
        "tcp_port": node.topology.me.port,
        "server_time_usec": time.time_ns() // 1000,
        "uptime_in_seconds": uptime_s,
        "uptime_in_days": uptime_s // 86400,
        "executable": sys.executable,
        "config_file": "",
        "io_threads_active": 0,
        "kubegrid_grid": node.grid,
        "kubegrid_member": node.name,
    }


def _clients(node: NodeContext) -> Fields:
    return {
        "connected_clients": len(node.sessions),
        "cluster_connections": 0,
        "maxclients": node.client_settings.clients_max,
        "blocked_clients": len(node.blocked) + len(node.held_back),
        "tracking_clients": 0,
    }


def _memory(node: NodeContext) -> Fields:
    keyspace = node.keyspace
    resident = process_memory().resident_bytes
    peak = max(node.rates.peak_bytes, keyspace.used_bytes)
    return {
        "used_memory": keyspace.used_bytes,
        "used_memory_human": _human(keyspace.used_bytes),
        "used_memory_rss": resident,
        "used_memory_rss_human": _human(resident),
        "used_memory_peak": peak,
        "used_memory_peak_human": _human(peak),
        "used_memory_peak_perc": f"{100 * keyspace.used_bytes / max(1, peak):.2f}%",
        "used_memory_dataset": keyspace.used_bytes,
        "total_system_memory": node.memory_bytes,
        "total_system_memory_human": _human(node.memory_bytes),
        "used_memory_lua": 0,
        "used_memory_lua_human": _human(0),
        "used_memory_scripts_eval": 0,
        "used_memory_scripts": 0,
        "used_memory_scripts_human": _human(0),
        "number_of_cached_scripts": 0,
        "number_of_functions": 0,
        "number_of_libraries": 0,
        "maxmemory": keyspace.limit_bytes,
        "maxmemory_human": _human(keyspace.limit_bytes),
        "maxmemory_policy": "noeviction",
        "mem_fragmentation_ratio": f"{resident / max(1, keyspace.used_bytes):.2f}",
        "mem_fragmentation_bytes": resident - keyspace.used_bytes,
        "mem_not_counted_for_evict": 0,
        "mem_aof_buffer": 0,
        "active_defrag_running": 0,
        "lazyfree_pending_objects": len(keyspace.garbage),
    }


def _persistence(node: NodeContext) -> Fields:
    return {
        "loading": int(node.replica.role is Role.JOINING),
        "async_loading": 0,
        "rdb_changes_since_last_save": node.keyspace.dirty,
        "rdb_bgsave_in_progress": 0,
        "rdb_saves": 0,
        "aof_enabled": 0,
        "aof_rewrite_in_progress": 0,
        "aof_rewrite_scheduled": 0,
        "module_fork_in_progress": 0,
        "module_fork_last_cow_size": 0,
    }


def _replication(node: NodeContext) -> Fields:
    replica = node.replica
    topology = node.topology
    partition = next((p for p in topology.partitions if p.id == getattr(topology.me, "partition", -1)), None)
    fields: Fields = {}
    if replica.role is Role.PRIMARY:
        backups = [] if partition is None else list(partition.backups)
        fields["role"] = "master"
        fields["connected_slaves"] = len(backups)
        for number, member in enumerate(backups):
            fields[f"slave{number}"] = f"ip={member.host},port={member.port},state=online,offset={member.commit},lag=0"
    else:
        primary = None if partition is None else partition.primary
        fields["role"] = "slave"
        fields["master_host"] = "" if primary is None else primary.host
        fields["master_port"] = 0 if primary is None else primary.port
        fields["master_link_status"] = "up" if replica.role is Role.BACKUP else "down"
        fields["master_last_io_seconds_ago"] = 0 if replica.role is Role.BACKUP else -1
        fields["master_sync_in_progress"] = int(replica.role is Role.JOINING)
        fields["slave_read_repl_offset"] = replica.last_seq
        fields["slave_repl_offset"] = replica.commit.seq
        fields["slave_priority"] = 100
        fields["replica_announced"] = 1
        fields["slave_read_only"] = 1
        fields["connected_slaves"] = 0
    fields["master_failover_state"] = "no-failover"
    fields["master_replid"] = node.run_id
    fields["master_replid2"] = "0" * 40
    fields["master_repl_offset"] = replica.commit.seq
    fields["second_repl_offset"] = -1
    fields["repl_backlog_active"] = 0
    fields["kubegrid_role"] = replica.role.value
    fields["kubegrid_epoch"] = replica.epoch
    fields["kubegrid_in_sync"] = 0 if replica.configuration is None else len(replica.configuration.in_sync)
    return fields


def _cpu(node: NodeContext) -> Fields:
    """INFO is answered in the thread that serves the clients: Redis's main one."""
    fields: Fields = {}
    for suffix, who in (("", "RUSAGE_SELF"), ("_children", "RUSAGE_CHILDREN"), ("_main_thread", "RUSAGE_THREAD")):
        if hasattr(resource, who):  # threads are counted on Linux only
            usage = resource.getrusage(getattr(resource, who))
            fields[f"used_cpu_sys{suffix}"] = f"{usage.ru_stime:.6f}"
            fields[f"used_cpu_user{suffix}"] = f"{usage.ru_utime:.6f}"
    return fields


def _cluster(node: NodeContext) -> Fields:
    return {"cluster_enabled": 1}


_SECTIONS: dict[str, Callable[[NodeContext], Fields]] = {
    "Server": _server,
    "Clients": _clients,
    "Memory": _memory,
    "Persistence": _persistence,
    "Stats": session_statistics.stats,
    "Replication": _replication,
    "CPU": _cpu,
    "Modules": lambda node: {},
    "Commandstats": session_statistics.commandstats,
    "Errorstats": session_statistics.errorstats,
    "Cluster": _cluster,
    "Keyspace": session_statistics.keyspace,
}
_ONLY_WHEN_ASKED = {"Commandstats"}
_EVERYTHING = {b"all", b"everything"}


def _info(session: Session, args: list[bytes]) -> bytes:
    wanted = {word.lower() for word in args[1:]} or {b"default"}
    texts: list[str] = []
    for title, section in _SECTIONS.items():
        by_default = b"default" in wanted and title not in _ONLY_WHEN_ASKED
        if by_default or wanted & _EVERYTHING or title.lower().encode() in wanted:
            fields = section(session.node)
            texts.append(f"# {title}\r\n" + "".join(f"{name}:{value}\r\n" for name, value in fields.items()))
    return resp.verbatim("\r\n".join(texts).encode(), session.resp == 3)


def _time(session: Session, args: list[bytes]) -> bytes:
    now_us = time.time_ns() // 1000
    return resp.array_of_bulks([b"%d" % (now_us // 1_000_000), b"%d" % (now_us % 1_000_000)])


HANDLERS = {
    "info": _info,
    "time": _time,
}
