"""Rows that are passed on as they come from the partitions: in the Arrow types that every reader of an answer knows.

Between pods HUGEINT, UUID, JSON and some others travel in a form of DuckDB's own, so that nothing is lost when they are
gathered. In an answer they are text or DECIMAL. What goes through a final statement comes out so; what is passed on is
made so by the partition itself.
"""

import dataclasses
import re

from kubegrid.columns.database import quoted
from kubegrid.sql.plans import Plan

_PLAIN = {
    **dict.fromkeys(("UUID", "JSON", "TIME WITH TIME ZONE", "BIT", "BIGNUM"), "VARCHAR"),
    **dict.fromkeys(("HUGEINT", "UHUGEINT"), "DECIMAL(38,0)"),
}
_INSIDE = re.compile(r"\b(?:UUID|JSON|TIME WITH TIME ZONE|BIT|BIGNUM|U?HUGEINT)\b")


def passable(plan: Plan) -> Plan:
    """The plan, or one that does the same and passes on no type of DuckDB's own."""
    if plan.final is not None:
        return plan
    fragment = plan.fragments[0]
    kinds = [kind for _, kind in plan.columns]
    if any(kind not in _PLAIN and _INSIDE.search(kind) for kind in kinds):  # inside of a list or a struct
        return dataclasses.replace(plan, final=f"SELECT * FROM {quoted(fragment.name)}")
    if not any(kind in _PLAIN for kind in kinds):
        return plan
    names = [f"c{place}" for place in range(len(kinds))]
    columns = ", ".join(
        f"CAST({name} AS {_PLAIN[kind]}) AS {name}" if kind in _PLAIN else name
        for name, kind in zip(names, kinds, strict=True)
    )
    sql = f"SELECT {columns} FROM ({fragment.sql}) AS __plain({', '.join(names)})"
    return dataclasses.replace(plan, fragments=(dataclasses.replace(fragment, sql=sql),))
