"""The frames between a member and a manager: one link carries coordinator calls, registration and pushes.

Calls carry an id which the answer repeats; a call without an answer when the link breaks has an unknown outcome.
MessagePack arrays, tagged; fields are only ever added at the end, with a default.
"""

import msgspec

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.coordination.catalog import Change
from kubegrid.coordination.records import MemberRecord, TopologySnapshot

KEY_LENGTH_MAX = 256
VALUE_BYTES_MAX = 256 * 1024
"""A configuration is a few hundred bytes; the coordinator is no place for data."""


class ReadKey(msgspec.Struct, frozen=True, array_like=True, tag="read"):
    id: int
    key: str


class ReadAnswer(msgspec.Struct, frozen=True, array_like=True, tag="value"):
    """`value` None: nothing is stored. `error`: it is not known what is stored."""

    id: int
    value: bytes | None
    token: int
    error: str = ""


class Swap(msgspec.Struct, frozen=True, array_like=True, tag="swap"):
    id: int
    key: str
    value: bytes
    token: int | None


class SwapAnswer(msgspec.Struct, frozen=True, array_like=True, tag="swapped"):
    id: int
    outcome: str
    value: bytes | None
    token: int
    reason: str = ""


class Watch(msgspec.Struct, frozen=True, array_like=True, tag="watch"):
    prefix: str


class Changed(msgspec.Struct, frozen=True, array_like=True, tag="changed"):
    key: str


class Register(msgspec.Struct, frozen=True, array_like=True, tag="register"):
    """Registers, or renews the lease: always the whole record, and the configuration that the member follows."""

    record: MemberRecord
    configuration: Configuration | None


class Leave(msgspec.Struct, frozen=True, array_like=True, tag="leave"):
    reason: str = ""


class Topology(msgspec.Struct, frozen=True, array_like=True, tag="topology"):
    snapshot: TopologySnapshot


class HandOver(msgspec.Struct, frozen=True, array_like=True, tag="hand-over"):
    """Asks a primary to hand its partition over (R16); `to` None: to whom it likes best."""

    id: int
    partition: int
    to: Member | None


class CommandAnswer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """The member has begun what it was asked for, or says why not."""

    id: int
    accepted: bool
    reason: str = ""


class Catalog(msgspec.Struct, frozen=True, array_like=True, tag="catalog"):
    """The whole catalog of tables: told to every registered member, at its registration and at each change."""

    document: bytes


class ChangeCatalog(msgspec.Struct, frozen=True, array_like=True, tag="change-catalog"):
    """Somebody asked a member for a change of the catalog (`catalog.Change`); only the manager makes it."""

    id: int
    change: Change


class CatalogAnswer(msgspec.Struct, frozen=True, array_like=True, tag="catalog-changed"):
    """What became of a change: done when `code` is empty; else an error's first word, and its text."""

    id: int
    version: int
    code: str = ""
    reason: str = ""
    table: int = 0
    """The id of the table that the change was about, if it is there after it."""


class TellCatalog(msgspec.Struct, frozen=True, array_like=True, tag="tell-catalog"):
    """Asks a member for the newest catalog that it knows: the coordinator has lost its own."""

    id: int


class CatalogTold(msgspec.Struct, frozen=True, array_like=True, tag="catalog-told"):
    id: int
    document: bytes


FromMember = ReadKey | Swap | Watch | Register | Leave | CommandAnswer | ChangeCatalog | CatalogTold
FromManager = ReadAnswer | SwapAnswer | Changed | Topology | HandOver | Catalog | CatalogAnswer | TellCatalog

encode = msgspec.msgpack.Encoder().encode
decode_from_member = msgspec.msgpack.Decoder(FromMember).decode
decode_from_manager = msgspec.msgpack.Decoder(FromManager).decode
