"""What kept runs wait for, as questions that the briefing of a conversation tells of."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agents import RunState

    from perdure.adapters.openai_agents.keeper import Opened

WHERE = "its kept run"
"""Where these questions are answered."""


def asked_by(run: RunState[Any, Any]) -> dict[str, Any]:
    """What a run waits to have approved, by the ids of the calls: which tool, called with what."""
    found: dict[str, Any] = {}
    for each in run.get_interruptions():
        raw = each.raw_item
        id_ = raw.get("call_id") if isinstance(raw, dict) else getattr(raw, "call_id", None)
        if isinstance(id_, str) and id_:
            found[id_] = {"tool": each.name, "arguments": _arguments(each.arguments)}
    return found


def _arguments(text: str | None) -> Any:
    """The arguments of a call, which are JSON as a rule, and whatever the model wrote else."""
    try:
        return json.loads(text) if text else text
    except ValueError:
        return text


async def ask(session: Opened, asked: Mapping[str, Any]) -> None:
    """Have the state say that these calls wait for an approval; saved with the next save."""
    for id_, payload in asked.items():
        await session.note_question(id_, payload, where=WHERE)


async def ask_no_more(session: Opened, calls: Collection[str]) -> None:
    """The same of calls that wait no more."""
    for id_ in calls:
        await session.drop_question(id_)
