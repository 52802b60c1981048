"""A backend that stands before another: what it does not do itself, that one does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from perdure.backends.protocol import Backend


class Layer:
    """What all layers hand on; each has to give the rest of the contract its own answer."""

    inner: Backend
    """What it stands before."""

    def __getattr__(self, name: str) -> Any:
        # What only some backends have: its file, whether it is made, how long it waits, …
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def after_commit(self) -> None:
        """Upkeep off the save path."""
        self.inner.after_commit()

    def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """A copy of the whole store as it is stored; what only the layer knows is not in it."""
        self.inner.backup(target, progress)

    def compact(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Give space that nothing uses back to the file system; the bytes given back."""
        return self.inner.compact(progress)

    def size_bytes(self) -> int:
        """Bytes the store occupies now."""
        return self.inner.size_bytes()
