"""`PerdureSaver`: a checkpointer for LangGraph whose threads are states."""

from __future__ import annotations

import os
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from perdure.adapters.langgraph import deltas, keeping
from perdure.adapters.langgraph.async_saver import AsyncMethods
from perdure.adapters.langgraph.coding import Coder
from perdure.adapters.langgraph.interrupts import payloads_in
from perdure.adapters.langgraph.keys import names_of
from perdure.adapters.langgraph.log import Found
from perdure.adapters.langgraph.places import CHOSEN, LATEST, MARK, UNVERSIONED, configurable
from perdure.adapters.langgraph.sessions import Options
from perdure.adapters.langgraph.thread import Snapshot, Thread
from perdure.adapters.langgraph.threads import Threads
from perdure.adapters.langgraph.tip import Edits
from perdure.adapters.langgraph.writes import decoded, entries_of
from perdure.errors import UsageError
from perdure.store import Store
from perdure.types import Durability

Allowed = type | tuple[str, str]
"""A class, or its module and name."""


class PerdureSaver(AsyncMethods):
    """Keeps the checkpoints of LangGraph's threads as the history of states.

    One saver is for `invoke` and `ainvoke`, and for any number of threads and tasks. A checkpoint
    costs what is new in it; everything that Perdure does with states can be done with threads.
    Close it, or use it in a `with` block: until then its threads count as being worked on.

    Example:
        >>> config = {"configurable": {"thread_id": "alice"}}
        >>> with PerdureSaver("agents.db") as saver:
        ...     graph = builder.compile(checkpointer=saver)
        ...     graph.invoke({"messages": [("user", "Hi")]}, config)
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        *,
        prefix: str = "threads/",
        serde: SerializerProtocol | None = None,
        allow: Iterable[Allowed] = (),
        edits: Edits = "content",
        durability: Durability | None = None,
        exclusive: bool = False,
        wait: float = 30.0,
        erases: bool = False,
        expires_in: timedelta | None = None,
    ) -> None:
        """Name where threads are kept; nothing is read or written yet.

        Args:
            store: a store, which stays open when the saver is closed; or the URL of one.
            prefix: what the keys of threads begin with, before their ids.
            serde: what keeps objects that are neither plain data nor messages of langchain-core.
                By default they are made again only from classes that LangGraph knows to be safe
                and those in `allow`, and never by pickle. One that is not a `JsonPlusSerializer`,
                as one that encrypts, keeps every value, and `perdure show` cannot read it.
            allow: further classes whose objects may be in a thread.
            edits: how what a node changed in place is found in objects that were saved before:
                by comparing what they hold (`"content"`), by encoding all of it again (`"full"`,
                which also tells 1 from True), or not at all (`"identity"`).
            durability: what a save survives; the store's by default.
            exclusive: hold a thread from the first read of it, a new one from its first
                checkpoint, until the saver is closed, or `release`; others are told `Busy`.
            wait: how long to wait for who holds it so (seconds).
            erases: let `delete_thread` erase, for good, rather than hide.
            expires_in: how long after its last checkpoint a thread expires, each namespace by
                itself: `Store.sweep`, or `perdure sweep`, deletes it then. None leaves that as it
                is of threads that are there; `timedelta.max` is never.

        Raises:
            InvalidStoreURL: not the name of a store.
            UsageError: `edits` is none of these, or `expires_in` is no duration that makes sense.
        """
        if edits not in ("identity", "content", "full"):
            raise UsageError(f'edits is "identity", "content" or "full", not {edits!r}')
        strict = JsonPlusSerializer(allowed_msgpack_modules=None)
        super().__init__(serde=serde or strict.with_msgpack_allowlist(allow))
        self._owns = not isinstance(store, Store)
        self.store = store if isinstance(store, Store) else Store(store)
        self.prefix = prefix
        options = Options(edits, durability, exclusive, wait, expires_in)
        self._threads = Threads(self.store, prefix, options)
        self._erases = erases
        self._coder = Coder(self.serde)

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> PerdureSaver:
        """The same saver, which also makes objects of these classes, by module and name."""
        clone = cast(PerdureSaver, super().with_allowlist(extra_allowlist))
        if clone is not self:
            clone._coder = Coder(clone.serde)
            clone._owns = False
        return clone

    def get_next_version(self, current: str | int | float | None, channel: None = None) -> str:
        """The version after this one: a number, and at random what tells branches apart.

        Args:
            current: the version so far; None: there is none.
            channel: of what; LangGraph gives None.
        """
        number = int(str(current).split(".")[0]) + 1 if current is not None else 1
        return f"{number:032}.{random.random():.16f}"

    # ---- reading ----------------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that a config names, or the newest of its thread; None: there is none.

        Raises:
            BadStored: it holds an object of a class that is not allowed.
            Busy: with `exclusive`, another process works on the thread.
        """
        told = configurable(config)
        thread_id, namespace = _thread_of(told)
        thread, chosen = self._threads.of(thread_id, namespace), told.get("checkpoint_id")
        if chosen:
            found, mark = thread.at(self._coder, chosen), CHOSEN
        else:
            found, mark = thread.latest(self._coder), LATEST
        return None if found is None else self._tuple(thread_id, namespace, found, mark)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, of each thread and namespace newest first; each is read when it comes up.

        Args:
            config: which thread, namespace and checkpoint; what it does not name, all of.
            filter: what their metadata has to say.
            before: only those with smaller ids than this one's.
            limit: at most so many.
        """
        bound = configurable(before).get("checkpoint_id")
        for thread_id, namespace, thread in self._asked(config):
            for id_, found in thread.checkpoints():
                if limit is not None and limit <= 0:
                    return
                wanted = configurable(config).get("checkpoint_id")
                if (wanted and id_ != wanted) or (bound and id_ >= bound):
                    continue
                if filter and not self._fits(found, filter):
                    continue
                snapshot = thread.read(self._coder, id_, found)
                yield self._tuple(thread_id, namespace, snapshot, CHOSEN)
                limit = limit - 1 if limit is not None else None

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What was written to channels since each had a value last, before a checkpoint.

        Read in one pass over the records, not checkpoint by checkpoint.

        Args:
            config: names the checkpoint; without an id, the newest of the thread.
            channels: their names.

        Raises:
            BadStored: what was written holds an object of a class that is not allowed.
        """
        told = configurable(config)
        thread, chosen = self._threads.of(*_thread_of(told)), told.get("checkpoint_id")
        return deltas.history(self.store, thread, self._coder, chosen, channels)

    # ---- writing ----------------------------------------------------------------------------

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint after the one that the config names; durable when it returns (P1).

        Args:
            config: names the thread, the namespace and the checkpoint that this one follows.
            checkpoint: with all its channels; what is new or changed in them is written.
            metadata: kept with it, and what `list` filters by.
            new_versions: the channels that changed, by name.

        Returns:
            A config that names the checkpoint that was saved.

        Raises:
            Conflict: another worker went on from the newest checkpoint, which this one had read as
                such, or merged or edited its channels since (P3); nothing was overwritten.
            StateDeleted: the thread was deleted while this was under way.
            NotStorable: a value holds what could not be read back; nothing was saved.
            Busy: with `exclusive`, another process works on the thread.
        """
        told = configurable(config)
        thread_id, namespace = _thread_of(told)
        versions = checkpoint["channel_versions"]
        thread = self._threads.of(thread_id, namespace)
        mark, _, read = told.get(MARK, "").partition(" ")
        thread.put(
            self._coder,
            told_of(self._envelope, checkpoint, told.get("checkpoint_id"))
            | names_of(thread.key, thread_id, namespace),
            checkpoint["channel_values"],
            _Emptied(new_versions, versions),
            self._envelope.encode(dict(get_checkpoint_metadata(config, metadata))),
            is_latest=mark == LATEST,
            read=read or None,
        )
        return _config(thread_id, namespace, checkpoint["id"])

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Save what a task wrote, beside the checkpoint it ran from; durable when it returns.

        Args:
            config: names the thread, the namespace and the checkpoint.
            writes: pairs of a channel and a value.
            task_id: of the task. A write that it made before stays as it is, but for those that
                LangGraph replaces: errors, interrupts and the like.
            task_path: where in the graph the task is.

        Raises:
            StateDeleted: the thread was deleted while this was under way.
            NotStorable: a value holds what could not be read back; nothing was saved.
        """
        told = configurable(config)
        id_ = told["checkpoint_id"]
        entries = entries_of(self._coder, id_, writes, task_id, task_path)
        payloads = payloads_in(self._coder, writes)
        self._threads.of(*_thread_of(told)).put_writes(id_, entries, payloads)

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread with all its namespaces; what is under way on it is refused from then on.

        The states are hidden, and `Store.undelete` brings them back until they are pruned. Of a
        saver with `erases=True` they are erased, as by `Store.erase`: nothing brings them back.
        """
        threads = [self._threads.at(key) for key in self._threads.keys(str(thread_id))]
        if self._erases:
            keeping.erase(self.store, threads)
            return
        for thread in threads:
            keeping.delete(self.store, thread)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Remove the checkpoints of these runs, with their writes, from all threads, for good.

        All threads are gone through. Sections and effects that others keep in their states stay as
        they are; a thread that has neither these nor other checkpoints is erased. A checkpoint that
        came after one of them keeps its content, and what it was built from may stay in the file as
        long: to have a value gone, `Store.redact` takes it out.
        """
        if run_ids:
            for key in self._threads.keys(None):
                keeping.delete_runs(self.store, self._threads.at(key), frozenset(map(str, run_ids)))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread with all its namespaces, checkpoints and writes.

        Args:
            source_thread_id: of the thread.
            target_thread_id: of the new one, which must not be there.

        Raises:
            StateExists: there is such a thread.
        """
        source, target = str(source_thread_id), str(target_thread_id)
        for key in self._threads.keys(source):
            place = self._threads.place_of(key)
            if place is not None:
                new = self._threads.of(target, place[1])
                names = names_of(new.key, target, place[1])
                keeping.copy(self.store, self._threads.at(key), new, names)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Remove all checkpoints of threads but the newest of each namespace, or all, for good.

        Of a thread with delta channels, those stay too that the newest is rebuilt from.

        Args:
            thread_ids: the threads; those that are not there are passed over.
            strategy: `"keep_latest"`, or `"delete"`, which deletes the threads.

        Raises:
            UsageError: there is no such strategy.
        """
        if strategy not in ("keep_latest", "delete"):
            raise UsageError(f'a strategy is "keep_latest" or "delete", not {strategy!r}')
        for thread_id in thread_ids:
            for key in self._threads.keys(str(thread_id)):
                if strategy == "delete":
                    keeping.delete(self.store, self._threads.at(key))
                else:
                    keeping.keep_latest(self.store, self._threads.at(key), self._coder)

    # ---- its own ----------------------------------------------------------------------------

    def release(self, thread_id: str) -> None:
        """End the sessions on a thread: others may hold it, and it counts as closed."""
        self._threads.release(str(thread_id))

    def close(self) -> None:
        """End all sessions; and close the store, if it was named by a URL. Safe to call twice."""
        self._threads.close()
        if self._owns:
            self.store.close()

    def __enter__(self) -> Self:
        """The saver itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    @property
    def _envelope(self) -> Coder:
        """How ids, versions and metadata are kept: always so that they can be read."""
        return self._coder if self._coder.is_open else _OPEN

    def _fits(self, found: Found, filter: Mapping[str, Any]) -> bool:
        metadata = self._envelope.decode(found.metadata)
        return all(name in metadata and metadata[name] == value for name, value in filter.items())

    def _tuple(self, thread_id: str, namespace: str, found: Snapshot, mark: str) -> CheckpointTuple:
        told = self._envelope.decode(found.told)
        told.pop("parent", None)
        config = _config(thread_id, namespace, told["id"])
        config["configurable"][MARK] = f"{mark} {found.record}"
        return CheckpointTuple(
            config,
            cast(Checkpoint, {**told, "channel_values": found.values}),
            cast(CheckpointMetadata, self._envelope.decode(found.metadata)),
            _config(thread_id, namespace, found.parent) if found.parent else None,
            decoded(self._coder, found.writes),
        )

    def _asked(self, config: RunnableConfig | None) -> Iterator[tuple[str, str, Thread]]:
        """The threads and namespaces that a config is about."""
        told = configurable(config)
        thread_id = str(told["thread_id"]) if "thread_id" in told else None
        for key in self._threads.keys(thread_id):
            place = self._threads.place_of(key)
            if place is not None and told.get("checkpoint_ns") in (None, place[1]):
                yield *place, self._threads.at(key)


class _Emptied:
    """The channels that have no value if a checkpoint gives none: new ones, and such no more."""

    def __init__(self, new: ChannelVersions, all_: ChannelVersions) -> None:
        self._new = new
        self._all = all_

    def __contains__(self, channel: object) -> bool:
        return channel in self._new or channel not in self._all


_VALUES = "channel_values"
_OPEN = Coder(JsonPlusSerializer(allowed_msgpack_modules=None))


def told_of(coder: Coder, checkpoint: Mapping[str, Any], parent: str | None) -> dict[str, Any]:
    """What a checkpoint says of itself besides its channels, as it is stored."""
    told = {name: coder.encode(each) for name, each in checkpoint.items() if name != _VALUES}
    told["parent"] = parent or None
    if bare := [name for name in checkpoint[_VALUES] if name not in told["channel_versions"]]:
        told[UNVERSIONED] = bare
    return told


def _thread_of(told: Mapping[str, Any]) -> tuple[str, str]:
    if "thread_id" not in told:
        raise UsageError('a config names its thread: {"configurable": {"thread_id": …}}')
    return str(told["thread_id"]), told.get("checkpoint_ns") or ""


def _config(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    where = {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}
    return {"configurable": where}
