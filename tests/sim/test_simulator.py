"""The engine under simulated schedules: P1 to P4 whatever crashes and whatever answer is lost."""

import re

import pytest

from perdure.testing import simulate
from perdure.testing.exhaust import ON_COMMITS, exhaust
from perdure.testing.sim_process import ACTIONS
from perdure.testing.sim_world import Face
from perdure.testing.simulate import FACES, Plan, explore, run_one


@pytest.mark.parametrize("face", FACES)
def test_every_schedule_of_two_writers_two_saves_and_one_fault_keeps_p1_to_p4(face: Face) -> None:
    report = exhaust(face)
    simulate.write_line(f"\n{face}: {report}")
    assert report.schedules > 1_000
    assert min(report.faults.values()) > 100
    assert set(report.faults) == set(ON_COMMITS)


def test_every_schedule_with_ends_of_their_own_keeps_p1_to_p4() -> None:
    report = exhaust("objects", saves=1, rides=False)
    simulate.write_line(f"\nends of their own: {report}")
    assert report.schedules > 200


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("seed", range(3))
def test_random_schedules_keep_p1_to_p4(face: Face, seed: int) -> None:
    report = explore(seed, 2_500, Plan((face,)))
    assert report.steps >= 2_500
    assert report.schedules > 10
    possible = set(ACTIONS) - {"proceed"}
    if face == "transactional":
        possible -= {"crash inside", "land late", "outage late"}
    assert set(report.faults) == possible


def test_a_schedule_is_a_function_of_its_seed() -> None:
    traces = [run_one(7, number).trace for number in range(12)]
    assert traces == [run_one(7, number).trace for number in range(12)]
    assert traces != [run_one(8, number).trace for number in range(12)]
    assert any("crash" in line for trace in traces for line in trace)


def test_exhaustion_visits_what_it_says_and_is_the_same_again() -> None:
    first, again = exhaust("transactional", saves=1), exhaust("transactional", saves=1)
    assert (first.schedules, first.steps, first.faults) == (
        again.schedules,
        again.steps,
        again.faults,
    )
    assert exhaust("transactional", saves=1, faults=0).faults == {}
    assert exhaust("transactional", writers=1, saves=2, faults=0).schedules == 1
    assert exhaust("transactional", writers=1, saves=1).schedules == 1 + 1 + 6


def test_the_command_prints_seed_schedules_steps_and_faults(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert simulate.main(["--seed", "5", "--steps", "400"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("seed 5: ")
    assert re.search(r" [1-9]\d* schedules, [4-9]\d\d steps; ", printed)
    assert "crash after" in printed
    assert printed.endswith("; no promise was broken\n")


@pytest.mark.parametrize("option", ["--steps", "--writers", "--saves"])
def test_the_command_refuses_amounts_below_one(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for amount in ("0", "-5"):
        with pytest.raises(SystemExit, match="2"):
            simulate.main([option, amount])
        assert f"at least 1, not {amount}" in capsys.readouterr().err


def test_a_long_run_is_seen_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulate, "SCHEDULES_PER_LINE", 2)
    assert simulate.main(["--seed", "5", "--steps", "900"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("2 schedules, ")
    assert told[1].startswith("4 schedules, ")
    assert simulate.main(["--exhaustive", "--saves", "1", "--face", "objects"]) == 0
    assert capsys.readouterr().err


def test_the_command_prints_how_to_run_a_failure_again(capsys: pytest.CaptureFixture[str]) -> None:
    plant = ["--plant", "torn-commit"]
    assert simulate.main(["--seed", "5", "--steps", "20000", *plant]) == 1
    printed = capsys.readouterr().out
    assert "no promise was broken" not in printed
    (command,) = [line for line in printed.splitlines() if "run it again: " in line]
    again = command.partition(" simulate ")[2].split()
    assert simulate.main([*again, *plant]) == 1
    assert capsys.readouterr().out == printed


def test_the_command_runs_all_schedules(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.main(["--exhaustive", "--saves", "1", "--face", "objects"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("objects: ")
    assert printed.endswith("; no promise was broken\n")
