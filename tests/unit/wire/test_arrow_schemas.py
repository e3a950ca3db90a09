"""Arrow types and column types."""

import pyarrow as pa
import pytest

from kubegrid.base.columns import TYPES, parse_type
from kubegrid.base.table_errors import DefinitionError
from kubegrid.wire.arrow_schemas import arrow_schema, arrow_type, column_type, definition_from_arrow


@pytest.mark.parametrize("name", [*TYPES, "DECIMAL(38,10)", "DECIMAL(5,0)"])
def test_a_column_type_comes_back_from_arrow_where_arrow_has_it(name: str) -> None:
    kind = parse_type(name)
    arrow = arrow_type(kind)
    if name in ("HUGEINT", "UHUGEINT"):
        with pytest.raises(ValueError, match="no column type"):
            column_type(arrow)
    else:
        assert column_type(arrow).name == {"UUID": "VARCHAR", "JSON": "VARCHAR"}.get(name, name)


@pytest.mark.parametrize(
    ("arrow", "name"),
    [
        (pa.timestamp("ns", "Europe/Berlin"), "TIMESTAMP WITH TIME ZONE"),
        (pa.timestamp("s"), "TIMESTAMP"),
        (pa.date64(), "DATE"),
        (pa.time32("s"), "TIME"),
        (pa.float16(), "REAL"),
        (pa.large_string(), "VARCHAR"),
        (pa.string_view(), "VARCHAR"),
        (pa.large_binary(), "BLOB"),
        (pa.binary(16), "BLOB"),
        (pa.dictionary(pa.int8(), pa.string()), "VARCHAR"),
        (pa.decimal256(20, 2), "DECIMAL(20,2)"),
        (pa.uuid(), "UUID"),
    ],
)
def test_other_arrow_types_become_the_column_that_holds_them(arrow: pa.DataType, name: str) -> None:
    assert column_type(arrow).name == name


def test_a_schema_is_a_definition_but_for_its_key() -> None:
    schema = pa.schema(
        [("a", pa.int64()), pa.field("b", pa.string(), nullable=False), ("c", pa.timestamp("us", "UTC"))]
    )
    definition = definition_from_arrow(schema, "t", key=["a"], indexes=[{"columns": ["c"], "kind": "ordered"}], ttl=60)
    assert [str(column) for column in definition.columns] == [
        "a BIGINT NOT NULL",
        "b VARCHAR NOT NULL",
        "c TIMESTAMP WITH TIME ZONE",
    ]
    assert arrow_schema(definition).types == schema.types


def test_a_schema_with_what_no_column_holds_is_refused() -> None:
    schema = pa.schema([("a", pa.int64()), ("l", pa.list_(pa.int64())), ("m", pa.duration("s"))])
    with pytest.raises(DefinitionError) as raised:
        definition_from_arrow(schema, "t", key=["a"])
    assert raised.value.lines == [
        "table t: column l: Arrow's list<item: int64> has no column type here; cast it, or leave it out",
        "table t: column m: Arrow's duration[s] has no column type here; cast it, or leave it out",
    ]
