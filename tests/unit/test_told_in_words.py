"""What a user is told who stumbles: each message names what happened and a way that works."""

from __future__ import annotations

import heapq

import pytest

import perdure
from perdure import errors


def test_a_conflict_with_an_overlap_names_only_what_can_work() -> None:
    with perdure.Store("memory:") as store:
        one, two = store.open("a"), store.open("a")
        one.state["messages"] = ["from one"]
        one.close()
        two.state["messages"] = ["from two"]
        with pytest.raises(errors.Conflict) as caught:
            two.save()
        assert "keep_changes" not in str(caught.value)
        assert "Both sides changed 'messages'" in str(caught.value)
        assert "conflict.mine, call session.refresh()" in str(caught.value)
        with pytest.raises(errors.Conflict) as again:
            two.refresh(keep_changes=True)
        assert str(again.value) == str(caught.value)
        # What it advises:
        [mine] = caught.value.mine
        assert isinstance(mine, perdure.Set)
        two.refresh()
        two.state["messages"].extend(mine.value)
        two.close()
        assert store.at("a", 2).plain() == {"messages": ["from one", "from two"]}


def test_a_conflict_without_an_overlap_advises_to_keep_the_changes() -> None:
    with perdure.Store("memory:") as store:
        one, two = store.open("a"), store.open("a")
        one.state["x"] = 1
        one.close()
        two.state["y"] = 1
        with pytest.raises(errors.Conflict, match=r"refresh\(keep_changes=True\)") as caught:
            two.save()
        assert "Both sides" not in str(caught.value)
        two.refresh(keep_changes=True)
        two.close()


def test_a_conflict_of_a_refresh_carries_edits_that_were_never_saved() -> None:
    with perdure.Store("memory:") as store:
        one, two = store.open("a"), store.open("a")
        one.state["x"] = 1
        one.close()
        two.state["x"] = 2
        with pytest.raises(errors.Conflict) as caught:
            two.refresh(keep_changes=True)
        assert caught.value.mine == (perdure.Set(("x",), 2),)
        two.refresh()
        two.close()


def test_refresh_gives_up_an_untracked_edit() -> None:
    with perdure.Store("memory:") as store, store.open("a") as session:
        session.state["queue"] = [3, 5, 4]
        session.save()
        queue = session.state["queue"]
        heapq.heappush(queue, 1)
        with pytest.raises(errors.UntrackedEdit, match=r"session\.refresh\(\)"):
            session.save()
        with pytest.raises(errors.UntrackedEdit):
            session.changes()
        session.refresh()
        assert session.changes() == []
        assert queue == [3, 5, 4]
        queue.append(6)
        session.save()
        assert store.at("a", 2).plain() == {"queue": [3, 5, 4, 6]}


def test_an_untracked_edit_is_given_up_for_what_others_saved() -> None:
    with perdure.Store("memory:") as store, store.open("a") as session:
        session.state["queue"] = [3, 5, 4]
        session.save()
        heapq.heappush(session.state["queue"], 1)
        with store.open("a") as other:
            other.state["queue"].append(9)
        with pytest.raises(errors.UntrackedEdit):
            session.refresh(keep_changes=True)
        session.refresh()
        assert session.state.plain() == {"queue": [3, 5, 4, 9]}


def test_a_save_to_a_deleted_state_names_both_ways_out() -> None:
    with perdure.Store("memory:") as store:
        with store.open("a") as first:
            first.state["n"] = 1
        late = store.open("a")
        late.state["n"] = 2
        store.delete("a")
        with pytest.raises(errors.StateDeleted, match=r"store\.undelete\('a'\).*open it again"):
            late.save()
        with store.open("a") as anew:
            anew.state["n"] = 3
        with pytest.raises(errors.StateDeleted, match=r"made anew.*open it again") as caught:
            late.save()
        assert "undelete" not in str(caught.value)
        with pytest.raises(errors.StateDeleted):
            late.close()
