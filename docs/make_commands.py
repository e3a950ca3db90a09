"""Writes docs/commands.md from the command table: `python docs/make_commands.py`. A test holds the page to the table."""

from collections import defaultdict
from pathlib import Path

from kubegrid.wire.command_table import COMMANDS, CommandInfo

PAGE = Path(__file__).with_name("commands.md")

INTRODUCTION = """# Commands

Written by `docs/make_commands.py` from the command table; edit that, not this page.

KubeGrid speaks RESP2 and RESP3 in cluster mode, so that any Redis Cluster client works unchanged. Commands answer as
Redis 7.0 does, errors included. A command that is not listed is answered `-ERR unknown command`. What differs:

* **All keys of a command are in one slot** (`-CROSSSLOT` else), as in Redis Cluster. `{tag}` puts keys together.
* **Replies are durable in memory.** The reply to a write leaves when every in-sync member has it; a write that is not
  confirmed within 5 s closes the connection: its outcome is unknown. `WAIT` therefore answers at once, with the number of
  in-sync backups.
* **A member without a lease or a primary** answers `-CLUSTERDOWN` at once; below `minInSync` writes get `-NOREPLICAS`.
* **A member that has just started** lets its clients wait until it knows who is primary of what, for a second at most; then it
  says `-LOADING`. While its copy is still being filled it says `-MOVED` to reads, too, and `-LOADING` to `DBSIZE` and its kin.
* **Long commands are cut into slices** (`KEYS`, `FLUSHALL`, deleting something large), so `KEYS` may see writes that
  others make meanwhile. What must be atomic (`EXEC`, `MSET`, `HGETALL`) has a limit of 20,000 keys or fields.
* **Limits**: a key 64 KiB, a value or field 16 MiB, a request or all of one `MULTI` 32 MiB, 10,000 commands in it, and
  what they make of values that are there (`COPY`, `RENAME`, changes of records) 32 MiB. The reply of a
  command that may ask for much (`MGET`, `HGETALL`, `HMGET`, `HVALS`, `KEYS`, `KG.FIND` …) is at most 64 MiB, and 1/16 of the
  member's memory; longer ones are refused. `KG.FIND`s that have to put together more than twice that at
  the same time get `-TRYAGAIN`. In `EXEC`, reads get an error once the replies are longer than that together.
* **Memory**: past the member's limit, writes that may grow get `-OOM`; reads and deletions go on. Nothing is evicted.
* `SCAN` in a cluster walks the member asked, as in Redis; clients walk all of them.
* `OBJECT IDLETIME` is the time since a key of the same slot was last used: a lower bound. Reads of a client that said
  `CLIENT NO-TOUCH ON` are no use (as in Redis 7.2); its writes and `TOUCH` are.
* One database: `SELECT 0` only. `CONFIG SET` takes what can be set: `maxclients`, `maxmemory` (below the member's own limit),
  `maxmemory-policy noeviction`, `tcp-keepalive`, `timeout`, `slowlog-log-slower-than`, `slowlog-max-len` (up to 10,000),
  `latency-monitor-threshold` and `hash-max-listpack-*`; of the others, the value that they have. It holds for the member
  asked, until its process ends.
* A `HELLO` that is refused changes nothing, as in Redis 7.2; 7.0 keeps the `AUTH` and `SETNAME` that stand before the error.
* `CLIENT REPLY SKIP` holds for the next command, whatever empty lines stand before it.
* `CLIENT TRACKING ON` is refused: nothing is tracked for caching clients. `CLIENT PAUSE` holds clients of this member; no
  key of it expires meanwhile, but those whose time is over are answered as missing.
* `OBJECT ENCODING` of a hash follows from its fields and `hash-max-listpack-entries` and `-value`, not from what it was: one
  that shrank is a `listpack` again. `CONFIG SET` of these two changes nothing but this name.
* `INFO` has the fields of Redis that have a true value here. Bytes on the network are not counted.
* `INFO commandstats` measures the first call and one in sixteen of a short command, and multiplies.
* `SLOWLOG` and `LATENCY` see every call of commands that may take long or have eight words and more, and one in sixteen of
  those that take the same few microseconds whatever is stored (`fast` in `COMMAND INFO`, and `SET`, `DEL` …) and are short; with
  `slowlog-log-slower-than` below 1000 (microseconds), every call, and plain GETs and SETs are slower meanwhile. Of a command
  in slices the slices count. `LATENCY` knows the events `command` and `fast-command`.
* `MEMORY STATS` has the fields that have a true value here. `ACL` tells of the one user, `default`, which cannot be changed.
* **Records** (`grid` and `json` below): `KG.FIND`, `KG.COUNT`, `KG.TAKE` answer for the partition of the member asked.
  `KG.WRITE`, `KG.REWRITE` and `KG.READ` take rows and keys of several slots of one partition; those of another get
  `-MOVED`. `KG.TAKE … BLOCK 0` waits without a limit, at most 1,000 clients of a member do so at once, and after a
  hand-over they get `-UNBLOCKED`.
  `KG.ONCE client seq acked KG.BATCH requests` executes up to 1,000 writes of one partition, packed into one string as they
  would be sent by themselves, in order and as one log entry, and answers the array of their replies.
  `KG.CREATE table definition NEW` is refused if there is a table of the name, even the same, and answers the new one's id;
  `KG.DROP table ID id` drops that table and no other that has the name meanwhile.
  `KG.CREATE`, `KG.DROP`, `KG.TRUNCATE`, `KG.ALTER` and `KG.ONCE` are no part of a `MULTI`. A plain write to a
  record's key is `-WRONGTYPE`.
* **Records for clients that know hashes or documents**: `HGET`, `HSET` and their kin work on columns, whose values are text
  and of which NULL is not there; `HSET` and `JSON.SET key $` on a missing record write one, with the key columns taken from the
  key. `JSON.*` knows the paths `$`, `.`, `$.column`, `.column`; `JSON.DEL` of a column sets it to NULL. `HDEL`, `RENAME` and
  `COPY` of a record are refused. `TYPE` is `record`. `KG.WRITE` takes at most 5,000 rows and 300,000 values (rows
  times columns), `KG.REWRITE` 5,000 records, `KG.COMMIT` 10,000 operations. `KG.READ` reads at one moment what 20 ms suffice
  for: hundreds of records at least, unless they have a hundred columns and more; the rest of its keys in the turns that follow.
* A plain client that repeats a write after a lost connection may have it applied twice, as with Redis.
"""


def _row(info: CommandInfo) -> str:
    names = ""
    if info.subcommands:
        names = ": " + ", ".join(sorted(sub.decode().upper() for sub in info.subcommands))
    return f"| `{info.name.upper()}`{names} | {info.summary} |"


def page() -> str:
    """The whole page as text."""
    groups: dict[str, list[CommandInfo]] = defaultdict(list)
    for info in {id(info): info for info in COMMANDS.values()}.values():
        groups[info.group].append(info)
    parts = [INTRODUCTION]
    for group in sorted(groups):
        parts.append(f"\n## {group}\n\n| command | what it does |\n|---|---|\n")
        parts.append("\n".join(_row(info) for info in sorted(groups[group], key=lambda info: info.name)) + "\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
