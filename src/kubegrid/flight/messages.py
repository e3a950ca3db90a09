"""The messages of Flight SQL that this server reads and writes, as protobuf classes made from the table below.

The numbers are those of Apache Arrow's `FlightSql.proto`. What is not in the table (Substrait, savepoints, foreign keys
between tables) is answered as not supported, by its name. A pool of their own keeps these classes apart from those of
any driver in the same process.

A message travels inside an `Any`, which names its type; `unpack` and `pack` deal with that.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
from google.protobuf.any_pb2 import Any as Wrapper

from kubegrid.wire.sql_tickets import TicketError

PACKAGE = "arrow.flight.protocol.sql"
PREFIX = f"type.googleapis.com/{PACKAGE}."

_FIELDS: dict[str, tuple[str, ...]] = {
    # `name type`, numbered from 1 unless a number follows; `?`: its presence counts; `*`: repeated.
    "CommandGetSqlInfo": ("info uint32*",),
    "CommandGetXdbcTypeInfo": ("data_type int32?",),
    "CommandGetCatalogs": (),
    "CommandGetDbSchemas": ("catalog string?", "db_schema_filter_pattern string?"),
    "CommandGetTables": (
        "catalog string?",
        "db_schema_filter_pattern string?",
        "table_name_filter_pattern string?",
        "table_types string*",
        "include_schema bool",
    ),
    "CommandGetTableTypes": (),
    "CommandGetPrimaryKeys": ("catalog string?", "db_schema string?", "table string"),
    "CommandGetExportedKeys": ("catalog string?", "db_schema string?", "table string"),
    "CommandGetImportedKeys": ("catalog string?", "db_schema string?", "table string"),
    "CommandGetCrossReference": (
        "pk_catalog string?",
        "pk_db_schema string?",
        "pk_table string",
        "fk_catalog string?",
        "fk_db_schema string?",
        "fk_table string",
    ),
    "ActionCreatePreparedStatementRequest": ("query string", "transaction_id bytes?"),
    "ActionCreatePreparedStatementResult": (
        "prepared_statement_handle bytes",
        "dataset_schema bytes",
        "parameter_schema bytes",
    ),
    "ActionClosePreparedStatementRequest": ("prepared_statement_handle bytes",),
    "CommandStatementQuery": ("query string", "transaction_id bytes?"),
    "TicketStatementQuery": ("statement_handle bytes",),
    "CommandPreparedStatementQuery": ("prepared_statement_handle bytes",),
    "CommandStatementUpdate": ("query string", "transaction_id bytes?"),
    "CommandPreparedStatementUpdate": ("prepared_statement_handle bytes",),
    "TableDefinitionOptions": ("if_not_exist int32", "if_exists int32"),
    "CommandStatementIngest": (
        "table_definition_options TableDefinitionOptions",
        "table string",
        "schema string?",
        "catalog string?",
        "temporary bool",
        "transaction_id bytes?",
        "options IngestOption* 1000",
    ),
    "IngestOption": ("key string", "value string"),
    "DoPutUpdateResult": ("record_count int64",),
    "DoPutPreparedStatementResult": ("prepared_statement_handle bytes?",),
}
_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "uint32": _Field.TYPE_UINT32,
    "int64": _Field.TYPE_INT64,
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="kubegrid/flight_sql.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        described = file.message_type.add(name=name)
        for place, text in enumerate(fields, 1):
            words = text.split()
            _describe(described, words[0], words[1], int(words[2]) if len(words) > 2 else place)
    return file


def _describe(described: Any, name: str, kind: str, number: int) -> None:
    field = described.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    bare = kind.rstrip("?*")
    if bare in _TYPES:
        field.type = _TYPES[bare]
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{bare}"
    if kind.endswith("*"):
        field.label = _Field.LABEL_REPEATED
    if kind.endswith("?"):
        field.proto3_optional = True
        field.oneof_index = len(described.oneof_decl)
        described.oneof_decl.add(name=f"_{name}")


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file())
CLASSES: dict[str, Any] = {
    name: message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _FIELDS
}


def unpack(data: bytes) -> tuple[str, Any]:
    """The name of the message and the message itself. Raises TicketError, naming what is wrong with it."""
    wrapper = Wrapper()
    try:
        wrapper.ParseFromString(data)
    except message.DecodeError as error:
        raise TicketError(f"neither JSON nor a message of Flight SQL: {error}") from error
    if not wrapper.type_url.startswith(PREFIX):
        kind = wrapper.type_url[:200] or "nothing"
        raise TicketError(f"neither JSON nor a message of Flight SQL, but {kind!r}")
    name = wrapper.type_url.removeprefix(PREFIX)
    return name, _parsed(name, wrapper.value)


def _parsed(name: str, value: bytes) -> Any:
    shape = CLASSES.get(name)
    if shape is None:
        raise TicketError(f"{name[:200]} of Flight SQL is not supported here")
    parsed = shape()
    try:
        parsed.ParseFromString(value)
    except message.DecodeError as error:
        raise TicketError(f"a {name} that cannot be read: {error}") from error
    return parsed


def pack(name: str, **fields: Any) -> bytes:
    """A message inside an `Any`."""
    return Wrapper(type_url=PREFIX + name, value=plain(name, **fields)).SerializeToString()


def plain(name: str, **fields: Any) -> bytes:
    """A message by itself, as the metadata of `DoPut` has it."""
    return bytes(CLASSES[name](**fields).SerializeToString())
