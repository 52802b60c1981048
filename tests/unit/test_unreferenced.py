"""What nothing refers to is told apart from damage; a head that was put back is damage (P5)."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

import perdure
from perdure import errors, limits
from perdure.backends.memory import MemoryBackend
from perdure.backends.objects import ObjectBackend
from perdure.backends.protocol import Backend
from perdure.backends.sqlite import SqliteBackend
from perdure.cli.app import app
from perdure.core.head import Head
from perdure.core.head_bytes import seal_head
from perdure.core.tree import build
from perdure.engine import audit
from perdure.engine.pages import put
from perdure.engine.read import read_head
from perdure.engine.requests import Commit, Committed, HeadRow, PageRow, PutPages, RecordRow, Stage
from perdure.engine.save import tail_of
from perdure.reports import Unreferenced

LIFE = bytes(range(16))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with two states of three checkpoints each."""
    path = tmp_path / "agents.db"
    with perdure.Store(path, maintenance="off") as store:
        for key in ("a", "b"):
            fill(store, key)
    return path


def fill(store: perdure.Store, key: str) -> None:
    with store.open(key) as session:
        for n in range(3):
            session.state["n"] = n
            session.save()


def put_back_an_older_head(path: Path, key: str) -> None:
    """As careless mending would: the row of one head, from a copy made before two more saves."""
    older = path.with_suffix(".older")
    with perdure.Store(path) as store:
        store.backup(older)
        fill(store, key)
    with closing(sqlite3.connect(path)) as base:
        base.execute("ATTACH ? AS older", (str(older),))
        base.execute("REPLACE INTO heads SELECT * FROM older.heads WHERE key = ?", (key.encode(),))
        base.commit()


def verified(path: Path, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["--store", str(path), "verify", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_an_older_head_that_was_put_back_is_damage_P5(path: Path) -> None:
    put_back_an_older_head(path, "a")
    with perdure.Store(path) as store:
        found, sound = store.verify()
        assert (sound.ok, sound.unreferenced) == (True, ())
        assert not found.ok
        assert found.problem is not None
        assert found.problem.startswith("damaged: records newer than the head of 'a' exist")
        assert "an older head was put back" in found.problem
        with pytest.raises(errors.Damaged, match="an older head was put back"):
            store.open("a")
        assert store.open("b").state["n"] == 2
        assert store.unreferenced() == []
    assert verified(path)[0] == 1


def test_an_older_head_is_damage_too_once_its_life_was_deleted_P5(path: Path) -> None:
    put_back_an_older_head(path, "a")
    with perdure.Store(path) as store:
        store.delete("a")
        assert [each.ok for each in store.verify()] == [False, True]


def test_a_save_made_while_the_state_is_verified_is_no_damage(tmp_path: Path) -> None:
    """A save comes in between each two requests of the verification."""
    with perdure.Store(tmp_path / "agents.db", maintenance="off") as store:
        fill(store, "a")
        session = store.open("a")

        def save() -> None:
            session.state["n"] += 1
            session.save()

        found = store._driver.run(audit.verify(store._site("a")), pausing=save)
        assert (found.ok, found.unreferenced) == (True, ())


def head_of(store: perdure.Store, key: str) -> Head:
    return store._driver.run(read_head(store._site(key)))


def on_line(path: Path, life: bytes, line: int) -> None:
    """Records of a life once more, on another of its lines."""
    with closing(sqlite3.connect(path)) as base:
        base.execute(
            "INSERT INTO records (incarnation, line, number, count, blob)"
            " SELECT incarnation, ?, number, count, blob FROM records WHERE incarnation = ?",
            (line, life),
        )
        base.commit()


def test_records_of_a_line_that_the_head_has_not_made_are_newer_than_it_P5(path: Path) -> None:
    with perdure.Store(path) as store:
        on_line(path, head_of(store, "a").incarnation, 1)
        found, _ = store.verify()
        assert found.problem is not None
        assert "up to 3 on line 1" in found.problem


def test_records_on_a_line_that_no_branch_has_are_told(path: Path) -> None:
    with perdure.Store(path, maintenance="off") as store:
        head = head_of(store, "a")
        on_line(path, head.incarnation, 1)
        size = store.stats("a").stored_bytes
        new = replace(head, lines=2, token=LIFE)
        row = HeadRow(LIFE, seal_head(new, store=store._driver.store_id, key="a"))
        backend = store._driver.backend
        assert backend.perform(Commit("a", head.token, row, tail_of(new))) == Committed()
        found, _ = store.verify()
        assert (found.ok, found.problem) == (True, None)
        assert found.unreferenced == (Unreferenced("records", 3, size, head.incarnation.hex()),)
        assert store.open("a").state["n"] == 2


def make(face: str, tmp_path: Path) -> Backend:
    if face == "sqlite":
        return SqliteBackend(tmp_path / "agents.db")
    return MemoryBackend() if face == "memory" else ObjectBackend()


@pytest.mark.parametrize("face", ["sqlite", "memory", "objects"])
def test_pages_that_no_snapshot_reaches_are_told_until_maintenance_comes(
    tmp_path: Path, face: str
) -> None:
    """As a killed maintenance leaves them, which put them and named them in no head."""
    with perdure.Store(make(face, tmp_path), maintenance="off") as store:
        fill(store, "a")
        site, life = store._site("a"), head_of(store, "a").incarnation
        pages = build({"text": ["x" * 50_000]}, bytes(32)).pages
        store._driver.run(put(site, life, pages))
        (found,) = store.verify()
        (each,) = found.unreferenced
        assert (found.ok, found.problem) == (True, None)
        assert (each.what, each.count, each.incarnation) == ("pages", len(pages), life.hex())
        assert each.bytes == store.stats("a").stored["pages"] > 0
        store.maintain()
        (found,) = store.verify()
        assert (found.ok, found.unreferenced) == (True, ())


@pytest.mark.parametrize("face", ["sqlite", "memory", "objects"])
def test_what_a_copy_or_import_left_is_told_of_the_whole_store(tmp_path: Path, face: str) -> None:
    backend = make(face, tmp_path)
    with perdure.Store(backend, maintenance="off") as store:
        fill(store, "a")
        store.delete("a")
        fill(store, "a")  # a second life: the first is named by its head
        assert store.unreferenced() == []
        backend.perform(Stage(LIFE, (RecordRow(0, 1, b"one"), RecordRow(0, 2, b"two")), 5))
        backend.perform(PutPages(LIFE, (PageRow(b"id", b"page"),)))
        assert store.unreferenced() == [
            Unreferenced("staged", 1, 4, LIFE.hex()),
            Unreferenced("staged", 2, 6, LIFE.hex()),
        ]
        assert [(each.ok, each.unreferenced) for each in store.verify()] == [(True, ())]
        store.maintain()  # a staging that old is abandoned
        assert store.unreferenced() == []


def test_a_state_whose_head_was_removed_is_told_of_the_whole_store(path: Path) -> None:
    with perdure.Store(path) as store:
        size, life = store.stats("a").stored_bytes, head_of(store, "a").incarnation
    with closing(sqlite3.connect(path)) as base:
        base.execute("DELETE FROM heads WHERE key = ?", (b"a",))
        base.commit()
    with perdure.Store(path) as store:
        found = store.unreferenced()
        assert found == [Unreferenced("headless", 3, size, life.hex())]
        assert [each.key for each in store.verify()] == ["b"]

        async def told() -> list[Unreferenced]:
            async with perdure.AsyncStore(path) as again:
                return await again.unreferenced()

        assert asyncio.run(told()) == found
    code, text, notes = verified(path)
    assert (code, text.splitlines()[1].split()) == (0, ["b", "3", "ok"])
    assert notes == (
        f"3 rows or pages ({size} bytes) of a state that is not there: its head was removed, "
        "by hand or by damage\n"
    )
    document = json.loads(verified(path, "--json")[1])
    (each,) = document["unreferenced"]
    assert (document["ok"], each["what"], each["count"]) == (True, "headless", 3)


def test_what_a_damaged_head_may_name_is_not_told_as_unreferenced(path: Path) -> None:
    with closing(sqlite3.connect(path)) as base:
        base.execute("UPDATE heads SET head = x'00' WHERE key = ?", (b"a",))
        base.commit()
    with perdure.Store(path) as store:
        store._driver.backend.perform(Stage(LIFE, (RecordRow(0, 1, b"one"),), 5))
        assert [each.what for each in store.unreferenced()] == ["staged"]


def test_all_of_a_large_store_is_looked_through(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "incarnations_listed_max", 1)
    monkeypatch.setattr(limits, "heads_listed_max", 1)
    with perdure.Store(path) as store:
        for number in range(3):
            row = RecordRow(0, 1, b"one")
            store._driver.backend.perform(Stage(bytes([number]) * 16, (row,), 5))
        assert [each.what for each in store.unreferenced()] == ["staged"] * 3


def test_unreferenced_pages_are_named_on_the_command_line(path: Path) -> None:
    with perdure.Store(path) as store:
        life = head_of(store, "a").incarnation
        store._driver.run(put(store._site("a"), life, build({"n": 1}, bytes(32)).pages))
        size = store.stats("a").stored["pages"]
    code, text, notes = verified(path, "a")
    assert (code, text.splitlines()[1].split()[-1]) == (0, "ok")
    assert notes == (
        f"a: 1 page ({size} bytes) that no snapshot reaches: perdure maintain removes what is not "
        "needed\n"
    )
    (state,) = json.loads(verified(path, "a", "--json")[1])["states"]
    assert state["unreferenced"] == [
        {"what": "pages", "count": 1, "bytes": size, "incarnation": life.hex()}
    ]
