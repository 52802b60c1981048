"""What a merge wants to know of its base: sections of a checkpoint, read as they are asked for."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, TypeVar

from perdure.core.changes import Change, apply, copies
from perdure.core.delta import ABSENT
from perdure.core.head import Branch, Head
from perdure.core.paths import Path
from perdure.core.values import take
from perdure.engine.load import state_at
from perdure.engine.read import Site
from perdure.engine.requests import Steps

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

    def answering(self, asking: Generator[Path, Any, T], since: Iterable[Change] = ()) -> Steps[T]:
        """Run what yields paths and is sent the values there.

        Args:
            asking: such a generator; what it is given it must not change.
            since: changes to the checkpoint; the values are those after them.
        """
        sections: dict[str, Any] = {}
        answer: Any = None
        while True:
            try:
                path = asking.send(answer)
            except StopIteration as stop:
                found: T = stop.value
                return found
            name = str(path[0])
            if name not in sections:
                sections[name] = yield from self._section(name, since)
            answer = _at(sections[name], path[1:])

    def _section(self, name: str, since: Iterable[Change]) -> Steps[Any]:
        if name not in self._sections:
            found: dict[str, Any] = {}
            if self._number:
                parts = self._site, self._head, self._tip, self._number
                found, _ = yield from state_at(*parts, name.__eq__)
            self._sections[name] = found.get(name, ABSENT)
        value = self._sections[name]
        changes = [change for change in since if change.path[0] == name]
        if not changes:
            return value
        holder = {} if value is ABSENT else {name: take(value)}
        apply(holder, copies(changes))
        return holder.get(name, ABSENT)


def _at(value: Any, path: Path) -> Any:
    for part in path:
        try:
            value = value[part]
        except (LookupError, TypeError):
            return ABSENT
    return value
