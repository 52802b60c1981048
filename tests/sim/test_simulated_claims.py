"""Effects under simulated schedules: whatever dies, races, is moved and pruned (P9)."""

from collections.abc import Iterator

import pytest

from perdure.core.claims import claimed_of, claims_of, is_open
from perdure.engine import claimed
from perdure.engine.read import read_head
from perdure.testing import simulate
from perdure.testing.exhaust import exhaust_claims
from perdure.testing.sim_claim_plants import CLAIMING_BUGS
from perdure.testing.sim_claims import Claiming
from perdure.testing.sim_process import ACTIONS
from perdure.testing.sim_report import Found
from perdure.testing.sim_stores import small_world
from perdure.testing.sim_world import Face, World
from perdure.testing.simulate import FACES, Plan, explore, run_one

SAYS = {
    "shelf-unread": "P9: .* was claimed by two|P9: .* was performed twice",
    "claim-unlooked": "P9: the claim of .* was forgotten|P9: .* was claimed by two",
    "branch-bound": "P9: the claim of .* was forgotten",
    "outcome-lost": "P1: the outcome of .* was acknowledged, and is not there",
    "pages-uncompared": "page .* is missing",
    "own-repeated": "P9: .* was performed twice",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("face", FACES)
def test_random_schedules_with_effects_break_no_promise(face: Face) -> None:
    report = explore(1, 5_000, Plan((face,), claims=True))
    assert report.schedules > 10
    possible = set(ACTIONS) - {"proceed"}
    if face == "transactional":
        possible -= {"crash inside", "land late", "outage late"}
    assert set(report.faults) == possible


def _ends(world: World) -> Iterator[str]:
    assert isinstance(world, Claiming)
    head = world.ask(read_head(world.site))
    if claimed_of(head) is not None:
        yield "shelved"
    for key, claim in world.ask(claimed.every(world.site, head)).items():
        if is_open(claim):
            yield "unknown, done" if key in world.performed else "unknown, not done"
        else:
            yield "settled by a person" if claim.by else "done"
        if key in claims_of(head) and claim.kept is not None:
            yield "large"


@pytest.mark.timeout(60)
def test_effects_come_to_every_end_there_is() -> None:
    with small_world():
        worlds = [run_one(3, number, Plan(claims=True)) for number in range(60)]
    ends = {end for world in worlds for end in _ends(world)}
    assert ends >= {
        "done",
        "unknown, done",
        "settled by a person",
        "shelved",
        "large",
    }


@pytest.mark.timeout(60)
@pytest.mark.parametrize("face", FACES)
def test_every_schedule_of_one_that_dies_anywhere(face: Face) -> None:
    report = exhaust_claims(face)
    simulate.write_line(f"\n{face}, death: {report}")
    assert report.faults["crash before"] >= 7
    assert report.faults["crash after"] >= 2


@pytest.mark.timeout(60)
@pytest.mark.parametrize("face", FACES)
def test_every_schedule_of_two_that_race_for_an_effect(face: Face) -> None:
    """Without deaths; `simulate --exhaustive --claims` runs those too."""
    report = exhaust_claims(face, races=True, faults=0)
    simulate.write_line(f"\n{face}, race: {report}")
    assert report.schedules > 50


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", CLAIMING_BUGS)
def test_chance_finds_a_planted_bug_of_claims(name: str) -> None:
    with CLAIMING_BUGS[name].plant(), pytest.raises(Found, match=SAYS[name]):
        explore(4, 20_000, Plan(claims=True))


def test_a_schedule_with_effects_is_a_function_of_its_seed() -> None:
    plan = Plan(claims=True)
    traces = [run_one(7, number, plan).trace for number in range(4)]
    assert traces == [run_one(7, number, plan).trace for number in range(4)]
