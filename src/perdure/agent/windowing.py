"""The newest messages of a conversation that fit into a prompt, in whole turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from perdure.agent.briefing import estimate as estimate_text
from perdure.agent.turns import Shape, role_of
from perdure.errors import UsageError
from perdure.state.sequence import TrackedList

SYSTEM = ("system", "developer")
"""The roles of messages that say what the model is to be, and come first."""


def windowed(
    chat: TrackedList,
    shape: Shape,
    *,
    tokens: int | None,
    count: Callable[[Any], int] | None,
    last: int | None,
    system: bool,
) -> list[Any]:
    """The messages of a conversation's `window`.

    Raises:
        UsageError: a limit is less than none.
    """
    if min(tokens or 0, last or 0) < 0:
        raise UsageError("a window has a number of tokens and messages, 0 or more")
    room = _Room(chat, count or estimate, tokens, last)
    opening = _opening(chat) if system else []
    if not room.take(*opening):
        return []
    starts: list[int] = []
    for start in _turns_back(chat, shape):
        stop = starts[-1] if starts else len(chat)
        if start < len(opening) or not room.take(*range(start, stop)):
            break
        starts.append(start)
    return _begun(chat, shape, room, starts, opening)


def estimate(message: Any) -> int:
    """About how many tokens a message has."""
    return estimate_text(json.dumps(message, ensure_ascii=False, default=str))


class _Room:
    """What is left of the limits."""

    def __init__(
        self,
        chat: TrackedList,
        count: Callable[[Any], int],
        tokens: int | None,
        last: int | None,
    ) -> None:
        self._chat = chat
        self._count = count
        self._tokens = tokens
        self._last = last

    def take(self, *positions: int) -> bool:
        """Take the messages at these positions, if there is room for all."""
        last = None if self._last is None else self._last - len(positions)
        tokens = self._tokens
        if last is not None and last < 0:
            return False
        if tokens is not None:
            tokens -= sum(self._count(self._chat[at]) for at in positions)
            if tokens < 0:
                return False
        self._tokens, self._last = tokens, last
        return True

    def give_back(self, *positions: int) -> None:
        """Let the messages at these positions go again."""
        if self._last is not None:
            self._last += len(positions)
        if self._tokens is not None:
            self._tokens += sum(self._count(self._chat[at]) for at in positions)


def _turns_back(chat: TrackedList, shape: Shape) -> Iterator[int]:
    """Where turns begin that are here whole, from the newest to the oldest."""
    for at in range(len(chat) - 1, -1, -1):
        if not shape.answers(list.__getitem__(chat, at)):
            yield at


def _opening(chat: TrackedList) -> list[int]:
    """The positions of the system messages that a conversation begins with."""
    found: list[int] = []
    if not chat.offset:
        while len(found) < len(chat) and role_of(chat[len(found)]) in SYSTEM:
            found.append(len(found))
    return found


def _begun(
    chat: TrackedList, shape: Shape, room: _Room, starts: list[int], opening: list[int]
) -> list[Any]:
    """What fits from the oldest start on from which it can begin a prompt."""
    stop = len(chat)
    for older in range(len(starts) - 1, -1, -1):
        start = starts[older]
        opener = _opener(chat, shape, start)
        if opener is None or room.take(opener):
            first = [*opening, *([] if opener is None else [opener])]
            return [*[chat[at] for at in first], *chat[start:stop]]
        room.give_back(*range(start, starts[older - 1] if older else stop))
    return chat[:stop] if stop == len(opening) else []


def _opener(chat: TrackedList, shape: Shape, start: int) -> int | None:
    """The user's message that has to go before position `start`; None if there need be none."""
    if not shape.needs_opener(list.__getitem__(chat, start)):
        return None
    for at in range(start - 1, -1, -1):
        message = list.__getitem__(chat, at)
        if role_of(message) == "user" and not shape.answers(message):
            return at
    return None
