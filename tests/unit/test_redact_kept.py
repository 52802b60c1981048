"""Wherever a redacted value was kept it is gone: history, copies, files, memory (P7, P8)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.pruned import require_sound
from tests.unit.redacted import MAIL, MARK, every, hashes, require_redacted, talk

import perdure
from perdure import errors
from perdure.core.changes import Change, Set, Splice
from perdure.core.redaction import Redactor, wanted


def test_packs_snapshots_branches_and_what_was_left(store: perdure.Store) -> None:
    talk(store, count=150)
    store.maintain("a")
    store.fork("a", "side", at=40)
    with store.open("a", branch="side") as session:
        session.state["side"] = f"by {MAIL}"
        session.save()
        session.state["messages"][0]["text"] += " more"
    store.rollback("a", to=100)
    with store.open("a") as session:
        session.state["messages"].insert(3, {"text": MAIL})
    before, chain = every(store), hashes(store)
    assert len(before) > 154
    told = store.redact("a", match=MAIL)
    require_redacted(store, before)
    assert hashes(store) == chain
    assert told.sections["side"] == 1
    store.maintain("a")
    require_redacted(store, before)
    assert store.undo("a").what == "undo"  # of the rollback: what it left was redacted too
    assert [each.what for each in store.movements("a")][:2] == ["undo", "redact"]
    assert MAIL not in repr(store.at("a", "main").plain())


def test_what_pruning_kept_is_redacted_with_its_bases(store: perdure.Store) -> None:
    talk(store, count=60)
    with store.open("a") as session:
        session.state["large"] = [f"{number} {MAIL} " * 20 for number in range(200)]
        session.save(label="kept")
    with store.open("a") as session:
        for number in range(10):
            session.state["n"] = number
            session.save()
    store.fork("a", "left", at="~3")
    store.delete_branch("a", "left")
    store.prune(perdure.Retention(keep_last=5), "a")
    before, chain = every(store), hashes(store)
    assert MAIL in repr(before)
    store.redact("a", match=MAIL)
    require_redacted(store, before)
    assert hashes(store) == chain
    store.undo("a")
    assert MAIL not in repr(store.at("a", "left").plain())
    require_sound(store)
    store.prune(perdure.Retention(keep_last=2), "a")
    assert MAIL not in repr(every(store))
    require_sound(store)


def test_changes_of_one_record_that_follow_each_other_keep_what_each_says() -> None:
    redactor = Redactor(wanted(None, MAIL), b"secret")
    sections: dict[str, Any] = {}
    changes: list[Change] = [
        Set(("a",), {"t": "x", "l": []}),
        Set(("a", "t"), MAIL),
        Splice(("a", "l"), 0, 0, [1]),
    ]
    assert redactor.replay(sections, changes) == [
        Set(("a",), {"t": "x", "l": []}),
        Set(("a", "t"), MARK),
        Splice(("a", "l"), 0, 0, [1]),
    ]
    assert sections == {"a": {"t": MAIL, "l": [1]}}


def test_nothing_takes_a_redaction_back(store: perdure.Store) -> None:
    talk(store, count=3)
    store.redact("a", match=MAIL)
    with pytest.raises(errors.UsageError, match="nothing to undo"):
        store.undo("a")
    store.rollback("a", to=2)
    store.undo("a")
    store.redo("a")
    store.rollback("a", to="~1")
    assert MAIL not in repr(every(store))


def test_blame_diff_and_merge_work_on_what_was_redacted(store: perdure.Store) -> None:
    talk(store, count=5)
    store.fork("a", "side", at=3)
    with store.open("a", branch="side") as session:
        session.state["side"] = MAIL
    store.redact("a", match=MAIL)
    assert store.blame("a", "profile/email").number == 1
    assert MARK in repr(store.diff("a", 1, 2))
    merged = store.merge("a", "side")
    assert merged is not None
    assert merged.checkpoint is not None
    assert store.at("a", "main")["side"] == MARK
    require_sound(store)


def test_a_copy_and_an_export_have_what_was_redacted(store: perdure.Store, tmp_path: Path) -> None:
    talk(store, count=5)
    store.redact("a", match=MAIL, reason="why")
    before, chain = every(store), hashes(store)
    store.copy("a", "b")
    assert every(store, "b") == before
    assert not any(each.redacted for each in store.history("b"))  # its chain begins anew
    file = tmp_path / "a.perdure"
    store.export("a", file, in_clear=True)
    assert MAIL.encode() not in file.read_bytes()
    store.import_(file, "c")
    assert every(store, "c") == before
    with perdure.Store("memory:") as other:
        other.import_(file)
        assert hashes(other) == chain  # the same life, with its receipt
        assert [each.reason for each in other.movements("a")] == ["why"]
        require_sound(other)
        other.redact("a", match="hello")
        require_sound(other)
    require_sound(store)


def test_of_a_store_in_files_nothing_is_left_in_them_P8(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db") as store:
        talk(store, count=100)
        store.maintain("a")
        reader = perdure.Store(tmp_path / "a.db")
        reader.at("a", "main")
        assert any(MAIL.encode() in each.read_bytes() for each in tmp_path.iterdir())
        store.redact("a", match=MAIL)
        for each in tmp_path.iterdir():
            assert MAIL.encode() not in each.read_bytes(), each.name
        assert MAIL not in repr(reader.at("a", 1).plain())
        reader.close()


def test_files_that_could_not_be_written_anew_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with perdure.Store(tmp_path / "a.db") as store:
        talk(store, count=1)

        def busy(**_: object) -> None:
            raise errors.Busy("others are at it")

        with monkeypatch.context() as patches:
            patches.setattr(store._driver.backend, "wipe", busy)
            told = store.redact("a", match=MAIL)
        assert told.receipt == 1
        why = "the store's files could not be written anew (others are at it)"
        assert told.warnings == (f"{why}: store.compact() ends that",)
        assert store.redact("a", match=MAIL).warnings == ()
        assert all(MAIL.encode() not in each.read_bytes() for each in tmp_path.iterdir())


def test_what_was_read_before_is_not_taken_from_memory_P8(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db") as store, perdure.Store(tmp_path / "a.db") as reader:
        talk(store, count=5)
        assert MAIL in repr(store.open("a").state.plain())
        assert MAIL in repr(reader.open("a").state.plain())
        assert MAIL in _kept(store)
        store.redact("a", match=MAIL)
        assert MAIL not in _kept(store)
        assert MAIL not in repr(reader.open("a").state.plain())
        assert MAIL not in _kept(reader)


def _kept(store: perdure.Store) -> str:
    """What a store has in memory of what it read."""
    assert store._driver.cache is not None
    return repr([thing for thing, _ in store._driver.cache._kept.values()])
