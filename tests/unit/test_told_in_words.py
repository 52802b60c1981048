"""What a user is told who stumbles: each message names what happened and a way that works."""

from __future__ import annotations

import asyncio
import gc
import heapq
import pickle
import threading
import warnings
from enum import Enum
from typing import Any

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


@pytest.mark.parametrize("kind", [perdure.Store, perdure.AsyncStore])
def test_a_misspelt_option_is_refused_by_the_class_that_was_called(kind: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\.__init__\(\) .*'durabilty'"):
        kind("memory:", durabilty="power")
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\.__init__\(\) missing .*'url'"):
        kind()


def test_a_class_made_of_a_store_keeps_its_own_init() -> None:
    class Mine(perdure.Store):
        def __init__(self, name: str) -> None:
            super().__init__(f"memory:{name}", durability="process")

    class Deeper(Mine):
        """Inherits it."""

    assert Deeper("x").url == "memory:x"
    assert Deeper("x")._durability == "process"


def test_a_missing_section_names_those_there_are() -> None:
    with perdure.Store("memory:") as store, store.open("a") as session:
        for call in (
            lambda: session.state["mesages"],
            lambda: session.state.__delitem__("mesages"),
            lambda: session.state.pop("mesages"),
        ):
            session.state.clear()
            with pytest.raises(KeyError, match=r"^no section 'mesages'; the state is empty$"):
                call()
            session.state.update({"messages": [], "plan": {}})
            with pytest.raises(KeyError, match=r"there are 'messages', 'plan'$") as caught:
                call()
            assert caught.value.args == ("mesages",)
            assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        session.state.update({str(n): n for n in range(10)})
        with pytest.raises(KeyError, match=r"'7' and 2 more$"):
            session.state["mesages"]
        assert session.state.get("mesages") is None
        assert session.state.setdefault("mesages", 1) == 1


def test_a_session_that_has_ended_is_not_entered_again() -> None:
    with perdure.Store("memory:") as store:
        with store.open("a") as session:
            session.state["n"] = 1
        with pytest.raises(errors.SessionClosed, match="'a' has ended"), session:
            pytest.fail("entered")

    async def main() -> None:
        async with perdure.AsyncStore("memory:") as store:
            session = await store.open("a")
            await session.close()
            with pytest.raises(errors.SessionClosed):
                async with session:
                    pytest.fail("entered")

    asyncio.run(main())


class Client:
    """Cannot be stored, nor can what it has."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Level(Enum):
    BAD = complex(1, 2)
    WORSE = ("x", Client())


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (Client(name="x", seen={1}), "use vars(value), or make its class a dataclass"),
        (Client(name="x", http=Client()), "store what it is made from (a name, an id, settings)"),
        (Client(lock=threading.Lock()), "store what it is made from"),
        (object(), "store the plain values it is made of"),
        (Level.BAD, "type complex cannot be stored; use [value.real, value.imag] (in the value of"),
        (Level.WORSE, "s/0/1: a value of type"),
        (Level.WORSE, "(in the value of the Enum member Level.WORSE)"),
    ],
)
def test_the_hint_for_an_object_can_be_followed(value: Any, hint: str) -> None:
    with perdure.Store("memory:") as store, store.open("a") as session:
        with pytest.raises(errors.NotStorable) as caught:
            session.state["s"] = [value]
        assert hint in str(caught.value)
        assert str(caught.value).startswith("s/0")


def test_under_asyncio_a_plain_with_is_refused_with_the_way_out() -> None:
    async def main() -> None:
        async with perdure.AsyncStore("memory:") as store:
            refused = pytest.raises(TypeError, match=r"`async with store\.open")
            with refused, store.open("a"):
                pytest.fail("entered")
            async with store.open("a") as session:
                refused = pytest.raises(TypeError, match=r"`async with session\.atomic\(\):`")
                with refused, session.atomic():
                    pytest.fail("entered")
                session.state["n"] = 1

    asyncio.run(main())


@pytest.mark.parametrize("name", ["state", "save", "checkpoint", "close"])
def test_a_session_that_was_not_awaited_says_so_and_warns_of_nothing(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opening: Any = perdure.AsyncStore("memory:").open("q")
        with pytest.raises(AttributeError, match=r"`session = await store\.open\(key\)`"):
            getattr(opening, name)
        with pytest.raises(AttributeError, match=f"'Opening' object has no attribute '{name}x'"):
            getattr(opening, name + "x")
        assert not hasattr(opening, "_private")
        del opening
        gc.collect()


def test_an_opening_opens_one_session() -> None:
    async def main() -> None:
        async with perdure.AsyncStore("memory:") as store:
            opening = store.open("a")
            session = await asyncio.wait_for(opening, 5)
            assert session.key == "a"
            with pytest.raises(RuntimeError, match="cannot reuse"):
                await opening

    asyncio.run(main())
