"""What an agent is doing: tasks, steps, effects, questions, goals, and a briefing of it all.

It stands in sections of the state whose names start with "perdure.", and is written by the methods
of a session: `session.task`, `session.plan`, `session.ask` and so on. Here are the types that these
give and take.
"""

from __future__ import annotations

TYPE_CHECKING = False
# As in `perdure` itself: nothing is imported before it is used.

if TYPE_CHECKING:
    from typing import Any

    from perdure.agent.briefing import Briefing as Briefing
    from perdure.agent.briefing import BriefingItem as BriefingItem
    from perdure.agent.children import Child as Child
    from perdure.agent.conversation import AnthropicConversation as AnthropicConversation
    from perdure.agent.conversation import Conversation as Conversation
    from perdure.agent.conversation import OpenAIConversation as OpenAIConversation
    from perdure.agent.decisions import Decision as Decision
    from perdure.agent.decorated import current_task as current_task
    from perdure.agent.decorated import effect as effect
    from perdure.agent.decorated import step as step
    from perdure.agent.effects import CannotTell as CannotTell
    from perdure.agent.effects import DidNotHappen as DidNotHappen
    from perdure.agent.effects import Effect as Effect
    from perdure.agent.effects import Happened as Happened
    from perdure.agent.effects import current_effect as current_effect
    from perdure.agent.environment import EnvironmentChanges as EnvironmentChanges
    from perdure.agent.facts import Fact as Fact
    from perdure.agent.goals import Goal as Goal
    from perdure.agent.on_async_task import AsyncPlan as AsyncPlan
    from perdure.agent.on_async_task import AsyncTask as AsyncTask
    from perdure.agent.on_task import Plan as Plan
    from perdure.agent.on_task import Task as Task
    from perdure.agent.plan import Progress as Progress
    from perdure.agent.plan import Todo as Todo
    from perdure.agent.project import project_key as project_key
    from perdure.agent.receipt import LossReceipt as LossReceipt
    from perdure.agent.turns import ToolCall as ToolCall

_HOMES = {
    "AnthropicConversation": "conversation",
    "Briefing": "briefing",
    "BriefingItem": "briefing",
    "CannotTell": "effects",
    "Child": "children",
    "Conversation": "conversation",
    "Decision": "decisions",
    "DidNotHappen": "effects",
    "Effect": "effects",
    "EnvironmentChanges": "environment",
    "Fact": "facts",
    "Goal": "goals",
    "Happened": "effects",
    "LossReceipt": "receipt",
    "OpenAIConversation": "conversation",
    "ToolCall": "turns",
    "current_effect": "effects",
    "AsyncPlan": "on_async_task",
    "AsyncTask": "on_async_task",
    "Plan": "on_task",
    "Progress": "plan",
    "Task": "on_task",
    "Todo": "plan",
    "current_task": "decorated",
    "project_key": "project",
    "effect": "decorated",
    "step": "decorated",
}
"""By public name, the module that it is in."""

__all__ = tuple(sorted(_HOMES))


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
