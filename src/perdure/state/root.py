"""The tracked dict at the top: sections by name, some of which may not be loaded."""

from __future__ import annotations

from typing import Any

from perdure.state.mapping import TrackedDict, wrap_dict
from perdure.state.node import plain
from perdure.state.place import WRAPPERS
from perdure.state.sequence import TrackedList
from perdure.state.unloaded import Unloaded


class Root(TrackedDict):
    """The mapping of sections.

    Only `State` holds it, and hands out neither it nor a view of it. So what is put in plain, or
    not loaded, can always wait to be touched.
    """

    __slots__ = ()

    def __getitem__(self, key: str, /) -> Any:
        return self._hand_out(key, dict.__getitem__(self, key))

    def get(self, key: str, default: Any = None, /) -> Any:
        """The section, loaded and tracked; the default if there is none."""
        return self._hand_out(key, dict.__getitem__(self, key)) if key in self else default

    def copy(self) -> dict[str, Any]:
        """A plain dict of the sections, all of them loaded and tracked."""
        return {name: self._hand_out(name, value) for name, value in list(dict.items(self))}

    def _hand_out(self, name: str, value: Any) -> Any:
        """What a section holds, tracked from now on."""
        wrap = WRAPPERS.get(type(value))
        if wrap is not None:
            wrapped = wrap(value, self, name)
            if wrapped is not value:
                if self._tracker.blocks:
                    self._tracker.wrapped[id(value)] = value, wrapped
                dict.__setitem__(self, name, wrapped)
            value = wrapped
        if isinstance(value, TrackedList):
            self._tracker.watch(value)
        door = self._tracker.door
        return value if door is None else door.claim(name, value)

    def _restore_content(
        self, content: dict[str, Any], wrapped: dict[int, tuple[Any, Any]]
    ) -> None:
        dict.clear(self)
        for name, value in content.items():
            dict.__setitem__(self, name, wrapped.get(id(value), (value, value))[1])

    def plain(self) -> Any:
        """A plain deep copy of all sections; loads those that are not."""
        for name, value in dict.items(self):
            if type(value) is Unloaded:
                self._hand_out(name, value)
        return plain(self)

    def unloaded(self) -> set[str]:
        """The names of the sections that are not loaded."""
        return {name for name, value in dict.items(self) if type(value) is Unloaded}


def wrap_root(sections: dict[str, Any]) -> Root:
    """The root of a new tree, with a tracker of its own."""
    root = wrap_dict(sections, None, "", Root)
    assert isinstance(root, Root)
    root._tracker.root = root
    return root
