"""Effects in a state that many share, under simulated schedules (P9)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from perdure.agent import elsewhere as acting
from perdure.agent.elsewhere import Right
from perdure.core.claims import is_open
from perdure.engine import elsewhere
from perdure.testing import simulate
from perdure.testing.exhaust import exhaust_elsewhere
from perdure.testing.sim_elsewhere import OTHER, SHARED, Sharing
from perdure.testing.sim_process import ACTIONS
from perdure.testing.sim_report import Found
from perdure.testing.sim_stores import small_world
from perdure.testing.sim_world import KEY, Face, World
from perdure.testing.simulate import FACES, Plan, explore, run_one

PLAN = Plan(elsewhere=True)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("face", FACES)
def test_random_schedules_of_agents_that_share_break_no_promise(face: Face) -> None:
    report = explore(1, 4_000, Plan((face,), elsewhere=True))
    assert report.schedules > 10
    possible = set(ACTIONS) - {"proceed"}
    if face == "transactional":
        possible -= {"crash inside", "land late", "outage late"}
    assert set(report.faults) == possible


def _ends(world: World) -> Iterator[str]:
    assert isinstance(world, Sharing)
    for state in (KEY, OTHER):
        for name, claim in world.claims_in(state).items():
            there = world.claims_in(SHARED).get(name.rpartition(" ")[2])
            if is_open(claim):
                yield "unknown"
            elif there is not None and is_open(there):
                yield "known here alone"
            else:
                yield f"done by {state}"


@pytest.mark.timeout(60)
def test_shared_effects_come_to_every_end_there_is() -> None:
    with small_world():
        worlds = [run_one(1, number, PLAN) for number in range(60)]
    ends = {end for world in worlds for end in _ends(world)}
    assert ends == {"unknown", "known here alone", f"done by {KEY}", f"done by {OTHER}"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("face", FACES)
def test_every_schedule_of_an_agent_that_dies_anywhere(face: Face) -> None:
    report = exhaust_elsewhere(face)
    simulate.write_line(f"\n{face}, death: {report}")
    assert report.faults["crash before"] >= 10
    assert report.faults["crash after"] >= 4


@pytest.mark.timeout(60)
def test_every_order_of_the_commits_of_two_agents_of_two_states() -> None:
    """On one face; `simulate --exhaustive --elsewhere` runs both, with deaths."""
    report = exhaust_elsewhere("transactional", races=True, faults=0)
    simulate.write_line(f"\nrace: {report}")
    assert report.schedules > 50


# ---- planted bugs ---------------------------------------------------------------------------


@contextmanager
def _unclaimed_there() -> Iterator[None]:
    """It is claimed here alone."""

    def planted(core: Any, name: str, claim: Any) -> Any:
        return claim
        yield

    with patch.object(elsewhere, "claim_there", planted):
        yield


@contextmanager
def _resumed() -> Iterator[None]:
    """A claim here that nobody acts by is gone on with as if it were new."""

    def planted(right: Right) -> Any:
        return replace(right, is_new=True)
        yield

    with patch.object(acting, "_taken", planted):
        yield


@contextmanager
def _untold_there() -> Iterator[None]:
    """What became of it is recorded here alone, and nobody looks here."""

    def settled(*_: Any, **__: Any) -> Any:
        return
        yield

    def known(*_: Any) -> Any:
        return None
        yield

    with patch.object(acting, "_settle_there", settled), patch.object(acting, "_known", known):
        yield


@contextmanager
def _released_first() -> Iterator[None]:
    """A claim here is given back as the call begins."""
    perform = acting._perform

    def planted(right: Right, *rest: Any) -> Any:
        yield from acting._release_here(right)
        return (yield from perform(right, *rest))

    with patch.object(acting, "_perform", planted):
        yield


PLANTS = {
    _unclaimed_there: "performed twice|no claim tells of it|no state made the claim",
    _resumed: "performed twice",
    _untold_there: "is told|was acknowledged|does not tell of it",
    _released_first: "was forgotten|does not tell of it",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_chance_finds_a_planted_bug_of_shared_effects(plant: Any) -> None:
    with plant(), pytest.raises(Found, match=PLANTS[plant]):
        for seed in (4, 6):  # either alone misses one of them
            explore(seed, 20_000, PLAN)


def test_a_schedule_of_agents_that_share_is_a_function_of_its_seed() -> None:
    traces = [run_one(7, number, PLAN).trace for number in range(4)]
    assert traces == [run_one(7, number, PLAN).trace for number in range(4)]
