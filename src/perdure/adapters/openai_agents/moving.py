"""Moving in from the SDK's own sessions: their conversations become states.

What is compared at the end is the JSON of each item, as the source has it and as the store gives it
back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from perdure.adapters.looked_over import LookedOver
from perdure.adapters.moving import Content, Moved, Progress, Unit, move
from perdure.adapters.openai_agents.from_sqlite import Place, SqliteItems
from perdure.adapters.openai_agents.items import is_of_user
from perdure.adapters.openai_agents.places import MESSAGES, key_of
from perdure.adapters.summary import SUMMARY_CHARS, text_of
from perdure.core.head import MAIN
from perdure.core.refs import check_branch
from perdure.core.values import take
from perdure.errors import CheckpointNotFound, InvalidKey, StateExists, StateNotFound
from perdure.store import Store

BATCH = 500
"""How many items are copied as one checkpoint."""
LABEL = "imported"


class ConversationMover:
    """Moves conversations to a store, as `perdure.adapters.moving` has it.

    Args:
        source: what the file has.
        store: where to.
        prefix: what the keys of the states begin with.
    """

    nouns = ("conversation", "item", "turn")

    def __init__(self, source: SqliteItems, store: Store, *, prefix: str = "sessions/") -> None:
        self.source = source.name
        self._items = source
        self._store = store
        self._prefix = prefix
        self._places: dict[Unit, Place] = {}
        self._ids: dict[Unit, list[str]] = {}
        self._looked = LookedOver(store)

    def units(self) -> list[Unit]:
        """The conversations, and the branches of each."""
        found = []
        for place in self._items.places():
            name = place.session_id
            if place.branch != MAIN:
                name = f"{name} ({place.branch})"
            unit = Unit(name, self._key_shown(place), place.count, place.session_id)
            self._places[unit] = place
            found.append(unit)
        return found

    def _key_shown(self, place: Place) -> str:
        """The key, or what comes next to it where there can be none."""
        try:
            return key_of(self._prefix, place.session_id)
        except InvalidKey:
            return self._prefix + place.session_id

    def contents(self, unit: Unit) -> Iterator[Content]:
        """The items of one, oldest first; each is seen to be one that can be kept.

        Raises:
            UsageError: no branch can have its name.
            NotStorable: an item is nested too deep, or too long.
            BadStored: one is no JSON, or cannot be decrypted.
        """
        place = self._places[unit]
        check_branch(place.branch)
        ids = self._ids[unit] = []
        for position, (id_, item) in enumerate(self._items.items(place)):
            take(item, (MESSAGES, position), 1)
            self._looked.over(unit, (MESSAGES, position), item)
            ids.append(id_)
            yield content_of(id_, item)

    def require_no_secrets(self, unit: Unit) -> None:
        """See that there is none in a conversation.

        Raises:
            SecretFound: there is.
        """
        self._looked.require_none(unit)

    def present(self, unit: Unit) -> Collection[str]:
        """Ids of the items that the state has.

        Raises:
            StateExists: it is another conversation.
        """
        there, count = self._there(unit), 0
        for (id_, item), stored in zip(self._items.items(self._places[unit]), there):
            if content_of(id_, item) != content_of(id_, stored):
                raise StateExists(
                    f"there is a state {unit.key!r} already, whose item {count} is another one"
                )
            count += 1
        return self._ids[unit][:count]

    def copy(self, unit: Unit, wanted: Collection[str]) -> Iterator[str]:
        """Add items; each is durable when its id is given."""
        if not wanted:
            return
        place = self._places[unit]
        begins = False
        if place.branch != MAIN:
            self._store.fork(unit.key, place.branch, exist_ok=True)
            begins = self._is_bare(unit.key, place.branch)
        batch: list[tuple[str, Any]] = []
        with self._store.open(unit.key, branch=place.branch, sections=[MESSAGES]) as session:
            if begins:  # the branch of a file has all its items itself
                session.state[MESSAGES] = []
            for id_, item in self._items.items(place):
                if id_ not in wanted:
                    continue
                batch.append((id_, item))
                if len(batch) == BATCH:
                    yield from _added(session, batch)
                    batch = []
            yield from _added(session, batch)

    def _is_bare(self, key: str, branch: str) -> bool:
        """Whether a branch, which is not `main`, is not there, or nothing was saved on it yet."""
        found = [each for each in self._store.branches(key) if each.name == branch]
        return all(each.tip.number == each.base for each in found)

    def stored(self, unit: Unit, ids: Sequence[str]) -> Iterator[Content]:
        """Items as the store has them."""
        wanted = set(ids)
        for id_, item in zip(self._ids[unit], self._there(unit)):
            if id_ in wanted:
                yield content_of(id_, item)

    def _there(self, unit: Unit) -> list[Any]:
        """The items that the state has."""
        branch = self._places[unit].branch
        try:
            if branch != MAIN and self._is_bare(unit.key, branch):
                return []
            state = self._store.at(unit.key, branch, sections=[MESSAGES]).plain()
        except (StateNotFound, CheckpointNotFound):
            return []
        items: list[Any] = state.get(MESSAGES, [])
        return items


def _added(session: Any, batch: Sequence[tuple[str, Any]]) -> Iterator[str]:
    """Add items as one checkpoint; gives their ids."""
    if not batch:
        return
    session.state.setdefault(MESSAGES, []).extend([item for _, item in batch])
    asked = [item for _, item in batch if is_of_user(item)]
    if asked and session.branch == MAIN:  # all branches share one line
        session.summary = text_of(asked[-1].get("content"), SUMMARY_CHARS)
    session.save(LABEL)
    yield from (id_ for id_, _ in batch)


def content_of(id_: str, item: Any) -> Content:
    """An item by its JSON.

    Args:
        id_: what the source calls it.
        item: what it holds.

    Example:
        >>> content_of("7", {"role": "user", "content": "Hi"}).parts
        1
    """
    told = json.dumps(item, ensure_ascii=True)
    return Content(id_, hashlib.sha256(told.encode()).digest(), int(is_of_user(item)))


def move_conversations(
    source: str | Path,
    store: Store,
    *,
    prefix: str = "sessions/",
    table: str = "agent_messages",
    encryption_key: str | None = None,
    dry_run: bool = False,
    skip_failures: bool = False,
    progress: Progress | None = None,
) -> Moved:
    """Copy the conversations that a `SQLiteSession`, or one of its kind, kept in a file.

    The source is only read. What is there already stays; a run that was interrupted goes on. A
    branch of an `AdvancedSQLiteSession` becomes a branch.

    Args:
        source: path of the SQLite file.
        store: where to.
        prefix: what the keys of the states begin with, as `PerdureSession` has it.
        table: the table of the items in the file.
        encryption_key: what an `EncryptedSession` was given, if one wrote it. Items whose time to
            live is over are moved too.
        dry_run: read all, and say what would be copied; write nothing.
        skip_failures: move all other conversations where some cannot be; else none is moved then.
        progress: called with what is done and what there is.

    Returns:
        What became of each conversation: counts and hashes of what the source has and of what the
        store gives back.

    Raises:
        UsageError: the file has no such table.
        StoreUnavailable: the file cannot be opened.

    Example:
        >>> with perdure.Store("agents.db") as store:
        ...     print(move_conversations("conversations.db", store).ok)
        True
    """
    items = SqliteItems(source, table, encryption_key)
    try:
        mover = ConversationMover(items, store, prefix=prefix)
        return move(mover, dry_run=dry_run, skip_failures=skip_failures, progress=progress)
    finally:
        items.close()
