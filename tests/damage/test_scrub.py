"""Maintenance in the background looks over what is stored, and tells of damage nobody met (P5)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.damage.hurting import grown, hurt_pages, leaves_of
from tests.unit.maintained import head_of, pages_of, saved_on
from tests.unit.test_what_opening_reads import Counting

import perdure
from perdure import Event, limits
from perdure.engine.requests import ReadPages, ReadRecords
from perdure.engine.scrub import Spot, scrub

SAVES = limits.tail_records_max + 2


def test_a_damaged_page_is_made_anew_and_told_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, events = tmp_path / "a.db", list[Event]()
    with perdure.Store(path, maintenance="off") as store:
        grown(store, SAVES)
        store.maintain("a")
        hurt_pages(path, leaves_of(store, "notes")[:1])
        assert not store.verify("a")[0].ok
    with perdure.Store(path, on_event=events.append) as store:
        with store.open("a") as session:
            saved_on(session, SAVES)  # `notes` is not touched
            until = time.monotonic() + 20
            while time.monotonic() < until and "damage" not in [each.name for each in events]:
                time.sleep(0.02)
        (event,) = [each for each in events if each.name == "damage"]
        assert event.key == "a"
        assert event.detail["mended"] == 1
        assert store.verify("a")[0].ok
    assert any("made anew" in each.message for each in caplog.records)


def test_a_damaged_record_is_told_of_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import apsw

    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        grown(store, SAVES)
        store.maintain("a")
        base = apsw.Connection(str(path))
        base.execute("UPDATE records SET blob = zeroblob(length(blob)) WHERE count > 1")
        base.close()
        found = store._driver.run(scrub(store._site("a"), Spot()))
        assert found.problem is not None and found.mended == 0
        assert "`perdure verify a` tells all" in caplog.text
        assert store.open("a").state["notes"]


def test_rounds_go_through_everything_and_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "scrubbed_pages_max", 3)
    monkeypatch.setattr(limits, "scrubbed_records_max", 10)
    backend = Counting()
    with perdure.Store(backend, maintenance="off") as store:
        grown(store, SAVES)
        store.maintain("a")
        pages, site, spot = pages_of(store), store._site("a"), Spot()
        rounds, seen, last = 0, set[bytes](), 0
        while rounds < 100:
            backend.asked.clear()
            found = store._driver.run(scrub(site, spot))
            assert found.problem is None
            read = [each for each in backend.asked if isinstance(each, ReadPages)]
            assert sum(len(each.ids) for each in read) <= 3
            for each in read:
                seen.update(each.ids)
            runs = [each for each in backend.asked if isinstance(each, ReadRecords)]
            assert all(each.last - each.first < 10 for each in runs)
            last = max([last, *(each.last for each in runs)])
            spot, rounds = found.spot, rounds + 1
            if spot.page is None and seen == pages and last == SAVES:
                break
        assert seen == pages
        assert last == head_of(store).branches["main"].number == SAVES
        assert store._driver.run(scrub(site, Spot(None, SAVES + 1))).spot.number == 11
