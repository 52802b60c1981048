"""Following the states of one key, or of all that begin so: what a watcher does, without waiting.

A look lists the heads and compares their tokens with those seen; of the states whose token is
another one the new checkpoints are read, some of each in turn. What is found waits until it is
taken, and counts as given from then on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Literal, TypeAlias

from perdure import limits
from perdure.core.head import lives
from perdure.engine import cursor
from perdure.engine.read import Site
from perdure.engine.requests import LET_GO, HeadRow, ListHeads, ReadHead, Steps, Tell
from perdure.engine.watch import UNREADABLE, Given, all_given, news, tip_of
from perdure.errors import Damaged, PerdureError, UsageError
from perdure.types import Checkpoint

Since: TypeAlias = Literal["now", "start"]

HEADS_AT_ONCE = 8
"""Heads opened until others have a turn (heads)."""


class Follower:
    """What a watcher has seen of a store, and what it found and did not take yet."""

    def __init__(self, watch: str, branch: str, since: Since, text: str | None) -> None:
        self.watch = watch
        self.branch = branch
        self._since = since
        self._has_begun = text is not None
        """Whether it is known where states begin: those that are not known are new."""
        store, known = cursor.read(text, watch, branch) if text is not None else (b"", {})
        self._store = store
        self._given: dict[str, dict[bytes, Given]] = known
        """By key, then by incarnation."""
        self._fragments = {key: cursor.fragment(key, each) for key, each in known.items()}
        self._tokens: dict[str, bytes] = {}
        """Of the heads that were seen to."""
        self._due: dict[str, HeadRow] = {}
        """Heads of which there may be new checkpoints."""
        self._found: deque[tuple[bytes, Checkpoint, Given]] = deque()
        """Each with its incarnation and what is given when it is."""
        self._unbegun: set[str] = set()
        """Keys whose heads could not be read when the watch began."""
        self._told: set[str] = set()
        """Keys of which it was told that they cannot be read."""

    @property
    def is_unbegun(self) -> bool:
        """Whether it is not known yet what is new."""
        return not self._has_begun

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to be taken or read of what the last look found."""
        return self._has_begun and not self._found and not self._due

    def cursor(self) -> str:
        """What was taken, as text."""
        return cursor.written(self._store, self.watch, self.branch, self._fragments)

    def take(self) -> Checkpoint | None:
        """The next checkpoint that was found; it counts as given from now on."""
        if not self._found:
            return None
        incarnation, checkpoint, given = self._found.popleft()
        self._note(checkpoint.key, incarnation, given)
        return checkpoint

    def begin_empty(self) -> None:
        """There is no store yet: whatever will be in it is new."""
        self._has_begun = True

    def look(self, store: bytes) -> Steps[None]:
        """Find the next checkpoints, if there are any that were not taken.

        Raises:
            UsageError: the cursor is of another store.
            Damaged: the one key that is watched cannot be read.
        """
        if self._store and self._store != store:
            raise UsageError(
                f"this cursor is of the store {self._store.hex()}, but this is {store.hex()}"
            )
        self._store = store
        is_listed = False
        while not self._found:
            if self._due:
                yield from self._next(store)
            elif is_listed:
                return
            else:
                yield from self._list()
                is_listed = True

    def _next(self, store: bytes) -> Steps[None]:
        """Find some checkpoints of the state that has waited longest."""
        key = next(iter(self._due))
        row = self._due.pop(key)
        yield LET_GO
        try:
            if (yield from self._read(Site(store, key), row)):
                self._due[key] = row  # behind the others: each has its turn
            else:
                self._tokens[key] = row.token
        except UNREADABLE as error:
            now = (yield ReadHead(key)) if isinstance(error, Damaged) else row
            if now is not None and now.token != row.token:
                self._due[key] = now  # what was pruned or moved since it was listed is not lost
            else:
                yield from self._around(key, row, error)

    def _list(self) -> Steps[None]:
        """See which heads are not those that were seen."""
        seen: set[str] = set()
        after: str | None = None
        while True:
            rows = yield from self._rows(after)
            for count, (key, row) in enumerate(rows, 1):
                seen.add(key)
                if row.token == self._tokens.get(key):
                    continue
                if self._has_begun:
                    self._due[key] = row
                    continue
                yield from self._begin(Site(self._store, key), row)
                if count % HEADS_AT_ONCE == 0:
                    yield LET_GO
            if len(rows) < limits.heads_listed_max:
                break
            after = rows[-1][0]
        self._has_begun = True
        for gone in self._given.keys() - seen:
            del self._given[gone], self._fragments[gone]
            self._tokens.pop(gone, None)

    def _rows(self, after: str | None) -> Steps[Sequence[tuple[str, HeadRow]]]:
        if self.watch.endswith("*"):
            rows: Sequence[tuple[str, HeadRow]] = yield ListHeads(
                self.watch[:-1], after, limits.heads_listed_max
            )
            return rows
        row: HeadRow | None = yield ReadHead(self.watch)
        return [(self.watch, row)] if row is not None else []

    def _begin(self, site: Site, row: HeadRow) -> Steps[None]:
        """Note where a state that is there begins to be watched."""
        try:
            head = site.head(row)
            for life in lives(head):
                if self._since == "now" or life.deleted_us is not None:
                    tip = yield from tip_of(site, life, self.branch)
                    given = yield from all_given(site, life, tip)
                    self._note(site.key, life.incarnation, given)
                else:
                    self._note(site.key, life.incarnation, Given())
        except UNREADABLE as error:
            self._unbegun.add(site.key)
            yield from self._around(site.key, row, error)
        else:
            self._unbegun.discard(site.key)
            if self._since == "start":
                self._due[site.key] = row
            else:
                self._tokens[site.key] = row.token

    def _read(self, site: Site, row: HeadRow) -> Steps[bool]:
        """Find some of a state's new checkpoints; whether there were any."""
        if site.key in self._unbegun:
            yield from self._begin(site, row)
            return False
        every = lives(site.head(row))
        known = self._given.get(site.key, {})
        for life in every:
            given = known.get(life.incarnation, Given())
            piece, new = yield from news(site, life, self.branch, given)
            if new != given or life.incarnation not in known:
                self._note(site.key, life.incarnation, new)
            if piece:
                self._found.extend((life.incarnation, each, then) for each, then in piece)
                return True
        self._told.discard(site.key)
        self._forget(site.key, {life.incarnation for life in every})
        return False

    def _forget(self, key: str, kept: set[bytes]) -> None:
        """Keep of a state only the lives that there are."""
        each = self._given[key]
        if each.keys() - kept:
            self._given[key] = {life: given for life, given in each.items() if life in kept}
            self._fragments[key] = cursor.fragment(key, self._given[key])

    def _note(self, key: str, incarnation: bytes, given: Given) -> None:
        each = self._given.setdefault(key, {})
        each[incarnation] = given
        self._fragments[key] = cursor.fragment(key, each)

    def _around(self, key: str, row: HeadRow, error: PerdureError) -> Steps[None]:
        """Go around a state that cannot be read, until its head is another one; tell once.

        Raises:
            Damaged: it is the only one that is watched.
        """
        if not self.watch.endswith("*"):
            raise error
        self._tokens[key] = row.token
        if key not in self._told:
            self._told.add(key)
            yield Tell(f"watching {self.watch!r}: {key!r} is passed over, {error.kind}: {error}")
