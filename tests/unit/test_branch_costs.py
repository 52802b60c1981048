"""What moving branches, and looking at all of them, asks of a store: counted, not timed (P11)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import perdure
from perdure import limits
from perdure.backends.memory import MemoryBackend
from perdure.backends.objects import ObjectBackend
from perdure.backends.protocol import Backend
from perdure.backends.sqlite import SqliteBackend
from perdure.core.journal import JOURNAL_LINE
from perdure.core.values import take
from perdure.engine.lines import every_span
from perdure.engine.past import every_run
from perdure.engine.read import read_head, spans
from perdure.engine.requests import (
    Commit,
    PutPages,
    ReadHead,
    ReadPages,
    ReadRecords,
    ReadState,
    Run,
)


class Asked:
    """What a backend was asked."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._perform, self._commit = backend.perform, backend.commit
        self.seen: list[Any] = []
        backend.perform = self.perform  # type: ignore[method-assign]
        backend.commit = self.commit  # type: ignore[method-assign]

    def perform(self, request: Any) -> Any:
        self.seen.append(request)
        return self._perform(request)

    def commit(self, batch: Any) -> Any:
        self.seen += batch
        return self._commit(batch)

    def during(self, action: Callable[[], object]) -> list[Any]:
        """What is asked while something is done."""
        self.seen = []
        action()
        return self.seen


def kinds(requests: list[Any]) -> list[type]:
    return [type(each) for each in requests]


@pytest.fixture(params=["sqlite", "memory", "objects"])
def asked(request: pytest.FixtureRequest, tmp_path: Any) -> Asked:
    backends: dict[str, Any] = {
        "sqlite": lambda: SqliteBackend(tmp_path / "a.db"),
        "memory": MemoryBackend,
        "objects": ObjectBackend,
    }
    return Asked(backends[request.param]())


@pytest.fixture
def store(asked: Asked) -> Iterator[perdure.Store]:
    """A store with a state of five checkpoints."""
    with perdure.Store(asked.backend, maintenance="off") as made:
        save(made, "main", *range(5))
        yield made


def save(store: perdure.Store, branch: str, *values: Any) -> None:
    with store.open("a", branch=branch) as session:
        for value in values:
            session.state["n"] = value
            session.save()


# ---- movements ------------------------------------------------------------------------------


def test_a_fork_of_where_a_branch_stands_reads_the_head_alone(
    store: perdure.Store, asked: Asked
) -> None:
    assert kinds(asked.during(lambda: store.fork("a", "b"))) == [ReadHead, Commit]
    assert kinds(asked.during(lambda: store.fork("a", "c", branch="b"))) == [ReadHead, Commit]
    assert kinds(asked.during(lambda: store.fork("a", "d", at="c"))) == [ReadHead, Commit]
    assert kinds(asked.during(lambda: store.fork("a", "d", exist_ok=True))) == [ReadHead, ReadHead]


def test_a_promotion_reads_the_head_alone(store: perdure.Store, asked: Asked) -> None:
    store.fork("a", "b")
    save(store, "b", "x")
    assert kinds(asked.during(lambda: store.promote("a", "b"))) == [ReadHead, Commit]


def test_a_rollback_and_an_undo_read_the_one_record_that_they_lead_to(
    store: perdure.Store, asked: Asked
) -> None:
    wanted = [ReadHead, ReadRecords, Commit]
    found = asked.during(lambda: store.rollback("a", 3))
    assert kinds(found) == wanted
    assert (found[1].line, found[1].first, found[1].last) == (0, 3, 3)
    found = asked.during(lambda: store.undo("a"))
    assert kinds(found) == wanted
    assert (found[1].line, found[1].first, found[1].last) == (JOURNAL_LINE, 1, 1)
    store.fork("a", "b", at=2)
    # Where a branch stands is in the head.
    assert kinds(asked.during(lambda: store.rollback("a", "b"))) == [ReadHead, Commit]


def test_a_movement_of_another_store_is_seen_though_the_head_is_kept_in_memory(
    store: perdure.Store, asked: Asked
) -> None:
    store.fork("a", "b")
    with perdure.Store(asked.backend, maintenance="off") as other:
        assert other.branches("a")[1].name == "b"
        store.rollback("a", 2)
        store.fork("a", "c")
        assert [each.name for each in other.branches("a")] == ["main", "b", "c"]
        with pytest.raises(perdure.errors.BranchExists):
            other.fork("a", "c")
        assert other.fork("a", "d").tip.number == 2


# ---- parked branches ------------------------------------------------------------------------


def forked(store: perdure.Store, count: int, start: int = 0) -> None:
    for n in range(start, start + count):
        store.fork("a", f"try-{n}", at=n % 5 + 1)


def test_a_fork_beside_parked_branches_reads_none_of_their_pages_again(
    store: perdure.Store, asked: Asked
) -> None:
    forked(store, limits.branches_inline_max * 4)
    store.fork("a", "warm")
    found = asked.during(lambda: store.fork("a", "b"))
    assert kinds(found) == [ReadHead, Commit]


def test_a_parked_branch_is_found_by_its_name_in_one_look_at_its_pages() -> None:
    asked = Asked(MemoryBackend())
    with perdure.Store(asked.backend, maintenance="off", cache_bytes=0) as store:
        save(store, "main", *range(5))
        forked(store, 200)
        assert "try-3" not in store._driver.run(read_head(store._site("a"))).branches
        found = asked.during(lambda: store.fork("a", "b", branch="try-3"))
        pages = [each for each in found if isinstance(each, ReadPages)]
        # Once for whether there is a "b", once for where "try-3" stands.
        assert len(pages) <= 2
        assert kinds(found)[-1] is Commit
        with pytest.raises(perdure.errors.BranchNotFound, match="'try-3'"):
            store.open("a", branch="try3")


def test_what_forks_write_does_not_grow_with_how_many_there_are() -> None:
    """Some are parked at once: the last page of the map is written then, and those above it."""
    asked = Asked(MemoryBackend())
    with perdure.Store(asked.backend, maintenance="off") as store:
        save(store, "main", *range(5))
        forked(store, 1_600)
        found = asked.during(lambda: forked(store, 160, 1_600))
    pages = [len(each.pages) for each in found if isinstance(each, PutPages)]
    assert sum(pages) <= 3 * len(pages)
    assert 10 <= len(pages) <= 160 // (limits.branches_inline_max // 2)


def test_opening_asks_as_much_after_many_forks_and_rollbacks_as_before(asked: Asked) -> None:
    def opened() -> list[type]:
        return kinds(asked.during(lambda: made.open("a")))

    with perdure.Store(asked.backend, maintenance="off", cache_bytes=0) as made:
        save(made, "main", *range(5))
        before = opened()
        assert before == [ReadState]
        forked(made, 100)
        assert opened() == before
        made.fork("a", "tip", branch="try-4")
        for n in range(100):
            made.rollback("a", "tip" if n % 2 else "~1")
        # The tail of a line that was moved to reads the one below it; and until something is saved
        # there, the movement that it came by, which may be one that damage made.
        assert opened() == [*before, ReadRecords, ReadRecords]
        save(made, "main", "x")
        assert opened() == [*before, ReadRecords]


def test_an_id_is_looked_for_among_what_was_left_by_reading_each_line_once(
    store: perdure.Store, asked: Asked
) -> None:
    """However many movements left one line, it is not gone down again for each (P11)."""
    rows = []
    for _ in range(2):
        for _ in range(20):
            save(store, "main", "left")
            store.rollback("a", "main~1")
        (left, *_) = (each for each in store.history("a", every=True) if each.number == 6)
        requests = asked.during(partial(store.at, "a", left.id))
        rows.append(kinds(requests).count(ReadRecords))
        assert store.at("a", left.id).plain() == {"n": "left"}
    assert rows[1] - rows[0] <= 20


# ---- all of a deep lineage ------------------------------------------------------------------


def deepened(store: perdure.Store, depth: int) -> None:
    """So many lines, each based on the one before, and a record on each that was left."""
    for n in range(depth):
        save(store, "main", n, -n)
        store.rollback("a", "~1")


def test_a_rollback_below_what_the_head_tells_goes_down_each_line_once(
    store: perdure.Store, asked: Asked
) -> None:
    depth = 2 * limits.lineage_inline_max
    deepened(store, depth)
    assert len(asked.during(lambda: store.rollback("a", 3))) <= depth
    assert store.at("a", "main").plain() == {"n": 2}


@pytest.mark.parametrize("work", ["history", "verify"])
def test_looking_at_all_of_a_lineage_takes_as_long_as_it_is(work: str) -> None:
    asked = Asked(MemoryBackend())
    looks: dict[str, Callable[[perdure.Store], object]] = {
        "history": lambda store: store.history("a", every=True),
        "verify": lambda store: store.verify("a"),
    }
    with perdure.Store(asked.backend, maintenance="off", durability="process") as store:
        save(store, "main", *range(5))
        counts = []
        for _ in range(2):
            deepened(store, 2 * limits.lineage_inline_max)
            counts.append(len(asked.during(lambda: looks[work](store))))
        # A request for each line that has records, and a few for all.
        assert counts[1] - counts[0] == 2 * limits.lineage_inline_max
        assert counts[0] <= 2 * limits.lineage_inline_max + 8


def test_the_runs_of_all_lines_are_those_of_each_branch_alone(store: perdure.Store) -> None:
    deepened(store, 20)
    forked(store, 6)
    for n in range(6):
        save(store, f"try-{n}", n)
    store.rollback("a", "try-2~1")
    deepened(store, 20)
    site = store._site("a")
    head = store._driver.run(read_head(site))
    tips = [tip for _, tip in store._driver.run(every_run(site, head))]
    alone = [store._driver.run(spans(site, head, tip, 1, tip.number)) for tip in tips]
    together = store._driver.run(every_span(site, head, tips))
    assert covered(together) == covered(alone)
    for runs, wanted in zip(together, alone, strict=True):
        assert runs == wanted[len(wanted) - len(runs) :]
        assert runs
    assert sum(map(len, together)) < sum(map(len, alone)) / 4


def covered(runs_of_all: list[list[Run]]) -> set[tuple[int, int]]:
    every = [run for runs in runs_of_all for run in runs]
    return {(run.line, number) for run in every for number in range(run.first, run.last + 1)}


def test_verifying_many_lines_copies_only_what_each_of_them_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copied: list[Any] = []

    def noting(value: Any) -> Any:
        copied.append(value)
        return take(value)

    monkeypatch.setattr("perdure.engine.replaying.take", noting)
    with perdure.Store("memory:", maintenance="off", durability="process") as store:
        with store.open("a") as session:
            session.state.update(long=[*range(1_000)], log=[])
        for n in range(60):
            with store.open("a") as session:
                session.state["log"].append(n)
                if n % 20 == 0:
                    session.state["long"].append(n)
            if n % 3:
                store.rollback("a", "~1")
        assert store.verify("a")[0].problem is None
    assert 20 <= len(copied) < 90
    assert sum(len(each) == 1_000 for each in copied) <= 3


def test_verifying_tells_apart_what_lines_share_and_what_they_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Snapshots on many lines are what replaying each of them gives, in whatever order."""
    monkeypatch.setattr(limits, "tail_records_max", 1)
    with perdure.Store("memory:", maintenance="off", durability="process") as store:
        with store.open("a") as session:
            session.state.update(log=[], deep={"list": [1, 2, 3]})
        for n in range(24):
            name = f"b{n}"
            store.fork("a", name, branch=f"b{(n - 1) // 2}" if n % 5 else "main")
            with store.open("a", branch=name) as session:
                for turn in range(n % 4 + 1):
                    session.state["log"].append([n, turn])
                    session.state["deep"]["list"][n % 3] = n
                    session.save()
            store.maintain("a")
            if n % 7 == 6:
                store.rollback("a", f"{name}~1", branch=name)
                save(store, name, n)
        site = store._site("a")
        tips = store._driver.run(every_run(site, store._driver.run(read_head(site))))
        assert sum(tip.newest is not None for _, tip in tips) > 12
        assert store.verify("a")[0].problem is None
