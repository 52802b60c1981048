"""The check behind `Store(check_edits=True)`: a plain copy of the state, kept up by changes alone.

It holds what is loaded; in place of the rest stands what stands there in the tree. If the copy,
after a capture's changes, is not what the live containers hold, then something was edited without
a mark.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from perdure.core.changes import Change, apply
from perdure.core.paths import Path, format_path
from perdure.core.values import same
from perdure.core.windows import Window, into_window
from perdure.errors import UntrackedEdit
from perdure.state.marks import ABSENT, GIVE_UP
from perdure.state.node import plain
from perdure.state.receive import detached
from perdure.state.sequence import TrackedList

Checked: TypeAlias = tuple[dict[str, Any], dict[str, int]]
"""The sections of a shadow, and the items before the windows among them."""


class Shadow:
    """The sections as of the last capture, plain."""

    __slots__ = ("_ephemeral", "_offsets", "_sections")

    def __init__(self, sections: dict[str, Any], ephemeral: frozenset[str] = frozenset()) -> None:
        self._ephemeral = ephemeral
        """Sections that are never written, and so not followed."""
        self._sections: dict[str, Any] = {}
        self._offsets: dict[str, int] = {}
        """Items before the windows among the sections, by name."""
        for name, value in dict.items(sections):
            self.replace(name, value)

    def check(self, live: dict[str, Any], changes: Iterable[Change]) -> Checked:
        """What it is after `changes`, if they lead to what is live; see `follow`.

        Raises:
            UntrackedEdit: they do not; names the first place that differs.
        """
        sections, offsets = plain(self._sections), self._offsets.copy()
        _follow(sections, offsets, changes)
        live = self._followed(live)
        if not same(sections, live):
            where = format_path(_true(first_difference(sections, live), offsets))
            raise UntrackedEdit(
                f"{where} was changed by code that bypasses the methods of its container, as "
                "heapq, bisect.insort and list.append(items, …) do. Nothing was saved or lost. Let "
                "such code work on a copy and assign that; for now, assign what is there anew, as "
                f"a copy: its .plain(). {GIVE_UP}"
            )
        return sections, offsets

    def strayed(self, live: dict[str, Any]) -> set[str]:
        """The sections that are not, or not the same, on one side."""
        live = self._followed(live)
        names = {*self._sections, *live}
        return {
            name
            for name in names
            if not same(self._sections.get(name, ABSENT), dict.get(live, name, ABSENT))
        }

    def _followed(self, live: dict[str, Any]) -> dict[str, Any]:
        names = self._ephemeral
        if not names:
            return live
        return {name: value for name, value in dict.items(live) if name not in names}

    def follow(self, checked: Checked) -> None:
        """Go on to what `check` gave."""
        self._sections, self._offsets = checked

    def apply(self, changes: Iterable[Change]) -> None:
        """Follow somebody else's changes."""
        _follow(self._sections, self._offsets, changes)

    def settle(self, order: Iterable[str]) -> None:
        """Put the sections in this order; those it does not name last."""
        names = dict.fromkeys((*order, *self._sections))
        sections = self._sections
        self._sections = {name: sections[name] for name in names if name in sections}

    def widen(self, name: str, items: list[Any]) -> None:
        """Follow a window that shows items before its own, too."""
        self._sections[name][0:0] = plain(items)
        self._offsets[name] -= len(items)

    def replace(self, name: str, value: Any) -> None:
        """Follow newer content of one section; ABSENT removes it."""
        self._offsets.pop(name, None)
        if value is ABSENT or name in self._ephemeral:
            self._sections.pop(name, None)
            return
        if isinstance(value, Window | TrackedList):
            self._offsets[name] = value.offset
        self._sections[name] = plain(value.items if isinstance(value, Window) else value)


def _follow(sections: dict[str, Any], offsets: dict[str, int], changes: Iterable[Change]) -> None:
    """Make changes, at their true positions, in plain sections of which some are windows."""
    for change in changes:
        name = str(change.path[0])
        seen: Change | None = change
        if offsets.get(name):
            seen, offsets[name] = into_window(change, offsets[name])
        if seen is not None:
            apply(sections, [detached(seen)])


def _true(path: Path, offsets: dict[str, int]) -> Path:
    """The path in the state of one in the shadow."""
    if len(path) > 1 and isinstance(path[1], int):
        return path[0], path[1] + offsets.get(str(path[0]), 0), *path[2:]
    return path


def first_difference(a: Any, b: Any, path: Path = ()) -> Path:
    """The path of the first place where two values that are not the same differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*dict.keys(a), *dict.keys(b)]:
            if key not in a or key not in b:
                return (*path, key)
            if not same(dict.__getitem__(a, key), dict.__getitem__(b, key)):
                return first_difference(
                    dict.__getitem__(a, key), dict.__getitem__(b, key), (*path, key)
                )
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for position, (one, other) in enumerate(zip(list.__iter__(a), list.__iter__(b))):
            if not same(one, other):
                return first_difference(one, other, (*path, position))
    return path
