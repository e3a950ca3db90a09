"""Wrong arguments of every public method: both clients say the same, name the argument, and have done nothing."""

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import kubegrid
from kubegrid.base.errors import UsageError
from kubegrid.client import Grid

Ask = Callable[[Any, Any], Any]


@dataclass
class Trade:
    book: str
    id: int
    price: float | None = None
    volume: int = 0


@pytest.fixture(scope="module")
def grid() -> Iterator[Grid]:
    with kubegrid.local() as embedded:
        yield embedded


KEY = ("FX", 1)
TABLE = {"name": "t", "key": ["book", "id"]}
WRONG: dict[str, list[Ask]] = {
    "limit is a whole number, not": [lambda g, t, given=given: t.find(limit=given) for given in (1.5, "x", True)],
    "limit is a whole number, at least 0": [lambda g, t: t.find(limit=-1)],
    "a predicate is a str": [
        lambda g, t: t.find(None),
        lambda g, t: t.count(5),
        lambda g, t: t.take(b"TRUE"),
    ],
    "timeout is a number of seconds": [
        *[lambda g, t, given=given: t.take("FALSE", timeout=given) for given in (-1, math.nan, None, "1", True)],
        *[lambda g, t, given=given: g.sql("SELECT 1", timeout=given) for given in (0, -1, math.inf, "1")],
    ],
    "set is a dict of column": [lambda g, t, given=given: t.change(KEY, set=given) for given in (5, "x", [], 0, "")],
    "increment is a dict of column": [lambda g, t, given=given: t.change(KEY, increment=given) for given in (5, ["x"])],
    "has no column 5": [lambda g, t: t.change(KEY, set={5: 1}), lambda g, t: t.change(KEY, increment={5: 1})],
    "column volume: .* cannot be added": [
        lambda g, t, given=given: t.change(KEY, increment={"volume": given}) for given in (None, "x", math.nan, True)
    ],
    "if_version is a whole number": [
        *[lambda g, t, given=given: t.change(KEY, set={"price": 9}, if_version=given) for given in (math.nan, "1", -1)],
        *[lambda g, t, given=given: t.remove(KEY, if_version=given) for given in (math.nan, True, [], -1)],
    ],
    "condition is a str": [
        lambda g, t, given=given: t.change(KEY, set={"price": 9}, condition=given) for given in (math.nan, 1, b"TRUE")
    ],
    "keys is a list of keys": [
        lambda g, t: t.read_many("FX"),
        lambda g, t: t.remove_many(None),
        lambda g, t: g.get_many("abc"),
        lambda g, t: g.get_many(None),
    ],
    "records is a list of records": [lambda g, t: t.write_many(None), lambda g, t: t.write_many("x")],
    "on_duplicate is 'replace', 'keep' or 'fail', not": [
        lambda g, t: t.write(Trade("q", 1), on_duplicate=[]),
        lambda g, t: t.write_many([], on_duplicate=None),
    ],
    "max_staleness_ms is a whole number": [
        lambda g, t, given=given: t.read(KEY, max_staleness_ms=given) for given in (-1, 1.5, True)
    ],
    "name is a str": [lambda g, t: t.add_column(5, "BIGINT"), lambda g, t: g.table(Trade, **{**TABLE, "name": 5})],
    "type is a str": [lambda g, t: t.add_column("c", None)],
    "nullable is True or False": [lambda g, t: t.add_column("c", "BIGINT", nullable=None)],
    "column c: default: ": [
        lambda g, t: t.add_column("c", "BIGINT", default=Decimal("1.5")),
        lambda g, t: t.add_column("c", "BIGINT", default="x"),
    ],
    "key is a list of names of columns": [
        lambda g, t, given=given: g.table(Trade, **{**TABLE, "key": given}) for given in (None, 5, b"book")
    ],
    "partition_by is a list of names": [lambda g, t: g.table(Trade, **TABLE, partition_by=5)],
    "index is a list of indexes": [lambda g, t: g.table(Trade, **TABLE, index=5)],
    "an index is a list of names": [lambda g, t: g.table(Trade, **TABLE, index=[5])],
    "a key is str, bytes, int or float": [
        lambda g, t: g.get(None),
        lambda g, t: g.delete(["a", "b"]),
        lambda g, t: g.delete("a", None),
        lambda g, t: g.set_many({(1,): 1}),
    ],
    "a value is str, bytes, int or float": [
        lambda g, t: g.set("k", None),
        lambda g, t: g.append("k", True),
        lambda g, t: g.set_many({"k": []}),
    ],
    "values is a dict of key": [lambda g, t: g.set_many(["k"])],
    "fields is a dict of field": [lambda g, t: g.hset("h", None), lambda g, t: g.hset("h", "x")],
    "field is str, bytes, int or float": [
        lambda g, t: g.hset("h", {None: 1}),
        lambda g, t: g.hset("h", {"f": None}),
        lambda g, t: g.hget("h", None),
        lambda g, t: g.hget_many("h", "a", None),
        lambda g, t: g.hdel("h", []),
        lambda g, t: g.hexists("h", True),
        lambda g, t: g.hincr("h", None),
    ],
    "name at least one field": [lambda g, t: g.hget_many("h"), lambda g, t: g.hdel("h")],
    "by is a whole number": [
        lambda g, t: g.incr("n", 1.5),
        lambda g, t: g.decr("n", None),
        lambda g, t: g.hincr("h", "f", 2**63),
    ],
    "by is a finite number": [lambda g, t: g.incr_float("n", math.nan), lambda g, t: g.incr_float("n", "1")],
    "seconds is a number of seconds": [
        lambda g, t, given=given: g.expire("k", given) for given in (None, math.nan, math.inf, 1e300, "1")
    ],
    "ex is a number of seconds at least 0.001": [
        lambda g, t, given=given: g.set("k", "v", ex=given) for given in (0, math.inf, "1", True)
    ],
    "count is a whole number, at least 1": [lambda g, t: all_of(g.scan(count=0))],
    "match is str": [lambda g, t: all_of(g.scan(match=[]))],
    "is about a key, which lies in one partition": [lambda g, t: g.execute_everywhere("SET", "k", "v")],
    "a word of a command is str": [lambda g, t: g.execute("SET", "k", None), lambda g, t: g.execute(True)],
    "tag is str or bytes": [lambda g, t: g.transaction(5), lambda g, t: g.transaction(None)],
    "table is what grid.table": [
        lambda g, t: g.transaction("FX").write("trades", Trade("FX", 1)),
        lambda g, t: g.transaction("FX").change(None, KEY),
        lambda g, t: g.transaction("FX").remove(5, KEY),
        lambda g, t: g.transaction("FX").read("trades", KEY),
    ],
    "a statement is a str": [lambda g, t: g.sql(None), lambda g, t: g.sql_stream(5)],
    "parameters are a list or tuple": [lambda g, t: g.sql("SELECT ?", 5)],
    "parameter 1 has 16610 bits": [lambda g, t: g.sql("SELECT ?", [10**5000])],
    "a statement id is a text": [lambda g, t: g.sql("SELECT 1", statement_id=10**5000)],
}


def all_of(found: Any) -> Any:
    async def gathered() -> list[Any]:
        return [key async for key in found]

    return gathered() if hasattr(found, "__aiter__") else list(found)


@pytest.mark.parametrize("said", WRONG)
async def test_both_clients_name_the_argument_and_do_nothing(grid: Grid, said: str) -> None:
    grid.execute_everywhere("FLUSHALL")
    table = grid.table(Trade, name="trades", key=["book", "id"])
    table.write(Trade("FX", 1, 1.0))
    kinds = (UsageError, TypeError, kubegrid.RejectedError)
    async with await kubegrid.connect_async(grid.members[0]) as other:
        there = await other.table(Trade, name="trades", key=["book", "id"])
        for ask in WRONG[said]:
            with pytest.raises(kinds, match=said) as sync:
                ask(grid, table)
            with pytest.raises(kinds, match=said) as asynchronous:
                answer = ask(other, there)
                assert inspect.isawaitable(answer)
                await answer
            assert (type(sync.value), str(sync.value)) == (type(asynchronous.value), str(asynchronous.value))
    assert (table.find(), grid.tables()) == ([Trade("FX", 1, 1.0)], ["trades"])
    assert grid.execute("DBSIZE") == 1


def test_numbers_of_numpy_are_numbers_and_keys_of_any_kind_are_found_again(grid: Grid) -> None:
    grid.execute_everywhere("FLUSHALL")
    table = grid.table(Trade, name="trades", key=["book", "id"])
    assert table.write_many(Trade("FX", n) for n in range(5)) == 5
    assert len(table.find(limit=np.int64(2))) == 2
    assert len(table.find(limit=10**30)) == 5
    changed = table.change(KEY, increment={"volume": np.int64(2)}, set={"price": np.float64(1.5)})
    assert changed is not None and changed.record == Trade("FX", 1, 1.5, 2)
    assert table.remove(KEY, if_version=np.int64(changed.version))
    assert table.take("id = 9", timeout=np.int64(0)) is None
    for key in (np.float64(1.5), bytearray(b"raw"), np.int64(7), "é"):
        grid.set(key, np.float64(2.5))  # type: ignore[arg-type]
        assert grid.get(key) == b"2.5"  # type: ignore[arg-type]
        assert grid.get_many([key, "none"]) == [b"2.5", None]  # type: ignore[list-item]
    assert grid.incr("n", np.int64(3)) == 3  # type: ignore[arg-type]


def test_a_default_of_a_new_column_may_be_of_any_type_that_its_values_have(grid: Grid) -> None:
    table = grid.table({"name": "plain", "columns": [{"name": "id", "type": "BIGINT"}], "key": ["id"]})
    table.write({"id": 1})
    table.add_column("price", "DECIMAL(9,2)", default=Decimal("1.5"))
    table.add_column("n", "BIGINT", default=np.int64(3))
    assert table.read(1) == {"id": 1, "price": Decimal("1.50"), "n": 3}
    with pytest.raises(kubegrid.BadDefinitionError, match="table plain: column x: 'BIGNIT' is not a type"):
        table.add_column("x", "BIGNIT", default=np.int64(3))
    table.drop()


SURROGATE: dict[str, Callable[[Any], Any]] = {
    "a key": lambda g: g.get("\ud800"),
    "a key to set": lambda g: g.set("\ud800", "v"),
    "a value": lambda g: g.set("k", "\ud800"),
    "a field": lambda g: g.hset("h", {"\ud800": 1}),
}


@pytest.mark.parametrize("what", SURROGATE)
async def test_text_that_is_not_encodable_is_refused_by_both_clients(grid: Grid, what: str) -> None:
    ask = SURROGATE[what]
    with pytest.raises(ValueError, match="cannot be sent as UTF-8"):
        ask(grid)
    async with await kubegrid.connect_async(grid.members[0]) as other:
        with pytest.raises(ValueError, match="cannot be sent as UTF-8"):
            await ask(other)


async def test_what_cannot_be_packed_stops_nothing_that_waits_with_it(grid: Grid) -> None:
    async with await kubegrid.connect_async(grid.members[0], in_flight=1) as other:
        with pytest.raises(ValueError, match="surrogates"):
            await other.caller.submit((b"GET", "\udc80"), 0, False)
        good = [other.incr("m") for _ in range(3)]
        bad = other.caller.submit((b"GET", "\udc80"), 0, False)
        more = [other.incr("m") for _ in range(3)]
        assert [await one for one in (*good, *more)] == [1, 2, 3, 4, 5, 6]
        with pytest.raises(ValueError, match="surrogates"):
            await bad


def test_the_memory_of_an_embedded_grid_is_a_number_of_bytes() -> None:
    for given in ("1", 1e9, True):
        with pytest.raises(UsageError, match="memory_bytes is a whole number, not"):
            kubegrid.local(memory_bytes=given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "given"),
    [("password", 5), ("request_ids", 1), ("retry_first", math.inf), ("silence", math.nan), ("connections", True)],
)
def test_an_option_of_another_type_is_named(option: str, given: Any) -> None:
    with pytest.raises(UsageError, match=f"^{option} is "):
        kubegrid.connect(**{option: given})
