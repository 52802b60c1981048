"""Schedules in which the simulator found a bug of the engine, as short as they can be told."""

from perdure.engine import load
from perdure.engine.requests import Commit
from perdure.testing.sim_actors import Upkeep, writer
from perdure.testing.sim_world import World


def test_an_end_is_kept_though_others_save_twice_meanwhile() -> None:
    world = World("transactional", "found")
    one = world.add("w1", writer(world, 1))
    world.take(one, "proceed")
    world.take(one, "proceed")
    two = world.add("w2", writer(world, 3))
    world.take(two, "proceed")
    assert isinstance(one.pending, Commit)
    assert not one.pending.records
    for _ in range(3):
        world.take(two, "proceed")
        world.take(one, "proceed")
        assert one.steps is not None
    world.take(one, "proceed")
    assert one.steps is None
    world.settle()
    loaded = world.ask(load.load(world.site))
    assert loaded is not None
    ends = {mark.holder[3]: mark.end for mark in loaded.head.marks}
    assert ends == {"w1": "closed", "w2": None}


def test_a_copy_is_whole_though_its_commit_lands_after_it_was_given_up() -> None:
    world = World("objects", "found")
    one = world.add("w1", writer(world, 2))
    while one.steps is not None:
        world.take(one, "proceed")
    upkeep = world.add("upkeep", Upkeep(world, 1, ("copy",)))
    while upkeep.steps is not None:
        is_commit = isinstance(upkeep.pending, Commit)
        world.take(upkeep, "outage late" if is_commit else "proceed", 50)
    assert world.late
    world.settle()
    assert not world.late
    assert len(world.copies()) == 1
