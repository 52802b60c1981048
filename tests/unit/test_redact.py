"""Redacting through the public API: the value is gone, all else is as it was (P7, P8)."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from tests.unit.pruned import require_sound
from tests.unit.redacted import ALICE, MAIL, MARK, every, hashes, require_redacted, talk

import perdure
from perdure import errors


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


def test_the_receipt_is_a_movement_that_never_tells_what(store: perdure.Store) -> None:
    talk(store, count=3)
    store.redact("a", "profile/email", reason="request 12")
    (moved,) = store.movements("a")
    assert (moved.what, moved.redacted, moved.reason) == ("redact", 1, "request 12")
    assert moved.summary() == "redacted 1 checkpoint: request 12"
    marked = [each.number for each in store.history("a") if each.redacted]
    assert marked == [1]


def test_asyncio(tmp_path: Path) -> None:
    async def main() -> perdure.Redaction:
        async with perdure.AsyncStore(tmp_path / "a.db") as store:
            async with await store.open("a") as session:
                session.state["t"] = MAIL
                await session.save()
            return await store.redact("a", match=MAIL)

    assert asyncio.run(main()).summary() == "redacted 1 value in 1 checkpoint"
