"""The turns of a conversation: finding, rewinding and compacting them."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from perdure.adapters.openai_agents.items import is_of_user
from perdure.adapters.openai_agents.keeper import Keeper, Opened
from perdure.adapters.openai_agents.places import COMPACTED, MESSAGES
from perdure.adapters.summary import SUMMARY_CHARS, text_of
from perdure.errors import CheckpointNotFound, CheckpointPruned, UsageError
from perdure.state.node import plain

Summarizing: TypeAlias = Callable[[list[Any]], str | Awaitable[str]]

TEXT_CHARS = 200
"""How much of a user's message `turns` gives (characters)."""
SUMMARY = "Summary of the conversation so far:\n\n"
"""What a summary begins with in the conversation, where a model reads it."""


class Turn(msgspec.Struct, frozen=True):
    """One turn of a conversation, which a message of the user begins.

    Args:
        number: from 1 on; turns that were compacted count.
        start: the position of the message in the conversation as it is now.
        items: how many items it has.
        text: what the user said, or the beginning of it.
    """

    number: int
    start: int
    items: int
    text: str


async def found(session: Opened) -> list[Turn]:
    """The turns of the conversation as it is.

    Args:
        session: on its state.
    """
    messages, before = await _all(session), await _turns_before(session)
    starts = [at for at, item in enumerate(messages) if is_of_user(item)]
    ends = [*starts[1:], len(messages)]
    return [
        Turn(
            before + number, start, end - start, text_of(messages[start].get("content"), TEXT_CHARS)
        )
        for number, (start, end) in enumerate(zip(starts, ends), 1)
    ]


async def rewind(session: Opened, keeper: Keeper, turn: int) -> list[Any]:
    """Take a turn and all after it out; see `PerdureSession.rewind`.

    Args:
        session: on the state of the conversation.
        keeper: what reads how it was before a compaction.
        turn: its number.
    """
    if turn < 1:
        raise UsageError(f"turns are numbered from 1 on, not {turn}")
    messages = await _all(session)
    if messages:
        await session.load(MESSAGES)
    before = await _turns_before(session)
    if turn <= before:
        messages = await _bring_back(session, keeper, turn) + messages[_lead(messages) :]
        session.state[MESSAGES] = messages
        before = await _turns_before(session)
    starts = [at for at, item in enumerate(messages) if is_of_user(item)]
    if turn - before > len(starts):
        raise UsageError(f"there is no turn {turn}: the conversation has {before + len(starts)}")
    *earlier, start = starts[: turn - before]
    live = session.state[MESSAGES]
    gone = [plain(item) for item in live[start:]]
    del live[start:]
    asked = messages[earlier[-1]] if earlier else None
    keeper.sum_up(session, text_of(asked.get("content"), SUMMARY_CHARS) if asked else None)
    return gone


async def _bring_back(session: Opened, keeper: Keeper, turn: int) -> list[Any]:
    """What a compaction took out, of the turns up to where the next one went on.

    The items before it are those of the checkpoint it was made on, of which the newest turns are
    in the conversation still.

    Raises:
        CheckpointPruned: one of these checkpoints is not there any more.
    """
    compacted = session.state[COMPACTED]
    at = next(at for at, each in enumerate(compacted) if turn <= each["turns"])
    older = list(compacted[at:])
    if at:
        del compacted[at:]
    else:
        del session.state[COMPACTED]
    found: list[Any] = []
    for number, each in enumerate(older):
        try:
            state = await keeper.store.at(keeper.key, each["before"], sections=[MESSAGES])
        except CheckpointNotFound as error:
            raise CheckpointPruned(
                f"turn {turn} was compacted, and the checkpoint before that was pruned"
            ) from error
        items = [plain(item) for item in state[MESSAGES][: each["items"]]]
        found += items if number == 0 else items[_lead(items) :]
    return found


def _lead(items: Sequence[Any]) -> int:
    """How many items stand before the first turn: the summary of a compaction."""
    return 1 if items and _is_summary(items[0]) else 0


def _is_summary(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and item.get("role") == "system"
        and isinstance(item.get("content"), str)
        and item["content"].startswith(SUMMARY)
    )


async def compact(keeper: Keeper, summary: str | Summarizing, keep_turns: int) -> int:
    """Put a summary in the place of older turns; see `PerdureSession.compact`.

    Args:
        keeper: of the conversation.
        summary: a text, or what makes one of the items.
        keep_turns: how many of the newest turns stay.
    """
    if keep_turns < 0:
        raise UsageError(f"keep_turns is a whole number from 0 on, not {keep_turns}")

    async def reading(session: Opened) -> list[Any]:
        return (await _all(session))[: _cut(await found(session), session, keep_turns)]

    old = await keeper.read(reading)
    if len(old) <= _lead(old):
        return 0
    said = summary if isinstance(summary, str) else summary(old)
    if inspect.isawaitable(said):
        said = await said
    text = SUMMARY + said

    async def compacting(session: Opened) -> int:
        messages = await _all(session)
        if messages[: len(old)] != old:
            raise UsageError(
                "the turns that were summarized have been changed meanwhile: compact again"
            )
        checkpoint = session.checkpoint
        assert checkpoint is not None  # there are items, so somebody saved them
        turns = sum(map(is_of_user, old)) + await _turns_before(session)
        entry = {"turns": turns, "items": len(old), "before": checkpoint.id}
        session.state.setdefault(COMPACTED, []).append(entry)
        await session.load(MESSAGES)
        session.state[MESSAGES][: len(old)] = [{"role": "system", "content": text}]
        return len(old)

    return await keeper.write(compacting, label="compacted", looks=True)


def _cut(turns: Sequence[Turn], session: Opened, keep_turns: int) -> int:
    """The position at which the turns that stay begin."""
    if keep_turns == 0:
        return session.length(MESSAGES) if MESSAGES in session.state else 0
    return turns[-keep_turns].start if keep_turns <= len(turns) else 0


async def _all(session: Opened) -> list[Any]:
    if MESSAGES not in session.state:
        return []
    return await session.window(MESSAGES)


async def _turns_before(session: Opened) -> int:
    """How many turns were compacted."""
    if COMPACTED not in session.state:
        return 0
    await session.load(COMPACTED)
    turns: int = session.state[COMPACTED][-1]["turns"]
    return turns
