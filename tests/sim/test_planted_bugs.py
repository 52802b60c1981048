"""The simulator catches every bug that can be planted: what it passes, it has looked at."""

import pytest

from perdure.testing.exhaust import exhaust
from perdure.testing.sim_plants import BUGS
from perdure.testing.sim_report import Found
from perdure.testing.sim_world import Face
from perdure.testing.simulate import Plan, explore

PLACES = [(name, face) for name, bug in BUGS.items() for face in bug.faces]

SAYS = {
    "head-ignored": "P3: |P1: |Damaged|StateExists",
    "place-ignored": "StateExists",
    "line-compared": "StateExists",
    "dedupe-dropped": "P4: .* was given up, and landed",
    "new-id": "P4: .* was given up, and landed",
    "newer-tail": "P2: .* was shown",
    "losers-rows": "Damaged|StateExists",
    "torn-commit": "[Dd]amaged: .* is missing",
    "clock-trusted": "times go back",
    "collected-page": "page|Damaged|P6",
    "deletion-unnamed": "page .* is missing",
    "deletion-uncounted": "page .* is missing",
    "newer-section": "P2: .* was shown",
    "moved-head": "P1: .* was shown",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "face"), PLACES)
def test_chance_finds_a_planted_bug(name: str, face: Face) -> None:
    with BUGS[name].plant(), pytest.raises(Found, match=SAYS[name]):
        explore(4, 20_000, Plan((face,)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "face"),
    [each for each in PLACES if not (BUGS[each[0]].needs_skew or BUGS[each[0]].by_chance)],
)
def test_exhaustion_finds_a_planted_bug(name: str, face: Face) -> None:
    with BUGS[name].plant(), pytest.raises(Found, match=SAYS[name]):
        exhaust(face)


def test_nothing_stays_planted() -> None:
    for bug in BUGS.values():
        with bug.plant():
            pass
    explore(1, 500)
