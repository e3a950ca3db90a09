"""Prepared statements: bounded in number and bytes, bound with what fits."""

import pytest

from kubegrid.flight import prepared as prepared_module
from kubegrid.flight.prepared import PreparedStatements
from kubegrid.sql.errors import NotSupported, SqlError, TooMuch


def test_a_statement_is_found_by_its_handle_until_it_is_closed() -> None:
    known = PreparedStatements()
    handle = known.add("SELECT ?", 1, writes=False)
    known.bind(handle, [[7]], 8)
    assert known.find(handle).statement().parameters == [7]
    known.remove(handle)
    known.remove(handle)
    with pytest.raises(SqlError, match="not known here"):
        known.find(handle)


def test_values_must_be_as_many_as_parameters() -> None:
    known = PreparedStatements()
    handle = known.add("SELECT ?, ?", 2, writes=False)
    with pytest.raises(SqlError, match="2 parameters and none was bound"):
        known.find(handle).statement()
    with pytest.raises(SqlError, match="1 values are bound to a statement with 2"):
        known.bind(handle, [[1, 2], [3]], 8)
    known.bind(handle, [[1, 2], [3, 4]], 8)
    with pytest.raises(NotSupported, match="2 rows of parameters"):
        known.find(handle).statement()
    assert [one.parameters for one in known.find(handle).statements()] == [[1, 2], [3, 4]]


def test_the_longest_unused_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_module, "PREPARED_MAX", 3)
    known = PreparedStatements()
    first, second, third = (known.add(f"SELECT {number}", 0, writes=False) for number in range(3))
    known.find(first)
    known.add("SELECT 3", 0, writes=False)
    with pytest.raises(SqlError):
        known.find(second)
    assert known.find(first) and known.find(third) and len(known) == 3


def test_parameters_that_are_kept_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_module, "BOUND_BYTES_MAX", 100)
    known = PreparedStatements()
    handles = [known.add("SELECT ?", 1, writes=False) for _ in range(3)]
    for handle in handles:
        known.bind(handle, [["x"]], 40)
    with pytest.raises(SqlError, match="not known here"):
        known.find(handles[0])
    known.bind(handles[1], [["x"]], 60)
    assert len(known) == 2
    with pytest.raises(TooMuch):
        known.bind(handles[1], [["x"]], 101)
