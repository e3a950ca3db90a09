"""Tables come, change and go: what their records are then, and what is left to do afterwards, in slices."""

from random import Random
from typing import Any

import msgspec
from tests.unit.store.record_scripts import act, catalog, definition

from kubegrid.base.settings import StoreSettings
from kubegrid.base.table_definitions import parse_column
from kubegrid.store import Keyspace

pack = msgspec.msgpack.encode


def fill(call: Any, keyspace: Keyspace, count: int) -> None:
    keyspace.adopt_catalog(catalog(definition("trades")))
    call(
        b"KG.WRITE",
        b"trades",
        b"0",
        b"REPLACE",
        *(pack(["ab"[i % 2], i, float(i), "xyz"[i % 3]]) for i in range(count)),
    )


def test_records_of_a_dropped_table_are_missing_at_once_and_removed_in_slices(call: Any, keyspace: Keyspace) -> None:
    fill(call, keyspace, 1000)
    call(b"SET", b"other", b"v")
    keyspace.adopt_catalog(keyspace.catalog.drop("trades"))
    assert call(b"EXISTS", b"trades:{a}:0") == b":0\r\n"
    assert call(b"TYPE", b"trades:{a}:2") == b"+none\r\n"
    assert call(b"SET", b"trades:{a}:4", b"plain") == b"+OK\r\n"
    keyspace.take_turn()
    slices = 0
    while keyspace.tables.strays:
        assert 0 < keyspace.sweep_slice(100) <= 200
        slices += 1
        keyspace.validate()
    assert 10 <= slices <= 40
    assert keyspace.sweep_slice(100) == 0
    assert len(keyspace.take_turn()[0]) // 2 <= 1000
    assert call(b"DBSIZE") == b":2\r\n"
    assert call(b"GET", b"trades:{a}:4") == b"$5\r\nplain\r\n"


def test_a_table_made_again_under_the_name_does_not_see_old_records(call: Any, keyspace: Keyspace) -> None:
    fill(call, keyspace, 10)
    keyspace.adopt_catalog(keyspace.catalog.drop("trades").create(definition("trades")))
    assert call(b"KG.COUNT", b"trades", b"id >= 0") == b":0\r\n"
    assert call(b"KG.READ", b"trades", b"trades:{a}:2") == b"*1\r\n$-1\r\n"
    rows = [pack(["a", 4, 1.0, "x"])]
    assert call(b"KG.WRITE", b"trades", b"0", b"FAIL", *rows) == b"*3\r\n:11\r\n:1\r\n:0\r\n"
    while keyspace.sweep_slice(100):
        pass
    assert call(b"KG.COUNT", b"trades", b"id >= 0") == b":1\r\n"
    keyspace.validate()


def test_the_indexes_of_a_dropped_table_are_freed_in_slices_once_nobody_can_take_it_back(
    call: Any, keyspace: Keyspace
) -> None:
    fill(call, keyspace, 1000)
    keyspace.take_turn()
    keyspace.adopt_catalog(keyspace.catalog.drop("trades"))
    undo = keyspace.take_turn()[1]
    assert keyspace.free_slice(100) == 0
    keyspace.revert(undo)
    assert not keyspace.garbage
    keyspace.validate()
    keyspace.adopt_catalog(keyspace.catalog.drop("trades"))
    keyspace.take_turn()
    del undo
    freed = []
    while keyspace.garbage:
        freed.append(keyspace.free_slice(100))
        assert 0 < freed[-1] <= 200
    assert sum(freed) >= 1000


def test_a_backup_sweeps_nothing(call: Any, keyspace: Keyspace) -> None:
    fill(call, keyspace, 10)
    keyspace.adopt_catalog(keyspace.catalog.drop("trades"))
    keyspace.primary = False
    assert keyspace.sweep_slice(100) == 0
    assert call(b"EXISTS", b"trades:{a}:0") == b":0\r\n"
    assert b"trades" not in call(b"SCAN", b"0", b"COUNT", b"100000")
    assert keyspace.key_count == 10


def test_records_from_before_a_column_have_its_default(call: Any, keyspace: Keyspace) -> None:
    fill(call, keyspace, 10)
    column = parse_column({"name": "desk", "type": "VARCHAR", "default": "none"})
    keyspace.adopt_catalog(keyspace.catalog.add_column("trades", column))
    assert call(b"HGET", b"trades:{a}:0", b"desk") == b"$4\r\nnone\r\n"
    assert call(b"KG.COUNT", b"trades", b"desk = 'none' AND note = 'x'") == b":4\r\n"
    row = pack(["a", 0, 1.0, "x"])
    assert call(b"KG.WRITE", b"trades", b"1", b"REPLACE", row) == b"-SCHEMA table trades is at 2, not 1\r\n"
    assert call(b"KG.WRITE", b"trades", b"0", b"REPLACE", row).startswith(b"*3")
    keyspace.validate()


def test_indexes_over_records_that_were_there_first_are_built_in_slices(call: Any, keyspace: Keyspace) -> None:
    fill(call, keyspace, 1000)
    joiner = Keyspace(StoreSettings(slice_units=100), 0, 16383, random=Random(1).randrange)
    tables, *others = (msgspec.msgpack.decode(payload) for payload in keyspace.snapshot())
    for effects in ([*tables[2:]], *others):
        joiner.apply(effects)
    assert joiner.tables.strays == 1000
    joiner.apply(tables[:2])
    assert joiner.tables.strays == 0
    joiner.primary = True
    slices = 0
    random = Random(2)
    while joiner.build_slice(50):
        slices += 1
        number = random.randrange(1000)
        act(joiner, [b"KG.WRITE", b"trades", b"0", b"REPLACE", pack(["ab"[number % 2], number, -1.0, "w"])])
        act(joiner, [b"DEL", b"trades:{a}:%d" % (2 * random.randrange(500))])
        joiner.validate()
    assert 15 <= slices <= 60
    assert joiner.build_slice(50) == 0
    assert not any(index.building for index in joiner.tables.by_name[b"trades"].indexes)
    joiner.validate()


def test_the_hot_path_is_told_the_names_of_tables(keyspace: Keyspace) -> None:
    assert keyspace.prefixes == frozenset()
    keyspace.adopt_catalog(catalog(definition("trades"), definition("quotes")))
    assert keyspace.prefixes == {b"trades", b"quotes"}
    undo = keyspace.take_turn()[1]
    keyspace.revert(undo)
    assert keyspace.prefixes == frozenset()


def test_every_type_that_can_be_indexed_is_found_again_by_its_index(call: Any, keyspace: Keyspace) -> None:
    documents: dict[str, list[Any]] = {
        "BOOLEAN": [True, False], "TINYINT": [-128, 5], "UBIGINT": [2**64 - 1, 0], "HUGEINT": [-(2**127), 7],
        "REAL": [0.1, -0.0], "DOUBLE": [1, "NaN", "-Infinity"], "DECIMAL(38,4)": ["1.5", 2, "-0.0001"], "VARCHAR": ["ä", ""],
        "BLOB": ["AAE=", ""], "DATE": ["2013-01-31", "0001-01-01"], "TIME": ["05:00:00", "23:59:59.999999"],
        "TIMESTAMP": ["2013-01-31T05:00:00", "2013-01-31T05:00:00.000001"],
        "TIMESTAMP WITH TIME ZONE": ["2013-01-31T05:00:00+02:00", "2013-01-31T03:00:00Z"],
        "UUID": ["00000000-0000-0000-0000-00000000000A", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    }  # fmt: skip
    columns = [{"name": "id", "type": "BIGINT", "nullable": False}]
    columns += [{"name": f"c{n}", "type": name} for n, name in enumerate(documents)]
    indexes = [{"columns": [f"c{n}"], "kind": kind} for n in range(len(documents)) for kind in ("hash", "ordered")]
    keyspace.adopt_catalog(catalog(definition("t", columns=columns, key=["id"], partition_by=[], indexes=indexes)))
    copy = Keyspace(StoreSettings(), 0, 16383, random=Random(1).randrange)
    random = Random(3)
    for step in range(60):
        document = {f"c{n}": random.choice([*values, None]) for n, values in enumerate(documents.values())}
        reply = call(b"JSON.SET", b"t:%d" % random.randrange(8), b"$", msgspec.json.encode(document))
        assert reply == b"+OK\r\n"
        if step % 5 == 0:
            call(b"DEL", b"t:%d" % random.randrange(8))
        copy.apply(keyspace.take_turn()[0])
        if step % 10 == 0:
            keyspace.validate()
            copy.validate()
    assert call(b"KG.COUNT", b"t", b"c11 = '2013-01-31T05:00:00'").startswith(b":")
    keyspace.flush()
    keyspace.validate()
