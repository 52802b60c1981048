"""Erasing a state: it is gone, its receipt stays, and nobody brings it back (P8)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.pruned import require_sound

import perdure
from perdure import limits
from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import Answer, Commit
from perdure.errors import Busy, Erased, NotAllowed, StateDeleted, StateNotFound, UsageError
from perdure.reports import ErasedLife
from perdure.types import OnConflict


def made(store: perdure.Store, key: str = "support/alice", count: int = 3) -> None:
    """A state with some checkpoints, and a branch."""
    with store.open(key) as session:
        for number in range(count):
            session.state.setdefault("messages", []).append(f"message {number}")
            session.save()
    store.fork(key, "what-if")


def now(store: perdure.Store, key: str) -> perdure.View[object]:
    """The newest checkpoint of a state."""
    return store.at(key, store.info(key).number)


def test_what_is_erased_is_not_there(store: perdure.Store) -> None:
    made(store)
    found = store.erase("support/alice", reason="asked for")
    assert found.is_wiped
    assert not found.was_erased
    assert (found.key, found.branches, len(found.lives)) == ("support/alice", 2, 1)
    assert store.states() == []
    for ask in (store.info, store.history, store.delete, store.undelete, store.stats):
        with pytest.raises(StateNotFound):
            ask("support/alice")
    assert store.unreferenced() == []


def test_the_receipt_says_what_there_was(store: perdure.Store) -> None:
    made(store)
    newest = store.history("support/alice")[0]
    (life,) = store.erase("support/alice", reason="asked for").lives
    (kept,) = store.erasures("support/alice")
    assert kept == life
    assert kept.hash == newest.hash
    # And the one of the journal, which tells of the fork.
    assert kept.checkpoints == newest.number + 1
    assert kept.bytes > 0
    assert (kept.life, kept.reason, kept.problem) == (1, "asked for", None)
    assert store.erasures("support/bob") == []
    (unnamed,) = store.erasures()
    assert unnamed == without_name(life)


def test_the_receipt_counts_what_one_answer_does_not_hold(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(store, count=9)
    monkeypatch.setattr(limits, "piece_rows_max", 3)
    (life,) = store.erase("support/alice").lives
    assert life.checkpoints == 9 + 1


def without_name(life: ErasedLife) -> ErasedLife:
    """A receipt as it is told to who does not know the name."""
    return replace(life, key=None)


def test_the_name_is_kept_where_it_is_to_be(store: perdure.Store) -> None:
    made(store)
    store.erase("support/alice", keep_name=True)
    assert [each.key for each in store.erasures()] == ["support/alice"]


def test_the_name_can_be_used_anew_and_erased_again(store: perdure.Store) -> None:
    made(store)
    first = store.erase("support/alice").lives[0].incarnation
    made(store, count=1)
    assert now(store, "support/alice")["messages"] == ["message 0"]
    second = store.erase("support/alice").lives[0].incarnation
    assert first != second
    assert {each.incarnation for each in store.erasures("support/alice")} == {first, second}


def test_other_states_stay(store: perdure.Store) -> None:
    made(store)
    made(store, "support/bob")
    store.copy("support/alice", "support/copy")
    assert store.erase("support/alice", dry_run=True).copies == ("support/copy",)
    store.erase("support/alice")
    for key in ("support/bob", "support/copy"):
        assert now(store, key)["messages"][-1] == "message 2"
        assert store.verify(key)[0].ok


def test_a_dry_run_erases_nothing(store: perdure.Store) -> None:
    made(store)
    found = store.erase("support/alice", dry_run=True)
    assert found.dry_run
    assert found.checkpoints == 4
    assert store.info("support/alice").number == 3
    assert store.erasures() == []
    assert [each.bytes for each in store.erase("support/alice").lives] == [found.bytes]


def test_a_late_session_gets_erased(store: perdure.Store) -> None:
    made(store)
    session = store.open("support/alice")
    session.state["plan"] = "go on"
    store.erase("support/alice")
    with pytest.raises(Erased, match=r"was erased .* UTC") as caught:
        session.save()
    assert caught.value.at is not None
    with pytest.raises(Erased):
        session.refresh()
    with pytest.raises(Erased):
        session.close()
    assert store.states() == []
    made(store, count=1)
    with pytest.raises(Erased):
        session.save()
    assert now(store, "support/alice")["messages"] == ["message 0"]


@pytest.mark.parametrize("policy", ["fork", "merge"])
def test_so_does_one_that_forks_or_merges(store: perdure.Store, policy: OnConflict) -> None:
    made(store)
    session = store.open("support/alice", on_conflict=policy)
    session.state["messages"].append("late")
    store.erase("support/alice")
    with pytest.raises(Erased):
        session.save()
    made(store, count=1)
    with pytest.raises(Erased):
        session.close()


def test_a_section_that_is_read_late_is_erased_not_damaged(store: perdure.Store) -> None:
    made(store)
    with store.open("support/alice") as session:
        for _ in range(150):
            session.state["messages"].append(os.urandom(2_000).hex())
            session.save(durability="process")
    assert "snapshot" in store.maintain("support/alice")[0].steps
    if store._driver.cache is not None:
        store._driver.cache.clear()
    lazy = store.open("support/alice")
    windowed = store.open("support/alice", windows={"messages": 1})
    store.erase("support/alice")
    with pytest.raises(Erased):
        lazy.state["messages"][0].upper()
    with pytest.raises(Erased):
        windowed.window("messages", 0, 1)
    for session in (lazy, windowed):
        session.state["new"] = 1
        with pytest.raises(Erased):
            session.close()


def test_a_living_hold_has_to_be_forced(store: perdure.Store) -> None:
    made(store)
    with pytest.raises(Erased), store.open("support/alice", exclusive=True) as session:
        with pytest.raises(Busy, match="force=True") as caught:
            store.erase("support/alice")
        assert caught.value.lease is not None
        assert [each.branch for each in store.erase("support/alice", dry_run=True).leases] == [
            "main"
        ]
        assert len(store.erase("support/alice", force=True).leases) == 1
        session.state["plan"] = "go on"


def test_one_life_alone(store: perdure.Store) -> None:
    for name in ("first", "second", "third"):
        with store.open("support/alice") as session:
            session.state["name"] = name
        if name != "third":
            store.delete("support/alice")
    (gone,) = store.erase("support/alice", life=2).lives
    assert (gone.life, len(store.states(deleted=True))) == (2, 1)
    assert now(store, "support/alice")["name"] == "third"
    store.erase("support/alice", life=2)  # the third is the second by now, and the live one
    with pytest.raises(StateNotFound):
        store.info("support/alice")
    store.undelete("support/alice")
    assert now(store, "support/alice")["name"] == "first"
    with pytest.raises(StateNotFound, match="no life 2"):
        store.erase("support/alice", life=2)
    assert len(store.erase("support/alice").lives) == 1
    assert len(store.erasures("support/alice")) == 3


def test_all_lives_at_once(store: perdure.Store) -> None:
    for _ in range(3):
        made(store)
        store.delete("support/alice")
    assert [each.life for each in store.erase("support/alice").lives] == [1, 2, 3]
    assert store.states(deleted=True) == []
    assert store.unreferenced() == []


def test_erasing_again_ends_what_was_begun(store: perdure.Store) -> None:
    made(store)
    store.erase("support/alice", wipe=False)
    again = store.erase("support/alice")
    assert again.was_erased
    assert again.is_wiped
    assert again.lives == tuple(store.erasures("support/alice"))
    with pytest.raises(StateNotFound):
        store.erase("support/nobody")


def test_an_export_of_it_comes_in_only_elsewhere(store: perdure.Store, tmp_path: Path) -> None:
    made(store)
    store.export("support/alice", tmp_path / "alice.perdure", in_clear=True)
    store.erase("support/alice")
    with pytest.raises(Erased):
        store.import_(tmp_path / "alice.perdure")
    assert store.states() == []
    assert store.unreferenced() == []
    with perdure.Store("memory:") as other:
        assert other.import_(tmp_path / "alice.perdure").number == 3


def test_a_handle_needs_the_verb(store: perdure.Store) -> None:
    made(store)
    handle = store.scoped("support/*", allow={"read", "write", "manage"})
    with pytest.raises(NotAllowed, match="erase"):
        handle.erase("support/alice")
    assert handle.erase("support/alice", dry_run=True).checkpoints == 4
    able = store.scoped("support/*", allow={"read", "erase"})
    with pytest.raises(NotAllowed):
        able.erase("other/one")
    able.erase("support/alice")
    assert len(able.erasures("support/alice")) == 1
    with pytest.raises(NotAllowed):
        able.erasures()


def test_bad_arguments_are_told(store: perdure.Store) -> None:
    made(store)
    with pytest.raises(UsageError, match="reason"):
        store.erase("support/alice", reason="x" * 5_000)
    with pytest.raises(UsageError, match="life"):
        store.erase("support/alice", life="2")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(StateNotFound, match="no life 0"):
        store.erase("support/alice", life=0)


def test_the_async_store_erases_and_its_sessions_are_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with perdure.AsyncStore(tmp_path / "agents.db") as store:
            async with store.open("a") as session:
                session.state["n"] = 1
            late = await store.open("a")
            late.state["n"] = 2
            assert (await store.erase("a", reason="asked for")).is_wiped
            with pytest.raises(Erased):
                await late.save()
            with pytest.raises(Erased):
                await late.close()
            assert [each.reason for each in await store.erasures("a")] == ["asked for"]
            assert await store.states() == []

    asyncio.run(work())


def test_a_founding_save_that_is_sent_again_brings_nothing_back() -> None:
    backend = MemoryBackend()
    with perdure.Store(backend) as store:
        sent: list[Commit] = []
        settle = backend._settle

        def keeping(request: Commit) -> Answer:
            sent.append(request)
            return settle(request)

        backend._settle = keeping  # type: ignore[method-assign]  # to look at what was sent
        made(store)
        store.erase("support/alice")
        with pytest.raises(Erased):
            backend.perform(sent[0])
        assert store.states() == []


@pytest.mark.parametrize("repeat", [1, 20_000])
@pytest.mark.parametrize("ends", [perdure.Store.erase, perdure.Store.delete])
def test_what_an_effect_of_a_former_life_gave_is_not_told_to_the_next_one_P8_P9(
    store: perdure.Store, ends: Callable[[perdure.Store, str], object], repeat: int
) -> None:
    """Small results stand in the head, large ones in pages."""
    made(store, "a")
    session = store.open("a")

    def send() -> str:
        ends(store, "a")
        made(store, "a")
        return "sent to SECRET" * repeat

    with pytest.raises(StateDeleted) as caught, session.task("SECRET") as task:
        task.effect("send", send)
    gone = "'SECRET/send' was performed all the same, and the state that claimed it is gone"
    assert caught.value.__notes__ == [gone]
    assert store.effects("a") == []
    require_sound(store)
    with pytest.raises(StateDeleted):
        session.close()


def test_a_watch_of_it_goes_on(store: perdure.Store) -> None:
    made(store)
    with store.watch("support/*", timeout=0.3) as watch:
        store.erase("support/alice")
        with store.open("support/alice") as session:
            session.state["n"] = 1
        assert [each.checkpoint.key for each in watch] == ["support/alice"]
