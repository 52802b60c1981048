"""Migrating many states: what is looked at first, what is committed, and how it is taken back."""

import asyncio
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit import fleet_agent
from tests.unit.fleet_agent import Plan, Research

from perdure import AsyncStore, Store, limits
from perdure.core.values import take
from perdure.engine.read import Site
from perdure.errors import Conflict, Reload, SchemaChanged, UsageError
from perdure.fleet.trying import try_branch
from perdure.lenses import rename
from perdure.schemas.declare import declared_of, migration, schema
from perdure.schemas.run import run

RUN = "0" * 14 + "-00000000"


def filled(url: str, states: int) -> Store:
    """So many states of version 0."""
    store = Store(url, maintenance="off")
    for at in range(states):
        with store.open(f"r/{at:03}") as session:
            session.state["topic"] = f"topic {at}"
            session.state["log"] = [at]
    return store


def content(store: Store, key: str, branch: str = "main") -> dict[str, Any]:
    with store.open(key, branch=branch) as session:
        found = {name: take(session.state[name]) for name in session.state}
    return {name: value for name, value in found.items() if not name.startswith("perdure.")}


@pytest.fixture(params=["memory:", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "a.db") if request.param == "sqlite" else "memory:"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The branches that are read and whose migrations are run, as that happens."""
    tried: list[str] = []

    def told(task: Any, site: Site, branch: str) -> Any:
        tried.append(f"{site.key} {branch}")
        return try_branch(task, site, branch)

    monkeypatch.setattr("perdure.fleet.moving.try_branch", told)
    return tried


def test_dry_run_tells_all_and_writes_nothing(url: str) -> None:
    store = filled(url, 5)
    before = [store.history(f"r/{at:03}").__iter__().__next__().hash for at in range(5)]
    found = store.migrate("r/", Research, dry_run=True)
    assert (found.counts, found.states, found.run) == ({"migrated": 5}, 5, "")
    assert found.bytes > 0
    assert len(found.samples) == limits.migration_samples_max
    assert "added subject: 'topic 0'" in found.samples[0].differences
    assert before == [next(iter(store.history(f"r/{at:03}"))).hash for at in range(5)]


def test_each_state_is_migrated_once_and_as_foretold(url: str) -> None:
    store = filled(url, 150)  # more than one transaction holds
    seen: list[tuple[int, int]] = []
    look = store.migrate("r/", Research, dry_run=True)
    found = store.migrate("r/", Research, progress=lambda *each: seen.append(each))
    assert found.counts == {"migrated": 150}
    assert found.as_foretold
    assert (found.before, found.after) == (look.before, look.after)
    assert seen[-1] == (300, 300)
    assert content(store, "r/007") == {"subject": "topic 7", "log": [7], "budget": 0}
    newest = next(iter(store.history("r/007")))
    assert newest.label == "migrate Research 0 → 2"
    assert newest.metadata is not None
    assert newest.metadata["perdure.migrated"]["run"] == found.run
    assert store.migrate("r/", Research).counts == {"current": 150}


def test_every_branch_that_needs_it_is_migrated(url: str) -> None:
    store = filled(url, 1)
    store.fork("r/000", "try")
    with store.open("r/000", branch="try") as session:
        session.state["topic"] = "other"
    assert store.migrate("", Research).counts == {"migrated": 2}
    assert content(store, "r/000", "try")["subject"] == "other"


def test_deleted_other_and_new_states_are_left_alone_and_counted(url: str) -> None:
    store = filled(url, 3)
    store.delete("r/001")
    with store.open("r/new", exclusive=True) as session:
        session.save()
    found = store.migrate("", Research)
    assert found.counts == {"migrated": 2, "deleted": 1, "new": 1}
    assert store.migrate("", Plan).counts == {"other": 2, "deleted": 1, "new": 1}

    @schema("Apart", version=2)
    @dataclass
    class Apart:
        cents: int = 0

    migration(Apart, 1, 2, [rename("euros", "cents")])
    assert store.migrate("", Apart).counts == {"other": 2, "deleted": 1, "new": 1}


def test_nothing_is_migrated_if_one_fails(url: str) -> None:
    store = Store(url)
    for key, steps in (("a", [1, 2]), ("b", 7)):
        with store.open(key) as session:
            session.state["steps"] = steps
    found = store.migrate("", Plan)
    assert found.refused
    assert (found.run, found.failed) == ("", 1)
    assert found.failures[0].key == "b"
    assert "migration-failed" in found.failures[0].problem
    assert content(store, "a") == {"steps": [1, 2]}
    look = store.migrate("", Plan, dry_run=True)
    assert store.migrate("", Plan, verify_first=look).refused
    found = store.migrate("", Plan, skip_failures=True)
    assert found.counts == {"migrated": 1, "failed": 1}
    assert content(store, "a") == {"steps": 2}
    assert content(store, "b") == {"steps": 7}


def test_report_is_that_of_the_same_dry_run() -> None:
    store = filled("memory:", 2)
    look = store.migrate("r/", Research, dry_run=True)
    with pytest.raises(UsageError, match="another one"):
        store.migrate("", Research, verify_first=look)
    assert store.migrate("r/", Research, verify_first=look).as_foretold
    assert store.migrate("r/", Research, verify_first=False).as_foretold is None


def test_failures_are_capped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "migration_failures_max", 2)
    store = Store("memory:")
    for at in range(5):
        with store.open(str(at)) as session:
            session.state["steps"] = 1
    found = store.migrate("", Plan, dry_run=True)
    assert (len(found.failures), found.failed) == (2, 5)


def test_branch_that_is_held_is_passed_over_as_busy(url: str) -> None:
    store = filled(url, 2)
    with store.open("r/000", exclusive=True) as session:
        found = store.migrate("", Research)
        assert found.counts == {"busy": 1, "migrated": 1}
        session.state["topic"] = "mine"
    assert store.migrate("", Research).counts == {"migrated": 1, "current": 1}


def test_open_session_is_told_at_its_next_save(url: str) -> None:
    store = filled(url, 1)
    session = store.open("r/000")
    session.state["topic"] = "late"
    store.migrate("", Research)
    with pytest.raises(Reload):
        session.save()
    session.refresh()
    session.close()
    assert content(store, "r/000")["subject"] == "topic 0"


def test_agents_save_meanwhile_and_lose_nothing(tmp_path: Path) -> None:
    store = filled(str(tmp_path / "a.db"), 40)
    stop = threading.Event()
    saved: dict[str, int] = {}

    def agent() -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            key = f"r/{turn % 40:03}"
            try:
                with store.open(key) as session:
                    session.state["log"].append(turn)
                saved[key] = saved.get(key, 0) + 1
            except (Conflict, SchemaChanged):  # it was told that the state was migrated meanwhile
                pass

    thread = threading.Thread(target=agent)
    thread.start()
    try:
        found = store.migrate("", Research)
    finally:
        stop.set()
        thread.join()
    assert found.counts.get("failed", 0) == 0
    store.migrate("", Research)
    for at in range(40):
        key = f"r/{at:03}"
        state = content(store, key)
        assert state["subject"] == f"topic {at}"
        assert "topic" not in state
        assert len(state["log"]) == 1 + saved.get(key, 0)


def test_state_saved_to_between_reading_and_committing_is_migrated_anew(url: str) -> None:
    store = filled(url, 3)
    rival = {"r/001": 1}

    @schema("Raced", version=1)
    @dataclass
    class Raced:
        pass

    @migration(Raced, 0, 1)
    def raced(state: dict[str, Any]) -> None:
        if state["topic"] == "topic 1" and rival.pop("r/001", None):
            with store.open("r/001") as session:
                session.state["log"].append("rival")
        state["size"] = len(state["log"])

    found = store.migrate("", Raced, verify_first=False)
    assert found.counts == {"migrated": 3}
    assert content(store, "r/001") == {"topic": "topic 1", "log": [1, "rival"], "size": 2}
    assert content(store, "r/000")["size"] == content(store, "r/002")["size"] == 1


def test_what_was_looked_at_is_not_read_again_unless_others_saved_since(
    url: str, tried: list[str]
) -> None:
    store = filled(url, 8)
    store.fork("r/005", "try")

    def save(done: int, _: int) -> None:
        if done == 8:  # the look is through
            with store.open("r/001") as session:
                session.state["topic"] = "since"

    found = store.migrate("", Research, progress=save)
    assert found.counts == {"migrated": 9}
    assert len(found.samples) == limits.migration_samples_max
    assert tried[9:] == ["r/001 main", "r/005 main", "r/005 try"]
    assert found.as_foretold is False
    assert content(store, "r/001") == {"subject": "since", "log": [1], "budget": 0}


def test_what_there_is_no_room_for_is_tried_again(
    url: str, tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(url, 5)
    monkeypatch.setattr(limits, "migration_kept_bytes_max", 4200)
    found = store.migrate("", Research)
    assert (found.counts, found.as_foretold) == ({"migrated": 5}, True)
    assert tried[5:] == ["r/003 main", "r/004 main"]


def test_killed_run_leaves_whole_states_and_goes_on(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    states = 400
    filled(path, states).close()
    # It kills itself with the look through and a part migrated.
    command = [sys.executable, "-m", fleet_agent.__name__, path, str(states + 100)]
    died = subprocess.run(command, cwd=Path(__file__).parents[2], check=False)
    assert died.returncode == -signal.SIGKILL
    store = Store(path)
    left = store.migrate("", Research, dry_run=True).counts
    assert left["migrated"] + left["current"] == states
    assert left["current"] >= 64
    assert left["migrated"] > 0
    assert store.migrate("", Research).counts == left
    for at in range(states):
        assert content(store, f"r/{at:03}")["subject"] == f"topic {at}"
    assert all(each.ok for each in store.verify())


# ---- taking it back -------------------------------------------------------------------------


def test_what_was_saved_to_since_is_named_and_left(url: str) -> None:
    store = filled(url, 4)
    store.fork("r/002", "try")
    found = store.migrate("", Research)
    with store.open("r/001") as session:
        session.state["budget"] = 9
    dry = store.unmigrate(found.run, dry_run=True)
    assert (dry.rolled_back, dry.left) == (4, (("r/001", "main"),))
    assert content(store, "r/000")["subject"] == "topic 0"
    done = store.unmigrate(found.run)
    assert (done.rolled_back, done.left, done.failed) == (4, (("r/001", "main"),), 0)
    assert content(store, "r/000") == {"topic": "topic 0", "log": [0]}
    assert content(store, "r/001")["budget"] == 9
    assert store.unmigrate(found.run).rolled_back == 0
    assert store.migrate("", Research).counts == {"migrated": 4, "current": 1}


def test_another_run_is_not_taken_back() -> None:
    store = filled("memory:", 2)
    store.migrate("", Research)
    assert store.unmigrate(RUN).rolled_back == 0
    with pytest.raises(UsageError, match="names no run"):
        store.unmigrate("yesterday")


def test_async_store_does_the_same(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")
    filled(path, 3).close()

    async def go() -> None:
        async with AsyncStore(path) as store:
            found = await store.migrate("r/", Research)
            assert found.counts == {"migrated": 3}
            assert (await store.unmigrate(found.run)).rolled_back == 3

    asyncio.run(go())


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["topic", "a", "b"]), st.integers() | st.text()), max_size=6
    )
)
def test_migrated_is_what_the_migrations_make_and_back_is_what_it_was(
    states: list[dict[str, Any]],
) -> None:
    with Store("memory:", maintenance="off") as store:
        states = [{**state, "topic": str(state.get("topic", "x"))} for state in states]
        for at, state in enumerate(states):
            with store.open(str(at)) as session:
                session.state.update(state)
        tips = [next(iter(store.history(str(at)))).hash for at in range(len(states))]
        found = store.migrate("", Research)
        path = declared_of(Research).path(0)
        for at, state in enumerate(states):
            assert content(store, str(at)) == run(path, dict(state))
        if states:
            assert store.unmigrate(found.run).rolled_back == len(states)
        for at, state in enumerate(states):
            assert content(store, str(at)) == state
            assert next(iter(store.history(str(at)))).hash == tips[at]
