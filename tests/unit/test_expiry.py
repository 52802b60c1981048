"""States that expire: counted from the last save, hidden by a sweep, never under who saves (P7)."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from perdure import AsyncStore, StateNotFound, Store, errors
from perdure.cli.app import app
from perdure.engine import expiry
from perdure.engine.read import Site
from perdure.engine.requests import HeadRow, ListHeads
from perdure.testing.clock import Clock

HOUR = timedelta(hours=1)
HOUR_S = 3600


@pytest.fixture
def clock() -> Clock:
    return Clock()


def store_in(path: Path, clock: Clock) -> Store:
    return Store(path / "agents.db", clock=clock, maintenance="off")


def save(store: Store, key: str, expires_in: timedelta | None = None) -> None:
    with store.open(key, expires_in=expires_in) as session:
        session.state["n"] = session.state.get("n", 0) + 1


def keys(infos: list) -> list[str]:  # type: ignore[type-arg]  # of states
    return [info.key for info in infos]


def test_only_what_has_expired_is_swept_and_can_be_brought_back(
    tmp_path: Path, clock: Clock
) -> None:
    with store_in(tmp_path, clock) as store:
        save(store, "a", HOUR)
        save(store, "b", 2 * HOUR)
        save(store, "c")
        assert store.info("a").expires == store.info("a").updated + HOUR
        assert store.info("c").expires is None
        clock.advance(HOUR_S - 1)
        assert store.sweep() == []
        clock.advance(1)
        assert keys(store.sweep(dry_run=True)) == ["a"]
        assert keys(store.states()) == ["a", "b", "c"]
        assert [(info.key, info.status) for info in store.sweep()] == [("a", "deleted")]
        assert keys(store.states()) == ["b", "c"]
        assert store.sweep() == []
        store.undelete("a")
        assert store.at("a", 1)["n"] == 1
        assert all(found.ok for found in store.verify())


def test_what_was_brought_back_is_swept_again_unless_it_was_saved_to(
    tmp_path: Path, clock: Clock
) -> None:
    with store_in(tmp_path, clock) as store:
        save(store, "a", HOUR)
        clock.advance(HOUR_S)
        store.sweep()
        store.undelete("a")
        assert keys(store.sweep()) == ["a"]
        store.undelete("a")
        save(store, "a", timedelta.max)
        assert store.sweep() == []


def test_a_save_puts_it_off_on_whatever_branch(tmp_path: Path, clock: Clock) -> None:
    with store_in(tmp_path, clock) as store:
        save(store, "a", HOUR)
        clock.advance(HOUR_S - 1)
        store.fork("a", "try")
        with store.open("a", branch="try") as session:
            session.state["n"] = 9
        clock.advance(HOUR_S - 1)
        assert store.sweep() == []
        clock.advance(1)
        assert keys(store.sweep()) == ["a"]


def test_what_is_not_said_again_stays_and_never_ends_it(tmp_path: Path, clock: Clock) -> None:
    with store_in(tmp_path, clock) as store:
        save(store, "a", HOUR)
        save(store, "a")
        assert store.info("a").expires == store.info("a").updated + HOUR
        with store.open("a", expires_in=2 * HOUR):
            pass  # nothing is saved, so nothing is changed
        assert store.info("a").expires == store.info("a").updated + HOUR
        save(store, "a", timedelta.max)
        assert store.info("a").expires is None


def test_a_session_that_is_open_is_told(tmp_path: Path, clock: Clock) -> None:
    with store_in(tmp_path, clock) as store:
        with pytest.raises(errors.StateDeleted), store.open("a", expires_in=HOUR) as session:
            session.state["n"] = 1
            session.save()
            clock.advance(HOUR_S)
            store.sweep()
            session.state["n"] = 2
        assert store.states(deleted=True)[0].number == 1


def test_what_a_living_session_holds_is_not_swept(tmp_path: Path, clock: Clock) -> None:
    with store_in(tmp_path, clock) as store:
        with store.open("a", expires_in=HOUR, exclusive=True) as session:
            session.state["n"] = 1
            session.save()
            clock.advance(HOUR_S)
            assert store.sweep(dry_run=True) == store.sweep() == []
            session.state["n"] = 2
        clock.advance(HOUR_S)
        save(store, "b", HOUR)
        (row,) = (row for key, row in store._driver.answer(ListHeads("", None, 9)) if key == "a")
        with store.open("a", exclusive=True):  # taken since it was found to have expired
            site = Site(store._driver.store_id, "a")
            assert store._driver.run(expiry._swept(site, row, clock(), False)) is None
        assert keys(store.sweep()) == ["a"]


@pytest.mark.parametrize("branch", ["main", "try"])
def test_what_is_saved_to_while_it_is_swept_stays(
    tmp_path: Path, clock: Clock, branch: str
) -> None:
    with store_in(tmp_path, clock) as store:
        save(store, "a", HOUR)
        store.fork("a", "try")
        clock.advance(HOUR_S)
        perform = store._driver.backend.perform
        rows = perform(ListHeads("", None, 1000))
        with store.open("a", branch=branch) as session:
            session.state["n"] = 2
        row: HeadRow = rows[0][1]
        now_us = clock()
        site = Site(store._driver.store_id, "a")
        assert store._driver.run(expiry._swept(site, row, now_us, False)) is None
        assert store.info("a").number == (2 if branch == "main" else 1)


def test_a_copy_expires_too_and_a_new_life_does_not(tmp_path: Path, clock: Clock) -> None:
    with store_in(tmp_path, clock) as store:
        save(store, "a", HOUR)
        clock.advance(HOUR_S)
        assert store.copy("a", "b").expires == clock.now + HOUR
        assert keys(store.sweep()) == ["a"]
        save(store, "a")
        assert store.info("a").expires is None


def test_a_head_that_cannot_be_read_hides_no_other(tmp_path: Path, clock: Clock) -> None:
    with store_in(tmp_path, clock) as store:
        save(store, "a", HOUR)
        save(store, "b", HOUR)
        clock.advance(HOUR_S)
        site = b"another store".ljust(16)
        assert store._driver.run(expiry.sweep(site, dry_run=False)) == []
        assert keys(store.sweep()) == ["a", "b"]


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with Store(tmp_path / "none.db") as store:
        assert store.sweep() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [timedelta(0), timedelta(-1), timedelta(days=10**8), 60])
def test_a_duration_that_makes_no_sense_is_refused(wrong: timedelta) -> None:
    with Store("memory:") as store, pytest.raises(errors.UsageError):
        store.open("a", expires_in=wrong)


def test_under_asyncio_it_is_the_same(clock: Clock) -> None:
    async def work() -> None:
        async with AsyncStore("memory:", clock=clock) as store:
            async with store.open("a", expires_in=HOUR) as session:
                session.state["n"] = 1
            clock.advance(HOUR_S)
            assert keys(await store.sweep()) == ["a"]
            with pytest.raises(StateNotFound):
                await store.info("a")

    asyncio.run(work())


def test_the_command_says_what_it_would_delete_and_deletes_it(tmp_path: Path, clock: Clock) -> None:
    with store_in(tmp_path, clock) as store:
        save(store, "a", timedelta(microseconds=1))
        save(store, "b")
    path = str(tmp_path / "agents.db")

    def run(*args: str) -> str:
        result = CliRunner().invoke(app, ["--store", path, *args])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    told = json.loads(run("sweep", "--dry-run", "--json"))
    assert ([state["key"] for state in told["states"]], told["dry_run"]) == (["a"], True)
    assert "a" in run("sweep").splitlines()[1]
    assert run("sweep") == "nothing has expired\n"
    assert json.loads(run("ls", "--json"))["states"][0]["key"] == "b"
