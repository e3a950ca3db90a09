"""Fragments of statements on one member: they see the store as of a turn, and answer when that is confirmed."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from tests.unit.node.sql_member import DESKS, TRADES, SqlMember, never

from kubegrid.base.settings import SqlSettings
from kubegrid.base.table_definitions import parse_column
from kubegrid.base.tables import Catalog
from kubegrid.columns import dense_groups
from kubegrid.columns.broadcast import marks_in
from kubegrid.columns.building import Build
from kubegrid.columns.room import Room
from kubegrid.node.sql_building import BUILDS_MAX
from kubegrid.query.fragments import NO_ROWS
from kubegrid.replication import Gate
from kubegrid.sql.errors import (
    Cancelled,
    NotSupported,
    SchemaMoved,
    SqlError,
    TimedOut,
    TooMuch,
    TypeProblem,
    Unavailable,
)
from kubegrid.store.changes import Walk
from kubegrid.store.slots import slot_of

COUNT = "SELECT count(*) AS n, sum(price) AS s FROM trades"
FOREVER = "SELECT sum(a.range * b.range % 7) FROM range(10000000) a, range(1000000) b"


@pytest.fixture
def member(tmp_path: Path) -> Iterator[SqlMember]:
    made = SqlMember(tmp_path)
    yield made
    made.close()


def in_thread(function: Any) -> tuple[threading.Thread, list[Any]]:
    """Runs it beside the test; what it gave or raised is in the list when the thread has ended."""
    said: list[Any] = []

    def run() -> None:
        try:
            said.append(function())
        except BaseException as error:
            said.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, said


def mark_of_desks(member: SqlMember) -> str:
    reader = member.fragments.run(member.request(NO_ROWS, "desks"), never)
    assert reader.read_all().num_rows == 0
    return marks_in(reader.schema)["desks"]


def test_a_statement_sees_what_was_written_before_it(member: SqlMember) -> None:
    assert member.sql(COUNT, "trades") == [{"n": 0, "s": None}]
    member.write("trades", ("a", 1, 1.5), ("a", 2, None), ("b", 1, 2.0))
    assert member.sql(COUNT, "trades") == [{"n": 3, "s": 3.5}]
    member.write("trades", ("a", 1, 10.0))
    member.command("DEL", "trades:b:1")
    assert member.sql(COUNT, "trades") == [{"n": 2, "s": 10.0}]
    member.command("FLUSHALL")
    member.write("trades", ("c", 1, 4.0))
    assert member.sql(COUNT, "trades") == [{"n": 1, "s": 4.0}]


def test_an_answer_waits_until_what_it_read_is_confirmed(member: SqlMember) -> None:
    member.sql(COUNT, "trades")
    member.replicator.confirmed = member.replicator.last_seq
    member.write("trades", ("a", 1, 1.0))
    thread, said = in_thread(lambda: member.sql(COUNT, "trades"))
    thread.join(0.2)
    assert thread.is_alive(), "the write is not confirmed, and neither is what was read of it"
    member.replicator.confirmed += 1
    member.poke()
    thread.join(60)
    assert said == [[{"n": 1, "s": 1.0}]]


def by_key(*keys: str) -> dict[str, list[bytes]]:
    return {"trades": [key.encode() for key in keys]}


def test_records_that_are_named_by_their_keys_need_no_copy(member: SqlMember) -> None:
    text = "SELECT book, id, price FROM trades ORDER BY id"
    member.write("trades", ("a", 1, 1.5), ("a", 2, None), ("a", 3, 9.0))
    keys = by_key("trades:a:1", "trades:a:2", "trades:a:7")
    expected = [{"book": "a", "id": 1, "price": 1.5}, {"book": "a", "id": 2, "price": None}]
    assert member.sql(text, "trades", keys=keys) == expected
    assert member.fragments.describe() == []
    assert member.sql(COUNT, "trades") == [{"n": 3, "s": 10.5}], "beside them the table is as it was"
    member.write("trades", ("a", 1, 2.5))
    assert member.sql(text, "trades", keys=by_key("trades:a:1")) == [{"book": "a", "id": 1, "price": 2.5}]
    member.command("DEL", "trades:a:1")
    assert member.sql(text, "trades", keys=by_key("trades:a:1")) == []
    assert member.sql("SELECT count(*) AS n FROM trades", "trades", keys=by_key()) == [{"n": 0}]


def test_a_copy_that_has_nothing_to_apply_is_read_whatever_keys_are_named(
    member: SqlMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, keys = "SELECT price FROM trades WHERE id = 1", by_key("trades:a:1")
    number = member.keyspace.catalog.by_name["trades"].id
    looked = []
    look_up = member.capture.look_up
    monkeypatch.setattr(member.capture, "look_up", lambda *given: looked.append(given) or look_up(*given))
    member.write("trades", ("a", 1, 1.0))
    member.sql(COUNT, "trades")
    assert member.sql(text, "trades", keys=keys, ids={"trades": number}) == [{"price": 1.0}]
    assert not looked
    member.write("trades", ("a", 1, 2.0))
    assert member.sql(text, "trades", keys=keys, ids={"trades": number}) == [{"price": 2.0}]
    assert len(looked) == 1
    member.fragments.drop()
    assert member.sql(text, "trades", keys=keys, ids={"trades": number}) == [{"price": 2.0}]
    assert len(looked) == 2


def test_a_record_that_is_looked_up_waits_for_its_confirmation(member: SqlMember) -> None:
    text, keys = "SELECT price FROM trades", by_key("trades:a:1")
    member.replicator.confirmed = member.replicator.last_seq
    member.write("trades", ("a", 1, 1.0))
    thread, said = in_thread(lambda: member.sql(text, "trades", keys=keys))
    thread.join(0.2)
    assert thread.is_alive(), "the write is not confirmed, and neither is what was read of it"
    member.replicator.confirmed += 1
    member.poke()
    thread.join(60)
    assert said == [[{"price": 1.0}]]


def told(member: SqlMember, *keys: str, columns: Sequence[str] = ("price", "id"), **more: Any) -> list[dict[str, Any]]:
    """Columns of records as they are; the SQL beside them is never run."""
    return member.sql("SELECT 1/0", "trades", keys=by_key(*keys), record_columns=list(columns), **more)


def test_records_are_told_as_they_are_without_duckdb(member: SqlMember) -> None:
    member.write("trades", ("a", 1, 1.5), ("a", 2, None))
    assert told(member, "trades:a:1") == [{"price": 1.5, "id": 1}]
    assert told(member, "trades:a:2") == [{"price": None, "id": 2}]
    assert told(member, "trades:a:7") == []
    member.write("trades", ("a", 1, 2.5))
    assert told(member, "trades:a:1", columns=["price"]) == [{"price": 2.5}]
    member.command("DEL", "trades:a:1")
    assert told(member, "trades:a:1") == []
    assert member.fragments.replica._database is None
    assert len(member.fragments.watch) == 0


def test_a_record_that_is_told_waits_for_its_confirmation(member: SqlMember) -> None:
    member.replicator.confirmed = member.replicator.last_seq
    member.write("trades", ("a", 1, 1.0))
    thread, said = in_thread(lambda: told(member, "trades:a:1", columns=["price"]))
    thread.join(0.2)
    assert thread.is_alive(), "the write is not confirmed, and neither is what was read of it"
    member.replicator.confirmed += 1
    member.poke()
    thread.join(60)
    assert said == [[{"price": 1.0}]]


def test_a_record_that_is_never_confirmed_is_not_told(member: SqlMember) -> None:
    member.replicator.confirmed = member.replicator.last_seq
    member.write("trades", ("a", 1, 1.0))
    with pytest.raises(TimedOut):
        told(member, "trades:a:1", timeout_ms=100)
    with pytest.raises(Cancelled):
        told(member, "trades:a:1", cancelled=lambda: True)
    assert len(member.fragments.watch) == 0


def test_a_record_is_told_of_the_table_that_was_meant(member: SqlMember) -> None:
    old = member.keyspace.catalog.by_name["trades"]
    member.write("trades", ("a", 1, 1.0))
    member.adopt(member.keyspace.catalog.drop("trades"))
    member.adopt(member.keyspace.catalog.create(old))
    with pytest.raises(SchemaMoved):
        told(member, "trades:a:1", ids={"trades": old.id})
    assert told(member, "trades:a:1") == []


def test_keys_are_looked_up_in_the_table_that_was_meant_and_where_they_lie(member: SqlMember) -> None:
    text, keys = "SELECT id, price FROM trades", by_key("trades:a:1", "trades:a:2")
    old = member.keyspace.catalog.by_name["trades"]
    member.adopt(member.keyspace.catalog.drop("trades"))
    member.command("SET", "trades:a:2", "written while there was no such table")
    member.adopt(member.keyspace.catalog.create(old))
    old = member.keyspace.catalog.by_name["trades"]
    member.write("trades", ("a", 1, 1.0))
    assert member.sql(text, "trades", keys=keys, ids={"trades": old.id}) == [{"id": 1, "price": 1.0}]
    member.adopt(member.keyspace.catalog.drop("trades"))
    member.adopt(member.keyspace.catalog.create(old))
    with pytest.raises(SchemaMoved, match="trades is another one"):
        member.sql(text, "trades", keys=keys, ids={"trades": old.id})
    assert member.sql(text, "trades", keys=keys) == []
    member.write("trades", ("a", 1, 3.0))
    member.in_loop(lambda: member.keyspace.slots.__setitem__(slot_of(b"trades:a:2"), None))  # another partition's
    assert member.sql(text, "trades", keys=keys) == [{"id": 1, "price": 3.0}]


def test_a_deposed_primary_does_not_answer_and_what_it_took_back_is_not_seen(member: SqlMember) -> None:
    member.write("trades", ("a", 1, 1.0))
    member.sql(COUNT, "trades")
    member.replicator.confirmed = member.replicator.last_seq
    member.write("trades", ("a", 1, 2.0), ("a", 2, 2.0))
    thread, said = in_thread(lambda: member.sql(COUNT, "trades"))
    while not member.in_loop(lambda: len(member.turn.pending)):
        time.sleep(0.001)

    def deposed() -> None:
        member.replicator.open = Gate.CLOSED
        member.turn.drop_replies("this member is no longer the primary")
        member.keyspace.revert(member.replicator.entries[-1][1])
        member.keyspace.primary = False
        member.capture.role_changed()

    member.in_loop(deposed)
    thread.join(60)
    assert isinstance(said[0], Unavailable) and "no longer the primary" in str(said[0])
    with pytest.raises(Unavailable, match="not the primary"):
        member.sql(COUNT, "trades")
    member.replicator.open = Gate.OPEN
    member.replicator.confirmed = 1 << 60
    assert member.sql(COUNT, "trades") == [{"n": 1, "s": 1.0}]


def test_during_a_hand_over_a_statement_waits(member: SqlMember) -> None:
    member.replicator.open = Gate.HOLD
    thread, said = in_thread(lambda: member.sql(COUNT, "trades"))
    thread.join(0.1)
    assert thread.is_alive()
    member.replicator.open = Gate.OPEN
    thread.join(60)
    assert said == [[{"n": 0, "s": None}]]


def test_a_copy_can_be_dropped_at_any_time(member: SqlMember) -> None:
    member.write("trades", *[("a", number, 1.0) for number in range(500)])
    for number in range(5):
        assert member.sql(COUNT, "trades") == [{"n": 500 + number, "s": 500.0 + number}]
        reader = member.fragments.run(member.request("SELECT * FROM trades", "trades"), lambda: False)
        member.fragments.drop()
        assert reader.read_all().num_rows == 500 + number, "who reads goes on with what it saw"
        member.write("trades", ("b", number, 1.0))


def test_a_column_that_was_added_reads_as_its_default(member: SqlMember) -> None:
    member.write("trades", ("a", 1, 1.0))
    assert member.sql(COUNT, "trades")
    catalog = member.keyspace.catalog
    catalog = catalog.add_column("trades", parse_column({"name": "lots", "type": "DECIMAL(9,2)", "default": "1.50"}))
    catalog = catalog.add_column("trades", parse_column({"name": "note", "type": "VARCHAR"}))
    catalog = catalog.add_column("trades", parse_column({"name": "big", "type": "HUGEINT", "default": 7}))
    member.adopt(catalog)
    member.write("trades", ("a", 2, 2.0, "3.00", "x", "8"))
    seen = "SELECT id, lots::VARCHAR AS lots, note, big::BIGINT AS big FROM trades ORDER BY id"
    expected = [{"id": 1, "lots": "1.50", "note": None, "big": 7}, {"id": 2, "lots": "3.00", "note": "x", "big": 8}]
    assert member.sql(seen, "trades") == expected
    member.fragments.drop()
    assert member.sql(seen, "trades") == expected


def test_a_table_made_anew_under_its_name_is_not_taken_for_the_old_one(member: SqlMember) -> None:
    member.write("trades", ("a", 1, 1.0))
    old = member.keyspace.catalog.by_name["trades"]
    assert member.sql(COUNT, "trades", ids={"trades": old.id}) == [{"n": 1, "s": 1.0}]
    member.adopt(member.keyspace.catalog.drop("trades"))
    with pytest.raises(SchemaMoved, match="trades is not there any more"):
        member.sql(COUNT, "trades")
    member.adopt(member.keyspace.catalog.create(old))
    with pytest.raises(SchemaMoved, match="trades is another one"):
        member.sql(COUNT, "trades", ids={"trades": old.id})
    assert member.sql(COUNT, "trades") == [{"n": 0, "s": None}]


def test_a_table_made_anew_in_other_letters_is_built_in_the_place_of_the_old_one(member: SqlMember) -> None:
    member.write("trades", ("a", 1, 1.0))
    old = member.keyspace.catalog.by_name["trades"]
    assert member.sql(COUNT, "trades") == [{"n": 1, "s": 1.0}]
    member.adopt(member.keyspace.catalog.drop("trades"))
    member.adopt(member.keyspace.catalog.create(msgspec.structs.replace(old, name="Trades")))
    member.write("Trades", ("b", 1, 2.0), ("b", 2, 3.0))
    for _ in range(2):
        assert member.sql("SELECT count(*) AS n FROM Trades", "Trades") == [{"n": 2}]
        member.fragments.keeper._keep()


def test_a_copy_that_is_being_built_of_a_table_that_was_dropped_ends_before_the_next_one_of_its_name(
    member: SqlMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    member.write("trades", ("a", 1, 1.0))
    old = member.keyspace.catalog.by_name["trades"]
    reached, let_go = threading.Event(), threading.Event()
    put = Build.put

    def slow(self: Build, met: Any) -> None:
        if self._conversion.definition.id == old.id:
            reached.set()
            let_go.wait(60)
        put(self, met)

    monkeypatch.setattr(Build, "put", slow)
    first, said = in_thread(lambda: member.sql(COUNT, "trades"))
    assert reached.wait(60)
    member.adopt(member.keyspace.catalog.drop("trades").create(old))
    member.write("trades", ("b", 1, 2.0))
    second, answered = in_thread(lambda: member.sql(COUNT, "trades"))
    second.join(0.2)
    let_go.set()
    for thread in (first, second):
        thread.join(60)
    assert isinstance(said[0], SchemaMoved)
    assert answered == [[{"n": 1, "s": 2.0}]]
    assert member.sql(COUNT, "trades") == [{"n": 1, "s": 2.0}]


def test_a_fragment_waits_for_the_catalog_that_it_was_planned_with(tmp_path: Path) -> None:
    member = SqlMember(tmp_path, settings=SqlSettings(catalog_wait_ms=100))
    try:
        version = member.keyspace.catalog.version
        with pytest.raises(Unavailable, match=f"planned with version {version + 1}"):
            member.sql(COUNT, "trades", catalog=version + 1)
    finally:
        member.close()


def test_a_statement_ends_at_its_time_or_when_nobody_wants_it(member: SqlMember) -> None:
    begun = time.monotonic()
    with pytest.raises(TimedOut, match="within 200 ms"):
        member.sql(FOREVER, timeout_ms=200)
    wanted = threading.Event()
    thread, said = in_thread(lambda: member.sql(FOREVER, cancelled=wanted.is_set))
    thread.join(0.2)
    assert thread.is_alive()
    wanted.set()
    thread.join(60)
    assert isinstance(said[0], Cancelled)
    assert time.monotonic() - begun < 60
    assert len(member.fragments.watch) == 0


def test_a_copy_is_built_to_its_end_though_who_asked_has_gone(member: SqlMember) -> None:
    for start in range(0, 60_000, 10_000):
        member.write("trades", *[("a", number, 1.0) for number in range(start, start + 10_000)])
    with pytest.raises(TimedOut):
        member.sql(COUNT, "trades", timeout_ms=1)
    until = time.monotonic() + 60
    while not member.fragments.describe() and time.monotonic() < until:
        time.sleep(0.01)
    assert member.fragments.describe() == [{"table": "trades", "rows": 60_000, "dead": 0}]
    assert member.sql(COUNT, "trades") == [{"n": 60_000, "s": 60_000.0}]
    assert member.fragments.statistics()["builds"] == 1


def test_a_reader_that_is_dropped_ends_its_fragment(member: SqlMember) -> None:
    reader = member.fragments.run(member.request("SELECT * FROM range(100000000)"), lambda: False)
    assert reader.read_next_batch().num_rows
    assert len(member.fragments.watch) == 1
    del reader
    assert len(member.fragments.watch) == 0


def test_a_statement_that_is_too_large_fails_and_the_next_one_runs(tmp_path: Path) -> None:
    small = SqlSettings(memory_bytes=64 * 2**20, spill_bytes_max=16 * 2**20)
    member = SqlMember(tmp_path, settings=small)
    try:
        member.write("trades", ("a", 1, 1.0))
        with pytest.raises(TooMuch, match="memory"):
            member.sql("SELECT range % 20000003 AS k, list(range) FROM range(50000000) GROUP BY k ORDER BY k")
        assert member.sql(COUNT, "trades") == [{"n": 1, "s": 1.0}]
    finally:
        member.close()
    assert not list(tmp_path.iterdir()), "the temporary files are gone"


def test_a_table_that_does_not_fit_is_refused_and_smaller_ones_are_answered(tmp_path: Path) -> None:
    small = SqlSettings(memory_bytes=24 * 2**20, spill_bytes_max=2**20)
    member = SqlMember(tmp_path, settings=small)
    try:
        random = Random(1)
        for start in range(0, 12_000, 1000):
            member.write("desks", *[(str(start + each), random.randbytes(2000).hex()) for each in range(1000)])
        with pytest.raises(TooMuch, match="the columns of table desks do not fit"):
            member.sql("SELECT count(*) FROM desks", "desks")
        member.write("trades", ("a", 1, 1.0))
        assert member.sql(COUNT, "trades") == [{"n": 1, "s": 1.0}]
    finally:
        member.close()


def test_columns_that_are_being_made_go_when_the_process_has_no_memory_left(member: SqlMember) -> None:
    class Filling(Room):
        """There is room when the making begins; it is used up by records after a few slices."""

        looks = 3

        def granted(self, wanted_bytes: int) -> int:
            return wanted_bytes

        def left_bytes(self, needed_bytes: int = 0) -> int:
            self.looks -= 1
            return self.looks

    for start in range(0, 60_000, 5000):
        member.write("trades", *[("a", number, 1.0) for number in range(start, start + 5000)])
    member.fragments.replica.room = room = Filling(0)
    with pytest.raises(TooMuch, match="no memory left for columns that are being made"):
        member.sql(COUNT, "trades")
    assert room.looks < 0
    assert not member.fragments.describe()
    assert member.sql("SELECT count(*) AS n FROM duckdb_tables()") == [{"n": 0}]
    room.looks = 1 << 40
    assert member.sql(COUNT, "trades") == [{"n": 60_000, "s": 60_000.0}]


def test_errors_while_rows_are_read_say_what_is_wrong(member: SqlMember) -> None:
    with pytest.raises(TypeProblem, match="Could not convert string 'x' to INT32") as caught:
        member.sql("SELECT CASE WHEN range = 300000 THEN CAST('x' AS INTEGER) ELSE 1 END FROM range(400000)")
    assert "LINE" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["SELECT 1; SELECT 2", "DELETE FROM trades", "SET threads = 4", "COPY trades TO 'x'", "ATTACH 'x'"]
)
def test_a_fragment_is_one_select(member: SqlMember, text: str) -> None:
    with pytest.raises(NotSupported):
        member.sql(text, "trades")


@pytest.mark.parametrize(
    "text", ["SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM glob('/*')", "SELECT * FROM member"]
)
def test_a_fragment_reaches_tables_only(member: SqlMember, text: str) -> None:
    with pytest.raises(SqlError):
        member.sql(text)


@pytest.mark.parametrize("name", ["incoming", "main", "hidden", "sqlite_master", "select", "Order", "rowid", "t__al"])
def test_any_name_that_a_table_may_have_is_answered(tmp_path: Path, name: str) -> None:
    columns = [{"name": "rowid", "type": "BIGINT", "nullable": False}, {"name": "select", "type": "INTEGER"}]
    member = SqlMember(tmp_path, {"name": name, "columns": columns, "key": ["rowid"]})
    try:
        for number in range(3):
            member.write(name, (1, number), (2, number))
            seen = member.sql(f'SELECT rowid, "select" FROM "{name}" ORDER BY 1', name)
            assert seen == [{"rowid": 1, "select": number}, {"rowid": 2, "select": number}]
    finally:
        member.close()


def test_a_statement_that_ends_before_its_columns_are_made_says_so(member: SqlMember) -> None:
    member.write("trades", ("a", 1, 1.5))
    places = member.fragments.copies.buildings._places
    for _ in range(BUILDS_MAX):
        assert places.acquire(timeout=10)
    try:
        with pytest.raises(TimedOut, match="the columns of table trades were not made by then") as raised:
            member.sql(COUNT, "trades", timeout_ms=1000)
        assert "Ask again" in raised.value.advice
    finally:
        places.release(BUILDS_MAX)
    assert member.sql(COUNT, "trades") == [{"n": 1, "s": 1.5}]
    assert member.fragments.statistics()["builds"] == 1


def test_rows_of_other_owners_are_fetched_once_for_each_of_their_states(tmp_path: Path) -> None:
    asked: list[str] = []
    owner = SqlMember(tmp_path / "owner", TRADES, DESKS, partition=1)

    def fetch(partition: int, request: Any, cancelled: Any) -> Any:
        asked.append(request.sql)
        return owner.fragments.run(request, cancelled)

    member = SqlMember(tmp_path / "member", TRADES, DESKS, fetch=fetch)
    try:
        join = "SELECT id, city FROM trades LEFT JOIN desks__all USING (book) ORDER BY id"
        member.write("trades", ("a", 1, 1.0), ("b", 2, 1.0))
        member.write("desks", ("a", "Rome"))
        owner.write("desks", ("b", "Oslo"))

        def joined() -> list[Any]:
            marks = {number: mark_of_desks(each) for number, each in enumerate((member, owner))}
            return [row["city"] for row in member.sql(join, "trades", broadcast={"desks": marks})]

        assert joined() == ["Rome", "Oslo"]
        assert joined() == ["Rome", "Oslo"]
        assert len(asked) == 1
        owner.write("desks", ("b", "Bonn"))
        member.write("desks", ("a", "Nice"))
        assert joined() == ["Nice", "Bonn"]
        assert len(asked) == 2
        owner.fragments.drop()
        member.fragments.drop()
        assert joined() == ["Nice", "Bonn"]
    finally:
        member.close()
        owner.close()


def test_tables_that_nobody_asks_for_lose_their_copies(tmp_path: Path) -> None:
    member = SqlMember(tmp_path, settings=SqlSettings(replica_idle_s=0.0))
    try:
        member.write("trades", ("a", 1, 1.0))
        assert member.sql(COUNT, "trades") == [{"n": 1, "s": 1.0}]
        member.in_loop(member.capture.tidy)
        until = time.monotonic() + 60
        while member.fragments.describe() and time.monotonic() < until:
            time.sleep(0.01)
        assert not member.fragments.describe()
        assert not member.keyspace.tables.changes.deltas
        assert member.sql(COUNT, "trades") == [{"n": 1, "s": 1.0}]
    finally:
        member.close()


def test_many_changes_are_applied_before_somebody_asks(tmp_path: Path) -> None:
    member = SqlMember(tmp_path, settings=SqlSettings(delta_rows_background=100))
    try:
        assert member.sql(COUNT, "trades") == [{"n": 0, "s": None}]
        number = member.keyspace.catalog.by_name["trades"].id
        member.write("trades", *[("a", each, 1.0) for each in range(1000)])
        member.in_loop(member.capture.tidy)
        until = time.monotonic() + 60
        while member.in_loop(lambda: member.keyspace.tables.changes.waiting(number)) and time.monotonic() < until:
            time.sleep(0.01)
        assert member.in_loop(lambda: member.keyspace.tables.changes.waiting(number)) == 0
        assert member.sql(COUNT, "trades") == [{"n": 1000, "s": 1000.0}]
    finally:
        member.close()


def with_lots(member: SqlMember) -> Catalog:
    return member.keyspace.catalog.add_column("trades", parse_column({"name": "lots", "type": "INTEGER", "default": 7}))


def test_changes_that_are_applied_before_somebody_asks_have_the_columns_that_were_added_meanwhile(
    member: SqlMember,
) -> None:
    number = member.keyspace.catalog.by_name["trades"].id
    member.write("trades", ("a", 1, 1.0))
    assert member.sql(COUNT, "trades") == [{"n": 1, "s": 1.0}]
    member.adopt(with_lots(member))
    member.write("trades", ("a", 2, 1.0, 8))
    for _ in range(2):
        member.in_loop(member.capture.tidy)
    until = time.monotonic() + 60
    while member.in_loop(lambda: member.keyspace.tables.changes.waiting(number)) and time.monotonic() < until:
        time.sleep(0.01)
    assert member.in_loop(lambda: member.keyspace.tables.changes.waiting(number)) == 0
    assert member.table("trades") == member.stored("trades") == {("a", 1, 1.0, 7), ("a", 2, 1.0, 8)}


def test_a_column_that_was_added_before_a_tables_rows_are_looked_through_is_in_its_copy(
    member: SqlMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = member.capture.walk

    def late(*args: Any) -> Any:
        member.adopt(with_lots(member))
        member.write("trades", ("a", 2, 1.0, 8))
        return walk(*args)

    member.write("trades", ("a", 1, 1.0))
    monkeypatch.setattr(member.capture, "walk", late)
    member.sql(COUNT, "trades")
    assert member.table("trades") == member.stored("trades") == {("a", 1, 1.0, 7), ("a", 2, 1.0, 8)}


def test_few_changes_are_applied_when_nobody_writes_once_for_each_statement(member: SqlMember) -> None:
    number = member.keyspace.catalog.by_name["trades"].id

    def waiting() -> int:
        return member.in_loop(lambda: member.keyspace.tables.changes.waiting(number))

    def applied_in_the_background() -> bool:
        for _ in range(100):
            if not waiting():
                return True
            time.sleep(0.01)
        return False

    assert member.sql(COUNT, "trades") == [{"n": 0, "s": None}]
    member.write("trades", ("a", 1, 1.0))
    member.in_loop(member.capture.tidy)
    assert waiting() == 1, "it may be the first of many"
    member.in_loop(member.capture.tidy)
    assert applied_in_the_background()
    member.write("trades", ("a", 2, 1.0))
    for _ in range(3):
        member.in_loop(member.capture.tidy)
    assert not applied_in_the_background(), "no statement has asked since"
    assert member.sql(COUNT, "trades") == [{"n": 2, "s": 2.0}]
    member.write("trades", ("a", 3, 1.0))
    for _ in range(3):
        member.in_loop(member.capture.tidy)
    assert applied_in_the_background()
    assert member.sql(COUNT, "trades") == [{"n": 3, "s": 3.0}]


def test_rows_that_were_replaced_are_compacted_away(member: SqlMember, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kubegrid.columns.delta.WORN_ROWS_MIN", 100)
    monkeypatch.setattr("kubegrid.columns.replica.COMPACT_AFTER_S", 0.0)
    member.write("trades", *[("a", each, 0.0) for each in range(1000)])
    for number in range(1, 4):
        assert member.sql(COUNT, "trades") == [{"n": 1000, "s": 1000.0 * (number - 1)}]
        member.write("trades", *[("a", each, float(number)) for each in range(1000)])
    assert member.sql(COUNT, "trades") == [{"n": 1000, "s": 3000.0}]
    member.fragments.replica.compact()
    assert member.fragments.describe() == [{"table": "trades", "rows": 1000, "dead": 0}]
    assert member.sql(COUNT, "trades") == [{"n": 1000, "s": 3000.0}]


def test_groups_of_a_large_table_may_be_counted_in_an_array(member: SqlMember, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_groups, "ROWS_MIN", 1000)
    allowed: list[int] = []
    bits = dense_groups.bits

    def noted(*given: int) -> int:
        allowed.append(bits(*given))
        return allowed[-1]

    monkeypatch.setattr(dense_groups, "bits", noted)
    member.write("trades", *(("a", number, float(number % 7)) for number in range(1000)))
    ids = {"trades": member.keyspace.catalog.by_name["trades"].id}
    text = "SELECT id % 10 AS g, count(*) AS n, sum(price) AS s FROM trades GROUP BY g ORDER BY g"
    usual = member.sql(text, "trades", ids=ids)
    assert not allowed
    before = member.fragments._dense_groups.left_bytes
    assert member.sql(text, "trades", ids=ids, groups=True) == usual
    assert len(allowed) == 1 and allowed[0] > dense_groups.USUAL_BITS
    assert member.fragments._dense_groups.left_bytes == before


def test_statistics_say_what_there_is(member: SqlMember) -> None:
    assert member.fragments.statistics() == {"rows": 0, "bytes": 0, "applied": 0, "builds": 0}
    member.write("trades", ("a", 1, 1.0))
    member.sql(COUNT, "trades")
    member.write("trades", ("a", 1, 2.0), ("a", 2, 1.0))
    member.sql(COUNT, "trades")
    statistics = member.fragments.statistics()
    assert (statistics["rows"], statistics["applied"], statistics["builds"]) == (2, 3, 1)


JOIN = "SELECT count(*) AS n FROM trades JOIN desks USING (book)"


def test_tables_that_are_asked_together_are_walked_together(member: SqlMember, monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[set[int]] = []

    class Counted(Walk):
        def __init__(self, keyspace: Any, numbers: Any) -> None:
            walks.append(set(numbers))
            super().__init__(keyspace, numbers)

    monkeypatch.setattr("kubegrid.node.sql_capture.Walk", Counted)
    member.write("trades", *[("a", number, 1.0) for number in range(5000)])
    member.write("desks", ("a", "London"), ("b", "Paris"))
    assert member.sql(JOIN, "trades", "desks") == [{"n": 5000}]
    assert walks == [{1, 2}]
    assert member.fragments.statistics()["builds"] == 2


def test_a_table_that_cannot_be_built_leaves_the_others_that_are_built_with_it(
    member: SqlMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Build.put

    def failing(self: Build, met: Any) -> None:
        if met.records and len(met.records[0]) < 30:
            raise TooMuch("no room")
        put(self, met)

    member.write("trades", *[("a book with a long name", number, 1.0) for number in range(5000)])
    member.write("desks", ("a", "b"))
    monkeypatch.setattr(Build, "put", failing)
    with pytest.raises(TooMuch, match="columns of table desks"):
        member.sql(JOIN, "trades", "desks")
    assert [one["table"] for one in member.fragments.describe()] == ["trades"]
    monkeypatch.undo()
    assert member.sql(JOIN, "trades", "desks") == [{"n": 0}]
    assert member.fragments.statistics()["builds"] == 2


def test_a_copy_is_compacted_before_its_first_answer_only_if_its_table_changes_meanwhile(
    member: SqlMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubegrid.columns.delta.WORN_ROWS_MIN", 100)
    member.write("trades", *[("a", number, 1.0) for number in range(5000)])
    put = Build.put
    written = [("b", 1, 1.0)]

    def put_while_writing(self: Build, met: Any) -> None:
        put(self, met)
        if written:
            member.write("trades", written.pop())

    member.sql(COUNT, "trades")
    assert member.fragments.replica.copies[1].loose == 5000
    member.fragments.drop()
    member.poke()
    monkeypatch.setattr(Build, "put", put_while_writing)
    assert member.sql(COUNT, "trades") == [{"n": 5001, "s": 5001.0}]
    assert member.fragments.replica.copies[1].loose == 1
