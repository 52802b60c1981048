"""One branch of a thread that is being worked on: a session, and the objects it has seen last."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.messages import HumanMessage, HumanMessageChunk

from perdure.adapters.langgraph.coding import ATOMS, Coder
from perdure.adapters.langgraph.comparing import Known, put, same, write, write_items
from perdure.adapters.langgraph.keys import NAMED
from perdure.adapters.langgraph.places import (
    CHECKPOINT,
    METADATA,
    PENDING,
    UNVERSIONED,
    channel_of,
    channels_in,
    section_of,
)
from perdure.adapters.langgraph.writes import Entry, added
from perdure.adapters.summary import SUMMARY_CHARS, text_of
from perdure.errors import CommitUnknown
from perdure.state.node import plain
from perdure.types import Checkpoint, Durability

if TYPE_CHECKING:
    from perdure.session import Session

Edits: TypeAlias = Literal["identity", "content", "full"]
"""How edits of objects that were saved before are found: not at all, by comparing what they hold,
or by encoding everything again."""

AGAIN = "again"
"""How often a checkpoint was put once more: that is a record too, if nothing else differs."""

LOOKED_AT_MAX = 64
"""How many of the newest messages are looked at for what a person said (messages)."""

_HUMAN = (HumanMessage, HumanMessageChunk)

Seen: TypeAlias = dict[str, Known]
"""By section, the objects whose stored form is what is there now."""


class Tip:
    """The newest checkpoint of one branch, and what is saved after it.

    Args:
        session: a session on that branch.
        edits: how edits in place are found.
        durability: what a save survives; None: as the store has it.
    """

    def __init__(self, session: Session, edits: Edits, durability: Durability | None) -> None:
        self.session = session
        self._edits = edits
        self._durability = durability
        self._seen: list[Seen] = []
        self._said: Any = None
        """What the summary was made of."""
        self.id: str | None = None
        self.parent: str | None = None
        self._look()

    @property
    def branch(self) -> str:
        """The branch."""
        return self.session.branch

    def _look(self) -> None:
        told = self.session.state.get(CHECKPOINT)
        self.id = told["id"] if told is not None else None
        self.parent = told["parent"] if told is not None else None

    def refresh(self) -> None:
        """Give up what is not saved, and take in what others saved.

        Raises:
            StateDeleted: there is no such state any more.
        """
        self._seen.clear()
        self._said = None
        self.session.refresh()
        self._look()

    def save(self, label: str | None, metadata: dict[str, Any] | None = None) -> Checkpoint:
        """Make the edits durable; one whose fate is not known is settled (P4)."""
        try:
            return self.session.save(label, metadata, self._durability)
        except CommitUnknown:
            return self.session.save(label, metadata, self._durability)

    def put(
        self,
        coder: Coder,
        told: dict[str, Any],
        values: Mapping[str, Any],
        emptied: Container[str] | None,
        metadata: dict[str, Any],
        early: Mapping[str, Sequence[Entry]],
    ) -> Checkpoint:
        """Save a checkpoint; of the channels, only what is not as it was.

        Args:
            coder: how values are kept.
            told: what the checkpoint says of itself, besides the channels.
            values: the channels.
            emptied: channels that are to be without a value if they have none here; None: all.
            metadata: what to keep with the record.
            early: writes that came before their checkpoints, by these.
        """
        state, id_ = self.session.state, told["id"]
        told = told | {METADATA: metadata["langgraph"]}
        fresh: Seen = {}
        seen, self._seen = self._seen, []  # if this fails, they may know what is not stored
        with self.session.atomic():
            for channel, value in values.items():
                section = section_of(channel)
                known = _known(seen, section, value)
                fresh[section] = self._write(coder, section, value, known)
            for section in self._emptied(told, values, emptied):
                del state[section]
            if id_ in early:  # put in once more, so that the record of their checkpoint has them
                self._let_go_of_writes({told["parent"]})
                added(state.setdefault(PENDING, []), early[id_])
            else:
                self._let_go_of_writes({told["parent"], id_})
            if id_ == self.id:
                told = told | {AGAIN: state[CHECKPOINT].get(AGAIN, 0) + 1}
            put(state, CHECKPOINT, told)
        if coder.is_open:
            self._sum_up(said_last(values))
        checkpoint = self.save(id_, metadata)
        self.id, self.parent = id_, told["parent"]
        self._seen = [fresh]
        return checkpoint

    def _sum_up(self, said: Any) -> None:
        """Give the state its summary, if it is not the one of this very text already."""
        session = self.session
        is_told = said is self._said and type(said) is str and session.summary is not None
        if said is not None and not is_told:
            session.summary = text_of(said, SUMMARY_CHARS)
            self._said = said

    def read(self, coder: Coder) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
        """What the checkpoint says, the channels, and the writes since; all of it new objects."""
        state = self.session.state
        sections = {name: plain(state[name]) for name in state}
        told, values, pending = parts(coder, sections)
        seen = {}
        if self._edits != "full":
            for channel, value in values.items():
                seen[section_of(channel)] = Known(value if type(value) is list else [value])
        self._seen = [*self._seen[:1], seen]
        return told, values, pending

    def _let_go_of_writes(self, kept: Container[str | None]) -> None:
        """Keep the pending writes of these checkpoints; others are in the history."""
        pending = self.session.state.get(PENDING)
        if not pending:
            return
        gone = [at for at, each in enumerate(pending) if each["checkpoint"] not in kept]
        if len(gone) == len(pending):
            pending.clear()
        else:
            for at in reversed(gone):
                del pending[at]

    def _emptied(
        self, told: dict[str, Any], values: Mapping[str, Any], emptied: Container[str] | None
    ) -> list[str]:
        """The sections of channels that have no value any more; others are not LangGraph's."""
        state = self.session.state
        channels = channels_in(told) | channels_in(state.get(CHECKPOINT) or {})
        gone = [each for each in channels.difference(values) if emptied is None or each in emptied]
        return sorted(section for section in map(section_of, gone) if section in state)

    def _write(self, coder: Coder, section: str, value: Any, known: Known | None) -> Known:
        """Make a section what a channel's value is; the objects that are known then."""
        state = self.session.state
        old = state.get(section) if section in state else None
        if type(value) is list:
            if section not in state or not isinstance(old, list):
                state[section] = coder.encode_items(value)
                return Known(value)
            if known is None or self._edits == "full" or len(known.items) != len(old):
                write_items(old, coder.encode_items(value))
                return Known(value)
            self._write_list(coder, old, value, known)
            return known
        if type(value) in ATOMS and coder.is_open:
            if section not in state or not same(old, value):
                state[section] = value
            return Known([value])
        is_known = known is not None and not isinstance(old, list)  # else it was an item of that
        if known is not None and is_known and self._edits != "full" and not self._changed(known):
            return known
        put(state, section, coder.encode(value))
        return Known([value])

    def _write_list(self, coder: Coder, old: Any, value: list[Any], known: Known) -> None:
        start, stop = len(known.items), len(value)
        is_longer = known.has_same_start(value)
        first, last, end = (start, start, stop) if is_longer else _span(known.items, value)
        for at in self._changed(known):
            if not first <= at < last:  # it stays, if at another position
                write(old, at, coder.encode(known.items[at]))
                known.again(at)
        if is_longer:
            if stop > start:
                old.extend(coder.encode_items(value[start:]))
                known.splice(start, start, value[start:])
            return
        write_items(old, coder.encode_items(value[first:end]), first, last)
        known.splice(first, last, value[first:end])

    def _changed(self, known: Known) -> list[int]:
        return known.changed() if self._edits != "identity" else []


def parts(
    coder: Coder, sections: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """What a checkpoint says of itself, its channels, and the writes since, of plain sections.

    Other sections are given too, as an edit may give a channel its first value; one that holds what
    no channel could is given as it is.
    """
    told = dict(sections.get(CHECKPOINT) or {})
    channels = channels_in(told)
    for name in (AGAIN, NAMED, UNVERSIONED):
        told.pop(name, None)
    values = {}
    for name, stored in sections.items():
        channel = channel_of(name)
        if channel is None:
            continue
        try:
            values[channel] = coder.decode(stored)
        except Exception:
            if channel in channels:
                raise
            values[channel] = stored
    return told, values, list(sections.get(PENDING) or ())


def said_last(values: Mapping[str, Any]) -> Any:
    """The content of what a person said last in `messages`; None: not among the newest.

    Args:
        values: the channels.

    Example:
        >>> said_last({"messages": [HumanMessage("Where is it?"), AIMessage("Here.")]})
        'Where is it?'
    """
    messages = values.get("messages")
    if type(messages) is list:
        for each in islice(reversed(messages), LOOKED_AT_MAX):
            if type(each) in _HUMAN:  # `isinstance` is slow of models
                return each.content
    return None


def _known(all_seen: Sequence[Seen], section: str, value: Any) -> Known | None:
    """The objects known of a section that this value is made of, if there are any."""
    first = (value[0] if value else None) if type(value) is list else value
    for seen in all_seen:
        known = seen.get(section)
        if known is not None and known.items and known.items[0] is first:
            return known
    return None


def _span(old: list[Any], new: list[Any]) -> tuple[int, int, int]:
    """Where two lists differ: from which position, to which in the one, and in the other."""
    first, last, end = 0, len(old), len(new)
    while first < min(last, end) and old[first] is new[first]:
        first += 1
    while last > first and end > first and old[last - 1] is new[end - 1]:
        last, end = last - 1, end - 1
    return first, last, end
