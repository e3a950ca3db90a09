"""Rows that are passed on as they come from the partitions: in the Arrow types that every reader of an answer knows.

Between pods HUGEINT, UUID, JSON and some others travel in a form of DuckDB's own, so that nothing is lost when they are
gathered. In an answer they are text or decimal128, as DuckDB gives them. What goes through a final statement comes out
so; what is passed on is made text by the partition itself, and HUGEINT a decimal128 here: its bytes are the same.
"""

import dataclasses
import re
from typing import Any

from kubegrid.columns.database import quoted
from kubegrid.sql.plans import Plan

_TEXTS = ("UUID", "JSON", "TIME WITH TIME ZONE", "BIT", "BIGNUM")
_NUMBERS = ("HUGEINT", "UHUGEINT")
_INSIDE = re.compile(r"\b(?:UUID|JSON|TIME WITH TIME ZONE|BIT|BIGNUM|U?HUGEINT)\b")


def passable(plan: Plan) -> Plan:
    """The plan, or one that does the same and passes on no type of DuckDB's own."""
    if plan.final is not None:
        return plan
    fragment = plan.fragments[0]
    kinds = [kind for _, kind in plan.columns]
    if any(kind not in _TEXTS + _NUMBERS and _INSIDE.search(kind) for kind in kinds):  # inside of a list or a struct
        return dataclasses.replace(plan, final=f"SELECT * FROM {quoted(fragment.name)}")
    if not any(kind in _TEXTS for kind in kinds):
        return plan
    names = [f"c{place}" for place in range(len(kinds))]
    columns = ", ".join(
        f"CAST({name} AS VARCHAR) AS {name}" if kind in _TEXTS else name
        for name, kind in zip(names, kinds, strict=True)
    )
    sql = f"SELECT {columns} FROM ({fragment.sql}) AS __plain({', '.join(names)})"
    return dataclasses.replace(plan, fragments=(dataclasses.replace(fragment, sql=sql),))


def plain(column: Any, wanted: Any) -> Any:
    """An Arrow column in the type that the answer says."""
    import pyarrow as pa

    if column.type == wanted:
        return column
    storage = getattr(column, "storage", None)
    if storage is not None and pa.types.is_decimal(wanted) and getattr(storage.type, "byte_width", 0) == 16:
        return pa.Array.from_buffers(wanted, len(storage), storage.buffers(), storage.null_count, storage.offset)
    return column.cast(wanted)
