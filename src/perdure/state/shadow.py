"""The check behind `Store(check_edits=True)`: a plain copy of the state, kept up by changes alone.

If the copy, after a capture's changes, is not what the live containers hold, then something was
edited without a mark.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perdure.core.changes import Change, apply
from perdure.core.paths import Path, format_path
from perdure.core.values import same
from perdure.errors import UntrackedEdit
from perdure.state.marks import ABSENT
from perdure.state.node import plain
from perdure.state.receive import detached


class Shadow:
    """The sections as of the last capture, plain."""

    __slots__ = ("_sections",)

    def __init__(self, sections: dict[str, Any]) -> None:
        self._sections: dict[str, Any] = plain(sections)

    def check(self, live: dict[str, Any], changes: Iterable[Change]) -> None:
        """Go on to `changes`, if they lead to what is live.

        Raises:
            UntrackedEdit: they do not; names the first place that differs.
        """
        sections = plain(self._sections)
        apply(sections, [detached(change) for change in changes])
        if not same(sections, live):
            where = format_path(first_difference(sections, live))
            raise UntrackedEdit(
                f"{where} was changed by code that bypasses the methods of its container, as "
                "heapq, bisect.insort and list.append(items, …) do. Nothing was saved or lost. Let "
                "such code work on a copy and assign that; for now, assign what is there anew, as "
                "a copy: its .plain()"
            )
        self._sections = sections

    def apply(self, changes: Iterable[Change]) -> None:
        """Follow somebody else's changes."""
        apply(self._sections, [detached(change) for change in changes])

    def replace(self, name: str, value: Any) -> None:
        """Follow newer content of one section; ABSENT removes it."""
        if value is ABSENT:
            self._sections.pop(name, None)
        else:
            self._sections[name] = plain(value)


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
