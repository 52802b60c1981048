"""Waiting for a person, or for a time: asked once, answered by anyone, taken up by new code."""

import asyncio
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from perdure import AsyncStore, Session, Store
from perdure.agent import Todo
from perdure.agent.briefing import Briefing
from perdure.errors import (
    AlreadyAnswered,
    NotStorable,
    PathNotFound,
    QuestionExpired,
    StateNotFound,
    UnknownOutcome,
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


def test_a_wrong_name_is_told_what_is_answered_elsewhere(store: Store) -> None:
    with store.open("a") as session:
        session.note_question("interrupt 1", {"ok": None}, where="its thread")
    with pytest.raises(PathNotFound, match=r"'interrupt 1' \(to be answered in its thread"):
        store.answer("a", "nope", True)


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


def test_a_question_does_not_take_the_place_of_a_timer(store: Store) -> None:
    with pytest.raises(Waiting), store.open("a") as session:
        session.sleep_until("remind", timedelta(days=2))
    with store.open("a") as session, pytest.raises(UsageError, match="is the id of a timer"):
        session.ask("remind", REFUND)


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


def test_the_briefing_tells_what_was_answered_meanwhile_and_what_can_go_on(store: Store) -> None:
    with store.open("a") as session:
        session.plan.add_missing([Todo("approve"), Todo("refund", after=["approve"])])
        for task in session.plan.work():
            with suppress(Waiting), task:
                session.ask("refund?", REFUND)
    before = told(store)
    assert before["Blocked"] == ["approve: waits for refund?", "refund: after approve"]
    assert "Answered meanwhile" not in before
    store.answer("a", "refund?", "yes", by="ann")
    found = told(store)
    (answer,) = found["Answered meanwhile"]
    assert answer.startswith("refund?: {'order': 17, 'amount': 40} was answered 'yes' by ann (20")
    assert found["In progress"] == ["approve; what it waited for has come"]
    assert found["To do"] == ["refund (after approve)"]
    assert not found.keys() & {"Waiting for an answer", "Blocked"}

    with store.open("a") as session:
        assert session.ask("refund?", REFUND) == "yes"
    assert "Answered meanwhile" not in told(store)


def test_it_tells_the_same_under_asyncio_with_nothing_loaded(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store:
        asked(store)
        store.answer("a", "refund", True)
        expected = told(store)

    async def again() -> dict[str, list[str]]:
        async with (
            AsyncStore(tmp_path / "a.db") as store,
            store.open("a", sections=[]) as session,
        ):
            return by_title(await session.briefing())

    assert "Answered meanwhile" in expected
    assert asyncio.run(again()) == expected


def test_the_briefing_tells_until_when_a_timer_runs(tmp_path: Path) -> None:
    clock = Clock()
    store = Store(tmp_path / "a.db", clock=clock)
    with pytest.raises(Waiting), store.open("a") as session, session.task("nap"):
        session.sleep_until("tomorrow", timedelta(days=1))
    (timer,) = told(store)["Waiting for an answer"]
    assert timer.startswith("tomorrow: until 20")
    clock.advance(2 * 86_400)
    with store.open("a") as session:
        session.state["x"] = 1
    assert told(store)["In progress"] == ["nap; what it waited for has come"]


def test_the_briefing_tells_of_a_task_whose_outcome_is_known_by_now(store: Store) -> None:
    def pay() -> None:
        raise TimeoutError

    with store.open("a") as session, suppress(UnknownOutcome), session.task("pay") as task:
        task.effect("pay", pay)
    assert told(store)["Blocked"] == ["pay: waits to know what became of pay/pay"]
    store.settle("a", "pay/pay", happened=True, result={"receipt": 1})
    found = told(store)
    assert found["In progress"] == ["pay; what it waited for has come"]
    assert "Blocked" not in found


def told(store: Store) -> dict[str, list[str]]:
    with store.open("a") as session:
        return by_title(session.briefing())


def by_title(briefing: Briefing) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in briefing.items:
        found.setdefault(item.title, []).append(item.text)
    return found


def test_a_question_that_is_answered_elsewhere_is_told_of_until_it_is_dropped(store: Store) -> None:
    with store.open("a") as session:
        session.state["x"] = 1
        session.note_question("interrupt 1", REFUND, where="our web page")
        session.save()
        count = len(store.history("a"))
        session.note_question("interrupt 1", REFUND, where="our web page")
        session.save()
        assert len(store.history("a")) == count  # nothing changed
        brief = str(session.briefing())
        assert "## Waiting for an answer\n\n- interrupt 1: {'order': 17, 'amount': 40}" in brief
        assert ", to be answered in our web page)" in brief
    (question,) = store.waiting()
    assert (question.id, question.payload, question.where) == (
        "interrupt 1",
        REFUND,
        "our web page",
    )
    assert (question.due, question.is_timer, store.due()) == (None, False, [])
    with pytest.raises(UsageError, match="answered in our web page"):
        store.answer("a", "interrupt 1", True)
    with store.open("a") as session:
        session.note_question("interrupt 1", None, where="our web page")  # another by now
        assert "- interrupt 1 (asked 20" in str(session.briefing())
        assert session.drop_question("interrupt 1") and not session.drop_question("interrupt 1")
        assert "answer" not in str(session.briefing())
    assert store.waiting() == []


def test_questions_of_both_kinds_keep_their_ids(store: Store) -> None:
    asked(store)
    with store.open("a") as session:
        with pytest.raises(UsageError, match="this agent waits for"):
            session.note_question("refund", REFUND, where="here")
        with pytest.raises(UsageError, match="this agent waits for itself"):
            session.drop_question("refund")
        session.note_question("noted", REFUND, where="our web page")
        with pytest.raises(UsageError, match="our web page"):
            session.ask("noted", REFUND)
        with pytest.raises(UsageError, match="id of a question"):
            session.sleep_until("noted", timedelta(days=1))
        for id_, where in (("", "x"), ("x", " ")):
            with pytest.raises(UsageError, match="says something"):
                session.note_question(id_, REFUND, where=where)
        with pytest.raises(NotStorable):
            session.note_question("x", object(), where="here")
    assert [each.id for each in store.waiting()] == ["refund", "noted"]


def test_questions_are_noted_under_asyncio_too() -> None:
    async def noted() -> list[str]:
        async with AsyncStore("memory:") as store:
            async with store.open("a") as session:
                await session.note_question("one", 1, where="elsewhere")
                await session.note_question("two", 2, where="elsewhere")
                assert await session.drop_question("one")
            return [each.id for each in await store.waiting()]

    assert asyncio.run(noted()) == ["two"]
