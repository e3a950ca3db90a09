"""A table for tests of a member's commands: jobs with a state and a priority."""

from typing import Any

import msgspec
from tests.unit.node.drive import Client, Drive

from kubegrid.base.table_definitions import parse_definition
from kubegrid.base.tables import Catalog

JOBS = {
    "name": "jobs",
    "columns": [
        {"name": "id", "type": "VARCHAR", "nullable": False, "default": None},
        {"name": "state", "type": "VARCHAR", "nullable": True, "default": None},
        {"name": "priority", "type": "INTEGER", "nullable": True, "default": None},
    ],
    "key": ["id"],
    "partition_by": [],
    "indexes": [{"columns": ["state"], "kind": "hash"}],
    "broadcast": False,
    "ttl": None,
}


def declare(drive: Drive) -> None:
    drive.keyspace.adopt_catalog(Catalog().create(parse_definition(None, msgspec.json.encode(JOBS))))


def packed(*values: Any) -> bytes:
    return msgspec.msgpack.encode(values)


def write(client: Client, *rows: tuple[Any, ...]) -> Any:
    return client("KG.WRITE", "jobs", 0, "REPLACE", *[packed(*row) for row in rows])
