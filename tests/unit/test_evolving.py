"""States that are opened through schemas: stamped, migrated, and edited by older code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import perdure
from perdure import errors
from perdure.core.versions import SECTION
from perdure.lenses import add, convert, in_items, move, remove, rename, wrap


@dataclass
class Message:
    role: str
    content: str


@dataclass
class Newer:
    author: str
    content: str


Classes = tuple[type[Any], type[Any]]


def make_first() -> type[Any]:
    @perdure.schema("Research")
    @dataclass
    class Research:
        topic: str = ""
        notes: str = ""
        status: str = "open"
        messages: list[Message] = field(default_factory=list)

    return Research


def make_second(*, lenses: Any = None) -> type[Any]:
    @perdure.schema("Research", version=2)
    @dataclass
    class Research:
        subject: str = ""
        budget: int = 0
        status: int = 1
        messages: list[Newer] = field(default_factory=list)

    perdure.migration(
        Research,
        1,
        2,
        [
            rename("topic", "subject"),
            add("budget", 5),
            remove("notes", default=""),
            convert("status", {"open": 1, "closed": 2}),
            in_items("messages", [rename("role", "author"), add("tokens", 0)]),
        ]
        if lenses is None
        else lenses,
    )
    return Research


@pytest.fixture
def store() -> Iterator[perdure.Store]:
    with perdure.Store("memory:") as opened:
        yield opened


@pytest.fixture
def v1() -> type[Any]:
    return make_first()


@pytest.fixture
def v2() -> type[Any]:
    return make_second()


@pytest.fixture
def old_state(store: perdure.Store, v1: type[Any]) -> perdure.Store:
    with store.open("a", schema=v1) as session:
        session.state.topic, session.state.notes = "owls", "at night"
        session.state.messages += [Message("user", "hi"), Message("bot", "hello")]
    return store


def newest(store: perdure.Store, key: str = "a") -> dict[str, Any]:
    return store.at(key, store.history(key)[0].number).plain()


def version(store: perdure.Store) -> int:
    found: int = newest(store)[SECTION]["Research"]["version"]
    return found


# ---- stamps -----------------------------------------------------------------------------------


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
    store: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    with store.open("a", schema=v2) as session:
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


# ---- newer code, older state --------------------------------------------------------------------


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
        with store.open("a", schema=Chained) as session:
            assert list(session.raw) == ["n4", SECTION]


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
    with store.open("a", schema=Research) as session:
        assert session.state.topic == "owls"


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


# ---- older code, newer state --------------------------------------------------------------------


@pytest.fixture
def new_state(old_state: perdure.Store, v2: type[Any]) -> perdure.Store:
    with old_state.open("a", schema=v2) as session:
        session.state.budget = 9
        session.raw["messages"][0]["tokens"] = 17
        session.raw["secret"] = {"of": "v2"}
    return old_state


def test_older_code_sees_its_own_version(new_state: perdure.Store, v1: type[Any]) -> None:
    with new_state.open("a", schema=v1) as session:
        state = session.state
        assert (state.topic, state.notes, state.status) == ("owls", "at night", "open")
        assert state.messages == [Message("user", "hi"), Message("bot", "hello")]
    assert new_state.history("a")[0].number == 3


def test_what_older_code_edits_is_made_in_the_newer_form(
    new_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    with new_state.open("a", schema=v1) as session:
        session.state.topic += "!"
        session.state.status = "closed"
        session.state.notes = "by day"
        session.state.messages[0].content = "HI"
        session.state.messages.insert(1, Message("user", "again"))
    assert version(new_state) == 2
    with new_state.open("a", schema=v2) as session:
        assert (session.state.subject, session.state.status) == ("owls!", 2)
        assert session.state.budget == 9
        assert [each.content for each in session.state.messages] == ["HI", "again", "hello"]
        assert session.raw["messages"][0]["tokens"] == 17
        assert session.raw["secret"] == {"of": "v2"}
    with new_state.open("a", schema=v1) as session:
        assert session.state.notes == "by day"


def test_only_what_changed_is_written(new_state: perdure.Store, v1: type[Any]) -> None:
    with new_state.open("a", schema=v1) as session:
        session.state.messages[1].content += " you"
        assert session.changes() == [perdure.Splice(("messages", 1, "content"), 5, 0, " you")]
        session.save()
        assert session.changes() == []


def test_an_edit_is_kept_for_a_save_that_failed(new_state: perdure.Store, v1: type[Any]) -> None:
    with new_state.open("a", schema=v1) as session:
        session.state.topic = "bees"
        with new_state.open("a") as other:
            other.state["other"] = 1
        with pytest.raises(errors.Conflict) as raised:
            session.save()
        assert [each.path for each in raised.value.mine] == [("subject",)]
        session.refresh(keep_changes=True)
        assert session.state.topic == "bees"
        session.save()
    assert newest(new_state)["subject"] == "bees"
    assert newest(new_state)["other"] == 1


def test_a_refresh_shows_what_others_saved(
    new_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    with new_state.open("a", schema=v1) as session:
        messages, first = session.state.messages, session.state.messages[0]
        session.state.topic = "mine"
        with new_state.open("a", schema=v2) as other:
            other.state.subject = "theirs"
            other.state.messages[0].author = "me"
            other.state.messages.append(Newer("bot", "more"))
        session.refresh()
        assert session.state.topic == "theirs"
        assert first.role == "me"
        assert len(messages) == 3
        assert session.changes() == []


def test_sessions_of_both_versions_merge(
    new_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    with new_state.open("a", schema=v1, on_conflict="merge") as older:
        older.state.messages.append(Message("user", "from v1"))
        with new_state.open("a", schema=v2, on_conflict="merge") as newer:
            newer.state.budget = 11
            newer.state.messages[0].content = "from v2"
        assert older.save().merged is not None
        assert older.state.messages[0].content == "from v2"
        older.state.topic = "bees"
    with new_state.open("a", schema=v2) as session:
        assert session.state.budget == 11
        assert session.state.subject == "bees"
        assert [each.content for each in session.state.messages] == ["from v2", "hello", "from v1"]


def test_a_block_that_fails_undoes_its_edits(new_state: perdure.Store, v1: type[Any]) -> None:
    with new_state.open("a", schema=v1) as session:
        session.state.notes = "kept"
        with pytest.raises(ZeroDivisionError), session.atomic():
            session.state.topic = "lost"
            session.state.messages.clear()
            raise ZeroDivisionError
        assert session.state.topic == "owls"
    assert newest(new_state)["subject"] == "owls"
    assert len(newest(new_state)["messages"]) == 2


def test_what_an_error_discards_is_not_saved(new_state: perdure.Store, v1: type[Any]) -> None:
    with pytest.raises(ZeroDivisionError), new_state.open("a", schema=v1) as session:
        session.state.topic = "lost"
        raise ZeroDivisionError
    assert newest(new_state)["subject"] == "owls"


def test_edits_after_the_end_are_refused(new_state: perdure.Store, v1: type[Any]) -> None:
    with new_state.open("a", schema=v1) as session:
        messages = session.state.messages
    with pytest.raises(errors.Detached):
        messages.append(Message("user", "late"))


def test_sections_are_loaded_when_they_are_touched(store: perdure.Store, v1: type[Any]) -> None:
    second = make_second(
        lenses=[rename("topic", "subject"), in_items("messages", [rename("role", "author")])]
    )
    with store.open("a", schema=second) as session:
        session.state.subject = "owls"
        session.state.messages += [Newer("user", "x" * 100) for _ in range(5000)]
        session.raw["other"] = ["x" * 100] * 5000
    store.maintain("a")
    with store.open("a", schema=v1) as session:
        assert session.state.topic == "owls"
        assert session._document.unloaded() == {"messages", "other"}
        session.state.messages[4999].role = "bot"
        assert session._document.unloaded() == {"other"}
        assert session.changes() == [perdure.Set(("messages", 4999, "author"), "bot")]


def test_windows_show_the_whole_list_of_another_layout(
    new_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    with new_state.open("a", schema=v1, windows={"messages": 1}) as session:
        assert len(session.state.messages) == 2
        assert session.length("messages") == 2
        assert session.window("messages", last=1) == [{"content": "hello", "role": "bot"}]
    new_state.rollback("a", to=1)
    with new_state.open("a", schema=v2, windows={"messages": 1}) as session:
        assert len(session.state.messages) == 2


def test_a_list_that_stays_as_it_is_keeps_its_window(old_state: perdure.Store) -> None:
    second = make_second(lenses=[rename("topic", "subject"), add("budget", 1)])
    with old_state.open("a", schema=second, windows={"messages": 1}) as session:
        assert len(session.raw["messages"]) == 1
        assert session.length("messages") == 2


# ---- what older code does not understand ----------------------------------------------------------


def by_function(touches: list[str] | None) -> type[Any]:
    @perdure.schema("Research", version=2)
    @dataclass
    class Research:
        topic: str = ""
        plan: str = ""
        messages: list[Message] = field(default_factory=list)

    @perdure.migration(Research, 1, 2, touches=touches)
    def plans(state: dict[str, Any]) -> None:
        state["topic"] = state.get("topic", "").upper()

    return Research


def test_sections_that_a_function_touched_are_not_edited(
    old_state: perdure.Store, v1: type[Any]
) -> None:
    with old_state.open("a", schema=by_function(["topic"])) as session:
        session.save()
    with old_state.open("a", schema=v1) as session:
        assert session.state.topic == "OWLS"
        with pytest.raises(errors.SchemaNewer, match="version 2 .* version 1.*'topic'"):
            session.state.topic = "bees"
        session.state.messages[0].content = "fine"
        session.state.notes = "fine too"
    assert newest(old_state)["topic"] == "OWLS"
    assert newest(old_state)["notes"] == "fine too"


def test_a_function_that_does_not_say_may_have_touched_all(
    old_state: perdure.Store, v1: type[Any]
) -> None:
    with old_state.open("a", schema=by_function(None)) as session:
        session.save()
    with old_state.open("a", schema=v1) as session:
        assert session.state.messages[0].content == "hi"
        for edit in (
            lambda: session.state.messages.append(Message("user", "no")),
            lambda: setattr(session.state.messages[0], "content", "no"),
            lambda: session.raw.pop("notes"),
            lambda: session.raw.__setitem__("brand new", 1),
            lambda: session.raw.clear(),
        ):
            with pytest.raises(errors.SchemaNewer):
                edit()
        assert session.changes() == []


def test_a_lossy_lens_is_read_and_not_written(old_state: perdure.Store, v1: type[Any]) -> None:
    second = make_second(lenses=[remove("notes", default="none", keep=False, lossy=True)])
    with old_state.open("a", schema=second) as session:
        session.save()
    with old_state.open("a", schema=v1) as session:
        assert session.state.notes == "none"
        session.state.topic = "bees"
        with pytest.raises(errors.SchemaNewer):
            session.state.notes = "lost"


def test_a_version_whose_steps_are_not_known_is_read_only(
    store: perdure.Store, v1: type[Any]
) -> None:
    @perdure.schema("Research", version=7)
    @dataclass
    class Research:
        topic: str = ""

    with store.open("a", schema=Research) as session:
        session.state.topic = "owls"
    with store.open("a", schema=v1) as session:
        assert session.state.topic == "owls"
        with pytest.raises(errors.SchemaNewer, match="version 7"):
            session.state.topic = "bees"


# ---- versions that change meanwhile -----------------------------------------------------------------


@pytest.mark.parametrize("on_conflict", ["raise", "merge"])
def test_a_session_does_not_save_over_a_migration(
    old_state: perdure.Store, v1: type[Any], v2: type[Any], on_conflict: Any
) -> None:
    session = old_state.open("a", schema=v1, on_conflict=on_conflict)
    session.state.topic = "bees"
    with old_state.open("a", schema=v2) as other:
        other.save()
    with pytest.raises(errors.Reload):
        session.save()
    with pytest.raises(errors.SchemaChanged, match="from version 1 of Research to 2"):
        session.refresh(keep_changes=True)
    with pytest.raises(errors.SchemaChanged):
        session.refresh()
    assert [each.path for each in session.changes()] == [("topic",)]
    with pytest.raises(errors.Reload):
        session.close()
    session._core.drop_waiting()
    session._document.capture()
    session.close()
    with old_state.open("a", schema=v1) as again:
        again.state.topic = "bees"
    assert newest(old_state)["subject"] == "bees"


def test_an_untyped_session_does_not_merge_over_a_migration(
    old_state: perdure.Store, v2: type[Any]
) -> None:
    session = old_state.open("a", on_conflict="merge", on_error="discard")
    session.state["topic"] = "bees"
    with old_state.open("a", schema=v2) as other:
        other.save()
    with pytest.raises(errors.SchemaChanged, match="Research 2"):
        session.save()
    session.refresh()
    assert session.state["subject"] == "owls"
    session.close()


def test_a_migration_that_others_overtook_is_not_saved(
    old_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    session = old_state.open("a", schema=v2, on_conflict="merge")
    session.state.budget = 8
    with old_state.open("a", schema=v1) as other:
        other.state.notes = "newer"
    with pytest.raises(errors.SchemaChanged, match="while this session was migrating"):
        session.save()
    assert version(old_state) == 1
    with pytest.raises(errors.SchemaChanged):
        session.close()
    session._core.drop_waiting()
    session._document.capture()
    with old_state.open("a", schema=v2) as again:
        again.state.budget = 8
    assert newest(old_state)["perdure.kept"] == {"notes@2": ["newer"]}


def test_branches_of_different_versions_are_not_merged(
    old_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    old_state.fork("a", "older")
    with old_state.open("a", schema=v2) as session:
        session.save()
    with old_state.open("a", schema=v1, branch="older") as session:
        session.state.topic = "bees"
    with pytest.raises(errors.SchemaChanged, match="different versions"):
        old_state.merge("a", "older")
    with old_state.open("a", schema=v2, branch="older") as session:
        session.save()
    assert old_state.merge("a", "older") is not None
    assert newest(old_state)["subject"] == "bees"


# ---- the past -------------------------------------------------------------------------------------


def test_the_past_is_shown_in_every_version(
    new_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    first, last = new_state.at("a", 1, schema=v2), new_state.at("a", 3, schema=v1)
    assert first.state.subject == "owls"
    assert first["budget"] == 5
    assert last.state.topic == "owls"
    assert last.state.messages[0] == Message("user", "hi")
    with pytest.raises(errors.Detached):
        last.state.topic = "edited"
    told = [each.summary() for each in new_state.diff("a", 1, 3, schema=v2)]
    assert "changed budget: 5 → 9" in told
    assert not any("topic" in each for each in told)
    assert new_state.diff("a", 1, 3, schema=v1) == []


def test_diff_of_two_states_in_different_versions(
    new_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    with new_state.open("b", schema=v1) as session:
        session.state.topic = "owls"
    told = [each.summary() for each in new_state.diff("b", "main", "main", other="a", schema=v1)]
    assert any(each.startswith("added notes") for each in told)


# ---- asyncio --------------------------------------------------------------------------------------


def test_under_asyncio_both_versions_work(v1: type[Any], v2: type[Any]) -> None:
    async def story() -> dict[str, Any]:
        async with perdure.AsyncStore("memory:") as store:
            async with store.open("a", schema=v1) as session:
                session.state.topic = "owls"
                session.state.messages.append(Message("user", "hi"))
            async with store.open("a", schema=v2) as newer:
                newer.state.messages[0].content = "HI"
                await newer.save()
            async with store.open("a", schema=v1, sections=["topic"]) as session:
                with pytest.raises(errors.SectionNotLoaded):
                    _ = session.state.messages
                await session.load("messages")
                session.state.messages.append(Message("bot", "hello"))
                session.state.topic += "!"
                async with store.open("a", schema=v2) as other:
                    other.state.budget = 3
                with pytest.raises(errors.Conflict):
                    await session.save()
                await session.refresh(keep_changes=True)
                await session.save()
                assert (await store.at("a", 5, schema=v1)).state.topic == "owls!"
            return (await store.at("a", 5)).plain()

    found = asyncio.run(story())
    assert found["budget"] == 3
    assert found["messages"] == [
        {"content": "HI", "author": "user", "tokens": 0},
        {"role": "bot", "content": "hello"} | {"author": "bot", "tokens": 0}
        and {"content": "hello", "author": "bot", "tokens": 0},
    ]


# ---- declaring --------------------------------------------------------------------------------------


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
        lambda: perdure.migration(v2, 0, 1, "topic"),  # type: ignore[call-overload]
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

    @dataclass
    class Inner:
        goal: str = ""

    @perdure.schema("Plan", version=2)
    @dataclass
    class Second:
        owner: list[str] = field(default_factory=list)
        plan: Inner = field(default_factory=Inner)

    perdure.migration(Second, 1, 2, [wrap("owner"), move("goal", "plan/goal")])
    with store.open("a", schema=First) as session:
        session.state.owner, session.state.goal = "ann", "win"
    with store.open("a", schema=Second) as session:
        session.state.owner.append("bob")
        session.state.plan.goal = "draw"
    with store.open("a", schema=First) as session:
        assert (session.state.owner, session.state.goal) == ("ann", "draw")
        session.state.owner = "eve"
    with store.open("a", schema=Second) as session:
        assert session.state.owner == ["eve", "bob"]
