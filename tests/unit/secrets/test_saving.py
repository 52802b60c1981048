"""Secrets in what is saved: refused, or masked in the live state; told without the value (P13)."""

import asyncio
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure import FoundSecret, Secrets, Store
from perdure.core.codec import pack, unpack
from perdure.core.head import Claim
from perdure.engine.claims import Settling
from perdure.errors import PerdureError, SecretFound, Waiting
from perdure.secrets.screen import Screen
from perdure.state.document import Document

KEY = f"AKIA{'Q7' * 8}"
TOKEN = f"ghp_{'aB3' * 12}"
MASK = "[masked: AWS Access Key]"
TEXT = f"use {KEY}, please"


def texts_of(error: BaseException) -> str:
    """All that an error says, and all that it holds."""
    return f"{error} {error!r} {error.__dict__} {error.__cause__!r} {error.__context__!r}"


def nowhere(directory: Path, *secrets: str) -> None:
    for each in directory.iterdir():
        found = each.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in found]


@dataclass
class Bag:
    seen: set[str] = field(default_factory=set)


EDITS: dict[str, tuple[Callable[[Any], object], tuple[str | int, ...]]] = {
    "a section": (lambda state: state.__setitem__("note", TEXT), ("note",)),
    "an item": (
        lambda state: state["messages"].append({"role": "user", "content": TEXT}),
        ("messages", 1, "content"),
    ),
    "a field of an item": (
        lambda state: state["messages"][0].__setitem__("content", TEXT),
        ("messages", 0, "content"),
    ),
    "deep": (
        lambda state: state.__setitem__("plan", {"a": [{"b": [1, {"c": TEXT}]}]}),
        ("plan", "a", 0, "b", 1, "c"),
    ),
    "bytes": (lambda state: state.__setitem__("file", TEXT.encode()), ("file",)),
    "a key of a dict": (
        lambda state: state.__setitem__("plan", {"x": {KEY: 1}}),
        ("plan", "x", MASK),
    ),
    "a key of a dict that is stored": (
        lambda state: state["known"].__setitem__(KEY, {"x": 1}),
        ("known", MASK),
    ),
    "a tuple": (lambda state: state.__setitem__("pair", (1, [TEXT, 2], "b")), ("pair", 1, 0)),
    "a text in a tuple": (lambda state: state.__setitem__("pair", (1, TEXT)), ("pair", 1)),
    "a new set": (lambda state: state.__setitem__("tags", {"a", KEY}), ("tags",)),
    "a stored set": (lambda state: state["seen"].add(KEY), ("seen",)),
    "a text that grows": (
        lambda state: state.__setitem__("stream", state["stream"] + KEY[4:]),
        ("stream",),
    ),
    "a text of a list that grows": (
        lambda state: state["texts"].__setitem__(1, state["texts"][1] + KEY[4:]),
        ("texts", 1),
    ),
    "a slice": (
        lambda state: state["texts"].__setitem__(slice(1, 1), ["x", TEXT]),
        ("texts", 2),
    ),
}
BASE: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hello"}],
    "known": {"a": 1},
    "seen": {"a"},
    "stream": "the key is AKIA",
    "texts": ["a", "the key is AKIA"],
}


@pytest.fixture
def based(tmp_path: Path) -> Path:
    path = tmp_path / "agents.db"
    with Store(path) as store, store.open("a") as session:
        session.state.update(BASE)
    return path


@pytest.mark.parametrize("name", EDITS)
def test_a_secret_is_refused(based: Path, name: str) -> None:
    edit, path = EDITS[name]
    with Store(based, secrets="refuse") as store:
        session = store.open("a")
        edit(session.state)
        changes = session.changes()
        with pytest.raises(SecretFound, match="AWS Access Key") as caught:
            session.save()
        assert caught.value.found == (FoundSecret("a", "AWS Access Key", path),)
        assert KEY not in texts_of(caught.value)
        assert KEY[4:] not in texts_of(caught.value)
        assert session.changes() == changes
        assert store.info("a").number == 1
        with pytest.raises(SecretFound) as caught:
            session.close()
        assert caught.value.session is session
        session.refresh()
        session.close()
    nowhere(based.parent, KEY[4:])


@pytest.mark.parametrize("name", EDITS)
@pytest.mark.parametrize("check_edits", [False, True])
def test_a_secret_is_masked_in_the_live_state(based: Path, name: str, check_edits: bool) -> None:
    edit, path = EDITS[name]
    with Store(based, secrets="mask", check_edits=check_edits) as store:
        with store.open("a") as session:
            edit(session.state)
            checkpoint = session.save()
            assert checkpoint.masked == (FoundSecret("a", "AWS Access Key", path),)
            assert session.changes() == []
            now = session.state.plain()
            assert KEY[4:] not in repr(now)
            assert "masked: AWS Access Key" in repr(now)
            session.state["later"] = 1
            assert session.save().masked == ()
        with store.open("a") as session:  # what was read is what is read now
            assert session.state.plain() == {**now, "later": 1}
        assert all(each.ok for each in store.verify())
        told = [each.masked for each in store.history("a")]
        assert told == [(), checkpoint.masked, ()]  # it is kept with the checkpoint
    nowhere(based.parent, KEY[4:])


def test_what_was_not_changed_is_not_looked_at(based: Path) -> None:
    with Store(based) as store, store.open("a") as session:
        session.state["old"] = [TEXT]
    with Store(based, secrets="refuse") as store, store.open("a") as session:
        session.state["old"].append("fine")
        session.save()
        assert session.state["old"] == [TEXT, "fine"]


def test_a_window_is_masked_where_it_is(tmp_path: Path) -> None:
    with Store(tmp_path / "agents.db", secrets="mask") as store:
        with store.open("a") as session:
            session.state["messages"] = [{"content": str(n)} for n in range(50)]
        with store.open("a", windows={"messages": 3}) as session:
            messages = session.state["messages"]
            messages.append({"content": TEXT})
            messages[0]["content"] = TEXT
            told = session.save().masked
            assert {each.path for each in told} == {
                ("messages", 50, "content"),
                ("messages", 47, "content"),
            }
            assert [each["content"] for each in messages] == [
                f"use {MASK}, please",
                "48",
                "49",
                f"use {MASK}, please",
            ]
        assert store.at("a", "main")["messages"][47]["content"] == f"use {MASK}, please"


def test_containers_that_are_held_stay_live(based: Path) -> None:
    with Store(based, secrets="mask") as store, store.open("a") as session:
        session.state["messages"].append({"content": TEXT, KEY: [1]})
        held = session.state["messages"][1]
        session.save()
        assert held == {"content": f"use {MASK}, please", MASK: [1]}
        held["more"] = 1
        held[MASK].append(2)
        session.save()
        assert session.state["messages"][1] is held
        assert store.at("a", "main")["messages"][1] == held.plain()


def test_two_keys_that_become_one_marker_stay_two(based: Path) -> None:
    other = f"AKIA{'Z9' * 8}"
    with Store(based, secrets="mask") as store, store.open("a") as session:
        session.state["plan"] = {KEY: 1, other: 2}
        session.state["known"][KEY] = 3
        session.state["known"][other] = 4
        session.save()
        assert session.state["plan"] == {MASK: 1, f"{MASK} 2": 2}
        assert session.state["known"] == {"a": 1, MASK: 3, f"{MASK} 2": 4}


def test_label_metadata_and_summary(based: Path) -> None:
    with Store(based, secrets="mask") as store, store.open("a") as session:
        session.summary = TEXT
        metadata = {"note": [TEXT]}
        checkpoint = session.save(TEXT, metadata)
        assert (checkpoint.label, checkpoint.metadata) == (
            f"use {MASK}, please",
            {"note": [f"use {MASK}, please"]},
        )
        assert [each.path for each in checkpoint.masked] == [
            ("label",),
            ("metadata", "note", 0),
            ("summary",),
        ]
        assert metadata == {"note": [TEXT]}
        assert session.summary == f"use {MASK}, please"
    with Store(based, secrets="refuse") as store, store.open("a") as session:
        for options in ({"label": TEXT}, {"metadata": {"x": TEXT}}):
            with pytest.raises(SecretFound):
                session.save(**options)
        session.summary = TEXT
        with pytest.raises(SecretFound):
            session.save()
        session.summary = None
    nowhere(based.parent, KEY)


def test_no_section_is_renamed(based: Path) -> None:
    with Store(based, secrets="mask") as store:
        session = store.open("a")
        session.state[KEY] = 1
        with pytest.raises(SecretFound) as caught:
            session.save()
        assert KEY not in texts_of(caught.value)
        del session.state[KEY]
        session.close()


def test_what_people_say(based: Path) -> None:
    with Store(based, secrets="mask") as store:
        with pytest.raises(Waiting), store.open("a") as session:
            session.ask("key?", {"hint": "x"})
        store.answer("a", "key?", TEXT)
        with store.open("a") as session:
            assert session.ask("key?", {"hint": "x"}) == f"use {MASK}, please"
    with Store(based, secrets="refuse") as store:
        with pytest.raises(Waiting), store.open("a") as session:
            session.ask("again?", {"hint": "x"})
        with pytest.raises(SecretFound):
            store.answer("a", "again?", TEXT)
    nowhere(based.parent, KEY)


def test_a_session_that_merges(based: Path) -> None:
    with (
        Store(based, secrets="mask") as store,
        store.open("a", on_conflict="merge", strategies={"messages": "append"}) as session,
        Store(based) as others,
    ):
        session.state["messages"].append({"content": TEXT})
        with others.open("a") as other:
            other.state["messages"].append({"content": "theirs"})
        session.refresh(keep_changes=True)
        assert KEY not in repr(session.state)
        masked = session.save().masked
        assert [each.kind for each in masked] == ["AWS Access Key"]
        assert len(session.state["messages"]) == 3
    nowhere(based.parent, KEY)


def test_several_saves_at_once() -> None:
    async def work() -> None:
        async with (
            perdure.AsyncStore("memory:", secrets="mask") as store,
            store.open("a") as session,
        ):
            session.state["messages"] = [TEXT]
            first = asyncio.create_task(session.save())
            await asyncio.sleep(0)
            session.state["messages"].append(TOKEN)
            both = await asyncio.gather(first, session.save())
            told = {each.kind for checkpoint in both for each in checkpoint.masked}
            assert told == {"AWS Access Key", "GitHub Token"}
            assert session.state["messages"] == [f"use {MASK}, please", "[masked: GitHub Token]"]
        async with perdure.AsyncStore("memory:", secrets="refuse") as store:
            session = await store.open("a")
            session.state["note"] = TEXT
            with pytest.raises(SecretFound):
                await session.save()
            await session.refresh()
            await session.close()

    asyncio.run(work())


def test_events_and_log_tell_without_the_value(
    based: Path, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[perdure.Event] = []
    caplog.set_level(logging.DEBUG, "perdure")
    with (
        Store(based, secrets="mask", on_event=events.append) as store,
        store.open("a") as session,
    ):
        session.state["note"] = TEXT
        session.save()
        session.state["note"] = TOKEN
    told = {each.name: each.detail.get("masked") for each in events if "masked" in each.detail}
    assert told == {
        "save": (FoundSecret("a", "AWS Access Key", ("note",)),),
        "close": (FoundSecret("a", "GitHub Token", ("note",)),),
    }
    assert "masked: AWS Access Key at note" in caplog.text
    assert not [each for each in (KEY, TOKEN) if each in caplog.text]


def test_a_typed_state(based: Path) -> None:
    with Store("memory:", secrets="mask") as store, store.open("a", schema=Bag) as session:
        session.state.seen.add(KEY)
        session.save()
        assert session.state.seen == {MASK}


def test_an_atomic_block_and_a_refused_save_change_nothing(based: Path) -> None:
    with Store(based, secrets="refuse") as store, store.open("a") as session:
        session.state["good"] = 1
        with session.atomic():
            session.state["note"] = TEXT
        with pytest.raises(SecretFound):
            session.save()
        del session.state["note"]
        assert session.save().sections == ("good",)


def test_no_secret_leaves_by_an_export(based: Path) -> None:
    with Store(based, secrets="mask") as store:
        with store.open("a") as session:
            session.state["note"] = {"a": [TEXT, TOKEN]}
        file = io.BytesIO()
        store.export("a", file)
        assert session.checkpoint is not None
    assert not [each for each in (KEY, TOKEN) if each.encode() in file.getvalue()]


def test_a_policy_of_ones_own() -> None:
    policy = Secrets(action="mask", patterns={"Order Token": r"ot_\d+"}, builtin=False)
    with Store("memory:", secrets=policy) as store, store.open("a") as session:
        session.state["note"] = f"ot_12 {KEY}"
        session.save()
        assert session.state["note"] == f"[masked: Order Token] {KEY}"


def test_handles_keep_the_policy() -> None:
    with Store("memory:", secrets="refuse") as store:
        session = store.scoped("support/*").open("support/a")
        session.state["note"] = TEXT
        with pytest.raises(PerdureError, match="AWS"):
            session.save()
        session.refresh()
        session.close()


def test_the_result_of_an_effect() -> None:
    held = Claim(b"c" * 16, b"s" * 16, ("host", 1, "boot", "start"), 1, "refund")
    settling = Settling("orders/17", held, pack({"receipt": TEXT}))
    kept, told = Screen(Secrets(action="mask"), "a").look(Document({}), {}, (settling,))
    assert unpack(kept[0].result) == {"receipt": f"use {MASK}, please"}
    assert told == (
        FoundSecret("a", "AWS Access Key", ("effects", "orders/17", "result", "receipt")),
    )
    with pytest.raises(SecretFound):
        Screen(Secrets(), "a").look(Document({}), {}, (settling,))


@perdure.schema("desk", version=1)
@dataclass
class Older:
    note: str = ""
    notes: list[str] = field(default_factory=list)


@perdure.schema("desk", version=2)
@dataclass
class Newer:
    text: str = ""
    notes: list[str] = field(default_factory=list)


perdure.migration(Newer, 1, 2, [perdure.lenses.rename("note", "text")])


def test_old_code_sees_the_marker_too() -> None:
    with Store("memory:", secrets="mask") as store:
        with store.open("a", schema=Newer) as newer:
            newer.state.text = "hello"
        with store.open("a", schema=Older) as session:
            session.state.note = TEXT
            session.state.notes.append(TOKEN)
            told = session.save().masked
            assert {each.path for each in told} == {("text",), ("notes", 0)}
            assert session.state.note == f"use {MASK}, please"
            assert session.state.notes == ["[masked: GitHub Token]"]
            assert session.changes() == []
            session.state.notes.append("more")
        assert store.at("a", "main")["notes"] == ["[masked: GitHub Token]", "more"]
