"""Functions whose result is as long as a number says, with a limit: `repeat('x', 2000000000)` must not be made.

DuckDB makes a vector of texts or lists beside its memory limit, hears no interruption until it is made, and does so even
while it binds, when the arguments are constants. So every database that statements run in has macros of the same names,
which DuckDB finds before its own functions: however a call is written (`x.repeat(3)`, in a lambda, in a view of ours), the
number is looked at before the function sees it. `system.main.repeat` would go past them and is refused (`query/closed`).

The arguments are put in a list of one and looked at in a lambda, which computes them once: a macro's parameter is computed
wherever it stands, so `random()` would be another number when it is used than when it was checked, and calls within calls
would double. The error is a cast that fails and not `error()`, because a volatile function may not stand everywhere.
"""

import re
from typing import Any

VALUE_BYTES_MAX = 64 * 1024
"""Of one text; DuckDB makes 2,048 at a time."""
VALUE_ELEMENTS_MAX = VALUE_BYTES_MAX // 8
"""Of one list."""
REPLACED_BYTES_MAX = 1024 * 1024
"""What putting one text into another for a third may make of it."""
_WIDE = {"format": r"\{[^}]*([0-9]{4}|\{)", "printf": r"%[^a-zA-Z%]*([0-9]{4}|\*)"}
"""A width of four digits, or one that is given beside the format."""
FORMATTED_VALUES_MAX = 16

_FIELD = re.compile(r"\bg\.(\w+)")
_TEXT = f"{VALUE_BYTES_MAX} bytes"
_LIST = f"{VALUE_ELEMENTS_MAX} elements"


def _checked(name: str, limit: str, condition: str, kind: str, value: str) -> str:
    told = f"'{name}() makes more than {limit}'"
    return f"CASE WHEN {condition} THEN {told}::{kind} ELSE {value} END"


def _overload(name: str, parameters: str, call: str) -> str:
    """`parameters` are the fields of `g` in `call`. They have types where these tell overloads apart: in a query that is
    joined to others whose columns it uses, DuckDB 2.0 fails on macros that have any."""
    fields = ", ".join(f"{each}: {each}" for each in (parameter.split()[0] for parameter in parameters.split(", ")))
    # DuckDB takes g.n for a text where the macro stands in FROM unnest(…).
    inner = _FIELD.sub(r"g['\1']", f"system.main.{name}({call})")
    return f"({parameters}) AS list_transform([{{{fields}}}], lambda g: {inner})[1]"


def _macro(name: str, *overloads: str) -> str:
    return f"CREATE MACRO {name}{', '.join(overloads)}"


def _repeat() -> str:
    size = f"g.n::DOUBLE * greatest(1, strlen(g.s::VARCHAR)) > {VALUE_BYTES_MAX} AND g.n > 1"
    return _macro("repeat", _overload("repeat", "s, n", f"g.s, {_checked('repeat', _TEXT, size, 'BIGINT', 'g.n')}"))


def _pad(name: str) -> str:
    size = f"g.n > {VALUE_BYTES_MAX} AND g.n > length(g.s::VARCHAR)"
    return _macro(
        name,
        _overload(name, "s, n, p", f"g.s, {_checked(name, _TEXT, size, 'INTEGER', 'g.n')}, g.p"),
    )


def _bitstring() -> str:
    size = f"g.n > {VALUE_BYTES_MAX * 8}"
    checked = _checked("bitstring", _TEXT, size, "INTEGER", "g.n")
    return _macro("bitstring", _overload("bitstring", "s, n", f"g.s, {checked}"))


def _range(name: str) -> str:
    def whole(count: str, value: str) -> str:
        return _checked(name, _LIST, f"{count} > {VALUE_ELEMENTS_MAX}", "BIGINT", value)

    step = "nullif(g.c::DOUBLE, 0)"
    seconds = "epoch(g.b) - epoch(g.a)"
    moments = f"({seconds}) / epoch(g.c) > {VALUE_ELEMENTS_MAX} OR epoch(g.c) = 0 AND ({seconds}) <> 0"
    checked = _checked(name, _LIST, moments, "TIMESTAMP", "g.b")
    in_zone = _checked(name, _LIST, moments, "TIMESTAMPTZ", "g.b")
    return _macro(
        name,
        _overload(name, "a BIGINT", whole("g.a", "g.a")),
        _overload(name, "a BIGINT, b BIGINT", f"g.a, {whole('g.b::DOUBLE - g.a::DOUBLE', 'g.b')}"),
        _overload(name, "a TIMESTAMP, b TIMESTAMP, c INTERVAL", f"g.a, {checked}, g.c"),
        _overload(name, "a TIMESTAMPTZ, b TIMESTAMPTZ, c INTERVAL", f"g.a, {in_zone}, g.c"),
        _overload(
            name, "a BIGINT, b BIGINT, c BIGINT", f"g.a, {whole(f'(g.b::DOUBLE - g.a::DOUBLE) / {step}', 'g.b')}, g.c"
        ),
    )


def _resize(name: str) -> str:
    each = "greatest(8, strlen(g.v::VARCHAR))"
    bare = _checked(name, _LIST, f"g.n > {VALUE_ELEMENTS_MAX} AND g.n > len(g.l)", "BIGINT", "g.n")
    size = f"g.n::DOUBLE * {each} > {VALUE_BYTES_MAX} AND g.n > len(g.l)"
    filled = _checked(name, _LIST, size, "BIGINT", "g.n")
    return _macro(name, _overload(name, "l, n", f"g.l, {bare}"), _overload(name, "l, n, v", f"g.l, {filled}, g.v"))


def _bins() -> str:
    name = "equi_width_bins"
    checked = _checked(name, _LIST, f"g.n > {VALUE_ELEMENTS_MAX}", "BIGINT", "g.n")
    return _macro(name, _overload(name, "a, b, n, nice", f"g.a, g.b, {checked}, g.nice"))


def _format(name: str) -> str:
    checked = _checked(name, _TEXT, f"regexp_matches(g, '{_WIDE[name]}')", "INTEGER::VARCHAR", "g")
    overloads = []
    for count in range(FORMATTED_VALUES_MAX + 1):
        values = "".join(f", v{place}" for place in range(count))
        overloads.append(f"(f{values}) AS system.main.{name}(list_transform([f], lambda g: {checked})[1]{values})")
    return _macro(name, *overloads)


def _replace() -> str:
    size = f"strlen(g.s::VARCHAR)::DOUBLE * strlen(g.b::VARCHAR) > {REPLACED_BYTES_MAX}"
    grown = "(strlen(g.s::VARCHAR) - strlen(system.main.replace(g.s, g.a, ''))) // greatest(1, strlen(g.a::VARCHAR))"
    condition = f"{size} AND strlen(g.b::VARCHAR) > 1 AND ({grown}) * strlen(g.b::VARCHAR) > {REPLACED_BYTES_MAX}"
    checked = _checked("replace", f"{REPLACED_BYTES_MAX} bytes", condition, "INTEGER::VARCHAR", "g.b")
    return _macro("replace", _overload("replace", "s, a, b", f"g.s, g.a, {checked}"))


NAMES = frozenset(
    (
        *("repeat", "lpad", "rpad", "bitstring", "range", "generate_series", "list_resize", "array_resize"),
        *("equi_width_bins", "format", "printf", "replace"),
    )
)

MACROS = "; ".join(
    (
        *(_repeat(), _pad("lpad"), _pad("rpad"), _bitstring(), _range("range"), _range("generate_series")),
        *(_resize("list_resize"), _resize("array_resize"), _bins(), _format("format"), _format("printf"), _replace()),
    )
)


_parsed: list[Any] = []
"""The statements of MACROS. DuckDB reads them in 17 ms of processor time, and a pod opens four databases for its first
statement: they are read once."""


def limit(connection: Any) -> None:
    """Put the limits into a database. Cursors of it have them too."""
    statements = _parsed or connection.extract_statements(MACROS)
    for statement in statements:
        connection.execute(statement)
    _parsed[:] = statements
