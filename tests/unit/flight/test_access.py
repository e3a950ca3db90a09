"""Who may call: secrets, tokens and seals."""

import base64

import pytest

from kubegrid.flight.access import Access

SECRET = "päss:word".encode()
GRID = "6c3d1bd8-9a3e-4f6b-8a57-0c36c4f0f7b1"


def basic(user: str, password: bytes) -> str:
    return "Basic " + base64.b64encode(user.encode() + b":" + password).decode()


def test_the_secret_and_its_token_are_admitted_in_every_way_they_are_given() -> None:
    access = Access(SECRET, GRID)
    assert access.admits(basic("anybody", SECRET))
    assert access.admits(basic("", SECRET))
    assert access.admits(basic("us", SECRET).rstrip("=")) and basic("us", SECRET).endswith("=")
    assert access.admits(f"Bearer {access.token}")
    assert access.admits(f"bearer {access.token}")
    assert Access(b"plain", GRID).admits("Bearer plain")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic",
        "Basic !!!",
        "Basic eA==",
        basic("x", b"wrong"),
        basic("x", b""),
        "Digest x",
    ],
)
def test_anything_else_is_refused(given: str) -> None:
    assert not Access(SECRET, GRID).admits(given)


def test_a_grid_without_a_secret_looks_at_no_password() -> None:
    access = Access(None, GRID)
    assert access.admits("") and access.admits("Bearer x") and access.headers() == []
    assert access.sealed(b"body", access.seal(b"body"))


def test_every_member_makes_the_same_token_and_another_grid_another() -> None:
    assert Access(SECRET, GRID).token == Access(SECRET, GRID).token
    assert Access(SECRET, GRID).token != Access(SECRET, "other").token
    assert not Access(SECRET, GRID).admits(f"Bearer {Access(b'other', GRID).token}")


def test_a_seal_holds_for_its_bytes_only() -> None:
    access = Access(SECRET, GRID)
    seal = access.seal(b"0 SELECT 1")
    assert access.sealed(b"0 SELECT 1", seal)
    assert not access.sealed(b"1 SELECT 1", seal)
    assert not access.sealed(b"0 SELECT 1", "")
    assert not access.sealed(b"0 SELECT 1", access.token)
    assert not Access(b"other", GRID).sealed(b"0 SELECT 1", seal)
