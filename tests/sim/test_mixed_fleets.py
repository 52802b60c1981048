"""Old code and new on one state under simulated schedules: no field is ever lost (P10, P13)."""

import pytest

from perdure.testing import simulate
from perdure.testing.exhaust import ON_COMMITS, exhaust_deploying
from perdure.testing.sim_fleet import Fleet
from perdure.testing.sim_fleet_plants import FLEET_BUGS
from perdure.testing.sim_report import Found
from perdure.testing.sim_stores import small_world
from perdure.testing.sim_world import Face
from perdure.testing.simulate import FACES, Plan, explore, run_one

SAYS = {
    "whole-sections": "P10: at checkpoint .*, in version .*, version .* sees",
    "stamp-back": "P10: checkpoint .* goes from .* to",
    "unstamped": "P10: checkpoint .*, from version 1 to 1, is no migration",
    "unlabelled": "P2: checkpoint .* was never saved",
    "unchecked": "got MissingField|P10: ",
    "rolled-back": "got MissingField|P10: ",
    "not-shown": "P10: .* shows version",
    "unlocked": "P10: .* edited what it does not understand",
}
SEEDS = {"rolled-back": 5}
"""Of bugs that are rarely met: one that is quick to meet them; else it is 4."""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("seed", range(2))
def test_random_schedules_of_old_code_and_new_lose_no_field_P10(face: Face, seed: int) -> None:
    migrations = steps = 0
    with small_world():
        for number in range(12):
            world = run_one(seed, number, Plan((face,), fleet=True))
            assert isinstance(world, Fleet)
            migrations += world.migrations
            steps += world.step
    assert migrations > 3
    assert steps > 500


@pytest.mark.timeout(120)
def test_every_schedule_of_old_code_and_new_with_one_fault_loses_no_field_P10() -> None:
    report = exhaust_deploying("transactional")
    simulate.write_line(f"\ndeploy: {report}")
    assert report.schedules > 500
    assert set(report.faults) == set(ON_COMMITS)


def test_every_schedule_without_faults_loses_no_field_on_objects_P10() -> None:
    assert exhaust_deploying("objects", 0).schedules == 11


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", FLEET_BUGS)
def test_chance_finds_a_planted_bug_of_fleets(name: str) -> None:
    with FLEET_BUGS[name].plant(), pytest.raises(Found, match=SAYS[name]):
        explore(SEEDS.get(name, 4), 10_000, Plan(fleet=True))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", [name for name, bug in FLEET_BUGS.items() if not bug.by_chance])
def test_exhaustion_finds_a_planted_bug_of_fleets(name: str) -> None:
    with FLEET_BUGS[name].plant(), pytest.raises(Found, match=SAYS[name]):
        exhaust_deploying("transactional")


def test_a_schedule_of_a_fleet_is_a_function_of_its_seed() -> None:
    plan = Plan(fleet=True)
    traces = [run_one(7, number, plan).trace for number in range(3)]
    assert traces == [run_one(7, number, plan).trace for number in range(3)]


def test_the_command_runs_fleets_and_prints_how_to_run_a_failure_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert simulate.main(["--fleet", "--seed", "5", "--steps", "200"]) == 0
    assert capsys.readouterr().out.endswith("; no promise was broken\n")
    plant = ["--plant", "stamp-back"]
    assert simulate.main(["--fleet", "--seed", "4", "--steps", "9000", *plant]) == 1
    printed = capsys.readouterr().out
    (command,) = [each for each in printed.splitlines() if "run it again: " in each]
    again = command.partition(" simulate ")[2].split()
    assert simulate.main([*again, *plant]) == 1
    assert capsys.readouterr().out == printed
