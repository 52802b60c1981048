"""The mapping of sections: what `session.state` is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

from perdure.errors import NotStorable, ReservedSection
from perdure.state.marks import ABSENT
from perdure.state.root import Root
from perdure.state.sealed import SEALED, sealed

RESERVED = "perdure."
"""How the names of the library's own sections start."""

NAMED_MAX = 10
"""Sections that the error for a missing one names."""


class MissingSection(KeyError):
    """The state has no such section. A `KeyError` whose text names those that there are."""

    def __init__(self, name: object, names: Iterable[str] = ()) -> None:
        super().__init__(name)
        self._names = tuple(names)

    def __str__(self) -> str:
        shown = ", ".join(map(repr, self._names[:NAMED_MAX]))
        more = len(self._names) - NAMED_MAX
        there = f"there are {shown}" if shown else "the state is empty"
        return f"no section {self.args[0]!r}; {there}" + (f" and {more} more" if more > 0 else "")


class State(MutableMapping[str, Any]):
    """The sections of a state, by name; each holds a value that a state can hold.

    Sections whose names start with "perdure." are the library's own: they can be read here, not
    assigned or deleted; `clear` and `popitem` leave them. What "perdure.schema" and "perdure.kept"
    hold cannot be edited either: these are copies.

    A section that is not loaded is loaded when its value is asked for, also by `==`, `copy` and the
    like: not by `in`, `len` or going through the names, and not by assigning or deleting it.

    Raises:
        NotStorable: by every way of assigning, when the value or the name cannot be stored; nothing
            has changed then.
        ReservedSection: by assigning or deleting a section of the library.
        Detached: by every edit, once the session has ended.
        SectionNotLoaded: by asking for a section that is not loaded, under asyncio.

    Example:
        >>> messages = session.state.setdefault("messages", [])
        >>> session.state["goal"] = "refund order 17"
        >>> list(session.state)
        ['messages', 'goal']
    """

    __slots__ = ("_root",)

    def __init__(self, root: Root) -> None:
        self._root = root

    def plain(self) -> dict[str, Any]:
        """A deep copy that shares nothing with the state: plain containers all the way down."""
        copy: dict[str, Any] = self._root.plain()
        return copy

    def copy(self) -> dict[str, Any]:
        """A plain dict of the sections, tracked."""
        return {name: self[name] for name in self._root}

    def __getitem__(self, name: str, /) -> Any:
        if name not in self._root:
            raise MissingSection(name, self._root)
        return sealed(self._root[name]) if name in SEALED else self._root[name]

    def __setitem__(self, name: str, value: Any, /) -> None:
        self._writable(name)
        self._root[name] = value

    def __delitem__(self, name: str, /) -> None:
        self._writable(name)
        if name not in self._root:
            raise MissingSection(name, self._root)
        del self._root[name]

    def get(self, name: str, /, default: Any = None) -> Any:
        """The section, or the default if there is none."""
        return self[name] if name in self._root else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._root)

    def __len__(self) -> int:
        return len(self._root)

    def __contains__(self, name: object, /) -> bool:
        return name in self._root

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._root)

    def setdefault(self, name: str, default: Any = None, /) -> Any:
        """The section, put there first if it is missing; always the tracked one."""
        if name not in self:
            self[name] = default
        return self[name]

    def pop(self, name: str, /, default: Any = ABSENT) -> Any:
        """Remove the section and return it; the default, if given, where there is none.

        Raises:
            KeyError: there is none, and no default.
        """
        if name in self._root:
            self._writable(name)
            return self._root.pop(name)
        if default is ABSENT:
            raise MissingSection(name, self._root)
        return default

    def popitem(self) -> tuple[str, Any]:
        """Remove and return the last section, as `(name, value)`.

        Raises:
            KeyError: there is none but the library's own.
        """
        for name in reversed(self._root):
            if not name.startswith(RESERVED):
                self._writable(name)
                return name, self._root.pop(name)
        raise KeyError("popitem(): the state is empty")

    def clear(self) -> None:
        """Remove all sections but the library's own."""
        names = [name for name in self._root if not name.startswith(RESERVED)]
        for name in names:  # all of them before any goes
            self._releasable(name)
        for name in names:
            del self._root[name]

    def update(self, *args: Any, **sections: Any) -> None:
        """Assign several sections, all or none."""
        news = dict(*args, **sections)
        for name in news:
            self._writable(name)
        self._root.update(news)

    def _writable(self, name: Any) -> None:
        """Refuse what no user may assign: the library's sections, and those that are locked."""
        _nameable(name)
        tracker = self._root._tracker
        if tracker.locked:
            tracker.require_unlocked(name)

    def _releasable(self, name: str) -> None:
        """Refuse to delete what is locked, or needed by the schema."""
        self._writable(name)
        door = self._root._tracker.door
        if door is not None:
            door.release(self._root, name)

    def __or__(self, other: Any, /) -> Any:
        return self.copy() | other if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: Any, /) -> Any:
        return other | self.copy() if isinstance(other, dict) else NotImplemented

    def __ior__(self, other: Any, /) -> State:
        self.update(other)
        return self

    def __copy__(self) -> dict[str, Any]:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return self.plain()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return dict, (self.plain(),)

    def __repr__(self) -> str:
        return f"State({self._root!r})"


def _nameable(name: Any) -> None:
    """Refuse names that no user's section can have."""
    if not isinstance(name, str) or not name:
        raise NotStorable(f"a section's name is a non-empty str, not {name!r}")
    if name.startswith(RESERVED):
        raise ReservedSection(
            f'{name!r}: section names starting with "{RESERVED}" are the library\'s own. '
            "Choose another name"
        )
