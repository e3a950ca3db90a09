"""What every column type can do; the types themselves are in `column_numbers`, `column_texts` and `column_times`.

A value has one form in memory (`python`), and comes and goes in four others: JSON documents, text (HSET, HGET), the
text inside a key, and the msgpack of a row. Each way in either gives a value in the one form, in the column's scale and
range, or raises BadValue, which says what is wrong with which value; nothing is rounded, cut or guessed on the way.
NULL never comes here: whether a column may be NULL is the table's business.
"""

from collections.abc import Callable
from typing import Any

from kubegrid.base.table_errors import BadValue, shown


class ColumnType:
    """One SQL type. Immutable; two of the same `name` are equal."""

    name: str
    """Canonical SQL spelling, such as `DECIMAL(18,2)`."""
    python: type
    """The exact class of the values in memory; `object` for JSON, whose values are of several."""
    wire: Any
    """The annotation with which msgspec decodes the value from a row's msgpack."""
    document: Any
    """The annotation with which msgspec decodes the value from a JSON document."""
    keyed = True
    """Whether such a column may be part of a primary key."""
    ordered = True
    """Whether values compare with each other, so that an index over them makes sense."""
    unpack: Callable[[Any], Any] | None = None
    """From what msgspec decodes out of a row to the value in memory; None when they are the same."""
    pack: Callable[[Any], Any] | None = None
    """The reverse: what msgspec encodes in the value's place."""
    condition = "type({v}) is {c}"
    """When `from_python` gives back the value itself, as Python source: {v} the value, {c} `python`, {t} this type."""
    exact = ""
    """The same for a value that msgspec decoded with `wire`; empty: always. A scale, for one, msgspec cannot check."""

    def settle(self, value: Any) -> Any:
        """A value of the class `python`, in the column's range and scale. Raises BadValue."""
        return value

    def from_json(self, value: Any) -> Any:
        """From a decoded JSON value, not None. Raises BadValue."""
        raise NotImplementedError

    def from_text(self, data: bytes) -> Any:
        """From what HSET and files carry. Raises BadValue."""
        raise NotImplementedError

    def from_python(self, value: Any) -> Any:
        """From a Python value, not None. Raises BadValue."""
        raise NotImplementedError

    def to_json(self, value: Any) -> Any:
        """What stands for the value in a JSON document; DECIMAL and HUGEINT stay numbers, written with all digits."""
        return value

    def to_text(self, value: Any) -> bytes:
        """What HGET gives; `from_text` reads it back as the same value."""
        raise NotImplementedError

    def to_key_text(self, value: Any) -> bytes:
        """As it stands in a key, before percent-encoding."""
        return self.to_text(value)

    def from_key_text(self, data: bytes) -> Any:
        return self.from_text(data)

    def refuse(self, value: object, why: str = "") -> BadValue:
        """The error for a value that is no such thing, such as `'abc' is not an INTEGER`."""
        article = "an" if self.name.startswith("INT") else "a"
        return BadValue(f"{shown(value)} is not {article} {self.name}{': ' + why if why else ''}")

    def text_of(self, data: bytes) -> str:
        """The bytes as UTF-8. Raises BadValue."""
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise self.refuse(data, f"byte {error.start} is not valid UTF-8") from None

    def __repr__(self) -> str:
        return self.name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ColumnType) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)
