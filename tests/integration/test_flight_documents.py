"""The Python examples of docs/flight.md are executed, and what it shows is compared."""

import asyncio

import pytest
from tests.integration.member_processes import wait_until
from tests.integration.test_client_documents import execute

import kubegrid


@pytest.mark.filterwarnings("ignore:Cannot disable autocommit")
def test_the_examples_of_the_page_do_what_it_shows() -> None:
    with kubegrid.local() as grid:
        wait_until(lambda: b'"flight":"127' in grid.execute("KG.ENDPOINTS"), 60, "the pod listens for Flight")
        assert asyncio.run(execute("flight", grid.members[0])) >= 8
