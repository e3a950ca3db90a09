"""Functions of DuckDB's of which sqlglot keeps only a part in some calls: there the call stays as it was written.

sqlglot turns a call into a node of its own, and writes DuckDB's call for that node; what the node has no place for is
gone: `date_trunc(unit, d)` by a column becomes `DATE_TRUNC('UNIT', d)`. A test compares what is written with what was read
(`tests/unit/sql/test_forms.py`). What stays as it was written runs in partitions if `functions` lists its name.
"""

from collections.abc import Callable
from typing import Any

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

Arguments = list[Any]
_KNOWN: dict[str, Callable[..., Any]] = DuckDB.Parser.FUNCTIONS


def _unit_is_text(arguments: Arguments) -> bool:
    return bool(arguments) and isinstance(arguments[0], exp.Literal) and bool(arguments[0].is_string)


def _at_most(count: int) -> Callable[[Arguments], bool]:
    return lambda arguments: len(arguments) <= count


def _globally(arguments: Arguments) -> bool:
    """regexp_replace() without options, or with the one that sqlglot keeps."""
    return len(arguments) <= 3 or arguments[3] == exp.Literal.string("g")


_WHOLE: dict[str, Callable[[Arguments], bool]] = {
    **dict.fromkeys(("DATE_TRUNC", "DATETRUNC", "DATE_DIFF", "DATEDIFF"), _unit_is_text),
    **dict.fromkeys(("DECODE", "ENCODE"), _at_most(1)),
    **dict.fromkeys(("REGEXP_EXTRACT", "REGEXP_EXTRACT_ALL"), _at_most(3)),
    "REGEXP_REPLACE": _globally,
    "JARO_WINKLER_SIMILARITY": _at_most(2),
    "REDUCE": _at_most(2),
    "APPROX_TOP_K": lambda arguments: False,
}
"""When sqlglot keeps all of a call."""


def _kept(name: str, is_whole: Callable[[Arguments], bool]) -> Callable[..., Any]:
    known: Any = _KNOWN[name]
    takes_dialect = "dialect" in known.__code__.co_varnames

    def made(arguments: Arguments, dialect: Any) -> Any:
        if not is_whole(arguments):
            return exp.Anonymous(this=name.lower(), expressions=arguments)
        return known(arguments, dialect=dialect) if takes_dialect else known(arguments)

    return made


FUNCTIONS = _KNOWN | {name: _kept(name, is_whole) for name, is_whole in _WHOLE.items()}
