"""What the package shows: the same methods in every form, options that explain themselves, names that are all there."""

import inspect
import math

import pytest

import kubegrid
from kubegrid.base.errors import UsageError
from kubegrid.client import ClientOptions, commands
from kubegrid.client.answers import set_arguments
from kubegrid.client.async_grid import AsyncGrid
from kubegrid.client.async_table import AsyncTable
from kubegrid.client.errors import ClientError, OutcomeUnknownError, PartlyDoneError, RejectedError
from kubegrid.client.grid import Grid
from kubegrid.client.pipeline import Pipeline
from kubegrid.client.plain import PlainCommands
from kubegrid.client.table import Table


def methods(kind: type) -> dict[str, list[str]]:
    return {
        name: [str(p).partition(":")[0] for p in inspect.signature(value).parameters.values()]
        for name, value in inspect.getmembers(kind, callable)
        if not name.startswith("_")
    }


@pytest.mark.parametrize("kind", [Pipeline, AsyncGrid])
def test_plain_commands_are_the_same_in_every_form(kind: type) -> None:
    there = methods(kind)
    for name, parameters in methods(PlainCommands).items():
        assert there[name] == parameters, name


def test_the_async_grid_and_table_have_what_the_sync_ones_have() -> None:
    assert set(methods(Grid)) - set(methods(AsyncGrid)) == {"pipeline"}
    assert methods(Table) == methods(AsyncTable)


def test_a_name_that_is_not_there_has_what_python_makes_a_hint_of() -> None:
    with pytest.raises(AttributeError, match="conect") as raised:
        kubegrid.conect  # noqa: B018
    assert (raised.value.name, raised.value.obj) == ("conect", kubegrid)


def test_every_public_name_is_there() -> None:
    for name in kubegrid.__all__:
        assert getattr(kubegrid, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = kubegrid.nonsense


def test_an_option_that_there_is_not_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'password'"):
        ClientOptions.of({"pasword": "x"})


@pytest.mark.parametrize(
    "given",
    [
        {"timeout": 0},
        {"timeout": 301},
        {"timeout": "1"},
        {"connections": 0},
        {"in_flight": 5000},
        {"silence": -1},
        {"statement_timeout": math.inf},
    ],
)
def test_an_option_out_of_range_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(given))):
        ClientOptions.of(given)


def test_a_command_is_planned_from_the_table_of_commands() -> None:
    planned = commands.plan(("hset", "h", "f", 1.5))
    assert (planned.args, planned.key, planned.write) == ((b"hset", b"h", b"f", b"1.5"), b"h", True)
    assert commands.plan(("OBJECT", "ENCODING", "k")).key == b"k"
    assert not commands.plan(("GET", "k")).write
    assert commands.plan(("DBSIZE",)).key is None


@pytest.mark.parametrize("words", [("MULTI",), ("AUTH", "x"), ("client", "kill"), ("KG.ONCE", "x")])
def test_commands_of_a_connection_are_refused_with_what_to_do_instead(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="cannot be executed here"):
        commands.plan(words)


def test_what_is_no_word_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="bool"):
        commands.plan(("SET", "k", True))
    with pytest.raises(UsageError):
        commands.plan(())


def test_options_of_set_that_exclude_each_other_are_refused() -> None:
    assert set_arguments("k", 1, 0.5, False, True, False) == (b"SET", "k", 1, b"PX", 500, b"XX")
    with pytest.raises(UsageError):
        set_arguments("k", 1, None, True, True, False)
    with pytest.raises(UsageError):
        set_arguments("k", 1, 1.0, False, False, True)
    with pytest.raises(UsageError):
        set_arguments("k", 1, 0, False, False, False)


def test_what_is_no_value_is_refused_with_its_type() -> None:
    with pytest.raises(TypeError, match="a value is str, bytes, int or float, not NoneType"):
        set_arguments("k", None, None, False, False, False)


def test_part_of_the_doubt_makes_the_whole_doubtful() -> None:
    refused = RejectedError("no")
    assert PartlyDoneError("x", 3, [(0, refused)]).outcome.value == "partly done"
    assert PartlyDoneError("x", 0, [(0, refused)]).outcome.value == "not done"
    assert PartlyDoneError("x", 3, [(0, OutcomeUnknownError("?"))]).outcome.value == "outcome unknown"
    assert isinstance(refused, ClientError)
