"""What a migration of many states tells: what lenses did not find, what is missing, the runs."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.fleet_agent import Research
from tests.unit.test_fleet_migrate import filled

from perdure import AsyncStore, Store
from perdure.lenses import add, convert, in_items, map_values, merge, move, remove, rename, split
from perdure.schemas.declare import migration, schema
from perdure.schemas.report import Migrations


def of(*lenses: Any, version: int = 1) -> Any:
    @schema("Case", version=version + 1)
    @dataclass
    class Case:
        name: Any = None

    migration(Case, version, version + 1, lenses)
    return Case


def holding(*states: dict[str, Any]) -> Store:
    store = Store("memory:", maintenance="off")
    for at, held in enumerate(states):
        with store.open(f"c/{at}") as session:
            for name, value in held.items():
                session.state[name] = value
    return store


FULL = {
    "name": "ann",
    "plan": {"goal": "owls"},
    "log": [{"role": "user"}],
    "tasks": {"one": {"at": 1}},
    "none": None,
}


@pytest.mark.parametrize(
    ("lens", "unmet"),
    [
        (rename("name", "title"), []),
        (rename("nmae", "title"), ["nmae"]),
        (remove("plan/gaol", default=""), ["plan/gaol"]),
        (move("plam/goal", "goal"), ["plam/goal"]),
        (convert("plan/goal", {"owls": 1}), []),
        (split("nmae", ("a", "b")), ["nmae"]),
        (merge(("name", "lsat"), "full"), ["lsat"]),
        (add("budget", 0), []),
        (add("plan/budget", 0), []),
        (add("plam/budget", 0), ["plam"]),
        (in_items("log", [rename("role", "by")]), []),
        (in_items("log", [rename("rloe", "by")]), ["log/[]/rloe"]),
        (in_items("lgo", [rename("rloe", "by")]), ["lgo"]),
        (map_values("tasks", [rename("ta", "on"), rename("at", "on")]), ["tasks/{}/ta"]),
    ],
)
def test_a_lens_whose_source_no_state_had_is_named(lens: Any, unmet: list[str]) -> None:
    store = holding(FULL, {"other": 1})
    found = store.migrate("", of(lens), dry_run=True)
    assert [each.path for each in found.unmet] == unmet
    assert [each.path for each in store.migrate("", of(lens)).unmet] == unmet


def test_one_state_that_has_it_is_enough(tmp_path: Any) -> None:
    store = holding(*[{"other": 1}] * 5, FULL)
    lenses = rename("name", "title"), in_items("log", [rename("role", "by")])
    assert store.migrate("", of(*lenses), dry_run=True).unmet == ()
    assert store.migrate("", of(*lenses), verify_first=False).unmet == ()


def test_a_lens_sees_what_those_before_it_made() -> None:
    store = holding(FULL)
    found = store.migrate("", of(rename("name", "title"), rename("title", "head")), dry_run=True)
    assert found.unmet == ()
    found = store.migrate("", of(rename("name", "title"), rename("name", "head")), dry_run=True)
    assert [each.lens for each in found.unmet] == ["rename name to head"]
    assert found.unmet[0].summary() == (
        "no state had name: rename name to head (1 → 2) did nothing; is it spelt right?"
    )


def test_migrations_that_ran_on_no_state_are_not_judged() -> None:
    assert holding().migrate("", of(rename("nmae", "title")), dry_run=True).unmet == ()
    store = holding(FULL)
    store.migrate("", of(rename("name", "title")))
    assert store.migrate("", of(rename("name", "title")), dry_run=True).unmet == ()


def test_a_lens_that_does_not_fit_is_a_failure_with_its_whole_path() -> None:
    store = holding({"log": [{"role": "user"}, "odd"]})
    found = store.migrate("", of(in_items("log", [rename("rloe", "by")])), dry_run=True)
    assert [each.path for each in found.failures] == ["log/1"]


# ---- what is the code's fault ---------------------------------------------------------------


def test_a_missing_migration_is_told_once_and_counted() -> None:
    store = holding(*[FULL] * 150)
    found = store.migrate("", of(rename("name", "title"), version=2), dry_run=True)
    assert found.counts == {"failed": 150}
    (failure,) = found.failures
    assert (failure.key, failure.branch, failure.count) == ("c/0", "main", 150)
    assert failure.problem.startswith("migration-missing: no migrations lead from version 1")


def test_a_state_of_a_newer_perdure_is_newer_and_not_damaged() -> None:
    store = filled("memory:", 3)
    with store.open("r/001") as session, pytest.MonkeyPatch.context() as patch:
        # What a newer version writes: a change of a kind that this one does not know.
        unknown = b"\x91\x93\x05\x91\xa5topic\x01"
        patch.setattr("perdure.engine.capturing.pack_changes", lambda _: unknown)
        session.state["topic"] = "newer"
        session.save()
    look = store.migrate("", Research, dry_run=True)
    assert (look.counts, look.failures) == ({"migrated": 2, "newer": 1}, ())
    assert store.migrate("", Research).counts == {"migrated": 2, "newer": 1}


# ---- runs -----------------------------------------------------------------------------------


def test_runs_are_listed_with_what_they_did() -> None:
    store = filled("memory:", 6)
    store.fork("r/000", "try")
    assert store.migrations() == Migrations(states=6)
    before = datetime.now(UTC)
    first = store.migrate("r/00", Research).run
    with store.open("r/001", schema=Research) as session:
        session.state.budget = 3  # saved to since: the run still brought it there
    later = store.migrate("", of(rename("name", "title"))).run
    found = store.migrations()
    assert (later, [run.run for run in found.runs]) == ("", [first])
    run = found.runs[-1]
    assert (run.schema, run.version, run.prefix, run.counts) == ("Research", 2, "r/00", {0: 7})
    assert timedelta(0) <= run.began - before < timedelta(minutes=1)
    assert (run.migrated, run.left, run.is_done) == (7, 0, True)


def test_a_run_is_open_while_states_of_its_schema_are_older() -> None:
    store = Store("memory:", maintenance="off")

    @schema("Case")
    @dataclass
    class First:
        name: str = ""

    for key in ("c/0", "c/1", "d/0"):
        with store.open(key, schema=First) as session:
            session.state.name = key
    with store.open("c/1", exclusive=True):
        run = store.migrate("c/", of(rename("name", "title"))).run
    (found,) = store.migrations().runs
    assert (found.run, found.counts, found.left, found.is_done) == (run, {1: 1}, 1, False)
    assert store.migrations("d/").runs == ()
    again = store.migrate("c/", of(rename("name", "title"))).run
    assert [(each.run, each.is_done) for each in store.migrations().runs] == [
        (again, True),
        (run, True),
    ]
    store.unmigrate(run)
    assert [(each.run, each.left) for each in store.migrations().runs] == [(again, 1)]


def test_a_chain_of_runs_stays_listed() -> None:
    store = holding(FULL)
    first = store.migrate("", of(rename("name", "title"))).run

    @schema("Case", version=3)
    @dataclass
    class Third:
        head: Any = None

    migration(Third, 1, 2, [rename("name", "title")])
    migration(Third, 2, 3, [rename("title", "head")])
    second = store.migrate("", Third).run
    found = [(run.run, run.version, run.counts) for run in store.migrations().runs]
    assert found == [(second, 3, {2: 1}), (first, 2, {1: 1})]
    store.delete("c/0")
    assert store.migrations().runs == ()


@pytest.mark.parametrize("runs", [5, {"no run": [1, 2, ""]}, {"0" * 14 + "-00000000": "odd"}])
def test_what_tells_of_no_run_is_passed_over(runs: Any) -> None:
    store = holding(FULL)
    with store.open("c/0") as session:
        stamp = {"Case": {"version": 2, "steps": [], "runs": runs}}
        session._document.write_reserved("perdure.schema", stamp)
    assert store.migrations().runs == ()
    with store.open("c/0", schema=of(version=1)) as typed:
        typed.state.name = "bo"


def test_what_cannot_be_read_is_named() -> None:
    store = filled("memory:", 3)
    run = store.migrate("", Research).run
    with store.open("r/001") as session:
        session._document.write_reserved("perdure.schema", {"Research": 5})
    found = store.migrations()
    assert [(each.key, each.branch) for each in found.unreadable] == [("r/001", "main")]
    assert (found.unreadable_count, found.states) == (1, 3)
    assert [(each.run, each.migrated) for each in found.runs] == [(run, 2)]


def test_the_async_store_lists_them_too() -> None:
    async def listed() -> Any:
        async with AsyncStore("memory:", maintenance="off") as store:
            async with store.open("r/000") as session:
                session.state["topic"] = "owls"
            seen: list[tuple[int, int]] = []
            run = (await store.migrate("", Research)).run
            found = await store.migrations(progress=lambda *each: seen.append(each))
            assert [each.run for each in found.runs] == [run]
            assert seen == [(1, 1)]

    asyncio.run(listed())


def test_branches_that_two_runs_migrated_are_merged() -> None:
    store = filled("memory:", 1)
    store.fork("r/000", "try")
    first = store.migrate("", Research).run
    store.rollback("r/000", to=1)
    second = store.migrate("", Research).run
    with store.open("r/000", branch="try") as session:
        session.state["log"].append(1)
    assert store.merge("r/000", "try") is not None
    assert {run.run for run in store.migrations().runs} == {first, second}
