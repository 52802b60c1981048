"""Redacting through the public API: the value is gone, all else is as it was (P7, P8)."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.pruned import require_sound

import perdure
from perdure import errors
from perdure.core.changes import Change, Set, Splice
from perdure.core.redaction import Redactor, wanted

MAIL = "alice@example.com"
MARK = "[redacted]"
ALICE = re.compile(r"alice(@example\.com)?")


def talk(store: perdure.Store, key: str = "a", count: int = 30) -> None:
    """A state whose text is in a field, in messages, and in a draft written in pieces."""
    with store.open(key) as session:
        session.state["profile"] = {"name": "Al", "email": MAIL, "ids": [1, 2]}
        session.save()
        for number in range(count):
            text = f"{number}: write to {MAIL}!" if number % 5 == 0 else f"{number}: hello"
            session.state.setdefault("messages", []).append({"role": "user", "text": text})
            session.save()
        session.state["draft"] = "Dear all, this is from alice@"
        session.save()
        session.state["draft"] += "example.com and me"
        session.save()
        session.state["draft"] += ", kindly"
        session.save()


def every(store: perdure.Store, key: str = "a") -> dict[str, Any]:
    """The state at each checkpoint there is, by the checkpoint's id."""
    found = store.history(key, every=True)
    return {each.id: store.at(key, each.id).plain() for each in found}


def hashes(store: perdure.Store, key: str = "a") -> dict[str, tuple[Any, ...]]:
    """What a redaction must not change of each checkpoint."""
    found = store.history(key, every=True)
    return {each.id: (each.number, each.hash, each.parent, each.time) for each in found}


def plainly(value: Any) -> Any:
    """What redacting the mail address makes of a value, said anew."""
    if isinstance(value, dict):
        return {key: plainly(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plainly(each) for each in value]
    return value.replace(MAIL, MARK) if isinstance(value, str) else value


def require_redacted(store: perdure.Store, before: dict[str, Any], key: str = "a") -> None:
    """Every checkpoint is what it was, but for the mail address."""
    assert every(store, key) == {id_: plainly(state) for id_, state in before.items()}
    assert MAIL not in repr((every(store, key), store.history(key, every=True, changes=True)))
    require_sound(store)


def test_a_text_goes_from_every_checkpoint_and_no_hash_changes_P7(store: perdure.Store) -> None:
    talk(store)
    before, chain = every(store), hashes(store)
    told = store.redact("a", match=MAIL, reason="request 12")
    # The profile, six messages, and a draft that came to have it by a splice, and kept it by one.
    assert (told.checkpoints, told.receipt) == (9, 1)
    assert told.sections == {"profile": 1, "messages": 6, "draft": 2}
    require_redacted(store, before)
    assert hashes(store) == chain
    assert store.at("a", "main")["draft"] == f"Dear all, this is from {MARK} and me, kindly"
    assert store.at("a", "~2")["draft"] == "Dear all, this is from alice@"


def test_a_path_goes_whatever_stood_there(store: perdure.Store) -> None:
    with store.open("a") as session:
        for value in (MAIL, 17, {"home": MAIL}, [1], None):
            session.state["profile"] = {"name": "Al", "email": value}
            session.save()
        session.state["profile"]["email"] = {"home": MAIL}
        session.save()
        session.state["profile"]["email"]["work"] = "x"  # of which no trace is left
        session.save()
        del session.state["profile"]["email"]
        session.save()
    chain = hashes(store)
    told = store.redact("a", "profile/email")
    assert told.sections == {"profile": 7}
    states = [store.at("a", number).plain()["profile"] for number in range(1, 9)]
    assert states == [{"name": "Al", "email": MARK}] * 7 + [{"name": "Al"}]
    assert hashes(store) == chain
    require_sound(store)


def test_any_part_of_a_path_and_a_match_only_there(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["people"] = {"a": {"mail": MAIL, "note": MAIL}, "b": {"mail": "b", "n": 1}}
        session.state["log"] = [{"by": MAIL, "text": MAIL}, {"by": "bob", "text": "hi"}]
    store.redact("a", "people/*/mail", match=MAIL)
    store.redact("a", "log/*/by")
    assert store.at("a", "main").plain() == {
        "people": {"a": {"mail": MARK, "note": MAIL}, "b": {"mail": "b", "n": 1}},
        "log": [{"by": MARK, "text": MAIL}, {"by": MARK, "text": "hi"}],
    }
    require_sound(store)


def test_a_position_in_a_list_is_refused_and_nothing_changes(store: perdure.Store) -> None:
    talk(store)
    before = every(store)
    with pytest.raises(errors.UsageError, match="position in a list"):
        store.redact("a", "messages/3/text")
    assert every(store) == before
    assert store.movements("a") == []


@pytest.mark.parametrize(
    ("path", "match", "what"),
    [
        (None, None, "say what to redact"),
        (None, "", "empty text"),
        (None, re.compile("x*"), "empty text"),
        (None, "redact", "which is what stands"),
        (None, re.compile(b"x"), "a text or a re.Pattern of texts"),
        (None, 17, "a text or a re.Pattern of texts"),
        ("", None, "names no section"),
        ("(state)", None, "`erase`"),
        ("a/**/b", None, "can only be the last"),
        (17, None, "a path is written"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    store: perdure.Store, path: Any, match: Any, what: str
) -> None:
    talk(store, count=1)
    with pytest.raises(errors.UsageError, match=re.escape(what)):
        store.redact("a", path, match=match)


def test_keys_texts_bytes_and_members_of_any_kind(store: perdure.Store) -> None:
    value = {
        MAIL: 1,
        f"to {MAIL}": {"x": (MAIL, 1, b"raw " + MAIL.encode() + b"\xff")},
        "set": {MAIL, "b", ("t", MAIL)},
        "frozen": frozenset({MAIL}),
        "surrogate": "\ud800" + MAIL,
    }
    with store.open("a") as session:
        session.state["all"] = value
        session.state[MAIL] = "a section"
        session.save()
        session.state["all"]["set"].add("c")
        session.state["all"][MAIL] = 2
        session.state["all"][f"to {MAIL}"]["x"] = "new"
        session.save()
        del session.state["all"][MAIL]
    assert store.redact("a", match=MAIL).checkpoints == 3
    first, second, last = (store.at("a", number).plain() for number in (1, 2, 3))
    names = list(first["all"])
    assert re.fullmatch(r"\[redacted-[0-9a-f]{12}\]", names[0])
    assert re.fullmatch(r"to \[redacted-[0-9a-f]{12}\]", names[1])
    assert names[0] not in names[1]  # two names never become the same one
    assert first["all"][names[1]] == {"x": (MARK, 1, b"raw [redacted]\xff")}
    assert first["all"]["set"] == {MARK, "b", ("t", MARK)}
    assert first["all"]["frozen"] == frozenset({MARK})
    assert first["all"]["surrogate"] == "\ud800" + MARK
    assert second["all"]["set"] == {MARK, "b", ("t", MARK), "c"}
    assert (second["all"][names[0]], second["all"][names[1]]) == (2, {"x": "new"})
    assert list(last["all"]) == names[1:]
    assert list(last)[1].startswith("[redacted-")
    require_sound(store)


def test_what_a_pattern_finds(store: perdure.Store) -> None:
    with store.open("a") as session:
        session.state["t"] = "card 4111 1111 and 4222-2222, not 12"
    store.redact("a", match=re.compile(r"\d{4}[ -]\d{4}"))
    assert store.at("a", "main")["t"] == f"card {MARK} and {MARK}, not 12"


def test_the_digits_that_tell_redacted_keys_apart_are_not_found_again(
    store: perdure.Store,
) -> None:
    with store.open("a") as session:
        session.state["m"] = {f"{number}": number for number in range(1000, 1100)}
    what = re.compile(r"\d\d")  # which most names of their own have
    assert store.redact("a", match=what).values == 100
    names = list(store.at("a", "main")["m"])
    assert len(set(names)) == 100
    assert store.redact("a", match=what).receipt is None
    with store.open("a") as session:
        session.state["m"][f"{names[0]} 17"] = 1
    assert store.redact("a", match=what).values == 1
    *others, last = store.at("a", "main")["m"]
    assert others == names
    assert re.fullmatch(re.escape(names[0]) + r" \[redacted-[0-9a-f]{12}\]", last)


def test_words_around_the_state_are_redacted_too(store: perdure.Store) -> None:
    with pytest.raises(RuntimeError), store.open("a") as session:
        session.summary = f"works for {MAIL}"
        session.state["n"] = 1
        session.save(label=f"of {MAIL}", metadata={"by": {MAIL: [MAIL]}})
        raise RuntimeError
    store.fork("a", "for-alice")
    store.delete_branch("a", "for-alice")
    told = store.redact("a", match=ALICE, reason=f"{MAIL} asked")
    assert told.elsewhere == {"labels": 1, "metadata": 1, "summaries": 2, "movements": 2}
    (newest,) = store.history("a")
    assert newest.label == f"of {MARK}"
    assert newest.redacted
    assert store.info("a").summary == f"works for {MARK}"
    assert "alice" not in repr((store.history("a"), store.movements("a"), store.info("a")))
    assert store.movements("a")[0].reason == f"{MARK} asked"
    require_sound(store)
    store.undo("a")  # of the deletion: the branch has its new name then
    assert [each.name.startswith("for-[redacted-") for each in store.branches("a")] == [False, True]
    require_sound(store)


def test_results_of_effects_are_redacted_and_stay_claimed_P9(store: perdure.Store) -> None:
    large = [f"{MAIL} {number}" for number in range(200)]
    calls = []

    def send(what: Any) -> Any:
        calls.append(what)
        return what

    with store.open("a") as session, session.task("t") as task:
        task.effect("mail/1", send, MAIL)
        task.effect("mail/2", send, large)
    told = store.redact("a", match=MAIL)
    assert told.elsewhere["effects"] == 2
    with store.open("a") as session, session.task("t") as task:
        assert task.effect("mail/1", send, MAIL) == MARK
        assert task.effect("mail/2", send, large) == [f"{MARK} {number}" for number in range(200)]
    assert len(calls) == 2
    require_sound(store)


def test_names_that_stay_are_told(store: perdure.Store) -> None:
    with store.open(f"of/{MAIL}") as session:
        session.state["t"] = MAIL
        with session.task("t") as task:
            task.effect(f"mail {MAIL}", lambda: None)
    store.fork(f"of/{MAIL}", "try-alice")
    told = store.redact(f"of/{MAIL}", match=ALICE)
    assert [each.split(" has it")[0] for each in told.warnings] == [
        "the key of the state itself",
        "the name of the branch 'try-alice'",
        f"the key of the effect 't/mail {MAIL}'",
    ]


def test_a_dry_run_tells_the_same_and_changes_nothing(store: perdure.Store) -> None:
    talk(store)
    before = every(store), hashes(store), store.movements("a"), repr(store.stats("a"))
    dry = store.redact("a", match=MAIL, dry_run=True)
    assert (every(store), hashes(store), store.movements("a"), repr(store.stats("a"))) == before
    assert dry.summary() == "would redact 9 values in 9 checkpoints"
    done = store.redact("a", match=MAIL)
    assert (dry.checkpoints, dry.values, dry.sections) == (
        done.checkpoints,
        done.values,
        done.sections,
    )


def test_redacting_again_finds_nothing_and_another_text_is_found(store: perdure.Store) -> None:
    talk(store)
    store.redact("a", match=MAIL)
    again = store.redact("a", match=MAIL)
    assert (again.checkpoints, again.values, again.receipt) == (0, 0, None)
    chain = hashes(store)
    assert store.redact("a", match="hello").checkpoints == 24
    assert hashes(store) == chain
    assert "hello" not in repr(every(store))
    require_sound(store)


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


def test_the_receipt_is_a_movement_that_never_tells_what(store: perdure.Store) -> None:
    talk(store, count=3)
    store.redact("a", "profile/email", reason="request 12")
    (moved,) = store.movements("a")
    assert (moved.what, moved.redacted, moved.reason) == ("redact", 1, "request 12")
    assert moved.summary() == "redacted 1 checkpoint: request 12"
    marked = [each.number for each in store.history("a") if each.redacted]
    assert marked == [1]


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


def test_asyncio(tmp_path: Path) -> None:
    async def main() -> perdure.Redaction:
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            async with await store.open("a") as session:
                session.state["t"] = MAIL
                await session.save()
            return await store.redact("a", match=MAIL)

    assert asyncio.run(main()).summary() == "redacted 1 value in 1 checkpoint"


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
