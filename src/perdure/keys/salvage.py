"""The keys of a broken file: what its blobs are opened with while it is recovered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perdure.backends import sqlite_keys
from perdure.core.seal import Locked
from perdure.encrypted import ERASURES, STORE
from perdure.engine.requests import HeadRow
from perdure.errors import PerdureError, WrongKey
from perdure.keys.backend import KeyedBackend
from perdure.keys.opening import keyed
from perdure.keys.providers import root_key
from perdure.keys.ring import Ring, RootKey

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import apsw

    from perdure.backends.protocol import Backend
    from perdure.backends.sqlite_salvage import SalvagedFile


class SalvagedKeys:
    """The keys that a file still has, as far as they are what was stored."""

    def __init__(self, file: SalvagedFile, root: Any, keys_url: Any) -> None:
        self._root: RootKey = root_key(root)
        self._keys_url = keys_url
        self._rows = {(row[0], row[1]) for row in file.key_rows()}
        self.found: list[tuple[bytes, bytes]] = []
        """Owners and wrapped keys, the store's first."""
        self.lost = 0
        self._backend: KeyedBackend

    def fit(self, candidates: Iterable[bytes]) -> bytes | None:
        """Of these ids of stores, the one that the keys are of; None: there is none.

        Raises:
            WrongKey: they are of another root key.
        """
        wrong: WrongKey | None = None
        for store in candidates:
            for owner, blob in self._rows:
                if owner != STORE:
                    continue
                try:
                    ring = Ring.read(store, blob, self._root)
                except WrongKey as error:
                    wrong = error
                except PerdureError:
                    continue
                else:
                    self._take(ring, blob)
                    return store
        if wrong is not None:
            raise wrong
        return None

    def _take(self, ring: Ring, blob: bytes) -> None:
        self.found.append((STORE, blob))
        for owner, wrapped in sorted(self._rows):
            if owner == STORE:
                continue
            try:
                ring.unwrap(owner, wrapped)
            except PerdureError:
                self.lost += 1
            else:
                self.found.append((owner, wrapped))

    def put_first(self, base: apsw.Connection) -> None:
        """Let a new store have those that tell what was erased: its own, and that of receipts."""
        base.execute(sqlite_keys.SCHEMA)
        self._put(base, {owner for owner, _ in self.found} & {STORE, ERASURES})

    def put(self, base: apsw.Connection, erased: Collection[bytes]) -> None:
        """Let it have the others, but of what was erased."""
        self.found = [each for each in self.found if each[0] not in erased]
        self._put(base, {owner for owner, _ in self.found})

    def _put(self, base: apsw.Connection, owners: Collection[bytes]) -> None:
        for row in self.found:
            if row[0] in owners:
                base.execute("INSERT OR IGNORE INTO keys (owner, blob) VALUES (?, ?)", row)

    def open(self, path: Path) -> None:
        """Open the new store with them; `lock` and `name` work from then on."""
        from perdure.backends.sqlite import SqliteBackend

        inner: Backend = SqliteBackend(str(path))
        self._backend = keyed(inner, self._root, self._keys_url, False, {})
        self._backend.connect()

    def close(self) -> None:
        """Close that again."""
        self._backend.close()

    @property
    def store(self) -> bytes:
        """The store's id, as one that says that it has keys."""
        return self._backend.connect().store_id

    def lock(self, blob: bytes) -> Locked:
        """A row or page, to be opened at its place."""
        return self._backend.locked(blob)

    def lock_head(self, blob: bytes) -> Locked:
        """A head, to be opened at its place."""
        return self._backend.locked_head(blob)

    def lock_receipt(self, blob: bytes) -> Locked:
        """The receipt of an erasure, to be opened at its place."""
        return self._backend.locked_receipt(blob)

    def name(self, stored: bytes, blob: bytes) -> str:
        """What the state is called that is stored under this."""
        key = os.fsdecode(stored)
        return self._backend.name_of(key, HeadRow(b"", blob))

    def options(self) -> dict[str, Any]:
        """What `Store` takes to open the new store."""
        return {"key": self._root, "keys_url": self._keys_url}
