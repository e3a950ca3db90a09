"""Every command with any number of arguments of any kind: always one complete reply, never an exception."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.node.drive import Drive, decode
from tests.unit.node.table_rows import declare, write

from kubegrid.base.settings import StoreSettings
from kubegrid.wire.command_table import COMMANDS

NAMES = [
    (name, *([sub] if sub else []))
    for name, info in COMMANDS.items()
    for sub in (None, *info.subcommands)
    if name != b"wait" and sub != b"pause"  # they go on until somebody's clock says otherwise
]
WORDS = st.sampled_from(
    b"""{t}a {t}b {t}h {t}n 0 1 -1 5 -5 9223372036854775807 -9223372036854775808 99999999999999999999 1.5 -0.0 1e308 nan inf 3
    EX PX NX XX GT LT KEEPTTL GET EXAT PXAT PERSIST MATCH COUNT TYPE string hash WITHVALUES LEN IDX MINMATCHLEN WITHMATCHLEN
    REPLACE DB ASYNC SYNC ON OFF SKIP ID ADDR LADDR NORMAL SKIPME YES NO AUTH default SETNAME LIB-NAME FILTERBY ACLCAT PATTERN
    MODULE SAMPLES jobs state='new' TRUE jobs:1 REPLACE KEEP FAIL BLOCK IF FIELDS LIMIT WITHVERSIONS MAXSTALENESS $ $.state .
    {"set":{"state":"new"}} {"id":"1"} 0123456789abcdef
    SAMPLES * h*llo [a-z ? \\ % %s {} server all maxclients maxmem* 100 16383 16384 foo|bar client|id""".split()
)
ARGUMENT = WORDS | st.binary(max_size=12) | st.integers(-3, 70_000).map(lambda n: b"%d" % n)
REQUEST = st.tuples(st.sampled_from(NAMES), st.lists(ARGUMENT, max_size=7)).map(lambda pair: [*pair[0], *pair[1]])
KEYED = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from([b"{t}a", b"{t}h", b"{t}n", b"jobs:1", b"jobs"]),
    st.lists(ARGUMENT, max_size=5),
).map(lambda parts: [*parts[0], parts[1], *parts[2]])


@settings(max_examples=250, deadline=None)
@given(st.lists(REQUEST | KEYED, max_size=12), st.sampled_from([2, 3]), st.booleans())
def test_every_request_gets_one_complete_reply(requests: list[list[bytes]], protocol: int, backup: bool) -> None:
    drive = Drive(store=StoreSettings(value_bytes_max=1 << 20))
    declare(drive)
    client = drive.connect()
    client("SET", "{t}a", "10")
    client("HSET", "{t}h", "f", "1", "g", "x")
    write(client, ("1", "new", 1), ("2", "done", None))
    client.resp = protocol
    if backup:
        drive.become_backup()
        client.readonly = True
    for request in requests:
        reply = client.raw_or_later(*request)
        if reply or request[:2][-1].lower() != b"reply":
            decode(reply)
        client.close_after_reply = False
    drive.keyspace.validate()
