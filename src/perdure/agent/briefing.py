"""The briefing: what an agent, or a person, needs to carry on where the state stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from perdure import limits
from perdure.agent.acts import Acts, Window
from perdure.agent.awaited import answers, come_of
from perdure.agent.briefing_parts import PARTS, Source, Tasks
from perdure.agent.children import Child
from perdure.agent.children import every as every_child
from perdure.agent.receipt import LossReceipt, receipt_of
from perdure.agent.records import CHILDREN, KINDS, QUESTIONS, TASKS, read
from perdure.core.abbreviate import count as abbreviated
from perdure.core.claims import claims_of, effect_key, is_open
from perdure.core.head import Claim
from perdure.engine.around import UNREADABLE
from perdure.engine.questions import ANSWERS, Answer
from perdure.engine.view import when
from perdure.errors import UsageError

if TYPE_CHECKING:
    from perdure.session_base import SessionBase

Counting: TypeAlias = Callable[[str], int]

CHARS_PER_TOKEN = 4
"""What the estimate takes a token for, where nobody counts: about what English text has."""

CONVERSATIONS = ("messages", "chat", "conversation", "history")
"""Where the last instruction is looked for, if nobody says where: the first that there is."""


class BriefingItem(msgspec.Struct, frozen=True):
    """One thing to know."""

    title: str
    """Of the part that it belongs to."""
    text: str
    """Markdown, on one line."""


class Briefing(msgspec.Struct, frozen=True):
    """What there is to know, most important first, within a budget. `str` of it is Markdown.

    Of the same state it has the same bytes, whenever it is asked for.

    Example:
        >>> messages.append({"role": "system", "content": str(session.briefing())})
    """

    key: str
    branch: str
    items: tuple[BriefingItem, ...]
    """In the order in which they are shown."""
    left_out: dict[str, int]
    """Items that the budget had no room for, by title."""
    receipt: LossReceipt | None = None
    """What was resumed, how much of it is there, and what is missing; None: the state is new."""
    children: tuple[Child, ...] = ()
    """Those that are not finished, as they stand."""

    def __str__(self) -> str:
        return "\n".join(_lines(self.items, self.left_out))


def estimate(text: str) -> int:
    """About how many tokens a text has."""
    return len(text) // CHARS_PER_TOKEN + 1


def briefing(
    session: SessionBase[Any],
    max_tokens: int,
    count: Counting | None,
    conversation: str | None,
) -> Acts[Briefing]:
    """See `Session.briefing`."""
    if max_tokens < limits.briefing_tokens_min:
        raise UsageError(
            f"a briefing takes at least {limits.briefing_tokens_min} tokens, not {max_tokens}"
        )
    unreadable: list[str] = []
    records = {}
    for name in KINDS:
        records[name] = yield from _readable(session, name, unreadable)
    length, latest = yield from _latest(session, conversation, unreadable)
    receipt = yield from receipt_of(session, records, length, unreadable)
    come, given = yield from _come(session, records, unreadable)
    source = Source(
        records,
        Tasks(records[TASKS], come),
        resumed=session.resumed,
        as_of=_as_of(session),
        latest=latest,
        unknown=_unknown(session),
        receipt=receipt,
        children=(yield from every_child(session)) if records[CHILDREN] else (),
        answers={id_: (value, by, when(at_us)) for id_, (value, by, at_us) in given.items()},
    )
    items, left_out = fitted(source, max_tokens, count or estimate)
    unfinished = tuple(child for child in source.children if not child.is_finished)
    return Briefing(session.key, session.branch, tuple(items), left_out, receipt, unfinished)


def _readable(session: SessionBase[Any], name: str, unreadable: list[str]) -> Acts[Any]:
    """A section of the record; an empty one, and a word about it, where it cannot be read."""
    try:
        return (yield from read(session, name))
    except UNREADABLE as error:
        unreadable.append(f"section {name}: {error.kind}: {error}")
        return KINDS[name]()


def _as_of(session: SessionBase[Any]) -> datetime | None:
    newest = session.checkpoint
    return newest.time if newest is not None else None


def _come(
    session: SessionBase[Any], records: dict[str, Any], unreadable: list[str]
) -> Acts[tuple[frozenset[str], dict[str, Answer]]]:
    """Tasks that waited for what has come, and answers that the agent has not asked for since."""
    as_of = _as_of(session)
    if as_of is None:
        return frozenset(), {}
    try:
        come = yield from come_of(session, records[TASKS], records[QUESTIONS], as_of)
        return come, (yield from answers(session, records[QUESTIONS]))
    except UNREADABLE as error:
        unreadable.append(f"answers: {error.kind}: {error}")
        return frozenset(), {}


def _unknown(session: SessionBase[Any]) -> list[tuple[str, datetime, str]]:
    """The effects whose outcome nobody knows, as far as the session does: the head has them all."""
    position = session._core.position
    claims = claims_of(position.head) if position is not None else {}
    return [
        (_named(key, claim), when(claim.at_us), claim.about)
        for key, claim in claims.items()
        if is_open(claim) and not key.startswith(ANSWERS)
    ]


def _named(key: str, claim: Claim) -> str:
    """What an effect is called; one of another state, with that."""
    if claim.elsewhere is None:
        return key
    return f"{effect_key(key)} in {claim.elsewhere.key}"


def _latest(
    session: SessionBase[Any], name: str | None, unreadable: list[str]
) -> Acts[tuple[int, list[Any]]]:
    """How many messages the conversation has, and the newest of them.

    Raises:
        UsageError: there is no such section, or it is no list.
    """
    if name is not None and name not in session.raw:
        raise UsageError(f"{session.key!r} has no section {name!r} to find an instruction in")
    names = CONVERSATIONS if name is None else (name,)
    for each in names:
        if each in session.raw:
            try:
                found: list[Any] = yield Window(each, limits.briefing_messages_max)
                return session.length(each), found
            except UsageError:  # it is no list: then it is none of these
                if name is not None:
                    raise
            except UNREADABLE as error:
                unreadable.append(f"section {each}: {error.kind}: {error}")
    return 0, []


# ---- the budget -----------------------------------------------------------------------------


def fitted(
    source: Source, tokens: int, count: Counting
) -> tuple[list[BriefingItem], dict[str, int]]:
    """The items that a budget has room for, and how many are left out, by title.

    First the first few of each part, in the order of the parts; then what else there is. An item
    that has no room is left out whole, and so is all of its part that comes after it.
    """
    rest = {title: iter(make(source)) for title, make in PARTS.items()}
    chosen: dict[str, list[BriefingItem]] = {title: [] for title in PARTS}
    left_out: dict[str, int] = {}
    budget = tokens - count(_trailer(limits.briefing_count_max))
    for most in (limits.briefing_first_items, None):
        for title, items in rest.items():
            for tell in islice(items, most):
                item = BriefingItem(title, tell())
                heading = count(_heading(title)) if not chosen[title] else 0
                cost = heading + count(_line(item))
                if cost > budget:
                    left_out[title] = 1 + sum(1 for _ in items)
                    break
                budget -= cost
                chosen[title].append(item)
    return [item for items in chosen.values() for item in items], left_out


def _lines(items: Iterable[BriefingItem], left_out: dict[str, int]) -> Iterator[str]:
    title = None
    for item in items:
        if item.title != title:
            if title is not None:
                yield ""
            yield from _heading(item.title).splitlines()
            title = item.title
        yield _line(item)
    if left_out:
        yield ""
        yield _trailer(sum(left_out.values()))


def _line(item: BriefingItem) -> str:
    return f"- {item.text}"


def _heading(title: str) -> str:
    return f"## {title}\n\n"


def _trailer(left_out: int) -> str:
    """What the budget had no room for."""
    return f"_{abbreviated(left_out, 'further item')} left out for want of room._"
