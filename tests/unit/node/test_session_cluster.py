"""What cluster clients learn from CLUSTER, HELLO, INFO and WAIT."""

import pytest
from tests.unit.node.drive import Client, Drive, error_text

from kubegrid.base.ids import Position


@pytest.fixture
def drive() -> Drive:
    return Drive(partitions=3)


def test_slots_name_the_primary_first_and_then_the_backups(client: Client) -> None:
    slots = client("CLUSTER", "SLOTS")
    assert [entry[:2] for entry in slots] == [[0, 5460], [5461, 10922], [10923, 16383]]
    assert [node[:2] for node in slots[0][2:]] == [[b"127.0.0.1", 7000], [b"127.0.0.1", 7001]]
    assert slots[0][2][2] == client("CLUSTER", "MYID")


def test_shards_list_every_member_with_its_health(drive: Drive, client: Client) -> None:
    client.resp = 3
    shards = client("CLUSTER", "SHARDS")
    assert [shard[b"slots"] for shard in shards] == [[0, 5460], [5461, 10922], [10923, 16383]]
    assert [node[b"role"] for node in shards[0][b"nodes"]] == [b"master", b"replica"]
    assert {node[b"health"] for shard in shards for node in shard[b"nodes"]} == {b"online"}


def test_nodes_mark_the_asked_member_and_link_backups_to_their_primary(drive: Drive, client: Client) -> None:
    lines = client("CLUSTER", "NODES").decode().splitlines()
    me, backup = lines[0].split(), lines[1].split()
    assert len(lines) == 4
    assert me[0] == client("CLUSTER", "MYID").decode() == drive.node.run_id
    assert me[1:3] == ["127.0.0.1:7000@9000", "myself,master"] and me[-1] == "0-5460"
    assert backup[2:4] == ["slave", me[0]] and backup[7] == "connected"


def test_a_partition_without_primary_is_not_listed_as_served(drive: Drive, client: Client) -> None:
    drive.topology.records = {m: r for m, r in drive.topology.records.items() if r.partition != 2}
    drive.topology._build(2)
    assert len(client("CLUSTER", "SLOTS")) == 2
    assert "cluster_state:fail" in client("CLUSTER", "INFO").decode()
    assert len(client("CLUSTER", "NODES").decode().splitlines()) == 3


def test_a_member_in_no_configuration_still_finds_itself(drive: Drive, client: Client) -> None:
    drive.topology.partitions[0] = type(drive.topology.partitions[0])(0, 0, [(0, 5460)], None)
    assert "myself,slave" in client("CLUSTER", "NODES").decode()


def test_info_counts(client: Client) -> None:
    text = client("CLUSTER", "INFO").decode()
    for line in (
        "cluster_state:ok",
        "cluster_slots_assigned:16384",
        "cluster_slots_ok:16384",
        "cluster_known_nodes:4",
        "cluster_size:3",
    ):
        assert line in text.splitlines()


def test_keys_of_a_slot(client: Client) -> None:
    client("SET", "{b}1", "x")
    client("SET", "{b}2", "x")
    assert client("CLUSTER", "KEYSLOT", "{b}1") == 3300
    assert client("CLUSTER", "COUNTKEYSINSLOT", "3300") == 2
    assert sorted(client("CLUSTER", "GETKEYSINSLOT", "3300", "10")) == [b"{b}1", b"{b}2"]
    assert len(client("CLUSTER", "GETKEYSINSLOT", "3300", "1")) == 1
    assert client("CLUSTER", "COUNTKEYSINSLOT", "16000") == 0


def test_role_in_greeting_and_info(drive: Drive, client: Client) -> None:
    client("HELLO", "3")
    assert client("HELLO")[b"role"] == b"master"
    assert b"role:master\r\nconnected_slaves:1\r\nslave0:ip=127.0.0.1,port=7001," in client("INFO", "replication")
    drive.become_backup()
    assert client("HELLO")[b"role"] == b"replica"
    assert b"role:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:7001" in client("INFO", "replication")


def test_wait_answers_the_copies_once_all_is_confirmed(drive: Drive, client: Client) -> None:
    assert client("WAIT", "1", "0") == 1
    assert client("WAIT", "0", "0") == 1


def test_wait_for_more_copies_than_there_are_ends_with_the_timeout(drive: Drive, client: Client) -> None:
    assert client("WAIT", "2", "20") == 1


def test_wait_waits_for_what_is_not_confirmed(drive: Drive, client: Client) -> None:
    from kubegrid.node.dispatch import dispatch

    drive.replica.last_seq = 9
    waiting = dispatch(client, [b"WAIT", b"1", b"0"])
    assert not isinstance(waiting, bytes)
    assert next(waiting) is None
    assert isinstance(next(waiting), int)
    drive.replica.commit = Position(1, 9)
    with pytest.raises(StopIteration) as done:
        next(waiting)
    assert done.value.value == b":1\r\n"


def test_wait_ends_when_the_member_is_no_longer_the_primary(drive: Drive, client: Client) -> None:
    from kubegrid.node.dispatch import dispatch

    waiting = dispatch(client, [b"WAIT", b"5", b"0"])
    assert not isinstance(waiting, bytes)
    next(waiting)
    next(waiting)
    drive.become_backup()
    with pytest.raises(StopIteration) as done:
        next(waiting)
    assert done.value.value.startswith(b"-UNBLOCKED")
    assert error_text(client("WAIT", "1", "1")).startswith("ERR WAIT cannot be used with replica instances")
