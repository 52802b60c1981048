"""Edits made after a save was called are no part of it, also where it has to merge (P3, P13)."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import errors, limits
from perdure.backends.memory import MemoryBackend
from perdure.core import catch_up, merge
from perdure.core.codec import pack
from perdure.engine import rebase, refresh
from perdure.engine.requests import Answer, Commit


class Meddling(MemoryBackend):
    """A backend in which something is done before a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Callable[[], object]] = []

    def commit(self, batch: Sequence[Commit]) -> list[Answer | errors.PerdureError]:
        if self.before:
            self.before.pop(0)()
        return super().commit(batch)


@pytest.fixture
def backend() -> Meddling:
    return Meddling()


@pytest.fixture
def store(backend: Meddling) -> Iterator[perdure.Store]:
    with perdure.Store(backend, maintenance="off") as store:
        with store.open("a") as session:
            session.state.update({"facts": {"x": 1}, "log": ["begun"]})
        yield store


def stored(store: perdure.Store) -> dict[str, Any]:
    plain: dict[str, Any] = store.at("a", "main").plain()
    return plain


def overtaken(store: perdure.Store, **options: Any) -> perdure.Session:
    """A session that others were faster than, with one edit that it has not saved."""
    session = store.open("a", on_conflict="merge", **options)
    with store.open("a") as other:
        other.state["facts"]["theirs"] = 2
    session.state["facts"]["asked"] = 3
    return session


ASKED = {"x": 1, "theirs": 2, "asked": 3}


def saved_while_edited(backend: Meddling, session: perdure.Session) -> perdure.Checkpoint:
    """Save in another thread, and edit while it commits."""
    is_committing, is_edited = threading.Event(), threading.Event()
    found: list[perdure.Checkpoint] = []

    def wait() -> None:
        is_committing.set()
        is_edited.wait()

    backend.before = [wait]
    saving = threading.Thread(target=lambda: found.append(session.save()))
    saving.start()
    is_committing.wait()
    session.state["facts"]["later"] = [4]
    is_edited.set()
    saving.join()
    return found[0]


def test_edits_in_another_thread_are_left_to_the_next_save_P13(
    backend: Meddling, store: perdure.Store
) -> None:
    session = overtaken(store)
    checkpoint = saved_while_edited(backend, session)
    assert (checkpoint.number, stored(store)["facts"]) == (3, ASKED)
    assert session.state["facts"] == {**ASKED, "later": [4]}
    assert session.changes() == [perdure.Set(("facts", "later"), [4])]
    session.state["facts"]["later"].append(5)
    session.state["log"].append("more")
    checkpoint = session.save(label="next", metadata={"n": 1})
    assert (checkpoint.number, checkpoint.label, checkpoint.merged) == (4, "next", None)
    assert checkpoint.sections == ("facts", "log")
    assert pack(stored(store)) == pack(session.state.plain())
    assert session.changes() == []
    assert all(each.ok for each in store.verify())
    session.close()


def test_an_exception_discards_them(backend: Meddling, store: perdure.Store) -> None:
    with pytest.raises(ZeroDivisionError), overtaken(store) as session:
        saved_while_edited(backend, session)
        raise ZeroDivisionError
    assert stored(store)["facts"] == ASKED
    assert "failed" in [each.ended for each in store.sessions("a")]


@pytest.mark.parametrize("how", ["save", "close", "save on error"])
def test_they_are_saved_if_nothing_else_is(
    how: str, backend: Meddling, store: perdure.Store
) -> None:
    session = overtaken(store, on_error="save")
    saved_while_edited(backend, session)
    if how == "save":
        assert session.save().number == 4
    elif how == "close":
        session.close()
    else:
        with pytest.raises(ZeroDivisionError), session:
            raise ZeroDivisionError
    assert stored(store)["facts"] == {**ASKED, "later": [4]}
    assert len(store.history("a")) == 4
    session.close()


def test_a_refresh_gives_them_up(backend: Meddling, store: perdure.Store) -> None:
    session = overtaken(store)
    saved_while_edited(backend, session)
    session.refresh()
    assert session.state["facts"] == ASKED
    assert session.save().number == 3
    session.close()


def test_they_are_merged_again_with_what_others_save_before_the_next_save(
    backend: Meddling, store: perdure.Store
) -> None:
    session = overtaken(store)
    saved_while_edited(backend, session)
    with store.open("a") as other:
        other.state["facts"]["more"] = 6
    session.state["facts"]["last"] = 7
    checkpoint = session.save(label="next")
    assert (checkpoint.number, checkpoint.label) == (5, "next")
    assert checkpoint.merged == store.history("a")[1].id
    assert stored(store)["facts"] == {**ASKED, "more": 6, "later": [4], "last": 7}
    assert pack(stored(store)) == pack(session.state.plain())
    session.close()


def test_what_others_saved_too_is_nothing_to_save(store: perdure.Store) -> None:
    session = overtaken(store)
    del session.state["facts"]["asked"]
    session.state["facts"]["theirs"] = 2
    session.refresh(keep_changes=True)
    assert session.changes() == []
    assert session.save().number == 2
    session.close()


def test_a_refresh_that_keeps_edits_asks_for_no_save(store: perdure.Store) -> None:
    with pytest.raises(ZeroDivisionError), overtaken(store) as session:
        session.refresh(keep_changes=True)
        assert len(session.changes()) == 1
        raise ZeroDivisionError
    assert stored(store)["facts"] == {"x": 1, "theirs": 2}


def test_a_summary_set_later_belongs_to_the_next_save(
    backend: Meddling, store: perdure.Store
) -> None:
    session = overtaken(store)

    def later() -> None:
        session.summary = "later"
        session.state["facts"]["later"] = 4

    backend.before = [later]
    session.save()
    assert (store.info("a").summary, session.summary) == (None, "later")
    session.save()
    assert store.info("a").summary == "later"
    assert stored(store)["facts"] == {**ASKED, "later": 4}
    session.close()


def test_more_than_one_save_can_hold_is_saved_by_two(
    backend: Meddling, store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "save_bytes_max", 1000)
    session = overtaken(store)
    backend.before = [lambda: session.state["facts"].update(later="x" * 800)]
    session.save()
    session.state["facts"]["last"] = "y" * 800
    checkpoint = session.save(label="next")
    assert (checkpoint.number, checkpoint.label) == (5, "next")
    assert pack(stored(store)) == pack(session.state.plain())
    session.close()


def test_a_conflict_of_theirs_is_told_before_anything_is_saved(
    backend: Meddling, store: perdure.Store
) -> None:
    session = overtaken(store)
    backend.before = [lambda: session.state["facts"].update(theirs="later")]
    with pytest.raises(errors.MergeConflicts):
        session.save()
    assert session.state["facts"] == {"x": 1, "asked": 3, "theirs": "later"}
    assert len(session.changes()) == 2
    session.strategies["facts/theirs"] = "ours"
    session.save()
    assert stored(store)["facts"] == {**ASKED, "theirs": "later"}
    assert session.changes() == []
    session.close()


def test_edits_that_come_up_again_and_again_end_in_an_error(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "merge_tries_max", 6)
    count = iter(range(1000))

    def decide(*_: Any) -> int:
        session.state["facts"]["count"] = next(count)
        return 7

    session = overtaken(store, strategies={"facts/theirs": decide})
    session.state["facts"]["theirs"] = 5
    with pytest.raises(errors.Busy, match="nothing was saved or lost"):
        session.save()
    assert session.state["facts"]["count"] == 5
    session.strategies["facts/theirs"] = "ours"
    session.save()
    assert stored(store)["facts"] == {**ASKED, "theirs": 5, "count": 5}
    session.close()


# ---- under asyncio --------------------------------------------------------------------------


async def aio_overtaken(store: perdure.AsyncStore) -> perdure.AsyncSession:
    async with store.open("a") as session:
        session.state["facts"] = {"x": 1}
    session = await store.open("a", on_conflict="merge")
    async with store.open("a") as other:
        other.state["facts"]["theirs"] = 2
    session.state["facts"]["asked"] = 3
    return session


@pytest.mark.parametrize("is_discarded", [False, True])
def test_edits_of_another_task_are_left_to_the_next_save(
    is_discarded: bool, tmp_path: Path
) -> None:
    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db", maintenance="off") as store:
            session = await aio_overtaken(store)
            saving = asyncio.create_task(session.save())
            await asyncio.sleep(0)  # it captures what it is to save
            while not saving.done():
                session.state["facts"]["later"] = session.state["facts"].get("later", 0) + 1
                await asyncio.sleep(0)
            assert (await store.at("a", "main")).plain() == {"facts": ASKED}
            assert session.state["facts"] == {**ASKED, "later": session.state["facts"]["later"]}
            if is_discarded:
                with pytest.raises(ZeroDivisionError):
                    async with session:
                        raise ZeroDivisionError
                assert (await store.at("a", "main")).plain() == {"facts": ASKED}
            else:
                await session.close()
                assert (await store.at("a", "main")).plain() == session.state.plain()

    asyncio.run(main())


def test_a_merge_is_computed_off_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed_in: list[tuple[str, threading.Thread]] = []

    def noting(module: Any, name: str) -> None:
        work = getattr(module, name)

        def noted(*args: Any) -> Any:
            computed_in.append((name, threading.current_thread()))
            return work(*args)

        monkeypatch.setattr(module, name, noted)

    async def main() -> None:
        async with perdure.AsyncStore(tmp_path / "a.db", maintenance="off") as store:
            session = await aio_overtaken(store)
            noting(refresh, "changes_of")
            noting(rebase, "unpack_changes")
            noting(rebase, "_group")
            for module in (merge, catch_up):
                noting(module, "compose")
            await session.save()
            await session.close()

    asyncio.run(main())
    names = [name for name, _ in computed_in]
    assert names == ["changes_of", "unpack_changes", *["compose"] * 2, "_group", *["compose"] * 2]
    assert threading.main_thread() not in [thread for _, thread in computed_in]
