"""`kubegrid manager rebuild`: mend a coordinator that lost its data from what the members know."""

from kubegrid.cli.show import print_json
from kubegrid.cli.target import Grid

REBUILD_S = 30


def rebuild(grid: Grid, force: bool, as_json: bool) -> int:
    body = {"force": force, "confirm": grid.read_status()["grid"]}
    answer = grid.ask("POST", "/v1/rebuild", body, REBUILD_S)
    if as_json:
        print_json(answer)
    else:
        for number, made in sorted((answer or {}).get("partitions", {}).items(), key=lambda item: int(item[0])):
            print(f"partition {number}: epoch {made.get('epoch')}, from {made.get('from')}")
        tables = (answer or {}).get("tables") or {}
        if tables.get("count"):
            word = "table" if tables["count"] == 1 else "tables"
            print(f"{tables['count']} {word} (catalog version {tables.get('version')}), from {tables.get('from')}")
    return 0
