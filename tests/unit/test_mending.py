"""Pages that cannot be used are told of, read past, and made anew from the records (P5)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.maintained import (
    SNAPSHOT,
    filled,
    head_of,
    pages_of,
    rows_of,
    saved_on,
)
from tests.unit.test_what_opening_reads import Counting

import perdure
from perdure import errors, limits
from perdure.core.head import MAIN
from perdure.core.tree_read import all_leaves, reachable, read_root
from perdure.engine import generations, maintain, snapshots
from perdure.engine.pages import unusable, walk
from perdure.engine.requests import (
    PageRow,
    PutPages,
    ReadPages,
)


@pytest.fixture(params=["sqlite", "memory", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    urls = {
        "sqlite": str(tmp_path / "a.db"),
        "memory": "memory:",
        "objects": "memory+objects:",
    }
    with perdure.Store(urls[request.param], maintenance="off") as made:
        yield made


def test_a_damaged_page_is_read_from_the_log_and_made_anew_P5(tmp_path: Path) -> None:
    import apsw

    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        state = filled(store)
        store.maintain("a")
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE pages SET blob = substr(blob, 1, 30) || x'00' || substr(blob, 32)")
    connection.close()
    with perdure.Store(path, maintenance="off") as store:
        with store.open("a") as session:
            assert session.state.plain() == state
            for n in range(limits.tail_records_max + 2):
                session.state["n"] = n
                session.save()
            state = session.state.plain()
        store.maintain("a")
        site = store._site("a").stored()
        head = head_of(store)
        newest = head.branches[MAIN].newest
        assert newest is not None
        store._driver.run(walk(site, head.incarnation, reachable([newest.root])))
        with store.open("a") as session:
            assert session.state.plain() == state


def test_a_damaged_record_is_gone_around_and_told_of_P5(tmp_path: Path) -> None:
    import apsw

    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        filled(store, 66)
        site, run = store._site("a"), store._driver.run
        assert run(snapshots.make_snapshot(site, head_of(store), SNAPSHOT, None))
        connection = apsw.Connection(str(path))
        connection.execute("UPDATE records SET blob = zeroblob(length(blob)) WHERE number = 10")
        connection.close()
        for _ in range(limits.snapshots_kept_max + 4):
            with store.open("a") as session:
                saved_on(session, limits.tail_records_max + 1)
            with pytest.raises(errors.Damaged, match="record 10"):
                run(maintain.maintain(site, full=True))
        rows = rows_of(store)
        assert [row[0] for row in rows if row[1] == 1 and row[0] == 10] == [10]
        assert len(rows) < 12
        kept = head_of(store).branches[MAIN].snapshots
        assert len(kept) == limits.snapshots_kept_max
        needed = run(
            walk(site, head_of(store).incarnation, reachable([each.root for each in kept]))
        )
        assert pages_of(store) == needed


def test_verify_finds_a_page_that_is_missing_P5(tmp_path: Path) -> None:
    with perdure.Store("memory:", maintenance="off") as store:
        filled(store, 400)
        store.maintain("a")
        head, backend = head_of(store), store._driver.backend
        pages = backend._tables.pages[head.incarnation]  # type: ignore[attr-defined]
        for id_ in [*pages]:
            blob = pages.pop(id_)
            (found,) = store.verify("a")
            assert not found.ok and "missing" in str(found.problem)
            pages[id_] = blob
        assert store.verify("a")[0].ok


def test_a_damaged_state_does_not_end_the_maintenance_of_others(tmp_path: Path) -> None:
    import apsw

    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        for key in ("a", "b", "c"):
            filled(store, 80, key)
        connection = apsw.Connection(str(path))
        connection.execute("UPDATE heads SET head = zeroblob(100) WHERE key = ?", (b"a",))
        connection.close()
        found = store.maintain()
        assert [each.key for each in found if each.problem] == ["a"]
        assert store.stats("b").snapshots and store.stats("c").snapshots


def spoil(store: perdure.Store, ids: Iterable[bytes], how: str) -> None:
    """Let pages be damaged, or missing."""
    head, rows = head_of(store), tuple(PageRow(id_, bytes(99)) for id_ in ids)
    if how == "damaged":
        store._driver.backend.perform(PutPages(head.incarnation, rows))
        return
    dropped = tuple(row.id for row in rows)
    site = store._site("a").stored()
    assert store._driver.run(generations.commit_step(site, head, lambda now: now, dropped=dropped))


def two_snapshots(store: perdure.Store) -> dict[str, Any]:
    filled(store)
    store.maintain("a")
    with store.open("a") as session:
        saved_on(session, limits.tail_records_max + 2)
        state = session.state.plain()
    store.maintain("a")
    assert len(head_of(store).branches[MAIN].snapshots) == 2
    return state


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_each_page_that_cannot_be_used_is_told_of_and_made_anew_P5(
    store: perdure.Store, how: str
) -> None:
    state = two_snapshots(store)
    head, pages = head_of(store), pages_of(store)
    before = stored_pages(store)
    for id_ in sorted(pages):
        spoil(store, [id_], how)
        (found,) = store.verify("a")
        assert f"page {id_.hex()[:12]} of 'a' is {how}" in str(found.problem)
        assert "`perdure maintain a` makes it anew" in str(found.problem)
        place = f"damaged: page {id_.hex()[:12]} of {head.incarnation.hex()[:12]}: "
        assert (place in str(found.problem)) == (how == "damaged")
        assert store.at("a", head.branches[MAIN].number).plain() == state
        (done,) = store.maintain("a")
        assert (done.steps, done.problem) == (("mend",), None)
        assert stored_pages(store) == before
        assert store.verify("a")[0].ok
    assert head_of(store).branches[MAIN].snapshots == head.branches[MAIN].snapshots
    assert store.maintain("a")[0].steps == ()


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_all_pages_are_made_anew_from_the_log_P5(store: perdure.Store, how: str) -> None:
    two_snapshots(store)
    before = stored_pages(store)
    spoil(store, pages_of(store), how)
    assert store.maintain("a")[0].steps == ("mend",)
    assert stored_pages(store) == before
    assert store.verify("a")[0].ok


def stored_pages(store: perdure.Store) -> dict[bytes, bytes]:
    asked = ReadPages(head_of(store).incarnation, tuple(sorted(pages_of(store))))
    return {row.id: row.blob for row in store._driver.backend.perform(asked)}


def test_only_pages_that_cannot_be_used_are_written() -> None:
    backend = Counting()
    with perdure.Store(backend, maintenance="off") as store:
        two_snapshots(store)
        bad = sorted(pages_of(store))[1:3]
        spoil(store, bad, "damaged")
        backend.asked.clear()
        store.maintain("a")
        put = [
            page.id for each in backend.asked if isinstance(each, PutPages) for page in each.pages
        ]
        assert sorted(put) == bad


def test_what_cannot_be_mended_is_told_of_and_the_rest_is_mended_P5(tmp_path: Path) -> None:
    import apsw

    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        filled(store, 66)
        site, run = store._site("a").stored(), store._driver.run
        assert run(snapshots.make_snapshot(site, head_of(store), SNAPSHOT, None))
        with store.open("a") as session:
            saved_on(session, limits.tail_records_max + 2)
        assert run(snapshots.make_snapshot(site, head_of(store), SNAPSHOT, None))
        newer, older = head_of(store).branches[MAIN].snapshots
        of_newer, of_older = (
            run(walk(site, head_of(store).incarnation, reachable([each.root])))
            for each in (newer, older)
        )
        connection = apsw.Connection(str(path))
        connection.execute("UPDATE records SET blob = zeroblob(length(blob)) WHERE number = 10")
        connection.close()
        spoil(store, of_newer - of_older, "damaged")
        assert store.maintain("a")[0].steps[0] == "mend"  # from the older one
        assert not run(unusable(site, head_of(store).incarnation, of_newer))
        spoil(store, {older.root.id, newer.root.id}, "damaged")
        (done,) = store.maintain("a")
        assert f"the snapshot at checkpoint {older.number} is no use" in str(done.problem)
        assert f"the snapshot at checkpoint {newer.number} is no use" in str(done.problem)
        assert "mend" not in done.steps


def test_of_the_pages_of_a_deleted_state_verify_says_what_is_so(store: perdure.Store) -> None:
    filled(store)
    store.maintain("a")
    spoil(store, list(pages_of(store))[:1], "damaged")
    store.delete("a")
    (found,) = store.verify("a")
    assert not found.ok
    assert "what it holds is read from the records" in str(found.problem)
    assert "perdure maintain" not in str(found.problem)


@pytest.mark.parametrize("which", ["root", "leaf"])
@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_reading_past_a_damaged_page_is_told_of_once_P5(
    store: perdure.Store, which: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = two_snapshots(store)
    root = head_of(store).branches[MAIN].newest.root.id
    bad = root if which == "root" else leaf_of(store, "messages")
    spoil(store, [bad], how)
    assert store._driver.cache is not None
    store._driver.cache.renew()  # as in another process
    with store.open("a") as session:
        assert session.state.plain() == state
    told = [(each.levelname, each.message) for each in caplog.records]
    if how == "missing":  # as where maintenance came between
        assert told == []
        return
    ((level, message),) = told
    assert level == "WARNING"
    assert message.startswith("'a' is read from older pages or its records")
    assert f"page {bad.hex()[:12]} of " in message
    assert "`perdure maintain a` makes it anew" in message
    store.maintain("a")
    caplog.clear()
    with store.open("a") as session:
        assert session.state.plain() == state
    assert caplog.records == []


def leaf_of(store: perdure.Store, name: str) -> bytes:
    """The first page of content of a section in the newest snapshot."""
    head, site, run = head_of(store), store._site("a").stored(), store._driver.run
    base = run(walk(site, head.incarnation, read_root(head.branches[MAIN].newest.root)))
    leaves = run(walk(site, head.incarnation, all_leaves(base[name])))
    return bytes(leaves[0].id)


def test_an_async_store_tells_of_damage_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="off") as store:
        state = two_snapshots(store)
        spoil(store, [leaf_of(store, "messages")], "damaged")

    async def main() -> None:
        async with (
            perdure.AsyncStore(tmp_path / "a.db", maintenance="off") as other,
            other.open("a") as session,
        ):
            assert session.state.plain() == state

    asyncio.run(main())
    (told,) = caplog.records
    assert "`perdure maintain a` makes it anew" in told.message
