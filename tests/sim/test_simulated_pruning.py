"""Pruning under simulated schedules: whatever is moved, saved, maintained and killed (P1, P7)."""

import pytest

from perdure.testing import simulate
from perdure.testing.exhaust import exhaust_pruning
from perdure.testing.sim_prune_plants import PRUNING_BUGS
from perdure.testing.sim_report import Found
from perdure.testing.sim_world import Face
from perdure.testing.simulate import FACES, Plan, explore, run_one

SAYS = {
    "cut-uncompared": "Damaged|page .* is missing",
    "old-sweep": "Damaged|is missing",
    "fence-ignored": "P3: .* saved to .*, which was held",
    "untwinned": "page .* is missing",
    "left-swept": "Damaged|is missing",
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("seed", range(2))
def test_random_schedules_with_prunings_break_no_promise(face: Face, seed: int) -> None:
    report = explore(seed, 5_000, Plan((face,), pruning=True))
    assert report.schedules > 3
    assert report.faults["crash after"] > 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", PRUNING_BUGS)
def test_chance_finds_a_planted_bug_of_pruning(name: str) -> None:
    with PRUNING_BUGS[name].plant(), pytest.raises(Found, match=SAYS[name]):
        explore(4, 30_000, Plan(pruning=True))


def test_a_schedule_with_prunings_is_a_function_of_its_seed() -> None:
    plan = Plan(pruning=True)
    traces = [run_one(7, number, plan).trace for number in range(3)]
    assert traces == [run_one(7, number, plan).trace for number in range(3)]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("face", FACES)
def test_every_schedule_of_two_writers_a_pruning_and_maintenance(face: Face) -> None:
    """Without deaths; `simulate --exhaustive --pruning` runs those too."""
    report = exhaust_pruning(face, 0)
    simulate.write_line(f"\n{face}, prune: {report}")
    assert report.schedules > 100
