"""Proofs of death are kept as long as a configuration can name the dead."""

from kubegrid.base.ids import Member
from kubegrid.coordination import Death
from kubegrid.manager.deaths import KEEP_S, Deaths

A, B = Member("p0-0", "a"), Member("p0-1", "b")


def death(member: Member, at: float = 0.0) -> Death:
    return Death(member.name, member.incarnation, at, "reaped")


def test_a_proof_is_news_once():
    deaths = Deaths()
    assert deaths.add(death(A)) and not deaths.add(death(A, 5.0))
    assert deaths.withdraw(A) and not deaths.withdraw(A)


def test_needed_proofs_are_kept_and_others_forgotten_only_after_their_time():
    deaths = Deaths()
    deaths.add(death(A))
    deaths.add(death(B))
    deaths.forget({A}, KEEP_S)
    assert set(deaths.proofs) == {A, B}
    deaths.forget({A}, KEEP_S + 1)
    assert set(deaths.proofs) == {A}


def test_proofs_survive_being_stored():
    deaths, again = Deaths(), Deaths()
    deaths.add(death(A, 12.5))
    again.load(deaths.encode())
    assert again.proofs == deaths.proofs
