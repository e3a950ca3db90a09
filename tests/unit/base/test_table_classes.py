"""Tables declared by classes, and instances as rows."""

import enum
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import msgspec
import pydantic
import pytest

from kubegrid.base.columns import TYPES
from kubegrid.base.table_classes import record_class, values_of_mapping
from kubegrid.base.table_definitions import parse_column
from kubegrid.base.table_errors import BadValue, DefinitionError, TableConflict, UnknownColumn
from kubegrid.base.tables import Index, add_column
from kubegrid.wire.rows import RowCodec

Book = NewType("Book", str)


class Side(enum.Enum):
    BUY = "B"
    SELL = "S"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class Trade:
    book: str
    id: int
    notional: Decimal
    price: float
    volume: int
    at: datetime


@dataclass(frozen=True)
class Everything:
    a_bool: bool
    an_int: int
    a_float: float
    a_decimal: Annotated[Decimal, "numeric(10,2)"]
    a_str: str
    a_bytes: bytes
    a_date: date
    a_time: time
    a_datetime: datetime
    a_moment: Annotated[datetime, "timestamptz"]
    a_uuid: UUID
    a_dict: dict[str, Any]
    a_list: list[int]
    an_any: Any
    a_book: Book
    a_literal: Literal["x", "y"]
    a_side: Side = Side.BUY
    a_level: Level = Level.LOW
    a_maybe: int | None = None
    an_optional: Optional[Side] = None  # noqa: UP045 (the old spelling is what is tested)
    made: list[int] = field(default_factory=list)


EVERYTHING = Everything(
    True,
    1,
    1.5,
    Decimal("1.50"),
    "a",
    b"b",
    date(2013, 1, 31),
    time(5),
    datetime(2013, 1, 31, 5),
    datetime(2013, 1, 31, 5, tzinfo=UTC),
    UUID(int=1),
    {"a": [1]},
    [1],
    "any",
    Book("FX"),
    "x",
    Side.SELL,
    an_optional=Side.BUY,
)


class Quote(msgspec.Struct, kw_only=True):
    symbol: str
    at: Annotated[datetime, msgspec.Meta(tz=True)]
    bid: float = 0.0
    note: str | None = None


class Order(pydantic.BaseModel):
    number: int
    at: pydantic.AwareDatetime
    seen: pydantic.NaiveDatetime | None = None
    amount: Decimal = Decimal(1)
    other: str = pydantic.Field(default="-", alias="Other")


def test_a_dataclass_becomes_the_table_of_its_fields() -> None:
    definition = record_class(Trade).definition(key=["book", "id"], partition_by="book", index=["at"])
    assert definition.name == "trades"
    assert [str(column) for column in definition.columns] == [
        "book VARCHAR NOT NULL",
        "id BIGINT NOT NULL",
        "notional DECIMAL(38,10) NOT NULL",
        "price DOUBLE NOT NULL",
        "volume BIGINT NOT NULL",
        "at TIMESTAMP NOT NULL",
    ]
    assert definition.partition_by == ("book",)
    assert definition.indexes == (Index(("at",), "ordered"),)


def test_every_kind_of_field_has_its_column() -> None:
    definition = record_class(Everything).definition(key="an_int")
    assert [str(column) for column in definition.columns] == [
        "a_bool BOOLEAN NOT NULL",
        "an_int BIGINT NOT NULL",
        "a_float DOUBLE NOT NULL",
        "a_decimal DECIMAL(10,2) NOT NULL",
        "a_str VARCHAR NOT NULL",
        "a_bytes BLOB NOT NULL",
        "a_date DATE NOT NULL",
        "a_time TIME NOT NULL",
        "a_datetime TIMESTAMP NOT NULL",
        "a_moment TIMESTAMP WITH TIME ZONE NOT NULL",
        "a_uuid UUID NOT NULL",
        "a_dict JSON NOT NULL",
        "a_list JSON NOT NULL",
        "an_any JSON NOT NULL",
        "a_book VARCHAR NOT NULL",
        "a_literal VARCHAR NOT NULL",
        "a_side VARCHAR NOT NULL DEFAULT 'B'",
        "a_level BIGINT NOT NULL DEFAULT 1",
        "a_maybe BIGINT",
        "an_optional VARCHAR",
        "made JSON NOT NULL",
    ]


@pytest.mark.parametrize(
    ("instance", "key"),
    [
        (Trade("FX", 42, Decimal("1.5"), 1.1, 5, datetime(2024, 1, 1)), ["book", "id"]),
        (EVERYTHING, ["an_int"]),
        (Quote(symbol="A", at=datetime(2024, 1, 1, tzinfo=UTC)), ["symbol"]),
        (Order.model_validate({"number": 1, "at": datetime(2024, 1, 1, tzinfo=UTC), "Other": "x"}), ["number"]),
    ],
)
def test_instances_become_rows_and_come_back(instance: Any, key: list[str]) -> None:
    records = record_class(type(instance))
    definition = records.definition(key=key)
    values_of, make = records.binding(definition)
    codec = RowCodec(definition)
    back = make(codec.decode(codec.encode(values_of(instance))))
    assert back == instance
    assert type(back) is type(instance)


def test_structs_and_models_have_their_own_ways_to_say_a_zone() -> None:
    assert record_class(Quote).definition(key="symbol").column("at").type == TYPES["TIMESTAMP WITH TIME ZONE"]
    order = record_class(Order).definition(key="number")
    assert order.column("at").type == TYPES["TIMESTAMP WITH TIME ZONE"]
    assert (order.column("seen").type, order.column("seen").nullable) == (TYPES["TIMESTAMP"], True)
    assert order.column("amount").default == Decimal(1)
    assert order.column("other").default == "-"


def test_a_wider_table_gives_the_class_its_fields_and_takes_the_defaults_of_the_rest() -> None:
    records = record_class(Trade)
    definition = records.definition(key=["book", "id"])
    definition = add_column(definition, parse_column({"name": "note", "type": "VARCHAR", "default": "-"}))
    values_of, make = records.binding(definition)
    trade = Trade("FX", 42, Decimal(1), 1.0, 5, datetime(2024, 1, 1))
    assert values_of(trade)[-1] == "-"
    assert make(values_of(trade)) == trade


def test_a_class_that_does_not_fit_its_table_is_told_where() -> None:
    @dataclass
    class Other:
        book: str
        ids: int

    definition = record_class(Trade).definition(key=["book", "id"])
    with pytest.raises(TableConflict) as raised:
        record_class(Other).binding(definition)
    assert "Other.ids is no column of table trades; did you mean 'id'?" in str(raised.value)
    assert "column price of table trades needs a value" in str(raised.value)


def test_names_of_tables_come_from_the_class() -> None:
    def name(of: str, **attributes: Any) -> str:
        return record_class(type(of, (Trade,), attributes)).table_name

    assert [name("Trade"), name("OrderLine"), name("Category"), name("Address"), name("HTTPRequest"), name("Day")] == [
        "trades",
        "order_lines",
        "categories",
        "addresses",
        "http_requests",
        "days",
    ]
    assert name("Trade", __table__="deals") == "deals"
    assert record_class(Trade).definition("deals", key="id").name == "deals"


def test_indexes_are_named_by_their_columns_or_said_in_full() -> None:
    definition = record_class(Trade).definition(
        key="id",
        index=["book", ("book", "price"), Index(("volume",), "ordered"), {"columns": ["at"], "kind": "hash"}],
    )
    assert definition.indexes == (
        Index(("book",), "hash"),
        Index(("book", "price"), "ordered"),
        Index(("volume",), "ordered"),
        Index(("at",), "hash"),
    )
    assert record_class(Trade).definition(key="id", index="at").indexes == (Index(("at",), "ordered"),)


def test_what_has_no_column_type_is_refused_with_what_to_write() -> None:
    class Mixed(enum.Enum):
        A = 1
        B = "b"

    @dataclass
    class Bad:
        a: set[int]
        b: int | str
        c: Trade
        d: Mixed
        e: Annotated[int, "INTT"]

    with pytest.raises(DefinitionError) as raised:
        record_class(Bad)
    assert len(raised.value.lines) == 5
    assert 'Bad.c: Trade has no column type; say one, as in Annotated[Trade, "VARCHAR"]' in raised.value.lines
    for other in (int, 5, dict):
        with pytest.raises(DefinitionError):
            record_class(other)


def test_a_default_that_its_column_cannot_hold_is_refused() -> None:
    @dataclass
    class Bad:
        a: Annotated[int, "TINYINT"] = 1000

    with pytest.raises(DefinitionError, match=r"Bad.a: default: 1000 is too large for TINYINT"):
        record_class(Bad).definition(key="a")


def test_a_mapping_is_a_row_by_its_names() -> None:
    definition = record_class(Quote).definition(key="symbol")
    at = datetime(2024, 1, 1, tzinfo=UTC)
    assert values_of_mapping(definition, {"at": at, "symbol": "A"}) == ["A", at, 0.0, None]
    with pytest.raises(UnknownColumn, match=r"did you mean 'symbol'?"):
        values_of_mapping(definition, {"symbl": "A"})
    with pytest.raises(BadValue, match="table quotes, column at: it is missing"):
        values_of_mapping(definition, {"symbol": "A"})
