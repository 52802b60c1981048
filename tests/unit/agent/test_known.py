"""Goals, decisions and facts: kept in plain sections, read by the next session, merged."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from perdure import AsyncStore, Store
from perdure.errors import NotStorable, PathNotFound, UsageError
from perdure.testing.clock import Clock


def test_goals_are_added_reached_and_given_up(store: Store) -> None:
    with store.open("a") as session:
        session.goals.add("Refund order 17")
        session.goals.add("Answer Ann", id="ann")
        assert session.goals.add("Answer Ann", id="ann").text == "Answer Ann"
        session.goals.complete("ann", because="she replied")
    with store.open("a") as session:
        assert [goal.id for goal in session.goals.active()] == ["Refund order 17"]
        session.goals.drop("Refund order 17")
        assert [(goal.status, goal.because) for goal in session.goals.all()] == [
            ("dropped", None),
            ("done", "she replied"),
        ]
        assert session.goals.drop("Refund order 17").status == "dropped"
        with pytest.raises(UsageError, match="is dropped already"):
            session.goals.complete("Refund order 17")
        with pytest.raises(UsageError, match="there is a goal 'ann' already"):
            session.goals.add("Something else", id="ann")
        with pytest.raises(PathNotFound, match="there are: 'Refund order 17', 'ann'"):
            session.goals.complete("nope")
        with pytest.raises(UsageError):
            session.goals.add("  ")


def test_decisions_are_noted_in_order(store: Store) -> None:
    with store.open("a") as session:
        session.decide("Use the ledger")
        session.decide("Pay by card", because="it is faster", based_on=["rate"])
        with pytest.raises(UsageError, match=r"based_on is a list of names: \['rate'\]"):
            session.decide("x", based_on="rate")
    with store.open("a") as session:
        first, second = session.decisions()
    assert (first.text, first.because, first.based_on) == ("Use the ledger", None, ())
    assert (second.because, second.based_on) == ("it is faster", ("rate",))
    assert first.at <= second.at


def test_facts_have_an_age_and_go_stale() -> None:
    clock = Clock("2026-03-01T12:00:00Z")
    store = Store("memory:", clock=clock)
    with store.open("a") as session:
        made = session.facts.set("rate", {"eur": 1.2}, source="bank", valid_for=timedelta(hours=1))
        session.facts.set("name", "Alice")
        assert (made.value, made.source, made.is_stale) == ({"eur": 1.2}, "bank", False)
        clock.advance(3599)
        found = session.facts.get("rate")
        assert found is not None
        assert (found.age, found.is_stale) == (timedelta(seconds=3599), False)
        clock.advance(1)
        assert [fact.name for fact in session.facts.stale()] == ["rate"]
        session.facts.set("rate", 1.3)
        assert session.facts.stale() == []
        assert session.facts.forget("name")
        assert not session.facts.forget("name")
        assert [fact.name for fact in session.facts.all()] == ["rate"]
        assert session.facts.get("name") is None
        with pytest.raises(NotStorable, match="rate"):
            session.facts.set("rate", object())
        with pytest.raises(UsageError, match="valid_for"):
            session.facts.set("rate", 1, valid_for=timedelta(0))


def test_what_two_sessions_note_at_once_is_merged(store: Store) -> None:
    with store.open("a") as session:
        session.goals.add("first")
        session.facts.set("zero", 0)
        session.decide("zeroth")
    one, two = (store.open("a", on_conflict="merge") for _ in range(2))
    for session, name in ((one, "one"), (two, "two")):
        session.goals.add(name)
        session.facts.set(name, name)
        session.decide(name)
    one.close()
    two.close()
    with store.open("a") as session:
        assert {goal.id for goal in session.goals.all()} == {"first", "one", "two"}
        assert {fact.name for fact in session.facts.all()} == {"zero", "one", "two"}
        assert {each.text for each in session.decisions()} == {"zeroth", "one", "two"}


def test_async_session_does_the_same(tmp_path: Path) -> None:
    async def run() -> list[object]:
        async with AsyncStore(tmp_path / "a.db") as store:
            async with store.open("a") as session:
                await session.goals.add("one")
                await session.facts.set("x", 1, valid_for=timedelta(microseconds=1))
                await session.decide("d")
            async with store.open("a", sections=[]) as session:
                await session.goals.complete("one")
                stale = await session.facts.stale()
                return [
                    [goal.status for goal in await session.goals.all()],
                    [goal.id for goal in await session.goals.active()],
                    [fact.name for fact in stale],
                    [each.text for each in await session.decisions()],
                ]

    assert asyncio.run(run()) == [["done"], [], ["x"], ["d"]]


def test_they_are_told_in_the_briefing(store: Store) -> None:
    with store.open("a") as session:
        session.goals.add("Refund order 17")
        session.decide("Pay by card")
        session.facts.set("rate", 1.2)
    with store.open("a") as session:
        text = str(session.briefing())
    assert "## Goal\n\n- Refund order 17\n" in text
    assert "- Pay by card (" in text
    assert "- rate: 1.2 (" in text
