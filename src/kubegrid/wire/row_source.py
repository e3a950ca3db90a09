"""Functions made for one table: Python source written from its column types, compiled once.

A row is checked and its key spelt on the way of every write, so each nanosecond per column counts, and a loop over the
columns that asks each what to do costs five times what the same questions cost when they stand there in a line. The
source holds only places and expressions of ours; no name or value of a user ever enters it.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from kubegrid.base.column_numbers import IntegerType
from kubegrid.base.column_texts import BlobType, VarcharType
from kubegrid.base.column_times import TimestampType
from kubegrid.base.record_keys import RecordKeys, encode
from kubegrid.base.tables import KEY_BYTES_MAX, Column, TableDefinition

Row = Sequence[Any]

_json = msgspec.json.Encoder().encode


def _compiled(name: str, source: str, names: dict[str, Any]) -> Any:
    exec(compile(source, f"<{name} of a table>", "exec"), names)
    return names[name]


def _condition(place: int, column: Column, template: str) -> str:
    question = template.format(v=f"a{place}", c=f"c{place}", t=f"t{place}")
    return f"(a{place} is None or {question})" if column.nullable else f"({question})"


def _names(columns: Sequence[Column]) -> dict[str, Any]:
    names: dict[str, Any] = {f"t{place}": column.type for place, column in enumerate(columns)}
    names |= {f"c{place}": column.type.python for place, column in enumerate(columns)}
    return names


def exactly(columns: Sequence[Column]) -> Callable[[Row], bool]:
    """Whether a row's values are as they stay in memory: every class, range, scale and zone as its column has it."""
    unpacked = ", ".join(f"a{place}" for place in range(len(columns)))
    questions = " and ".join(_condition(place, column, column.type.condition) for place, column in enumerate(columns))
    source = f"def exactly(row):\n    ({unpacked},) = row\n    return {questions}\n"
    return _compiled("exactly", source, _names(columns))  # type: ignore[no-any-return]


def exact_when_decoded(columns: Sequence[Column]) -> Callable[[Row], bool] | None:
    """The same for a row that msgspec decoded by `wire`, where less is left to ask; None if nothing is."""
    asked = [(place, column) for place, column in enumerate(columns) if column.type.exact]
    if not asked:
        return None
    taken = "".join(f"    a{place} = row[{place}]\n" for place, _ in asked)
    questions = " and ".join(_condition(place, column, column.type.exact) for place, column in asked)
    source = f"def exact(row):\n{taken}    return {questions}\n"
    return _compiled("exact", source, _names(columns))  # type: ignore[no-any-return]


def finite(columns: Sequence[Column]) -> Callable[[Row], bool] | None:
    """Whether no value of a row is NaN or infinite, which JSON cannot say; None if no column can be."""
    places = [place for place, column in enumerate(columns) if column.type.python is float]
    if not places:
        return None
    questions = " and ".join(f"(row[{place}] is None or row[{place}] - row[{place}] == 0)" for place in places)
    return _compiled("finite", f"def finite(row):\n    return {questions}\n", {})  # type: ignore[no-any-return]


def converted(columns: Sequence[Column], attribute: str) -> Callable[[Row], Row] | None:
    """Put the columns' `pack` or `unpack` into effect; None if none has one."""
    places = {place for place, column in enumerate(columns) if getattr(column.type, attribute) is not None}
    if not places:
        return None
    names: dict[str, Any] = {f"f{place}": getattr(columns[place].type, attribute) for place in places}
    items = ", ".join(
        f"None if row[{place}] is None else f{place}(row[{place}])" if place in places else f"row[{place}]"
        for place in range(len(columns))
    )
    return _compiled("converted", f"def converted(row):\n    return ({items},)\n", names)  # type: ignore[no-any-return]


def key_of_row(definition: TableDefinition) -> Callable[[Row], bytes]:
    """The key of a decoded row; like `RecordKeys.key_of_row`, several times faster for the usual types."""
    keys = RecordKeys(definition)
    columns = [definition.column(name) for name in definition.key]
    if any(isinstance(column.type, BlobType) for column in columns):
        return keys.key_of_row
    names: dict[str, Any] = {"text": _text, "moment": _moment, "slow": keys.key_of_row}
    parts = []
    for number, (column, place) in enumerate(zip(columns, definition.key_positions, strict=True)):
        value = f"row[{place}]"
        if isinstance(column.type, IntegerType):
            parts.append(value)
        elif isinstance(column.type, VarcharType):
            parts.append(f"{value} if {value}.isalnum() else text({value})")
        elif isinstance(column.type, TimestampType):
            parts.append(f"moment({value})")
        else:
            names[f"text{number}"] = _encoding(column)
            parts.append(f"text{number}({value})")
    together = len(definition.partition_by)
    spelt = [f"{{{part}}}" for part in parts]
    if together:
        spelt[:together] = ["{{" + ":".join(spelt[:together]) + "}}"]
    prefix = f"{definition.name}:"  # letters, digits and _ only
    key = f'f"{prefix}{":".join(spelt)}".encode()'
    # The two things that can be wrong with a key are rare; the slow way finds them again and says which it was.
    wrong = f"len(key) > {KEY_BYTES_MAX}"
    if together:
        wrong += f" or key.startswith({prefix.encode() + b'{}'!r})"
    source = f"def key_of_row(row):\n    key = {key}\n    if {wrong}:\n        return slow(row)\n    return key\n"
    return _compiled("key_of_row", source, names)  # type: ignore[no-any-return]


def _text(value: str) -> str:
    return encode(value.encode()).decode()


def _encoding(column: Column) -> Callable[[Any], str]:
    to_key_text = column.type.to_key_text
    return lambda value: encode(to_key_text(value)).decode()


def _moment(value: datetime) -> str:
    """A timestamp in a key, its colons encoded. msgspec spells one three times as fast as isoformat()."""
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    text = _json(value)[1:-1].decode().replace(":", "%3A")
    return text[:-1].rstrip("0") + "Z" if value.microsecond else text


def attributes(decode: Callable[[Any], Any], places: Sequence[int]) -> Callable[[Any], tuple[Any, ...]]:
    """Decode into a structure with fields c0, c1 … and take those of `places` as a tuple."""
    taken = ", ".join(f"s.c{place}" for place in places)
    source = f"def project(row):\n    s = decode(row)\n    return ({taken},)\n"
    return _compiled("project", source, {"decode": decode})  # type: ignore[no-any-return]
