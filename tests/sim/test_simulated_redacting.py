"""Redacting under simulated schedules: whatever is saved, maintained and killed (P7, P8)."""

import pytest

from perdure.testing.exhaust import exhaust_redacting
from perdure.testing.sim_redacting import REDACTING_BUGS, Redactions
from perdure.testing.sim_report import Found
from perdure.testing.sim_stores import small_world
from perdure.testing.sim_world import Face
from perdure.testing.simulate import FACES, Plan, explore, run_one


@pytest.mark.timeout(120)
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("face", FACES)
def test_random_schedules_with_redactions_break_no_promise_P7_P8(face: Face, keyed: bool) -> None:
    gone = acknowledged = faults = 0
    with small_world():
        for number in range(3 if keyed else 10):
            world = run_one(1, number, Plan((face,), redacting=True, keyed=keyed))
            assert isinstance(world, Redactions)
            gone += len(world.gone)
            acknowledged += len(world.acknowledged)
            faults += sum(world.faults.values())
    assert min(gone, acknowledged) > 10
    assert keyed or faults > 10


@pytest.mark.timeout(120)
@pytest.mark.parametrize("face", FACES)
def test_every_schedule_of_two_writers_and_a_redaction_P8(face: Face) -> None:
    """`simulate --exhaustive --redacting` runs the same."""
    report = exhaust_redacting(face)
    assert report.schedules > 50


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("name", REDACTING_BUGS)
def test_exhaustion_and_chance_find_a_planted_bug_of_redacting(name: str, face: Face) -> None:
    says = r"P8: .* saw .* which was redacted"
    with REDACTING_BUGS[name].plant():
        if face == "transactional":
            with pytest.raises(Found, match=says):
                explore(2, 20_000, Plan((face,), redacting=True))
        with pytest.raises(Found, match=says):
            exhaust_redacting(face)
