"""Newer states in the hands of older code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.evolution import Message, Newer, make_second, newest, version

import perdure
from perdure import errors
from perdure.lenses import add, in_items, remove, rename

# ---- older code, newer state ----------------------------------------------------------------


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


@pytest.mark.parametrize(
    "edit",
    [
        lambda messages: messages.reverse(),
        lambda messages: messages.append(messages.pop(0)),
        lambda messages: messages.insert(0, messages.pop()),
        lambda messages: messages.sort(key=lambda each: each.content),
        lambda messages: messages.__setitem__(slice(None), [messages[1], messages[0]]),
        lambda messages: messages.insert(1, Message("user", messages.pop(0).content)),
    ],
    ids=["reverse", "to the end", "to the front", "sort", "slice", "put in again as another"],
)
def test_what_newer_code_wrote_of_an_item_moves_with_it(
    new_state: perdure.Store, v1: type[Any], edit: Callable[[Any], object]
) -> None:
    with new_state.open("a", schema=v1) as session:
        edit(session.state.messages)
        order = [each.content for each in session.state.messages]
    assert order == ["hello", "hi"]
    found = newest(new_state)["messages"]
    assert [(each["content"], each["tokens"]) for each in found] == [("hello", 0), ("hi", 17)]


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


# ---- what older code does not understand ----------------------------------------------------


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
        with pytest.raises(errors.SchemaNewer, match=r"version 2 .* version 1.*'topic'"):
            session.state.topic = "bees"
        session.state.messages[0].content = "fine"
        session.state.notes = "fine too"
    assert newest(old_state)["topic"] == "OWLS"
    assert newest(old_state)["notes"] == "fine too"


def test_what_a_function_made_unreadable_is_not_told_to_be_mended(store: perdure.Store) -> None:
    first, second = make_tags()
    with store.open("a", schema=first) as session:
        session.state.tags.append("late")
    with store.open("a", schema=second) as session:
        session.save()
    with store.open("a", schema=first) as session:
        with pytest.raises(errors.BadStored, match=r"tags/0.*deploy the newer version") as bad:
            _ = session.state.tags
        assert bad.value.path == ("tags", 0)
        assert "mended" not in str(bad.value)
        assert session.raw["tags"] == [{"name": "late"}]


def make_tags() -> tuple[type[Any], type[Any]]:
    """Tags as texts, and as a function makes them models."""

    @perdure.schema("Tagged")
    @dataclass
    class First:
        tags: list[str] = field(default_factory=list)

    @perdure.schema("Tagged", version=2)
    @dataclass
    class Second:
        tags: list[dict[str, str]] = field(default_factory=list)

    @perdure.migration(Second, 1, 2, touches=["tags"])
    def tags_have_names(state: dict[str, Any]) -> None:
        state["tags"] = [{"name": each} for each in state["tags"]]

    return First, Second


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
            session.raw.clear,
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


# ---- the past -------------------------------------------------------------------------------


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
    found = new_state.diff("a", 1, 3, schema=v1)
    assert [each.path for each in found if each.kind != "moved"] == [("secret",)]


def test_diff_of_two_states_in_different_versions(
    new_state: perdure.Store, v1: type[Any], v2: type[Any]
) -> None:
    with new_state.open("b", schema=v1) as session:
        session.state.topic = "owls"
    told = [each.summary() for each in new_state.diff("b", "main", "main", other="a", schema=v1)]
    assert any(each.startswith("added notes") for each in told)


# ---- asyncio --------------------------------------------------------------------------------


def test_under_asyncio_both_versions_work(v1: type[Any], v2: type[Any]) -> None:
    async def story() -> dict[str, Any]:
        async with perdure.AsyncStore("memory:") as store:
            async with store.open("a", schema=v1) as session:
                session.state.topic = "owls"
                session.state.messages += [Message("user", "x" * 100)] * 5000
            await store.maintain("a")
            async with store.open("a", schema=v2) as newer:
                newer.state.messages[0].content = "HI"
                await newer.save()
            await store.maintain("a")
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
    assert len(found["messages"]) == 5001
    assert found["messages"][0] == {"content": "HI", "author": "user", "tokens": 0}
    assert found["messages"][-1] == {"content": "hello", "author": "bot", "tokens": 0}
