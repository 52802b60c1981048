"""How values of LangGraph are kept: as plain data that reads well, and never as code (P12).

What Perdure can hold goes in as it is. A message of langchain-core becomes a dict with its role,
its content and whatever else it says. Any other object is kept as the serializer writes it. A dict
whose first key begins with `$` stands for something else; what would look so is kept as pairs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from langchain_core import messages as lc
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.event_hooks import SerdeEvent, register_serde_event_listener
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from perdure.core.redaction import MARK
from perdure.errors import BadStored, NotStorable, PerdureError

ATOMS = frozenset(
    {
        *(type(None), bool, int, float, str, bytes),
        *(datetime, date, time, timedelta, UUID, Decimal),
    }
)
"""The classes whose instances are kept as they are."""

MESSAGE, OBJECT, DATA, PAIRS, DELTA = "$message", "$object", "data", "$pairs", "$delta"
INTERRUPT, SEND = "$interrupt", "$send"

ROLES = {"human": "user", "ai": "assistant", "HumanMessageChunk": "user"} | {
    "AIMessageChunk": "assistant",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
}
"""Roles of a chat by the types of messages, where these are called otherwise."""

CLASSES: dict[str, type[BaseMessage]] = {
    each.__name__: each
    for each in (
        *(lc.HumanMessage, lc.AIMessage, lc.SystemMessage, lc.ToolMessage),
        *(lc.ChatMessage, lc.FunctionMessage, lc.RemoveMessage),
        *(lc.HumanMessageChunk, lc.AIMessageChunk, lc.SystemMessageChunk, lc.ToolMessageChunk),
    )
}
"""The only classes that a stored message can become one of."""

MESSAGES = frozenset(CLASSES.values())

_told = threading.local()


def _note(event: SerdeEvent) -> None:
    """Take down, for the thread that reads, what the serializer would not make."""
    refused: list[tuple[str, str]] | None = getattr(_told, "refused", None)
    if refused is not None and event["kind"] in ("msgpack_blocked", "msgpack_method_blocked"):
        refused.append((event["module"], event["name"]))


register_serde_event_listener(_note)


class Coder:
    """Turns values into what is stored, and back.

    Args:
        serde: what keeps objects that are neither plain data nor messages. One that is not a
            `JsonPlusSerializer`, as one that encrypts, keeps every value, the items of a list each
            by itself.
    """

    def __init__(self, serde: SerializerProtocol) -> None:
        self.serde = serde
        self.is_open = isinstance(serde, JsonPlusSerializer)
        """Whether plain data is kept as such."""
        self._encode: Callable[[Any], Any] = self._plain if self.is_open else self._sealed

    def encode(self, value: Any) -> Any:
        """A value as it is stored.

        Raises:
            NotStorable: it would not be read back, or contains itself.
        """
        try:
            return self._encode(value)
        except RecursionError:
            raise NotStorable(f"this {type(value).__name__} is nested too deep") from None

    def encode_items(self, items: list[Any]) -> list[Any]:
        """The items of a list, as they are stored in it."""
        return [self.encode(item) for item in items]

    def encode_whole(self, value: Any) -> Any:
        """The value of a channel."""
        return self.encode_items(value) if type(value) is list else self.encode(value)

    def _plain(self, value: Any) -> Any:
        kind = type(value)
        if kind in ATOMS:
            return value
        if kind is dict:
            return self._dict(value)
        if kind is list:
            return [self._plain(item) for item in value]
        if kind is tuple:
            return tuple([self._plain(item) for item in value])
        if kind in MESSAGES:
            return self._message(value)
        if kind in (set, frozenset) and all(type(item) in ATOMS for item in value):
            return value
        if kind is _DeltaSnapshot:
            return {DELTA: self._plain(value.value)}
        if kind.__module__ == "langgraph.types":
            return self._of_graph(kind.__name__, value)
        return self._sealed(value)

    def _of_graph(self, name: str, value: Any) -> dict[str, Any]:
        """What LangGraph itself puts into channels: what is in it can be read, and redacted."""
        if name == "Interrupt" and value.response_schema is None:
            return {INTERRUPT: self._plain(value.id), "value": self._plain(value.value)}
        if name == "Send" and getattr(value, "timeout", None) is None:
            return {SEND: self._plain(value.node), "arg": self._plain(value.arg)}
        return self._sealed(value)

    def _dict(self, value: dict[Any, Any]) -> dict[str, Any]:
        coded = {}
        for key, item in value.items():
            if type(key) is not str or key[:1] == "$":
                pairs = [[self._plain(each), self._plain(item)] for each, item in value.items()]
                return {PAIRS: pairs}
            coded[key] = item if type(item) in ATOMS else self._plain(item)
        return coded

    def _message(self, message: BaseMessage) -> dict[str, Any]:
        kind = type(message)
        has_role = "role" in kind.model_fields
        if message.__pydantic_extra__ or message.__pydantic_private__:
            return self._sealed(message)
        coded: dict[str, Any] = {MESSAGE: kind.__name__}
        if not has_role:
            coded["role"] = ROLES.get(message.type, message.type)
        standard = _defaults(kind)
        for name, value in vars(message).items():
            if value is None or type(value) in ATOMS:
                if name in standard and _is_same_atom(value, standard[name]):
                    continue
                coded[name] = value
            elif value or name not in standard or type(value) is not type(standard[name]):
                coded[name] = self._plain(value)
        return coded

    def _sealed(self, value: Any) -> dict[str, Any]:
        """A value as the serializer writes it, if it would read it too.

        Raises:
            NotStorable: it would not.
        """
        try:
            form, data = self.serde.dumps_typed(value)
        except TypeError as error:
            raise NotStorable(f"this {type(value).__name__} cannot be kept: {error}") from error
        if self.is_open:
            _, refused = self._loaded(form, data)
            if refused:
                raise NotStorable(
                    f"{'.'.join(refused[0])} would not be read back: only what is allowed is ever "
                    "made from stored data. What takes allow=[its class] allows it"
                )
        return {OBJECT: form, DATA: data}

    def _loaded(self, form: str, data: bytes) -> tuple[Any, list[tuple[str, str]]]:
        """What the serializer reads, and the modules and names of what it would not make."""
        refused: list[tuple[str, str]] = []
        _told.refused = refused
        try:
            return self.serde.loads_typed((form, data)), refused
        finally:
            _told.refused = None

    def decode(self, stored: Any) -> Any:
        """What was stored, sharing nothing mutable with it.

        Raises:
            BadStored: it holds an object of a class that is not allowed here.
        """
        kind = type(stored)
        if kind is dict:
            first = next(iter(stored), "")
            if first[:1] == "$":
                return self._object(first, stored)
            return {
                key: item if type(item) in ATOMS else self.decode(item)
                for key, item in stored.items()
            }
        if kind is list:
            return [self.decode(item) for item in stored]
        if kind is tuple:
            return tuple([self.decode(item) for item in stored])
        return stored.copy() if kind is set else stored

    def _object(self, tag: str, stored: dict[str, Any]) -> Any:
        if tag == MESSAGE:
            return self._said(stored)
        if tag == PAIRS:
            return {self.decode(key): self.decode(item) for key, item in stored[PAIRS]}
        if tag == DELTA:
            return _DeltaSnapshot(self.decode(stored[DELTA]))
        if tag in (INTERRUPT, SEND):
            return self._made_for_graph(tag, stored)
        if tag != OBJECT:
            raise BadStored(f"a stored value begins with {tag!r}, of which nothing is known here")
        form, data = stored[OBJECT], stored[DATA]
        return self._left(form, data) if MARK.encode() in data else self.loaded(form, data)

    def _left(self, form: str, data: bytes) -> Any:
        """An object with the mark of a redaction in it, which may have taken its form with it."""
        try:
            value = self.loaded(form, data)
        except (PerdureError, NotImplementedError):
            raise
        except Exception:  # whatever a serializer makes of bytes that were changed
            return MARK
        return value if self.serde.dumps_typed(value) == (form, data) else MARK

    def _made_for_graph(self, tag: str, stored: dict[str, Any]) -> Any:
        from langgraph.types import Interrupt, Send

        name = self.decode(stored[tag])
        if tag == SEND:
            return Send(name, self.decode(stored["arg"]))
        return Interrupt(self.decode(stored["value"]), name)

    def loaded(self, form: str, data: bytes) -> Any:
        """What the serializer wrote.

        Raises:
            BadStored: it holds an object of a class that is not allowed here.
        """
        value, refused = self._loaded(form, data)
        if refused:
            raise BadStored(
                f"{'.'.join(refused[0])} is not made from stored data unless it is allowed: "
                "allow=[its class]",
                classes=[":".join(each) for each in dict.fromkeys(refused)],
            )
        return value

    def _said(self, stored: dict[str, Any]) -> BaseMessage:
        """A message. It was checked when it was made: its fields are put in as they are."""
        kind = CLASSES.get(stored[MESSAGE])
        if kind is None:
            raise BadStored(f"there is no message called {stored[MESSAGE]!r}")
        template, has_role, containers = _template(kind)
        message = template.__copy__()
        fields = vars(message)
        for name, empty in containers:
            fields[name] = empty()
        for name, value in stored.items():
            if name != MESSAGE and (name != "role" or has_role):
                fields[name] = value if type(value) in ATOMS else self.decode(value)
        return message


Template: TypeAlias = tuple[BaseMessage, bool, list[tuple[str, Callable[[], Any]]]]

_TEMPLATES: dict[type[BaseMessage], Template] = {}


def _template(kind: type[BaseMessage]) -> Template:
    """A message that says nothing, which takes less time to copy than one to make.

    Returns:
        The message, whether it has a role as a field, and which fields are empty dicts or lists.
    """
    if kind not in _TEMPLATES:
        defaults = _defaults(kind)
        fields = dict.fromkeys(kind.model_fields) | defaults
        containers: list[tuple[str, Callable[[], Any]]] = [
            (name, type(value)) for name, value in defaults.items() if type(value) not in ATOMS
        ]
        message = kind.model_construct(set(fields), **fields)
        _TEMPLATES[kind] = message, "role" in fields, containers
    return _TEMPLATES[kind]


_DEFAULTS: dict[type[BaseMessage], dict[str, Any]] = {}


def _defaults(kind: type[BaseMessage]) -> dict[str, Any]:
    """What the fields of a message are if nothing is said."""
    if kind not in _DEFAULTS:
        _DEFAULTS[kind] = {
            name: field.get_default(call_default_factory=True, validated_data={})
            for name, field in kind.model_fields.items()
            if not field.is_required()
        }
    return _DEFAULTS[kind]


def _is_same_atom(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)
