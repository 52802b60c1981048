"""Saves on their way: captured from a live tree, queued as bodies, and sent in their place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from perdure import limits
from perdure.core.changes import Change, Move, pack_changes, unpack_changes
from perdure.core.head import Head, Mark
from perdure.core.paths import KeysLast, format_path
from perdure.core.record import Sealed
from perdure.engine.requests import Durability
from perdure.engine.save import Position

if TYPE_CHECKING:
    from perdure.engine.claims import Settling
from perdure.errors import Conflict, NotStorable
from perdure.types import Checkpoint, FoundSecret


class Edited(Protocol):
    """What a session needs of its live tree (`perdure.state.document.Document`)."""

    def capture(
        self, keep: Callable[[list[Change]], None], kept: Callable[[], bool]
    ) -> list[Change]:
        """Changes since the last capture; forgotten only when `keep` has taken them.

        `kept` says whether it has, however it ended: it may have been interrupted.
        """

    def pending(self) -> list[Change]:
        """Changes since the last capture, as plain values; nothing is forgotten."""

    def check_lists(self) -> None:
        """Raise `UntrackedEdit` if a list's length is not what its methods left."""

    def touched(self) -> set[str]:
        """Sections with edits not yet captured."""

    def apply(
        self, changes: Sequence[Change], *, order: Sequence[str], last: Sequence[KeysLast] = ()
    ) -> list[Change]:
        """Take in someone else's changes; those to sections that are not loaded come back.

        `order` is that of all sections, as replay gives it; `last` that of keys below them.
        """

    def gather(self) -> None:
        """Let what was edited elsewhere, in a view of it, be edited here too."""

    def show(self) -> None:
        """Let a view of it show what was taken in; what was edited there only is given up."""

    def windows(self) -> dict[str, tuple[int, int]]:
        """Of each window, by name of the section: items before it, and items in it."""

    def replace(self, sections: dict[str, Any]) -> None:
        """Give up these sections' edits for other content."""

    def read_reserved(self, name: str) -> Any:
        """A plain copy of a section of the library; None if there is none."""

    def restore(self, sections: dict[str, Any]) -> None:
        """Give up all edits for the content of all sections, whatever an interrupt left."""


class Body(msgspec.Struct, eq=False):
    """One save as asked for: captured, and on its way. Or edits that are only held."""

    changes: bytes
    """A packed array of wire changes."""
    sections: frozenset[str]
    moves: tuple[Move, ...]
    extra: dict[str, Any]
    durability: Durability = "power"
    settles: tuple[Settling, ...] = ()
    """Outcomes of claims that become known with it."""
    is_held: bool = False
    """Whether no save asked for it: edits that had to be merged, and wait for one that does."""
    masked: tuple[FoundSecret, ...] = ()
    """Secrets in it that were masked."""
    saved: Checkpoint | None = None
    """The checkpoint it became part of, once it is durable."""


class Sent(msgspec.Struct, frozen=True):
    """Bodies in their place: what is sent again, as it is, until its fate is known."""

    bodies: tuple[Body, ...]
    sealed: Sealed
    base: Position
    mark: Mark
    token: bytes
    """Of the head that the first try makes."""
    leasing: Callable[[Head], Head]
    """What it does to the lease of its branch."""

    @property
    def extra(self) -> dict[str, Any]:
        """What the record says besides its changes: only a first body has any."""
        return self.bodies[0].extra

    @property
    def settles(self) -> tuple[Settling, ...]:
        """The outcomes of claims that become known with it."""
        if len(self.bodies) == 1:
            return self.bodies[0].settles
        return tuple([each for body in self.bodies for each in body.settles])

    @property
    def masked(self) -> tuple[FoundSecret, ...]:
        """Secrets in its bodies that were masked."""
        if len(self.bodies) == 1:
            return self.bodies[0].masked
        return tuple([each for body in self.bodies for each in body.masked])

    @property
    def sections(self) -> frozenset[str]:
        """The sections that its bodies change."""
        if len(self.bodies) == 1:
            return self.bodies[0].sections
        return frozenset().union(*(body.sections for body in self.bodies))


class Overtaken(Conflict):
    """Others saved first, and the session merges: what happens inside until it has.

    `head` is the one that is there now.
    """

    def __init__(self, head: Head | None) -> None:
        super().__init__("others saved first; what this session has not saved is to be merged")
        self.head = head


def joined(bodies: Sequence[Body]) -> bytes:
    """The changes of several bodies as one packed array."""
    if len(bodies) == 1:
        return bodies[0].changes
    return pack_changes([change for body in bodies for change in unpack_changes(body.changes)])


def too_much(size: int, changes: Sequence[Change]) -> NotStorable:
    """What is told of changes that no one save can write; names where the most of it is."""
    sizes = [len(pack_changes([change])) for change in changes]
    most = max(sizes)
    path = changes[sizes.index(most)].path
    return NotStorable(
        f"one save would write {size:,} bytes, {most:,} of them at {format_path(path)}; at most "
        f"{limits.save_bytes_max:,} fit in one. Nothing was saved or lost: save more often, or "
        "keep large values in parts",
        path=path,
    )
