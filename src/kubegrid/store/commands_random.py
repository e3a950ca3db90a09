"""What picks at random: RANDOMKEY and HRANDFIELD. The numbers come from `Keyspace.random`."""

from collections.abc import Callable
from itertools import islice
from typing import Final

from kubegrid.store.hashes import Hash
from kubegrid.store.keyspace import Keyspace
from kubegrid.store.numbers import INT64_MAX, parse_int64
from kubegrid.store.refusals import reply_too_long, too_many
from kubegrid.store.shards import Shards
from kubegrid.wire import resp
from kubegrid.wire.resp import EMPTY_ARRAY, ERR_NOT_INTEGER, ERR_OUT_OF_RANGE, ERR_SYNTAX, ERR_WRONGTYPE

EXPIRED_TRIES_MAX: Final = 100
"""How often RANDOMKEY picks again when it met an expired key, as in Redis."""
_COUNT_OUT_OF_RANGE = resp.error(
    f"ERR value is out of range, value must between {-INT64_MAX} and {INT64_MAX}"  # Redis's wording
)

Pair = tuple[bytes, bytes]


def randomkey(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    for _ in range(EXPIRED_TRIES_MAX):
        if not keyspace.key_count:
            break
        key = keyspace.slot_sizes.pick(keyspace)
        if key is not None and keyspace.holds(key):
            return resp.bulk(key)
    return resp.null(resp3)


def hrandfield(keyspace: Keyspace, args: list[bytes], resp3: bool) -> bytes:
    if len(args) == 2:
        value = keyspace.find(args[1])
        if value is None:
            return resp.null(resp3)
        return resp.bulk(_picker(value, keyspace.random)()[0]) if type(value) is Hash else ERR_WRONGTYPE
    count = parse_int64(args[2])
    if count is None:
        return ERR_NOT_INTEGER
    if count < -INT64_MAX:
        return _COUNT_OUT_OF_RANGE
    with_values = len(args) == 4 and args[3].upper() == b"WITHVALUES"
    if len(args) > 3 and not with_values:
        return ERR_SYNTAX
    if with_values and abs(count) > INT64_MAX // 2:
        return ERR_OUT_OF_RANGE
    value = keyspace.find(args[1])
    if value is None or count == 0:
        return ERR_WRONGTYPE if type(value) is bytes else EMPTY_ARRAY
    if type(value) is not Hash:
        return ERR_WRONGTYPE
    if (min(count, len(value)) if count > 0 else -count) > keyspace.settings.atomic_units_max:
        return too_many(keyspace, "hrandfield")
    pairs = _different(value, count, keyspace.random) if count > 0 else _repeated(value, -count, keyspace.random)
    if sum([len(field) + len(found) * with_values for field, found in pairs]) > keyspace.settings.reply_bytes_max:
        return reply_too_long(keyspace, "hrandfield")
    if not with_values:
        return resp.array_of_bulks([field for field, _ in pairs])
    if resp3:
        return resp.array([resp.array_of_bulks(pair) for pair in pairs])
    return resp.array_of_bulks([part for pair in pairs for part in pair])


def _repeated(value: Hash, count: int, random: Callable[[int], int]) -> list[Pair]:
    pick = _picker(value, random)
    return [pick() for _ in range(count)]


def _different(value: Hash, count: int, random: Callable[[int], int]) -> list[Pair]:
    """At most `count` pairs, none twice."""
    size = len(value)
    if count >= size:
        return list(value.items())
    if count * 3 > size:
        pairs = list(value.items())
        # The first steps of Fisher and Yates's shuffle.
        for i in range(count):
            j = i + random(size - i)
            pairs[i], pairs[j] = pairs[j], pairs[i]
        return pairs[:count]
    pick = _picker(value, random)
    chosen: dict[bytes, bytes] = {}
    while len(chosen) < count:
        field, found = pick()
        chosen[field] = found
    return list(chosen.items())


def _picker(value: Hash, random: Callable[[int], int]) -> Callable[[], Pair]:
    """A function that picks one field, each with the same chance."""
    table = value.table
    if type(table) is not Shards:
        pairs = list(value.items())
        return lambda: pairs[random(len(pairs))]
    shards = table.tables
    if len(shards) == 1:
        pairs = list(shards[0].items())
        return lambda: pairs[random(len(pairs))]
    longest = max(map(len, shards))

    def pick() -> Pair:
        # Rejection makes it even: a shard with half the fields of the longest is taken half as often.
        while True:
            shard = shards[random(len(shards))]
            rank = random(longest)
            if rank < len(shard):
                return next(islice(shard.items(), rank, None))

    return pick
