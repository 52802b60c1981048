"""A state whose tail is damaged goes back to what is whole, if asked; nothing goes (P5, P7)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner
from tests.damage.hurting import grown, hurt_pages, hurt_records, leaves_of

import perdure
from perdure import errors, limits
from perdure.cli.app import app


def test_by_default_a_damaged_state_is_not_opened(tmp_path: Path) -> None:
    with perdure.Store(tmp_path / "a.db", maintenance="off") as store:
        grown(store, 9)
        hurt_records(tmp_path / "a.db", [7])
        with pytest.raises(errors.Damaged, match="record 7"):
            store.open("a")
        assert store.movements("a") == []


@pytest.mark.parametrize("bad", [[9], [8, 9], [7], [2, 8]])
def test_it_goes_back_to_the_newest_that_is_whole(
    tmp_path: Path, bad: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    path, good = tmp_path / "a.db", min(bad) - 1
    with perdure.Store(path, maintenance="off") as store:
        states = grown(store, 9)
        newest = store.history("a")[0]
        hurt_records(path, bad)
    with perdure.Store(path, maintenance="off", on_damage="last_good") as store:
        with store.open("a") as session:
            assert session.state.plain() == states[good]
            assert session.resumed is not None
            loss = session.resumed.loss
            assert loss is not None
            assert (loss.branch, loss.first, loss.last) == ("main", good + 1, 9)
            assert (loss.after, loss.until) == (session.resumed.checkpoint.time, newest.time)
            assert f"record {min(bad)}" in loss.problem
            told = str(session.briefing())
            assert f"checkpoint{'s' * (good < 8)} {good + 1}" in told
            assert "everything that was acknowledged is present" not in told
        assert [each.levelname for each in caplog.records] == ["WARNING"]
        assert loss.summary() in caplog.records[0].message
        (receipt,) = store.movements("a")
        assert (receipt.number, receipt.what, receipt.damage) == (1, "rollback", loss.problem)
        assert (receipt.left, receipt.before and receipt.before.number) == (9 - good, 9)
        with store.open("a") as session:  # nothing was saved since: it is told again
            assert session.resumed is not None and session.resumed.loss == loss
            session.state["n"] = 1
        with store.open("a") as session:
            assert session.resumed is not None and session.resumed.loss is None
            assert session.state["n"] == 1
        store.undo("a")  # what was left is as it was
        with pytest.raises(errors.Damaged):
            store.at("a", 9)


def test_one_checkpoint_that_is_lost_is_told_as_one(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        grown(store, 9)
        hurt_records(path, [9])
        (damage,) = store.verify("a")[0].damage
        assert damage.summary().endswith("; checkpoint 9 cannot be read")
    told = CliRunner().invoke(app, ["--store", str(path), "verify"]).stdout
    assert 'opened by Store(…, on_damage="last_good") it goes back to what is whole' in told


def test_what_it_left_is_told_as_left_until_a_pruning_lets_go_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        states = grown(store, 9)
        hurt_records(path, [7])
        assert [each.remedy for each in store.verify("a")[0].damage] == ["last_good"]
        with store.open("a", on_damage="last_good") as session:
            session.state["n"] = 1
        (damage,) = store.verify("a")[0].damage
        assert (damage.remedy, damage.branch, damage.lost) == ("let_go", "main", (7, 9))
        assert damage.summary().startswith("record 7 of main")
        store.fork("a", "aside", at=2)
        hurt_records(path, [3])  # which main leads to
        assert [(each.first, each.remedy) for each in store.verify("a")[0].damage] == [
            (3, "last_good"),
            (7, "let_go"),
        ]
    path = tmp_path / "b.db"
    with perdure.Store(path, maintenance="off") as store:
        grown(store, 9)
        hurt_records(path, [7])
        with store.open("a", on_damage="last_good") as session:
            session.state["n"] = 1
        store.prune(perdure.Retention(keep_left=timedelta(0)), "a")
        assert store.verify("a")[0].ok
        assert [each.number for each in store.history("a")] == [7, 6, 5, 4, 3, 2, 1]
        assert store.at("a", 7).plain() == states[6] | {"n": 1}


def test_what_pruning_kept_below_a_branch_is_not_told_as_left(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        with store.open("a") as session:
            for n in range(9):
                session.state["n"] = n
                session.save(label="kept" if n == 3 else None)
        store.maintain("a")
        store.prune(perdure.Retention(keep_last=2), "a")
        connection = apsw.Connection(str(path))
        connection.execute("UPDATE records SET blob = x'' WHERE line = 0 AND number = 4")
        assert connection.changes() == 1
        connection.close()
        (damage,) = store.verify("a")[0].damage
        assert (damage.first, damage.last, damage.remedy) == (4, 4, "around")
        assert store.open("a").state["n"] == 8


@pytest.mark.parametrize("saves", [0, 1])
def test_what_pruning_kept_below_a_branch_and_another_begins_at_is_told_of_that(
    saves: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        with store.open("a") as session:
            for n in range(9):
                session.state["n"] = n
                session.save(label="kept" if n == 3 else None)
        store.maintain("a")
        store.fork("a", "aside", at=4)
        with store.open("a", branch="aside") as session:
            for n in range(saves):
                session.state["n"] = n
                session.save()
        store.prune(perdure.Retention(keep_last=1), "a")
        connection = apsw.Connection(str(path))
        connection.execute("UPDATE records SET blob = x'' WHERE line = 0 AND number = 4")
        assert connection.changes() == 1
        connection.close()
    with perdure.Store(path, maintenance="off", on_damage="last_good") as store:
        (damage,) = store.verify("a")[0].damage
        assert (damage.branch, damage.first, damage.remedy) == ("aside", 4, "backup")
        assert store.open("a").state["n"] == 8
        with pytest.raises(errors.Damaged, match="restore the store from a backup"):
            store.open("a", branch="aside")


def test_a_record_that_the_next_one_does_not_follow_is_not_gone_back_to(tmp_path: Path) -> None:
    """It is right at its place, as one from a copy of the store that went another way."""
    path, other = tmp_path / "a.db", tmp_path / "b.db"
    with perdure.Store(path, maintenance="off") as store:
        states = grown(store, 3)
        store.backup(other)
        for place, value in ((path, "here"), (other, "elsewhere")):
            with perdure.Store(place, maintenance="off") as each, each.open("a") as session:
                session.state["n"] = value
                session.save()
                session.state["n"] = [value]
    base = apsw.Connection(str(path))
    base.execute("ATTACH ? AS other", (str(other),))
    base.execute(
        "UPDATE records SET blob = (SELECT blob FROM other.records AS o WHERE o.number = 4) "
        "WHERE number = 4"
    )
    base.close()
    with (
        perdure.Store(path, maintenance="off", on_damage="last_good") as store,
        store.open("a") as session,
    ):
        assert session.state.plain() == states[3]


def test_an_async_store_does_so_too(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        states = grown(store, 5)
        hurt_records(path, [4])

    async def main() -> None:
        async with perdure.AsyncStore(path) as store:
            with pytest.raises(errors.Damaged):
                await store.open("a")
            async with store.open("a", on_damage="last_good") as session:
                assert session.state.plain() == states[3]
                assert session.resumed is not None and session.resumed.loss is not None
                session.state["n"] = 2
            assert [each.damage is not None for each in await store.movements("a")] == [True]

    asyncio.run(main())


def test_it_begins_at_the_newest_snapshot_that_can_be_used(tmp_path: Path) -> None:
    path, count = tmp_path / "a.db", limits.tail_records_max + 2
    with perdure.Store(path, maintenance="off") as store:
        states = grown(store, count)
        store.maintain("a")
        with store.open("a") as session:
            for n in range(5):
                session.state["n"] = n
                session.save()
                states.append(session.state.plain())
        hurt_records(path, [count + 3])
        with store.open("a", on_damage="last_good") as session:
            assert session.state.plain() == states[count + 2]
        assert store.verify("a")[0].ok is False  # the damaged tail is still there


def test_where_nothing_is_whole_nothing_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off", on_damage="last_good") as store:
        grown(store, 5)
        hurt_records(path, [1])
        with pytest.raises(errors.Damaged, match="backup"):
            store.open("a")
        assert store.movements("a") == []


def test_a_newer_format_is_no_damage_P10(tmp_path: Path) -> None:
    import apsw

    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off", on_damage="last_good") as store:
        grown(store, 5)
        connection = apsw.Connection(str(path))
        connection.execute(
            "UPDATE records SET blob = CAST(substr(blob, 1, 4) || x'63' || substr(blob, 6) AS BLOB)"
            " WHERE number = 5"
        )
        connection.close()
        with pytest.raises(errors.NewerFormat):
            store.open("a")
        assert store.movements("a") == []


def test_one_that_holds_the_branch_goes_on_to_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        states = grown(store, 5)
        hurt_records(path, [5])
        with store.open("a", on_damage="last_good", exclusive=True) as session:
            assert session.state.plain() == states[4]
            session.state["n"] = 1
            session.save()
            assert [each.session for each in store.info("a").leases] == [session.id]


def test_a_damaged_section_takes_no_other_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        state = grown(store, limits.tail_records_max + 2)[-1]
        store.maintain("a")
        hurt_pages(path, leaves_of(store, "messages")[:1])
        hurt_log(path)
    with perdure.Store(path, maintenance="off") as store:
        with store.open("a") as session:
            with pytest.raises(errors.SectionDamaged, match="'messages' of 'a'") as raised:
                _ = session.state["messages"]
            assert raised.value.section == "messages"
            assert session.state["plan"] == state["plan"]
            session.state["notes"].append("one more")
            session.save()
        assert store.history("a", limit=1)[0].sections == ("notes",)
        with store.open("a") as session:
            assert session.state["notes"][-1] == "one more"
            with pytest.raises(errors.SectionDamaged):
                _ = session.state["messages"]
            session.state["messages"] = ["anew"]
        with store.open("a") as session:
            assert session.state.plain() == {
                "plan": state["plan"],
                "notes": [*state["notes"], "one more"],
                "messages": ["anew"],
            }


def hurt_log(path: Path) -> None:
    """Let the log behind the snapshot be lost: all that was packed."""
    import apsw

    connection = apsw.Connection(str(path))
    connection.execute("UPDATE records SET blob = zeroblob(length(blob)) WHERE count > 1")
    assert connection.changes()
    connection.close()


def test_under_asyncio_a_damaged_section_stays_unloaded(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with perdure.Store(path, maintenance="off") as store:
        state = grown(store, limits.tail_records_max + 2)[-1]
        store.maintain("a")
        hurt_pages(path, leaves_of(store, "messages")[:1])
        hurt_log(path)

    async def main() -> None:
        async with (
            perdure.AsyncStore(path, maintenance="off") as store,
            store.open("a") as session,
        ):
            with pytest.raises(errors.SectionNotLoaded):
                _ = session.state["messages"]
            with pytest.raises(errors.SectionDamaged):
                await session.load("messages")
            assert session.state["plan"] == state["plan"]
            session.state["notes"].append("one more")
            await session.save()

    asyncio.run(main())
