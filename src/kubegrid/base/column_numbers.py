"""BOOLEAN, the integers, REAL and DOUBLE, DECIMAL.

A bool is not an integer, although Python says it is; a number with a fraction is none either, and one that is too large
is refused, not wrapped. `1.0` is taken for the integer 1, because JSON does not tell them apart.
"""

import re
import struct
from decimal import Context, Decimal, InvalidOperation
from typing import Annotated, Any

import msgspec

from kubegrid.base.column_type import ColumnType
from kubegrid.base.table_errors import BadValue, shown

DECIMAL_DIGITS_MAX = 38
_INTEGER = re.compile(rb"[+-]?[0-9]{1,60}")
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_NUMBER_BYTES_MAX = 400
_NOT_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_WORDS = {b"true": True, b"t": True, b"1": True, b"false": False, b"f": False, b"0": False}
_SINGLE = struct.Struct("<f")


class BooleanType(ColumnType):
    name = "BOOLEAN"
    python = wire = document = bool

    def from_json(self, value: Any) -> bool:
        if type(value) is bool:
            return value
        raise self.refuse(value)

    def from_text(self, data: bytes) -> bool:
        word = _WORDS.get(data.lower())
        if word is None:
            raise self.refuse(data.decode(errors="replace"), "it is true or false")
        return word

    def from_python(self, value: Any) -> bool:
        if type(value) is bool or type(value).__name__ in ("bool_", "bool"):  # numpy's own
            return bool(value)
        raise self.refuse(value)

    def to_text(self, value: Any) -> bytes:
        return b"true" if value else b"false"


class IntegerType(ColumnType):
    python = int

    def __init__(self, name: str, bits: int, signed: bool) -> None:
        self.name = name
        self.low = -(1 << (bits - 1)) if signed else 0
        self.high = (1 << (bits - (1 if signed else 0))) - 1
        self.condition = f"type({{v}}) is int and {self.low} <= {{v}} <= {self.high}"
        if bits <= 64 and self.high < 1 << 63:
            self.document = self.wire = Annotated[int, msgspec.Meta(ge=self.low, le=self.high)]
            return
        # msgspec's bounds end at 64 bits with sign, msgpack's integers at 64 bits; what is wider travels as text.
        self.document = int
        self.wire = Annotated[int, msgspec.Meta(ge=0)] if bits <= 64 else str
        if bits > 64:
            self.pack = str
            self.unpack = self._unpack
            self.exact = f"{self.low} <= {{v}} <= {self.high}"

    def _unpack(self, text: str) -> int:
        try:
            return self.from_text(text.encode())
        except UnicodeEncodeError:
            raise self.refuse(text) from None

    def settle(self, value: Any) -> int:
        if self.low <= value <= self.high:
            return value  # type: ignore[no-any-return]
        size = "large" if value > 0 else "small"
        raise BadValue(f"{shown(value)} is too {size} for {self.name}: {self.low} to {self.high}")

    def from_json(self, value: Any) -> int:
        if type(value) is int:
            return self.settle(value)
        if type(value) is float:
            if value.is_integer():
                return self.settle(int(value))
            raise self.refuse(value, "it has a fraction" if value - value == 0 else "")
        if type(value) is str and self.wire is str:  # many languages have no such number and send text
            return self.from_text(value.encode(errors="replace"))
        raise self.refuse(value)

    def from_text(self, data: bytes) -> int:
        if _INTEGER.fullmatch(data):
            return self.settle(int(data))
        fraction = _NUMBER.fullmatch(data) and b"." in data
        raise self.refuse(data.decode(errors="replace"), "it has a fraction" if fraction else "")

    def from_python(self, value: Any) -> int:
        if type(value) is int:
            return self.settle(value)
        if isinstance(value, bool):
            raise self.refuse(value)
        if isinstance(value, float):
            return self.from_json(float(value))
        try:
            return self.settle(int(value.__index__()))  # numpy's integers and IntEnum
        except AttributeError:
            raise self.refuse(value) from None

    def to_json(self, value: Any) -> int:
        return value  # type: ignore[no-any-return]

    def to_text(self, value: Any) -> bytes:
        return b"%d" % value


class FloatType(ColumnType):
    python = wire = document = float
    keyed = False
    """Equal numbers with several spellings, NaN and -0.0 make a bad key; DECIMAL makes a good one."""

    def __init__(self, name: str, single: bool) -> None:
        self.name = name
        self._single = single
        if single:
            self.exact = "({t}.settle({v}) == {v} or {v} != {v})"
            self.condition += f" and {self.exact}"

    def settle(self, value: Any) -> float:
        if self._single:
            try:
                return _SINGLE.unpack(_SINGLE.pack(value))[0]  # type: ignore[no-any-return]
            except OverflowError:
                raise BadValue(f"{shown(value)} is too large for {self.name}") from None
        return value  # type: ignore[no-any-return]

    def from_json(self, value: Any) -> float:
        if type(value) is str and value in _NOT_FINITE:
            return _NOT_FINITE[value]
        if type(value) is float or type(value) is int:
            return self._of_number(value)
        raise self.refuse(value)

    def _of_number(self, value: Any) -> float:
        try:
            return self.settle(float(value))
        except OverflowError:
            raise BadValue(f"{shown(value)} is too large for {self.name}") from None

    def from_text(self, data: bytes) -> float:
        if _NUMBER.fullmatch(data) and len(data) <= _NUMBER_BYTES_MAX:
            value = float(data)
            if value - value != 0:
                raise BadValue(f"{data.decode()} is too large for {self.name}")
            return self.settle(value)
        word = data.decode(errors="replace")
        if word.lower().lstrip("+-") in ("nan", "inf", "infinity"):
            return float(word)
        raise self.refuse(word)

    def from_python(self, value: Any) -> float:
        if type(value) is float:
            return self.settle(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._of_number(value)
        if hasattr(value, "dtype") and hasattr(value, "__float__") and value.dtype.kind in "fiu":  # numpy
            return self._of_number(value)
        raise self.refuse(value)

    def to_json(self, value: Any) -> float | str:
        if value - value == 0:
            return value  # type: ignore[no-any-return]
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"

    def to_text(self, value: Any) -> bytes:
        return repr(value).removesuffix(".0").encode()


class DecimalType(ColumnType):
    """DECIMAL(p,s): p digits in all, s of them after the point. Values are in memory with exactly s digits there."""

    python = wire = document = Decimal
    exact = "{v}.same_quantum({t}.unit) and -{t}.bound < {v} < {t}.bound and ({v} or not {v}.is_signed())"
    condition = f"type({{v}}) is {{c}} and {exact}"

    def __init__(self, precision: int, scale: int) -> None:
        self.name = f"DECIMAL({precision},{scale})"
        self.precision = precision
        self.scale = scale
        self.unit = Decimal(1).scaleb(-scale)
        self.bound = Decimal(10) ** (precision - scale)
        self._context = Context(prec=DECIMAL_DIGITS_MAX + 1)

    def settle(self, value: Any) -> Decimal:
        if not value.is_finite():
            raise self.refuse(value)
        try:
            settled: Decimal = value.quantize(self.unit, context=self._context)
        except InvalidOperation:  # more digits than any DECIMAL has
            raise self._too_large(value) from None
        if settled != value:
            raise self.refuse(value, f"it has more than {self.scale} digits after the point; round it first")
        if not -self.bound < settled < self.bound:
            raise self._too_large(value)
        return settled if settled else abs(settled)  # -0.00 is 0.00

    def _too_large(self, value: Decimal) -> BadValue:
        return BadValue(f"{shown(value)} is too large for {self.name}")

    def from_json(self, value: Any) -> Decimal:
        if type(value) is str:
            return self.from_text(value.encode(errors="replace"))
        return self._of_number(value)

    def _of_number(self, value: Any) -> Decimal:
        if isinstance(value, bool):
            raise self.refuse(value)
        if isinstance(value, int):
            # Spelling a very long number is slow, and Python refuses it; no DECIMAL holds what has over 128 bits.
            if value.bit_length() > 128:
                raise BadValue(f"{shown(value)} is too large for {self.name}")
            return self.settle(Decimal(int(value)))
        if isinstance(value, float):
            return self.settle(Decimal(repr(float(value))))  # the shortest digits that mean this number
        if isinstance(value, Decimal):
            return self.settle(value)
        raise self.refuse(value)

    def from_text(self, data: bytes) -> Decimal:
        if _NUMBER.fullmatch(data) and len(data) <= _NUMBER_BYTES_MAX:
            return self.settle(Decimal(data.decode()))
        raise self.refuse(data.decode(errors="replace"))

    def from_python(self, value: Any) -> Decimal:
        return self._of_number(value)

    def to_text(self, value: Any) -> bytes:
        return f"{value:f}".encode()
