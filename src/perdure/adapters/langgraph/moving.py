"""Moving in from LangGraph's own savers: their threads become states, ids and all.

Checkpoints keep their ids, parents, times, versions and metadata, and their pending writes, of
which interrupts are some: a graph that waits goes on waiting. What is compared at the end is what
LangGraph's serializer writes of what either saver gives back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from perdure.adapters.langgraph.coding import Coder
from perdure.adapters.langgraph.interrupts import payloads_in
from perdure.adapters.langgraph.keys import key_of, names_of
from perdure.adapters.langgraph.places import CHECKPOINT, LATE, section_of
from perdure.adapters.langgraph.saver import Allowed, PerdureSaver, told_of
from perdure.adapters.langgraph.sessions import Options
from perdure.adapters.langgraph.thread import Thread
from perdure.adapters.langgraph.writes import Entry, entry_of
from perdure.adapters.looked_over import LookedOver
from perdure.adapters.moving import Content, Moved, Progress, Unit, move, parents_first
from perdure.core.values import take
from perdure.errors import BadStored, PerdureError
from perdure.store import Store

Typed: TypeAlias = tuple[str | None, bytes | None]
"""A value as a serializer wrote it: in which form, and the bytes."""


class Row(msgspec.Struct, frozen=True):
    """A checkpoint as another saver keeps it.

    Args:
        id: its id.
        parent: the id of the one it came after.
        checkpoint: what it says, whole or without what is in `values`.
        metadata: what LangGraph says of it.
        values: channels that are kept apart, by name.
        writes: task, its path, number, channel and value of each write, in the order of a run.
    """

    id: str
    parent: str | None
    checkpoint: Typed | Mapping[str, Any]
    metadata: Mapping[str, Any]
    values: Mapping[str, Typed]
    writes: Sequence[tuple[str, str, int, str, Typed]]


class Rows(Protocol):
    """What another saver keeps, as of one moment; opened such that it cannot be written to."""

    name: str
    """Of the file or the database, without secrets."""

    def threads(self) -> Sequence[tuple[str, str, int]]:
        """Each thread and namespace, and how many checkpoints it has."""
        ...

    def parents(self, thread_id: str, namespace: str) -> dict[str, str | None]:
        """Of each checkpoint its parent's id."""
        ...

    def read(self, thread_id: str, namespace: str, checkpoint_id: str) -> Row:
        """One checkpoint."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Found(msgspec.Struct, frozen=True):
    """A checkpoint with its objects, whoever gave it."""

    id: str
    parent: str | None
    checkpoint: Mapping[str, Any]
    metadata: Mapping[str, Any]
    writes: Sequence[tuple[str, str, Any]]
    """Task, channel and value of each, in the order of a run."""


class ThreadMover:
    """Moves the threads of another saver to a store, as `perdure.adapters.moving` has it.

    Args:
        rows: what it keeps.
        store: where to.
        prefix: what the keys of the states begin with.
        serde: what its values were written with; None: the default of LangGraph, strict.
        allow: classes whose objects may be made from them, besides those known to be safe.
    """

    nouns = ("thread", "checkpoint", "write")

    def __init__(
        self,
        rows: Rows,
        store: Store,
        *,
        prefix: str = "threads/",
        serde: SerializerProtocol | None = None,
        allow: Iterable[Allowed] = (),
    ) -> None:
        self.source = rows.name
        strict = JsonPlusSerializer(allowed_msgpack_modules=None).with_msgpack_allowlist(allow)
        self._rows = rows
        self._store = store
        self._prefix = prefix
        self._serde = strict
        self._theirs = Coder(serde or strict)
        self._ours = Coder(strict)
        self._names: dict[str, tuple[str, str]] = {}
        self._looked = LookedOver(store)

    def units(self) -> list[Unit]:
        """The threads, each in each of its namespaces."""
        found = []
        for thread_id, namespace, count in self._rows.threads():
            key = key_of(self._prefix, thread_id, namespace)
            self._names[key] = thread_id, namespace
            found.append(Unit(f"{thread_id} {namespace}".rstrip(), key, count, thread_id))
        return found

    def contents(self, unit: Unit) -> Iterator[Content]:
        """The checkpoints of a thread; each is seen to be one that can be kept."""
        for row in self._in_order(unit):
            found = self._made(row)
            self._look_over(unit, row, found)
            yield content_of(found)

    def _look_over(self, unit: Unit, row: Row, found: Found) -> None:
        """See that a checkpoint can be kept, and look for secrets in it.

        Raises:
            NotStorable: something in it cannot.
        """
        encode, over = self._ours.encode, self._looked.over
        at = f" of checkpoint {found.id}"
        over(unit, ("metadata",), encode(dict(found.metadata)), at)
        told = dict(found.checkpoint)
        sections = {section_of(name): value for name, value in told.pop("channel_values").items()}
        for section, value in (sections | {CHECKPOINT: told}).items():
            encoded = encode(value)
            take(encoded, (section,))
            over(unit, (section,), encoded, at)
        at = f" of the writes{at}"
        for (task, path, _, channel, _), (_, _, value) in zip(row.writes, found.writes):
            encoded = encode(value)
            take(encoded, (LATE, found.id, channel), 3)  # late ones are the deepest
            over(unit, (channel,), encoded, at)
            for name, text in (("task", task), ("path", path), ("channel", channel)):
                over(unit, (name,), text, at)

    def require_no_secrets(self, unit: Unit) -> None:
        """See that there is none in a thread.

        Raises:
            SecretFound: there is.
        """
        self._looked.require_none(unit)

    def present(self, unit: Unit) -> Collection[str]:
        """Ids of the checkpoints that the state has."""
        return [id_ for id_, _ in self._thread(unit).checkpoints()]

    def copy(self, unit: Unit, wanted: Collection[str]) -> Iterator[str]:
        """Put checkpoints and their writes; each is durable when its id is given."""
        thread = self._thread(unit)
        there = {id_ for id_, _ in thread.checkpoints()}
        for row in self._in_order(unit, wanted):
            found = self._made(row)
            if row.id not in there:
                self._put(thread, found)
            if row.writes:
                writes = [(channel, value) for _, channel, value in found.writes]
                payloads = payloads_in(self._ours, writes)
                thread.put_writes(row.id, self._entries(row, found), payloads)
            yield row.id
        thread.forget()

    def stored(self, unit: Unit, ids: Sequence[str]) -> Iterator[Content]:
        """Checkpoints as a new saver on the store gives them back."""
        thread_id, namespace = self._names[unit.key]
        config: RunnableConfig = {
            "configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}
        }
        with PerdureSaver(self._store, prefix=self._prefix, serde=self._serde) as saver:
            contents = {}
            for each in saver.list(config):
                content = content_of(_told(each))
                contents[content.id] = content
        yield from (contents[id_] for id_ in ids if id_ in contents)

    def _thread(self, unit: Unit) -> Thread:
        thread_id, _ = self._names[unit.key]
        root = key_of(self._prefix, thread_id, "")
        return Thread(self._store, unit.key, root, Options("full", None, False, 0.0))

    def _in_order(self, unit: Unit, wanted: Collection[str] | None = None) -> Iterator[Row]:
        place = self._names[unit.key]
        chosen = None if wanted is None else set(wanted)
        for id_ in parents_first(self._rows.parents(*place)):
            if chosen is None or id_ in chosen:
                yield self._rows.read(*place, id_)

    def _made(self, row: Row) -> Found:
        """A checkpoint with its objects.

        Raises:
            BadStored: it cannot be read, or holds an object of a class that is not allowed.
        """
        held = row.checkpoint
        checkpoint = dict(self._loaded(held) if isinstance(held, tuple) else held)
        values = dict(checkpoint.get("channel_values") or {})
        values |= {name: self._loaded(each) for name, each in row.values.items()}
        writes = [(task, name, self._loaded(each)) for task, _, _, name, each in row.writes]
        checkpoint |= {"id": row.id, "channel_values": values}
        return Found(row.id, row.parent, checkpoint, row.metadata, writes)

    def _loaded(self, typed: Typed) -> Any:
        form, data = typed
        if form is None:
            raise BadStored("a checkpoint does not say how it was written; is it a very old one?")
        try:
            return self._theirs.loaded(form, data or b"")
        except PerdureError:
            raise
        except Exception as error:  # whatever a serializer makes of bytes that are not its own
            raise BadStored(
                f"a value that was written as {form!r} cannot be read: {error}"
            ) from error

    def _put(self, thread: Thread, found: Found) -> None:
        thread.put(
            self._ours,
            told_of(self._ours, found.checkpoint, found.parent)
            | names_of(thread.key, *self._names[thread.key]),
            found.checkpoint["channel_values"],
            _Everything(),
            self._ours.encode(dict(found.metadata)),
            is_latest=False,
        )

    def _entries(self, row: Row, found: Found) -> list[Entry]:
        return [
            entry_of(self._ours, row.id, (task, path, idx), channel, value)
            for (task, path, idx, channel, _), (_, _, value) in zip(row.writes, found.writes)
        ]


class _Everything:
    """All channels: those without a value in a checkpoint have none."""

    def __contains__(self, channel: object) -> bool:
        return True


def _told(found: CheckpointTuple) -> Found:
    parent = (found.parent_config or {}).get("configurable", {}).get("checkpoint_id")
    writes = found.pending_writes or []
    return Found(found.checkpoint["id"], parent, found.checkpoint, found.metadata, writes)


_WRITER = JsonPlusSerializer(allowed_msgpack_modules=None)


def content_of(found: Found) -> Content:
    """A checkpoint by what LangGraph's serializer writes of its objects, whoever gave them.

    Args:
        found: the checkpoint.

    Example:
        >>> content_of(Found("1", None, {"channel_values": {"x": 1}}, {}, [])).parts
        0
    """
    envelope = {name: value for name, value in found.checkpoint.items() if name != "channel_values"}
    values = found.checkpoint["channel_values"]
    hashed = hashlib.sha256()
    for part in (
        *(found.id, found.parent or None, _sorted(envelope), _sorted(found.metadata)),
        *(_sorted(values), [list(each) for each in found.writes]),
    ):
        form, data = _WRITER.dumps_typed(_steady(part))
        hashed.update(f"{form} {len(data)} ".encode() + data)
    return Content(found.id, hashed.digest(), len(found.writes))


def _sorted(named: Mapping[str, Any]) -> dict[str, Any]:
    """By name: the order of channels, and of what is said of a checkpoint, says nothing."""
    return {name: named[name] for name in sorted(named)}


def _steady(value: Any) -> Any:
    """A value whose sets are in an order that does not depend on how they were made."""
    kind = type(value)
    if kind is dict:
        return {key: _steady(item) for key, item in value.items()}
    if kind is list:
        return [_steady(item) for item in value]
    if kind is tuple:
        return tuple([_steady(item) for item in value])
    if kind in (set, frozenset):
        return [kind.__name__, sorted(_WRITER.dumps_typed(item) for item in value)]
    return value


def move_threads(
    source: str | Path,
    store: Store,
    *,
    prefix: str = "threads/",
    serde: SerializerProtocol | None = None,
    allow: Iterable[Allowed] = (),
    dry_run: bool = False,
    skip_failures: bool = False,
    progress: Progress | None = None,
) -> Moved:
    """Copy the threads of a `SqliteSaver` or a `PostgresSaver` into a store.

    The source is only read. What is there already stays; a run that was interrupted goes on.

    Args:
        source: path of the SQLite file, or a `postgresql://` URL.
        store: where to.
        prefix: what the keys of the states begin with, as `PerdureSaver` has it.
        serde: what the values were written with, if not with the default serializer.
        allow: classes whose objects may be made from them, besides those known to be safe.
        dry_run: read all, and say what would be copied; write nothing.
        skip_failures: move all other threads where some cannot be; else none is moved then.
        progress: called with what is done and what there is.

    Returns:
        What became of each thread: counts and hashes of what the source has and of what the store
        gives back.

    Raises:
        UsageError: the source is none of a saver that is known here.
        StoreUnavailable: the source cannot be opened.

    Example:
        >>> with perdure.Store("agents.db") as store:
        ...     print(move_threads("checkpoints.sqlite", store).ok)
        True
    """
    rows = rows_of(source)
    try:
        mover = ThreadMover(rows, store, prefix=prefix, serde=serde, allow=allow)
        return move(mover, dry_run=dry_run, skip_failures=skip_failures, progress=progress)
    finally:
        rows.close()


def rows_of(source: str | Path) -> Rows:
    """What another saver keeps, by the name of its file or its URL.

    Args:
        source: path of a SQLite file, or a `postgresql://` URL.

    Raises:
        UsageError: it is no database of a saver that is known here.
        StoreUnavailable: it cannot be opened.
    """
    name = str(source)
    if name.startswith(("postgresql://", "postgres://")):
        from perdure.adapters.langgraph.from_postgres import PostgresRows

        return PostgresRows(name)
    from perdure.adapters.langgraph.from_sqlite import SqliteRows

    return SqliteRows(name.removeprefix("sqlite:///") if isinstance(source, str) else source)
