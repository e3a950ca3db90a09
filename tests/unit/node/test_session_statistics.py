"""INFO and the metrics: what was executed, refused and answered with an error, and how long it took."""

from tests.unit.node.drive import Client, Drive


def info(client: Client, section: str) -> dict[str, str]:
    lines = client("INFO", section).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def words(line: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in line.split(","))


def test_calls_refusals_and_failures_are_counted_apart() -> None:
    client = Drive(partitions=3).connect()
    for request in (
        ["HSET", "{b}h", "f", "v"],
        ["INCR", "{b}h"],
        ["INCR"],
        ["INCR", "{a}"],
        ["INCR", "{b}n"],
        ["NOSUCH"],
    ):
        client(*request)
    stats = {name.removeprefix("cmdstat_"): words(text) for name, text in info(client, "commandstats").items()}
    assert (stats["incr"]["calls"], stats["incr"]["rejected_calls"], stats["incr"]["failed_calls"]) == ("2", "2", "1")
    assert (stats["hset"]["calls"], stats["hset"]["failed_calls"]) == ("1", "0")
    assert float(stats["hset"]["usec_per_call"]) > 0
    errors = info(client, "errorstats")
    assert errors == {"errorstat_ERR": "count=2", "errorstat_MOVED": "count=1", "errorstat_WRONGTYPE": "count=1"}
    assert info(client, "stats")["total_error_replies"] == "4"
    client("CONFIG", "RESETSTAT")
    assert info(client, "errorstats") == {}
    assert "cmdstat_hset" not in info(client, "commandstats")


def test_errors_inside_of_a_transaction_count_too() -> None:
    client = Drive().connect()
    client("SET", "k", "text")
    client("MULTI")
    client("INCR", "k")
    client("EXEC")
    assert info(client, "errorstats") == {"errorstat_ERR": "count=1"}


def test_an_error_that_ends_a_transaction_is_counted_once_as_the_client_gets_it() -> None:
    client = Drive().connect()
    for request in (["MULTI"], ["SET", "{a}", "1"], ["SET", "{b}", "1"], ["EXEC"], ["MULTI"], ["EXEC", "x"]):
        client(*request)
    assert info(client, "errorstats") == {"errorstat_CROSSSLOT": "count=1", "errorstat_EXECABORT": "count=1"}
    assert info(client, "stats")["total_error_replies"] == "2"


def test_every_read_counts_the_keys_that_it_found_and_missed() -> None:
    drive = Drive()
    client = drive.connect()
    client("HSET", "{t}h", "f", "v")
    client("SET", "{t}s", "1", "PX", "1000")

    def counted(*requests: list[str]) -> tuple[str, str]:
        client("CONFIG", "RESETSTAT")
        for request in requests:
            client(*request)
        stats = info(client, "stats")
        return stats["keyspace_hits"], stats["keyspace_misses"]

    assert counted(["GET", "{t}s"], ["GET", "{t}none"], ["SET", "{t}s", "1", "PX", "1000"]) == ("1", "1")
    assert counted(["HGET", "{t}h", "f"], ["HGET", "{t}h", "none"], ["HGETALL", "{t}none"]) == ("2", "1")
    assert counted(["MGET", "{t}s", "{t}none", "{t}h"], ["EXISTS", "{t}h", "{t}h"], ["EXISTS", "{t}x"]) == ("4", "2")
    assert counted(["TTL", "{t}h"], ["TYPE", "{t}x"], ["OBJECT", "ENCODING", "{t}h"], ["DEL", "{t}x"]) == ("2", "1")
    assert counted(["MULTI"], ["HLEN", "{t}h"], ["GET", "{t}x"], ["MGET", "{t}s", "{t}x"], ["EXEC"]) == ("2", "2")
    assert counted(["GET", "{t}h"], ["HGET", "{t}s", "f"], ["GETRANGE", "{t}s", "x", "1"]) == ("2", "0")
    assert counted(["MULTI"], ["GET", "{t}h"], ["GETRANGE", "{t}s", "x", "1"], ["EXEC"]) == ("1", "0")
    assert counted(
        ["SET", "{t}s", "1", "GET"], ["SET", "{t}new", "1", "get", "NX"], ["SET", "{t}s", "1", "KEEPTTL"]
    ) == ("1", "1")
    assert counted(["SET", "{t}h", "1", "GET"], ["SET", "{t}s", "1", "GET", "NX", "XX"]) == ("1", "0")
    assert counted(
        ["COPY", "{t}h", "{t}i"], ["COPY", "{t}h", "{t}i"], ["COPY", "{t}x", "{t}i"], ["COPY", "{t}h", "{t}h"]
    ) == ("2", "1")
    assert counted(["LCS", "{t}h", "{t}x"], ["GETEX", "{t}s", "EX", "0"], ["GETEX", "{t}s", "EX"]) == ("2", "1")
    assert counted(["HSCAN", "{t}h", "0", "COUNT"], ["HSCAN", "{t}h", "x"], ["OBJECT", "FREQ", "{t}h"]) == ("2", "0")
    transaction = (
        ["MULTI"],
        ["COPY", "{t}x", "{t}i"],
        ["SET", "{t}s", "1", "PX", "1000", "GET"],
        ["LCS", "{t}s", "{t}s", "?"],
    )
    assert counted(*transaction, ["EXEC"]) == ("3", "1")
    drive.keyspace.now_ms += 1001
    assert counted(["STRLEN", "{t}s"]) == ("0", "1")
    assert info(client, "stats")["expired_keys"] == "1"
    client("CONFIG", "RESETSTAT")
    assert info(client, "stats")["expired_keys"] == info(client, "stats")["total_connections_received"] == "0"


def test_the_keyspace_tells_how_much_expires_and_when() -> None:
    client = Drive().connect()
    assert info(client, "keyspace") == {}
    client("SET", "a", "1", "PX", "1000")
    client("SET", "b", "1", "PX", "3000")
    client("SET", "c", "1")
    assert info(client, "keyspace") == {"db0": "keys=3,expires=2,avg_ttl=2000"}


def test_a_replica_of_redis_is_described_by_the_fields_that_clients_read() -> None:
    drive = Drive(partitions=3)
    client = drive.connect()
    primary = info(client, "replication")
    assert (primary["role"], primary["connected_slaves"]) == ("master", "1")
    assert words(primary["slave0"]) == {"ip": "127.0.0.1", "port": "7001", "state": "online", "offset": "7", "lag": "0"}
    assert client("ROLE") == [b"master", 7, [[b"127.0.0.1", b"7001", b"7"]]]
    drive.become_backup()
    backup = info(client, "replication")
    assert (backup["role"], backup["master_host"], backup["master_port"]) == ("slave", "127.0.0.1", "7001")
    assert (backup["master_link_status"], backup["master_sync_in_progress"]) == ("up", "0")
    assert client("ROLE") == [b"slave", b"127.0.0.1", 7001, b"connected", 7]


def test_the_backups_of_a_primary_by_its_number() -> None:
    client = Drive(partitions=3).connect()
    (line,) = client("CLUSTER", "REPLICAS", client("CLUSTER", "MYID").decode())
    fields = line.decode().split()
    assert fields[1].startswith("127.0.0.1:7001@") and fields[2] == "slave"
    assert fields[3].encode() == client("CLUSTER", "MYID")
    assert str(client("CLUSTER", "REPLICAS", fields[0])) == "ERR The specified node is not a master"
    (same,) = client("CLUSTER", "SLAVES", client("CLUSTER", "MYID").decode())
    heard_ms = 5  # the place of a time: a millisecond may pass between the two questions
    assert same.decode().split()[:heard_ms] == fields[:heard_ms]
    assert same.decode().split()[heard_ms + 1 :] == fields[heard_ms + 1 :]


def test_members_report_no_failures_and_there_is_no_bus_between_them() -> None:
    client = Drive(partitions=3).connect()
    for line in client("CLUSTER", "NODES").decode().splitlines():
        assert client("CLUSTER", "COUNT-FAILURE-REPORTS", line.split()[0]) == 0
    assert client("CLUSTER", "LINKS") == []
