"""VARCHAR, BLOB, UUID and JSON."""

import binascii
from base64 import b64decode, b64encode
from typing import Any
from uuid import UUID

import msgspec

from kubegrid.base.column_type import ColumnType

JSON_DEPTH_MAX = 64
"""Deeper documents are mistakes or attacks, and recursion over them is what they attack."""
_json_encoder = msgspec.json.Encoder(decimal_format="number")


class VarcharType(ColumnType):
    name = "VARCHAR"
    python = wire = document = str

    def from_json(self, value: Any) -> str:
        if type(value) is str:
            return self.settle(value)
        raise self.refuse(value)

    def settle(self, value: Any) -> str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self.refuse(value, f"character {error.start} is half of a surrogate pair, not valid text") from None
        return value  # type: ignore[no-any-return]

    def from_text(self, data: bytes) -> str:
        return self.text_of(data)

    def from_python(self, value: Any) -> str:
        if isinstance(value, str):
            return self.settle(str.__str__(value))  # a text's own characters, also those of an Enum's member
        raise self.refuse(value)

    def to_text(self, value: Any) -> bytes:
        return value.encode()  # type: ignore[no-any-return]


class BlobType(ColumnType):
    """Bytes: base64 in JSON, themselves everywhere else."""

    name = "BLOB"
    python = wire = document = bytes

    def from_json(self, value: Any) -> bytes:
        if type(value) is str:
            try:
                return b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise self.refuse(value, "in JSON it is written as base64") from None
        raise self.refuse(value)

    def from_text(self, data: bytes) -> bytes:
        return data

    def from_python(self, value: Any) -> bytes:
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise self.refuse(value)

    def to_json(self, value: Any) -> str:
        return b64encode(value).decode()

    def to_text(self, value: Any) -> bytes:
        return value  # type: ignore[no-any-return]


class UuidType(ColumnType):
    name = "UUID"
    python = wire = document = UUID

    def from_json(self, value: Any) -> UUID:
        if type(value) is str:
            try:
                return UUID(value)
            except ValueError:
                raise self.refuse(value) from None
        raise self.refuse(value)

    def from_text(self, data: bytes) -> UUID:
        return self.from_json(self.text_of(data))

    def from_python(self, value: Any) -> UUID:
        if isinstance(value, UUID):
            return UUID(int=value.int)
        raise self.refuse(value)

    def to_json(self, value: Any) -> str:
        return str(value)

    def to_text(self, value: Any) -> bytes:
        return str(value).encode()


class JsonType(ColumnType):
    """Any JSON value; the JSON null is SQL's NULL. Decimals and NaN have no place in one."""

    name = "JSON"
    python = object
    wire = document = Any
    keyed = False
    ordered = False
    exact = condition = "{t}.settle({v}) is {v}"

    def settle(self, value: Any) -> Any:
        """Check that it is made of what JSON has, with text for keys, finite numbers, and bounded depth."""
        level = [value]
        for _ in range(JSON_DEPTH_MAX):
            below: list[Any] = []
            for item in level:
                kind = type(item)
                if kind is dict:
                    for key in item:
                        if type(key) is not str:
                            raise self.refuse(key, "a key of an object is text")
                        _encodable(self, key)
                    below.extend(item.values())
                elif kind is list:
                    below.extend(item)
                elif kind is float:
                    if item - item != 0:
                        raise self.refuse(item, "JSON has no such number")
                elif kind is str:
                    _encodable(self, item)
                elif kind is int:
                    if not -(1 << 63) <= item < 1 << 64:
                        raise self.refuse(item, "a number in JSON has 64 bits at most here")
                elif kind is not bool and item is not None:
                    raise self.refuse(item)
            if not below:
                return value
            level = below
        raise self.refuse(value, f"nested more than {JSON_DEPTH_MAX} deep")

    def from_json(self, value: Any) -> Any:
        return self.settle(value)

    def from_text(self, data: bytes) -> Any:
        try:
            return self.settle(msgspec.json.decode(data))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.refuse(data.decode(errors="replace"), str(error)) from None

    def from_python(self, value: Any) -> Any:
        if isinstance(value, tuple):
            value = list(value)
        return self.settle(value)

    def to_text(self, value: Any) -> bytes:
        return _json_encoder.encode(value)


def _encodable(json: JsonType, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise json.refuse(text, "half of a surrogate pair is not valid text") from None
