"""The tracked dict at the top: sections by name, some of which may not be loaded."""

from __future__ import annotations

from typing import Any

from perdure.state.mapping import TrackedDict, wrap_dict
from perdure.state.node import plain
from perdure.state.unloaded import Unloaded


class Root(TrackedDict):
    """The mapping of sections.

    Only `State` holds it, and hands out neither it nor a view of it. So what is put in plain, or
    not loaded, can always wait to be touched.
    """

    __slots__ = ()

    def plain(self) -> Any:
        """A plain deep copy of all sections; loads those that are not."""
        for name, value in dict.items(self):
            if type(value) is Unloaded:
                self._hand_out(name, value)
        return plain(self)

    def unloaded(self) -> set[str]:
        """The names of the sections that are not loaded."""
        return {name for name, value in dict.items(self) if type(value) is Unloaded}

    def _wrap_again(self) -> None:
        self._lazy = True


def wrap_root(sections: dict[str, Any]) -> Root:
    """The root of a new tree, with a tracker of its own."""
    root = wrap_dict(sections, None, "", Root)
    assert isinstance(root, Root)
    root._tracker.root = root
    return root
