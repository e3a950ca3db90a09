"""A real manager process, and members played by the real client."""

import asyncio
import contextlib
import html
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.ports import HeldPorts

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.base.settings import ManagerConfig
from kubegrid.coordination import CoordinatorError, ManagerClient, ManagerClientSettings, MemberRecord, Outcome
from kubegrid.manager.main import serve
from kubegrid.transport import Hello

COMMAND = [sys.executable, "-c", "import sys; from kubegrid.manager.main import run; sys.exit(run(sys.argv[1]))"]
GRID = "11111111-2222-3333-4444-555555555555"
SECRET = b"the secret"
QUICK = ManagerClientSettings(renew_interval_s=0.1, call_timeout_s=10.0)
TEST_S = 60.0
"""Longer than anything here takes on a machine that is busy with other things."""


async def until(condition, timeout_s: float = TEST_S):
    """Wait for what has to happen; fails if it does not."""
    async with asyncio.timeout(timeout_s):
        while not (result := condition()):
            await asyncio.sleep(0.01)
        return result


class Manager:
    """One manager and its folder: a process of its own where it has to be killed, else on the test's loop."""

    def __init__(self, folder: Path, process: bool = False, **changes) -> None:
        self.as_process = process
        self.ended = asyncio.Event()
        self.task: asyncio.Task | None = None
        self.folder = folder
        self.state = folder / "m0"
        self.state.mkdir()
        (self.state / "new-grid").write_text(GRID)
        (folder / "secret").write_bytes(SECRET)
        self.ports = HeldPorts(2)
        http_port, coordination_port = self.ports
        settings = {
            "grid": "test",
            "grid_id": GRID,
            "name": "m0",
            "bind": "127.0.0.1",
            "advertise": "127.0.0.1",
            "http_port": http_port,
            "coordination_port": coordination_port,
            "state_dir": str(self.state),
            "partitions": 2,
            "copies": 2,
            "on_loss": "wait",
            "first_primaries": {"0": "p0-0", "1": "p1-0"},
            "spec": {"partitions": 2},
            "secret_file": str(folder / "secret"),
            "lookup_lease_ms": 2000,
        }
        self.config = ManagerConfig(**(settings | changes))
        self.address = f"127.0.0.1:{coordination_port}"
        self.process: subprocess.Popen | None = None
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{http_port}",
            headers={"Authorization": f"Bearer {SECRET.decode()}"},
            timeout=TEST_S,
        )

    async def start(self) -> None:
        (self.folder / "m0.json").write_bytes(msgspec.json.encode(self.config))
        if self.as_process:
            with open(self.folder / "m0.log", "ab") as log:
                self.process = subprocess.Popen([*COMMAND, str(self.folder / "m0.json")], stderr=log)
        else:
            self.ended.clear()
            self.task = asyncio.create_task(serve(self.config, SECRET, self.ended))
        async with asyncio.timeout(TEST_S):
            while True:
                assert self.process is None or self.process.poll() is None, self.log()
                assert self.task is None or not self.task.done()
                with contextlib.suppress(httpx.TransportError):
                    await self.http.get("/livez")
                    return
                await asyncio.sleep(0.02)

    def log(self) -> str:
        return (self.folder / "m0.log").read_text()

    async def end(self, number: int = signal.SIGTERM) -> int:
        if self.task is not None:
            self.ended.set()
            await self.task
            self.task = None
        if self.process is None:
            return 0
        self.process.send_signal(number)
        code = self.process.wait(TEST_S)
        self.process = None
        return code

    async def restart(self, number: int = signal.SIGKILL) -> None:
        await self.end(number)
        await self.start()

    async def get(self, path: str):
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, **body):
        answer = await self.http.post(path, json=body)
        return answer.status_code, answer.json()

    async def partition(self, number: int) -> dict:
        return (await self.get("/v1/status"))["partitions"][number]


class Player:
    """A member as the manager sees it; it follows what it is told or reads, and keeps no data."""

    def __init__(self, manager: Manager, name: str, incarnation: str, **record) -> None:
        self.member = Member(name, incarnation)
        self.partition, self.ordinal = (int(part) for part in name[1:].split("-"))
        self.topologies = []
        self.commands = []
        self.configuration: Configuration | None = None
        self.token = 0
        hello = Hello(kind="member", grid=GRID, name=name, incarnation=incarnation)
        self.client = ManagerClient(
            [manager.address], hello, SECRET, self.topologies.append, self.command, settings=QUICK
        )
        self.record = MemberRecord(
            name=name,
            incarnation=incarnation,
            partition=self.partition,
            ordinal=self.ordinal,
            role="idle",
            address="127.0.0.1",
            resp_port=7000 + self.ordinal,
            http_port=8000,
            replication_port=9000,
            started_at=time.time(),
            pid=os.getpid(),
        )
        self.say(**record)
        self.client.start()

    def command(self, command, answer):
        self.commands.append((command, answer))

    def say(self, **changes) -> None:
        self.record = msgspec.structs.replace(self.record, **changes)
        self.client.register(self.record, self.configuration)

    async def follow(self) -> Configuration:
        """Read until there is a configuration, and follow it."""
        async with asyncio.timeout(TEST_S):
            while True:
                with contextlib.suppress(CoordinatorError):
                    self.configuration, self.token = await self.client.read_configuration(self.partition)
                    if self.configuration is not None:
                        self.say(epoch=self.configuration.epoch)
                        return self.configuration
                await asyncio.sleep(0.01)

    async def change(self, **changes):
        """Propose a successor of what is followed; follow it when it applies."""
        proposed = msgspec.structs.replace(
            self.configuration, epoch=self.configuration.epoch + 1, proposer=str(self.member), note="", **changes
        )
        result = await self.client.swap_configuration(proposed, self.token)
        if result.outcome is Outcome.APPLIED:
            self.configuration, self.token = result.current, result.token
            self.say(epoch=proposed.epoch)
        return result

    async def die(self) -> None:
        await self.client.close()


@pytest.fixture
async def stage(tmp_path):
    """`make(**changes)` a manager that runs, `join(name, …)` a member; all are ended."""
    managers, players = [], []

    class Stage:
        async def make(self, **changes) -> Manager:
            manager = Manager(tmp_path, **changes)
            managers.append(manager)
            await manager.start()
            return manager

        def join(self, manager, name, incarnation="a", **record) -> Player:
            players.append(Player(manager, name, incarnation, **record))
            return players[-1]

    yield Stage()
    for player in players:
        await player.die()
    for manager in managers:
        await manager.end(signal.SIGKILL)
        await manager.http.aclose()
        manager.ports.close()


async def begun(stage, manager) -> tuple[Player, Player]:
    """Partition 0 with a primary and a backup in sync, at epoch 2."""
    first = stage.join(manager, "p0-0")
    await first.follow()
    second = stage.join(manager, "p0-1")
    await first.change(in_sync=(first.member, second.member))
    first.say(role="primary", serving=True, complete=True)
    await second.follow()
    second.say(role="backup", complete=True)
    return first, second


async def applied(player: Player, **changes) -> None:
    """Propose it until it applies."""
    async with asyncio.timeout(TEST_S):
        while (await player.change(**changes)).outcome is not Outcome.APPLIED:
            await asyncio.sleep(0.01)


# -- beginning -----------------------------------------------------------------------------------------------------


async def test_a_new_grid_begins_with_the_first_primary_alone_and_only_when_it_is_there(stage):
    manager = await stage.make()
    other = stage.join(manager, "p0-1")
    await until(lambda: other.topologies)
    assert (await other.client.read_configuration(0)) == (None, 0)
    assert "waits for p0-0 to register" in (await manager.partition(0))["explanation"]
    first = stage.join(manager, "p0-0", "inc")
    configuration = await first.follow()
    assert configuration.epoch == 1 and configuration.grid == GRID
    assert configuration.primary == first.member and configuration.in_sync == (first.member,)
    assert not (manager.state / "new-grid").exists()


async def test_it_begins_once_also_over_kills_of_the_manager(stage):
    manager = await stage.make(process=True)
    first, _ = await begun(stage, manager)
    for _ in range(2):
        await manager.restart(signal.SIGKILL)
        await until(lambda: first.client.connected)
        assert (await first.client.read_configuration(0))[0] == first.configuration
    await applied(first)


async def test_changes_are_pushed(stage):
    manager = await stage.make()
    first, second = await begun(stage, manager)
    await until(lambda: second.topologies and second.topologies[-1].partitions[0].epoch == 2)
    heard = []
    second.client.watch("partition/0", heard.append)
    await second.client.read_configuration(0)  # whose answer comes after the manager has read what was sent before
    seen = len(second.topologies)
    await first.change()
    await until(lambda: heard and second.topologies[seen:] and second.topologies[-1].partitions[0].epoch == 3)
    assert heard == ["partition/0"]


async def test_a_member_disappears_with_its_lease_not_before(stage):
    manager = await stage.make()
    first, second = await begun(stage, manager)
    await until(lambda: [record.name for record in first.client.topology.members] == ["p0-0", "p0-1"])
    await second.die()
    assert {m["name"] for m in await manager.get("/v1/members")} == {"p0-0", "p0-1"}
    await until(lambda: [record.name for record in first.client.topology.members] == ["p0-0"])
    assert len(await manager.get("/v1/members")) == 1
    assert (await manager.partition(0))["members"][1] == (await manager.partition(0))["members"][1] | {
        "name": "p0-1",
        "role": "stopped",
        "pid": None,
        "resp": None,
    }


async def test_status_is_what_the_contract_says(stage):
    manager = await stage.make()
    await begun(stage, manager)
    stage.join(manager, "p1-0")
    async with asyncio.timeout(TEST_S):
        while (status := await manager.get("/v1/status"))["partitions"][1]["epoch"] == 0:
            await asyncio.sleep(0.02)
    assert (status["grid"], status["id"], status["state"]) == ("test", GRID, "degraded")
    partition = status["partitions"][0]
    assert partition["slots"] == [[0, 8191]] and partition["state"] == "serving"
    assert partition["primary"] == "p0-0" and partition["in_sync"] == ["p0-0", "p0-1"]
    assert partition["members"][0]["resp"] == "127.0.0.1:7000" and partition["members"][0]["role"] == "primary"
    assert status["managers"][0]["coordinator"] == "embedded" and status["managers"][0]["leader"] is True


# -- compare-and-swap ----------------------------------------------------------------------------------------------


async def test_what_rest_does_not_have_or_cannot_read_is_an_error_as_any(stage):
    manager = await stage.make()
    nothing = await manager.http.get("/v1/nothing")
    assert (nothing.status_code, nothing.json()) == (
        404,
        {"error": "there is nothing at /v1/nothing; /docs lists what there is"},
    )
    wrong = await manager.http.request("DELETE", "/v1/status")
    assert (wrong.status_code, wrong.json()) == (405, {"error": "/v1/status takes no DELETE"})
    assert wrong.headers["allow"] == "GET"
    for content, said in (("{bad", "JSON decode error"), ("[]", "Input should be a valid dictionary")):
        answer = await manager.http.post("/v1/tables", content=content, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()) == (422, {"error": f"the request does not hold: {said}"})


async def test_the_list_of_all_paths_needs_nothing_from_elsewhere(stage):
    manager = await stage.make()
    answer = await manager.http.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    described = await manager.get("/openapi.json")
    for path, methods in described["paths"].items():
        assert f"<code>{path}</code>" in answer.text
        for operation in methods.values():
            assert html.escape(operation["description"]) in answer.text
    assert "<code>vouched_by</code>" in answer.text and "<code>?extend</code>" in answer.text
    assert not any(word in answer.text for word in ("://", "<script", "src="))


async def test_of_two_proposals_one_applies_and_the_other_learns_it(stage):
    manager = await stage.make()
    first, second = await begun(stage, manager)
    one, two = await asyncio.gather(first.change(), second.change())
    assert sorted([one.outcome, two.outcome]) == [Outcome.APPLIED, Outcome.CONFLICT]
    loser = one if one.outcome is Outcome.CONFLICT else two
    winner = two if loser is one else one
    assert loser.current == winner.current and loser.token == winner.token


async def test_a_swap_without_a_manager_is_unknown_at_once(stage):
    manager = await stage.make(process=True)
    first, _ = await begun(stage, manager)
    await manager.end(signal.SIGKILL)
    await until(lambda: not first.client.connected)
    begun_at = time.monotonic()
    assert (await first.change()).outcome is Outcome.UNKNOWN
    with pytest.raises(CoordinatorError):
        await first.client.read_configuration(0)
    assert time.monotonic() - begun_at < QUICK.call_timeout_s / 2
    await manager.start()
    await until(lambda: first.client.connected)


async def test_a_swap_into_a_stopped_manager_is_unknown_after_its_time(stage):
    manager = await stage.make(process=True)
    first, _ = await begun(stage, manager)
    manager.process.send_signal(signal.SIGSTOP)
    first.client.settings = msgspec.structs.replace(QUICK, call_timeout_s=0.2)
    assert (await first.change()).outcome is Outcome.UNKNOWN
    first.client.settings = QUICK
    manager.process.send_signal(signal.SIGCONT)
    await until(lambda: first.client.connected)
    async with asyncio.timeout(TEST_S):  # it is applied although its answer was not waited for
        while (await first.client.read_configuration(0))[0].epoch != 3:
            await asyncio.sleep(0.01)


async def test_members_cannot_begin_partitions_or_write_other_records(stage):
    manager = await stage.make()
    first, _ = await begun(stage, manager)
    foreign = Configuration("other", 0, 3, first.member, (first.member,))
    assert (await first.client.swap_configuration(foreign, first.token)).outcome is Outcome.UNKNOWN
    unbegun = Configuration(GRID, 1, 1, first.member, (first.member,))
    assert (await first.client.swap_configuration(unbegun, None)).outcome is Outcome.UNKNOWN
    stranger = stage.join(manager, "p0-1", "other")
    await stranger.follow()
    assert (await stranger.change()).outcome is Outcome.UNKNOWN, "who is not in sync changes nothing"
    first.configuration = msgspec.structs.replace(first.configuration, epoch=5)
    assert (await first.change()).outcome is Outcome.UNKNOWN, "an epoch is followed by the next one"
    assert (await first.client.read_configuration(0))[0].epoch == 2
    assert (await first.client.compare_and_swap("grid", b"{}", None)).outcome is Outcome.UNKNOWN
    assert (await first.client.read_configuration(1)) == (None, 0)


async def test_a_member_may_register_only_itself(stage):
    manager = await stage.make()
    await begun(stage, manager)
    liar = stage.join(manager, "p1-0")
    liar.say(name="p1-1")
    await asyncio.sleep(0.2)
    assert all(m["name"] != "p1-1" for m in await manager.get("/v1/members"))


# -- the loss of all copies ----------------------------------------------------------------------------------------


async def lose_all(manager, *players) -> None:
    for player in players:
        await player.die()
        code, _ = await manager.post("/v1/members/dead", name=player.member.name, incarnation=player.member.incarnation)
        assert code == 200


async def test_with_wait_a_lost_partition_stays_down_until_the_loss_is_accepted(stage):
    manager = await stage.make(process=True)
    first, second = await begun(stage, manager)
    await lose_all(manager, first, second)
    fresh = stage.join(manager, "p0-1", "b")
    await until(lambda: fresh.topologies)
    partition = await manager.partition(0)
    assert partition["state"] == "down" and partition["waiting_for"] == "accept-loss"
    assert "all copies were lost: p0-0/a died at" in partition["explanation"]
    assert "kubegrid partition accept-loss 0" in partition["explanation"]
    await manager.restart(signal.SIGKILL)  # the proofs are kept
    await until(lambda: fresh.client.connected)
    code, answer = await manager.post("/v1/partitions/0/accept-loss")
    assert code == 200, answer
    assert answer["primary"] == "p0-1" and answer["epoch"] == 3 and "loss was accepted" in answer["note"]
    configuration = await fresh.follow()
    assert configuration.primary == fresh.member and configuration.in_sync == (fresh.member,)


async def test_a_loss_without_proof_is_refused_naming_who(stage):
    manager = await stage.make()
    first, second = await begun(stage, manager)
    fresh = stage.join(manager, "p0-1", "b")
    await lose_all(manager, second)
    code, answer = await manager.post("/v1/partitions/0/accept-loss")
    assert code == 409 and "p0-0/a of its in-sync set lives" in answer["error"] and not answer["remedy"]
    await first.die()
    await until(lambda: len(fresh.client.topology.members) == 1)
    code, answer = await manager.post("/v1/partitions/0/accept-loss")
    assert code == 409 and answer["not_proven"] == [{"name": "p0-0", "incarnation": "a"}]
    assert "--vouch-dead" in answer["remedy"]
    dead = [{"name": "p0-0", "incarnation": "a"}]
    code, answer = await manager.post("/v1/partitions/0/accept-loss", dead=dead, vouched_by="jo")
    assert code == 200 and "vouched for by jo" in answer["note"]


async def test_with_start_empty_it_begins_again_by_itself_and_says_so(stage):
    manager = await stage.make(on_loss="startEmpty")
    first, second = await begun(stage, manager)
    await lose_all(manager, first, second)
    fresh = stage.join(manager, "p0-1", "b")
    configuration = await fresh.follow()
    async with asyncio.timeout(TEST_S):
        while configuration.epoch < 3:
            configuration = await fresh.follow()
    assert configuration.primary == fresh.member and "startEmpty" in configuration.note
    fresh.configuration = configuration
    assert (await fresh.change()).outcome is Outcome.APPLIED  # what follows has no note; the status keeps it
    assert "starts empty" in (await manager.partition(0))["note"]


async def test_the_survivor_with_the_most_goes_before_an_empty_member(stage):
    manager = await stage.make(copies=3, on_loss="startEmpty")
    first, second = await begun(stage, manager)
    stage.join(manager, "p0-2", "old", complete=True, last_epoch=2, last_seq=17)
    await lose_all(manager, first)
    stage.join(manager, "p0-0", "new")
    there = {"old", "new"}
    await until(lambda: there <= {record.incarnation for record in second.client.topology.members})
    await lose_all(manager, second)
    async with asyncio.timeout(TEST_S):
        while (partition := await manager.partition(0))["epoch"] < 3:
            await asyncio.sleep(0.02)
    assert partition["primary"] == "p0-2" and "up to 2.17" in partition["note"]


async def test_after_an_orderly_down_the_grid_begins_empty_at_the_next_epoch(stage):
    manager = await stage.make()
    first, second = await begun(stage, manager)
    assert (await manager.post("/v1/grid/closing"))[0] == 200
    await until(lambda: first.client.topology.closing)
    await lose_all(manager, first, second)
    await manager.restart(signal.SIGTERM)
    again = stage.join(manager, "p0-0", "b")
    async with asyncio.timeout(TEST_S):
        while (await again.follow()).epoch < 3:
            await asyncio.sleep(0.01)
    assert again.configuration.primary == again.member and "taken down in order" in again.configuration.note
    await lose_all(manager, again)  # a later loss is not covered by the old closing
    stage.join(manager, "p0-0", "c")
    async with asyncio.timeout(TEST_S):
        while (await manager.partition(0))["waiting_for"] != "accept-loss":
            await asyncio.sleep(0.02)


async def test_who_shows_life_after_its_proof_of_death_is_not_dead(stage):
    manager = await stage.make(process=True, on_loss="startEmpty")
    first, second = await begun(stage, manager)
    for count, player in enumerate((first, second), 1):  # their processes live, and connect again
        await manager.post("/v1/members/dead", name=player.member.name, incarnation=player.member.incarnation)
        await until(lambda count=count: manager.log().count("but lives") >= count)
    await asyncio.sleep(0.3)
    assert (await manager.partition(0))["epoch"] == 2


# -- hand-over -----------------------------------------------------------------------------------------------------


async def test_a_hand_over_is_asked_of_the_primary_and_awaited(stage):
    manager = await stage.make()
    first, second = await begun(stage, manager)
    asked = asyncio.create_task(manager.post("/v1/partitions/0/hand-over", to="p0-1"))
    await until(lambda: first.commands)
    command, answer = first.commands[0]
    assert (command.partition, command.to) == (0, second.member)
    answer(True)
    await first.change(primary=second.member)
    assert await asked == (200, {"primary": "p0-1", "epoch": 3})
    assert await manager.post("/v1/partitions/0/hand-over", to="p0-1") == (200, {"primary": "p0-1", "epoch": 3})


async def test_a_hand_over_to_the_primary_is_done_already_unless_that_is_gone(stage):
    manager = await stage.make()
    first, _ = await begun(stage, manager)
    code, answer = await manager.post("/v1/partitions/0/hand-over", to="p0-0")
    assert code == 200 and answer["primary"] == "p0-0"
    await first.die()
    async with asyncio.timeout(10):
        while code == 200:
            code, answer = await manager.post("/v1/partitions/0/hand-over", to="p0-0")
    assert code == 409 and "p0-0/a is the primary of partition 0, and is not connected" in answer["error"]


async def test_a_hand_over_that_cannot_be_is_refused_with_the_reason(stage):
    manager = await stage.make()
    first, _ = await begun(stage, manager)
    assert (await manager.post("/v1/partitions/9/hand-over"))[0] == 404
    assert (await manager.post("/v1/partitions/1/hand-over")) == (409, {"error": "partition 1 has not begun"})
    code, answer = await manager.post("/v1/partitions/0/hand-over", to="p0-7")
    assert code == 409 and "p0-7 is not in sync" in answer["error"]
    asked = asyncio.create_task(manager.post("/v1/partitions/0/hand-over"))
    await until(lambda: first.commands)
    first.commands.pop()[1](False, "I am busy")
    code, answer = await asked
    assert code == 409 and "I am busy" in answer["error"]
    asked = asyncio.create_task(manager.post("/v1/partitions/0/hand-over", timeout_s=0.2))
    await until(lambda: first.commands)
    first.commands.pop()[1](True)
    assert (await asked)[0] == 504


# -- a coordinator without its data --------------------------------------------------------------------------------


async def lost(manager) -> dict:
    async with asyncio.timeout(TEST_S):
        while True:
            status = await manager.get("/v1/status")
            if status["managers"][0]["coordinator_state"] == "lost":
                return status
            await asyncio.sleep(0.02)


def remove_database(manager) -> None:
    for path in manager.state.glob("coordinator.db*"):
        path.unlink()


async def test_the_database_deleted_under_the_manager_is_noticed_refused_and_rebuilt(stage):
    manager = await stage.make()
    first, second = await begun(stage, manager)
    assert (await manager.post("/v1/rebuild"))[0] == 409
    remove_database(manager)
    status = await lost(manager)
    assert status["state"] == "degraded" and status["partitions"][0]["state"] == "serving"
    assert "kubegrid manager rebuild" in status["managers"][0]["advice"]
    assert (await first.change()).outcome is Outcome.UNKNOWN
    with pytest.raises(CoordinatorError, match="deleted"):
        await first.client.read_configuration(0)
    code, answer = await manager.post("/v1/rebuild")
    assert code == 200 and answer["partitions"]["0"]["epoch"] == 2
    await first.follow()
    assert first.configuration.epoch == 2
    assert (await first.change()).outcome is Outcome.APPLIED
    await manager.restart()
    await second.follow()
    assert second.configuration == first.configuration


async def test_a_manager_restarted_without_its_database_never_begins_anew(stage):
    manager = await stage.make(process=True)
    first, second = await begun(stage, manager)
    await manager.end(signal.SIGKILL)
    remove_database(manager)
    await manager.start()
    await lost(manager)
    await until(lambda: first.client.connected and second.client.connected)
    assert (await manager.http.get("/readyz")).status_code == 503
    async with asyncio.timeout(TEST_S):
        while (answer := await manager.post("/v1/rebuild"))[0] != 200:
            assert answer[0] == 409  # partition 1 had not begun, and nobody is there to say so
            answer = await manager.post("/v1/rebuild", force=True, confirm="nonsense")
            assert answer[0] == 409 and "confirm" in answer[1]["error"]
            answer = await manager.post("/v1/rebuild", force=True, confirm="test")
            break
    assert answer[0] == 200, answer
    await first.follow()
    assert first.configuration.epoch == 2 and (await first.change()).outcome is Outcome.APPLIED
    assert "no copy is known" in (await manager.partition(1))["explanation"]


async def test_the_whole_folder_gone_does_not_make_a_second_beginning(stage):
    manager = await stage.make()
    first, _ = await begun(stage, manager)
    await manager.end(signal.SIGKILL)
    for path in manager.state.iterdir():
        path.unlink()
    await manager.start()
    await lost(manager)
    await until(lambda: first.client.connected)
    with pytest.raises(CoordinatorError, match="not just made"):
        await first.client.read_configuration(0)


async def test_an_older_copy_of_the_folder_is_recognised_by_what_members_follow(stage):
    manager = await stage.make()
    first, _ = await begun(stage, manager)
    await manager.end(signal.SIGTERM)
    copy = {path: path.read_bytes() for path in manager.state.iterdir()}
    await manager.start()
    await until(lambda: first.client.connected)
    await applied(first)
    await manager.end(signal.SIGTERM)
    for path in list(manager.state.iterdir()):
        path.unlink()
    for path, content in copy.items():
        path.write_bytes(content)
    await manager.start()
    status = await lost(manager)
    assert "older copy" in status["managers"][0]["advice"]
    await manager.restart(signal.SIGKILL)
    await lost(manager)  # it stays so
    assert status["partitions"][0]["epoch"] == 3, "the status shows what members know"


async def test_a_deposed_primary_changes_nothing_in_an_older_copy_before_its_successor_is_heard(stage):
    manager = await stage.make(process=True, arrival_ms=600_000)
    first, second = await begun(stage, manager)
    deposed = first.configuration, first.token
    older = {path: path.read_bytes() for path in manager.state.iterdir() if path.is_file()}
    await manager.restart()
    await first.follow()
    await second.follow()
    await applied(second, primary=second.member, in_sync=(second.member,))
    await second.die()
    await manager.end(signal.SIGKILL)
    for path, content in older.items():
        path.write_bytes(content)
    await manager.start()
    first.configuration, first.token = deposed
    await until(lambda: first.client.connected)
    refused = await first.change(in_sync=(first.member,))
    assert refused.outcome is Outcome.UNKNOWN
    late = stage.join(manager, "p0-1")
    late.configuration = second.configuration
    late.say(epoch=late.configuration.epoch)
    await lost(manager)
    assert (await first.change(in_sync=(first.member,))).outcome is Outcome.UNKNOWN


async def test_a_change_without_a_member_that_is_dead_goes_through_soon_after_a_start(stage):
    manager = await stage.make(process=True)
    first, second = await begun(stage, manager)
    await second.die()
    await manager.restart()
    await first.follow()
    await applied(first, in_sync=(first.member,))


async def test_a_rebuild_is_refused_while_a_member_of_the_in_sync_set_is_missing(stage):
    manager = await stage.make(partitions=1)
    first, second = await begun(stage, manager)
    await second.die()
    await manager.end(signal.SIGKILL)
    remove_database(manager)
    await manager.start()
    await until(lambda: first.client.connected)
    await asyncio.sleep(0.2)
    code, answer = await manager.post("/v1/rebuild")
    assert code == 409 and "p0-1/a of its in-sync set" in answer["missing"]["0"]
    back = stage.join(manager, "p0-1", "a")
    back.configuration = second.configuration
    back.say()
    async with asyncio.timeout(TEST_S):
        while (await manager.post("/v1/rebuild"))[0] != 200:
            await asyncio.sleep(0.05)


# -- the process ---------------------------------------------------------------------------------------------------


async def test_without_the_secret_only_probes_and_metrics_answer(stage):
    manager = await stage.make()
    async with httpx.AsyncClient(base_url=manager.http.base_url) as stranger:
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await stranger.get(path)).status_code == 200
        for path in ("/v1/status", "/v1/members", "/v1/tables", "/docs", "/openapi.json"):
            assert (await stranger.get(path)).status_code == 401
        assert (await stranger.post("/v1/rebuild", json={})).status_code == 401
    assert "kubegrid_partition_epoch" in (await manager.http.get("/metrics")).text


async def test_bad_requests_get_a_sentence(stage):
    manager = await stage.make()
    code, answer = await manager.post("/v1/members/dead", name="p0-0")
    assert code == 422 and "incarnation" in answer["error"]
    code, answer = await manager.post("/v1/partitions/0/accept-loss", colour="red")
    assert code == 422 and "colour" in answer["error"]
    answer = await manager.http.post("/v1/rebuild", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert (await manager.http.post("/v1/rebuild", content=b"x" * 2_000_000)).status_code == 413
    assert (await manager.http.get("/nothing")).status_code == 404


async def test_sigterm_ends_it_in_order_and_a_second_process_is_refused(stage):
    manager = await stage.make(process=True)
    second = subprocess.run([*COMMAND, str(manager.folder / "m0.json")], capture_output=True, timeout=TEST_S)
    assert second.returncode == 4 and b"another manager runs" in second.stderr
    assert await manager.end(signal.SIGTERM) == 0
    assert "Traceback" not in manager.log()


@pytest.mark.parametrize(
    ("content", "code", "text"),
    [
        (b"{", 2, "does not hold"),
        (json.dumps({"grid": "x"}).encode(), 2, "missing required field"),
    ],
)
def test_a_configuration_that_does_not_hold_is_said_plainly(tmp_path, content, code, text):
    (tmp_path / "m0.json").write_bytes(content)
    ended = subprocess.run([*COMMAND, str(tmp_path / "m0.json")], capture_output=True, timeout=TEST_S, text=True)
    assert ended.returncode == code and text in ended.stderr and "Traceback" not in ended.stderr


def test_binding_elsewhere_without_a_secret_is_refused(tmp_path):
    manager = Manager(tmp_path, bind="0.0.0.0", secret_file=None)
    (tmp_path / "m0.json").write_bytes(msgspec.json.encode(manager.config))
    ended = subprocess.run([*COMMAND, str(tmp_path / "m0.json")], capture_output=True, timeout=TEST_S, text=True)
    assert ended.returncode == 4 and "without a secret" in ended.stderr
