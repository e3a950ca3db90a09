"""Whatever happens to the store, the columnar replica is the same rows; also if it is dropped at any moment."""

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from tests.unit.node.sql_member import SqlMember
from tests.unit.store.block_scripts import load
from tests.unit.store.record_scripts import BOOKS, act, definition

from kubegrid.base.settings import SqlSettings
from kubegrid.replication import Gate
from kubegrid.store import row_blocks

STEPS = 120
SETTINGS = SqlSettings(delta_rows_background=5)
pack = msgspec.msgpack.encode


class Script:
    """Random work on one member. `seen` counts what the comparisons compared, so that none is about nothing."""

    def __init__(self, member: SqlMember, seed: int) -> None:
        self.member = member
        self.random = Random(seed)
        self.rows_compared = 0
        self.blocks_compared = 0
        self.loaded = 0
        self.steps = {
            self.write: 40,
            self.load: 25,
            self.load_more: 25,
            self.read: 10,
            self.compact: 3,
            self.remove: 20,
            self.change: 10,
            self.ask: 30,
            self.drop_the_replica: 4,
            self.housekeeping: 6,
            self.be_deposed: 4,
            self.flush: 2,
            self.add_column: 2,
            self.drop_and_make_again: 2,
            self.expire: 4,
        }

    def run(self) -> None:
        for step in self.random.choices(list(self.steps), list(self.steps.values()), k=STEPS):
            step()
        self.ask()

    def act(self, *step: Any) -> None:
        self.member.in_turn(lambda: act(self.member.keyspace, list(step)))

    def name(self) -> str:
        return self.random.choice(["trades", "trades", "quotes", "ticks", "ticks"])

    def key(self) -> bytes:
        if self.random.random() < 0.5:  # a row of a load, more likely one that came lately
            number = max(0, self.loaded - int(self.random.expovariate(1 / 60)))
            return f"ticks:{{b}}:{1000 + number}".encode()
        book = self.random.choice(["a", "b", "FX%3A%7B1%7D"])
        return f"{self.name()}:{{{book}}}:{self.random.randrange(20)}".encode()

    def write(self) -> None:
        random = self.random
        rows = [
            [random.choice(BOOKS), random.randrange(20), random.choice([None, 0.0, 1.5, -2.0]), random.choice("xyz")]
            for _ in range(random.choice([1, 3, 30]))
        ]
        self.act(b"KG.WRITE", self.name().encode(), b"0", b"REPLACE", *map(pack, rows))

    def load(self) -> None:
        """Rows of a batch that become a block, at times without one of their columns."""
        count = self.random.choice([1, 5, 40])
        rows = [["b", 1000 + self.loaded + n, self.random.random(), "n"][: 3 + self.loaded % 2] for n in range(count)]
        self.loaded += count
        self.member.in_turn(lambda: load(self.member.keyspace, "ticks", rows))

    def load_more(self) -> None:
        """The same a few times; some of the rows are changed before anybody asks."""
        for _ in range(3):
            self.load()
            self.random.choice([self.remove, self.change, self.read, self.housekeeping])()

    def read(self) -> None:
        for _ in range(self.random.choice([1, 30])):
            self.act(b"HGETALL", self.key())

    def compact(self) -> None:
        self.member.fragments.replica.compact()

    def remove(self) -> None:
        for _ in range(self.random.choice([1, 5])):
            self.act(b"DEL", self.key())

    def change(self) -> None:
        self.act(b"HINCRBYFLOAT", self.key(), b"price", b"2.5")

    def flush(self) -> None:
        self.member.in_turn(self.member.keyspace.flush)

    def add_column(self) -> None:
        self.act("add column", self.name())

    def drop_and_make_again(self) -> None:
        name = self.name()
        self.act("drop", name)
        catalog = self.member.keyspace.catalog
        self.member.adopt(catalog.create(table(name)))
        self.act("sweep")

    def expire(self) -> None:
        self.act(b"PEXPIRE", self.key(), b"1")
        keyspace = self.member.keyspace

        def later() -> None:
            keyspace.now_ms += 10
            for _ in range(20):
                keyspace.expire_slice(4000)

        self.member.in_turn(later)

    def drop_the_replica(self) -> None:
        self.member.fragments.drop()

    def housekeeping(self) -> None:
        self.member.in_loop(self.member.capture.tidy)
        self.member.in_loop(lambda: self.member.keyspace.build_slice(4000))

    def be_deposed(self) -> None:
        """Take back the last few entries, and become the primary again."""
        member = self.member

        def deposed() -> None:
            member.keyspace.primary = False
            member.replicator.open = Gate.CLOSED
            member.turn.drop_replies("this member is no longer the primary")
            for _ in range(min(self.random.randrange(5), len(member.replicator.entries))):
                member.keyspace.revert(member.replicator.entries.pop()[1])
            member.replicator.entries.clear()
            member.capture.role_changed()
            member.replicator.open = Gate.OPEN
            member.keyspace.primary = True

        member.in_loop(deposed)

    def ask(self) -> None:
        for name in self.member.keyspace.catalog.by_name:
            found, there = self.member.table(name), self.member.stored(name)
            assert sorted(map(repr, found)) == sorted(map(repr, there)), name
            [rows] = [one["rows"] for one in self.member.fragments.describe() if one["table"] == name]
            assert rows == len(there), "the copy's books"
            self.rows_compared += len(there)
        self.blocks_compared += len(self.member.keyspace.blocks.firsts)


def table(name: str) -> Any:
    """Only ticks have no index, so that their rows may come as blocks."""
    return definition(name, indexes=[]) if name == "ticks" else definition(name)


@pytest.mark.parametrize("seed", range(8))
def test_the_replica_is_what_the_store_is(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_blocks, "BLOCK_ROWS_MIN", 3)
    monkeypatch.setattr("kubegrid.columns.delta.WORN_ROWS_MIN", 50)
    monkeypatch.setattr("kubegrid.columns.replica.COMPACT_AFTER_S", 0.0)
    member = SqlMember(tmp_path, *[table(name).to_json() for name in ("trades", "quotes", "ticks")], settings=SETTINGS)
    member.replicator.entries.clear()
    try:
        script = Script(member, seed)
        script.run()
        assert script.rows_compared > 500
        assert script.blocks_compared > 30
    finally:
        member.close()
