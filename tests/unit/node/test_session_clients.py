"""CLIENT, CONFIG, INFO and MEMORY: what a client learns and changes about itself, the others and the member."""

import pytest
from tests.unit.node.drive import Client, Drive, error_text

from kubegrid.node.dispatch import dispatch
from kubegrid.node.session_clients import CLIENTS_A_SLICE


def fields(line: bytes) -> dict[str, str]:
    return dict(word.split("=", 1) for word in line.decode().split())


def test_a_line_of_the_list_says_who_a_client_is(drive: Drive, client: Client) -> None:
    other = drive.connect()
    other("CLIENT", "SETNAME", "worker")
    other("CLIENT", "SETINFO", "LIB-NAME", "redis-py")
    other("CLIENT", "SETINFO", "lib-ver", "5.0")
    other("HELLO", "3")
    other("MULTI")
    lines = [fields(line) for line in client("CLIENT", "LIST").splitlines()]
    assert [line["id"] for line in lines] == ["1", "2"]
    assert (lines[1]["name"], lines[1]["lib-name"], lines[1]["lib-ver"]) == ("worker", "redis-py", "5.0")
    assert (lines[1]["resp"], lines[1]["multi"], lines[1]["flags"]) == ("3", "0", "x")
    assert fields(client("CLIENT", "INFO"))["cmd"] == "client|info"
    assert [fields(x)["id"] for x in client("CLIENT", "LIST", "ID", "2", "7").splitlines()] == ["2"]


def test_library_names_without_blanks_only(client: Client) -> None:
    assert error_text(client("CLIENT", "SETINFO", "lib-name", "a b")).startswith("ERR lib-name cannot contain spaces")
    assert error_text(client("CLIENT", "SETINFO", "lib-color", "red")) == "ERR Unrecognized option 'lib-color'"


def test_what_clients_try_at_connecting_is_refused_command_by_command(client: Client) -> None:
    """go-redis and node-redis go on without being told of maintenance, rueidis says that its cache is to be switched off,
    and Redisson that there are no channels: by the error's beginning."""
    client("HELLO", "3")
    told = error_text(client("CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type", "external-ip"))
    assert told.startswith("ERR unknown subcommand 'MAINT_NOTIFICATIONS'")
    assert (
        error_text(client("CLIENT", "TRACKING", "ON", "OPTIN"))
        == "ERR CLIENT TRACKING ON is not supported by this server"
    )
    for words in (
        ["PUBSUB", "NUMPAT"],
        ["SUBSCRIBE", "channel"],
        ["EVALSHA", "0" * 40, "0"],
        ["SCRIPT", "LOAD", "return 1"],
    ):
        assert error_text(client(*words)).startswith(f"ERR unknown command '{words[0]}'")
    assert client("PING") == b"PONG"
    assert not client.closed and not client.close_after_reply


def test_very_many_clients_are_listed_in_slices(drive: Drive, client: Client) -> None:
    for _ in range(2 * CLIENTS_A_SLICE):
        drive.connect()
    listing = dispatch(client, [b"CLIENT", b"LIST"])
    assert not isinstance(listing, bytes)
    assert len(list(listing)) == 2
    assert client("CLIENT", "LIST").count(b"\n") == 2 * CLIENTS_A_SLICE + 1


def test_killing_by_address_number_and_type(drive: Drive, client: Client) -> None:
    others = [drive.connect() for _ in range(4)]
    assert client("CLIENT", "KILL", others[0].peer) == b"OK"
    assert client("CLIENT", "KILL", "ID", others[1].id) == 1
    assert client("CLIENT", "KILL", "ADDR", others[2].peer, "LADDR", "1.1.1.1:1") == 0
    assert client("CLIENT", "KILL", "TYPE", "normal") == 2
    assert [other.closed for other in others] == [True] * 4
    assert not client.close_after_reply
    assert client("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no") == 1
    assert client.close_after_reply and not client.closed


def test_a_killed_client_leaves_no_watch(drive: Drive, client: Client) -> None:
    other = drive.connect()
    other("WATCH", "a")
    client("CLIENT", "KILL", "ID", other.id)
    assert drive.keyspace.watched == {}


def test_replies_can_be_switched_off_and_skipped(client: Client) -> None:
    assert client.raw("CLIENT", "REPLY", "SKIP") == b"" and client.reply_mode == "skip-next"
    assert client.raw("CLIENT", "REPLY", "OFF") == b"" and client.reply_mode == "off"
    assert client.raw("CLIENT", "REPLY", "SKIP") == b"" and client.reply_mode == "off"
    assert client("CLIENT", "REPLY", "ON") == b"OK" and client.reply_mode == "on"


def test_reset_brings_back_the_first_state(drive: Drive, client: Client) -> None:
    client("HELLO", "3", "SETNAME", "x")
    client("READONLY")
    client("WATCH", "k")
    client("MULTI")
    assert client("RESET") == b"RESET"
    assert (client.resp, client.name, client.readonly, client.multi, client.watching) == (2, b"", False, None, None)


def test_settings_that_can_be_set_take_effect_and_all_or_none(drive: Drive, client: Client) -> None:
    assert client("CONFIG", "SET", "maxclients", "77") == b"OK"
    assert drive.node.client_settings.clients_max == 77
    assert error_text(client("CONFIG", "SET", "maxclients", "78", "maxmemory-policy", "allkeys-lru"))
    assert client("CONFIG", "GET", "maxclients") == [b"maxclients", b"77"]
    assert len(client("CONFIG", "GET", "*")) == 2 * len(set(client("CONFIG", "GET", "*")[::2]))


def test_info_has_the_sections_asked_for(drive: Drive, client: Client) -> None:
    everything = client("INFO").decode()
    for line in ("redis_version:7.0.15", "redis_mode:cluster", "cluster_enabled:1", "role:master"):
        assert line in everything.splitlines()
    assert "kubegrid_version:" in everything and "cmdstat_" not in everything
    assert client("INFO", "server", "cluster").decode().split("\r\n\r\n")[1].startswith("# Cluster")
    client("SET", "a", "1", "EX", "100")
    client("SET", "b", "1")
    assert b"db0:keys=2,expires=1" in client("INFO", "keyspace")
    assert b"cmdstat_set:calls=2" in client("INFO", "commandstats")
    client("foo")
    assert b"errorstat_ERR:count=1" in client("INFO", "errorstats")
    client("CONFIG", "RESETSTAT")
    assert b"cmdstat_set" not in client("INFO", "all")


def test_memory_usage_grows_with_the_value(client: Client) -> None:
    client("SET", "small", "x")
    client("SET", "large", "x" * 1000)
    client("HSET", "hash", "f", "v")
    small, large = client("MEMORY", "USAGE", "small"), client("MEMORY", "USAGE", "large")
    assert large - small == 999
    assert client("MEMORY", "USAGE", "hash", "SAMPLES", "0") > small
    assert client("MEMORY", "USAGE", "nope") is None


def test_maxmemory_can_be_lowered_and_taken_back() -> None:
    drive = Drive(limit_bytes=1 << 30)
    client = drive.connect()
    assert client("CONFIG", "SET", "maxmemory", "1kb") == b"OK"
    assert client("CONFIG", "GET", "maxmemory") == [b"maxmemory", b"1024"]
    assert client("SET", "a", "x" * 2000) == b"OK"
    assert error_text(client("SET", "b", "x")).startswith("OOM")
    drive.keyspace.set_limit(1 << 29, drive.keyspace.chosen_limit_bytes)
    assert error_text(client("SET", "b", "x")).startswith("OOM")
    assert client("CONFIG", "SET", "maxmemory", "0") == b"OK"
    assert client("SET", "b", "x") == b"OK"
    assert client("CONFIG", "SET", "maxmemory", "100gb") == b"OK"
    assert client("CONFIG", "GET", "maxmemory") == [b"maxmemory", str(1 << 29).encode()]
    assert "memory value" in error_text(client("CONFIG", "SET", "maxmemory", "much"))


@pytest.mark.parametrize(
    "container", ["CLIENT", "COMMAND", "CONFIG", "MEMORY", "CLUSTER", "OBJECT", "SLOWLOG", "LATENCY", "ACL", "MODULE"]
)
def test_help_is_a_list_of_lines(client: Client, container: str) -> None:
    lines = client(container, "HELP")
    assert lines[0].startswith(container.encode() + b" <subcommand>")
    assert b"HELP" in lines


READS = (
    "GET k,STRLEN k,GETRANGE k 0 1,MGET k,EXISTS k,SUBSTR k 0 1,LCS k k,HGET h f,HGETALL h,HSCAN h 0,"
    "MULTI; GET k; HGET h f; EXEC,WATCH k; UNWATCH"
)


@pytest.mark.parametrize("line", READS.split(","))
def test_reads_of_a_client_that_does_not_touch_leave_idle_times_alone(line: str) -> None:
    drive = Drive()
    client, other = drive.connect(), drive.connect()
    other("SET", "k", "v")
    other("HSET", "h", "f", "v")
    client("CLIENT", "NO-TOUCH", "ON")
    drive.keyspace.now_ms += 5000
    for request in line.split("; "):
        client(*request.split())
    assert [other("OBJECT", "IDLETIME", key) for key in ("k", "h")] == [5, 5]


def test_touch_and_writes_and_what_comes_after_off_count_as_use() -> None:
    drive = Drive()
    client = drive.connect()
    client("SET", "k", "v")
    client("CLIENT", "NO-TOUCH", "ON")
    for lines in ("TOUCH k", "SET k v", "MULTI; TOUCH k; EXEC", "CLIENT NO-TOUCH OFF; GET k"):
        drive.keyspace.now_ms += 5000
        for request in lines.split("; "):
            client(*request.split())
        assert client("OBJECT", "IDLETIME", "k") == 0, lines


def test_the_lines_of_clients_tell_what_each_holds_of_the_memory(drive: Drive) -> None:
    def line(number: int) -> dict[str, str]:
        text = asking("CLIENT", "LIST", "ID", number).decode()
        return dict(word.split("=", 1) for word in text.split())

    asking, other = drive.connect(), drive.connect()
    idle = line(other.id)
    assert (idle["omem"], idle["oll"], idle["events"], idle["argv-mem"]) == ("0", "0", "r", "0")
    other.unread = 70_000
    slow = line(other.id)
    assert (slow["omem"], slow["oll"], slow["events"]) == ("70000", "1", "rw")
    assert int(slow["tot-mem"]) - int(idle["tot-mem"]) == 70_000
    assert int(line(asking.id)["argv-mem"]) == len("CLIENTLISTID") + len(str(asking.id))
