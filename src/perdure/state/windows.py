"""Windows in the live tree: a tracked list that shows the tail of the one it stands for."""

from __future__ import annotations

from perdure.core.windows import Window
from perdure.state.place import Place
from perdure.state.sequence import TrackedList, wrap_list


def wrap_window(window: Window, parent: Place, at: str | int) -> TrackedList:
    """A node that shows the window's items and knows how many precede them."""
    node = wrap_list(window.items, parent, at)
    node._offset = window.offset
    return node
