"""Effects that a rollback or a fork leaves behind: both tell of them, and undo none (P9)."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from tests.unit.test_claims import claim, head_of, opened, settle, site

import perdure
from perdure import AsyncStore, Session, Store, limits
from perdure.cli.app import app
from perdure.core import tree
from perdure.core.codec import pack
from perdure.core.cut import Bounds
from perdure.core.head import Head
from perdure.engine import claimed, claims, undone
from perdure.engine.read import Site, read_head
from perdure.engine.save import Position, commit
from perdure.errors import Damaged
from perdure.types import EffectInfo


def keys(effects: tuple[EffectInfo, ...]) -> list[str]:
    return [each.key for each in effects]


def act(session: Session, key: str, result: Any = None) -> None:
    """Perform an effect, whose outcome is the next checkpoint."""
    made, is_ours = claim(session, key)
    assert is_ours
    session.state[key] = result
    settle(session, key, made, result)


@pytest.fixture
def acted(store: Store) -> Store:
    """A state with effects at the checkpoints 2, 3 and 5, and one of which nobody knows."""
    with opened(store) as session:
        act(session, "two", {"receipt": 2})
        act(session, "three")
        session.state["n"] = 4
        session.save()
        act(session, "five")
        claim(session, "unknown")
    return store


def test_a_rollback_tells_what_it_leaves(acted: Store) -> None:
    moved = acted.rollback("a", 2, dry_run=True)
    assert moved is not None
    assert keys(moved.effects) == ["three", "five", "unknown"]
    moved = acted.rollback("a", 2)
    assert moved is not None
    assert keys(moved.effects) == ["three", "five", "unknown"]
    assert [each.status for each in moved.effects] == ["done", "done", "unknown"]
    assert [each.number for each in moved.effects] == [3, 5, None]
    assert keys(acted.undo("a").effects) == []
    assert acted.movements("a")[0].effects == ()


def test_only_what_the_target_lacks_is_told(acted: Store) -> None:
    moved = acted.rollback("a", 1)
    assert moved is not None
    assert keys(moved.effects) == ["two", "three", "five", "unknown"]
    with acted.open("a") as session:
        act(session, "on the new line")
    moved = acted.rollback("a", 1)
    assert moved is not None
    # The others were done on a line that this one never was on: that was told before.
    assert keys(moved.effects) == ["unknown", "on the new line"]


def test_a_fork_tells_what_was_done_since(acted: Store) -> None:
    assert keys(acted.fork("a", "early", at=3).effects) == ["five", "unknown"]
    assert keys(acted.fork("a", "now").effects) == []
    again = acted.fork("a", "early", exist_ok=True)
    assert again.effects == ()
    assert all(each.effects == () for each in acted.branches("a"))
    with acted.open("a", branch="early") as session:
        act(session, "on early")
    assert keys(acted.fork("a", "of-early", at=3, branch="early").effects) == [
        "unknown",
        "on early",
    ]
    assert keys(acted.fork("a", "other", at="early@3", branch="main").effects) == [
        "unknown",
        "on early",
    ]


def test_what_a_person_settled_is_told_by_the_time_it_was_claimed(store: Store) -> None:

    with opened(store) as session:
        made, _ = claim(session, "early")
        session.state["n"] = 2
        session.save()
        late, _ = claim(session, "late")
        session.state["n"] = 3
        session.save()
    for key, each in (("early", made), ("late", late)):
        head = head_of(store)
        settling = claims.settle(site(store), Position(head, head.token), key, each, pack(1), "ann")
        store._driver.run(settling)
    moved = store.rollback("a", 2)
    assert moved is not None
    assert keys(moved.effects) == ["late"]
    assert moved.effects[0].by == "ann"


def test_it_is_told_of_what_was_pruned_too(acted: Store) -> None:
    acted.fork("a", "kept", at=3)
    acted.prune(perdure.Retention(keep_last=1), "a")
    moved = acted.rollback("a", "kept")
    assert moved is not None
    assert "five" in keys(moved.effects)


def test_a_state_without_effects_has_none_to_tell_of(store: Store) -> None:
    with opened(store) as session:
        session.state["n"] = 2
    assert store.fork("a", "b", at=1).effects == ()
    moved = store.rollback("a", 1)
    assert moved is not None
    assert moved.effects == ()


def test_async_tells_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        async with AsyncStore(path) as store:
            forked = await store.fork("a", "b", at=1)
            assert keys(forked.effects) == ["k"]
            moved = await store.rollback("a", 1)
            assert moved is not None
            assert moved.effects == forked.effects

    path = str(tmp_path / "agents.db")
    with Store(path) as store, opened(store) as session:
        act(session, "k", b"bytes")
    asyncio.run(run())


def test_the_command_line_prints_them(tmp_path: Path) -> None:
    path = str(tmp_path / "agents.db")
    with Store(path) as store, opened(store) as session:
        act(session, "orders/17", {"raw": b"\x00"})

    def run(*args: str) -> str:
        result = CliRunner().invoke(app, ["--store", path, *args])
        assert result.exit_code == 0, result.output
        return result.output

    for args in (("fork", "a", "b", "--at", "1"), ("rollback", "a", "1", "--dry-run")):
        told = run(*args)
        assert "not undone, and not done again:" in told
        assert "orders/17" in told
    assert "not undone" not in run("fork", "a", "now")
    (effect,) = json.loads(run("rollback", "a", "1", "--json"))["movement"]["effects"]
    assert (effect["key"], effect["status"]) == ("orders/17", "done")
    assert effect["result"] != {"raw": None}
    assert "not undone" not in run("undo", "a")


@pytest.mark.parametrize("seed", range(6))
def test_what_a_rollback_leaves_is_found_without_reading_all_claims(
    store: Store, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The state has one section for each effect: what is told is what it had and has no more."""
    chance = random.Random(seed)
    monkeypatch.setattr(limits, "claims_inline_max", 4)
    monkeypatch.setattr(tree, "LEAVES", Bounds(64, 128, 256))
    newest, read = claimed.newest, []

    def counted(where: Site, head: Head, is_enough: Any) -> Any:
        found = yield from newest(where, head, is_enough)
        whole = yield from claimed.every(where, head)
        read.append((len(found), len(whole)))
        return found

    monkeypatch.setattr(undone, "newest", counted)
    opened(store).close()
    for number in range(80):
        kind = chance.choice(("effect", "effect", "effect", "effect", "rollback", "maintain"))
        tip = store.info("a").number
        if kind == "effect":
            with store.open("a") as session:
                act(session, f"k{number}")
        elif kind == "maintain":
            store.maintain("a")
        elif tip > 2:
            before = store.at("a", tip).plain().keys()
            to = chance.randint(max(1, tip - 4), tip - 1)
            moved = store.rollback("a", to)
            assert moved is not None
            after = store.at("a", to).plain().keys()
            assert set(keys(moved.effects)) == before - after
    assert any(some < most for some, most in read)


def test_an_outcome_that_took_the_place_of_one_in_pages_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "claims_inline_max", 4)
    monkeypatch.setattr(tree, "LEAVES", Bounds(64, 128, 256))
    with opened(store) as session:
        made, _ = claim(session, "late")
        head = head_of(store)
        position = Position(head, head.token)
        erred = claims.settle(site(store), position, "late", made, pack("erred"), "ann")
        store._driver.run(erred)
        for number in range(20):
            act(session, f"k{number}")
        store.maintain("a")
        session.state["late"] = True
        settle(session, "late", made, "performed")
        for number in range(20, 40):
            act(session, f"k{number}")
        store.maintain("a")
    tip = store.info("a").number
    moved = store.rollback("a", tip - 21)
    assert moved is not None
    assert "late" in keys(moved.effects)
    assert [each.by for each in moved.effects if each.key == "late"] == [None]
    assert len(moved.effects) == 21


def test_a_rollback_is_made_whether_or_not_its_effects_can_be_read(
    acted: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(*_: Any) -> Any:
        raise Damaged("a page is missing")
        yield

    monkeypatch.setattr(undone, "newest", lost)
    moved = acted.rollback("a", 2)
    assert moved is not None
    assert moved.effects == ()
    assert acted.info("a").number == 2
    assert "perdure effects a" in caplog.text


def test_what_is_replaced_meanwhile_is_looked_up_anew(
    acted: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, tries = claimed.newest, []

    def once(where: Site, head: Head, is_enough: Any) -> Any:
        tries.append(head.generation)
        if len(tries) == 1:
            now = yield from read_head(where)
            later = replace(now, generation=now.generation + 1)
            yield from commit(where, Position(now, now.token), lambda _: later)
            raise Damaged("a page is missing")
        return (yield from newest(where, head, is_enough))

    monkeypatch.setattr(undone, "newest", once)
    moved = acted.rollback("a", 2)
    assert moved is not None
    assert keys(moved.effects) == ["three", "five", "unknown"]
    assert len(tries) == 2
