"""Items of one namespace of a `PerdureStore`: a state whose sections are items and vectors."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from langgraph.store.base import Item, PutOp

from perdure.adapters.langgraph.coding import Coder
from perdure.errors import PerdureError, StateDeleted, UsageError
from perdure.naming import key as written_key
from perdure.types import Strategies

if TYPE_CHECKING:
    from perdure.session import Session
    from perdure.store import Store

ITEMS, VECTORS = "items", "vectors"
"""By key: `value`, `created`, `updated`, and `minutes` and `expires` of those that expire; and the
vectors of their texts by path."""

NEWEST_WINS: Strategies = {"items/**": "ours", "vectors/**": "ours"}
"""What a save does with an item that others saved meanwhile: the later of two puts is what counts.
Other items are merged."""

TTL_MINUTES_MAX = 1000 * 365 * 24 * 60

Vectors = Mapping[str, Sequence[float]]


def key_of(prefix: str, namespace: Sequence[str]) -> str:
    """The key of the state that a namespace is kept in.

    Example:
        >>> key_of("memories/", ("users", "a/b"))
        'memories/users/a%2Fb'
    """
    return prefix + (written_key(*namespace) if namespace else "")


def namespace_of(prefix: str, key: str) -> tuple[str, ...]:
    """The namespace that a key stands for."""
    return tuple(unquote(each) for each in key.removeprefix(prefix).split("/"))


class Memories:
    """One namespace, of which one call at a time reads or writes."""

    def __init__(self, store: Store, coder: Coder, key: str, namespace: tuple[str, ...]) -> None:
        self.namespace = namespace
        self._store = store
        self._coder = coder
        self._key = key
        self._lock = threading.RLock()
        self._session: Session | None = None

    @contextmanager
    def _fresh(self) -> Iterator[Session]:
        """The session, with what others saved."""
        with self._lock:
            if self._session is not None and self._session.checkpoint is None:
                self.close()  # it was opened before there was anything
            if self._session is not None:
                try:
                    self._session.refresh()
                except StateDeleted:
                    self.close()
            if self._session is None:
                self._session = self._store.open(
                    self._key, on_conflict="merge", strategies=NEWEST_WINS
                )
            try:
                yield self._session
            except BaseException:
                self.close(keeps=False)
                raise

    def close(self, *, keeps: bool = True) -> None:
        """End the session."""
        with self._lock:
            session, self._session = self._session, None
            if session is None:
                return
            try:
                if not keeps:
                    session.refresh()
                session.close()
            except PerdureError:
                pass  # it was deleted, or what is to be told was raised before

    def items(self, *, expired: bool = False) -> list[tuple[Item, Vectors]]:
        """All items with their vectors, the expired only if asked for."""
        with self._fresh() as session:
            found = session.state.get(ITEMS) or {}
            vectors = session.state.get(VECTORS) or {}
            now = datetime.now(UTC)
            return [
                (self._item(key, found[key]), vectors.get(key) or {})
                for key in found
                if expired or not _is_over(found[key], now)
            ]

    def get(self, key: str, *, renews: bool) -> Item | None:
        """An item, if there is one that has not expired; its time begins anew if it `renews`."""
        with self._fresh() as session:
            kept = (session.state.get(ITEMS) or {}).get(key)
            if kept is None or _is_over(kept, datetime.now(UTC)):
                return None
            if renews:
                self.renew([key])
            return self._item(key, kept)

    def renew(self, keys: Sequence[str]) -> None:
        """Let the time of those items that expire begin anew."""
        with self._lock:
            if self._session is None:
                return
            found, now = self._session.state.get(ITEMS) or {}, datetime.now(UTC)
            renewed = [key for key in keys if found.get(key, {}).get("minutes") is not None]
            for key in renewed:
                found[key]["expires"] = now + timedelta(minutes=found[key]["minutes"])
            if renewed:
                self._session.save()

    def put(self, ops: Sequence[PutOp], vectors: Mapping[str, Vectors]) -> None:
        """Put and delete items, all in one checkpoint; and remove what has expired.

        Raises:
            UsageError: an item is to expire after no such time.
        """
        for op in ops:
            if op.ttl is not None and not 0 < op.ttl <= TTL_MINUTES_MAX:
                raise UsageError(f"a ttl is in minutes, over 0, up to 1,000 years, not {op.ttl!r}")
        with self._fresh() as session:
            values = {op.key: self._coder.encode(op.value) for op in ops if op.value is not None}
            if ITEMS not in session.state and not values:
                return
            with session.atomic():
                items = session.state.setdefault(ITEMS, {})
                kept = session.state.setdefault(VECTORS, {})
                now = datetime.now(UTC)
                over = [key for key in items if _is_over(items[key], now)]
                for key in [*over, *(op.key for op in ops if op.value is None)]:
                    items.pop(key, None)
                    kept.pop(key, None)
                for op in ops:
                    if op.value is None:
                        continue
                    old = items.get(op.key)
                    item = {"value": values[op.key], "created": old["created"] if old else now}
                    item["updated"] = now
                    if op.ttl is not None:
                        item["minutes"] = op.ttl
                        item["expires"] = now + timedelta(minutes=op.ttl)
                    items[op.key] = item
                    kept.pop(op.key, None)
                    if vectors.get(op.key):
                        kept[op.key] = {path: list(each) for path, each in vectors[op.key].items()}
            session.summary = f"{len(items)} item{'s'[: len(items) != 1]}"
            session.save()

    def sweep(self) -> int:
        """Remove what has expired; how many items."""
        with self._fresh() as session:
            items, now = session.state.get(ITEMS) or {}, datetime.now(UTC)
            over = sum(_is_over(items[key], now) for key in items)
        if over:
            self.put([], {})
        return over

    def _item(self, key: str, kept: Any) -> Item:
        return Item(
            value=self._coder.decode(kept["value"].plain()),
            key=key,
            namespace=self.namespace,
            created_at=kept["created"],
            updated_at=kept["updated"],
        )


def _is_over(kept: Any, now: datetime) -> bool:
    expires = kept.get("expires")
    return expires is not None and bool(expires <= now)
