"""What a newer version wrote beside what is known is kept, whatever is done to the state (P10)."""

import io
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec import UNSET
from msgspec.structs import replace
from tests.format.later import KEPT, SOME, extras, head_of

import perdure
from perdure import limits
from perdure.core.changes import Set, pack_changes
from perdure.core.head import Unknown
from perdure.core.head_bytes import seal_head
from perdure.core.record import Draft, seal_draft
from perdure.engine.requests import Commit, HeadRow, RecordRow
from perdure.engine.save import tail_of


def plant(store: perdure.Store) -> int:
    """Save as a newer version might, with more in the record and in the head; its number."""
    head, token = head_of(store, "a")
    tip = head.branches["main"]
    changes = pack_changes([Set(("n",), "planted")])
    draft = Draft(os.urandom(16), tip.time_us, bytes(16), changes, SOME, {"label": "here", **KEPT})
    store_id = store._driver.store_id
    sealed = seal_draft(
        draft,
        store=store_id,
        incarnation=head.incarnation,
        line=tip.line,
        number=tip.number + 1,
        parent=tip.hash,
    )
    new = replace(head.advanced("main", sealed), token=os.urandom(16), unknown=Unknown(KEPT, {}))
    row = HeadRow(new.token, seal_head(new, store=store_id, key="a"))
    records = (RecordRow(sealed.line, sealed.number, sealed.blob),)
    store._driver.backend.perform(Commit("a", token, row, tail_of(new), records))
    return sealed.number


@pytest.fixture(params=["memory:", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[perdure.Store]:
    """A store whose state `a` a newer version saved to, with saves of this one around it."""
    url = request.param if request.param == "memory:" else tmp_path / "agents.db"
    with perdure.Store(url, maintenance="off") as store:
        save(store, 3)
        plant(store)
        save(store, 3)
        yield store


def save(store: perdure.Store, times: int, branch: str = "main") -> None:
    with store.open("a", branch=branch) as session:
        for n in range(times):
            session.state["n"] = f"{branch} {n}"
            session.save()


def forked(store: perdure.Store) -> str:
    store.fork("a", "b", at=5)
    save(store, 2, "b")
    assert extras(store, "a", "b") == [KEPT]
    return "a"


def merged(store: perdure.Store) -> str:
    store.fork("a", "b")
    with store.open("a", branch="b") as session:
        session.state["other"] = 1
    save(store, 1)
    store.merge("a", "b")
    return "a"


def rolled_back(store: perdure.Store) -> str:
    store.rollback("a", to=5)
    save(store, 1)
    return "a"


def undone(store: perdure.Store) -> str:
    store.rollback("a", to=5)
    store.undo("a")
    store.redo("a")
    return "a"


def promoted(store: perdure.Store) -> str:
    store.fork("a", "b")
    save(store, 1, "b")
    store.promote("a", "b")
    store.rename_branch("a", "b", "c")
    store.delete_branch("a", "c")
    return "a"


def pruned(store: perdure.Store) -> str:
    store.prune(perdure.Retention(keep_last=1, keep_labels=True), "a")
    store.maintain("a")
    return "a"


def maintained(store: perdure.Store) -> str:
    for _ in range(2):
        save(store, limits.tail_records_max + 1)
        store.maintain("a")
    assert store.stats("a").stored["packs"]
    return "a"


def copied(store: perdure.Store) -> str:
    return store.copy("a", "copy").key


def imported(store: perdure.Store) -> str:
    file = io.BytesIO()
    store.export("a", file)
    file.seek(0)
    return store.import_(file, "imported").key


def came_back(store: perdure.Store) -> str:
    store.delete("a")
    store.undelete("a")
    return "a"


def lived_on(store: perdure.Store) -> str:
    store.delete("a")
    save(store, 1)
    assert head_of(store, "a")[0].unknown == UNSET  # of the first life, not of this
    store.delete("a")
    store.undelete("a", life=1)
    return "a"


def held(store: perdure.Store) -> str:
    with store.open("a", exclusive=True) as session:
        session.state["n"] = "alone"
    return "a"


def merged_at_save(store: perdure.Store) -> str:
    with store.open("a", on_conflict="merge") as session:
        session.state["mine"] = 1
        save(store, 1)
        session.save()
    return "a"


def diverged(store: perdure.Store) -> str:
    with store.open("a", on_conflict="fork") as session:
        session.state["mine"] = 1
        save(store, 1)
        session.save()
    assert extras(store, "a", session.branch) == [KEPT]
    return "a"


def upgraded(store: perdure.Store) -> str:
    store.upgrade()
    save(store, 1)
    return "a"


def compacted(store: perdure.Store) -> str:
    pruned(store)
    store.compact()
    return "a"


DONE: tuple[Callable[[perdure.Store], str], ...] = (
    *(forked, merged, rolled_back, undone, promoted, pruned, maintained, copied, imported),
    *(came_back, lived_on, held, merged_at_save, diverged, upgraded, compacted),
)


@pytest.mark.parametrize("done", DONE, ids=lambda done: done.__name__)
def test_what_a_newer_version_added_is_kept_by(
    store: perdure.Store, done: Callable[[perdure.Store], str]
) -> None:
    key = done(store)
    head, _ = head_of(store, key)
    assert isinstance(head.unknown, Unknown)
    assert head.unknown.keys == KEPT
    assert extras(store, key) == [KEPT]
    assert [each for each in store.verify() if not each.ok] == []


AFTER_PRUNING = (merged, promoted, maintained, came_back, held, merged_at_save, diverged, upgraded)
"""Others go to a checkpoint that was pruned, or take the newest run of `main` alone."""


@pytest.mark.parametrize("done", DONE, ids=lambda done: done.__name__)
def test_what_a_newer_version_added_is_kept_one_after_another_with(
    store: perdure.Store, done: Callable[[perdure.Store], str]
) -> None:
    """After maintenance, where it can be a pruning too, and before more saves."""
    maintained(store)
    if done in AFTER_PRUNING:
        pruned(store)
    key = done(store)
    with store.open(key) as session:
        session.state["n"] = "last"
    store.maintain(key)
    assert head_of(store, key)[0].unknown != UNSET
    assert extras(store, key) == [KEPT]


def test_a_backup_has_it_too(tmp_path: Any) -> None:
    with perdure.Store(tmp_path / "agents.db", maintenance="off") as store:
        save(store, 2)
        plant(store)
        store.backup(tmp_path / "backup.db")
    with perdure.Store(tmp_path / "backup.db") as store:
        save(store, 1)
        unknown = head_of(store, "a")[0].unknown
        assert isinstance(unknown, Unknown)
        assert unknown.keys == KEPT
        assert extras(store, "a") == [KEPT]
