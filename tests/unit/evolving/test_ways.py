"""The way that a state came by: old code sees it back through the same, whatever is declared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.evolution import newest

import perdure
from perdure import errors
from perdure.core.lens import Lens
from perdure.core.versions import SECTION
from perdure.lenses import add, remove, rename
from perdure.schemas.declare import Declared, Migration
from perdure.schemas.stamp import stamped, stamps_in

STEPS: dict[tuple[int, int], list[Lens]] = {
    (1, 2): [remove("notes", default="nothing kept")],
    (2, 3): [rename("topic", "subject")],
    (1, 3): [rename("topic", "subject"), remove("notes", default="nothing kept")],
    (3, 4): [add("budget", 0)],
    (2, 4): [rename("topic", "subject"), add("budget", 1)],
}


@perdure.schema("Diary")
@dataclass
class First:
    topic: str = ""
    notes: str = ""


def release(version: int, *steps: tuple[int, int]) -> Any:
    """The class of a version, in a release that declares these steps."""
    fields: dict[int, list[tuple[str, type, Any]]] = {
        2: [("topic", str, "")],
        3: [("subject", str, "")],
        4: [("subject", str, ""), ("budget", int, 0)],
    }
    names = {name: default for name, _, default in fields[version]}
    hints = {name: kind for name, kind, _ in fields[version]}
    made: Any = dataclass(type("Diary", (), {**names, "__annotations__": hints}))
    perdure.schema("Diary", version=version)(made)
    for older, newer in steps:
        perdure.migration(made, older, newer, STEPS[older, newer])
    return made


SECOND = release(2, (1, 2))
THIRD = release(3, (1, 2), (2, 3))
SHORTCUT = release(3, (1, 2), (2, 3), (1, 3))
FOURTH = release(4, (1, 2), (2, 3), (3, 4))
LEAPING = release(4, (1, 2), (2, 4))


def migrate(store: perdure.Store, releases: Iterable[Any], branch: str = "main") -> None:
    for each in releases:
        with store.open("a", schema=each, branch=branch) as session:
            session.save()


def way(store: perdure.Store) -> list[tuple[int, int]]:
    return [(each[0], each[1]) for each in newest(store)[SECTION]["Diary"]["steps"]]


@pytest.fixture
def old(store: perdure.Store) -> perdure.Store:
    with store.open("a", schema=First) as session:
        session.state.topic, session.state.notes = "owls", "at night"
    return store


@pytest.mark.parametrize(
    ("releases", "steps"),
    [
        ([SECOND, THIRD], [(1, 2), (2, 3)]),
        ([SECOND, SHORTCUT], [(1, 2), (2, 3)]),
        ([THIRD, SHORTCUT], [(1, 2), (2, 3)]),
        ([SHORTCUT], [(1, 3), (2, 3)]),
        ([SHORTCUT, FOURTH], [(1, 3), (2, 3), (3, 4)]),
        ([SECOND, SHORTCUT, FOURTH, LEAPING], [(1, 2), (2, 3), (3, 4)]),
    ],
)
def test_old_code_sees_a_state_by_the_way_it_came(
    old: perdure.Store, releases: list[Any], steps: list[tuple[int, int]]
) -> None:
    migrate(old, releases)
    with old.open("a", schema=releases[-1]) as session:
        session.state.subject += "!"  # saved once more, by code with steps of its own
    assert way(old) == steps
    with old.open("a", schema=First) as session:
        assert (session.state.topic, session.state.notes) == ("owls!", "at night")
        session.state.notes = "by day"
    migrate(old, [releases[-1]])
    assert old.at("a", "main", schema=First).state.notes == "by day"
    assert len(newest(old)["perdure.kept"]) == 1


def test_a_new_state_shows_each_older_version_one_way(store: perdure.Store) -> None:
    with store.open("a", schema=SHORTCUT) as session:
        session.state.subject = "owls"
    with store.open("a", schema=First) as session:
        session.state.notes = "by day"
    migrate(store, [FOURTH])  # which knows nothing of the shortcut
    assert way(store) == [(1, 3), (2, 3), (3, 4)]
    assert store.at("a", "main", schema=First).state.notes == "by day"


def test_a_fleet_keeps_the_way_of_each_state_and_its_undoing_takes_it_back(
    old: perdure.Store,
) -> None:
    migrate(old, [SECOND])
    run = old.migrate("", SHORTCUT).run
    assert way(old) == [(1, 2), (2, 3)]
    old.unmigrate(run)
    assert way(old) == [(1, 2)]
    old.migrate("", LEAPING)
    assert way(old) == [(1, 2), (2, 4)]
    assert old.at("a", "main", schema=First).state.notes == "at night"


def test_branches_that_came_by_different_ways_are_not_merged(old: perdure.Store) -> None:
    old.fork("a", "other")
    migrate(old, [SECOND, THIRD])
    migrate(old, [SHORTCUT], "other")
    with pytest.raises(errors.SchemaChanged, match="by different migrations"):
        old.merge("a", "other")
    with pytest.raises(errors.SchemaChanged, match="by different migrations"):
        old.merge("a", "other", dry_run=True)


def test_branches_that_came_by_one_way_are_merged_and_keep_it(old: perdure.Store) -> None:
    migrate(old, [SECOND])
    old.fork("a", "other")
    for branch in ("main", "other"):
        migrate(old, [SHORTCUT], branch)
    with old.open("a", schema=First, branch="other") as session:
        session.state.notes = "by day"
    assert old.merge("a", "other") is not None
    migrate(old, [FOURTH])
    assert way(old) == [(1, 2), (2, 3), (3, 4)]
    assert old.at("a", "main", schema=First).state.notes == "by day"


def test_a_session_of_old_code_is_told_that_the_way_is_another_now(old: perdure.Store) -> None:
    migrate(old, [SECOND, THIRD])
    with old.open("a", schema=First) as session:
        old.rollback("a", to=1)
        migrate(old, [SHORTCUT])
        with pytest.raises(errors.SchemaChanged, match="by another way"):
            session.refresh()
    assert old.at("a", "main", schema=First).state.notes == "at night"


def test_a_stamp_with_all_that_was_declared_is_seen_as_it_was_until_now() -> None:
    steps: list[Any] = [[*at, [], None] for at in sorted(STEPS) if at[1] < 4]
    section = {"Diary": {"version": 3, "steps": steps}}
    back = stamps_in(section)["Diary"].back_to(1)
    assert back is not None
    assert [(each.older, each.newer) for each in back] == [(1, 3)]
    taken = Migration(3, 4, ())
    made = stamped(section, Declared("Diary", 4, {(3, 4): taken, (1, 2): taken}), [taken])
    assert [each[:2] for each in made["Diary"]["steps"]] == [[1, 3], [2, 3], [3, 4]]


def test_what_was_taken_is_recorded_though_another_way_is_shorter() -> None:
    declared = Declared("Diary", 3, {at: Migration(*at, ()) for at in STEPS if at[1] < 4})
    taken = [declared.migrations[1, 2], declared.migrations[2, 3]]
    made = stamped({"Diary": {"version": 1, "steps": []}}, declared, taken)
    assert [each[:2] for each in made["Diary"]["steps"]] == [[1, 2], [2, 3]]


def test_what_newer_versions_of_the_library_add_to_a_step_is_kept(old: perdure.Store) -> None:
    migrate(old, [SECOND])
    with old.open("a") as session:
        stamp = newest(old)[SECTION]
        stamp["Diary"]["steps"][0].append("more")
        session._document.write_reserved(SECTION, stamp)
        session.save()
    migrate(old, [THIRD])
    assert [each[4:] for each in newest(old)[SECTION]["Diary"]["steps"]] == [["more"], []]


# ---- steps that are declared anew -----------------------------------------------------------


def redeclared(lenses: Any) -> Any:
    made = release(2)
    perdure.migration(made, 1, 2, lenses)
    return made


@pytest.mark.parametrize(
    "lenses",
    [[remove("notes", default="other")], [], [*STEPS[1, 2], rename("topic", "subject")]],
    ids=["another default", "none", "one more"],
)
def test_a_migration_that_is_declared_anew_is_told(old: perdure.Store, lenses: Any) -> None:
    migrate(old, [SECOND])
    anew = redeclared(lenses)
    with pytest.raises(errors.MigrationChanged, match=r"from 1 to 2 .*: remove notes"):
        old.open("a", schema=anew)
    with pytest.raises(errors.MigrationChanged):
        old.at("a", "main", schema=anew)
    found = old.migrate("", anew, dry_run=True)
    assert found.counts == {"failed": 1}
    assert found.failures[0].problem.startswith("migration-changed: ")
    with old.open("a") as session:
        assert session.state["topic"] == "owls"
    old.rollback("a", to=1)
    migrate(old, [anew])


def test_a_function_in_place_of_lenses_is_told(old: perdure.Store) -> None:
    made = release(2)

    @perdure.migration(made, 1, 2)
    def forget(state: dict[str, Any]) -> None:
        del state["notes"]

    migrate(old, [SECOND])
    with pytest.raises(errors.MigrationChanged):
        old.open("a", schema=made)
    old.rollback("a", to=1)
    migrate(old, [made])
    with pytest.raises(errors.MigrationChanged, match="by: a function"):
        old.open("a", schema=SECOND)


def test_a_migration_that_is_declared_the_same_is_the_same(old: perdure.Store) -> None:
    migrate(old, [SECOND, release(2, (1, 2)), release(3, (1, 2), (2, 3))])
    assert way(old) == [(1, 2), (2, 3)]
