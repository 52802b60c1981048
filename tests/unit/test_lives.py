"""States that are deleted, brought back, begun anew under their key, and copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.sessions import save

import perdure
from perdure import errors


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    url = "memory:" if request.param == "memory" else tmp_path / "agents.db"
    with perdure.Store(url) as store:
        yield store


def test_deleting_hides_and_can_be_undone_P7(store: perdure.Store) -> None:
    save(store, "a", n=1)
    late = store.open("a")
    store.delete("a")
    assert store.states() == []
    assert [info.key for info in store.states(deleted=True)] == ["a"]
    with pytest.raises(errors.StateNotFound, match="undelete"):
        store.history("a")
    late.state["n"] = 2
    with pytest.raises(errors.StateDeleted):
        late.save()
    store.undelete("a")
    assert store.at("a", 1).plain() == {"n": 1}
    assert late.save().number == 2


def test_a_deleted_key_begins_a_new_life_and_the_old_one_is_kept(store: perdure.Store) -> None:
    save(store, "a", n=1)
    store.delete("a")
    save(store, "a", m=2)
    assert store.at("a", 1).plain() == {"m": 2}
    with pytest.raises(errors.StateExists):
        store.undelete("a")
    assert [found.ok for found in store.verify()] == [True]


def test_every_life_of_a_key_can_be_brought_back_P7(store: perdure.Store) -> None:
    for life in (1, 2, 3):
        save(store, "a", n=life)
        if life < 3:
            store.delete("a")
    save(store, "b", n=0)
    store.delete("b")

    def deleted() -> list[tuple[str, int]]:
        return [(info.key, info.life) for info in store.states(deleted=True)]

    assert deleted() == [("a", 2), ("a", 1), ("b", 1)]
    assert [info.key for info in store.states(deleted=True, limit=1)] == ["a", "a"]
    assert [info.key for info in store.states(deleted=True, after="a")] == ["b"]
    with pytest.raises(errors.StateExists, match="delete it first"):
        store.undelete("a", life=1)
    for life in (1, 3, 2, 1):
        store.delete("a")
        info = store.undelete("a", life=life)
        assert (info.life, info.status, info.number) == (life, "closed", 1 + (life == 2))
        assert store.open("a").state["n"] == life
        assert deleted() == [*(("a", each) for each in (3, 2, 1) if each != life), ("b", 1)]
        if life == 3:
            store.delete("a")
            store.undelete("a", life=2)
            save(store, "a", more=True)
    assert store.info("a").life == 1
    assert [found.ok for found in store.verify()] == [True, True]


def test_a_life_that_is_not_there_is_not_brought_back(store: perdure.Store) -> None:
    save(store, "a", n=1)
    store.delete("a")
    for number in (0, 2, -1):
        with pytest.raises(errors.StateNotFound, match="its lives are 1 to 1"):
            store.undelete("a", life=number)
    with pytest.raises(errors.UsageError, match="a life is a number"):
        store.undelete("a", life="1")  # type: ignore[arg-type]
    assert store.undelete("a", life=1).life == 1


def test_lives_are_told_apart_whatever_the_clock_says(tmp_path: Path) -> None:
    times = iter(range(10**15, 0, -(10**6)))
    with perdure.Store(tmp_path / "a.db", clock=lambda: next(times)) as store:
        for life in (1, 2):
            save(store, "a", n=life)
            store.delete("a")
        save(store, "b", n=3)
        store.export("b", tmp_path / "b.perdure")
        store.import_(tmp_path / "b.perdure", "a")
        lives = [store.info("a"), *store.states(deleted=True)]
        assert [info.life for info in lives] == [3, 2, 1]
        store.delete("a")
        store.undelete("a", life=2)
        assert store.open("a").state["n"] == 2


def test_a_copy_has_the_history_and_goes_its_own_way(store: perdure.Store) -> None:
    save(store, "a", n=1)
    save(store, "a", n=2)
    assert store.copy("a", "b").number == 2
    save(store, "b", n=3)
    assert store.at("b", 1).plain() == {"n": 1}
    assert [cp.number for cp in store.history("a")] == [2, 1]
    assert [cp.number for cp in store.history("b")] == [3, 2, 1]
    with pytest.raises(errors.StateExists):
        store.copy("a", "b")
    assert all(found.ok for found in store.verify())


def test_a_copy_of_a_state_at_work_resumes_as_interrupted(store: perdure.Store) -> None:
    running = store.open("a")
    running.state["n"] = 1
    running.save()
    store.copy("a", "b")
    with store.open("b") as session:
        assert session.resumed is not None
        assert session.resumed.ended == "interrupted"
    running.close()
