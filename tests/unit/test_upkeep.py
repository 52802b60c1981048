"""Maintenance in the background: who does it, a slice at a time, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from typing import Any

import pytest

import perdure
from perdure import limits
from perdure.backends.memory import MemoryBackend
from perdure.core.head import MAIN
from perdure.engine.read import read_head
from perdure.engine.requests import Commit, ListRows
from perdure.upkeep import BREAK_S, SHARE_S, Job

TAIL_MAX = limits.tail_records_max * limits.tail_excess_max
"""Records in a tail whose writer works on it."""


def tip_of(store: perdure.Store, key: str = "a") -> Any:
    return store._driver.run(read_head(store._site(key))).branches[MAIN]


def saved(session: perdure.Session, times: int) -> None:
    for _ in range(times):
        session.state["n"] = session.state.get("n", 0) + 1
        session.save()


def without_thread(store: perdure.Store | perdure.AsyncStore) -> None:
    """Nobody works in the background, as if the thread were kept busy by another state."""
    assert store._upkeep is not None
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    store._upkeep._thread = ended


class Stuck(MemoryBackend):
    """A backend in which maintenance stays until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reached, self.goes_on = threading.Event(), threading.Event()
        self.written = 0

    def perform(self, request: Any) -> Any:
        if isinstance(request, ListRows):
            self.is_reached.set()
            assert self.goes_on.wait(60)
        return super().perform(request)

    def commit(self, batch: Any) -> Any:
        self.written += sum(isinstance(each, Commit) for each in batch)
        return super().commit(batch)


def test_a_writer_far_beyond_the_limit_works_on_it_itself() -> None:
    with perdure.Store("memory:") as store:
        without_thread(store)
        with store.open("a") as session:
            saved(session, TAIL_MAX - 1)
            assert tip_of(store).newest is None
            for _ in range(10_000):
                saved(session, 1)
                if tip_of(store).newest is not None:
                    break
            else:
                raise AssertionError("no snapshot came")


def test_a_writer_works_the_more_the_longer_the_tail_has_grown() -> None:
    with perdure.Store("memory:") as store:
        without_thread(store)
        upkeep = store._upkeep
        assert upkeep is not None
        with store.open("a") as session:
            upkeep.help = lambda *_: None  # type: ignore[method-assign]
            shares = []
            for _ in range(2 * TAIL_MAX):
                saved(session, 1)
                shares.append(upkeep.saved(session._core))
    assert set(shares[: TAIL_MAX - 1]) == {0}
    assert shares[TAIL_MAX - 1] == pytest.approx(SHARE_S)
    assert shares[-1] == pytest.approx(2 * SHARE_S)


def test_under_asyncio_the_writer_works_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    helpers = set()
    work = Job.work

    def noted(self: Job, seconds: float) -> None:
        helpers.add(threading.current_thread())
        work(self, seconds)

    monkeypatch.setattr(Job, "work", noted)

    async def main() -> None:
        async with perdure.AsyncStore("memory:") as store:
            without_thread(store)
            async with store.open("a") as session:
                for n in range(TAIL_MAX + 2):
                    session.state["n"] = n
                    await session.save()

    asyncio.run(main())
    assert helpers
    assert threading.current_thread() not in helpers


def test_writer_and_thread_do_one_job_together() -> None:
    backend = Stuck()
    with perdure.Store(backend) as store:
        upkeep = store._upkeep
        assert upkeep is not None
        session = store.open("a")
        saved(session, limits.tail_records_max + 1)
        assert backend.is_reached.wait(60)
        job = upkeep._jobs["a"]
        upkeep.help(job.site, 0.001)  # the thread is at it: its turn does not come
        assert not job.is_done
        backend.goes_on.set()
        while not job.is_done:
            upkeep.help(job.site, 0.01)
        assert tip_of(store).newest is not None
        session.close()


def test_closing_a_store_does_not_wait_for_a_step_to_end() -> None:
    backend = Stuck()
    store = perdure.Store(backend)
    session = store.open("a")
    saved(session, limits.tail_records_max + 1)
    assert backend.is_reached.wait(60)
    session.close()
    written = backend.written
    store.close()
    upkeep = store._upkeep
    assert upkeep is not None and upkeep._thread is not None
    assert upkeep._thread.is_alive()  # it is where it was
    backend.goes_on.set()
    upkeep._thread.join(60)
    assert not upkeep._thread.is_alive()
    assert backend.written == written


def test_closing_a_session_does_not_wait_for_maintenance() -> None:
    backend = Stuck()
    store = perdure.Store(backend)
    with store.open("a") as session:
        saved(session, TAIL_MAX - 1)
        assert backend.is_reached.wait(60)
    assert store.info("a").status == "closed"
    backend.goes_on.set()
    store.close()


def test_a_failure_is_told_and_tried_again_after_a_later_save(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(MemoryBackend):
        fails = True

        def perform(self, request: Any) -> Any:
            if isinstance(request, ListRows) and self.fails:
                raise perdure.errors.StoreUnavailable("no listing today")
            return super().perform(request)

    backend = Failing()
    with perdure.Store(backend) as store, caplog.at_level(logging.WARNING):
        without_thread(store)
        upkeep = store._upkeep
        assert upkeep is not None
        with store.open("a") as session:
            saved(session, limits.tail_records_max + 1)
            upkeep.help(session._core.site, 60)
            assert "no listing today" in caplog.text
            assert not upkeep._jobs
            backend.fails = False
            saved(session, limits.tail_records_max - 2)
            assert not upkeep._jobs  # not before there is twice as much
            saved(session, 1)
            upkeep.help(session._core.site, 60)
            assert not upkeep._jobs
            assert tip_of(store).newest is not None


def test_an_interrupted_writer_gives_its_part_of_the_job_up() -> None:
    class Interrupted(MemoryBackend):
        interrupts = True

        def perform(self, request: Any) -> Any:
            answer = super().perform(request)
            if isinstance(request, ListRows) and self.interrupts:
                raise KeyboardInterrupt
            return answer

    backend = Interrupted()
    with perdure.Store(backend) as store:
        without_thread(store)
        upkeep = store._upkeep
        assert upkeep is not None
        with store.open("a") as session:
            saved(session, limits.tail_records_max + 1)
            site = session._core.site
            with pytest.raises(KeyboardInterrupt):
                upkeep.help(site, 60)
            backend.interrupts = False
            upkeep.help(site, 60)
            saved(session, 1)
            upkeep.help(site, 60)
            assert tip_of(store).newest is not None


def test_under_asyncio_maintenance_that_is_called_takes_breaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perdure.upkeep.SLICE_S", 0)
    rests: list[float] = []
    monkeypatch.setattr("perdure.upkeep.time.sleep", rests.append)

    async def main() -> None:
        async with perdure.AsyncStore("memory:", maintenance="off") as store:
            async with store.open("a") as session:
                for n in range(limits.tail_records_max + 1):
                    session.state["n"] = n
                    await session.save()
            (done,) = await store.maintain("a")
            assert "snapshot" in done.steps

    asyncio.run(main())
    assert len(rests) > 20
    assert set(rests) == {BREAK_S}


def test_states_are_worked_on_in_turn() -> None:
    with perdure.Store("memory:") as store:
        without_thread(store)
        upkeep = store._upkeep
        assert upkeep is not None
        for key in ("a", "b"):
            with store.open(key) as session:
                saved(session, limits.tail_records_max + 1)
        first, second = upkeep._jobs.values()
        upkeep._settle(first)  # a slice of it is done
        assert [*upkeep._jobs.values()] == [second, first]


def test_a_store_that_was_dropped_takes_its_thread_with_it() -> None:
    store = perdure.Store("memory:")
    with store.open("a") as session:
        saved(session, limits.tail_records_max + 1)
    assert store._upkeep is not None
    thread, dropped = store._upkeep._thread, weakref.ref(store._driver)
    assert thread is not None
    del store, session
    thread.join(60)
    assert not thread.is_alive()
    gc.collect()
    assert dropped() is None
