"""Commands of tables on a member: who answers them, for which slots, and how old a backup's answer may be."""

from itertools import islice

import msgspec
import pytest
from tests.unit.node.drive import Client, Drive, error_text
from tests.unit.node.table_rows import declare, write

from kubegrid.base.settings import StoreSettings
from kubegrid.store import slot_of

FOREIGN = "{a}"  # slot 15495, partition 2 of 3


@pytest.fixture
def drive() -> Drive:
    drive = Drive(partitions=3)
    declare(drive)
    return drive


def here(drive: Drive, count: int) -> list[str]:
    """Identifiers of jobs that this partition keeps."""
    names = (f"j{number}" for number in range(10_000))
    return list(islice((name for name in names if slot_of(f"jobs:{name}".encode()) in drive.keyspace.owned), count))


def test_rows_of_several_slots_are_written_and_read_in_one_command(drive: Drive, client: Client) -> None:
    names = here(drive, 5)
    assert len({slot_of(f"jobs:{name}".encode()) for name in names}) > 1
    assert write(client, *[(name, "new", number) for number, name in enumerate(names)])[1:] == [5, 0]
    found = client("KG.READ", "jobs", *[f"jobs:{name}" for name in names])
    assert [msgspec.msgpack.decode(record[12:]) for record in found] == [[n, "new", i] for i, n in enumerate(names)]


def test_a_row_of_another_partition_is_redirected_and_nothing_is_written(drive: Drive, client: Client) -> None:
    (mine,) = here(drive, 1)
    foreign = next(f"x{n}" for n in range(1000) if slot_of(f"jobs:x{n}".encode()) > 11_000)
    slot = slot_of(f"jobs:{foreign}".encode())
    assert error_text(write(client, (mine, "new", 1), (foreign, "new", 2))) == f"MOVED {slot} 127.0.0.1:7004"
    assert client("EXISTS", f"jobs:{mine}") == 0
    assert error_text(client("KG.READ", "jobs", f"jobs:{foreign}")) == f"MOVED {slot} 127.0.0.1:7004"
    assert error_text(client("KG.READ", "jobs", f"jobs:{foreign}", f"jobs:{mine}")).startswith("CROSSSLOT")


@pytest.mark.parametrize(
    "command",
    [
        ["KG.FIND", "jobs", "TRUE"],
        ["KG.COUNT", "jobs", "TRUE"],
        ["KG.READ", "jobs", "jobs:{b}"],
        ["JSON.GET", "jobs:{b}"],
    ],
)
def test_a_backup_answers_reads_after_readonly_only(drive: Drive, client: Client, command: list[str]) -> None:
    drive.become_backup()
    assert error_text(client(*command)).startswith("MOVED ")
    client("READONLY")
    assert client(*command) in ([], 0, [None], None)


@pytest.mark.parametrize(
    "command",
    [["KG.TAKE", "jobs", "TRUE"], ["KG.TAKE", "jobs", "TRUE", "BLOCK", "10"], ["KG.WRITE", "jobs", "0", "KEEP", "x"]],
)
def test_a_backup_sends_writers_to_the_primary_and_a_primary_without_lease_says_so(
    drive: Drive, client: Client, command: list[str]
) -> None:
    drive.turn.open_gate = False
    assert error_text(client(*command)).startswith("CLUSTERDOWN")
    drive.become_backup()
    client("READONLY")
    assert error_text(client(*command)) == "MOVED 0 127.0.0.1:7001"


def test_a_read_may_say_how_old_it_may_be(drive: Drive, client: Client) -> None:
    (name,) = here(drive, 1)
    write(client, (name, "new", 1))
    read = ["KG.READ", "jobs", "MAXSTALENESS", "100", f"jobs:{name}"]
    assert len(client(*read)) == 1  # a primary is never stale
    drive.become_backup()
    client("READONLY")
    drive.turn.stale_ms = 100
    assert len(client(*read)) == 1
    drive.turn.stale_ms = 101
    assert error_text(client(*read)) == "STALE this copy may be 101 ms old"
    drive.turn.stale_ms = None
    assert error_text(client(*read)).startswith("STALE this copy does not know")
    assert error_text(client("KG.READ", "jobs", "MAXSTALENESS", "x", "k")).startswith("ERR MAXSTALENESS is a number")
    assert error_text(client("KG.READ", "jobs", "MAXSTALENESS", "5")).startswith("ERR wrong number of arguments")


def test_records_in_a_transaction_are_part_of_it(drive: Drive, client: Client) -> None:
    (name,) = here(drive, 1)
    client("MULTI")
    write(client, (name, "new", 1))
    client("KG.READ", "jobs", f"jobs:{name}")
    client("KG.TAKE", "jobs", "state = 'none'", "BLOCK", "0")
    client("KG.TAKE", "jobs", "state = 'new'", "BLOCK", "0")
    client("KG.COUNT", "jobs", "TRUE")
    written, read, nothing, taken, count = client("EXEC")
    assert written[1:] == [1, 0] and len(read) == 1 and nothing is None and b"new" in taken and count == 0


@pytest.mark.parametrize("command", [["KG.CREATE", "t", "{}"], ["KG.DROP", "jobs"]])
def test_changes_of_tables_are_no_part_of_a_transaction(client: Client, command: list[str]) -> None:
    client("MULTI")
    assert error_text(client(*command)) == f"ERR {command[0]} is not allowed in a transaction"
    assert error_text(client("EXEC")).startswith("EXECABORT")


def test_a_search_of_everything_is_refused_in_a_transaction_when_it_would_take_too_long() -> None:
    drive = Drive(store=StoreSettings(atomic_units_max=10))
    declare(drive)
    client = drive.connect()
    for number in range(11):
        write(client, (f"j{number}", "new", number))
    client("MULTI")
    client("KG.COUNT", "jobs", "priority > 3")
    (refused,) = client("EXEC")
    assert error_text(refused).startswith("ERR too many keys for this command")


def test_a_changed_record_voids_the_transaction_of_whoever_watched_it(drive: Drive, client: Client) -> None:
    (name,) = here(drive, 1)
    write(client, (name, "new", 1))
    client("WATCH", f"jobs:{name}")
    drive.connect()("KG.CHANGE", f"jobs:{name}", '{"increment": {"priority": 1}}')
    client("MULTI")
    client("PING")
    assert client("EXEC") is None
