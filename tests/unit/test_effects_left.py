"""Effects that a rollback or a fork leaves behind: both tell of them, and undo none (P9)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.unit.test_claims import claim, head_of, opened, settle, site

import perdure
from perdure import AsyncStore, Session, Store
from perdure.cli.app import app
from perdure.core.codec import pack
from perdure.engine import claims
from perdure.engine.save import Position
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
