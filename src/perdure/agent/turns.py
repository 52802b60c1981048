"""Turns of a conversation: which of the model's tool calls have no result yet, and what breaks one.

An assistant's message with tool calls opens a turn; the results follow it, and nothing else may
until each call has one. At the tail a turn may be open: that is how a conversation is saved before
its tools run. Anywhere else a call without its result is refused by every provider.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import msgspec

from perdure.agent.call_results import key_of


class ToolCall(msgspec.Struct, frozen=True):
    """A call that the model asks for and that has no result yet.

    The same when it came and after a resume: it is read from what is stored.

    Example:
        >>> [(call.name, call.arguments) for call in chat.open_calls()]
        [('refund', {'order': 17})]
    """

    id: str
    """The provider's, one of a kind within its turn; with it the result is told to be of this call.
    """
    name: str
    """Of the tool."""
    arguments: Any
    """What the model gave: parsed, most often a dict; of a tool that takes free text, the text."""
    malformed: str | None = None
    """Why the arguments could not be parsed ({} then), in words that the model may be answered."""
    is_done: bool = False
    """Whether a step or an effect was done under its `key`, though the call has no answer yet."""
    result: Any = None
    """What that gave; what `answer` takes where it is given none."""

    @property
    def key(self) -> str:
        """What the call is known by, for the step or the effect that does what it asks for.

        The name, the id and a hash of the arguments. Where an endpoint gives the same id to calls
        of later turns, with the same arguments, they count as one: give those keys of your own.
        """
        return key_of(self.name, self.id, self.arguments)


class Shape(Protocol):
    """What messages look like at one provider. Whatever is no such message has no calls in it."""

    provider: str
    results_in_one: bool
    """Whether the results of all calls of a message go into one message."""
    part_types: frozenset[str]
    """The types of the parts that a result can be made of."""

    def message(self, value: Any) -> Any:
        """What is stored of a message, or of an object of the provider's SDK.

        What is neither is given back as it is.
        """
        ...

    def calls(self, message: Any) -> list[Any]:
        """The tool calls in a message, as they stand there; each has an `id`."""
        ...

    def read(self, call: Any) -> ToolCall:
        """A call as it stands in a message, parsed."""
        ...

    def answers(self, message: Any) -> list[str]:
        """The ids of the calls whose results are in a message."""
        ...

    def only_answers(self, message: Any) -> bool:
        """Whether a message with results has nothing else in it."""
        ...

    def results_first(self, message: Any) -> bool:
        """Whether nothing precedes the results in a message that has some."""
        ...

    def result(self, call: Any, content: Any, *, is_error: bool) -> dict[str, Any]:
        """The result of a call: a message, or a part of one where they go into one."""
        ...

    def together(self, result: dict[str, Any]) -> dict[str, Any]:
        """The message that a result comes in."""
        ...

    def needs_opener(self, message: Any) -> bool:
        """Whether a prompt cannot begin with this message."""
        ...


class Break(msgspec.Struct, frozen=True, eq=False):
    """A message that cannot stand where it does."""

    at: int
    """Its position among those that were looked at."""
    message: Any
    why: str
    calls: tuple[str, ...] = ()
    """The ids of the calls that it is about."""
    is_unknown: bool = False
    """Whether it only cannot be told: the calls before it were not looked at."""

    def places(self) -> list[tuple[int, str | None]]:
        """What is broken, to be found again: the message with each of the calls."""
        return [(id(self.message), call) for call in self.calls or (None,)]


class Turn:
    """The turn that a conversation is in, as its messages are gone through.

    Args:
        shape: what its messages look like.
        is_known: whether what precedes the first message is of no turn; False at the start of a
            window, where results may be of calls before it.
    """

    __slots__ = ("_answered", "_is_known", "_shape", "open")

    def __init__(self, shape: Shape, *, is_known: bool = True) -> None:
        self._shape = shape
        self._is_known = is_known
        self._answered: set[str] = set()
        self.open: dict[str, Any] = {}
        """The calls without a result, by id, in the model's order, as they stand in the message."""

    def follow(self, message: Any) -> tuple[str, tuple[str, ...], bool] | None:
        """Go on to the next message; what is wrong with it: why, the calls, whether it is unknown.

        None if nothing is.
        """
        answers = self._shape.answers(message)
        if answers:
            return self._take(answers, message)
        wrong = self._left() if self._is_known else (UNKNOWN, (), True)
        calls = self._shape.calls(message)
        self.open = {str(call["id"]): call for call in calls}
        self._answered, self._is_known = set(), True
        if wrong is None and len(self.open) < len(calls):
            twice = [str(call["id"]) for call in calls]
            doubled = tuple({each: None for each in twice if twice.count(each) > 1})
            return f"two of its calls have the id {_quoted(doubled)}", doubled, False
        return wrong

    def _take(self, answers: list[str], message: Any) -> tuple[str, tuple[str, ...], bool] | None:
        if not self._is_known:
            return None
        if self._answered and self.open and self._shape.results_in_one:
            why = "all results of a batch go into one message, and this one comes after it: "
            return f"{why}chat.answer({_first(self.open)}, …) adds to it", tuple(self.open), False
        if not self._shape.results_first(message):
            why = "results come first in their message, before anything else"
            return why, tuple(answers), False
        for each in answers:
            if each not in self.open:
                again = each in self._answered
                return self._not_open(each, again=again), (each,), False
            del self.open[each]
            self._answered.add(each)
        return None if self._shape.only_answers(message) else self._left()

    def _not_open(self, call: str, *, again: bool) -> str:
        if again:
            return f"it answers the call {call!r} a second time"
        there = f"open here: {_quoted(self.open)}" if self.open else "no call is open here"
        return f"it answers the call {call!r}, which the model has not made ({there})"

    def _left(self) -> tuple[str, tuple[str, ...], bool] | None:
        if not self.open:
            return None
        names = ", ".join(
            f"{each!r} ({self._shape.read(call).name})" for each, call in self.open.items()
        )
        many = "tool calls" if len(self.open) > 1 else "tool call"
        why = f"it leaves the {many} {names} unanswered: chat.answer({_first(self.open)}, …) first"
        return why, tuple(self.open), False


UNKNOWN = (
    "whether it leaves a tool call unanswered is not known: the window begins inside a turn. Load "
    "the section, or open it with a longer window"
)


def breaks(shape: Shape, messages: Iterable[Any], *, is_known: bool = True) -> Iterator[Break]:
    """The messages that cannot stand where they do, in order; at the tail a turn may be open."""
    turn = Turn(shape, is_known=is_known)
    for at, message in enumerate(messages):
        wrong = turn.follow(message)
        if wrong is not None:
            why, calls, is_unknown = wrong
            yield Break(at, message, why, calls, is_unknown)


def parts_of(message: Any, name: str) -> list[Any]:
    """The dicts in a list that a message has under a name; none where it has no such list."""
    found = message.get(name) if isinstance(message, dict) else None
    if not isinstance(found, list):
        return []
    return [part for part in found if isinstance(part, dict)]


def role_of(message: Any) -> Any:
    """The role of a message; None if it is none."""
    return message.get("role") if isinstance(message, dict) else None


def sent(value: Any, hidden: Any = None) -> Any:
    """What an SDK sends of one of its own objects; what is none stays as it is.

    Args:
        value: anything.
        hidden: fields that the SDK adds and that are not sent, as pydantic has them, where the
            object does not say so itself.
    """
    if not callable(getattr(type(value), "model_dump", None)):
        return value
    hidden = getattr(value, "__api_exclude__", hidden)
    return value.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=hidden)


def with_parts_sent(message: dict[str, Any], name: str, hidden: Any = None) -> dict[str, Any]:
    """A message whose list of that name may hold objects of an SDK, with these as data.

    It is given back itself where there are none.
    """
    parts = message.get(name)
    if not isinstance(parts, list) or not any(hasattr(type(each), "model_dump") for each in parts):
        return message
    return {**message, name: [sent(each, hidden) for each in parts]}


def _first(calls: Iterable[Any]) -> str:
    return repr(next(iter(calls)))


def _quoted(calls: Iterable[Any]) -> str:
    return ", ".join(map(repr, calls))
