"""What `Store` and `AsyncStore` find of secrets that are stored: one method, awaited or not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from perdure.engine.search import search
from perdure.errors import StateNotFound
from perdure.types import FoundSecret

if TYPE_CHECKING:
    from perdure.engine.read import Site
    from perdure.engine.requests import Steps
    from perdure.secrets.policy import Secrets
    from perdure.store_base import Progress

T = TypeVar("T")


class _Scanning:
    """What both need of the store."""

    if TYPE_CHECKING:
        _secrets: Secrets | None

        def _look(self, steps: Steps[T]) -> T: ...
        def _asking(self, what: Callable[[Site], Steps[T]], key: str) -> Steps[T]: ...
        def _about(self, what: Callable[[Site], Steps[T]], key: str) -> Steps[T]: ...
        def _keys(self) -> Steps[list[str]]: ...

    def _scanning(
        self,
        key: str | None,
        history: bool,
        secrets: Secrets | None,
        progress: Progress | None,
    ) -> list[FoundSecret]:
        from perdure.secrets.found import Found
        from perdure.secrets.policy import Secrets, checked

        policy = checked(secrets) or self._secrets or checked(Secrets())
        assert policy is not None
        found = Found(policy)
        if key is not None:
            self._look(self._asking(partial(search, look=found.of(key), history=history), key))
            return found.told()
        keys = self._look(self._keys())
        for done, each in enumerate(keys, 1):
            with suppress(StateNotFound):  # it is, or was meanwhile, deleted
                self._look(self._about(partial(search, look=found.of(each), history=history), each))
            if progress is not None:
                progress(done, len(keys))
        return found.told()


class Scanning(_Scanning):
    """Finding secrets that are stored."""

    def scan(
        self,
        key: str | None = None,
        *,
        history: bool = False,
        secrets: Secrets | None = None,
        progress: Progress | None = None,
    ) -> list[FoundSecret]:
        """Find what looks like a secret in a state, or in all, as it is stored.

        Every branch is read whole, and what effects gave. A secret that was written in parts over
        several saves is found where it stands now, not in the history.

        Args:
            key: the state's key; all states by default.
            history: go through all that was ever saved as well, of deleted states and former lives
                too: what was taken out or overwritten is still stored.
            secrets: what to take for a secret; by default as this store does, or else what
                `Secrets()` does. Its `action` does not matter: nothing is changed.
            progress: called with (states done, all), over all states.

        Returns:
            Where each is, never the value. By `branch` and `number` of the checkpoint that holds
            it, or, in the history, wrote it.

        Raises:
            StateNotFound: there is no such state.
            Damaged: something of it cannot be read.
            UsageError: `secrets` is no policy, or the extra `secrets` is not installed.

        Example:
            >>> [(each.kind, each.path) for each in store.scan("support/alice", history=True)]
            [('AWS Access Key', ('messages', 3, 'content'))]
        """
        return self._scanning(key, history, secrets, progress)


class AsyncScanning(_Scanning):
    """Finding secrets that are stored."""

    async def scan(
        self,
        key: str | None = None,
        *,
        history: bool = False,
        secrets: Secrets | None = None,
        progress: Progress | None = None,
    ) -> list[FoundSecret]:
        """Find what looks like a secret in a state, or in all, as it is stored.

        Every branch is read whole, and what effects gave. A secret that was written in parts over
        several saves is found where it stands now, not in the history.

        Args:
            key: the state's key; all states by default.
            history: go through all that was ever saved as well, of deleted states and former lives
                too: what was taken out or overwritten is still stored.
            secrets: what to take for a secret; by default as this store does, or else what
                `Secrets()` does. Its `action` does not matter: nothing is changed.
            progress: called with (states done, all), over all states.

        Returns:
            Where each is, never the value. By `branch` and `number` of the checkpoint that holds
            it, or, in the history, wrote it.

        Raises:
            StateNotFound: there is no such state.
            Damaged: something of it cannot be read.
            UsageError: `secrets` is no policy, or the extra `secrets` is not installed.

        Example:
            >>> [(each.kind, each.path) for each in store.scan("support/alice", history=True)]
            [('AWS Access Key', ('messages', 3, 'content'))]
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._scanning, key, history, secrets, progress)
