"""What a mark of a state's head says of another one of as many commits, or more (P5)."""

from typing import Any

import pytest
from msgspec.structs import replace

from perdure.core.anchor import mark_of, unfit
from perdure.core.head import Branch, Head, Journal

LIFE, OTHER, TOKEN = b"L" * 16, b"O" * 16, b"T" * 16


def branch(line: int, number: int, mark: bytes = b"h") -> Branch:
    return Branch(line, number, b"r" * 16, mark * 32, 5)


BRANCHES = {"main": branch(1, 7), "b": branch(2, 3)}
HEAD = Head(
    *(LIFE, 1, 5, TOKEN, BRANCHES), lines=2, journal=Journal(4, b"m" * 16, b"j" * 32, 5), commits=9
)
LATER: dict[str, Any] = {
    "a save": {"branches": {**BRANCHES, "main": branch(1, 8, b"i")}},
    "a movement": {
        "branches": {"main": branch(3, 2)},
        "journal": Journal(5, b"m" * 16, b"k" * 32, 5),
    },
    "nothing but a count": {},
}
UNFIT: dict[str, tuple[str, dict[str, Any]]] = {
    "fewer commits": ("older", {"commits": 8}),
    "another life": ("replaced", {"incarnation": OTHER}),
    "fewer movements": ("older", {"journal": Journal(3, b"m" * 16, b"i" * 32, 5)}),
    "no movements": ("older", {"journal": None}),
    "other movements": ("replaced", {"journal": Journal(4, b"m" * 16, b"x" * 32, 5)}),
    "a shorter line": ("older", {"branches": {**BRANCHES, "b": branch(2, 2)}}),
    "another record": ("replaced", {"branches": {**BRANCHES, "b": branch(2, 3, b"x")}}),
    "no such line": ("replaced", {"branches": {"main": branch(1, 7)}}),
}


@pytest.mark.parametrize("name", LATER)
def test_a_head_that_went_on_is_fit(name: str) -> None:
    head = replace(HEAD, token=b"U" * 16, **{"commits": 10, **LATER[name]})
    assert unfit(mark_of(HEAD), head, "boot") is None


def test_a_later_life_that_knows_of_the_former_is_fit() -> None:
    head = Head(OTHER, 6, 6, b"U" * 16, commits=10, former=(replace(HEAD, deleted_us=6),))
    assert unfit(mark_of(HEAD), head, "boot") is None


@pytest.mark.parametrize("commits", [9, 12])
@pytest.mark.parametrize("name", UNFIT)
def test_a_head_that_did_not_come_of_it_is_unfit(name: str, commits: int) -> None:
    form, change = UNFIT[name]
    head = replace(HEAD, token=b"U" * 16, **{"commits": commits, **change})
    found = unfit(mark_of(HEAD), head, "boot")
    assert found is not None
    assert found.form == form
