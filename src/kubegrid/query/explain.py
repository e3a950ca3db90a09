"""EXPLAIN: what runs where. EXPLAIN ANALYZE: the statement is run, and rows, bytes and times of each step are told.

Nothing is estimated: EXPLAIN alone tells no rows and no times.
"""

from collections.abc import Sequence

from kubegrid.query.made_rows import Value, select
from kubegrid.query.preparing import Prepared
from kubegrid.query.trace import Trace
from kubegrid.sql.plans import Fragment

COLUMNS = (("step", "VARCHAR"), ("kind", "VARCHAR"), ("runs_on", "VARCHAR"), ("sql", "VARCHAR"))
ANALYZE_COLUMNS = (*COLUMNS, ("rows", "BIGINT"), ("bytes", "BIGINT"), ("ms", "DOUBLE"), ("attempts", "BIGINT"))

HERE = "this pod"


def explained(prepared: Prepared, partitions: int) -> str:
    """A SELECT of the rows."""
    plan = prepared.plan
    if plan is None:
        return select(COLUMNS, [("final", "no tables", HERE, prepared.text.strip())])
    rows: list[Sequence[Value]] = [
        (fragment.name, fragment.kind, where(fragment, partitions), fragment.sql) for fragment in plan.fragments
    ]
    rows.append(("final", "passed on" if plan.final is None else "final", HERE, plan.final))
    return select(COLUMNS, rows)


def analyzed(prepared: Prepared, partitions: int, trace: Trace, rows_out: int, bytes_out: int) -> str:
    """A line for each step, and below a fragment's a line for each partition; its time is that of the slowest."""
    plan = prepared.plan
    rows: list[Sequence[Value]] = [("plan", None, HERE, None, None, None, _ms(trace, "plan"), None)]
    if "marks" in trace.steps:
        rows.append(("marks", "broadcast", _all(partitions), None, None, None, _ms(trace, "marks"), None))
    for fragment in plan.fragments if plan else ():
        mine = sorted((each for each in trace.asked if each.fragment == fragment.name), key=lambda each: each.partition)
        rows.append(
            (
                fragment.name,
                fragment.kind,
                where(fragment, partitions),
                fragment.sql,
                sum(each.rows for each in mine),
                sum(each.bytes for each in mine),
                _rounded(max((each.seconds for each in mine), default=0.0)),
                max((each.attempts for each in mine), default=0),
            )
        )
        if len(mine) > 1:
            rows += [
                (
                    fragment.name,
                    None,
                    f"partition {each.partition}",
                    None,
                    each.rows,
                    each.bytes,
                    _rounded(each.seconds),
                    each.attempts,
                )
                for each in mine
            ]
    if trace.spilled_bytes:
        rows.append(("gather", "into tables", HERE, None, None, trace.spilled_bytes, None, None))
    final = prepared.text.strip() if plan is None else plan.final
    kind = "no tables" if plan is None else "passed on" if plan.final is None else "final"
    rows.append(("final", kind, HERE, final, rows_out, bytes_out, _ms(trace, "final"), None))
    rows.append(("all", None, HERE, None, None, None, _rounded(trace.all_seconds()), None))
    return select(ANALYZE_COLUMNS, rows)


def where(fragment: Fragment, partitions: int) -> str:
    if fragment.partitions == ():
        return "nowhere: no row can match"
    if fragment.partitions is None:
        there = _all(partitions)
    elif len(fragment.partitions) == 1:
        there = f"partition {fragment.partitions[0]}"
    else:
        there = "partitions " + ", ".join(str(each) for each in fragment.partitions)
    return there if fragment.keys is None else f"{there}, by key"


def _all(partitions: int) -> str:
    return "the only partition" if partitions == 1 else f"all {partitions} partitions"


def _ms(trace: Trace, step: str) -> float | None:
    return _rounded(trace.steps[step]) if step in trace.steps else None


def _rounded(seconds: float) -> float:
    return round(seconds * 1000, 3)
