"""The lookup service's memory, with time passed in."""

import msgspec
import pytest

from kubegrid.base.configuration import Configuration
from kubegrid.base.ids import Member
from kubegrid.coordination import Lookup, LookupFull, MemberRecord, lookup


def record(name="p0-0", incarnation="a", **changes) -> MemberRecord:
    partition, ordinal = (int(part) for part in name[1:].split("-"))
    base = MemberRecord(
        name=name,
        incarnation=incarnation,
        partition=partition,
        ordinal=ordinal,
        role="backup",
        address="h",
        resp_port=1,
        http_port=2,
        replication_port=3,
    )
    return msgspec.structs.replace(base, **changes)


CONFIGURATION = Configuration("g", 0, 1, Member("p0-0", "a"), (Member("p0-0", "a"),))


def test_a_record_lives_exactly_as_long_as_its_lease():
    directory = Lookup(1000)
    assert directory.renew(0, record(), None)
    assert directory.expire(999) == [] and directory.find()
    assert not directory.renew(999, record(commit=5, memory_bytes=7), None)
    assert directory.expire(1998) == [] and directory.find()[0].commit == 5
    assert directory.expire(1999) == [Member("p0-0", "a")] and not directory.find()


def test_a_manager_that_stood_still_blames_nobody():
    directory = Lookup(1000)
    directory.renew(0, record(), None)
    directory.extend(30_000)
    assert directory.expire(30_999) == [] and directory.expire(31_000)


@pytest.mark.parametrize("change", [{"role": "primary"}, {"serving": True}, {"epoch": 3}, {"resp_port": 9}])
def test_what_others_have_to_know_counts_as_a_change(change):
    directory = Lookup(1000)
    directory.renew(0, record(), CONFIGURATION)
    assert not directory.renew(1, record(commit=9), CONFIGURATION)
    assert directory.renew(2, record(**change), CONFIGURATION)


def test_another_configuration_counts_as_a_change():
    directory = Lookup(1000)
    directory.renew(0, record(), None)
    assert directory.renew(1, record(), CONFIGURATION)
    assert list(directory.configurations()) == [(Member("p0-0", "a"), CONFIGURATION)]


def test_of_two_incarnations_of_a_name_the_one_that_started_last_is_found():
    directory = Lookup(1000)
    directory.renew(0, record(started_at=10.0), None)
    directory.renew(1, record(incarnation="b", started_at=20.0), None)
    directory.renew(2, record(started_at=10.0), None)
    assert [r.incarnation for r in directory.find(name="p0-0")] == ["b"]
    directory.remove(Member("p0-0", "b"))
    assert [r.incarnation for r in directory.find()] == ["a"]


def test_who_lost_its_link_keeps_its_lease_but_does_not_serve():
    directory = Lookup(1000)
    directory.renew(0, record(serving=True), CONFIGURATION)
    assert directory.disconnected(Member("p0-0", "a"))
    assert [r.serving for r in directory.find()] == [False]
    assert not directory.connected() and not list(directory.configurations())
    assert directory.renew(1, record(serving=True), CONFIGURATION)
    assert directory.connected() == {Member("p0-0", "a")}


def test_members_are_found_by_role_and_by_anything():
    directory = Lookup(1000)
    for name, role in (("p1-0", "primary"), ("p0-1", "backup"), ("p0-0", "primary")):
        directory.renew(0, record(name, role=role, zone=name[:2]), None)
    assert [r.name for r in directory.find()] == ["p0-0", "p0-1", "p1-0"]
    assert [r.name for r in directory.find(role="primary")] == ["p0-0", "p1-0"]
    assert [r.name for r in directory.find(matching=lambda r: r.zone == "p1")] == ["p1-0"]


def test_names_without_end_are_not_kept(monkeypatch):
    monkeypatch.setattr(lookup, "MEMBERS_MAX", 3)
    directory = Lookup(1000)
    for n in range(3):
        directory.renew(0, record(f"p{n}-0"), None)
    with pytest.raises(LookupFull):
        directory.renew(0, record("p9-0"), None)
    assert not directory.renew(1, record("p1-0"), None), "those who are there renew"
