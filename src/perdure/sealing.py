"""What `Store` and `AsyncStore` do with their keys: encrypting what is there, and other keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perdure.errors import UsageError
from perdure.reports import KeyInfo, Rekeyed

if TYPE_CHECKING:
    from perdure.drive import Driver
    from perdure.keys.backend import KeyedBackend
    from perdure.keys.providers import Key
    from perdure.store_base import Progress


class _Sealing:
    """What both need of the store."""

    if TYPE_CHECKING:
        _driver: Driver

    def _keyed(self) -> KeyedBackend:
        backend: Any = self._driver.backend
        if not getattr(backend, "is_keyed", False):
            self._driver.is_made()  # which tells which key it is that an encrypted store needs
            raise UsageError("this store was opened without a key: Store(url, key=…)")
        found: KeyedBackend = getattr(backend, "anchored", backend)
        return found

    def _is_encrypted(self) -> bool:
        from perdure.encrypted import root_id

        backend: Any = self._driver.backend
        backend = getattr(backend, "anchored", backend)
        backend = getattr(backend, "inner", backend)
        is_made = getattr(backend, "is_made", None)
        if is_made is not None and not is_made():
            return False
        backend.connect()
        return root_id(backend) is not None

    def _key_info(self) -> KeyInfo:
        from perdure.keys import rekeying

        return rekeying.info(self._keyed())

    def _encrypted(self, progress: Progress | None) -> Rekeyed:
        from perdure.keys import rekeying

        return rekeying.encrypt(self._driver, self._keyed(), progress)

    def _rotated(self, key: Key) -> KeyInfo:
        from perdure.keys import rekeying
        from perdure.keys.providers import root_key

        return rekeying.rotate(self._keyed(), root_key(key))

    def _rewrapped(self, deep: bool, progress: Progress | None) -> Rekeyed:
        from perdure.keys import rekeying

        return rekeying.rewrap(self._driver, self._keyed(), deep, progress)


class Sealing(_Sealing):
    """An encrypted store and its keys."""

    def is_encrypted(self) -> bool:
        """Whether the store is encrypted, as far as can be told without its key.

        Example:
            >>> perdure.Store("memory:").is_encrypted()
            False
        """
        return self._is_encrypted()

    def key_info(self) -> KeyInfo:
        """How the store stands with its keys: under which root key, how many data keys.

        Raises:
            UsageError: this `Store` was given no key.
            WrongKey: it was given another.

        Example:
            >>> store.key_info().stage
            'sealed'
        """
        return self._key_info()

    def encrypt(self, *, progress: Progress | None = None) -> Rekeyed:
        """Encrypt what is in the clear in this store, with the key that this `Store` was given.

        Sessions with the key go on meanwhile; those without are stopped, state by state, by
        `KeyMissing`. It may be killed at any moment; do it again then. At the end the files are
        written anew, so that nothing is left in them of what was in the clear. Copies, backups and
        exports made before are as they were.

        Args:
            progress: called with (states done, all).

        Returns:
            What was done. If there are `problems`, these places stayed as they were, and the store
            takes what is in the clear until they are mended and this is done again.

        Raises:
            UsageError: this `Store` was given no key, or `hide_names`.
            WrongKey: the store has keys already, under another root key.

        Example:
            >>> perdure.Store("agents.db", key="file:agents.key").encrypt().problems
            ()
        """
        return self._encrypted(progress)

    def rotate(self, key: Key) -> KeyInfo:
        """Put the store under another root key; the former one does not open it any more.

        That is one small write: sessions that are open go on, whatever they were opened with.
        Copies and backups made before still open with the former key. If that was seen by others,
        let `rewrap(deep=True)` follow.

        Args:
            key: the new root key, in any form that `Store` takes.

        Raises:
            UsageError: it is no key, or this `Store` was given none.
            WrongKey: this `Store` was given another than the store's.

        Example:
            >>> store.rotate("file:new.key").root
            '2770baaefad3'
        """
        return self._rotated(key)

    def rewrap(self, *, deep: bool = False, progress: Progress | None = None) -> Rekeyed:
        """Give the store a new store key, which wraps the data keys of its states from then on.

        Sessions go on meanwhile. It may be killed at any moment; do it again then, and it goes on.

        Args:
            deep: give each state a new data key too, and seal all that it has with that.
            progress: called with (states done, all).

        Returns:
            What was done. If there are `problems`, do it again when these are mended.

        Raises:
            UsageError: this `Store` was given no key.
            WrongKey: it was given another.
            NotEncrypted: `encrypt` has not ended yet.

        Example:
            >>> store.rewrap(deep=True).problems
            ()
        """
        return self._rewrapped(deep, progress)


class AsyncSealing(_Sealing):
    """An encrypted store and its keys."""

    async def is_encrypted(self) -> bool:
        """Whether the store is encrypted, as far as can be told without its key.

        Example:
            >>> perdure.Store("memory:").is_encrypted()
            False
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._is_encrypted)

    async def key_info(self) -> KeyInfo:
        """How the store stands with its keys: under which root key, how many data keys.

        Raises:
            UsageError: this `Store` was given no key.
            WrongKey: it was given another.

        Example:
            >>> store.key_info().stage
            'sealed'
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._key_info)

    async def encrypt(self, *, progress: Progress | None = None) -> Rekeyed:
        """Encrypt what is in the clear in this store, with the key that this `Store` was given.

        Sessions with the key go on meanwhile; those without are stopped, state by state, by
        `KeyMissing`. It may be killed at any moment; do it again then. At the end the files are
        written anew, so that nothing is left in them of what was in the clear. Copies, backups and
        exports made before are as they were.

        Args:
            progress: called with (states done, all).

        Returns:
            What was done. If there are `problems`, these places stayed as they were, and the store
            takes what is in the clear until they are mended and this is done again.

        Raises:
            UsageError: this `Store` was given no key, or `hide_names`.
            WrongKey: the store has keys already, under another root key.

        Example:
            >>> perdure.Store("agents.db", key="file:agents.key").encrypt().problems
            ()
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._encrypted, progress)

    async def rotate(self, key: Key) -> KeyInfo:
        """Put the store under another root key; the former one does not open it any more.

        That is one small write: sessions that are open go on, whatever they were opened with.
        Copies and backups made before still open with the former key. If that was seen by others,
        let `rewrap(deep=True)` follow.

        Args:
            key: the new root key, in any form that `Store` takes.

        Raises:
            UsageError: it is no key, or this `Store` was given none.
            WrongKey: this `Store` was given another than the store's.

        Example:
            >>> store.rotate("file:new.key").root
            '2770baaefad3'
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._rotated, key)

    async def rewrap(self, *, deep: bool = False, progress: Progress | None = None) -> Rekeyed:
        """Give the store a new store key, which wraps the data keys of its states from then on.

        Sessions go on meanwhile. It may be killed at any moment; do it again then, and it goes on.

        Args:
            deep: give each state a new data key too, and seal all that it has with that.
            progress: called with (states done, all).

        Returns:
            What was done. If there are `problems`, do it again when these are mended.

        Raises:
            UsageError: this `Store` was given no key.
            WrongKey: it was given another.
            NotEncrypted: `encrypt` has not ended yet.

        Example:
            >>> store.rewrap(deep=True).problems
            ()
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._rewrapped, deep, progress)
