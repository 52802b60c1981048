"""The keys of one encrypted store: where they are, and those that are at hand."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable

from msgspec.structs import replace

from perdure import limits
from perdure.backends.protocol import Backend, StoreInfo
from perdure.core.seal import KeyedStore, Place
from perdure.encrypted import STORE
from perdure.engine.requests import KeyRow, ListHeads, PutKey, ReadKeys
from perdure.errors import (
    Damaged,
    KeyMissing,
    NotEncrypted,
    ReadOnlyStore,
    Tampered,
    UsageError,
)
from perdure.keys.data import DataKeys
from perdure.keys.ring import Ring, RootKey, Settings


class HeldKeys:
    """The store's own keys, and the data keys of states that were asked for last.

    Args:
        inner: the store, as it is without a key.
        root: the root key.
        apart: where the data keys are, if not there too.
        hides_names: whether a new store keeps the names of its states hidden.
    """

    def __init__(
        self, inner: Backend, root: RootKey, apart: Backend | None, hides_names: bool
    ) -> None:
        self.inner = inner
        self.root = root
        self.apart = apart
        self.hides_names = hides_names
        self._opening, self._pid = threading.Lock(), os.getpid()
        self._ring: Ring | None = None
        self._store = b""
        self._info: StoreInfo
        self._keys: dict[bytes, DataKeys] = {}

    # ---- the store's ------------------------------------------------------------------------

    def connect(self) -> StoreInfo:
        """Open the store and its keys; a new store gets keys.

        Raises:
            WrongKey: the root key is not the store's.
            NotEncrypted: the store has states in the clear.
            Tampered: what it says of itself is not what a store says.
        """
        try:
            info = self.inner.connect()
        except Damaged as error:
            raise Tampered(str(error), form=error.form, place=error.place) from error
        if self._pid != os.getpid():
            # A thread of the parent may have held it, and never gives it back here.
            self._pid, self._opening = os.getpid(), threading.Lock()
        if self._ring is None or self._store != info.store_id:
            with self._opening:
                self._store = info.store_id
                self._ring = self._opened()
                # A store that got its keys just now had none when it was opened.
                self._info = replace(info, store_id=KeyedStore(info.store_id), key=self._ring.blob)
        return self._info

    @property
    def ring(self) -> Ring:
        """The store's keys; opens the store if need be."""
        if self._ring is None:
            self.connect()
        assert self._ring is not None
        return self._ring

    @property
    def home(self) -> Backend:
        """Where the data keys are."""
        return self.apart if self.apart is not None else self.inner

    def _opened(self) -> Ring:
        found: tuple[KeyRow, ...] = self.inner.perform(ReadKeys((STORE,)))
        if not found:
            if self.inner.perform(ListHeads("", None, 1)):
                raise NotEncrypted(
                    "the store has states in the clear, and a key was given. Encrypt it: perdure "
                    "keys init; or open it without a key"
                )
            found = self._founded()
        ring = Ring.read(self._store, found[0].blob, self.root)
        self._require_home(ring)
        return ring

    def _founded(self) -> tuple[KeyRow, ...]:
        """The row of a store that is made now, by us or by whoever came first."""
        settings = Settings(hidden=self.hides_names, apart=self.apart is not None)
        ring = Ring.drawn(self._store, self.root, settings)
        try:
            self.inner.perform(PutKey(STORE, None, ring.blob))
        except ReadOnlyStore as error:
            raise NotEncrypted(
                "nothing was saved to the store yet, with this key or without one"
            ) from error
        row: tuple[KeyRow, ...] = self.inner.perform(ReadKeys((STORE,)))
        return row

    def _require_home(self, ring: Ring) -> None:
        if ring.settings.apart and self.apart is None:
            raise KeyMissing(
                "the data keys of this store are kept apart from it; say where: "
                "Store(url, key=…, keys_url=…)"
            )
        if self.apart is not None and not ring.settings.apart:
            raise UsageError("the data keys of this store are in the store itself: no keys_url")
        if self.hides_names and not ring.settings.hidden:
            raise UsageError(
                "the names of this store's states are in the clear, which only a new store can "
                "change: no hide_names"
            )
        if self.apart is not None:
            self.apart.connect()

    def renew(self) -> Ring:
        """Read the store's keys again, which others may have changed."""
        with self._opening:
            self._ring = self._opened()
            self._keys.clear()
            return self._ring

    # ---- those of states --------------------------------------------------------------------

    def keys_of(self, owner: bytes, *, anew: bool = False) -> DataKeys | None:
        """The data keys of an incarnation; None if it has none. `anew`: as they are stored now."""
        found = None if anew else self._keys.get(owner)
        if found is None or found.is_new:
            self._fetch((owner,))
            found = self._keys.get(owner)
        return found

    def _fetch(self, owners: Iterable[bytes]) -> None:
        rows: tuple[KeyRow, ...] = self.home.perform(ReadKeys(tuple(owners)))
        for row in rows:
            try:
                keys = self.ring.unwrap(row.owner, row.blob)
            except KeyMissing:
                keys = self.renew().unwrap(row.owner, row.blob)
            self._keep(keys)

    def _prefetch(self, owners: Iterable[bytes | None]) -> None:
        """Have the keys of these at hand; what is wrong with one is told by who needs it."""
        for owner in {each for each in owners if each is not None and each not in self._keys}:
            try:
                self._fetch((owner,))
            except (Tampered, KeyMissing):
                continue

    def _keep(self, keys: DataKeys) -> None:
        kept = self._keys
        while len(kept) >= limits.data_keys_kept_max:
            kept.pop(next(iter(kept)), None)
        kept[keys.owner] = keys

    def _required(self, place: Place, owner: bytes, *, anew: bool = False) -> DataKeys:
        keys = self.keys_of(owner, anew=anew)
        if keys is None:
            raise KeyMissing(
                f"{place}: its data key is not in the store's keys, under root key "
                f"{self.ring.root_id}; it was destroyed, or never came to where the keys are"
            )
        return keys

    def _drawn(self, owner: bytes) -> DataKeys:
        """Keys for a state that is made now; if they are not stored apart, they go with it."""
        keys = DataKeys.drawn(owner)
        if self.apart is not None:
            return self._put(keys)
        keys.row, keys.is_new = self.ring.wrap(keys), True
        self._keep(keys)
        return keys

    def _kept(self, owner: bytes) -> DataKeys:
        """The keys of an incarnation, which are stored before anything that they seal."""
        keys = self.keys_of(owner)
        return self._put(keys or DataKeys.drawn(owner)) if keys is None or keys.is_new else keys

    def _put(self, keys: DataKeys) -> DataKeys:
        self.home.perform(PutKey(keys.owner, None, self.ring.wrap(keys)))
        found = self.keys_of(keys.owner, anew=True)  # those of whoever came first
        assert found is not None
        return found

    def _destroy(self, owner: bytes) -> None:
        """Remove the keys of an incarnation, here and where they are kept."""
        self._keys.pop(owner, None)
        for row in self.home.perform(ReadKeys((owner,))):
            self.home.perform(PutKey(owner, row.blob, None))
