"""Rows that are passed on as they come from the partitions: in the Arrow types that every reader of an answer knows.

Between pods HUGEINT, UUID, JSON and some others travel in a form of DuckDB's own, so that nothing is lost when they are
gathered. In an answer they are what DuckDB gives to everybody, and what goes through a final statement comes out so. Of
what is passed on, UUID and JSON are made text by the partition itself, and HUGEINT a decimal128 here: its bytes are the
same. An ENUM comes as DuckDB's dictionary and goes out as text: Flight sends its dictionaries nowhere.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from kubegrid.base.column_type import ColumnType
from kubegrid.columns.database import quoted
from kubegrid.sql.plans import Plan
from kubegrid.wire.arrow_schemas import arrow_type

_TEXT = re.compile(r"UUID|JSON|ENUM\(.*\)", re.DOTALL)
_NUMBERS = ("HUGEINT", "UHUGEINT")
_INSIDE = re.compile(r"\b(?:UUID|JSON|TIME WITH TIME ZONE|BIT|BIGNUM|U?HUGEINT)\b")


def is_plain(schema: Any, types: Sequence[ColumnType]) -> bool:
    """Whether columns of these types are in an answer of this schema what they are when no DuckDB makes them."""
    return [field.type for field in schema] == [arrow_type(kind) for kind in types]


def passable(plan: Plan) -> Plan:
    """The plan, or one that does the same and passes on no type of DuckDB's own."""
    if plan.final is not None:
        return plan
    fragment = plan.fragments[0]
    kinds = [kind for _, kind in plan.columns]
    texts = [_TEXT.fullmatch(kind) is not None for kind in kinds]
    others = [kind for kind, is_text in zip(kinds, texts, strict=True) if not is_text and kind not in _NUMBERS]
    if any(_INSIDE.search(kind) for kind in others):  # or inside of a list or a struct
        return dataclasses.replace(plan, final=f"SELECT * FROM {quoted(fragment.name)}")
    if not any(texts):
        return plan
    names = [f"c{place}" for place in range(len(kinds))]
    columns = ", ".join(
        f"CAST({name} AS VARCHAR) AS {name}" if is_text else name for name, is_text in zip(names, texts, strict=True)
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


def without_dictionaries(kind: Any) -> Any:
    """An Arrow type as it goes out."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_list(kind):
        return pa.list_(_field_without(kind.value_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_field_without(kind.value_field), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([_field_without(field) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_field_without(kind.key_field), _field_without(kind.item_field))
    return kind


def _field_without(field: Any) -> Any:
    return field.with_type(without_dictionaries(field.type))
