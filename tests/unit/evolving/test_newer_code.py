"""States that are opened through schemas: stamped, and migrated by newer code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.evolution import Inner, Newer, make_second, newest, version

import perdure
from perdure import errors
from perdure.core.versions import SECTION
from perdure.lenses import move, rename, wrap

# ---- stamps ---------------------------------------------------------------------------------


def test_the_first_save_stamps_the_state(old_state: perdure.Store) -> None:
    assert newest(old_state)[SECTION] == {"Research": {"version": 1, "steps": []}}
    assert len(old_state.history("a")) == 1


def test_a_session_that_saves_nothing_stamps_nothing(store: perdure.Store, v1: type[Any]) -> None:
    with store.open("a") as untyped:
        untyped.state["topic"] = "owls"
    with store.open("a", schema=v1) as session:
        assert session.state.topic == "owls"
    assert len(store.history("a")) == 1


def test_a_new_state_of_newer_code_is_in_its_version(store: perdure.Store, v2: type[Any]) -> None:
    with store.open("a", schema=v2) as session:
        session.state.subject = "owls"
    assert version(store) == 2
    assert [each.label for each in store.history("a")] == [None]


def test_steps_that_are_declared_later_come_with_the_next_save(
    store: perdure.Store, v1: type[Any]
) -> None:
    @perdure.schema("Research", version=2)
    @dataclass
    class Undeclared:
        subject: str = ""

    with store.open("a", schema=Undeclared) as session:
        session.state.subject = "owls"
    later = make_second(lenses=[rename("topic", "subject")])
    with store.open("a", schema=later) as session:
        session.state.subject = "bees"
    assert newest(store)[SECTION]["Research"]["steps"] == [
        [1, 2, [["rename", ["topic"], "subject"]], None]
    ]
    assert store.at("a", 2, schema=v1).state.topic == "bees"


def test_two_schemas_share_a_state(old_state: perdure.Store) -> None:
    @perdure.schema("Billing")
    @dataclass
    class Billing:
        cents: int = 0

    with old_state.open("a", schema=Billing) as session:
        session.state.cents = 3
    assert set(newest(old_state)[SECTION]) == {"Research", "Billing"}


def test_a_stamp_keeps_what_newer_versions_of_the_library_add(
    store: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    with store.open("a", schema=v1) as session:
        session.state.topic = "owls"
        session.save()
        session._document.write_reserved(
            SECTION, {"Research": {"version": 1, "steps": [], "later": [1]}}
        )
    with store.open("a", schema=v2) as session:
        session.save()
    assert newest(store)[SECTION]["Research"]["later"] == [1]


# ---- newer code, older state ----------------------------------------------------------------


def test_an_older_state_is_migrated_in_memory(old_state: perdure.Store, v2: type[Any]) -> None:
    with old_state.open("a", schema=v2) as session:
        state = session.state
        assert (state.subject, state.budget, state.status) == ("owls", 5, 1)
        assert state.messages == [Newer("user", "hi"), Newer("bot", "hello")]
        assert not session._has_unsaved()
    assert version(old_state) == 1
    assert len(old_state.history("a")) == 1


def test_the_migration_is_a_checkpoint_of_its_own(old_state: perdure.Store, v2: type[Any]) -> None:
    with old_state.open("a", schema=v2) as session:
        session.state.budget = 7
        saved = session.save("first")
    assert saved.number == 3
    labels = [each.label for each in old_state.history("a")]
    assert labels == ["first", "migrate Research 1 → 2", None]
    migrated = old_state.history("a")[1]
    assert migrated.metadata == {"perdure.migrated": {"schema": "Research", "from": 1, "to": 2}}
    assert [each.summary() for each in old_state.diff("a", 2, 3)] == ["changed budget: 5 → 7"]


def test_a_save_without_edits_writes_the_migration(old_state: perdure.Store, v2: type[Any]) -> None:
    with old_state.open("a", schema=v2) as session:
        assert session.changes()
        assert session.save().label == "migrate Research 1 → 2"
        assert not session.changes()
    assert version(old_state) == 2


def test_a_migration_that_was_saved_can_be_rolled_back(
    old_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    before = newest(old_state)
    with old_state.open("a", schema=v2) as session:
        session.save()
    old_state.rollback("a", to=1)
    assert newest(old_state) == before
    with old_state.open("a", schema=v1) as session:
        assert session.state.notes == "at night"


def test_only_what_a_migration_reaches_is_read(store: perdure.Store, v1: type[Any]) -> None:
    with store.open("a") as session:
        session.state.update(topic="owls", other=["x" * 100] * 5000)
    store.maintain("a")
    second = make_second(lenses=[rename("topic", "subject")])
    with store.open("a", schema=second) as session:
        assert session.state.subject == "owls"
        assert "other" in session._document.unloaded()


def test_functions_are_given_all_sections(old_state: perdure.Store, v2: type[Any]) -> None:
    seen: list[dict[str, Any]] = []

    @perdure.schema("Research", version=3)
    @dataclass
    class Research:
        title: str = ""

    perdure.migration(Research, 1, 2, [rename("topic", "subject")])

    @perdure.migration(Research, 2, 3)
    def titles(state: dict[str, Any]) -> None:
        seen.append(dict(state))
        state["title"] = state.pop("subject").title()

    with old_state.open("a", schema=Research) as session:
        assert session.state.title == "Owls"
        session.save()
    assert set(seen[0]) == {"subject", "notes", "messages"}
    assert newest(old_state)[SECTION]["Research"]["version"] == 3
    assert newest(old_state)["notes"] == "at night"


@pytest.mark.parametrize("returned", [[], "x", {"perdure.schema": 1}, {1: 2}, {"a": object()}])
def test_a_function_that_returns_no_sections_is_refused(
    old_state: perdure.Store, returned: Any
) -> None:
    broken = make_broken(lambda state: returned)
    with pytest.raises(errors.MigrationFailed, match="from version 1 to 2"):
        old_state.open("a", schema=broken)
    assert version(old_state) == 1


def test_a_function_that_fails_says_so(old_state: perdure.Store) -> None:
    def fails(state: dict[str, Any]) -> None:
        raise ZeroDivisionError("oh")

    with pytest.raises(errors.MigrationFailed, match=r"fails.* failed: ZeroDivisionError: oh"):
        old_state.open("a", schema=make_broken(fails))


def test_what_a_function_makes_has_to_fit_the_schema(old_state: perdure.Store) -> None:
    @perdure.schema("Research", version=3)
    @dataclass
    class Research:
        subject: str = ""
        notes: int = 0  # which is text, as it was: told when it is read
        messages: list[Newer] = field(default_factory=list)

    @perdure.migration(Research, 1, 2, touches=["topic", "messages"])
    def half_done(state: dict[str, Any]) -> None:
        for message in state["messages"][1:]:
            message["author"] = message.pop("role")

    perdure.migration(Research, 2, 3, [rename("topic", "subject")])
    with pytest.raises(errors.MigrationFailed, match="messages/0") as raised:
        old_state.open("a", schema=Research)
    assert raised.value.path[:2] == ("messages", 0)
    with old_state.open("a") as raw:
        raw.state["messages"][0]["author"] = raw.state["messages"][0].pop("role")
    with old_state.open("a", schema=Research) as session:
        assert [each.author for each in session.state.messages] == ["user", "bot"]
        with pytest.raises(errors.BadStored):
            _ = session.state.notes


def test_what_a_function_makes_under_another_name_has_to_fit(old_state: perdure.Store) -> None:
    @perdure.schema("Research", version=3)
    @dataclass
    class Research:
        subject: str = ""

    perdure.migration(Research, 1, 2, touches=["topic"])(lambda state: {"topic": 1})
    perdure.migration(Research, 2, 3, [rename("topic", "subject")])
    with pytest.raises(errors.MigrationFailed) as raised:
        old_state.open("a", schema=Research)
    assert raised.value.path == ("subject",)


def test_a_function_sees_and_makes_what_it_says(old_state: perdure.Store) -> None:
    seen: list[list[str]] = []

    @perdure.schema("Research", version=3)
    @dataclass
    class Research:
        topic: str = ""

    perdure.migration(Research, 1, 2, [rename("notes", "remarks")])

    @perdure.migration(Research, 2, 3, touches=["topic"])
    def shouts(state: dict[str, Any]) -> dict[str, Any]:
        seen.append(list(state))
        return {"topic": state["topic"].upper()}

    with old_state.open("a", schema=Research) as session:
        session.save()
    assert seen == [["topic"]]
    assert {"remarks", "topic", "messages"} <= newest(old_state).keys()

    @perdure.schema("Research", version=4)
    @dataclass
    class Other:
        topic: str = ""

    @perdure.migration(Other, 3, 4, touches=["topic"])
    def sprawls(state: dict[str, Any]) -> None:
        state["more"] = 1

    with pytest.raises(errors.MigrationFailed, match=r"made more, which its touches"):
        old_state.open("a", schema=Other)


def make_broken(function: Callable[[dict[str, Any]], Any]) -> type[Any]:
    @perdure.schema("Research", version=2)
    @dataclass
    class Research:
        topic: str = ""

    perdure.migration(Research, 1, 2)(function)
    return Research


def test_a_value_that_does_not_fit_a_lens_is_named(store: perdure.Store, v2: type[Any]) -> None:
    with store.open("a") as session:
        session.state.update(topic="owls", status="lost")
    with pytest.raises(errors.MigrationFailed, match="status") as raised:
        store.open("a", schema=v2)
    assert raised.value.path == ("status",)
    with store.open("a") as session:
        assert session.state["status"] == "lost"


def test_a_chain_takes_the_fewest_steps() -> None:
    @perdure.schema(version=4)
    @dataclass
    class Chained:
        d: int = 0

    for older, newer in ((1, 2), (2, 3), (3, 4), (2, 4)):
        perdure.migration(Chained, older, newer, [rename(f"n{older}", f"n{newer}")])
    with perdure.Store("memory:") as store:
        with store.open("a") as session:
            session.state["n1"] = 1
        with store.open("a", schema=Chained) as typed:
            assert list(typed.raw) == ["n4", SECTION]


def test_a_chain_that_is_not_there_is_missed(old_state: perdure.Store) -> None:
    @perdure.schema("Research", version=3)
    @dataclass
    class Research:
        topic: str = ""

    perdure.migration(Research, 2, 3, [])
    with pytest.raises(errors.MigrationMissing, match=r"from version 1 .*to 3 .*2 → 3"):
        old_state.open("a", schema=Research)


def test_states_from_before_schemas_may_have_a_version_of_their_own(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["thema"] = "owls"

    @perdure.schema("Research")
    @dataclass
    class Research:
        topic: str = ""

    perdure.migration(Research, 0, 1, [rename("thema", "topic")])
    with store.open("a", schema=Research) as typed:
        assert typed.state.topic == "owls"


def test_a_class_that_was_renamed_migrates_nothing_twice(
    old_state: perdure.Store, v2: type[Any]
) -> None:
    with old_state.open("a", schema=v2) as session:
        session.save()

    @perdure.schema(version=2)
    @dataclass
    class Study:
        subject: str = ""

    perdure.migration(Study, 1, 2, [rename("topic", "subject")])
    with pytest.raises(errors.SchemaMismatch, match=r"schema\('Research', version=2\)"):
        old_state.open("a", schema=Study)


# ---- declaring ------------------------------------------------------------------------------


def test_declarations_that_make_no_sense_are_refused(v2: type[Any]) -> None:
    for wrong in (
        lambda: perdure.schema(""),
        lambda: perdure.schema(v2),  # type: ignore[arg-type]
        lambda: perdure.schema("a", version=0),
        lambda: perdure.schema("a", version=True),
        lambda: perdure.schema("again")(v2),
        lambda: perdure.migration(v2, 2, 3, []),
        lambda: perdure.migration(v2, 1, 2, []),
        lambda: perdure.migration(v2, 1, 1, []),
        lambda: perdure.migration(v2, 0, 1, ["topic"]),  # type: ignore[list-item]
        lambda: perdure.migration(v2, 0, 1, "topic"),  # type: ignore[arg-type]
        lambda: perdure.migration("Research", 0, 1, []),  # type: ignore[call-overload]
        lambda: perdure.migration(v2, 0, 1, touches=["perdure.x"]),
    ):
        with pytest.raises(errors.UsageError):
            wrong()


def test_wrap_and_move_go_both_ways(store: perdure.Store) -> None:
    @perdure.schema("Plan")
    @dataclass
    class First:
        owner: str = ""
        goal: str = ""

    @perdure.schema("Plan", version=2)
    @dataclass
    class Second:
        owner: list[str] = field(default_factory=list)
        plan: Inner = field(default_factory=Inner)

    perdure.migration(Second, 1, 2, [wrap("owner"), move("goal", "plan/goal")])
    with store.open("a", schema=First) as session:
        session.state.owner, session.state.goal = "ann", "win"
    with store.open("a", schema=Second) as newer:
        newer.state.owner.append("bob")
        newer.state.plan.goal = "draw"
    with store.open("a", schema=First) as session:
        assert (session.state.owner, session.state.goal) == ("ann", "draw")
        session.state.owner = "eve"
    with store.open("a", schema=Second) as newer:
        assert newer.state.owner == ["eve", "bob"]


def test_a_session_whose_migration_was_rolled_back_is_told_and_shows_none_of_the_older_layout(
    old_state: perdure.Store, v2: type[Any]
) -> None:
    session = old_state.open("a", schema=v2)
    session.state.budget = 7
    session.save()
    old_state.rollback("a", to=1)
    with pytest.raises(errors.SchemaChanged, match="from version 2 of Research to 1"):
        session.refresh()
    assert session.state.subject == "owls"
    session.close()
    with old_state.open("a", schema=v2) as again:
        assert (again.state.subject, again.state.budget) == ("owls", 5)


def test_an_older_view_is_no_view_of_a_state_that_was_rolled_back_to_before_its_stamp(
    store: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    with store.open("a") as untyped:
        untyped.state["topic"] = "owls"
    with store.open("a", schema=v2) as other:
        other.save()
    session = store.open("a", schema=v1)
    assert session.state.topic == "owls"
    store.rollback("a", to=1)
    with pytest.raises(errors.SchemaChanged, match="from version 2 of Research to 1"):
        session.refresh()
    session.close()


def test_a_session_that_migrated_is_told_of_the_next_migration_by_others(
    old_state: perdure.Store, v2: type[Any]
) -> None:
    @perdure.schema("Research", version=3)
    @dataclass
    class Research:
        title: str = ""

    perdure.migration(Research, 2, 3, [rename("subject", "title")])
    session = old_state.open("a", schema=v2)
    session.save()
    with old_state.open("a", schema=Research) as other:
        other.save()
    session.state.subject = "bees"
    with pytest.raises(errors.SchemaChanged, match="from version 2 of Research to 3"):
        session.save()
    with pytest.raises(errors.SchemaChanged, match="from version 2 of Research to 3"):
        session.refresh()
    session.close()


def test_what_is_declared_wrongly_is_told_with_the_way_out(v2: type[Any]) -> None:
    with pytest.raises(errors.UsageError, match="declared already: declare each once"):
        perdure.migration(v2, 1, 2, [])
    with pytest.raises(errors.UsageError, match="not from 2 to 1"):
        perdure.migration(v2, 2, 1, [])
