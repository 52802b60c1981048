"""What was written to channels that are kept as writes, and only now and then as a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite

from perdure.adapters.langgraph.coding import Coder
from perdure.adapters.langgraph.log import PAGE, Found
from perdure.adapters.langgraph.places import is_put, section_of
from perdure.adapters.langgraph.thread import Thread
from perdure.adapters.langgraph.writes import Entry, decoded, joined, named
from perdure.core.changes import Delete
from perdure.state.node import plain
from perdure.types import Checkpoint

if TYPE_CHECKING:
    from perdure.store import Store


class Ancestor(msgspec.Struct, frozen=True):
    """A checkpoint that another one came after, at whatever distance."""

    id: str
    own: Checkpoint
    """The record that saved it."""
    end: Checkpoint
    """Its newest one."""
    writes: list[Entry]
    seeds: frozenset[str]
    """Those of the channels asked for that have a value at it, and at none after it."""


def history(
    store: Store, thread: Thread, coder: Coder, checkpoint_id: str | None, channels: Sequence[str]
) -> dict[str, DeltaChannelHistory]:
    """See `PerdureSaver.get_delta_channel_history`."""
    written: dict[str, list[list[PendingWrite]]] = {channel: [] for channel in channels}
    seeds: dict[str, Any] = {}
    with thread.lock:
        if not channels or not thread.look():
            return {channel: {"writes": []} for channel in channels}
        newest = thread.newest() if checkpoint_id is None else None
        found = newest[1] if newest is not None else thread.log.find(checkpoint_id or "")
        for ancestor in ancestors(store, thread, found, channels) if found is not None else ():
            wanted = [channel for channel in channels if channel not in seeds]
            for channel in wanted:
                entries = [each for each in ancestor.writes if each["channel"] == channel]
                written[channel].append(decoded(coder, entries))
            for channel in ancestor.seeds:
                section = section_of(channel)
                view = store.at(thread.key, ancestor.end.id, sections=[section])
                seeds[channel] = coder.decode(plain(view[section]))
    result: dict[str, DeltaChannelHistory] = {}
    for channel in channels:
        oldest_first = [write for writes in reversed(written[channel]) for write in writes]
        result[channel] = {"writes": oldest_first}
        if channel in seeds:
            result[channel]["seed"] = seeds[channel]
    return result


def ancestors(
    store: Store, thread: Thread, found: Found, channels: Sequence[str]
) -> Iterator[Ancestor]:
    """What a checkpoint came after, newest first, until each channel had a value.

    The writes of one are among the records of it and of its neighbours: they may have come before
    it, or after the next. So each is told when the records of the one before it were read.
    """
    cursor = _Cursor(store, thread, found.branch, found.end.number + 1)
    written = _entries(cursor.span(thread.log.id_of(found.own or found.end)))
    missing, has_value = set(channels), set[str]()
    wanted, span, is_apart = found.parent, cursor.span(found.parent), True
    while wanted is not None and span and missing:
        own = next((each for each in reversed(span) if is_put(each)), span[-1])
        if is_apart:
            sections = store.at(thread.key, span[0].id, sections=())
            has_value = {channel for channel in channels if section_of(channel) in sections}
        written = [*_entries(span), *written]
        parent = (own.metadata or {}).get("parent")
        before = cursor.span(parent)
        is_apart = cursor.is_apart
        writes = joined([*_entries(before), *written, *thread.late(wanted)], wanted)
        seeds = frozenset(missing & has_value)
        yield Ancestor(wanted, own, span[0], writes, seeds)
        missing -= seeds
        gone = {change.path for change in own.changes or () if isinstance(change, Delete)}
        has_value |= {channel for channel in channels if (section_of(channel),) in gone}
        written = _entries(span)
        wanted, span = parent, before


def _entries(span: Sequence[Checkpoint]) -> list[Entry]:
    """The writes that records brought, the oldest first."""
    return [entry for each in reversed(span) for entry in named(each.changes or ())]


class _Cursor:
    """Goes back over the records of a thread, a checkpoint at a time.

    Args:
        store: the store.
        thread: the thread.
        branch: where to begin.
        before: the number of the record to begin before.
    """

    def __init__(self, store: Store, thread: Thread, branch: str, before: int) -> None:
        self._store = store
        self._thread = thread
        self._branch = branch
        self._before = before
        self._page: list[Checkpoint] = []
        self.is_apart = True
        """Whether the last did not come right before the one that was asked for before it."""

    def span(self, id_: str | None) -> list[Checkpoint]:
        """The records of a checkpoint, newest first; none, if it is not there."""
        newest = self._peek()
        self.is_apart = newest is None or self._id() != id_ or newest.number != self._before - 1
        if newest is None or self._id() != id_:
            found = self._thread.log.find(id_) if id_ is not None else None
            if found is None:
                return []
            self._branch, self._before, self._page = found.branch, found.end.number + 1, []
        records = []
        while (record := self._peek()) is not None and self._id() == id_:
            records.append(self._page.pop(0))
            self._before = record.number
        return records

    def _id(self) -> str | None:
        """The checkpoint that the next records are of; a merge and an edit are of that before."""
        ids = map(self._thread.log.id_of, self._page)
        return next((id_ for id_ in ids if id_ is not None), None)

    def _peek(self) -> Checkpoint | None:
        if not self._page and self._before > 1:
            newest = next(self._thread.log.of(self._branch)).number
            before = self._before if self._before <= newest else None
            key, branch = self._thread.key, self._branch
            self._page = self._store.history(
                key, branch=branch, before=before, limit=PAGE, changes=True
            )
        return self._page[0] if self._page else None
