"""Two sessions on one state: conflicts, refreshes, and the order of sections after them."""

from __future__ import annotations

import pytest
from tests.unit.sessions import save

import perdure
from perdure import errors
from perdure.core.changes import Set


def test_the_second_writer_gets_a_conflict_with_both_sides_P3(store: perdure.Store) -> None:
    save(store, "a", x=1, y=1)
    one, two = store.open("a"), store.open("a")
    one.state["x"] = 2
    one.save()
    two.state["y"] = 2
    with pytest.raises(errors.Conflict) as caught:
        two.save()
    assert caught.value.mine == (Set(("y",), 2),)
    assert caught.value.their_changes == (Set(("x",), 2),)
    assert [cp.number for cp in caught.value.theirs] == [2]
    assert caught.value.overlap == ()
    two.refresh(keep_changes=True)
    assert two.state.plain() == {"x": 2, "y": 2}
    assert two.save().number == 3
    one.refresh()
    assert one.state.plain() == {"x": 2, "y": 2}
    one.close()
    two.close()
    assert store.at("a", 3).plain() == {"x": 2, "y": 2}


def test_overlapping_sections_conflict_again_and_can_be_given_up(store: perdure.Store) -> None:
    save(store, "a", x=[1])
    one, two = store.open("a"), store.open("a")
    held = two.state["x"]
    one.state["x"].append(2)
    one.save()
    two.state["x"].append(3)
    with pytest.raises(errors.Conflict) as caught:
        two.save()
    assert caught.value.overlap == ("x",)
    with pytest.raises(errors.Conflict):
        two.refresh(keep_changes=True)
    two.refresh()
    assert two.state.plain() == {"x": [1, 2]}
    assert two.changes() == []
    two.state["x"].append(4)
    two.save()
    assert store.at("a", 3).plain() == {"x": [1, 2, 4]}
    assert held == [1, 2, 4]


def test_refresh_takes_their_changes_into_the_live_objects(store: perdure.Store) -> None:
    save(store, "a", messages=[{"n": 0}, {"n": 1}])
    one, two = store.open("a"), store.open("a")
    held = two.state["messages"][1]
    one.state["messages"].insert(0, {"n": -1})
    one.state["messages"][2]["seen"] = True
    one.save()
    two.refresh()
    assert held == {"n": 1, "seen": True}
    held["mine"] = 1
    two.save()
    assert store.at("a", 3)["messages"][2] == {"n": 1, "seen": True, "mine": 1}


def test_two_first_savers_of_one_key_conflict(store: perdure.Store) -> None:
    one, two = store.open("a"), store.open("a")
    one.state["x"] = 1
    one.save()
    two.state["y"] = 1
    with pytest.raises(errors.Conflict):
        two.save()
    two.refresh(keep_changes=True)
    two.save()
    assert store.at("a", 2).plain() == {"x": 1, "y": 1}


def test_kept_changes_leave_the_sections_in_the_order_of_the_next_session_P13(
    store: perdure.Store,
) -> None:
    save(store, "a", x=1, y=1, z=1)
    one, two = store.open("a"), store.open("a")
    one.state["theirs"] = one.state.pop("y")
    one.save()
    two.state["waits"] = 2
    two.state["x"] = two.state.pop("x") + 1
    two.state["z"] = 2
    with pytest.raises(errors.Conflict):
        two.save()
    two.state["later"] = 3
    two.refresh(keep_changes=True)
    assert list(two.state) == ["z", "theirs", "waits", "x", "later"]
    two.save()
    with store.open("a") as three:
        assert list(three.state.items()) == list(two.state.items())


def test_changes_given_up_leave_the_sections_in_the_order_of_the_store_P13(
    store: perdure.Store,
) -> None:
    save(store, "a", x=1, y=1)
    one, two = store.open("a"), store.open("a")
    one.state["theirs"] = 2
    one.save()
    two.state["new"] = two.state.pop("x")
    with pytest.raises(errors.Conflict):
        two.save()
    two.state["y"] = 3
    two.refresh()
    assert two.changes() == []
    assert list(two.state.items()) == [("x", 1), ("y", 1), ("theirs", 2)]


def test_a_refresh_takes_in_the_summary_unless_there_is_another_to_save(
    store: perdure.Store,
) -> None:
    ours = store.open("a")
    ours.summary = "first"
    ours.save()
    theirs = store.open("a")
    theirs.summary = "theirs"
    theirs.save()
    assert ours.refresh(keep_changes=True) == theirs.checkpoint
    assert ours.summary == "theirs"
    ours.summary = "first"
    assert ours.save().number == 3
    assert store.info("a").summary == "first"
    theirs.refresh(keep_changes=True)
    ours.summary = theirs.summary = "the same"
    theirs.save()
    ours.refresh(keep_changes=True)
    assert (ours.summary, ours.save().number) == ("the same", 4)
    theirs.summary = "theirs again"
    theirs.save()
    ours.summary = "mine"
    with pytest.raises(errors.Conflict):
        ours.save()
    ours.refresh(keep_changes=True)
    assert (ours.summary, ours.save().number) == ("mine", 6)
    assert store.info("a").summary == "mine"


@pytest.mark.parametrize("keep", [True, False])
def test_sections_stand_as_the_next_session_finds_them_after_a_refresh_P13(
    store: perdure.Store, keep: bool
) -> None:
    with store.open("a") as first:
        first.state.update({"a": 1, "b": 2, "c": 3})
    ours, theirs = store.open("a"), store.open("a")
    theirs.state["theirs"] = 1
    theirs.save()
    ours.state["new"] = 1
    ours.state["b"] = [ours.state.pop("b")]  # it is last now
    with pytest.raises(errors.Conflict):
        ours.save()
    ours.state["newest"] = 1
    ours.refresh(keep_changes=keep)
    live = list(ours.state)
    assert live == (
        ["a", "c", "theirs", "new", "b", "newest"] if keep else ["a", "b", "c", "theirs"]
    )
    ours.save()
    assert list(store.at("a", ours.checkpoint.number if ours.checkpoint else 0)) == live
    ours.state["later"] = 1
    ours.close()
    with store.open("a") as last:
        assert list(last.state) == [*live, "later"]
