"""What was written to channels that are kept as writes, and only now and then as a value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite

from perdure.adapters.langgraph.coding import Coder
from perdure.adapters.langgraph.log import PAGE, Found
from perdure.adapters.langgraph.places import section_of
from perdure.adapters.langgraph.thread import Thread
from perdure.adapters.langgraph.writes import Entry, decoded, joined, replayed
from perdure.core.changes import Delete
from perdure.types import Checkpoint

if TYPE_CHECKING:
    from perdure.store import Store


class Ancestor(msgspec.Struct, frozen=True):
    """A checkpoint that another one came after, at whatever distance."""

    id: str
    end: Checkpoint
    """Its newest record."""
    own: Checkpoint
    """Its oldest one."""
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
        id_ = checkpoint_id or next((id_ for id_, _ in thread.checkpoints()[:1]), "")
        found = thread.log.find(id_)
        for ancestor in ancestors(store, thread, found, channels) if found is not None else ():
            wanted = [channel for channel in channels if channel not in seeds]
            for channel in wanted:
                entries = [each for each in ancestor.writes if each["channel"] == channel]
                written[channel].append(decoded(coder, entries))
            for channel in ancestor.seeds:
                section = section_of(channel)
                view = store.at(thread.key, ancestor.end.id, sections=[section])
                value = view[section]
                seeds[channel] = coder.decode(value.plain() if hasattr(value, "plain") else value)
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
    """What a checkpoint came after, newest first, until each channel had a value."""
    missing = set(channels)
    has_value: set[str] | None = None
    wanted, cursor = found.parent, _Cursor(store, thread, found)
    while wanted is not None and missing:
        span = cursor.span(wanted)
        if not span:
            return
        end, own = span[0], span[-1]
        if has_value is None or cursor.jumped:
            sections = store.at(thread.key, end.id, sections=())
            has_value = {channel for channel in channels if section_of(channel) in sections}
        entries: list[Entry] = []
        for record in reversed(span[:-1]):
            replayed(entries, record.changes or ())
        writes = joined(entries, thread.late(wanted))
        seeds = frozenset(missing & has_value)
        yield Ancestor(wanted, end, own, writes, seeds)
        missing -= seeds
        gone = {change.path for change in own.changes or () if isinstance(change, Delete)}
        has_value |= {channel for channel in channels if (section_of(channel),) in gone}
        told = next((each.metadata for each in span if each.metadata is not None), None)
        wanted = (told or {}).get("parent")


class _Cursor:
    """Goes back over the records, from the one that saved a checkpoint."""

    def __init__(self, store: Store, thread: Thread, found: Found) -> None:
        self._store = store
        self._thread = thread
        self._branch = found.branch
        self._at: Checkpoint = found.own or found.end
        self._page: list[Checkpoint] = []
        self.jumped = True
        """Whether the span that was given last does not come right before the one before it."""

    def span(self, id_: str) -> list[Checkpoint]:
        """The records of a checkpoint, newest first; none, if it is not there."""
        before = self._at.number
        newest = self._peek()
        self.jumped = newest is None or newest.label != id_ or newest.number != before - 1
        if newest is None or newest.label != id_:
            found = self._thread.log.find(id_)
            if found is None:
                return []
            self._branch, self._page = found.branch, []
            self._page = self._read(found.end.number + 1)
        records = []
        while (record := self._peek()) is not None and record.label == id_:
            records.append(self._page.pop(0))
            self._at = record
        return records

    def _peek(self) -> Checkpoint | None:
        if not self._page:
            self._page = self._read(self._at.number)
        return self._page[0] if self._page else None

    def _read(self, before: int) -> list[Checkpoint]:
        if before <= 1:
            return []
        return self._store.history(
            self._thread.key, branch=self._branch, before=before, limit=PAGE, changes=True
        )
