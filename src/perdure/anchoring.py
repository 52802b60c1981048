"""What `Store` and `AsyncStore` do about an anchor: one method, awaited or not."""

from __future__ import annotations

from typing import Any

from perdure.errors import UsageError
from perdure.store_base import StoreBase


class _Anchoring(StoreBase, is_part=True):
    """What both do."""

    def _reanchor(self) -> int:
        accept: Any = getattr(self._driver.backend, "accept", None)
        if accept is None:
            raise UsageError("this store was opened without an anchor: Store(url, anchor=…)")
        count: int = accept()
        return count


class Anchoring(_Anchoring, is_part=True):
    """Telling an anchor what is the newest."""

    def reanchor(self) -> int:
        """Take what the store holds now for the newest; how many states there are.

        That is for a person who has put a backup back on purpose: what the anchor knew of anything
        newer is given up.

        Raises:
            UsageError: the store was opened without an anchor.
            Damaged: a state cannot be read.

        Example:
            >>> perdure.Store("agents.db", anchor="/safe/agents.anchor").reanchor()
            12
        """
        return self._reanchor()


class AsyncAnchoring(_Anchoring, is_part=True):
    """Telling an anchor what is the newest."""

    async def reanchor(self) -> int:
        """Take what the store holds now for the newest; how many states there are.

        That is for a person who has put a backup back on purpose: what the anchor knew of anything
        newer is given up.

        Raises:
            UsageError: the store was opened without an anchor.
            Damaged: a state cannot be read.

        Example:
            >>> perdure.Store("agents.db", anchor="/safe/agents.anchor").reanchor()
            12
        """
        import asyncio  # the sync store, which this module is for too, goes without

        return await asyncio.to_thread(self._reanchor)
