"""The arguments of every command, for COMMAND DOCS: what redis-cli shows while a command is typed.

The facts are those of Redis 7.0; what came later, and what is the grid's own, follows at the end. One argument is

    name%type@key specification=TOKEN?*+~since!deprecated since

with everything but the name left out where it does not apply. `?` optional, `*` any number, `+` with its token each
time. A string has no type; `==TOKEN` is a word that stands for itself; `name( … )` is one of several, `name[ … ]` some
that belong together.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

# One command a line reads better than one argument a line.
# ruff: noqa: E501
# fmt: off
_ARGUMENTS: Final = {
    "ping": "message?",
    "echo": "message",
    "hello": "arguments?[ protover%integer username_password=AUTH?[ username password ] clientname=SETNAME? ]",
    "auth": "username?~6.0.0 password",
    "select": "index%integer",
    "client|setname": "connection-name",
    "client|list": "normal_master_replica_pubsub=TYPE?~5.0.0( normal==NORMAL master==MASTER replica==REPLICA pubsub==PUBSUB ) id=ID?~6.2.0[ client-id%integer* ]",
    "client|kill": "filter( ip:port!2.8.12 new-format*( client-id%integer=ID?~2.8.12 normal_master_slave_pubsub=TYPE?~2.8.12( normal==NORMAL master==MASTER~3.2.0 slave==SLAVE replica==REPLICA~5.0.0 pubsub==PUBSUB ) username=USER? ip:port=ADDR? ip:port=LADDR?~6.2.0 yes/no=SKIPME? ) )",
    "client|no-evict": "enabled( on==ON off==OFF )",
    "client|tracking": "status( on==ON off==OFF ) client-id%integer=REDIRECT? prefix=PREFIX?*+ bcast==BCAST? optin==OPTIN? optout==OPTOUT? noloop==NOLOOP?",
    "client|caching": "mode( yes==YES no==NO )",
    "client|unblock": "client-id%integer timeout_error?( timeout==TIMEOUT error==ERROR )",
    "client|pause": "timeout%integer mode?~6.2.0( write==WRITE all==ALL )",
    "client|reply": "on_off_skip( on==ON off==OFF skip==SKIP )",
    "command|docs": "command-name?*",
    "command|info": "command-name?*",
    "command|list": "filterby=FILTERBY?( module-name=MODULE category=ACLCAT pattern%pattern=PATTERN )",
    "info": "section?*",
    "config|get": "parameter*[ parameter ]",
    "config|set": "parameter_value*[ parameter value ]",
    "memory|usage": "key%key@0 count%integer=SAMPLES?",
    "slowlog|get": "count%integer?",
    "latency|history": "event",
    "latency|reset": "event?*",
    "acl|cat": "categoryname?",
    "acl|genpass": "bits%integer?",
    "acl|getuser": "username",
    "cluster|keyslot": "key",
    "cluster|countkeysinslot": "slot%integer",
    "cluster|getkeysinslot": "slot%integer count%integer",
    "cluster|replicas": "node-id",
    "cluster|slaves": "node-id",
    "cluster|count-failure-reports": "node-id",
    "wait": "numreplicas%integer timeout%integer",
    "del": "key%key@0*",
    "unlink": "key%key@0*",
    "exists": "key%key@0*",
    "type": "key%key@0",
    "touch": "key%key@0*",
    "object|encoding": "key%key@0",
    "object|idletime": "key%key@0",
    "object|freq": "key%key@0",
    "object|refcount": "key%key@0",
    "expire": "key%key@0 seconds%integer condition?~7.0.0( nx==NX xx==XX gt==GT lt==LT )",
    "pexpire": "key%key@0 milliseconds%integer condition?~7.0.0( nx==NX xx==XX gt==GT lt==LT )",
    "expireat": "key%key@0 unix-time-seconds%unix-time condition?~7.0.0( nx==NX xx==XX gt==GT lt==LT )",
    "pexpireat": "key%key@0 unix-time-milliseconds%unix-time condition?~7.0.0( nx==NX xx==XX gt==GT lt==LT )",
    "expiretime": "key%key@0",
    "pexpiretime": "key%key@0",
    "ttl": "key%key@0",
    "pttl": "key%key@0",
    "persist": "key%key@0",
    "scan": "cursor%integer pattern%pattern=MATCH? count%integer=COUNT? type=TYPE?~6.0.0",
    "keys": "pattern%pattern",
    "rename": "key%key@0 newkey%key@1",
    "renamenx": "key%key@0 newkey%key@1",
    "copy": "source%key@0 destination%key@1 destination-db%integer=DB? replace==REPLACE?",
    "flushdb": "async?( async==ASYNC~4.0.0 sync==SYNC~6.2.0 )",
    "flushall": "async?( async==ASYNC~4.0.0 sync==SYNC~6.2.0 )",
    "get": "key%key@0",
    "set": "key%key@0 value condition?~2.6.12( nx==NX xx==XX ) get==GET?~6.2.0 expiration?( seconds%integer=EX~2.6.12 milliseconds%integer=PX~2.6.12 unix-time-seconds%unix-time=EXAT~6.2.0 unix-time-milliseconds%unix-time=PXAT~6.2.0 keepttl==KEEPTTL~6.0.0 )",
    "setnx": "key%key@0 value",
    "setex": "key%key@0 seconds%integer value",
    "psetex": "key%key@0 milliseconds%integer value",
    "getset": "key%key@0 value",
    "getdel": "key%key@0",
    "getex": "key%key@0 expiration?( seconds%integer=EX milliseconds%integer=PX unix-time-seconds%unix-time=EXAT unix-time-milliseconds%unix-time=PXAT persist==PERSIST )",
    "mget": "key%key@0*",
    "mset": "key_value*[ key%key@0 value ]",
    "msetnx": "key_value*[ key%key@0 value ]",
    "incr": "key%key@0",
    "incrby": "key%key@0 increment%integer",
    "incrbyfloat": "key%key@0 increment%double",
    "decr": "key%key@0",
    "decrby": "key%key@0 decrement%integer",
    "append": "key%key@0 value",
    "strlen": "key%key@0",
    "getrange": "key%key@0 start%integer end%integer",
    "substr": "key%key@0 start%integer end%integer",
    "setrange": "key%key@0 offset%integer value",
    "lcs": "key1%key@0 key2%key@0 len==LEN? idx==IDX? len%integer=MINMATCHLEN? withmatchlen==WITHMATCHLEN?",
    "hset": "key%key@0 field_value*[ field value ]",
    "hmset": "key%key@0 field_value*[ field value ]",
    "hsetnx": "key%key@0 field value",
    "hget": "key%key@0 field",
    "hmget": "key%key@0 field*",
    "hgetall": "key%key@0",
    "hdel": "key%key@0 field*",
    "hexists": "key%key@0 field",
    "hincrby": "key%key@0 field increment%integer",
    "hincrbyfloat": "key%key@0 field increment%double",
    "hkeys": "key%key@0",
    "hvals": "key%key@0",
    "hlen": "key%key@0",
    "hstrlen": "key%key@0 field",
    "hrandfield": "key%key@0 options?[ count%integer withvalues==WITHVALUES? ]",
    "hscan": "key%key@0 cursor%integer pattern%pattern=MATCH? count%integer=COUNT?",
    "watch": "key%key@0*",
    "client|setinfo": "attr( libname=LIB-NAME libver=LIB-VER )",
    "client|no-touch": "enabled( on==ON off==OFF )",
    "kg.create": "table definition new==NEW?",
    "kg.drop": "table id%integer=ID?",
    "kg.truncate": "table",
    "kg.alter": "table column=ADD[ definition=COLUMN ]",
    "kg.describe": "table",
    "kg.write": "table schema%integer mode( replace==REPLACE keep==KEEP fail==FAIL ) row*",
    "kg.rewrite": "table schema%integer operations parts%integer=PARTS?",
    "kg.read": "table milliseconds%integer=MAXSTALENESS? key*",
    "kg.change": "key%key@0 change",
    "kg.remove": "key%key@0 version%integer=IF?",
    "kg.commit": "key%key@0 operations",
    "kg.version": "key%key@0",
    "kg.find": "table predicate fields=FIELDS?[ count%integer field* ] limit%integer=LIMIT? withversions==WITHVERSIONS?",
    "kg.count": "table predicate",
    "kg.take": "table predicate milliseconds%integer=BLOCK?",
    "kg.once": "client seq%integer acked%integer command argument*",
    "json.set": "key%key@0 path value condition?( nx==NX xx==XX )",
    "json.get": "key%key@0 path?*",
    "json.mget": "key%key@0* path",
    "json.del": "key%key@0 path?",
    "json.forget": "key%key@0 path?",
    "json.numincrby": "key%key@0 path value%double",
    "json.type": "key%key@0 path?",
}
# fmt: on
_FLAGS: Final = {"?": "optional", "*": "multiple", "+": "multiple_token"}
_WORD: Final = re.compile(
    r"(?P<name>[^%@=?*+~!()\[\]]+)(?:%(?P<type>[a-z-]+))?(?:@(?P<key>\d+))?(?:=(?P<pure>=)?(?P<token>[A-Z-]+))?"
    r"(?P<flags>[?*+]*)(?:~(?P<since>[\d.]+))?(?:!(?P<deprecated>[\d.]+))?(?P<opening>[(\[]?)"
)


class Argument(NamedTuple):
    """One argument as COMMAND DOCS describes it. Empty strings and -1: not so."""

    name: str
    type: str
    key_spec_index: int
    token: str
    since: str
    deprecated_since: str
    flags: tuple[str, ...]
    parts: "tuple[Argument, ...]"
    """Of which one is chosen, or which belong together."""


def arguments(command: str) -> tuple[Argument, ...]:
    """The arguments of a command or `container|subcommand`; none for those without."""
    return _parsed(iter(_ARGUMENTS.get(command, "").split()))


def _parsed(words: Iterator[str]) -> tuple[Argument, ...]:
    """Arguments up to the end, or up to the bracket that closes."""
    found: list[Argument] = []
    for word in words:
        if word in (")", "]"):
            break
        match = _WORD.fullmatch(word)
        assert match is not None, word
        kind = match["type"] or ("pure-token" if match["pure"] else "string")
        if match["opening"]:
            kind = "oneof" if match["opening"] == "(" else "block"
        found.append(
            Argument(
                name=match["name"],
                type=kind,
                key_spec_index=int(match["key"] or -1),
                token=match["token"] or "",
                since=match["since"] or "",
                deprecated_since=match["deprecated"] or "",
                flags=tuple(_FLAGS[flag] for flag in match["flags"]),
                parts=_parsed(words) if match["opening"] else (),
            )
        )
    return tuple(found)
