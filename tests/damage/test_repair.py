"""`verify` tells all that is wrong and what helps; `repair` mends what can be proved (P5, P7)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner
from tests.damage.hurting import grown, hurt_pages, hurt_records
from tests.unit.maintained import head_of, pages_of

import perdure
from perdure import errors, limits
from perdure.cli.app import app
from perdure.core.head import MAIN

SAVES = limits.tail_records_max + 2


def kept(path: Path, saves: int = SAVES) -> list[dict[str, Any]]:
    """A store with a snapshot and a few checkpoints after it."""
    with perdure.Store(path, maintenance="off") as store:
        states = grown(store, saves)
        store.maintain("a")
        with store.open("a") as session:
            for n in range(4):
                session.state["n"] = n
                session.save()
                states.append(session.state.plain())
    return states


def told(store: perdure.Store) -> list[tuple[Any, ...]]:
    (found,) = store.verify("a")
    assert found.ok == (not found.damage)
    return [(each.what, each.first, each.last, each.where, each.remedy) for each in found.damage]


def test_what_is_whole_has_no_damage(tmp_path: Path) -> None:
    kept(tmp_path / "a.db")
    with perdure.Store(tmp_path / "a.db", maintenance="off") as store:
        assert told(store) == []
        assert store.verify("a", repair=True)[0].backup is None
    assert [each.name for each in tmp_path.iterdir()] == ["a.db"]


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ([SAVES + 4], [(SAVES + 4, SAVES + 4, "tail")]),
        ([SAVES + 3, SAVES + 4], [(SAVES + 3, SAVES + 4, "tail")]),
        ([SAVES + 2], [(SAVES + 2, SAVES + 2, "middle")]),
        (
            [SAVES + 1, SAVES + 3],
            [(SAVES + 1, SAVES + 1, "middle"), (SAVES + 3, SAVES + 3, "middle")],
        ),
    ],
)
def test_a_torn_tail_is_told_from_damage_in_the_middle(
    tmp_path: Path, bad: Sequence[int], found: list[tuple[int, int, str]]
) -> None:
    path = tmp_path / "a.db"
    kept(path)
    hurt_records(path, bad)
    with perdure.Store(path, maintenance="off") as store:
        assert told(store) == [("records", *each, "last_good") for each in found]
        (verified,) = store.verify("a")
        assert verified.damage[0].lost == (bad[0], SAVES + 4)


def test_a_gap_behind_a_snapshot_is_isolated(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    states = kept(path)
    with perdure.Store(path, maintenance="off") as store:
        newest = head_of(store).branches[MAIN].newest.number
        connection = apsw.Connection(str(path))
        connection.execute("UPDATE records SET blob = zeroblob(length(blob)) WHERE count > 1")
        connection.close()
        (damage,) = store.verify("a")[0].damage
        assert (damage.what, damage.remedy, damage.where) == ("records", "around", "middle")
        assert damage.lost == (1, newest) == (damage.first, damage.last)
        with store.open("a") as session:
            assert session.state.plain() == states[-1]
            session.state["n"] = "more"
        for number in range(newest + 1, len(states)):
            assert store.at("a", number).plain() == states[number]
        with pytest.raises(errors.Damaged):
            store.at("a", damage.first)


def test_every_damaged_page_is_told_and_repaired_after_a_copy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.db"
    states = kept(path)
    with perdure.Store(path, maintenance="off") as store:
        pages = sorted(pages_of(store))
        hurt_pages(path, pages)
        (before,) = store.verify("a", repair=True, dry_run=True)
        assert [(each.what, each.remedy) for each in before.damage] == [("snapshot", "repair")]
        assert not before.ok and before.backup is None and before.mended == 0
        assert [each.name for each in tmp_path.glob("*.before*")] == []
        (after,) = store.verify("a", repair=True)
        assert after.ok and after.damage == () and after.mended
        assert after.backup == str(tmp_path / "a.db.before-repair")
        assert any("repaired" in each.message for each in caplog.records)
        assert store.at("a", len(states) - 1).plain() == states[-1]
        with perdure.Store(after.backup, maintenance="off") as copy:  # as it was
            assert not copy.verify("a")[0].ok
        hurt_pages(path, pages[:1])
        (again,) = store.verify("a", repair=True)
        assert (again.ok, again.backup) == (True, str(tmp_path / "a.db.before-repair-2"))


def test_what_cannot_be_repaired_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    kept(path)
    hurt_records(path, [SAVES + 4])
    whole = path.read_bytes()
    with perdure.Store(path, maintenance="off") as store:
        (found,) = store.verify("a", repair=True)
        assert not found.ok and found.mended == 0 and found.backup is None
    assert path.read_bytes() == whole


def test_a_head_that_cannot_be_read_is_for_recover(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    kept(path)
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE heads SET head = zeroblob(100)")
    connection.close()
    with perdure.Store(path, maintenance="off") as store:
        assert told(store) == [("head", 0, 0, None, "recover")]


def test_a_store_without_files_is_repaired_only_if_no_copy_is_asked_for() -> None:
    with perdure.Store("memory:", maintenance="off") as store:
        grown(store, SAVES)
        store.maintain("a")
        head = head_of(store)
        tables = store._driver.backend._tables  # type: ignore[attr-defined]
        id_ = min(tables.pages[head.incarnation])
        del tables.pages[head.incarnation][id_]
        with pytest.raises(errors.UsageError):
            store.verify("a", repair=True)
        assert not store.verify("a")[0].ok
        (found,) = store.verify("a", repair=True, backup=False)
        assert found.ok and found.mended == 1 and found.backup is None
        with pytest.raises(errors.UsageError, match="repair"):
            store.verify("a", dry_run=True)


def test_an_async_store_repairs_too(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    kept(path)
    with perdure.Store(path, maintenance="off") as store:
        hurt_pages(path, sorted(pages_of(store))[:1])

    async def main() -> None:
        async with perdure.AsyncStore(path, maintenance="off") as store:
            (found,) = await store.verify("a", repair=True, backup=tmp_path / "kept.db")
            assert found.ok and found.backup == str(tmp_path / "kept.db")

    asyncio.run(main())
    assert (tmp_path / "kept.db").exists()


def run(path: Path, *args: str) -> Any:
    return CliRunner().invoke(app, ["--store", str(path), *args])


def test_the_command_tells_and_repairs(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    kept(path)
    with perdure.Store(path, maintenance="off") as store:
        hurt_pages(path, sorted(pages_of(store))[:1])
    hurt_records(path, [SAVES + 4])
    plan = run(path, "verify", "--all", "--repair", "--dry-run")
    assert plan.exit_code == 1
    assert "would make 1 page anew" in plan.stdout
    assert "in the middle" not in plan.stdout and "at the end" in plan.stdout
    assert "last_good" in plan.stdout
    done = run(path, "verify", "a", "--repair", "--json")
    assert done.exit_code == 1  # the record is lost
    (state,) = json.loads(done.stdout)["states"]
    assert state["mended"] == 1 and state["backup"] == f"{path}.before-repair"
    assert [each["what"] for each in state["damage"]] == ["records"]
    assert run(path, "verify", "a", "--all").exit_code == 2
    assert run(path, "verify", "--no-backup").exit_code == 2
    assert run(path, "verify", "--repair", "--no-backup", "--backup", "x").exit_code == 2
