"""What a merge wants to know of its base: sections of a checkpoint, read as they are asked for."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Generic, TypeVar

import msgspec

from perdure.core.changes import Change, apply, copies
from perdure.core.delta import ABSENT
from perdure.core.head import Branch, Head
from perdure.core.paths import Path
from perdure.core.values import take
from perdure.engine.load import state_at
from perdure.engine.read import Site
from perdure.engine.requests import Compute, Steps

T = TypeVar("T")


class MergeBase:
    """A checkpoint from which two sides went on.

    Args:
        site: where the state is.
        head: its head.
        tip: a branch on which the checkpoint is.
        number: of the checkpoint; 0: before the first.
    """

    def __init__(self, site: Site, head: Head, tip: Branch, number: int) -> None:
        self._site, self._head, self._tip, self._number = site, head, tip, number
        self._sections: dict[str, Any] = {}
        self.at_once = False
        """Whether the computing is done without letting anybody else have a turn."""

    def answering(self, asking: Generator[Path, Any, T], since: Iterable[Change] = ()) -> Steps[T]:
        """Run what yields paths and is sent the values there; it may run in another thread.

        Args:
            asking: such a generator; what it is given it must not change, nor may others meanwhile.
            since: changes to the checkpoint; the values are those after them.
        """
        told = _Told(asking, since)
        found: _Found[T] | str | None = None
        while not isinstance(found, _Found):
            if found is not None:
                yield from self._read(found)
                told.stored[found] = self._sections[found]
            found = told.run() if self.at_once else (yield Compute(told.run))
        return found.value

    def _read(self, name: str) -> Steps[None]:
        """Read a section of the checkpoint, if it is not read yet."""
        if name in self._sections:
            return
        found: dict[str, Any] = {}
        if self._number:
            parts = self._site, self._head, self._tip, self._number
            found, _ = yield from state_at(*parts, name.__eq__)
        self._sections[name] = found.get(name, ABSENT)


class _Found(msgspec.Struct, Generic[T], frozen=True):
    """What a generator that asked returned."""

    value: T


class _Told(Generic[T]):
    """A generator that asks, and what it can be told by now."""

    def __init__(self, asking: Generator[Path, Any, T], since: Iterable[Change]) -> None:
        self._asking, self._since = asking, since
        self.stored: dict[str, Any] = {}
        """Sections as they are stored."""
        self._sections: dict[str, Any] = {}
        """And after the changes since."""
        self._path: Path | None = None
        """What it waits to be told of."""

    def run(self) -> _Found[T] | str:
        """Let it work until it ends, or asks for what is in a section that is not there yet."""
        try:
            if self._path is None:
                self._path = next(self._asking)
            while (name := str(self._path[0])) in self.stored:
                self._path = self._asking.send(_at(self._section(name), self._path[1:]))
        except StopIteration as stop:
            return _Found(stop.value)
        return name

    def _section(self, name: str) -> Any:
        if name not in self._sections:
            value = self.stored[name]
            changes = [change for change in self._since if change.path[0] == name]
            if changes:
                holder = {} if value is ABSENT else {name: take(value)}
                apply(holder, copies(changes))
                value = holder.get(name, ABSENT)
            self._sections[name] = value
        return self._sections[name]


def _at(value: Any, path: Path) -> Any:
    for part in path:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return ABSENT
    return value
