"""Conversations: lists of messages in a provider's own shape, in which no tool call is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, get_args, get_origin

import msgspec
from msgspec.structs import replace

from perdure.agent.call_results import content_of, recorded
from perdure.agent.conversation_anthropic import AnthropicShape
from perdure.agent.conversation_openai import OpenAIShape
from perdure.agent.turns import Break, Shape, ToolCall, Turn, breaks
from perdure.agent.windowing import windowed
from perdure.core.paths import Path, format_path
from perdure.errors import BrokenTurn, SectionNotLoaded, UsageError, WrongType
from perdure.schemas.kinds import bare
from perdure.state.sections import State
from perdure.state.sequence import TrackedList

if TYPE_CHECKING:
    from perdure.schemas.kinds import Kind

P = TypeVar("P")
C = TypeVar("C", bound="Conversation[Any]")

_item = list.__getitem__


class Conversation(TrackedList, Generic[P]):
    """A tracked list of messages, each in the shape of its provider: `Conversation["openai"]`.

    It is stored as the plain list of dicts that the provider takes, and goes into its SDK as it is.
    What the SDK gives back goes in as it is, too. A tool call that has no result yet may stand at
    the tail, so save before you run the tool; whatever would leave a call unanswered further up,
    or answer one that is not open, is refused, by every way of inserting and removing messages.
    What is edited inside a message is not looked at; `check` looks at all.

    As a section of a schema: `chat: Conversation["openai"]` (for type checkers
    `Conversation[Literal["openai"]]`). Without a schema: `of`. Opened as a
    window (`windows={"chat": 50}`) nothing but that is read. Called, the class makes one that is
    in no state yet.

    Raises:
        BrokenTurn: by every edit, where a message cannot stand where it would; nothing has changed.
        WrongType: by every way of inserting, where it is no message.

    Example:
        >>> chat.append(client.chat.completions.create(model="…", messages=chat, tools=tools))
        >>> session.save()
        >>> for call in chat.open_calls():
        ...     answer = functools.partial(chat.answer, call)
        ...     task.options(key=call.key, apply=answer).effect("refund", refund, **call.arguments)
    """

    __slots__ = ()

    _shape: Shape

    def __new__(cls, messages: Iterable[Any] = (), /) -> Self:
        """A conversation of these messages that is in no state yet."""
        _require_shape(cls)
        made = claimed(TrackedList(), cls)
        made.extend(messages)
        return made

    @classmethod
    def of(cls, state: Any, name: str = "messages") -> Self:
        """A section of a state as a conversation, put there first if it is not there.

        Args:
            state: `session.state`, or `session.raw` of a typed session.
            name: of the section.

        Raises:
            UsageError: the section is no list, or a conversation in another shape.
            SectionNotLoaded: it is not loaded, under asyncio.

        Example:
            >>> chat = Conversation["anthropic"].of(session.state, "chat")
            >>> chat.append({"role": "user", "content": "Where is my order?"})
        """
        _require_shape(cls)
        sections = bare(state)
        if not isinstance(sections, State):
            kind = type(state).__name__
            raise UsageError(f"give the state of a session, session.state, not a {kind}")
        node = sections.setdefault(name, [])
        if not isinstance(node, TrackedList):
            kind = type(node).__name__
            raise UsageError(f"section {name!r} is no list of messages, but a {kind}")
        return claimed(node, cls)

    # By provider, and not by type, as type checkers are told.
    @classmethod
    def __class_getitem__(cls, provider: Any) -> Any:
        if provider is Any or isinstance(provider, TypeVar):
            return cls
        if get_origin(provider) is Literal:
            (provider,) = get_args(provider)
        return class_of(provider)

    @classmethod
    def _perdure_annotation(cls) -> Kind:
        """What it says as an annotation of a schema."""
        _require_shape(cls)
        from perdure.agent.conversation_kind import ConversationKind

        return ConversationKind(cls)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """For pydantic it is what it is stored as."""
        return handler.generate_schema(list[dict[str, Any]])

    # ---- calls and results ------------------------------------------------------------------

    def open_calls(self) -> list[ToolCall]:
        """The tool calls at the tail that have no result yet, in the model's order.

        Of one whose step or effect was done under its `key`, also what that gave.

        Raises:
            SectionNotLoaded: the window begins inside the turn; or tasks are not loaded, under
                asyncio.
        """
        calls = [self._shape.read(call) for call in self._open().values()]
        found = recorded(self, [call.key for call in calls])
        return [
            replace(call, is_done=True, result=found[call.key]) if call.key in found else call
            for call in calls
        ]

    def answer(
        self, call: ToolCall | str, result: Any = msgspec.UNSET, *, is_error: bool = False
    ) -> Any:
        """Put in the result of an open call, in the provider's shape; the message that has it.

        Args:
            call: the call, or its id.
            result: a text, or a list of the provider's own parts (dicts with a `type`), as it is;
                an exception as an error, by its type and text; anything else as JSON. Left out:
                what the step or effect gave that was done under the call's `key`.
            is_error: whether the tool failed. Where the provider has no field for it, the result
                says so in words.

        Raises:
            BrokenTurn: it is no open call.
            NotStorable: the result cannot be stored.
            SectionNotLoaded: the window begins inside the turn.
            UsageError: no result is given, and none is recorded.
        """
        shape, calls = self._shape, self._open()
        key = call.id if isinstance(call, ToolCall) else call
        if key not in calls:
            there = ", ".join(map(repr, calls)) or "none"
            raise BrokenTurn(
                f"{self._where()}: {key!r} is no open call (open: {there})", calls=(key,)
            )
        if result is msgspec.UNSET:
            result = self._result_of(shape.read(calls[key]))
        is_error = is_error or isinstance(result, BaseException)
        made = shape.result(calls[key], content_of(result, shape.part_types), is_error=is_error)
        last = self[-1]
        if shape.results_in_one and shape.answers(last):
            last["content"].append(made)  # nothing but results is in it while a call is open
        else:
            self.append(shape.together(made))
        return self[-1]

    def _result_of(self, call: ToolCall) -> Any:
        """What is recorded under the key of a call.

        Raises:
            UsageError: nothing is.
        """
        found = recorded(self, [call.key])
        if call.key not in found:
            raise UsageError(
                f"{self._where()}: no step or effect was done under the key {call.key!r} of the "
                f"call {call.id!r}: give its result, chat.answer(call, …), or do what it asks for "
                f"in task.options(key=call.key).effect({call.name!r}, …)"
            )
        return found[call.key]

    def check(self) -> None:
        """Look at every message, also at what was edited in place or stored by other code.

        Raises:
            BrokenTurn: for the first message that cannot stand where it does.
        """
        is_known = self._is_known(0, 0)
        for each in breaks(self._shape, list.__iter__(self), is_known=is_known):
            if not each.is_unknown:
                raise self._refusal(each, 0)

    def window(
        self,
        *,
        tokens: int | None = None,
        count: Callable[[Any], int] | None = None,
        last: int | None = None,
        system: bool = False,
    ) -> list[Any]:
        """The newest messages that fit, for a prompt; a call is never parted from its results.

        Where a provider wants prompts to begin with what the user says, and what fits begins
        otherwise, the newest such message before it is put first.

        Args:
            tokens: what they count at most, together.
            count: what one message counts; by default an estimate, a quarter of its characters.
            last: how many they are at most (messages).
            system: whether the system messages at the start are put first, whatever else fits.

        Returns:
            a plain list of the messages, tracked. Empty if the newest turn alone does not fit.

        Example:
            >>> client.chat.completions.create(model=model, messages=chat.window(tokens=8000))
        """
        return windowed(self, self._shape, tokens=tokens, count=count, last=last, system=system)

    # ---- editing ----------------------------------------------------------------------------

    def append(self, value: Any, /) -> None:
        """Put in one message, or what the SDK gave for one."""
        self.extend([value])

    def _enter(self, value: Any, at: str | int) -> Any:
        return super()._enter(self._message(value, at), at)

    def _enter_all(
        self, values: Iterable[tuple[str | int, Any]], staying: Iterable[Any] = ()
    ) -> list[Any]:
        taken = [(at, self._message(value, at)) for at, value in values]
        return super()._enter_all(taken, staying)

    def _message(self, value: Any, at: str | int) -> Any:
        if self._tracker.released is not None:  # somebody else saved it
            return value
        message = self._shape.message(bare(value))
        if not is_message(message):
            raise no_message(self._shape, value, (*self._path(), self._part(at)))
        return message

    def _put(self, position: int, value: Any) -> None:
        self._require_whole(position, 1, [value])
        super()._put(position, value)

    def _splice(self, start: int, removed: int, stored: list[Any]) -> None:
        self._require_whole(start, removed, stored)
        super()._splice(start, removed, stored)

    def _require_whole(self, start: int, removed: int, stored: list[Any]) -> None:
        """Refuse an edit that breaks a turn; one that was broken before may stay so.

        Only the turns around it are looked at, however long the conversation is.
        """
        if self._tracker.released is not None:  # somebody else saved it
            return
        start = min(start, len(self))
        end = min(start + removed, len(self))
        first, stop = self._turn_start(start), self._turn_stop(end)
        is_known = self._is_known(first, start)
        head, tail = _item(self, slice(first, start)), _item(self, slice(end, stop))
        now = list(breaks(self._shape, [*head, *stored, *tail], is_known=is_known))
        if now:
            before = breaks(self._shape, _item(self, slice(first, stop)), is_known=is_known)
            known = {place for each in before for place in each.places()}
            for each in now:
                if not known.issuperset(each.places()):
                    self._tracker.end_moves()  # what was about to move here stays free
                    raise self._refusal(each, first)

    def _turn_start(self, stop: int) -> int:
        """The position of the message before `stop` that is no result: a turn may begin there."""
        at = stop - 1
        while at > 0 and self._shape.answers(_item(self, at)):
            at -= 1
        return max(at, 0)

    def _turn_stop(self, start: int) -> int:
        """The position after the first message from `start` on that is no result."""
        at = start
        while at < len(self) and self._shape.answers(_item(self, at)):
            at += 1
        return min(at + 1, len(self))

    def _is_known(self, first: int, stop: int) -> bool:
        """Whether what precedes position `first` cannot matter to the messages from there on."""
        if not self._offset:
            return True
        return first < stop and not self._shape.answers(_item(self, first))

    def _open(self) -> dict[str, Any]:
        first = self._turn_start(len(self))
        if not self._is_known(first, len(self)):
            raise SectionNotLoaded(
                f"{self._where()}: its window begins inside a turn, so which calls are open is "
                "not known: load the section, or open it with a longer window"
            )
        turn = Turn(self._shape)
        for message in _item(self, slice(first, None)):
            turn.follow(message)
        return turn.open

    def _where(self) -> str:
        return format_path(self._path()) if self._path() else "conversation"

    def _refusal(self, found: Break, first: int) -> UsageError:
        path = (*self._path(), self._part(first + found.at))
        if found.is_unknown:
            return SectionNotLoaded(f"{format_path(path)}: {found.why}")
        return broken(found, path)


class OpenAIConversation(Conversation[Any]):
    """A conversation in the shape of OpenAI's chat completions, which many endpoints speak."""

    __slots__ = ()

    _shape = OpenAIShape()


class AnthropicConversation(Conversation[Any]):
    """A conversation in the shape of Anthropic's messages."""

    __slots__ = ()

    _shape = AnthropicShape()


CLASSES: dict[str, type[Conversation[Any]]] = {
    each._shape.provider: each for each in (OpenAIConversation, AnthropicConversation)
}
"""By name of the provider."""


def class_of(provider: Any) -> type[Conversation[Any]]:
    """The class for the messages of a provider.

    Raises:
        UsageError: there is none.
    """
    found = CLASSES.get(provider) if isinstance(provider, str) else None
    if found is None:
        known = " or ".join(map(repr, CLASSES))
        raise UsageError(f"a conversation is in the shape of {known}, not {provider!r}")
    return found


def _require_shape(cls: type[Conversation[Any]]) -> None:
    if not hasattr(cls, "_shape"):
        known = " or ".join(f'Conversation["{name}"]' for name in CLASSES)
        raise UsageError(f"say in whose shape the messages of a conversation are: {known}")


def claimed(node: TrackedList, cls: type[C]) -> C:
    """The live list itself, from now on a conversation.

    Raises:
        UsageError: it is one in another shape.
    """
    if isinstance(node, Conversation) and type(node) is not cls:
        raise UsageError(
            f"{node._where()}: its messages are in the shape of {node._shape.provider!r}"
        )
    node.__class__ = cls
    assert isinstance(node, cls)
    return node


def is_message(value: Any) -> bool:
    """Whether it is one from outside."""
    return isinstance(value, dict) and isinstance(value.get("role"), str)


def no_message(shape: Shape, value: Any, path: Path) -> WrongType:
    """The error for what is no message and cannot be at a path."""
    return WrongType(
        f"{format_path(path)}: a message is a dict with a role, as {shape.provider!r} has it, or "
        f"what its SDK gives, not {value!r:.80}",
        path=path,
    )


def broken(found: Break, path: Path) -> BrokenTurn:
    """The error for a message that cannot be at a path."""
    role = found.message.get("role") if isinstance(found.message, dict) else None
    where = f"{format_path(path)} ({role})"
    return BrokenTurn(f"{where}: {found.why}", path=path, calls=found.calls)
