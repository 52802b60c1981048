"""Pruning against whatever comes between, is lost, or was left (P1, P3, P4, P5, P7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import perdure
from perdure import Retention, errors, limits
from perdure.core.page import twin_of
from perdure.core.tree_read import reachable
from perdure.engine import maintain
from perdure.engine import prune as pruning
from perdure.engine.pages import walk
from perdure.engine.prune import prune
from perdure.engine.read import read_head
from perdure.engine.requests import Commit, ListPages, ListRows, PutPages, Steps
from perdure.engine.sweeping import sweep

KEY = "a"
LAST_TWO = Retention(keep_last=2)


@pytest.fixture(params=["memory:", "memory+objects:", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[perdure.Store]:
    url = str(tmp_path / "a.db") if request.param == "sqlite" else request.param
    with perdure.Store(url, maintenance="off") as opened:
        yield opened


def fill(store: perdure.Store, count: int = 10, branch: str = "main") -> None:
    """Save so many more checkpoints, of which each fourth number is labelled."""
    with store.open(KEY, branch=branch) as session:
        for _ in range(count):
            log = session.state.setdefault("log", [])
            log.append(len(log))
            session.state["text"] = f"{len(log)} " * 2_000
            session.save(label="kept" if len(log) % 4 == 0 else None)


def run(store: perdure.Store, steps: Steps[Any]) -> Any:
    return store._driver.run(steps)


def kept(store: perdure.Store) -> dict[int, Any]:
    return {each.number: store.at(KEY, each.number).plain() for each in store.history(KEY)}


def stored(store: perdure.Store) -> tuple[list[Any], list[bytes]]:
    """Every row of the log but the journal, and every page."""
    head = run(store, read_head(store._site(KEY)))
    backend = store._driver.backend
    rows = [
        (line, row[:2])
        for line in range(head.lines)
        for row in backend.perform(ListRows(head.incarnation, line, 1, 2**62, 10_000))
    ]
    return rows, [id_ for id_, _ in backend.perform(ListPages(head.incarnation, None, 10_000))]


def test_what_a_branch_left_is_kept_by_its_receipt_P7(store: perdure.Store) -> None:
    fill(store)
    store.rollback(KEY, 3)
    fill(store, 6)
    assert store.prune(LAST_TWO, KEY)[0].receipt == 2
    store.undo(KEY)
    assert [each.number for each in store.history(KEY)] == [10, 9, 8, 4]
    assert store.verify()[0].problem is None


def test_a_movement_is_not_final_where_others_have_all_that_it_left(
    store: perdure.Store,
) -> None:
    fill(store, 4)
    store.fork(KEY, "b", at=4)
    store.rollback(KEY, 3)
    told = store.prune(Retention(keep_left=timedelta(0)), KEY)[0]
    assert (told.removed, told.final, told.receipt) == (0, (), None)
    store.undo(KEY)
    assert store.history(KEY)[0].number == 4


def test_a_save_to_a_parked_branch_is_not_swept_P1(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweep has read the head when it is saved, and looks at the rows of its line after."""
    monkeypatch.setattr(limits, "branches_inline_max", 2)
    fill(store)
    for name in "bcde":
        store.fork(KEY, name, at=9)
        fill(store, 3, name)
    assert "b" not in run(store, read_head(store._site(KEY))).branches
    left = list("bcde")

    def saved_meanwhile() -> None:
        if left:
            fill(store, 1, left.pop())

    monkeypatch.setattr(pruning, "finish", nothing)
    run(store, prune(store._site(KEY), Retention(keep_last=1), dry_run=False))
    sweeping = sweep(store._site(KEY), run(store, read_head(store._site(KEY))))
    run(store, during(sweeping, saved_meanwhile))
    assert not left
    assert store.verify()[0].problem is None
    for name in "bcde":
        assert len(store.at(KEY, name).plain()["log"]) == 13


def nothing(_: Any) -> Steps[None]:
    """No finish: what is to be swept stays."""
    return
    yield


def during(steps: Steps[Any], meanwhile: Callable[[], None]) -> Steps[Any]:
    """The same steps, with something done before each request for rows of a line."""
    answer: Any = None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration as stop:
            return stop.value
        if isinstance(request, ListRows):
            meanwhile()
        answer = yield request


def pass_by(store: perdure.Store, steps: Steps[Any], most: int) -> int:
    """Perform so many requests that change something, and abandon the rest; how many there were.

    0: all of them.
    """
    count, answer = 0, None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration:
            return count
        if isinstance(request, Commit | PutPages):
            count += 1
            if most and count > most:
                steps.close()
                return count

        def once(request: Any = request) -> Steps[Any]:
            return (yield request)

        answer = run(store, once())


def made(url: str, path: Any, name: str) -> perdure.Store:
    """A store with branches, packs and snapshots, the same each time."""
    store = perdure.Store(str(path / name) if url == "sqlite" else url, maintenance="off")
    fill(store, 12)
    run(store, maintain.maintain(store._site(KEY), full=True))
    store.fork(KEY, "b", at=6)
    fill(store, 3, "b")
    store.rollback(KEY, 11)
    fill(store, 2)
    return store


@pytest.mark.parametrize("url", ["memory:", "memory+objects:", "sqlite"])
def test_a_pruning_that_is_abandoned_anywhere_is_whole_or_not_at_all_P2_P7(
    url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "tail_records_max", 4)
    monkeypatch.setattr(limits, "piece_rows_max", 3)
    with made(url, tmp_path, "whole.db") as store:
        before = kept(store)
        changes = pass_by(store, prune(store._site(KEY), LAST_TWO, dry_run=False), 0)
        after = kept(store)
        run(store, maintain.maintain(store._site(KEY), full=True))
        rows = stored(store)[0]
    assert 4 < changes < 60
    seen = set[bool]()
    for most in range(1, changes):
        with made(url, tmp_path, f"{most}.db") as store:
            pass_by(store, prune(store._site(KEY), LAST_TWO, dry_run=False), most)
            assert store.verify()[0].problem is None
            there = kept(store)
            assert there in (before, after)
            seen.add(there == after)
            run(store, maintain.maintain(store._site(KEY), full=True))
            assert kept(store) == there
            if there == after:
                assert stored(store)[0] == rows
                assert store.verify()[0].unreferenced == ()
            fill(store, 1)
            store.prune(LAST_TWO, KEY)
            assert store.verify()[0].problem is None
    assert seen == {True, False}


# ---- twins ----------------------------------------------------------------------------------


def base_pages(store: perdure.Store) -> list[bytes]:
    head = run(store, read_head(store._site(KEY)))
    base = head.branches["main"].base_tree
    assert base is not None
    return sorted(run(store, walk(store._site(KEY), head.incarnation, reachable([base.root]))))


def pages_in(store: perdure.Store) -> dict[bytes, bytes]:
    """The stored pages, to be damaged."""
    head = run(store, read_head(store._site(KEY)))
    backend: Any = store._driver.backend
    pages: dict[bytes, bytes] = backend._tables.pages[head.incarnation]
    return pages


@pytest.fixture
def pruned(monkeypatch: pytest.MonkeyPatch) -> Iterator[perdure.Store]:
    monkeypatch.setattr(limits, "section_inline_bytes_max", 64)
    monkeypatch.setattr(limits, "cache_bytes", 0)
    with perdure.Store("memory:", maintenance="off") as store:
        fill(store, 30)
        store.prune(Retention(keep_last=3, keep_labels=["no such"]), KEY)
        yield store


def spoil(pages: dict[bytes, bytes], id_: bytes, how: str) -> None:
    if how == "removed":
        del pages[id_]
    else:
        pages[id_] = pages[id_][:-1] + bytes([pages[id_][-1] ^ 1])


@pytest.mark.parametrize("how", ["removed", "damaged"])
@pytest.mark.parametrize("which", ["page", "twin"])
def test_either_copy_of_each_page_of_a_base_may_be_lost_P5(
    pruned: perdure.Store, which: str, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    reached = 0
    before, pages = kept(pruned), pages_in(pruned)
    whole = dict(pages)
    ids = base_pages(pruned)
    assert len(ids) >= 2
    assert pages.keys() == {*ids, *map(twin_of, ids)}
    for id_ in ids:
        spoil(pages, id_ if which == "page" else twin_of(id_), how)
        if which == "page":
            caplog.clear()
            found = perdure.Store(pruned._driver.backend, maintenance="off").at(KEY, 28).plain()
            assert found == before[28]
            reached += "second copies" in caplog.text
        problem = pruned.verify()[0].problem
        assert problem is not None
        assert "maintain" in problem
        run(pruned, maintain.collect(pruned._site(KEY)))
        run(pruned, maintain.maintain(pruned._site(KEY), full=True))
        assert {each: pages.get(each) for each in whole} == whole
        assert pruned.verify()[0].problem is None
    assert bool(reached) == (which == "page")


@pytest.mark.parametrize("how", ["removed", "damaged"])
def test_where_both_copies_are_lost_that_is_said_and_nothing_else_goes_P5(
    pruned: perdure.Store, how: str
) -> None:
    before, told = kept(pruned), 0
    for id_ in base_pages(pruned):
        pages = pages_in(pruned)
        whole = dict(pages)
        spoil(pages, id_, how)
        spoil(pages, twin_of(id_), how)
        left = dict(pages)
        store = perdure.Store(pruned._driver.backend, maintenance="off")
        told += is_lost(store, before[29])
        assert [each.number for each in store.history(KEY)] == [30, 29, 28]
        with pytest.raises(errors.Damaged, match="Restore the store from a backup"):
            run(store, maintain.maintain(store._site(KEY), full=True))
        problem = store.verify(KEY)[0].problem
        assert problem is not None
        assert "Restore the store from a backup" in problem
        assert "Nothing is lost" not in problem
        assert {each: pages.get(each) for each in left} == left, "a copy or a page was collected"
        pages.update(whole)
        assert pruned.verify()[0].problem is None
    assert told


def is_lost(store: perdure.Store, state: Any) -> bool:
    """Whether a checkpoint cannot be read; what was replaced since is not asked for."""
    try:
        found = store.at(KEY, 29).plain()
    except errors.Damaged as error:
        return "Restore the store from a backup" in str(error)
    assert found == state
    return False


# ---- sessions -------------------------------------------------------------------------------


def test_a_session_behind_a_cut_is_refused_as_in_a_conflict_and_goes_on_P3(
    store: perdure.Store,
) -> None:
    fill(store)
    with store.open(KEY) as session:
        fill(store)
        store.prune(Retention(keep_last=1, keep_labels=False), KEY)
        assert session.state["log"][-1] == 9
        session.state["mine"] = 1
        with pytest.raises(errors.Conflict):
            session.save()
        session.refresh()
        assert session.state["log"][-1] == 19
        session.state["mine"] = 2
        assert session.save().number == 21
    assert store.verify()[0].problem is None


def test_a_session_of_a_state_that_others_made_and_pruned_is_refused(store: perdure.Store) -> None:
    with store.open(KEY) as session:
        session.state["mine"] = 1
        fill(store)
        store.prune(Retention(keep_last=1, keep_labels=False), KEY)
        with pytest.raises(errors.Conflict):
            session.save()
        session.refresh()
        assert "mine" not in session.state
        assert session.state["log"][-1] == 9


def test_a_save_whose_answer_was_lost_and_whose_record_was_pruned_can_be_given_up_P4() -> None:
    """Whether it landed cannot be told: that is said until it is given up; it is saved once."""
    from perdure.backends.memory import MemoryBackend

    class Lossy(MemoryBackend):
        is_lossy = False

        def commit(self, batch: Any) -> Any:
            answers = super().commit(batch)
            return [errors.CommitUnknown("lost") for _ in answers] if self.is_lossy else answers

    backend = Lossy()
    with perdure.Store(backend, maintenance="off") as store:
        fill(store, 2)
        with store.open(KEY) as session:
            session.state["mine"] = 1
            backend.is_lossy = True
            with pytest.raises(errors.CommitUnknown):
                session.save()
            backend.is_lossy = False
            fill(store)
            store.prune(Retention(keep_last=1, keep_labels=False), KEY)
            with pytest.raises(errors.CommitUnknown, match="was pruned"):
                session.save()
            session.refresh()
            assert session.state["mine"] == 1
            assert session.checkpoint is not None
            assert session.checkpoint.number == 13
        assert store.verify()[0].problem is None
