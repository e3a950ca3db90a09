"""The catalog of tables in a real manager, with members played by the real client."""

import asyncio
import json

import pytest
from tests.integration.test_manager import TEST_S, begun, lose_all, lost, remove_database, stage, until

from kubegrid.base.tables import Catalog
from kubegrid.coordination import catalog
from kubegrid.coordination.catalog import ADD_COLUMN, CREATE, DROP, Change
from kubegrid.manager import catalog as keeper

__all__ = ["stage"]

FLIGHTS = {"name": "flights", "columns": [{"name": "id", "type": "INTEGER"}], "key": ["id"]}
CREATE_FLIGHTS = Change(CREATE, "flights", json.dumps(FLIGHTS).encode())


def follow_catalog(player, *, adopts: bool = True) -> list[Catalog]:
    """Let a played member take up what it is told, as a serving primary does; what it was told."""
    told: list[Catalog] = []

    def pushed(document: bytes) -> None:
        told.append(catalog.decoded(document))
        version = told[-1].version
        player.say(catalog_known=version, **({"catalog_adopted": version} if adopts else {}))

    player.client.on_catalog = pushed
    player.client.newest_catalog = lambda: catalog.encoded(told[-1])
    return told


async def test_a_table_is_made_told_and_answered_when_the_primary_has_adopted_it(stage):
    manager = await stage.make(partitions=1)
    first, second = await begun(stage, manager)
    follow_catalog(first, adopts=False)
    told = follow_catalog(second, adopts=False)
    asked = asyncio.create_task(second.client.change_catalog(CREATE_FLIGHTS))
    await until(lambda: told and "flights" in told[-1].by_name)
    await asyncio.sleep(0.1)
    assert not asked.done(), "the primary has not adopted it"
    first.say(catalog_adopted=1)
    assert (await asked).code == "" and (await asked).version == 1
    assert (await manager.get("/v1/tables"))["tables"][0]["id"] == 1


async def test_a_member_that_registers_is_told_the_catalog(stage):
    manager = await stage.make(partitions=1)
    first, _ = await begun(stage, manager)
    follow_catalog(first)
    assert (await manager.post("/v1/tables", **FLIGHTS))[0] == 200
    late = stage.join(manager, "p0-1", "late")
    told = follow_catalog(late)
    await until(lambda: told and told[-1].version == 1)


async def test_the_same_again_is_fine_and_another_schema_is_refused_with_the_difference(stage):
    manager = await stage.make(partitions=1)
    first, _ = await begun(stage, manager)
    follow_catalog(first)
    for _ in range(2):
        assert (await first.client.change_catalog(CREATE_FLIGHTS)).code == ""
    other = FLIGHTS | {"columns": [{"name": "id", "type": "BIGINT"}]}
    answer = await first.client.change_catalog(Change(CREATE, "flights", json.dumps(other).encode()))
    assert answer.code == "TABLECONFLICT" and "INTEGER" in answer.reason and "BIGINT" in answer.reason
    code, body = await manager.post("/v1/tables", **other)
    assert code == 409 and "BIGINT" in body["error"] and body["remedy"]
    column = Change(ADD_COLUMN, "flights", b'{"name": "note", "type": "VARCHAR"}')
    assert (await first.client.change_catalog(column)).version == 2
    assert (await first.client.change_catalog(Change(DROP, "flihgts"))).code == "NOTABLE"
    assert (await first.client.change_catalog(Change(DROP, "flights"))).version == 3


async def test_a_primary_that_does_not_adopt_is_named_and_the_outcome_is_known(stage, monkeypatch):
    monkeypatch.setattr(keeper, "ADOPTION_TIMEOUT_S", 0.3)
    manager = await stage.make(partitions=1)
    first, _ = await begun(stage, manager)
    answer = await first.client.change_catalog(CREATE_FLIGHTS)
    assert answer.code == "NOTYET" and "partition 0" in answer.reason and answer.version == 1
    code, body = await manager.post("/v1/tables", **FLIGHTS)
    assert (code, body["done"], body["behind"]) == (504, True, [0])
    assert (await manager.get("/v1/tables"))["behind"] == [0]
    await first.die()  # it may serve although nobody hears it
    assert (await manager.post("/v1/tables", **FLIGHTS))[0] == 504


async def test_a_partition_whose_primary_is_dead_is_not_waited_for(stage):
    manager = await stage.make(partitions=1)
    first, second = await begun(stage, manager)
    told = follow_catalog(second, adopts=False)
    await lose_all(manager, first)
    assert (await second.client.change_catalog(CREATE_FLIGHTS)).code == ""
    await until(lambda: told and told[-1].version == 1)


async def test_of_two_who_create_one_table_differently_one_is_refused(stage):
    manager = await stage.make(partitions=1)
    first, second = await begun(stage, manager)
    follow_catalog(first)
    other = json.dumps(FLIGHTS | {"ttl": 60}).encode()
    answers = await asyncio.gather(
        first.client.change_catalog(CREATE_FLIGHTS), second.client.change_catalog(Change(CREATE, "flights", other))
    )
    assert sorted(answer.code for answer in answers) == ["", "TABLECONFLICT"]


async def test_http_tells_describes_extends_and_drops(stage):
    manager = await stage.make(partitions=1)
    first, _ = await begun(stage, manager)
    follow_catalog(first)
    assert (await manager.post("/v1/tables", **FLIGHTS))[0] == 200
    grown = FLIGHTS | {"columns": [*FLIGHTS["columns"], {"name": "note", "type": "VARCHAR"}]}
    code, body = await manager.post("/v1/tables?extend=true", **grown)
    assert code == 200 and body["schema"] == 2
    code, body = await manager.post("/v1/tables/flights/columns", name="day", type="DATE")
    assert code == 200 and [column["name"] for column in body["columns"]] == ["id", "note", "day"]
    assert (await manager.get("/v1/tables/flights"))["schema"] == 3
    assert (await manager.http.get("/v1/tables/flihgts")).status_code == 404
    code, body = await manager.post("/v1/tables", name="t", columns=[{"name": "id", "type": "INTEGRE"}], key=["id"])
    assert code == 422 and "INTEGER" in body["error"]
    answer = await manager.http.delete("/v1/tables/flights")
    assert answer.status_code == 200 and (await manager.get("/v1/tables"))["tables"] == []
    assert (await manager.http.delete("/v1/tables/flights")).status_code == 404


async def test_the_catalog_outlives_the_manager_and_a_rebuild_restores_it_from_the_members(stage):
    manager = await stage.make(partitions=1)
    first, second = await begun(stage, manager)
    told = follow_catalog(first)
    follow_catalog(second)
    assert (await first.client.change_catalog(CREATE_FLIGHTS)).code == ""
    await manager.restart()
    await until(lambda: first.client.connected and second.client.connected)
    assert [table["name"] for table in (await manager.get("/v1/tables"))["tables"]] == ["flights"]
    await manager.end()
    remove_database(manager)
    await manager.start()
    await lost(manager)
    assert (await first.client.change_catalog(Change(DROP, "flights"))).code == "NOMANAGER"
    await until(lambda: first.client.connected and second.client.connected)
    async with asyncio.timeout(TEST_S):
        while (answer := await manager.post("/v1/rebuild"))[0] != 200:
            await asyncio.sleep(0.05)
    assert answer[1]["tables"]["version"] == 1 and answer[1]["tables"]["from"] in ("p0-0/a", "p0-1/a")
    assert (await manager.get("/v1/tables"))["tables"][0]["name"] == "flights"
    assert told[-1].version == 1


async def test_a_member_that_knows_a_newer_catalog_shows_that_the_data_are_an_older_copy(stage):
    manager = await stage.make(partitions=1)
    first, _ = await begun(stage, manager)
    first.say(catalog_known=7)
    status = await lost(manager)
    assert "version 7 of the catalog" in status["managers"][0]["advice"]


@pytest.mark.parametrize("document", [b"{", b"[]"])
async def test_a_definition_that_makes_no_sense_is_refused_by_its_code(stage, document):
    manager = await stage.make(partitions=1)
    first, _ = await begun(stage, manager)
    assert (await first.client.change_catalog(Change(CREATE, "t", document))).code == "BADDEFINITION"
    assert (await manager.get("/v1/tables"))["version"] == 0
