"""`crash_everywhere` finds the agents that cannot be killed, and only those."""

import asyncio
import contextlib
import functools
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import AsyncStore, Conflict, Store, limits
from perdure.testing.crash import AgentFailed, CrashReport, KillPoint, crash_everywhere

STEPS = ["plan", "search", "write"]

# Forking is quick; each test that is about the child's start says which it wants.
everywhere = functools.partial(crash_everywhere, start="fork")

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def _kept_stores_go_with_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def careful(url: str) -> None:
    """Saves each step with its result."""
    with Store(url) as store, store.open("agent") as session:
        done = session.state.setdefault("done", [])
        for step in STEPS[len(done) :]:
            done.append(step)
            session.save()


def is_done_once(store: Store) -> None:
    with store.open("agent", must_exist=True) as session:
        assert session.state["done"] == STEPS


def hasty(url: str) -> None:
    """Saves that a step is done before it has its result."""
    with Store(url) as store, store.open("agent") as session:
        done = session.state.setdefault("done", [])
        results = session.state.setdefault("results", [])
        for step in STEPS[len(done) :]:
            done.append(step)
            session.save()
            results.append(f"result of {step}")
            session.save()


def has_all_results(store: Store) -> None:
    with store.open("agent", must_exist=True) as session:
        assert len(session.state["results"]) == len(STEPS)


def fragile(url: str) -> None:
    """Cannot be resumed."""
    with Store(url) as store, store.open("agent") as session:
        if session.resumed:
            raise RuntimeError("I was never meant to be resumed")
        session.state["begun"] = True
        session.save()


def idle(url: str) -> None:
    with Store(url) as store:
        store.open("agent").close()


def sudden(url: str) -> None:
    os._exit(0)


def hanging(url: str) -> None:
    while True:
        multiprocessing.Event().wait()


def anything(store: Store) -> None:
    """Accepts every outcome."""


def test_an_agent_that_can_be_killed_passes() -> None:
    report = crash_everywhere(careful, is_done_once)
    # Three saves, and the record that the session ended.
    assert report == CrashReport(kills=8, runs=17, saves=4)


def many(url: str) -> None:
    """Saves to five states at the same moment, so that commits share transactions."""

    async def one(store: AsyncStore, key: str) -> None:
        session = await store.open(key)
        session.state["done"] = True
        await session.save()

    async def work() -> None:
        async with AsyncStore(url) as store:
            await asyncio.gather(*(one(store, key) for key in "abcde"))

    asyncio.run(work())


def test_saves_that_share_a_transaction_are_killed_one_by_one() -> None:
    """Were they counted by transactions, it would be two."""
    seen: list[int] = []
    report = everywhere(many, lambda store: seen.append(len(store.states())))
    assert report == CrashReport(kills=10, runs=21, saves=5)
    assert seen == [5] * 11


def upkept(url: str) -> None:
    """Has maintenance done between two saves."""
    with Store(url, maintenance="off") as store, store.open("agent") as session:
        while session.state.get("n", 0) < 3:
            session.state["n"] = session.state.get("n", 0) + 1
            session.save()
            limits.tail_records_max = 1
            store.maintain()


def test_what_maintenance_commits_is_no_save() -> None:
    report = everywhere(upkept, lambda store: None)
    assert report == CrashReport(kills=8, runs=17, saves=4)


def twice_lost(url: str) -> None:
    """Its first commit of the second save finds that another session saved, and is refused."""
    with Store(url) as store, store.open("agent") as session:
        if "n" not in session.state:
            session.state["n"] = 1
            session.save()
        if "theirs" not in session.state:
            with Store(url).open("agent") as other:
                other.state["theirs"] = 1
        if "mine" not in session.state:
            session.state["mine"] = 1
            with contextlib.suppress(Conflict):
                session.save()
            session.refresh(keep_changes=True)
            session.save()


def test_a_commit_that_is_refused_is_no_save() -> None:
    """What is left: three records, the second of which tells of an end, and one more end."""
    report = everywhere(twice_lost, lambda store: None)
    assert report.saves == 4


def test_both_sides_of_every_save_are_seen(tmp_path: Path) -> None:
    """What is in the store when the agent is resumed: before and after each save."""
    log = tmp_path / "log"

    def logged(url: str) -> None:
        with Store(url) as store, store.open("agent") as session, log.open("a") as file:
            file.write(str(len(session.state.get("done", []))))
        careful(url)

    everywhere(logged, is_done_once)
    assert log.read_text() == "00010102020303030"


def test_an_agent_that_loses_work_is_found() -> None:
    with pytest.raises(AssertionError) as caught:
        everywhere(hasty, has_all_results)
    assert "The agent was killed after save 1 took effect" in caught.value.__notes__[0]


def test_the_store_of_a_failure_is_kept() -> None:
    with pytest.raises(AssertionError) as caught:
        everywhere(hasty, has_all_results)
    path = caught.value.__notes__[0].rpartition(": ")[2]
    with Store(path) as store, store.open("agent") as session:
        assert session.state["done"] == STEPS


def test_an_agent_that_fails_when_resumed_is_found() -> None:
    with pytest.raises(AgentFailed, match="never meant to be resumed") as caught:
        everywhere(fragile, anything)
    assert "killed after save 1" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("agent", "message"), [(sudden, "without a word"), (hanging, "did not end within")]
)
def test_an_agent_that_does_not_end_properly_is_found(
    agent: Callable[[str], None], message: str
) -> None:
    with pytest.raises(AgentFailed, match=message):
        everywhere(agent, anything, timeout_seconds=0.5)


def broken(url: str) -> None:
    raise RuntimeError("no model to talk to")


class Moody:
    """Fails on its own from a later run on."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def __call__(self, url: str) -> None:
        with self.log.open("a") as file:
            file.write("run\n")
        if len(self.log.read_text().splitlines()) > 2:
            raise RuntimeError("not again")
        careful(url)


async def asynchronous(url: str) -> None:
    careful(url)


class Called:
    async def __call__(self, url: str) -> None:
        careful(url)


def test_a_failure_before_any_kill_is_no_fault_of_the_kill() -> None:
    with pytest.raises(AgentFailed, match="no model to talk to") as caught:
        everywhere(broken, anything)
    assert "It failed in its first run, before any kill; its store" in caught.value.__notes__[0]


def test_a_failure_before_a_later_kill_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(AgentFailed, match="not again") as caught:
        everywhere(Moody(tmp_path / "log"), anything)
    assert "before it could be killed after save 1" in caught.value.__notes__[0]


def test_an_outcome_that_is_wrong_without_a_kill_is_told_so() -> None:
    outcomes: list[int] = []

    def only_when_killed(store: Store) -> None:
        outcomes.append(1)
        assert len(outcomes) < 9

    with pytest.raises(AssertionError) as caught:
        everywhere(careful, only_when_killed)
    assert "The agent ran to its end without a kill" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "agent",
    [asynchronous, functools.partial(asynchronous), Called()],
    ids=["function", "partial", "callable"],
)
def test_a_coroutine_function_is_refused_with_the_way_out(agent: Callable[[str], None]) -> None:
    with pytest.raises(TypeError, match=r"is a coroutine function.*asyncio\.run"):
        crash_everywhere(agent, anything)


def test_an_agent_that_gives_a_coroutine_is_found() -> None:
    with pytest.raises(AgentFailed, match=r"gave a coroutine.*asyncio\.run"):
        everywhere(lambda url: asynchronous(f"{url}"), anything)


def test_an_agent_that_never_saves_proves_nothing() -> None:
    with pytest.raises(ValueError, match="never saves"):
        everywhere(idle, anything)


def test_what_cannot_be_spawned_is_refused_with_the_way_out() -> None:
    with pytest.raises(TypeError, match="top of a module, or start='fork'"):
        crash_everywhere(lambda url: None, anything)


def test_a_kill_point_reads_well() -> None:
    assert str(KillPoint(3, "before")) == "before save 3 took effect"
