"""`PerdureStore`: LangGraph's long-term memory, whose namespaces are states."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.store.base import (
    BaseStore,
    Embeddings,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    ensure_embeddings,
    validate_op_namespace,
)

from perdure.adapters.langgraph.async_saver import AsyncClosed
from perdure.adapters.langgraph.coding import Coder
from perdure.adapters.langgraph.memories import Memories, Vectors, key_of, namespace_of
from perdure.adapters.langgraph.searching import Texts, fits, is_matched, nearness, texts_of
from perdure.errors import UsageError
from perdure.store import Store

NAMESPACES_MAX = 256
"""Namespaces that a store keeps sessions on (namespaces)."""

Queries = Mapping[str, Sequence[float]]


class PerdureStore(AsyncClosed, BaseStore):
    """Keeps the items of LangGraph's long-term memory, each namespace as a state.

    Puts of one `batch` are one checkpoint for each namespace, durable when it returns (P1). What
    processes put to one namespace at the same time is merged; of two puts of one item, the later
    counts. Expired items are never read; they are removed with the next put, or by `sweep`.

    Example:
        >>> with PerdureStore("agents.db", index={"dims": 3, "embed": embed}) as memory:
        ...     memory.put(("users", "alice"), "food", {"text": "likes figs"})
        ...     memory.search(("users",), query="what does she eat?", limit=3)
    """

    supports_ttl = True

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        *,
        prefix: str = "memories/",
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        serde: SerializerProtocol | None = None,
        allow: Iterable[type | tuple[str, str]] = (),
    ) -> None:
        """Name where items are kept; nothing is read or written yet.

        Args:
            store: a store, which stays open when this is closed; or the URL of one.
            prefix: what the keys of the states begin with, before the namespaces.
            index: how texts become vectors, as LangGraph has it: `embed` is a function or an
                `Embeddings`, `fields` the paths of texts (`["$"]`, all of an item, by default).
            ttl: `default_ttl` in minutes, and whether reading lets the time begin anew
                (`refresh_on_read`).
            serde: what keeps objects in values that are not plain data; see `PerdureSaver`.
            allow: further classes whose objects may be in values.

        Raises:
            InvalidStoreURL: not the name of a store.
        """
        self._owns = not isinstance(store, Store)
        self.store = store if isinstance(store, Store) else Store(store)
        self.prefix = prefix
        self.ttl_config = ttl
        self.index_config = index
        self._embeddings: Embeddings | None = ensure_embeddings(index["embed"]) if index else None
        self._coder = Coder(
            serde or JsonPlusSerializer(allowed_msgpack_modules=None).with_msgpack_allowlist(allow)
        )
        self._memories: OrderedDict[str, Memories] = OrderedDict()
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do several things at once: what is read is as before the puts of the same batch.

        Raises:
            InvalidNamespaceError: of LangGraph: a label is empty, no text, or has a period.
            NotStorable: a value holds what could not be read back.
        """
        ops, texts, queries = self._prepared(ops)
        vectors: list[list[float]] = []
        asked: list[list[float]] = []
        if self._embeddings is not None:
            vectors = self._embeddings.embed_documents(_flat(texts)) if texts else []
            asked = [self._embeddings.embed_query(query) for query in queries]
        return self._done(ops, _placed(texts, vectors), dict(zip(queries, asked)))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """`batch`, awaited."""
        ops, texts, queries = self._prepared(ops)
        vectors: list[list[float]] = []
        asked: list[list[float]] = []
        if self._embeddings is not None:
            vectors = await self._embeddings.aembed_documents(_flat(texts)) if texts else []
            asked = [await self._embeddings.aembed_query(query) for query in queries]
        placed = _placed(texts, vectors)
        return await asyncio.to_thread(self._done, ops, placed, dict(zip(queries, asked)))

    def sweep(self) -> int:
        """Remove all items that have expired; how many there were."""
        return sum(each.sweep() for each in self._under(()))

    def close(self) -> None:
        """End all sessions; and close the store, if it was named by a URL. Safe to call twice."""
        with self._lock:
            memories = list(self._memories.values())
            self._memories.clear()
        for each in memories:
            each.close()
        if self._owns:
            self.store.close()

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _prepared(self, ops: Iterable[Op]) -> tuple[list[Op], Texts, list[str]]:
        """The operations, the texts to embed, and the queries to."""
        all_ = list(ops)
        for op in all_:
            validate_op_namespace(op)
        if self.index_config is None:
            return all_, {}, []
        puts = {(op.namespace, op.key): op for op in all_ if isinstance(op, PutOp)}
        queries = {op.query: None for op in all_ if isinstance(op, SearchOp) and op.query}
        return all_, texts_of(puts.values(), self.index_config), list(queries)

    def _done(
        self,
        ops: Sequence[Op],
        vectors: Mapping[tuple[tuple[str, ...], str], Vectors],
        queries: Queries,
    ) -> list[Result]:
        results = [self._read(op, queries) for op in ops]
        puts: dict[tuple[str, ...], dict[str, PutOp]] = {}
        for op in ops:
            if isinstance(op, PutOp):
                puts.setdefault(op.namespace, {})[op.key] = op
        for namespace, each in puts.items():
            found = {key: vectors[namespace, key] for key in each if (namespace, key) in vectors}
            self._at(namespace).put(list(each.values()), found)
        return results

    def _read(self, op: Op, queries: Queries) -> Result:
        if isinstance(op, GetOp):
            return self._at(op.namespace).get(op.key, renews=op.refresh_ttl)
        if isinstance(op, SearchOp):
            return self._found(op, queries)
        if isinstance(op, ListNamespacesOp):
            return self._namespaces(op)
        if isinstance(op, PutOp):
            return None
        raise UsageError(f"a store does not know what {type(op).__name__} is")

    def _found(self, op: SearchOp, queries: Queries) -> list[SearchItem]:
        """The items that a search is for, the nearest first if there is a query."""
        query = queries.get(op.query) if op.query else None
        found: list[tuple[float | None, Item]] = []
        for memories in self._under(op.namespace_prefix):
            for item, vectors in memories.items():
                if op.filter and not fits(item.value, op.filter):
                    continue
                near = [nearness(query, each) for each in vectors.values()] if query else []
                found.append((max(near, default=None), item))
        if query is not None:
            found.sort(key=lambda each: -2.0 if each[0] is None else each[0], reverse=True)
        page = found[op.offset : op.offset + op.limit]
        if op.refresh_ttl:
            for namespace in dict.fromkeys(item.namespace for _, item in page):
                keys = [item.key for _, item in page if item.namespace == namespace]
                self._at(namespace).renew(keys)
        return [
            SearchItem(
                item.namespace, item.key, item.value, item.created_at, item.updated_at, score
            )
            for score, item in page
        ]

    def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        conditions = op.match_conditions or ()
        found = {
            each.namespace[: op.max_depth]
            for each in self._under(())
            if all(is_matched(each.namespace, condition) for condition in conditions)
            and each.items()
        }
        return sorted(found)[op.offset : op.offset + op.limit]

    def _under(self, prefix: tuple[str, ...]) -> Iterator[Memories]:
        """The namespaces that begin so."""
        root, after = key_of(self.prefix, prefix), None
        while page := self.store.states(root, after=after):
            for info in page:
                namespace = namespace_of(self.prefix, info.key)
                if namespace[: len(prefix)] == tuple(prefix):
                    yield self._at(namespace)
            after = page[-1].key

    def _at(self, namespace: tuple[str, ...]) -> Memories:
        key = key_of(self.prefix, namespace)
        with self._lock:
            if self._pid != os.getpid():  # sessions stay with the process that opened them
                self._memories, self._pid = OrderedDict(), os.getpid()
            memories = self._memories.get(key)
            if memories is None:
                memories = Memories(self.store, self._coder, key, tuple(namespace))
                self._memories[key] = memories
            self._memories.move_to_end(key)
            excess = list(self._memories)[:-NAMESPACES_MAX]
            loose = [self._memories.pop(each) for each in excess]
        for each in loose:
            each.close()
        return memories


def _flat(texts: Texts) -> list[str]:
    return [text for each in texts.values() for text in each.values()]


def _placed(
    texts: Texts, vectors: Sequence[Sequence[float]]
) -> dict[tuple[tuple[str, ...], str], Vectors]:
    """The vectors where their texts were.

    Raises:
        UsageError: there are not as many.
    """
    if len(vectors) not in (0, len(_flat(texts))):
        raise UsageError(f"{len(_flat(texts))} texts were embedded as {len(vectors)} vectors")
    rest = iter(vectors)
    return {place: dict(zip(each, rest)) for place, each in (texts.items() if vectors else ())}
