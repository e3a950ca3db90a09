"""The facts about commands, and where their keys are."""

import pytest

from kubegrid.store import COMMANDS as DATA_COMMANDS
from kubegrid.wire import command_replies, command_table
from kubegrid.wire.command_table import COMMANDS


def words(text: str) -> list[bytes]:
    return text.encode().split()


@pytest.mark.parametrize(
    ("request_text", "keys"),
    [
        ("GET a", "a"),
        ("MGET a b c", "a b c"),
        ("MSET a 1 b 2", "a b"),
        ("MSETNX a 1 b 2 c 3", "a b c"),
        ("RENAME a b", "a b"),
        ("COPY a b REPLACE", "a b"),
        ("LCS a b LEN", "a b"),
        ("MEMORY USAGE a SAMPLES 5", "a"),
        ("OBJECT ENCODING a", "a"),
        ("WATCH a b", "a b"),
        ("HSET a f v", "a"),
        ("EXEC", ""),
        ("SCAN 0", ""),
        ("CLIENT KILL a", ""),
    ],
)
def test_keys_of_a_request(request_text: str, keys: str) -> None:
    request = words(request_text)
    info = command_table.find_request(request)
    assert info is not None and info.accepts(len(request))
    assert info.keys(request) == words(keys)


def test_every_data_command_has_its_facts() -> None:
    assert {name.lower() for name in DATA_COMMANDS} <= set(COMMANDS)


def test_facts_are_complete_and_consistent() -> None:
    for command in COMMANDS.values():
        for info in (command, *command.subcommands.values()):
            assert info.arity and info.group and info.since and info.summary and info.complexity
            assert ("write" in info.flags) <= ("readonly" not in info.flags)
            assert bool(info.first_key) == bool(info.key_specs)
            assert "fast" in info.categories or "slow" in info.categories
            command_replies.info(info, False)
            command_replies.docs(info, True)


def test_names_are_found_in_any_case() -> None:
    assert command_table.find(b"GeT") is COMMANDS[b"get"]
    assert command_table.find(b"Client|List") is COMMANDS[b"client"].subcommands[b"list"]
    assert command_table.find(b"client|nope") is None
    assert command_table.find(b"nope") is None
