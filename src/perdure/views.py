"""`View`: a state as it was at one checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from perdure.state.node import plain
from perdure.state.past import of_the_past

if TYPE_CHECKING:
    from perdure.types import Checkpoint


class View(Mapping[str, Any]):
    """A state as it was at one checkpoint: a read-only mapping of its sections.

    Its lists, dicts and sets are real ones, as those of a session are, and refuse edits all the
    way down.

    Raises:
        Detached: by every edit; `plain()`, of the view or of anything in it, gives a copy to edit.

    Example:
        >>> store.at("support/alice", 17)["plan"]
        ['find the order', 'refund it']
    """

    def __init__(self, sections: dict[str, Any], checkpoint: Checkpoint) -> None:
        self._sections = of_the_past(sections)
        self.checkpoint = checkpoint

    def __getitem__(self, section: str) -> Any:
        """One section."""
        return self._sections[section]

    def __iter__(self) -> Iterator[str]:
        """Names of the sections, in order."""
        return iter(self._sections)

    def __len__(self) -> int:
        """Number of sections."""
        return len(self._sections)

    def __repr__(self) -> str:
        return f"<View of {self.checkpoint.key!r} at {self.checkpoint.number}: {list(self)}>"

    def plain(self) -> dict[str, Any]:
        """All sections, as a deep copy."""
        copy: dict[str, Any] = plain(self._sections)
        return copy
