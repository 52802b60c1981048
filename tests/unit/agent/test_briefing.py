"""The briefing: what it tells, in which order, within which budget, and always the same."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import AsyncStore, Store
from perdure.agent.briefing import Briefing, estimate, fitted
from perdure.agent.briefing_parts import PARTS, Source, Tasks, line
from perdure.agent.records import KINDS
from perdure.errors import UsageError

THEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

RECORDS: dict[str, Any] = {
    "perdure.goals": {
        "one": {"text": "Refund order 17", "status": "active", "added": THEN},
        "two": {"text": "Old goal", "status": "done", "added": THEN},
    },
    "perdure.tasks": {
        "read": {"status": "done"},
        "check": {"status": "running", "attempts": 2, "steps": {"parse": {"status": "done"}}},
        "pay": {"status": "failed", "error": {"type": "CardDeclined", "message": "no funds"}},
        "ask": {"status": "waiting", "waits": "approval"},
        "tell": {"status": "pending", "after": ["pay"]},
        "close": {"status": "pending", "after": ["read"]},
    },
    "perdure.questions": {
        "approval": {"payload": "May I refund 40 EUR?", "asked": THEN},
        "old": {"payload": "?", "asked": THEN, "answered": THEN, "answer": True},
    },
    "perdure.decisions": {
        "1": {"text": "Use the ledger", "at": THEN},
        "2": {"text": "Pay by card", "because": "it is faster", "at": THEN},
    },
    "perdure.facts": {
        "rate": {"value": 1.2, "source": "bank", "at": THEN, "until": THEN + timedelta(hours=1)},
        "name": {"value": "Alice", "at": THEN},
    },
    "perdure.environment": {
        "changes": {"changed": ["a.py"], "appeared": [], "vanished": [], "env": ["TOKEN"],
                    "git": [None, {"commit": "0123456789", "branch": "main", "changed": 2}],
                    "packages": {"msgspec": ["0.19", "0.20"]}, "at": THEN},
    },
}  # fmt: skip


def written(store: Any, records: dict[str, Any] = RECORDS) -> None:
    with store.open("support/alice") as session:
        for name, value in records.items():
            session._document.write_reserved(name, value)
        session.state["messages"] = [
            {"role": "user", "content": "Where is\nmy   order?"},
            {"role": "assistant", "content": "Let me look."},
        ]


def source(**records: Any) -> Source:
    whole = {name: kind() for name, kind in KINDS.items()}
    whole |= {f"perdure.{name}": value for name, value in records.items()}
    return Source(whole, Tasks(whole["perdure.tasks"]))


def test_briefing_tells_what_is_needed_most_important_first() -> None:
    store = Store("memory:")
    written(store)
    with store.open("support/alice") as session:
        text = str(session.briefing())
    shown = re.sub(r"(?!2026-03-01)\d{4}-\d\d-\d\d [\d:]{8}Z", "NOW", text)
    assert shown == (
        "## Goal\n\n- Refund order 17\n\n"
        "## Last instruction\n\n- Where is my order?\n\n"
        "## Where it stands\n\n"
        "- Resumed at checkpoint 1 of NOW; everything that was acknowledged is present: "
        "1 checkpoint, 1 section, 2 messages, 6 tasks, 1 step, 2 questions, 2 goals, 2 decisions, "
        "2 facts.\n"
        "- The last session ended: closed. It began NOW and saved 1 checkpoint.\n\n"
        "## Waiting for an answer\n\n"
        "- approval: May I refund 40 EUR? (asked 2026-03-01 12:00:00Z)\n\n"
        "## In progress\n\n- check (attempt 2): done parse\n\n"
        "## Failed\n\n- pay: CardDeclined: no funds\n\n"
        "## Blocked\n\n- ask: waits for approval\n- tell: after pay\n\n"
        "## Changed around it\n\n- Changed: a.py\n- Variables: TOKEN\n"
        "- Repository: none → 0123456 on main, 2 changed files\n- Package msgspec: 0.19 → 0.20\n\n"
        "## Facts to check again\n\n"
        "- rate: 1.2 (2026-03-01 12:00:00Z, from bank, valid until 2026-03-01 13:00:00Z)\n\n"
        "## Decisions\n\n"
        "- Pay by card, because it is faster (2026-03-01 12:00:00Z)\n"
        "- Use the ledger (2026-03-01 12:00:00Z)\n\n"
        "## To do\n\n- close (after read)\n\n"
        "## Facts\n\n- name: Alice (2026-03-01 12:00:00Z)\n\n"
        "## Done\n\n- 1 of 6 tasks\n- read"
    )


def test_the_same_state_gives_the_same_bytes(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store:
        written(store)
        with store.open("support/alice") as session:
            one = session.briefing()
        with store.open("support/alice") as session:
            two = session.briefing()

    async def again() -> Briefing:
        async with (
            AsyncStore(tmp_path / "a.db") as store,
            store.open("support/alice", sections=[]) as session,
        ):
            return await session.briefing()

    assert one == two == asyncio.run(again())
    assert str(one) == str(two)


def test_a_new_state_has_a_briefing_and_writes_nothing() -> None:
    store = Store("memory:")
    with store.open("a") as session:
        assert str(session.briefing()) == (
            "## Where it stands\n\n- This is the first session on this state."
        )
    assert store.states() == []


def test_what_has_no_room_is_left_out_whole_and_told() -> None:
    store = Store("memory:")
    written(
        store, {**RECORDS, "perdure.tasks": {f"t{at}": {"status": "pending"} for at in range(99)}}
    )
    with store.open("support/alice") as session:
        found = session.briefing(max_tokens=260)
        assert estimate(str(found)) <= 260
        assert found.left_out["To do"] > 50
        total = sum(found.left_out.values())
        assert str(found).endswith(f"_{total} further items left out for want of room._")
        assert str(found).startswith("## Goal")
        with pytest.raises(UsageError, match="at least 50 tokens, not 10"):
            session.briefing(max_tokens=10)
        words = session.briefing(max_tokens=60, count=lambda text: len(text.split()))
        assert len(str(words).split()) <= 60


tasks = st.dictionaries(
    st.text(max_size=12),
    st.fixed_dictionaries(
        {"status": st.sampled_from(["pending", "running", "failed", "done", "waiting"])},
        optional={"after": st.lists(st.text(max_size=3), max_size=2)},
    ),
    max_size=30,
)
decided = st.lists(st.fixed_dictionaries({"text": st.text(), "at": st.just(THEN)}), max_size=30)


@given(tasks, decided, st.integers(50, 600))
def test_no_budget_is_passed_and_every_item_is_shown_or_counted(
    tasks: dict[str, Any], decided: list[Any], tokens: int
) -> None:
    made = source(tasks=tasks, decisions=dict(enumerate(decided)))
    items, left_out = fitted(made, tokens, estimate)
    everything = {title: [tell() for tell in part(made)] for title, part in PARTS.items()}
    shown = [(item.title, item.text) for item in items]
    for title, texts in everything.items():
        ours = [text for each, text in shown if each == title]
        assert ours == texts[: len(ours)]
        assert len(ours) + left_out.get(title, 0) == len(texts)
    assert estimate(str(Briefing("k", "main", tuple(items), left_out))) <= tokens


def test_text_of_any_kind_stays_on_its_line() -> None:
    assert line("a\n\n- b\r\n\tc ") == "a - b c"
    assert line({"n": [1, 2]}) == "{'n': [1, 2]}"
    assert line("x" * 500) == "x" * 400 + " … (100 characters more)"


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}, "a"),
        ({"role": "user", "content": [{"type": "tool_result", "content": "r"}]}, None),
        ({"role": "assistant", "content": "no"}, None),
        ("no message", None),
        ({"role": "user", "content": 7}, None),
    ],
)
def test_last_instruction_is_what_the_user_said(message: Any, said: str | None) -> None:
    store = Store("memory:")
    with store.open("a") as session:
        session.state["chat"] = [{"role": "user", "content": "first"}, message]
        (found,) = [
            item.text for item in session.briefing().items if item.title == "Last instruction"
        ]
    assert found == (said or "first")


def test_the_conversation_is_where_it_is_said_to_be() -> None:
    with Store("memory:").open("a") as session:
        session.state["log"] = [{"role": "user", "content": "here"}]
        session.state["messages"] = "no list"
        assert "here" in str(session.briefing(conversation="log"))
        assert "Last instruction" not in str(session.briefing())
        with pytest.raises(UsageError, match="no section 'nope'"):
            session.briefing(conversation="nope")
        with pytest.raises(UsageError):
            session.briefing(conversation="messages")
