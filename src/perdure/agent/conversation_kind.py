"""What a schema says of a section that is a conversation."""

from __future__ import annotations

from typing import Any

from perdure.agent.conversation import Conversation, broken, claimed, is_message, no_message
from perdure.agent.turns import breaks
from perdure.core.paths import Path
from perdure.schemas.containers import DictKind, ListKind
from perdure.schemas.kinds import ANY, Problem, bare, found
from perdure.state.place import Place
from perdure.state.sequence import TrackedList
from perdure.state.typed_reading import bad_at


class ConversationKind(ListKind):
    """A list of messages in which no turn is broken; the live list itself is a conversation.

    What is stored is read whatever its turns are: it can be mended where it is.
    """

    form = "conversation"

    def __init__(self, cls: type[Conversation[Any]]) -> None:
        super().__init__(DictKind(ANY))
        self.said = f"conversation ({cls._shape.provider})"
        self._cls = cls
        self.reader = _read

    def accepts_all(self, values: list[Any]) -> bool:
        """Whether all are lists of messages, and no turn in them is broken."""
        return all(self.problem(value, ()) is None for value in values)

    def problem(self, value: Any, path: Path) -> Problem | None:
        """The first message that is none, or cannot stand where it does."""
        if not isinstance(value, list):
            return Problem(path, self.said, found(value))
        for at, message in enumerate(list.__iter__(value)):
            if not is_message(message):
                return Problem((*path, at), "a message with a role", type(message).__name__)
        for each in breaks(self._cls._shape, list.__iter__(value)):
            return Problem((*path, each.at), "a message that fits there", each.why)
        return None

    def take_in(self, value: Any) -> Any:
        """A list of messages, those of an SDK as data.

        Raises:
            BrokenTurn: a message cannot stand where it does.
            WrongType: one is none.
        """
        value = bare(value)
        if not isinstance(value, list | tuple):
            return value
        shape = self._cls._shape
        messages = [shape.message(bare(each)) for each in value]
        for at, message in enumerate(messages):
            if not is_message(message):
                raise no_message(shape, message, (at,))
        for each in breaks(shape, messages):
            raise broken(each, (each.at,))
        return messages

    def claim(self, stored: Any) -> Any:
        """The live list, which is a conversation from now on; what is none stays as it is."""
        return claimed(stored, self._cls) if isinstance(stored, TrackedList) else stored


def _read(kind: ConversationKind, stored: Any, home: Any, holder: Any, at: str | int) -> Any:
    if isinstance(stored, TrackedList):
        return kind.claim(stored)
    if isinstance(stored, list):  # of a view that holds plain values
        return stored
    path = (*holder._path(), holder._part(at)) if isinstance(holder, Place) else (at,)
    raise bad_at(kind, stored, path)
