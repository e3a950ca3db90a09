"""What is offered in place of an unknown name."""

from kubegrid.base.nearest import hint, nearest


def test_the_nearest_name_is_found_whatever_its_case() -> None:
    assert nearest("flihgts", ["trades", "Flights"]) == "Flights"
    assert nearest("x", ["trades", "flights"]) is None


def test_without_a_near_one_the_known_names_are_listed_but_not_many() -> None:
    assert hint("trade", ["trades"]) == "; did you mean 'trades'?"
    assert hint("x", ["abc", "def"]) == "; known here: abc, def"
    assert hint("x", []) == ""
    assert hint("x", [f"name{number}" for number in range(100)]).endswith("name19, …")
