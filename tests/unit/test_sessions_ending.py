"""How sessions end, what becomes of unsaved edits then, and what the next one is told."""

from __future__ import annotations

import heapq

import pytest
from tests.unit.sessions import save

import perdure
from perdure import errors


def test_an_exception_discards_what_was_not_saved(store: perdure.Store) -> None:
    save(store, "a", n=1)
    with pytest.raises(RuntimeError), store.open("a") as session:
        session.state["n"] = 2
        session.save()
        session.state["n"] = 3
        raise RuntimeError("boom")
    with store.open("a") as session:
        assert session.state["n"] == 2
        assert session.resumed is not None
        assert session.resumed.ended == "failed"
        assert session.resumed.session.error == "RuntimeError"


def test_on_error_save_keeps_it(store: perdure.Store) -> None:
    with pytest.raises(RuntimeError), store.open("a", on_error="save") as session:
        session.state["n"] = 3
        raise RuntimeError("boom")
    assert store.at("a", 1).plain() == {"n": 3}


def test_ctrl_c_keeps_what_was_not_saved_and_is_remembered(store: perdure.Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.open("a") as session:
        session.state["n"] = 3
        raise KeyboardInterrupt
    with store.open("a") as session:
        assert session.state["n"] == 3
        assert session.resumed is not None and session.resumed.ended == "cancelled"


def test_a_session_still_open_may_be_running(store: perdure.Store) -> None:
    open_one = store.open("a")
    open_one.state["n"] = 1
    open_one.save()
    with store.open("a") as session:
        assert session.resumed is not None
        assert session.resumed.ended == "maybe running"
        assert session.resumed.session.id == open_one.id


def test_the_end_costs_no_commit_of_its_own_when_it_can_ride_along(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["n"] = 1
    assert store.info("a").status == "closed"
    assert store.info("a").last_end is not None
    assert [info.ended for info in store.sessions("a")] == ["closed"]


def test_sessions_are_listed_with_how_they_ended(store: perdure.Store) -> None:
    save(store, "a", n=1)
    save(store, "a", n=2)
    with pytest.raises(ValueError, match="x"), store.open("a") as session:
        session.state["n"] = 3
        session.save()
        raise ValueError("x")
    save(store, "a", n=4)
    found = store.sessions("a")
    assert [info.ended for info in found] == ["closed", "failed", "closed", "closed"]
    assert [(info.first, info.last) for info in found] == [(4, 4), (3, 3), (2, 2), (1, 1)]
    assert store.info("a").sessions == 4


def test_atomic_undoes_its_edits_and_refuses_saves_inside(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["x"] = [1]
        with pytest.raises(RuntimeError), session.atomic():
            session.state["x"].append(2)
            session.state["y"] = 1
            raise RuntimeError
        assert session.state.plain() == {"x": [1]}
        with session.atomic():
            session.state["x"].append(3)
            with pytest.raises(errors.SaveInsideAtomic):
                session.save()
        session.save()
    assert store.at("a", 1).plain() == {"x": [1, 3]}


def test_edits_after_the_end_raise_detached(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["x"] = [1]
        held = session.state["x"]
    with pytest.raises(errors.Detached):
        held.append(2)
    with pytest.raises(errors.SessionClosed):
        session.save()
    assert held == [1]


def test_a_failed_save_at_the_end_carries_the_session_still_usable(store: perdure.Store) -> None:
    save(store, "a", x=1)
    with pytest.raises(errors.Conflict) as caught, store.open("a") as session:
        session.state["y"] = 2
        save(store, "a", x=3)
    again = caught.value.session
    assert again is session
    assert not again.closed
    again.refresh(keep_changes=True)
    again.close()
    assert store.at("a", 3).plain() == {"x": 3, "y": 2}


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_the_users_own_error_goes_first_and_tells_of_a_failing_end(
    store: perdure.Store, kind: type[BaseException]
) -> None:
    save(store, "a", x=1)
    with pytest.raises(kind, match="mine") as caught, store.open("a", on_error="save") as session:
        session.state["y"] = 2
        save(store, "a", x=3)
        raise kind("mine")
    (note,) = caught.value.__notes__
    assert "Edits to 'a' that were to be kept are not saved yet (conflict: " in note
    failure = caught.value.__context__
    assert isinstance(failure, errors.Conflict)
    assert failure.session is session
    assert not session.closed
    session.refresh(keep_changes=True)
    session.close()
    assert store.at("a", 3).plain() == {"x": 3, "y": 2}


def test_an_edit_that_cannot_be_kept_leaves_the_session_open(store: perdure.Store) -> None:
    with pytest.raises(ValueError, match="mine"), store.open("a", on_error="save") as session:
        session.state["heap"] = [1]
        session.save()
        heapq.heappush(session.state["heap"], 0)
        raise ValueError("mine")
    assert not session.closed
    session.state["heap"] = sorted(session.state["heap"])
    session.close()
    assert store.at("a", 2)["heap"] == [0, 1]


def test_edits_that_were_given_up_leave_nothing_open(store: perdure.Store) -> None:
    with pytest.raises(ValueError, match="mine") as caught, store.open("a") as session:
        session.state["x"] = 1
        session.save()
        session.state["x"] = 2
        with pytest.warns(ResourceWarning):
            store.close()
        raise ValueError("mine")
    assert session.closed
    assert not hasattr(caught.value, "__notes__")


def test_the_summary_of_a_closed_session_cannot_be_set(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.summary = "at work"
        session.state["x"] = 1
    with pytest.raises(errors.SessionClosed):
        session.summary = "lost"
    assert session.summary == "at work"
