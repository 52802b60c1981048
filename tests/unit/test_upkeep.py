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
from perdure.upkeep import BREAK_S, REST_PART, SHARE_S, Upkeep

TAIL_MAX = limits.tail_records_max * limits.tail_excess_max
"""Records in a tail whose writer works on it."""


def tip_of(store: perdure.Store, key: str = "a") -> Any:
    return store._driver.run(read_head(store._site(key))).branches[MAIN]


def saved(session: perdure.Session, times: int) -> None:
    for _ in range(times):
        session.state["n"] = session.state.get("n", 0) + 1
        session.save()


def without_thread(store: perdure.Store | perdure.AsyncStore) -> Upkeep:
    """The upkeep of a store in which nobody works but the test."""
    assert store._upkeep is not None
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    store._upkeep._thread = ended
    return store._upkeep


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


def test_a_tail_is_worked_off_while_its_writer_saves_on() -> None:
    with perdure.Store("memory:") as store, store.open("a") as session:
        for _ in range(100_000):
            saved(session, 1)
            if len(tip_of(store).snapshots or ()) > 1:
                break
        else:
            raise AssertionError("no snapshots came")


def test_a_writer_waits_the_longer_the_further_the_tail_has_grown() -> None:
    with perdure.Store("memory:") as store:
        upkeep = without_thread(store)
        upkeep.wait = lambda site, seconds: None  # type: ignore[method-assign]
        with store.open("a") as session:
            saved(session, TAIL_MAX - 1)
            assert upkeep.saved(session._core, 0) == 0
            saved(session, 1)
            assert upkeep.saved(session._core, 0) == pytest.approx(SHARE_S)
            saved(session, TAIL_MAX)
            assert upkeep.saved(session._core, 0) == pytest.approx(2 * SHARE_S)


def test_a_save_that_was_held_up_waits_so_much_less() -> None:
    with perdure.Store("memory:") as store:
        upkeep = without_thread(store)
        with store.open("a") as session:
            saved(session, TAIL_MAX - 1)
            upkeep.wait = lambda site, seconds: None  # type: ignore[method-assign]
            saved(session, 1)
            assert upkeep.saved(session._core, SHARE_S / 4) == pytest.approx(SHARE_S * 3 / 4)
            assert upkeep.saved(session._core, SHARE_S) == 0


def test_a_writer_waits_after_its_save(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    with perdure.Store("memory:") as store:
        upkeep = without_thread(store)
        monkeypatch.setattr("perdure.upkeep.SHARE_S", 3600)
        upkeep.wait = lambda site, seconds: waits.append(seconds)  # type: ignore[method-assign]
        with store.open("a") as session:
            saved(session, TAIL_MAX - 1)
            assert not waits
            saved(session, 1)
    assert len(waits) == 1
    assert 0 < waits[0] < 3600


def test_under_asyncio_the_loop_goes_on_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def main() -> None:
        async with perdure.AsyncStore("memory:") as store:
            without_thread(store)
            async with store.open("a") as session:
                for n in range(TAIL_MAX):
                    assert not waits
                    session.state["n"] = n
                    await session.save()

    monkeypatch.setattr("perdure.upkeep.SHARE_S", 3600)
    monkeypatch.delattr(Upkeep, "wait")  # it would hold up the loop
    monkeypatch.setattr("perdure.aio_session.asyncio.sleep", sleep)
    asyncio.run(main())
    assert len(waits) == 1
    assert 0 < waits[0] < 3600


def test_a_writer_waits_no_longer_than_until_the_job_has_ended() -> None:
    with perdure.Store("memory:") as store:
        upkeep = without_thread(store)
        with store.open("a") as session:
            saved(session, limits.tail_records_max + 1)
            site = session._core.site
            waiting = threading.Thread(target=upkeep.wait, args=(site, 3600))
            waiting.start()
            upkeep._jobs["a"].work(60)
            waiting.join(60)
            assert not waiting.is_alive()
            upkeep.wait(site, 3600)
            assert tip_of(store).newest is not None


def test_a_state_whose_writer_waits_is_worked_on_first_and_without_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("perdure.upkeep.SHARE_S", 3600)
    with perdure.Store("memory:") as store:
        upkeep = without_thread(store)
        upkeep.wait = lambda *_: None  # type: ignore[method-assign]
        with store.open("a") as one, store.open("b") as other:
            saved(one, limits.tail_records_max + 1)
            saved(other, TAIL_MAX - 1)
            assert upkeep._next() is upkeep._jobs["a"]
            resting = threading.Thread(target=upkeep._rest, args=(1000,))
            resting.start()
            saved(other, 1)
            resting.join(60)
            assert not resting.is_alive()
            upkeep._rest(1000)
            assert upkeep._next() is upkeep._jobs["b"]
            upkeep._jobs["b"].work(60)
            assert upkeep._next() is upkeep._jobs["a"]
            assert list(upkeep._jobs) == ["a"]


def test_a_rest_goes_on_when_the_writer_has_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float | None] = []
    with perdure.Store("memory:") as store:
        upkeep = without_thread(store)
        with store.open("a") as session:
            saved(session, TAIL_MAX)
            upkeep._jobs["a"].hurried_until = 0
            monkeypatch.setattr(upkeep._hurry, "wait", rests.append)
            upkeep._rest(4.5)
    assert rests == [0.5 * REST_PART]


def test_closing_a_store_ends_a_rest() -> None:
    store = perdure.Store("memory:")
    upkeep = without_thread(store)
    resting = threading.Thread(target=upkeep._rest, args=(1000,))
    resting.start()
    store.close()
    resting.join(60)
    assert not resting.is_alive()
    upkeep._rest(1000)


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
        upkeep = without_thread(store)
        with store.open("a") as session:
            saved(session, limits.tail_records_max + 1)
            upkeep._jobs["a"].work(60)
            assert "no listing today" in caplog.text
            backend.fails = False
            saved(session, limits.tail_records_max - 2)
            assert upkeep._next() is None  # not before there is twice as much
            saved(session, 1)
            upkeep._jobs["a"].work(60)
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
        assert [upkeep._next() for _ in range(4)] == [first, second, first, second]
        second.hurried_until = 1
        assert [upkeep._next() for _ in range(2)] == [second, second]


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


def test_who_maintains_a_state_is_not_worked_against_in_the_background() -> None:
    with perdure.Store("memory:") as store:
        upkeep = without_thread(store)
        with store.open("a") as session:
            saved(session, limits.tail_records_max + 1)
        job = upkeep._jobs["a"]
        store.maintain("a")
        assert job.ended.is_set()
        assert upkeep._next() is None


def test_how_much_is_due_is_known_to_who_rests() -> None:
    with perdure.Store("memory:") as store:
        upkeep = without_thread(store)
        with store.open("a") as session:
            saved(session, limits.tail_records_max + 1)
            before = upkeep._jobs["a"].excess_now
            saved(session, limits.tail_records_max)
            assert upkeep._jobs["a"].excess_now > 1.9 > before
