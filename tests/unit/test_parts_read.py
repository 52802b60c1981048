"""What reading a part takes: which pages, and beside whom."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.long_lists import COUNT, apply, edit, item, kept, long_list

import perdure
from perdure import limits
from perdure.engine.requests import ReadPages


@pytest.fixture
def store(tmp_path: Path) -> Iterator[perdure.Store]:
    with perdure.Store(
        tmp_path / "a.db", maintenance="off", cache_bytes=0, durability="process"
    ) as made:
        yield made


def pages_read(store: perdure.Store, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    read: list[bytes] = []
    perform = store._driver.backend.perform

    def spy(request: Any) -> Any:
        if isinstance(request, ReadPages):
            read.extend(request.ids)
        return perform(request)

    monkeypatch.setattr(store._driver.backend, "perform", spy)
    return read


@pytest.mark.parametrize("how", ["old item edited", "cut at the front", "compacted", "inserted"])
def test_a_part_reads_only_its_pages_whatever_changed_P11(
    store: perdure.Store, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(store, m=[item(n) for n in range(20 * COUNT)])
    m = apply(store, how)
    with store.open("a") as session:
        read = pages_read(store, monkeypatch)
        middle = len(m) // 2
        assert session.window("m", middle, middle + 10) == m[middle : middle + 10]
        assert len(read) < 6


def test_what_was_collected_meanwhile_is_planned_anew_and_little_is_read_P11(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(store, m=[item(n) for n in range(20 * COUNT)])
    with store.open("a", windows={"m": 5}) as session, store.open("a") as lazy:
        for n in range(10 * limits.tail_records_max):
            session.state["m"].append(item(n))
            session.save()
            if not n % limits.tail_records_max:
                store.maintain("a")
        lazy.refresh()
        for each in (session, lazy):
            read = pages_read(store, monkeypatch)
            assert each.window("m", 10_000, 10_003) == [item(n) for n in range(10_000, 10_003)]
            assert each.window("m", 3, 5) == [item(3), item(4)]
            assert len(read) < 16
            monkeypatch.undo()


# ---- at the same time -----------------------------------------------------------------------


def test_sessions_that_save_only_at_their_end_are_maintained_P11(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="background") as store:
        asked, upkeep = threading.Event(), store._upkeep
        assert upkeep is not None
        ask_for = upkeep.ask_for

        def spy(site: Any, excess: float = 0) -> None:
            asked.set()
            ask_for(site, excess)

        upkeep.ask_for = spy  # type: ignore[method-assign]
        for n in range(limits.tail_records_max + 2):
            with store.open("a") as session:
                session.state.setdefault("m", []).append(n)
        assert asked.is_set()


def test_the_tail_counts_what_earlier_sessions_left(store: perdure.Store) -> None:
    for _ in range(5):
        with store.open("a") as session:
            session.state["blob"] = os.urandom(limits.tail_bytes_max // 4)
    with store.open("a") as session:
        assert session._core.tail_excess() > 1


def test_loading_inside_a_block_does_not_wait_for_its_end(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="off") as store:
        long_list(store)
        with store.open("a") as session, session.atomic():
            run = contextvars.copy_context().run
            thread = threading.Thread(target=run, args=(session.load, "m"), daemon=True)
            thread.start()
            thread.join(10)
            assert not thread.is_alive()

    async def main() -> None:
        async with (
            perdure.AsyncStore(tmp_path / "a.db") as store,
            store.open("a", sections=[]) as session,
            session.atomic(),
        ):
            await asyncio.wait_for(session.load("m"), 10)
            assert len(session.state["m"]) == COUNT

    asyncio.run(main())


def test_a_window_read_while_others_changes_come_in_is_of_one_moment(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            perdure.AsyncStore(tmp_path / "a.db", maintenance="off", cache_bytes=0) as store,
            store.open("a", sections=[]) as session,
        ):
            perform = store._driver.backend.perform

            def slowly(request: Any) -> Any:
                if isinstance(request, ReadPages):
                    reading.set()
                    assert refreshing.wait(10)
                return perform(request)

            reading, refreshing = threading.Event(), threading.Event()
            await asyncio.to_thread(others)
            store._driver.backend.perform = slowly  # type: ignore[method-assign]
            window = asyncio.create_task(session.window("m", last=2))
            await asyncio.to_thread(reading.wait, 10)
            refresh = asyncio.create_task(session.refresh())
            await asyncio.sleep(0)
            refreshing.set()
            assert await window == [item(COUNT - 2), item(COUNT - 1)]
            await refresh
            assert await session.window("m", 0, 2) == ["x", "y"]

    def others() -> None:
        with perdure.Store(tmp_path / "a.db", maintenance="off") as store:
            edit(store, lambda m: m.__setitem__(slice(0, 0), ["x", "y"]))

    with perdure.Store(tmp_path / "a.db", maintenance="off") as store:
        long_list(store)
    asyncio.run(main())
