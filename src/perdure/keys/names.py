"""The names of states, which an encrypted store may hide.

A hidden name is stored as a keyed hash, and itself sealed in the head. So a state is found by its
name at once; a list of names has to open every head once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from perdure import limits
from perdure.backends.in_process import keys_of
from perdure.core.seal import Place
from perdure.engine.requests import HeadRow, ListHeads, ReadHead
from perdure.errors import Damaged, KeyMissing
from perdure.keys.data import owner_of_head

if TYPE_CHECKING:
    from perdure.keys.backend import KeyedBackend


class Names:
    """The names of one store's states."""

    def __init__(self, store: KeyedBackend) -> None:
        self._store = store
        self._known: dict[str, str] = {}
        """By stored key; what is stored there never has another name."""

    def stored(self, key: str) -> str:
        """What a state of this name is stored under."""
        ring = self._store.ring
        return ring.hidden(key) if ring.settings.hidden else key

    def forget(self, stored: str) -> None:
        """Forget what is, or was, stored under this."""
        self._known.pop(stored, None)

    def place(self, place: Place) -> Place:
        """Where a head is stored that is looked for by its name."""
        if not self._store.ring.settings.hidden:
            return place
        name = place.owner.decode(errors="surrogateescape")
        return replace(place, owner=self.stored(name).encode())

    def listed(self, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
        """Answer a `ListHeads` by names."""
        inner = self._store.inner
        if not self._store.ring.settings.hidden:
            rows: tuple[tuple[str, HeadRow], ...] = inner.perform(request)
            return rows
        by_name = {self.name(stored, row): stored for stored, row in self._every_head()}
        found: list[tuple[str, HeadRow]] = []
        for name in keys_of(by_name, request):
            row: HeadRow | None = inner.perform(ReadHead(by_name[name]))
            if row is not None:
                found.append((name, row))
        return tuple(found)

    def _every_head(self) -> list[tuple[str, HeadRow]]:
        inner, found = self._store.inner, list[tuple[str, HeadRow]]()
        while True:
            after = found[-1][0] if found else None
            rows = inner.perform(ListHeads("", after, limits.heads_listed_max))
            found += rows
            if len(rows) < limits.heads_listed_max:
                return found

    def name(self, stored: str, row: HeadRow) -> str:
        """What a head is called; one that cannot be opened has its stored key for a name."""
        known = self._known.get(stored)
        if known is None:
            place = Place(self._store.connect().store_id, stored.encode(errors="surrogateescape"))
            owner = owner_of_head(row.blob)
            try:
                keys = self._store.keys_of(owner) if owner is not None else None
                name = keys.open(place, row.blob)[1] if keys is not None else b""
            except (Damaged, KeyMissing):
                name = b""
            if not name:
                return stored
            known = self._known[stored] = name.decode(errors="surrogateescape")
        return known
