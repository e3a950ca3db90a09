"""What `dispatch` refuses, in which order, and in which words."""

import pytest
from tests.unit.node.drive import Client, Drive, error_text

from kubegrid.base.settings import MIB, StoreSettings
from kubegrid.node.topology import PartitionView
from kubegrid.replication import Role


@pytest.fixture
def drive() -> Drive:
    return Drive(partitions=3)


HERE = "{b}"  # slot 3300, partition 0 of 3
THERE = "{a}"  # slot 15495, partition 2 of 3


def test_an_unknown_command_is_named_with_the_beginning_of_its_arguments(client: Client) -> None:
    assert client.raw("foo", "a", "b") == b"-ERR unknown command 'foo', with args beginning with: 'a' 'b' \r\n"
    assert client.raw("Foo") == b"-ERR unknown command 'Foo', with args beginning with: \r\n"
    text = client.raw("foo", "x" * 200, "y")
    assert text == b"-ERR unknown command 'foo', with args beginning with: '" + b"x" * 128 + b"' \r\n"


@pytest.mark.parametrize("line", [("POST", "/", "HTTP/1.1"), ("host:", "localhost")])
def test_the_head_of_a_web_request_closes_the_connection_unanswered(client: Client, line: tuple[str, ...]) -> None:
    assert client.raw(*line) == b""
    assert client.close_after_reply


def test_line_breaks_in_an_unknown_command_cannot_break_the_reply(client: Client) -> None:
    assert error_text(client(b"fo\r\no", b"a\nb")).startswith("ERR unknown command 'fo  o'")


def test_names_are_found_in_any_case(client: Client) -> None:
    assert client.raw("pInG") == client.raw("PING") == client.raw("ping") == b"+PONG\r\n"
    assert client("cLIENT", "iD") == client.id


def test_an_unknown_subcommand_names_the_way_to_help(client: Client) -> None:
    assert client.raw("client", "foo") == b"-ERR unknown subcommand 'foo'. Try CLIENT HELP.\r\n"


def test_the_number_of_arguments_is_checked_for_commands_and_subcommands(client: Client) -> None:
    assert client.raw("GET") == b"-ERR wrong number of arguments for 'get' command\r\n"
    assert client.raw("client") == b"-ERR wrong number of arguments for 'client' command\r\n"
    assert client.raw("CLIENT", "ID", "x") == b"-ERR wrong number of arguments for 'client|id' command\r\n"


def test_keys_of_different_slots_are_refused_before_the_owner_is_looked_for(client: Client) -> None:
    assert client.raw("MGET", HERE, THERE) == b"-CROSSSLOT Keys in request don't hash to the same slot\r\n"
    assert client("MGET", HERE + "1", HERE + "2") == [None, None]


def test_a_slot_of_another_partition_is_answered_with_its_primary(client: Client) -> None:
    assert client.raw("GET", THERE) == b"-MOVED 15495 127.0.0.1:7004\r\n"
    assert client.raw("WATCH", THERE) == b"-MOVED 15495 127.0.0.1:7004\r\n"


def test_a_slot_whose_partition_has_no_known_primary_is_not_served(drive: Drive, client: Client) -> None:
    drive.topology.records = {m: r for m, r in drive.topology.records.items() if r.partition != 2}
    drive.topology._build(2)
    assert client.raw("GET", THERE) == b"-CLUSTERDOWN Hash slot not served\r\n"


def test_a_primary_without_its_lease_executes_nothing_that_touches_data(drive: Drive, client: Client) -> None:
    drive.turn.open_gate = False
    assert client.raw("GET", HERE) == b"-CLUSTERDOWN The cluster is down\r\n"
    assert client.raw("DBSIZE") == b"-CLUSTERDOWN The cluster is down\r\n"
    assert client.raw("PING") == b"+PONG\r\n"
    assert client.raw("GET", THERE) == b"-MOVED 15495 127.0.0.1:7004\r\n"


def test_a_backup_points_to_the_primary_unless_the_client_allowed_old_reads(drive: Drive, client: Client) -> None:
    client("SET", HERE, "x")
    drive.become_backup()
    assert client.raw("GET", HERE) == b"-MOVED 3300 127.0.0.1:7001\r\n"
    assert client("READONLY") == b"OK"
    assert client("GET", HERE) == b"x"
    assert client.raw("SET", HERE, "y") == b"-MOVED 3300 127.0.0.1:7001\r\n"
    assert client.raw("GET", THERE) == b"-MOVED 15495 127.0.0.1:7004\r\n"
    assert client("READWRITE") == b"OK"
    assert client.raw("GET", HERE) == b"-MOVED 3300 127.0.0.1:7001\r\n"


def test_a_backup_answers_questions_about_all_keys_and_refuses_to_empty_itself(drive: Drive, client: Client) -> None:
    client("SET", HERE, "x")
    drive.become_backup()
    assert client("DBSIZE") == 1
    assert client("KEYS", "*") == [HERE.encode()]
    assert client.raw("FLUSHALL") == b"-READONLY You can't write against a read only replica.\r\n"


def test_a_joining_member_has_no_complete_copy_and_sends_reads_to_the_primary(drive: Drive, client: Client) -> None:
    drive.become_backup()
    drive.replica.role = Role.JOINING
    client("READONLY")
    assert client.raw("GET", HERE) == b"-MOVED 3300 127.0.0.1:7001\r\n"
    assert error_text(client("DBSIZE")).startswith("LOADING")


def test_a_member_that_has_just_started_does_not_say_that_the_cluster_is_down(drive: Drive, client: Client) -> None:
    drive.become_backup()
    known, drive.topology.partitions = (
        drive.topology.partitions,
        [PartitionView(view.id, 0, view.slots, None) for view in drive.topology.partitions],
    )
    for key in (HERE, THERE):
        drive.topology.heard = False
        assert error_text(client("GET", key)).startswith("LOADING")
        drive.topology.heard = True
        assert error_text(client("GET", key)).startswith("CLUSTERDOWN")
    drive.topology.partitions = known
    assert client.raw("GET", HERE) == b"-MOVED 3300 127.0.0.1:7001\r\n"


def test_too_few_copies_refuse_writes_and_only_writes(drive: Drive, client: Client) -> None:
    drive.turn.writable = False
    assert client.raw("SET", HERE, "x") == b"-NOREPLICAS Not enough good replicas to write.\r\n"
    assert client("GET", HERE) is None


def test_a_full_member_refuses_what_could_grow_and_goes_on_reading_and_deleting(drive: Drive, client: Client) -> None:
    client("SET", HERE, "x")
    drive.keyspace.limit_bytes = 1
    assert client.raw("SET", HERE, "y") == b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"
    assert client("GET", HERE) == b"x"
    assert client("DEL", HERE) == 1


def test_a_large_request_is_refused_if_it_does_not_fit_although_the_member_is_not_full(
    drive: Drive, client: Client
) -> None:
    client("SET", HERE, "x")
    drive.keyspace.limit_bytes = drive.keyspace.used_bytes + 2 * MIB
    assert error_text(client("SET", HERE, "x" * 2 * MIB, "PX", 100_000)).startswith("OOM")
    assert error_text(client("APPEND", HERE, "x" * 2 * MIB)).startswith("OOM")
    for word in (["MULTI"], ["SET", HERE, "z" * MIB], ["SET", HERE, "z" * MIB]):
        client(*word)
    assert client.raw("EXEC").startswith(b"-EXECABORT Transaction discarded because of: OOM")
    assert client("GET", HERE) == b"x"
    assert client("SET", HERE, "y" * (MIB + 1)) == b"OK"
    assert error_text(client("APPEND", HERE, "y" * (MIB + 1))).startswith("OOM")
    assert client("APPEND", HERE, "y" * 1000) == MIB + 1001


def test_nothing_but_the_greeting_is_allowed_before_authentication() -> None:
    client = Drive(secret=b"s3cret").connect()
    assert client.raw("GET", "a") == b"-NOAUTH Authentication required.\r\n"
    assert client.raw("foo").startswith(b"-ERR unknown command 'foo'")
    assert client.raw("GET").startswith(b"-ERR wrong number of arguments")
    assert error_text(client("HELLO")).startswith("NOAUTH HELLO must be called with the client already authenticated")
    assert client.raw("AUTH", "wrong").startswith(b"-WRONGPASS invalid username-password pair or user is disabled.")
    assert client("AUTH", "s3cret") == b"OK"
    assert client.reader.authenticated
    assert client("SET", "a", "b") == b"OK"
    assert client("RESET") == b"RESET"
    assert client.raw("GET", "a") == b"-NOAUTH Authentication required.\r\n"


def test_every_executed_command_is_counted_by_name(drive: Drive, client: Client) -> None:
    client("SET", HERE, "x")
    client("GET", HERE)
    client("GET", HERE + "no")
    client("CLIENT", "ID")
    assert drive.node.operations["set"] == 1
    assert drive.node.operations["get"] == 2
    assert drive.node.operations["client|id"] == 1
    assert (drive.node.hits, drive.node.misses) == (1, 1)


def test_a_request_that_must_be_atomic_is_bounded() -> None:
    drive = Drive(store=StoreSettings(atomic_units_max=10))
    client = drive.connect()
    words = [word for n in range(11) for word in ("{x}" + str(n), "v")]
    assert error_text(client("MSET", *words)).startswith("ERR")
    assert client("DBSIZE") == 0


def test_a_key_over_its_limit_is_not_stored() -> None:
    client = Drive(store=StoreSettings(key_bytes_max=10)).connect()
    assert client("SET", "x" * 10, "v") == b"OK"
    assert client.raw("SET", "x" * 11, "v") == b"-ERR key is longer than 10 bytes\r\n"
    assert client.raw("RENAME", "{x}", "{x}" + "y" * 10) == b"-ERR key is longer than 10 bytes\r\n"
    assert client("GET", "x" * 11) is None


def test_a_greeting_that_is_refused_changes_nothing() -> None:
    client = Drive(secret=b"s3cret").connect()
    for rest in (["foo"], ["SETNAME", "a b"], ["AUTH", "default", "wrong"]):
        assert client.raw("HELLO", "3", "AUTH", "default", "s3cret", "SETNAME", "early", *rest)[:1] == b"-"
        assert client.raw("GET", "a").startswith(b"-NOAUTH")
    assert client.raw("HELLO", "2", "AUTH", "default", "s3cret")[:1] == b"*"
    assert client("CLIENT", "GETNAME") is None
