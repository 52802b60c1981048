"""Branches by the hundred, deep lineages, and what damage of journal or pages leaves (0012)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import perdure
from perdure import errors, limits
from perdure.core.head import Head, Unknown
from perdure.core.head_bytes import seal_head
from perdure.core.journal import JOURNAL_LINE
from perdure.core.refs import Ref
from perdure.engine import branches, maintain
from perdure.engine.load import load
from perdure.engine.read import read_head
from perdure.engine.requests import Commit, Committed, HeadRow, Steps, StorageRequest
from perdure.engine.save import tail_of

URLS = {"sqlite": "{}/a.db", "memory": "memory:", "objects": "memory+objects:"}


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[perdure.Store]:
    """A store with a state of five checkpoints."""
    with perdure.Store(URLS[request.param].format(tmp_path), maintenance="off") as made:
        save(made, "main", *range(1, 6))
        yield made


def save(store: perdure.Store, branch: str, *values: Any) -> None:
    with store.open("a", branch=branch) as session:
        for value in values:
            session.state["n"] = value
            session.state.setdefault("log", []).append(value)
            session.save()


def log(store: perdure.Store, ref: Ref = "main") -> list[Any]:
    return list(store.at("a", ref).plain()["log"])


def head_of(store: perdure.Store) -> Head:
    return store._driver.run(read_head(store._site("a")))


def head_bytes(store: perdure.Store) -> int:
    return len(seal_head(head_of(store), store=store._site("a").store, key="a"))


def requests_of(steps: Steps[Any], store: perdure.Store) -> int:
    """How many requests to the store these steps make."""
    count, answer = 0, None
    backend = store._driver.backend
    while True:
        try:
            request = steps.send(answer)
        except StopIteration:
            return count
        if isinstance(request, StorageRequest):
            count += 1
            answer = backend.perform(request)
        else:
            answer = store._driver.run(asked(request))


def asked(request: Any) -> Steps[Any]:
    return (yield request)


# ---- many branches ---------------------------------------------------------------------------


def test_of_a_hundred_branches_each_opens_saves_and_moves_P11(store: perdure.Store) -> None:
    names = [f"b{n:03}" for n in range(100)]
    for n, name in enumerate(names):
        store.fork("a", name, at=n % 5 + 1)
    assert [each.name for each in store.branches("a")] == ["main", *names]
    assert len(head_of(store).branches) <= limits.branches_inline_max
    wanted = {}
    for n, name in enumerate(names):
        save(store, name, name)
        wanted[name] = [*range(1, n % 5 + 2), name]
    for n, name in enumerate(names[:30]):
        if n % 3 == 0:
            store.rollback("a", f"{name}~1", branch=name)
            wanted[name] = wanted[name][:-1]
        elif n % 3 == 1:
            store.rename_branch("a", name, f"x{name}")
            wanted[f"x{name}"] = wanted.pop(name)
        else:
            store.delete_branch("a", name)
            assert store.undo("a").branch == name
    assert len(head_of(store).branches) <= limits.branches_inline_max
    assert {each.name for each in store.branches("a")} == {"main", *wanted}
    for name, values in wanted.items():
        assert log(store, name) == values
    assert store.verify()[0].ok
    maintained(store, full=True)
    assert all(log(store, name) == values for name, values in wanted.items())
    assert log(store) == [1, 2, 3, 4, 5]


def maintained(store: perdure.Store, *, full: bool) -> int:
    return store._driver.run(maintain.maintain(store._site("a"), full=full))


def test_an_id_on_a_parked_branch_is_found(store: perdure.Store) -> None:
    store.fork("a", "old")
    save(store, "old", "x")
    id_ = store.history("a", branch="old")[0].id
    for n in range(limits.branches_inline_max + 2):
        store.fork("a", f"b{n}")
        save(store, f"b{n}", n)
    assert "old" not in head_of(store).branches
    assert log(store, id_[:20])[-1] == "x"


def test_a_thousand_movements_leave_the_head_small_and_opening_as_it_was_P11() -> None:
    with perdure.Store("memory:", maintenance="off") as store:
        save(store, "main", *range(1, 6))
        before = requests_of(load(store._site("a").stored()), store)
        for _ in range(500):
            store.rollback("a", 2)
            store.undo("a")
        assert head_bytes(store) < 1_000
        for n in range(1_000):
            store.fork("a", f"b{n}", at=n % 5 + 1)
        assert head_bytes(store) < 200 * limits.branches_inline_max
        # The tail of a line that was moved to reads the one below it: one request more.
        assert requests_of(load(store._site("a").stored()), store) <= before + 1
        save(store, "main", "x")
        assert log(store) == [1, 2, 3, 4, 5, "x"]
        assert len(store.branches("a")) == 1_001


def test_saves_to_many_parked_branches_do_not_grow_the_head_for_ever_P11() -> None:
    with perdure.Store("memory:", maintenance="off") as store:
        save(store, "main", 1)
        for n in range(200):
            store.fork("a", f"b{n}")
        for n in range(200):
            save(store, f"b{n}", n)
        assert "park" in store.maintain("a")[0].steps
        assert len(head_of(store).branches) <= limits.branches_inline_max
        assert [log(store, f"b{n}") for n in range(200)] == [[1, n] for n in range(200)]


# ---- deep lineages ---------------------------------------------------------------------------


def test_sixty_lines_under_each_other_are_one_history(store: perdure.Store) -> None:
    wanted: list[Any] = [1, 2, 3, 4, 5]
    for n in range(60):
        back = n % 3 + 1 if len(wanted) > 4 else 0
        if back:
            store.rollback("a", f"~{back}")
            del wanted[-back:]
        save(store, "main", f"{n}.1", f"{n}.2", f"{n}.3")
        wanted += [f"{n}.1", f"{n}.2", f"{n}.3"]
    deep = head_of(store).branches["main"]
    assert len(deep.bases) == limits.lineage_inline_max < 40
    check_deep(store, wanted)
    maintained(store, full=True)
    check_deep(store, wanted)
    # A line that goes on from one in the middle of a list of bases that is cut off.
    for back in (5, 20, 28):
        store.rollback("a", f"~{back}")
        del wanted[-back:]
        check_deep(store, wanted)
        save(store, "main", back)
        wanted.append(back)
    check_deep(store, wanted)
    for _ in range(3):
        store.undo("a")
    assert store.verify()[0].ok


def check_deep(store: perdure.Store, wanted: list[Any]) -> None:
    assert log(store) == wanted
    assert [each.number for each in store.history("a")] == list(range(len(wanted), 0, -1))
    for number in (1, 4, len(wanted) // 2, len(wanted)):
        assert log(store, number) == wanted[:number]
    assert store.diff("a", 1, len(wanted))
    assert store.verify()[0].problem is None
    key = f"copy {len(wanted)} {head_of(store).token.hex()}"
    middle = len(wanted) // 2
    for at, count in ((None, len(wanted)), (middle, middle)):
        name = f"{key} {at}"
        store.copy("a", name, at=at)
        with store.open(name) as session:
            assert session.state["log"] == wanted[:count]
            session.state["log"].append("more")
        assert [each.number for each in store.history(name)] == list(range(count + 1, 0, -1))
        assert store.verify(name)[0].problem is None


def test_a_copy_of_a_checkpoint_that_is_on_an_older_line_goes_on_there(
    store: perdure.Store,
) -> None:
    store.rollback("a", 4)
    save(store, "main", "x", "y")
    store.rollback("a", 5)
    for at, wanted in ((2, [1, 2]), (4, [1, 2, 3, 4]), (None, [1, 2, 3, 4, "x"])):
        name = f"copy {at}"
        store.copy("a", name, at=at)
        with store.open(name) as session:
            for n in range(8):
                session.state["log"].append(n)
                session.save()
        store.rollback(name, len(wanted) + 3)
        store.fork(name, "b", at=1)
        with store.open(name) as session:
            assert session.state["log"] == [*wanted, 0, 1, 2]
        assert store.verify(name)[0].problem is None


def test_a_state_that_was_rolled_back_is_exported_with_its_hashes(
    store: perdure.Store, tmp_path: Path
) -> None:
    store.rollback("a", 3)
    for is_empty in (True, False):
        if not is_empty:
            save(store, "main", "x")
        path = tmp_path / f"{is_empty}.state"
        store.export("a", path)
        with perdure.Store("memory:") as other:
            other.import_(path)
            told = [each.hash for each in other.history("a")]
            assert told == [each.hash for each in store.history("a")]
            save(other, "main", "y")
            assert log(other)[:3] == [1, 2, 3]
            assert other.verify()[0].problem is None
            assert other.movements("a") == []


# ---- damage ----------------------------------------------------------------------------------


def test_a_damaged_journal_is_told_and_every_branch_can_be_read_P5(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        save(store, "main", 1, 2, 3)
        store.fork("a", "b", at=2)
        store.rollback("a", 1)
    with closing(sqlite3.connect(path)) as base:
        sql = "UPDATE records SET blob = zeroblob(length(blob)) WHERE line = ? AND number = 1"
        assert base.execute(sql, (JOURNAL_LINE,)).rowcount == 1
        base.commit()
    with perdure.Store(path, maintenance="off") as store:
        for read in (store.movements, lambda key: store.history(key, every=True)):
            with pytest.raises(errors.Damaged, match=r"'a'|of [0-9a-f]{12}"):
                read("a")
        found = store.verify("a")[0]
        assert not found.ok
        assert (log(store), log(store, "b")) == ([1], [1, 2])
        save(store, "b", "x")
        store.undo("a")  # the rollback, whose record is sound
        assert log(store) == [1, 2, 3]
        with pytest.raises(errors.Damaged):
            store.undo("a")


def test_damaged_pages_of_parked_branches_are_told_and_others_can_be_read_P5(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        save(store, "main", 1, 2, 3)
        for n in range(limits.branches_inline_max + 2):
            store.fork("a", f"b{n}")
        inline = set(head_of(store).branches)
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("UPDATE pages SET blob = zeroblob(length(blob))").rowcount >= 1
        base.commit()
    with perdure.Store(path, maintenance="off") as store:
        for read in (store.branches, lambda key: store.open(key, branch="b0")):
            with pytest.raises(errors.Damaged):
                read("a")
        assert not store.verify("a")[0].ok
        for name in inline:
            assert log(store, name) == [1, 2, 3]
            save(store, name, "x")


# ---- maintenance -----------------------------------------------------------------------------


def test_every_branch_gets_snapshots_and_lines_they_share_are_packed(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "tail_records_max", 8)
    save(store, "main", *range(6, 31))
    store.fork("a", "b", at=20)
    save(store, "b", *(f"b{n}" for n in range(20)))
    store.rollback("a", 25)
    save(store, "main", *(f"m{n}" for n in range(20)))
    assert maintained(store, full=False) > 1
    tips = head_of(store).branches
    assert tips["b"].newest is not None
    assert tips["main"].newest is not None
    assert tips["b"].newest.number == 39
    maintained(store, full=True)
    assert store.stats("a").stored["packs"] > 0
    assert log(store, "b") == [*range(1, 21), *(f"b{n}" for n in range(20))]
    assert log(store) == [*range(1, 26), *(f"m{n}" for n in range(20))]
    store.undo("a")
    assert log(store) == list(range(1, 31))
    assert store.verify()[0].problem is None


def test_a_branch_that_was_moved_to_where_a_snapshot_is_has_its_checkpoint(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "tail_records_max", 2)
    ids = [each.id for each in store.history("a")]
    maintained(store, full=False)
    newest = head_of(store).branches["main"].newest
    assert newest is not None
    with store.open("a") as old:
        store.rollback("a", newest.number)
        with store.open("a") as session:
            assert session.checkpoint is not None
            assert (session.checkpoint.number, session.checkpoint.id) == (4, ids[1])
            assert session.resumed is not None
        old.refresh()
        old.state["n"] = "x"
        assert old.save().number == 5


def test_a_collection_keeps_what_a_fork_parked_meanwhile_P2(
    store: perdure.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two requests of a collection a fork comes that parks branches with snapshots."""
    monkeypatch.setattr(limits, "tail_records_max", 2)
    monkeypatch.setattr(limits, "section_inline_bytes_max", 8)
    save(store, "main", *range(6, 12))
    maintained(store, full=True)
    count = 0

    def fork() -> None:
        nonlocal count
        store.fork("a", f"b{count}", at=11 - count % 3)
        count += 1

    for _ in range(3):
        save(store, "main", *(f"{count}.{n}" for n in range(4)))
        maintained(store, full=False)
        steps = maintain.collect(store._site("a"))
        store._driver.run(steps, pausing=fork)
        assert store.verify()[0].problem is None
    assert count > limits.branches_inline_max
    assert head_of(store).parked is not None
    assert len(store.branches("a")) == count + 1


# ---- newer versions --------------------------------------------------------------------------


def test_what_a_newer_version_wrote_of_branches_survives_movements_P10() -> None:
    with perdure.Store("memory:", maintenance="off") as store:
        save(store, "main", 1, 2, 3)
        store.fork("a", "b", at=2)
        store.rollback("a", 2)
        head = head_of(store)
        newer = replace(
            head, token=bytes(16), unknown=Unknown({"new": 1}, {"main": ["m"], "b": ["b"]})
        )
        site = store._site("a")
        row = HeadRow(newer.token, seal_head(newer, store=site.store, key="a"))
        commit = Commit("a", head.token, row, tail_of(newer))
        assert isinstance(store._driver.backend.perform(commit), Committed)
        save(store, "main", 4)
        store.fork("a", "c", at=1)
        assert head_of(store).unknown == newer.unknown
        store.rename_branch("a", "b", "d")
        unknown = head_of(store).unknown
        assert isinstance(unknown, Unknown)
        assert (unknown.keys, unknown.items["d"]) == ({"new": 1}, ["b"])
        for n in range(limits.branches_inline_max + 2):
            store.fork("a", f"b{n}")
        store.delete_branch("a", "d")
        assert store._driver.run(branches.exists(site, head_of(store), "d")) is False
