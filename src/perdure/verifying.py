"""What `Store` and `AsyncStore` do about damage: one method, awaited or not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from perdure.engine import audit
from perdure.engine.diagnosis import of_head
from perdure.errors import Damaged, StateNotFound, UsageError
from perdure.events import log
from perdure.naming import check_key
from perdure.reports import Damage, Verified
from perdure.store_base import Progress, StoreBase


class _Verifying(StoreBase, is_part=True):
    """What both do."""

    def _verify(
        self,
        key: str | None,
        progress: Progress | None,
        repair: bool = False,
        dry_run: bool = False,
        backup: bool | str | os.PathLike[str] = True,
    ) -> list[Verified]:
        if key is not None:
            check_key(key)
        if dry_run and not repair:
            raise UsageError("dry_run is for repair: verify changes nothing without it")
        keys = [key] if key is not None else self._look(self._keys())
        found = []
        for done, each in enumerate(keys, 1):
            found.append(self._verified(each, is_listed=key is None))
            if progress is not None:
                progress(done, len(keys))
        if repair and not dry_run:
            self._repair(found, backup)
        return found + (self._lost() if key is None else [])

    def _lost(self) -> list[Verified]:
        """States that the anchor knows, if there is one, and the store has not any more."""
        lost: Any = getattr(self._driver.backend, "lost", dict)
        return [Verified(name, 0, False, problem) for name, problem in lost().items()]

    def _verified(self, key: str, *, is_listed: bool) -> Verified:
        """What is found of one state; if it `is_listed`, that it is not found is damage."""
        try:
            return self._look(self._about(audit.verify, key))
        except StateNotFound as error:
            if not is_listed or key not in self._look(self._keys()):  # it was just removed
                raise
            problem = f"damaged: it is listed, and not found: {error}"
            return Verified(key, 0, False, problem, damage=(of_head(problem),))
        except Damaged as error:  # of a head that the anchor does not let through
            return Verified(key, 0, False, f"{error.kind}: {error}")

    def _repair(self, found: list[Verified], backup: bool | str | os.PathLike[str]) -> None:
        """Mend what can be, after a copy was made; what is found then takes the place of before."""
        hurt = [at for at, each in enumerate(found) if any(map(_is_mendable, each.damage))]
        if not hurt:
            return
        kept = self._copied(backup)
        for at in hurt:
            key, before = found[at].key, found[at]
            try:
                self._driver.run(self._about(audit.repair, key), makes=False)
            except Damaged as error:
                log.warning("%r was repaired in part: %s", key, error)
            after = self._look(self._about(audit.verify, key))
            mended = _pages(before) - _pages(after)
            log.warning("%r was repaired: %d page(s) were made anew", key, mended)
            found[at] = replace(after, mended=mended, backup=kept)

    def _copied(self, backup: bool | str | os.PathLike[str]) -> str | None:
        """Where the store was copied to; None: nowhere, as was asked for."""
        if backup is False:
            return None
        if backup is not True:
            target = Path(os.fspath(backup)).absolute()
        else:
            name, number = f"{getattr(self._driver.backend, 'path', self.url)}.before-repair", 1
            target = Path(name)
            while os.path.lexists(target):
                number += 1
                target = Path(f"{name}-{number}")
        self._backup(target, None)
        return str(target)


def _is_mendable(damage: Damage) -> bool:
    return damage.remedy == "repair"


def _pages(found: Verified) -> int:
    return sum(each.pages for each in found.damage)


class Verifying(_Verifying, is_part=True):
    """Looking for damage, and mending it."""

    def verify(
        self,
        key: str | None = None,
        *,
        repair: bool = False,
        dry_run: bool = False,
        backup: bool | str | os.PathLike[str] = True,
        progress: Progress | None = None,
    ) -> list[Verified]:
        """Read everything of a state, or of all, and check it: tags, chain and replay (P5).

        What is wrong is told whole, with what helps (`Verified.damage`). With `repair`, pages of
        snapshots that are damaged or missing are made anew from the records, or from their second
        copies: only what can be proved to be what was there. The store is copied first.

        Args:
            key: the state's key; all states by default, deleted ones included.
            repair: mend what can be mended, and verify that again.
            dry_run: only say what would be: `damage` whose `remedy` is `"repair"`.
            backup: where to put the copy, a file that does not exist yet; True: beside the store,
                under a name of its own; False: no copy.
            progress: called with (states done, all).

        Raises:
            StateNotFound: there is no such state.
            UsageError: the file for the copy exists, or the store has no files to copy: then
                `repair` takes `backup=False`.
            Damaged: the file is damaged so that it cannot be copied; nothing was changed.

        Example:
            >>> [each.key for each in store.verify() if not each.ok]
            []
        """
        return self._verify(key, progress, repair, dry_run, backup)


class AsyncVerifying(_Verifying, is_part=True):
    """Looking for damage, and mending it."""

    async def verify(
        self,
        key: str | None = None,
        *,
        repair: bool = False,
        dry_run: bool = False,
        backup: bool | str | os.PathLike[str] = True,
        progress: Progress | None = None,
    ) -> list[Verified]:
        """Read everything of a state, or of all, and check it: tags, chain and replay (P5).

        What is wrong is told whole, with what helps (`Verified.damage`). With `repair`, pages of
        snapshots that are damaged or missing are made anew from the records, or from their second
        copies: only what can be proved to be what was there. The store is copied first.

        Args:
            key: the state's key; all states by default, deleted ones included.
            repair: mend what can be mended, and verify that again.
            dry_run: only say what would be: `damage` whose `remedy` is `"repair"`.
            backup: where to put the copy, a file that does not exist yet; True: beside the store,
                under a name of its own; False: no copy.
            progress: called with (states done, all).

        Raises:
            StateNotFound: there is no such state.
            UsageError: the file for the copy exists, or the store has no files to copy: then
                `repair` takes `backup=False`.
            Damaged: the file is damaged so that it cannot be copied; nothing was changed.

        Example:
            >>> [each.key for each in store.verify() if not each.ok]
            []
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._verify, key, progress, repair, dry_run, backup)
