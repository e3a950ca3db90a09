"""Following the catalog of tables: what is adopted when, and what is never taken."""

from collections.abc import Callable

import pytest

from kubegrid.base.settings import StoreSettings
from kubegrid.base.tables import Catalog
from kubegrid.coordination import catalog
from kubegrid.coordination.catalog import CREATE, DROP, Change
from kubegrid.node.catalog import LATE_S, CatalogFollower
from kubegrid.store import Keyspace

FLIGHTS = b'{"columns": [{"name": "id", "type": "INTEGER"}], "key": ["id"]}'
SHIPS = FLIGHTS.replace(b"INTEGER", b"BIGINT")


class PlainTurn:
    """A turn of a member that serves as primary, or does not."""

    def __init__(self) -> None:
        self.open_gate = True
        self.writable = True
        self.member = self
        self.when_open: Callable[[], None] | None = None

    def work(self, function: Callable[[], None]) -> None:
        function()

    def begin(self) -> None:
        """As a turn does, before it executes a request."""
        if self.when_open is not None and self.open_gate:
            work, self.when_open = self.when_open, None
            work()


class Stage:
    def __init__(self) -> None:
        self.turn = PlainTurn()
        self.keyspace = Keyspace(StoreSettings(), 0, 16383, random=lambda n: 0)
        self.keyspace.primary = True
        self.adoptions = 0
        self.connected = True
        self.now = 0.0
        self.follower = CatalogFollower(
            self.keyspace,
            self.turn,  # type: ignore[arg-type]
            self._adopted,
            lambda: self.connected,
            lambda: self.now,
        )

    def _adopted(self) -> None:
        self.adoptions += 1

    def push(self, pushed: Catalog) -> None:
        self.follower.pushed(catalog.encoded(pushed))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.follower.follow()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def version(number: int, definition: bytes = FLIGHTS) -> Catalog:
    """A catalog of that version, with one table."""
    made = catalog.changed(Catalog(), Change(CREATE, "flights", definition))
    for _ in range((number - 1) // 2):
        made = catalog.changed(made, Change(DROP, "flights"))
        made = catalog.changed(made, Change(CREATE, "flights", definition))
    assert made.version == number
    return made


def test_a_serving_primary_adopts_a_newer_catalog_as_an_effect_and_tells_once(stage: Stage) -> None:
    stage.push(version(1))
    assert stage.keyspace.catalog == version(1) and stage.keyspace.effects
    assert stage.adoptions == 1
    stage.push(version(1))
    stage.follower.follow()
    assert stage.adoptions == 1


@pytest.mark.parametrize("hindrance", ["open_gate", "writable"])
def test_who_does_not_serve_adopts_when_it_does(stage: Stage, hindrance: str) -> None:
    setattr(stage.turn, hindrance, False)
    stage.push(version(3))
    assert stage.keyspace.catalog.version == 0 and stage.follower.newest.version == 3
    setattr(stage.turn, hindrance, True)
    stage.follower.follow()
    assert stage.follower.adopted_version == 3


def test_a_new_primary_adopts_what_it_was_told_before_its_first_request(stage: Stage) -> None:
    stage.turn.open_gate = False
    stage.push(version(3))
    stage.turn.begin()
    assert stage.follower.adopted_version == 0
    stage.turn.open_gate = True
    stage.turn.begin()
    assert stage.follower.adopted_version == 3 and stage.adoptions == 1


def test_an_older_catalog_is_never_taken_and_that_is_said(stage: Stage) -> None:
    stage.push(version(3))
    stage.push(version(1))
    assert stage.keyspace.catalog.version == 3 and stage.follower.newest.version == 3
    assert "version 1, but 3 is known" in stage.follower.complaint
    stage.push(version(5))
    assert stage.follower.complaint == "" and stage.keyspace.catalog.version == 5


def test_what_the_log_says_counts_as_known_although_no_manager_told_it(stage: Stage) -> None:
    stage.keyspace.adopt_catalog(version(3))
    stage.push(version(1))
    stage.wait(LATE_S + 1)
    assert stage.follower.newest.version == 3 and "but 3 is known" in stage.follower.complaint
    stage.push(version(3))
    assert stage.follower.complaint == ""


def test_a_manager_that_is_slower_than_the_log_is_not_complained_of(stage: Stage) -> None:
    stage.keyspace.adopt_catalog(version(3))
    stage.push(version(1))
    stage.wait(LATE_S / 2)
    assert stage.follower.complaint == ""
    stage.push(version(3))
    stage.wait(LATE_S + 1)
    assert stage.follower.complaint == ""


def test_nor_is_one_that_cannot_be_heard(stage: Stage) -> None:
    stage.keyspace.adopt_catalog(version(3))
    stage.push(version(1))
    stage.connected = False
    stage.wait(LATE_S + 1)
    stage.connected = True
    stage.wait(LATE_S / 2)
    assert stage.follower.complaint == ""
    stage.wait(LATE_S)
    assert "version 1, but 3 is known" in stage.follower.complaint


def test_one_that_connects_again_and_again_and_tells_the_same_is_complained_of(stage: Stage) -> None:
    stage.keyspace.adopt_catalog(version(5))
    for _ in range(4):
        stage.connected = True
        stage.push(version(1))
        stage.wait(LATE_S / 3)
        stage.connected = False
        stage.wait(LATE_S / 3)
    assert "version 1, but 5 is known" in stage.follower.complaint


def test_one_that_tells_something_newer_each_time_is_not(stage: Stage) -> None:
    stage.keyspace.adopt_catalog(version(7))
    for number in (1, 3, 5):
        stage.push(version(number))
        stage.wait(LATE_S * 2 / 3)
        assert stage.follower.complaint == ""


def test_another_catalog_of_the_same_version_is_refused(stage: Stage) -> None:
    stage.push(version(1))
    stage.push(version(1, SHIPS))
    assert "another one of version 1" in stage.follower.complaint and stage.keyspace.catalog == version(1)


def test_a_catalog_that_makes_no_sense_is_refused(stage: Stage) -> None:
    stage.follower.pushed(b"{")
    assert "makes no sense" in stage.follower.complaint and stage.follower.newest.version == 0
