"""Plain Redis types for asyncio: the methods of `plain`, each answering with an awaitable.

The request is on its way when the method returns; `await` or `asyncio.gather` take the answer. There is no coroutine and no task
per request.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from kubegrid.client import answers, arguments
from kubegrid.client.plain import Key, Value


class AsyncPlainCommands:
    """Strings, counters, hashes, expiry."""

    def _do(
        self, args: tuple[Any, ...], key: Key, write: bool, read: Callable[[Any], Any] | None = None
    ) -> Awaitable[Any]:
        raise NotImplementedError

    # -- strings -----------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> Awaitable[bytes | None]:
        """The string at `key`; None when there is none."""
        return self._do((b"GET", key), key, False)

    def set(
        self,
        key: Key,
        value: Value,
        *,
        ex: float | None = None,
        only_if_absent: bool = False,
        only_if_present: bool = False,
        keep_ttl: bool = False,
    ) -> Awaitable[bool]:
        """Store a string, for `ex` seconds if given. False when a condition did not hold and nothing was stored."""
        args = answers.set_arguments(key, value, ex, only_if_absent, only_if_present, keep_ttl)
        return self._do(args, key, True, answers.is_ok)

    def get_and_delete(self, key: Key) -> Awaitable[bytes | None]:
        """The string at `key`, which is gone then."""
        return self._do((b"GETDEL", key), key, True)

    def append(self, key: Key, value: Value) -> Awaitable[int]:
        """Add to the end of a string; its new length."""
        return self._do((b"APPEND", key, arguments.word(value)), key, True)

    def length(self, key: Key) -> Awaitable[int]:
        """The length of a string in bytes; 0 when there is none."""
        return self._do((b"STRLEN", key), key, False)

    def incr(self, key: Key, by: int = 1) -> Awaitable[int]:
        """Add to a counter, which begins at 0; its new value."""
        return self._do((b"INCRBY", key, arguments.whole(by, "by")), key, True)

    def decr(self, key: Key, by: int = 1) -> Awaitable[int]:
        """Subtract from a counter; its new value."""
        return self._do((b"DECRBY", key, arguments.whole(by, "by")), key, True)

    def incr_float(self, key: Key, by: float) -> Awaitable[float]:
        """Add to a number with a fraction; its new value."""
        return self._do((b"INCRBYFLOAT", key, arguments.number(by, "by")), key, True, float)

    # -- keys --------------------------------------------------------------------------------------------------------

    def expire(self, key: Key, seconds: float) -> Awaitable[bool]:
        """Let a key expire; False when there is no such key."""
        return self._do(answers.expire_arguments(key, seconds), key, True, bool)

    def persist(self, key: Key) -> Awaitable[bool]:
        """Take a key's expiry away; False when it had none."""
        return self._do((b"PERSIST", key), key, True, bool)

    def ttl(self, key: Key) -> Awaitable[float | None]:
        """Seconds until a key expires; None when it does not, or does not exist."""
        return self._do((b"PTTL", key), key, False, answers.seconds_left)

    def type(self, key: Key) -> Awaitable[str]:
        """`string`, `hash`, `record`, or `none`."""
        return self._do((b"TYPE", key), key, False, answers.text)

    # -- hashes ------------------------------------------------------------------------------------------------------

    def hset(self, key: Key, fields: Mapping[Any, Value]) -> Awaitable[int]:
        """Set fields of a hash; how many of them are new."""
        return self._do(answers.hash_arguments(key, fields), key, True)

    def hget(self, key: Key, field: Key) -> Awaitable[bytes | None]:
        """A field of a hash."""
        return self._do((b"HGET", key, arguments.word(field, "field")), key, False)

    def hget_many(self, key: Key, *fields: Key) -> Awaitable[list[bytes | None]]:
        """Several fields of a hash."""
        return self._do(answers.field_arguments(b"HMGET", key, fields), key, False)

    def hgetall(self, key: Key) -> Awaitable[dict[bytes, bytes]]:
        """All fields of a hash; empty when there is none."""
        return self._do((b"HGETALL", key), key, False, answers.pairs)

    def hdel(self, key: Key, *fields: Key) -> Awaitable[int]:
        """Delete fields of a hash; how many there were."""
        return self._do(answers.field_arguments(b"HDEL", key, fields), key, True)

    def hexists(self, key: Key, field: Key) -> Awaitable[bool]:
        """Whether a hash has a field."""
        return self._do((b"HEXISTS", key, arguments.word(field, "field")), key, False, bool)

    def hlen(self, key: Key) -> Awaitable[int]:
        """How many fields a hash has."""
        return self._do((b"HLEN", key), key, False)

    def hincr(self, key: Key, field: Key, by: int = 1) -> Awaitable[int]:
        """Add to an integer in a hash; its new value."""
        return self._do((b"HINCRBY", key, arguments.word(field, "field"), arguments.whole(by, "by")), key, True)
