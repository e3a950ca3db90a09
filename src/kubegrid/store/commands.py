"""The table of data commands: upper-case name → function(keyspace, arguments with the name, resp3) → reply.

Dispatch has checked the number of arguments, that all keys lie in one slot, and that the slot is owned. A function gives
a complete reply as bytes (errors too), or a generator that yields between slices of bounded work and returns the reply.
"""

from collections.abc import Callable, Generator

from kubegrid.store.keyspace import Keyspace

Reply = bytes | Generator[None, None, bytes]
Command = Callable[[Keyspace, list[bytes], bool], Reply]

COMMANDS: dict[bytes, Command] = {}
