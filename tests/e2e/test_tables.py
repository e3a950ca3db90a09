"""Tables as a person declares and looks at them: in the manifest, and with `kubegrid tables`."""

import json
from collections.abc import Callable
from typing import Any

from tests.e2e.live_grid import LiveGrid

NewGrid = Callable[..., LiveGrid]
ID = {"name": "id", "type": "INTEGER"}
NOTE = {"name": "note", "type": "VARCHAR"}
FLIGHTS: dict[str, Any] = {"name": "flights", "columns": [ID], "key": ["id"]}


def names(grid: LiveGrid) -> list[str]:
    return [table["name"] for table in json.loads(grid.run("tables", "--json").stdout)["tables"]]


def test_declared_tables_are_there_when_up_returns_and_grow_by_nullable_columns_only(new_grid: NewGrid) -> None:
    grid = new_grid().up(tables=[FLIGHTS])
    assert names(grid) == ["flights"]
    assert grid.raw("p0-0").call("KG.TABLES") == [b"flights"]

    grid.run("down")
    grid.up(tables=[FLIGHTS | {"columns": [ID, NOTE]}])
    assert "note" in grid.run("tables", "describe", "flights").stdout
    assert grid.raw("p0-0").call("KG.TABLES") == [b"flights"], "the tables outlive the records"

    grid.run("down")
    manifest = grid.write_manifest(tables=[FLIGHTS | {"columns": [ID | {"type": "BIGINT"}, NOTE]}])
    done = grid.run("up", str(manifest), "--port", str(grid.port), "--detach", check=False)
    assert done.returncode == 4
    assert "table flights exists with another definition" in done.stderr
    assert "INTEGER" in done.stderr and "kubegrid tables drop flights" in done.stderr and "Traceback" not in done.stderr
    assert grid.status()["state"] == "serving", "with the table that it had"

    grid.run("down")
    assert grid.up_again().returncode == 4, "what was declared last is remembered"


def test_a_table_in_the_manifest_that_does_not_hold_is_told_with_its_line(new_grid: NewGrid) -> None:
    grid = new_grid()
    manifest = grid.root / "grid.yaml"
    manifest.write_text(
        "apiVersion: kubegrid.io/v1alpha1\nkind: DataGrid\nspec:\n  tables:\n  - name: flights\n"
        "    columns:\n    - {name: id, type: INTEGRE}\n    key: [id]\n"
    )
    done = grid.run("up", str(manifest), "--detach", check=False)
    assert done.returncode == 2 and not grid.directory.exists()
    assert f"{manifest}: line 7: spec.tables[0].columns[0].type: " in done.stderr and "'INTEGER'" in done.stderr


def test_tables_are_listed_described_created_and_dropped(grid: LiveGrid) -> None:
    assert "There are no tables" in grid.run("tables").stdout
    file = grid.root / "flights.yaml"
    file.write_text("name: flights\ncolumns:\n- {name: id, type: INTEGER}\nkey: [id]\nttl: 1h\n")
    for _ in range(2):
        assert "table flights is there" in grid.run("tables", "create", str(file)).stdout
    assert "3600 s" in grid.run("tables").stdout
    described = json.loads(grid.run("tables", "describe", "flights", "--json").stdout)
    assert (described["id"], described["schema"], described["ttl"]) == (1, 1, 3600)

    file.write_text(file.read_text().replace("1h", "2h"))
    refused = grid.run("tables", "create", str(file), check=False)
    assert refused.returncode == 4 and "ttl" in refused.stderr
    file.write_text("name: flights\ncolumns: []\nkey: [id]\n")
    wrong = grid.run("tables", "create", str(file), check=False)
    assert wrong.returncode == 2 and f"{file}: line 2: columns" in wrong.stderr
    unknown = grid.run("tables", "describe", "flihgts", check=False)
    assert unknown.returncode == 2 and "did you mean 'flights'?" in unknown.stderr

    assert "is dropped" in grid.run("tables", "drop", "flights").stdout
    assert names(grid) == []
    assert all("Traceback" not in done.stderr for done in (refused, wrong, unknown))


def test_without_a_grid_or_a_manager_it_ends_with_3(new_grid: NewGrid) -> None:
    grid = new_grid()
    assert grid.run("tables", check=False).returncode == 3
