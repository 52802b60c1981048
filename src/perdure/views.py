"""`View`: a state as it was at one checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic

from perdure.engine.window import length
from perdure.errors import SectionNotLoaded
from perdure.state.document import UNLOADED
from perdure.state.past import of_the_past
from perdure.state.sections import MissingSection, State
from perdure.state.variable import T_co

if TYPE_CHECKING:
    from perdure.engine.unread import Unread
    from perdure.state.unloaded import Loader
    from perdure.types import Checkpoint


class View(Mapping[str, Any], Generic[T_co]):
    """A state as it was at one checkpoint: a read-only mapping of its sections.

    Its lists, dicts and sets are real ones, as those of a session are, and refuse edits all the
    way down. A section that is not read yet is read when its value is asked for, while the store is
    open; under asyncio, only those that were asked for are there.

    Raises:
        Detached: by every edit; `plain()`, of the view or of anything in it, gives a copy to edit.
        SectionNotLoaded: by asking for a section that was not read, under asyncio.

    Example:
        >>> store.at("support/alice", 17)["plan"]
        ['find the order', 'refund it']
    """

    def __init__(
        self,
        sections: dict[str, Any],
        checkpoint: Checkpoint,
        unread: Mapping[str, Unread],
        read: Loader | None,
        schema: type[Any] | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self._schema = schema
        self._unread = unread
        shown = {name: UNLOADED if name in unread else value for name, value in sections.items()}
        self._sections = of_the_past(shown, read or _refuse)

    @property
    def state(self) -> T_co:
        """The sections as the schema that was asked for has them; without one, a plain mapping."""
        state: Any = State(self._sections)
        if self._schema is not None:
            from perdure.state.typed import typed_state

            state = typed_state(self._schema, state)
        typed: T_co = state
        return typed

    def __getitem__(self, section: str) -> Any:
        """One section."""
        if section not in self._sections:
            raise MissingSection(section, self._sections)
        return self._sections[section]

    def __contains__(self, section: object) -> bool:
        """Whether there is such a section; reads none."""
        return section in self._sections

    def __iter__(self) -> Iterator[str]:
        """Names of the sections, in order."""
        return iter(self._sections)

    def __len__(self) -> int:
        """Number of sections."""
        return len(self._sections)

    def __repr__(self) -> str:
        return f"<View of {self.checkpoint.key!r} at {self.checkpoint.number}: {list(self)}>"

    def length(self, section: str) -> int:
        """How much a section holds: items of a list, keys of a dict, characters of a text.

        A section that is not read stays so, unless only its content tells; of a window, the whole
        list counts.

        Raises:
            KeyError: there is no such section.
            TypeError: it has no length.
            SectionNotLoaded: only its content tells, under asyncio.
        """
        if section in self._sections.unloaded():
            known = length(self._unread[section])
            if known is not None:
                return known
        value = self[section]
        return len(value) + getattr(value, "offset", 0)

    def plain(self) -> dict[str, Any]:
        """All sections, as a deep copy; of a window, the items in it."""
        copy: dict[str, Any] = self._sections.plain()
        return copy


def _refuse(name: str) -> Any:
    raise SectionNotLoaded(
        f"section {name!r} was not read, and here nothing is read by being touched: name it in "
        "store.at(…, sections=[…])"
    )
