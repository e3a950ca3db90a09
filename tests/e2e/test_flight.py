"""Arrow Flight of a grid that `kubegrid up` started: found by its status, asked by ADBC, ended with its processes."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import adbc_driver_manager
import psutil
import pytest
from adbc_driver_flightsql import dbapi
from pyarrow import flight
from tests.e2e.live_grid import LiveGrid, live_grid, wait_until

SECRET = "correct horse battery staple"
OPTIONS = {"username": "default", "password": SECRET}
pytestmark = pytest.mark.filterwarnings("ignore:Cannot disable autocommit")


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    with live_grid(tmp_path_factory.mktemp("flight"), partitions=2, backups=0, secret=SECRET) as running:
        yield running


def test_the_status_of_a_grid_that_is_up_tells_where_sql_is_asked(grid: LiveGrid) -> None:
    status = grid.status()
    listening = [member["flight"] for partition in status["partitions"] for member in partition["members"]]
    assert status["sql"]["flight"] in listening and status["sql"]["flight"] is not None


def test_adbc_uses_the_grid_with_the_password_only(grid: LiveGrid) -> None:
    uri = f"grpc://{grid.status()['sql']['flight']}"
    with dbapi.connect(uri, db_kwargs=OPTIONS, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE cities (name VARCHAR PRIMARY KEY, people BIGINT)")
        cursor.execute("INSERT INTO cities VALUES ('Bern', 134591), ('Oslo', 717710), ('Rom', 2746984)")
        cursor.execute("SELECT name FROM cities WHERE people > ? ORDER BY people", (200_000,))
        assert cursor.fetchall() == [("Oslo",), ("Rom",)]
        with pytest.raises(adbc_driver_manager.Error, match="people"):
            cursor.execute("SELECT peeple FROM cities")
        cursor.execute("DROP TABLE cities")
    with (
        pytest.raises(adbc_driver_manager.Error, match="this grid has a secret"),
        dbapi.connect(uri, autocommit=True) as stranger,
        stranger.cursor() as cursor,
    ):
        cursor.execute("SELECT 1")


def test_a_client_that_does_not_read_keeps_no_pod_from_ending(tmp_path: Path) -> None:
    with live_grid(tmp_path, partitions=1, backups=0) as running:
        pid = running.pid("p0-0")
        with flight.connect(f"grpc://{running.status()['sql']['flight']}") as client:
            many = b'{"sql": "SELECT repeat(\'x\', 1000) AS t FROM range(3000000)"}'
            stream = client.do_get(flight.Ticket(many))
            stream.read_chunk()
            begun = time.monotonic()
            assert running.run("down").returncode == 0
            wait_until(lambda: not psutil.pid_exists(pid), what="the pod ends")
            assert time.monotonic() - begun < 30
            with contextlib.suppress(Exception):
                stream.cancel()
