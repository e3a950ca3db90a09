"""Files into tables: `kubegrid load`, and what the demo and benchmarks load with.

`preparing` opens the file and finds or makes the table, `loading` runs the pipeline: `blocks` (with `csv_source`,
`ndjson_source`, `parquet_source`, and `renaming` around them) → `client.bulk`. How far it came is kept by `checkpoint`.
"""

from kubegrid.load.errors import BadRowError, DuplicateError
from kubegrid.load.loading import SKIP, Load, Outcome, Plan
from kubegrid.load.preparing import Prepared, Request, create, describe, prepare

__all__ = [
    "SKIP",
    "BadRowError",
    "DuplicateError",
    "Load",
    "Outcome",
    "Plan",
    "Prepared",
    "Request",
    "create",
    "describe",
    "prepare",
]
