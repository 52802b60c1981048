"""Reading makes no store: a name misspelt leaves no file, and the error says which store it was."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import errors

READS: list[Callable[[perdure.Store], object]] = [
    lambda store: store.states(),
    lambda store: store.states(deleted=True),
    lambda store: store.verify(),
    lambda store: store.unreferenced(),
    lambda store: store.open("a").close(),
    lambda store: store.open("a").refresh(),
    lambda store: store.open("a").load(),
    lambda store: store.maintain(),
    lambda store: store.compact(),
    lambda store: store.open("a").state.get("x"),
]
REFUSED: list[Callable[[perdure.Store], object]] = [
    lambda store: store.open("a", must_exist=True),
    lambda store: store.history("a"),
    lambda store: store.at("a", 1),
    lambda store: store.diff("a", 1, 2),
    lambda store: store.info("a"),
    lambda store: store.sessions("a"),
    lambda store: store.stats("a"),
    lambda store: store.verify("a"),
    lambda store: store.copy("a", "b"),
    lambda store: store.delete("a"),
    lambda store: store.undelete("a"),
    lambda store: store.export("a", "never.perdure"),
]


@pytest.mark.parametrize("read", READS, ids=range(len(READS)))
def test_what_only_reads_makes_no_store(
    tmp_path: Path, read: Callable[[perdure.Store], object]
) -> None:
    with perdure.Store(tmp_path / "typo.db") as store:
        assert not read(store)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("ask", REFUSED, ids=range(len(REFUSED)))
def test_what_needs_a_state_names_the_store_and_makes_none(
    tmp_path: Path, ask: Callable[[perdure.Store], object]
) -> None:
    store = perdure.Store(tmp_path / "typo.db")
    with pytest.raises(errors.StateNotFound) as caught:
        ask(store)
    store.close()
    assert f"the store is {tmp_path / 'typo.db'}, to which nothing was saved" in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_a_section_that_is_not_there_makes_none_either(tmp_path: Path) -> None:
    store = perdure.Store(tmp_path / "typo.db")
    session = store.open("a")
    for ask in (session.load, session.window, session.length):
        with pytest.raises(KeyError, match="no section 'messages'; the state is empty"):
            ask("messages")
    store.close()
    assert os.listdir(tmp_path) == []


def test_an_empty_file_is_left_empty_by_reading(tmp_path: Path) -> None:
    (tmp_path / "a.db").touch()
    with perdure.Store(tmp_path / "a.db") as store:
        assert store.states() == []
        assert (tmp_path / "a.db").stat().st_size == 0
        with store.open("a") as session:
            session.state["n"] = 1
        assert store.at("a", 1).plain() == {"n": 1}


def test_the_first_save_makes_the_store(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path) as store, store.open("a") as session:
        session.state["n"] = 1
        assert not path.exists()
        session.save()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        session.state["n"] = 2
    with perdure.Store(path) as store:
        assert store.at("a", 2).plain() == {"n": 2}
        assert [found.ok for found in store.verify()] == [True]
        with store.open("a") as session:
            assert session.resumed is not None
            assert session.resumed.ended == "closed"


@pytest.mark.parametrize("key", ["a", "b"])
def test_a_session_opened_before_another_process_made_the_store(tmp_path: Path, key: str) -> None:
    """Its records are sealed for the store that is there, and it conflicts if the key is taken."""
    early = perdure.Store(tmp_path / "a.db")
    session = early.open(key)
    with perdure.Store(tmp_path / "a.db") as store, store.open("a") as other:
        other.state["theirs"] = 1
    session.state["mine"] = 1
    if key == "a":
        with pytest.raises(errors.Conflict) as caught:
            session.save()
        assert caught.value.overlap == ()
        session.refresh(keep_changes=True)
    session.close()
    early.close()
    with perdure.Store(tmp_path / "a.db") as store:
        assert all(found.ok for found in store.verify())
        theirs = {"theirs": 1} if key == "a" else {}
        assert store.open(key).state.plain() == {**theirs, "mine": 1}


def test_a_refresh_sees_a_store_made_meanwhile(tmp_path: Path) -> None:
    early = perdure.Store(tmp_path / "a.db")
    session = early.open("a")
    with perdure.Store(tmp_path / "a.db") as store, store.open("a") as other:
        other.state["n"] = 1
    session.refresh()
    assert session.state.plain() == {"n": 1}
    session.close()
    early.close()


def test_an_import_makes_the_store(tmp_path: Path) -> None:
    with perdure.Store("memory:") as source, source.open("a") as session:
        session.state["n"] = 1
        session.save()
        source.export("a", tmp_path / "a.perdure")
    with perdure.Store(tmp_path / "new.db") as store:
        store.import_(tmp_path / "a.perdure")
        assert store.at("a", 1).plain() == {"n": 1}


def test_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    store = perdure.Store(tmp_path / "typo.db")
    with pytest.raises(errors.StoreUnavailable, match=r"nothing to back up.*typo\.db"):
        store.backup(tmp_path / "copy.db")
    store.close()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("no/such/a.db", {}, errors.StoreUnavailable),
        (".", {}, errors.StoreUnavailable),
        ("a.db", {"create": False}, errors.StoreUnavailable),
        ("a.db", {"read_only": True}, errors.StoreUnavailable),
    ],
)
def test_where_no_store_can_be_made_reading_says_so(
    tmp_path: Path, name: str, options: dict[str, Any], error: type[errors.PerdureError]
) -> None:
    """A session on it would fail at its first save, when there is something to lose."""
    with perdure.Store(tmp_path / name, **options) as store:
        with pytest.raises(error):
            store.open("a")
        with pytest.raises(error):
            store.states()
    assert os.listdir(tmp_path) == []


def test_under_asyncio_it_is_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "typo.db") as store:
            assert await store.states() == []
            with pytest.raises(errors.StateNotFound, match="to which nothing was saved"):
                await store.open("a", must_exist=True)
            async with store.open("a") as session:
                await session.refresh()
            assert os.listdir(tmp_path) == []
            async with store.open("a") as session:
                session.state["n"] = 1
            assert (await store.at("a", 1)).plain() == {"n": 1}
            assert [found.ok for found in await store.verify()] == [True]

    asyncio.run(main())


# ---- near keys ------------------------------------------------------------------------------


def filled(store: perdure.Store, *keys: str) -> None:
    for key in keys:
        with store.open(key) as session:
            session.state["n"] = 1


def test_keys_like_the_missing_one_are_named() -> None:
    with perdure.Store("memory:agents") as store:
        filled(store, "support/alice", "support/bob", "sales/alice")
        for asked in ("support/alce", "support/Alice", "suport/alice"):
            with pytest.raises(errors.StateNotFound) as caught:
                store.history(asked)
            assert f"no state '{asked}'" in str(caught.value)
            assert "the store is memory:agents" in str(caught.value)
            assert "Did you mean 'support/alice'" in str(caught.value)
        with pytest.raises(errors.StateNotFound) as caught:
            store.open("billing", must_exist=True)
        assert "Did you mean" not in str(caught.value)


def test_a_key_without_what_it_begins_with_is_known_by_its_end() -> None:
    """A thread's or a session's id, as its library has it."""
    with perdure.Store("memory:") as store:
        filled(store, "sessions/bob", "threads/bob", "threads/17")
        with pytest.raises(errors.StateNotFound, match="'sessions/bob' or 'threads/bob'"):
            store.info("bob")
        with pytest.raises(errors.StateNotFound, match=r"Did you mean 'threads/17'\?"):
            store.info("17")


def test_only_states_that_answer_to_the_call_are_named() -> None:
    with perdure.Store("memory:") as store:
        filled(store, "alice", "alicia")
        store.delete("alice")
        with pytest.raises(errors.StateNotFound, match=r"Did you mean 'alicia'\?"):
            store.info("alic")
        with pytest.raises(errors.StateNotFound, match=r"Did you mean 'alice'\?"):
            store.undelete("alic")
        with pytest.raises(errors.StateNotFound, match="it was deleted; `undelete` brings it"):
            store.open("alice", must_exist=True)


def test_naming_them_reads_few_keys_of_a_large_store() -> None:
    with perdure.Store("memory:") as store:
        filled(store, *(f"user/{n:04}" for n in range(300)))
        asked: list[int] = []
        perform = store._driver.backend.perform

        def counted(request: Any) -> Any:
            answer = perform(request)
            if type(request).__name__ == "ListHeads":
                asked.append(len(answer))
            return answer

        store._driver.backend.perform = counted  # type: ignore[method-assign]
        with pytest.raises(errors.StateNotFound):
            store.info("user/zz")
        assert sum(asked) <= 150
        with pytest.raises(errors.StateNotFound, match="Did you mean 'user/02"):
            store.info("user/0299x")
