"""KG.REWRITE on a member, as statements send it: within KG.ONCE, for the partition, in transactions."""

from typing import Any

import msgspec
import pytest
from tests.unit.node.drive import Client, Drive, error_text
from tests.unit.node.table_rows import declare, packed

from kubegrid.store import slot_of
from kubegrid.store.commands_rewrite import ANY, KEEP, MISSING

ME = b"0123456789abcdef"


@pytest.fixture
def drive() -> Drive:
    drive = Drive(partitions=3)
    declare(drive)
    return drive


@pytest.fixture
def name(drive: Drive) -> str:
    """Of a job that this partition keeps."""
    return next(f"j{n}" for n in range(100) if slot_of(f"jobs:j{n}".encode()) in drive.keyspace.owned)


def request(*operations: Any, table: str = "jobs") -> list[Any]:
    return ["KG.REWRITE", table, 1, msgspec.msgpack.encode(operations)]


def test_a_statement_that_is_sent_again_is_answered_and_not_executed(drive: Drive, client: Client, name: str) -> None:
    row = packed(name, "new", 1)
    assert client("KG.ONCE", ME, 0, 0, *request([MISSING, row])) == [1, 1, 0, 0, 1]
    assert drive.connect()("KG.ONCE", ME, 0, 0, *request([MISSING, row])) == [1, 1, 0, 0, 1]
    assert client("KG.VERSION", f"jobs:{name}") == 1


def test_a_conflict_is_remembered_and_the_next_number_is_executed(client: Client, name: str) -> None:
    client(*request([MISSING, packed(name, "new", 1)]))
    change = packed(name, "done", 1)
    for _ in range(2):
        assert error_text(client("KG.ONCE", ME, 0, 0, *request([7, change]))).startswith("CONFLICT")
    assert client("KG.ONCE", ME, 1, 0, *request([1, change])) == [2, 1, 0, 0, 1]
    assert error_text(client("KG.ONCE", ME, 0, 0, *request([2, change]))).startswith("CONFLICT")


def test_what_is_wrong_with_the_rows_is_not_remembered_because_run_again_they_are_others(
    client: Client, name: str
) -> None:
    row = packed(name, "new", 1)
    for wrong, code in (
        ([[MISSING, row]] * 2, "ERR"),
        ([[MISSING, b"no row"]], "BADVALUE"),
        ([[ANY, "other:1"]], "BADKEY"),
    ):
        assert error_text(client("KG.ONCE", ME, 0, 0, *request(*wrong))).startswith(code)
    assert client("KG.ONCE", ME, 0, 0, *request([MISSING, row])) == [1, 1, 0, 0, 1]


def test_a_value_from_before_the_table_is_remembered_and_the_next_number_is_executed(drive: Drive, name: str) -> None:
    early = Drive(partitions=3)
    client = early.connect()
    client("SET", f"jobs:{name}", "of another time")
    declare(early)
    row = request([MISSING, packed(name, "new", 1)])
    assert error_text(client("KG.ONCE", ME, 0, 0, *row)).startswith("WRONGTYPE")
    client("DEL", f"jobs:{name}")
    assert error_text(client("KG.ONCE", ME, 0, 0, *row)).startswith("WRONGTYPE")
    assert client("KG.ONCE", ME, 1, 0, *row) == [1, 1, 0, 0, 1]


def test_the_answer_is_in_the_same_entry_as_the_records(drive: Drive, client: Client, name: str) -> None:
    catalog, _, _ = drive.keyspace.take_turn()
    client("KG.ONCE", ME, 0, 0, *request([MISSING, packed(name, "new", 1)]))
    effects, undo, _ = drive.keyspace.take_turn()
    backup = Drive(partitions=3)
    for entry in (catalog, effects):
        backup.keyspace.apply(entry)
    assert backup.connect()("KG.ONCE", ME, 0, 0, *request([MISSING, packed(name, "new", 1)])) == [1, 1, 0, 0, 1]
    drive.keyspace.revert(undo)
    assert client("KG.VERSION", f"jobs:{name}") == 0
    assert client("KG.ONCE", ME, 0, 0, *request([KEEP, packed(name, "again", 1)]))[1:] == [1, 0, 0, 1]


def test_a_full_member_remembers_no_refusal_and_still_removes(drive: Drive, client: Client, name: str) -> None:
    client(*request([MISSING, packed(name, "new", 1)]))
    drive.keyspace.limit_bytes = 0
    more = request([ANY, packed(name, "more", 2)])
    assert error_text(client("KG.ONCE", ME, 0, 0, *more)).startswith("OOM")
    drive.keyspace.limit_bytes = 1 << 40
    assert client("KG.ONCE", ME, 0, 0, *more)[1:] == [1, 0, 0, 1]
    drive.keyspace.limit_bytes = 0
    assert client("KG.ONCE", ME, 1, 0, *request([ANY, f"jobs:{name}"]))[1:] == [0, 1, 0, 1]


def test_a_record_of_another_partition_is_redirected_and_nothing_is_done(
    drive: Drive, client: Client, name: str
) -> None:
    foreign = next(f"x{n}" for n in range(1000) if slot_of(f"jobs:x{n}".encode()) > 11_000)
    slot = slot_of(f"jobs:{foreign}".encode())
    both = request([MISSING, packed(name, "new", 1)], [MISSING, packed(foreign, "new", 1)])
    assert error_text(client("KG.ONCE", ME, 0, 0, *both)) == f"MOVED {slot} 127.0.0.1:7004"
    assert client("EXISTS", f"jobs:{name}") == 0
    assert client("KG.ONCE", ME, 0, 0, *request([MISSING, packed(name, "new", 1)]))[1] == 1


def test_without_copies_nothing_is_done_or_remembered(drive: Drive, client: Client, name: str) -> None:
    drive.turn.writable = False
    asked = request([MISSING, packed(name, "new", 1)])
    assert error_text(client("KG.ONCE", ME, 0, 0, *asked)).startswith("NOREPLICAS")
    drive.turn.writable = True
    assert client("KG.ONCE", ME, 0, 0, *asked)[1] == 1


def test_it_can_be_a_part_of_a_transaction(client: Client, name: str) -> None:
    client("WATCH", f"jobs:{name}")
    client("MULTI")
    assert client(*request([MISSING, packed(name, "new", 1)])) == b"QUEUED"
    assert client("EXEC") == [[1, 1, 0, 0, 1]]
