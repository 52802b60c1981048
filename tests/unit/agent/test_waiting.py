"""Waiting for a person, or for a time: asked once, answered by anyone, taken up by new code."""

import asyncio
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from perdure import AsyncStore, Session, Store
from perdure.errors import (
    AlreadyAnswered,
    NotStorable,
    PathNotFound,
    QuestionExpired,
    StateNotFound,
    UsageError,
    Waiting,
)
from perdure.testing.clock import Clock

REFUND = {"order": 17, "amount": 40}


def asked(store: Store, key: str = "a", **options: object) -> None:
    with pytest.raises(Waiting), store.open(key) as session:
        session.state["step"] = "asking"
        session.ask("refund", REFUND, **options)  # type: ignore[arg-type]


def test_a_question_ends_the_session_as_waiting_and_is_answered(store: Store) -> None:
    asked(store)
    (question,) = store.waiting()
    assert (question.key, question.id, question.payload) == ("a", "refund", REFUND)
    with pytest.raises(Waiting) as caught, store.open("a") as session:
        assert session.resumed is not None
        assert session.resumed.ended == "waiting"
        assert session.state["step"] == "asking"  # what was unsaved was saved
        session.ask("refund", REFUND)
    assert caught.value.id == "refund"
    store.answer("a", "refund", {"approved": True}, by="ann")
    assert store.waiting() == []
    with store.open("a") as session:
        assert session.ask("refund", REFUND) == {"approved": True}
        record = session.raw["perdure.questions"]["refund"]
        assert (record["by"], record["answer"]) == ("ann", {"approved": True})
    with store.open("a") as session:
        assert session.ask("refund", REFUND) == {"approved": True}


def test_an_answer_meets_no_save_and_is_found_by_who_is_at_work(store: Store) -> None:
    asked(store)
    with store.open("a") as session:
        session.state["x"] = 1
        store.answer("a", "refund", True)
        session.state["y"] = 2
        session.save()
        assert session.ask("refund", REFUND) is True


def test_an_answer_is_to_what_was_asked(store: Store) -> None:
    asked(store)
    store.answer("a", "refund", True)
    with pytest.raises(Waiting), store.open("a") as session:
        session.ask("refund", {**REFUND, "amount": 4000})
    assert [question.payload["amount"] for question in store.waiting()] == [4000]
    store.answer("a", "refund", False)
    with store.open("a") as session:
        assert session.ask("refund", {**REFUND, "amount": 4000}) is False
    with store.open("a") as session:
        assert session.ask("refund", REFUND) is True  # what was answered before still is


def test_a_question_is_answered_once(store: Store) -> None:
    asked(store)
    store.answer("a", "refund", [1, 2], by="ann")
    store.answer("a", "refund", [1, 2], by="bob")
    with pytest.raises(AlreadyAnswered, match=r"answered \[1, 2\] by ann"):
        store.answer("a", "refund", [1], by="bob")


def test_an_answer_holds_after_a_rollback_and_on_a_branch(store: Store) -> None:
    asked(store)
    store.answer("a", "refund", True)
    with store.open("a") as session:
        assert session.ask("refund", REFUND) is True
    store.fork("a", "b", at=1)
    store.rollback("a", 1)
    for branch in ("main", "b"):
        with store.open("a", branch=branch) as session:
            assert session.ask("refund", REFUND) is True


def test_what_cannot_be_answered_is_told(store: Store) -> None:
    asked(store)
    with pytest.raises(PathNotFound, match=r"no question 'nope' on 'main'; it asked: 'refund'"):
        store.answer("a", "nope", True)
    with pytest.raises(StateNotFound):
        store.answer("b", "refund", True)
    with pytest.raises(NotStorable):
        store.answer("a", "refund", object())
    with store.open("a") as session:
        with pytest.raises(NotStorable):
            session.ask("other", object())
        with pytest.raises(UsageError):
            session.ask("", 1)
        with pytest.raises(UsageError, match="expires_in"):
            session.ask("x", 1, expires_in=timedelta(0))


def test_a_question_expires(tmp_path: Path) -> None:
    clock = Clock("2026-03-01T12:00:00Z")
    store = Store("memory:", clock=clock)
    asked(store, expires_in=timedelta(hours=1))
    assert store.due() == []
    clock.advance(3600)
    assert [question.id for question in store.due()] == ["refund"]
    with (
        pytest.raises(QuestionExpired, match="until 2026-03-01 13:00:00Z"),
        store.open("a") as session,
    ):
        session.ask("refund", REFUND)
    store.answer("a", "refund", True)  # late, and better than never
    with store.open("a") as session:
        assert session.ask("refund", REFUND) is True


def test_a_timer_is_due_when_its_time_has_come() -> None:
    clock = Clock("2026-03-01T12:00:00Z")
    store = Store("memory:", clock=clock)

    def turn(session: Session) -> None:
        session.sleep_until("remind", timedelta(days=2))
        session.state["reminded"] = session.state.get("reminded", 0) + 1

    with pytest.raises(Waiting, match="until 2026-03-03 12:00:00Z"), store.open("a") as session:
        turn(session)
    clock.advance(86_400)
    with pytest.raises(Waiting), store.open("a") as session:
        turn(session)
    assert (store.due(), store.waiting()) == ([], [])
    assert [question.id for question in store.due(before=clock.now + timedelta(days=1))] == [
        "remind"
    ]
    clock.advance(86_400)
    (due,) = store.due()
    assert (due.key, due.is_timer) == ("a", True)
    with store.open("a") as session:
        turn(session)
        with pytest.raises(UsageError, match="is the id of a question"):
            session.raw["perdure.questions"]["q"] = {"hash": "h", "asked": clock.now}
            session.sleep_until("q", timedelta(1))
    assert store.due() == []
    assert store.at("a", 2)["reminded"] == 1


def test_those_of_all_states_are_found(store: Store) -> None:
    for key in ("s/1", "s/2", "t/1"):
        asked(store, key)
    with store.open("s/3") as session:
        session.state["x"] = 1
    store.delete("s/2")
    assert [question.key for question in store.waiting("s/")] == ["s/1"]
    assert [question.key for question in store.waiting()] == ["s/1", "t/1"]
    assert store.effects("s/1") == []


def test_async_session_does_the_same(tmp_path: Path) -> None:
    async def run() -> object:
        async with AsyncStore(tmp_path / "a.db") as store:
            with pytest.raises(Waiting):
                async with store.open("a") as session:
                    await session.ask("refund", REFUND)
            assert [question.id for question in await store.waiting()] == ["refund"]
            await store.answer("a", "refund", "yes")
            assert await store.due() == []
            async with store.open("a", sections=[]) as session:
                await session.sleep_until("past", timedelta(0))
                return await session.ask("refund", REFUND)

    assert asyncio.run(run()) == "yes"


AGENT = """
import sys, perdure
from perdure.errors import Waiting
try:
    with perdure.Store(sys.argv[1]).open("a") as session:
        print(session.ask("refund", {"order": 17}))
except Waiting:
    print("waiting")
"""


def test_processes_ask_answer_and_go_on(tmp_path: Path) -> None:
    path = str(tmp_path / "a.db")

    def agent() -> str:
        command = [sys.executable, "-c", AGENT, path]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert agent() == "waiting"
    with Store(path) as store:
        store.answer("a", "refund", "approved", by="ann")
    assert agent() == agent() == "approved"
