"""What an anchor has to do."""

from __future__ import annotations

from typing import Protocol


class Anchor(Protocol):
    """Keeps a small mark for each state, where whoever can write to the store cannot write.

    Names and marks are opaque. An anchor may also have `advance(name, mark)`: keep it unless what
    is kept is greater, as bytes; `forget(name)`: keep nothing of it any more; and `names()`: all
    names that it has something of. Methods may be called from any thread.

    Example:
        >>> class Marks(dict):
        ...     def put(self, name, mark):
        ...         self[name] = mark
        >>> Marks().get("support/alice") is None
        True
    """

    def get(self, name: str) -> bytes | None:
        """The mark that is kept under a name, or None."""

    def put(self, name: str, mark: bytes) -> None:
        """Keep `mark` under `name`, in the place of another; when it returns, it is kept."""
