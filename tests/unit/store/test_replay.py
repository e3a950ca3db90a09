"""Effects make a replica equal, undo takes a turn back, and a log replayed over a fuzzy snapshot ends in the exact state."""

from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubegrid.base.settings import StoreSettings
from kubegrid.store import COMMANDS, Keyspace
from kubegrid.store.hashes import Hash

Command = list[bytes]
State = tuple[dict[bytes, Any], dict[bytes, int], int, int]

TINY = StoreSettings(slice_bytes=200, slice_units=5)
KEYS = [b"a", b"b", b"{b}1", b"{b}2", b"{b}3", b"big"]


def keyspace(*, primary: bool = True, config: StoreSettings = TINY) -> Keyspace:
    made = Keyspace(config, 0, 16383, random=Random(7).randrange)
    made.primary = primary
    made.now_ms = 1_000_000
    return made


def state(of: Keyspace) -> State:
    """Everything that counts, comparable; the books are checked on the way."""
    of.validate()
    values: dict[bytes, Any] = {}
    for table in filter(None, of.slots):
        for key, value in table.items():
            values[key] = dict(value.items()) if type(value) is Hash else value
    expires = {key: at for table in filter(None, of.expires) for key, at in table.items()}
    return values, expires, of.used_bytes, of.key_count


def call(on: Keyspace, *args: bytes) -> bytes:
    reply = COMMANDS[args[0]](on, list(args), False)
    if isinstance(reply, bytes):
        return reply
    while True:
        try:
            next(reply)
        except StopIteration as done:
            return done.value


key = st.sampled_from(KEYS)
field = st.sampled_from([b"f", b"g", b"h", *(b"n%d" % i for i in range(70))])
value = st.one_of(st.sampled_from([b"", b"1", b"7", b"3.5", b"v" * 70]), st.binary(max_size=20), st.just(b"L" * 5000))
span = st.sampled_from([b"1", b"5", b"50", b"100000", b"-1"])


def command(name: bytes, *parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[Command]:
    return st.tuples(st.just(name), *parts).map(list)


fields = st.lists(st.tuples(field, value), min_size=1, max_size=80).map(lambda p: [x for pair in p for x in pair])
commands = st.one_of(
    command(b"SET", key, value),
    command(b"SET", key, value),
    command(b"SET", key, value, st.sampled_from([b"PX"]), span.filter(lambda s: s != b"-1")),
    command(b"SET", key, value, st.sampled_from([b"KEEPTTL", b"NX", b"XX"])),
    command(b"GETEX", key, st.just(b"PERSIST")),
    command(b"APPEND", key, value),
    command(b"SETRANGE", key, st.sampled_from([b"0", b"3", b"30", b"4990", b"5010"]), value),
    command(b"INCR", key),
    command(b"DEL", key),
    command(b"DEL", key, key),
    command(b"GETDEL", key),
    command(b"RENAME", st.sampled_from(KEYS[1:5]), st.sampled_from(KEYS[1:5])),
    command(b"COPY", st.sampled_from(KEYS[1:5]), st.sampled_from(KEYS[1:5]), st.just(b"REPLACE")),
    command(b"PEXPIRE", key, span),
    command(b"PERSIST", key),
    command(b"HSET", key, field, value),
    st.tuples(key, fields).map(lambda t: [b"HSET", t[0], *t[1]]),
    command(b"HDEL", key, field),
    st.tuples(key, st.lists(field, min_size=1, max_size=60)).map(lambda t: [b"HDEL", t[0], *t[1]]),
    command(b"HINCRBY", key, field, st.just(b"2")),
    command(b"GET", key),
)
flush = command(b"FLUSHALL")
tick = st.integers(1, 60).map(lambda n: [b"tick", b"%d" % n])
steps = st.lists(st.one_of(commands, commands, commands, commands, tick), max_size=30)
RUNS = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def act(on: Keyspace, args: Command) -> None:
    if args[0] == b"tick":
        on.now_ms += int(args[1])
        on.expire_slice(10)
    else:
        call(on, *args)


@RUNS
@given(st.lists(st.one_of(commands, commands, commands, commands, flush, tick), max_size=40))
def test_a_replica_that_applies_the_effects_equals_the_primary(script: list[Command]) -> None:
    primary, replica = keyspace(), keyspace(primary=False)
    for args in script:
        act(primary, args)
        effects, _, size = primary.take_turn()
        assert size >= 0
        replica.apply(effects)
        replica.free_slice(3)
        assert state(replica) == state(primary), args
    primary.free_slice(10**6)
    assert state(replica) == state(primary)


@RUNS
@given(steps, st.lists(st.lists(st.one_of(commands, commands, flush, tick), max_size=8), max_size=5), st.booleans())
def test_reverting_turns_brings_back_the_state_before_them(
    before: list[Command], turns: list[list[Command]], frees: bool
) -> None:
    one = keyspace()
    for args in before:
        act(one, args)
    one.take_turn()
    expected = state(one)
    undos = []
    for turn in turns:
        for args in turn:
            act(one, args)
            if frees:
                one.free_slice(1000)
        undos.append(one.take_turn()[1])
    for undo in reversed(undos):
        one.revert(undo)
    assert state(one) == expected
    # Nothing that came back is freed behind its back.
    del undos
    one.free_slice(10**6)
    assert state(one) == expected


@RUNS
@given(steps, st.lists(st.one_of(commands, commands, commands, flush, tick, st.just([b"slice"])), max_size=60))
def test_the_log_over_a_fuzzy_snapshot_ends_in_the_exact_state(before: list[Command], script: list[Command]) -> None:
    primary = keyspace()
    for args in before:
        act(primary, args)
    primary.take_turn()
    slices, log, payloads = primary.snapshot(), [], []
    for args in script:
        if args == [b"slice"]:
            payload = next(slices, None)
            if payload is not None:
                payloads.append(payload)
        else:
            act(primary, args)
            log.append(primary.take_turn()[0])
    payloads += slices
    joiner = keyspace(primary=False)
    for payload in payloads:
        joiner.load(payload)
    for effects in log:
        joiner.apply(effects)
    assert state(joiner) == state(primary)


@RUNS
@given(steps)
def test_replaying_a_log_twice_changes_nothing(script: list[Command]) -> None:
    primary, replica = keyspace(), keyspace(primary=False)
    for args in script:
        act(primary, args)
    effects = primary.take_turn()[0]
    replica.apply(effects)
    replica.apply(effects)
    assert state(replica) == state(primary)


def test_a_large_hash_snapshot_is_cut_and_survives_writes_between_its_pieces() -> None:
    primary = keyspace(config=StoreSettings(slice_bytes=2000, slice_units=300))
    call(primary, b"HSET", b"big", *(b"%d" % i for i in range(6000)))
    call(primary, b"PEXPIRE", b"big", b"100000")
    primary.take_turn()
    joiner, log, payloads = keyspace(primary=False), [], []
    random = Random(3)
    for payload in primary.snapshot():
        payloads.append(payload)
        call(primary, b"HDEL", b"big", b"%d" % (2 * random.randrange(3000)))
        call(primary, b"HSET", b"big", b"%d" % random.randrange(9000), b"new", b"x%d" % random.randrange(99), b"y")
        log.append(primary.take_turn()[0])
    assert len(payloads) > 10
    assert max(map(len, payloads)) < 4000
    for payload in payloads:
        joiner.load(payload)
    for effects in log:
        joiner.apply(effects)
    assert state(joiner) == state(primary)


def test_a_long_string_is_cut_into_slices() -> None:
    primary = keyspace()
    text = bytes(range(256)) * 40
    call(primary, b"SET", b"a", text, b"PX", b"5000")
    payloads = list(primary.snapshot())
    assert max(map(len, payloads)) < 2 * TINY.slice_bytes
    joiner = keyspace(primary=False)
    for payload in payloads:
        joiner.load(payload)
    assert state(joiner) == state(primary)


def test_a_piece_of_a_long_string_is_replicated_as_that_piece() -> None:
    primary = keyspace()
    call(primary, b"SET", b"a", b"x" * 100_000)
    primary.take_turn()
    call(primary, b"APPEND", b"a", b"tail")
    effects, _, size = primary.take_turn()
    assert size < 100
    replica = keyspace(primary=False)
    call(replica, b"SET", b"a", b"x" * 100_000)
    replica.apply(effects)
    assert call(replica, b"GETRANGE", b"a", b"99998", b"-1") == b"$6\r\nxxtail\r\n"


def test_what_changes_of_pieces_can_be_taken_back_with_is_pieces() -> None:
    one = keyspace(config=StoreSettings())
    call(one, b"SET", b"a", b"x" * 100_000, b"PX", b"5000")
    one.take_turn()
    before = state(one)
    for number in range(100):
        call(one, b"APPEND", b"a", b"tail")
        call(one, b"SETRANGE", b"a", b"%d" % (number * 2000), b"piece")
    _, undo, _ = one.take_turn()
    kept = [part for args in undo[1::2] for part in args if type(part) is bytes]
    assert sum(map(len, kept)) < 2000
    one.revert(undo)
    assert state(one) == before


def test_nothing_is_collected_without_anybody_to_tell() -> None:
    alone = keyspace()
    alone.recording = False
    for args in (
        [b"SET", b"a", b"1"], [b"HSET", b"b", b"f", b"v"], [b"HSET", b"b", b"g", b"v"], [b"HDEL", b"b", b"f"],
        [b"PEXPIRE", b"a", b"500"], [b"RENAME", b"b", b"{b}1"], [b"FLUSHALL"],
    ):  # fmt: skip
        call(alone, *args)
    assert alone.take_turn() == ([], [], 0)
    assert alone.dirty > 5


def test_cleared_keys_stay_whole_until_the_clearing_is_committed() -> None:
    one = keyspace()
    for i in range(200):
        call(one, b"SET", b"k%d" % i, b"v")
    call(one, b"HSET", b"big", *(b"%d" % i for i in range(4000)))
    one.take_turn()
    expected = state(one)
    call(one, b"DEL", b"big")
    call(one, b"FLUSHALL")
    undo = one.take_turn()[1]
    while one.free_slice(50):
        pass
    one.revert(undo)
    assert state(one) == expected


def test_what_a_turn_wrote_before_it_cleared_everything_is_not_counted_by_a_replica() -> None:
    primary, replica = keyspace(), keyspace(primary=False)
    call(primary, b"SET", b"a", b"1")
    replica.apply(primary.take_turn()[0])
    call(primary, b"SET", b"a", b"x" * 1000)
    call(primary, b"FLUSHALL")
    call(primary, b"SET", b"b", b"1")
    replica.apply(primary.take_turn()[0])
    assert state(replica) == state(primary)
