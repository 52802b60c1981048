"""Branches under simulated schedules: whatever is moved, saved, collected and killed (P3, P7)."""

import pytest

from perdure.engine.states import whole_history
from perdure.testing import simulate
from perdure.testing.exhaust import exhaust_moving
from perdure.testing.sim_plants import MOVING_BUGS
from perdure.testing.sim_process import ACTIONS
from perdure.testing.sim_report import Found
from perdure.testing.sim_world import Face
from perdure.testing.simulate import FACES, Plan, explore, run_one

SAYS = {
    "old-line": "StateExists|P3: ",
    "branch-uncollected": "page .* is missing",
    "unrecorded": "P1: movement .* is not in the journal",
    "same-line": "P3: movement .* left line",
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("seed", range(3))
def test_random_schedules_with_movements_break_no_promise(face: Face, seed: int) -> None:
    report = explore(seed, 3_000, Plan((face,), branches=True))
    assert report.schedules > 10
    possible = set(ACTIONS) - {"proceed"}
    if face == "transactional":
        possible -= {"crash inside", "land late", "outage late"}
    assert set(report.faults) == possible


@pytest.mark.parametrize("face", FACES)
def test_writers_that_merge_lose_no_acknowledged_save_P1_P3(face: Face) -> None:
    merged = 0
    for number in range(60):
        world = run_one(2, number, Plan((face,), merging=True))
        asked = whole_history(world.site, limit=None, before=None, changes=False)
        merged += sum(each.merged is not None for each in world.ask(asked))
    assert merged > 30


@pytest.mark.timeout(60)
@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", MOVING_BUGS)
def test_chance_finds_a_planted_bug_of_movements(name: str, face: Face) -> None:
    with MOVING_BUGS[name].plant(), pytest.raises(Found, match=SAYS[name]):
        explore(4, 20_000, Plan((face,), branches=True))


def test_a_schedule_with_movements_is_a_function_of_its_seed() -> None:
    plan = Plan(branches=True)
    traces = [run_one(7, number, plan).trace for number in range(4)]
    assert traces == [run_one(7, number, plan).trace for number in range(4)]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("face", "kind", "deaths"), [("transactional", "rollback", 1), ("objects", "fork", 0)]
)
def test_every_schedule_of_two_writers_a_movement_and_maintenance(
    face: Face, kind: str, deaths: int
) -> None:
    """Deaths of the mover and of maintenance; `simulate --exhaustive --branches` runs them all."""
    report = exhaust_moving(face, kind, deaths, writers_die=False)
    simulate.write_line(f"\n{face}, {kind}: {report}")
    assert report.schedules > 500
    assert (report.faults["crash after"] > 100) == bool(deaths)


def test_the_command_runs_branches_and_prints_how_to_run_a_failure_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert simulate.main(["--branches", "--seed", "5", "--steps", "400"]) == 0
    assert capsys.readouterr().out.endswith("; no promise was broken\n")
    plant = ["--plant", "same-line"]
    assert simulate.main(["--branches", "--seed", "4", "--steps", "9000", *plant]) == 1
    printed = capsys.readouterr().out
    (command,) = [each for each in printed.splitlines() if "run it again: " in each]
    again = command.partition(" simulate ")[2].split()
    assert simulate.main([*again, *plant]) == 1
    assert capsys.readouterr().out == printed
