"""The end of a conversation: read as far back as somebody looks, and no further."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from perdure.adapters.openai_agents.items import is_of_user
from perdure.adapters.openai_agents.keeper import TAIL, Opened
from perdure.adapters.openai_agents.places import MESSAGES

LOOK_MAX = 20_000
"""How far back before what is live something is looked for (items)."""

IsEnough = Callable[[Sequence[Any]], bool]
"""Given a part of the conversation, the newest first: whether nothing older is wanted."""


async def tail(session: Opened, limit: int | None) -> list[Any]:
    """The last items of the conversation, as plain copies; all if `limit` is None or negative.

    Args:
        session: on the state of the conversation.
        limit: how many.
    """
    if MESSAGES not in session.state:
        return []
    if limit is None or limit < 0:
        return await session.window(MESSAGES)
    return await session.window(MESSAGES, last=limit)


async def end_of(session: Opened, is_enough: IsEnough) -> Sequence[Any]:
    """The end of the conversation, to be looked at only: what is live, and what it takes before.

    Args:
        session: on the state of the conversation.
        is_enough: asked of what is live, then of parts before that, each twice as long.
    """
    if MESSAGES not in session.state:
        return ()
    live: Sequence[Any] = session.state[MESSAGES]
    if is_enough(live) or not (before := session.length(MESSAGES) - len(live)):
        return live
    older: list[Any] = []
    look, is_found = TAIL, False
    while before and not is_found and len(older) < LOOK_MAX:
        first = max(before - look, 0)
        part = await session.window(MESSAGES, first, before)
        older[:0] = part
        before, look, is_found = first, 2 * look, is_enough(part)
    return [*older, *live]


async def last_turn(session: Opened) -> Sequence[Any]:
    """The end of the conversation, from the user's last message on or further back.

    Args:
        session: on the state of the conversation.
    """
    return await end_of(session, _has_asking)


def _has_asking(part: Sequence[Any]) -> bool:
    return any(map(is_of_user, reversed(part)))


async def take_out(session: Opened, end: Sequence[Any], positions: Iterable[int]) -> None:
    """Remove items of the end of a conversation.

    Args:
        session: on the state of the conversation.
        end: what `end_of` gave, and nothing was changed since.
        positions: of the items in it.
    """
    chosen = sorted(positions, reverse=True)
    if not chosen:
        return
    if chosen[-1] < len(end) - len(session.state[MESSAGES]):  # before what is live
        await session.load(MESSAGES)
    messages = session.state[MESSAGES]
    begin = len(messages) - len(end)
    for position in chosen:
        del messages[begin + position]
