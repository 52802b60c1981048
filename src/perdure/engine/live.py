"""What of a state is live in a session, and what is not: as of the checkpoint that it is at.

Sections that are not loaded, and what comes before windows, are elsewhere; edits that are captured
wait in the queue. Others' changes are made in all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from perdure.core.changes import Change
from perdure.core.paths import KeysLast
from perdure.core.record import SUMMARY
from perdure.core.windows import into_window
from perdure.engine.bodies import Edited
from perdure.engine.load import Loaded, read_section
from perdure.engine.queue import Queue
from perdure.engine.read import Site
from perdure.engine.requests import Steps
from perdure.engine.save import Position
from perdure.engine.unread import Unread
from perdure.engine.view import checkpoint_of
from perdure.engine.window import Elsewhere, part, take_before
from perdure.types import Checkpoint

if TYPE_CHECKING:
    from perdure.engine.refresh import Instead


class Live:
    """The live tree of a session, and what is not in it."""

    def __init__(
        self,
        site: Site,
        document: Edited,
        loaded: Loaded | None,
        branch: str,
        elsewhere: Elsewhere,
        missing: object,
    ) -> None:
        self.site = site
        self.document = document
        self.branch = branch
        self.position = Position(loaded.head, loaded.head.token) if loaded else None
        self.summary = loaded.head.summary if loaded and not loaded.head.deleted_us else None
        self.checkpoint: Checkpoint | None = None
        if loaded is not None and loaded.last is not None:
            self.checkpoint = checkpoint_of(site.key, self.branch, loaded.last)
        self._saved_summary = self.summary
        self.queue = Queue()
        self.took_in: list[Any] | None = None
        """Line, number and id of the newest record on top of which this session put its work."""
        self._missing = missing
        self.elsewhere = elsewhere
        """What is not in the live tree, as of the checkpoint that this session is at."""
        self.torn: Sequence[Change] | None = None
        """While a refresh changes what is live: the unsaved changes that it was to keep.

        An interrupt leaves it so. Then nothing is saved until a refresh has read all of it anew.
        """
        self.names = list(loaded.sections) if loaded else []
        """The sections as of what this session has read and saved, in order."""

    @property
    def is_new(self) -> bool:
        """Whether nothing of this life of the state has been saved yet."""
        return self.position is None or self.position.head.deleted_us is not None

    @property
    def is_summary_unsaved(self) -> bool:
        """Whether the summary was set since it was last captured."""
        return self.summary != self._saved_summary

    def waiting(self) -> list[Change]:
        """Captured changes that are not saved yet, in order."""
        return self.queue.changes()

    def take(
        self, changes: Sequence[Change], order: Sequence[str], last: Sequence[KeysLast] = ()
    ) -> None:
        """Make others' changes in the live tree, and in what is not there."""
        offsets = {name: before for name, (before, _) in self.document.windows().items()}
        for change in self.document.apply(changes, order=order, last=last):
            kept = self.elsewhere[str(change.path[0])]
            assert isinstance(kept, Unread)
            kept.news.append(change)
        for change in changes:
            name = str(change.path[0])
            if offsets.get(name):
                take_before(self.elsewhere, name, change, offsets[name])
                _, offsets[name] = into_window(change, offsets[name])

    def touched(self) -> set[str]:
        """Sections with changes that are not saved yet, captured or not."""
        return self.document.touched() | self.queue.sections()

    def read(self, name: str) -> Steps[Any]:
        """The value of a section that is not loaded, as of the checkpoint that this session is at.

        Raises:
            Damaged: it cannot be read.
        """
        assert self.position is not None
        head, kept = self.position.head, self.elsewhere[name]
        assert isinstance(kept, Unread)
        unread = {name: kept}
        value = yield from read_section(self.site, head, self.branch, name, unread)
        self.elsewhere[name] = unread[name]
        return value

    def part(self, name: str, start: int, stop: int) -> Steps[list[Any]]:
        """Items of a list that are not in the live tree, as `read` would give them."""
        assert self.position is not None
        head = self.position.head
        return (yield from part(self.site, head, self.branch, name, self.elsewhere, start, stop))

    def give_up(self, instead: Instead) -> None:
        """Put what is stored in the place of what was edited and is not saved."""
        mine = self.touched()
        self.queue.clear()
        self.took_in = None
        self.document.replace({name: instead.sections.get(name, self._missing) for name in mine})
        self.elsewhere.update(instead.elsewhere)

    def restore(self, sections: dict[str, Any]) -> None:
        """Put `sections`, the whole state, in the place of what an interrupted refresh left."""
        self.queue.clear()
        self.took_in = None
        self.document.restore(sections)
        self.names = list(sections)

    def adopt_summary(self, summary: str | None) -> None:
        """Take the summary that is stored, in the place of one that is not saved."""
        self.summary = self._saved_summary = summary

    def meet_summary(self, stored: str | None) -> None:
        """Take the summary that is stored, unless this session has another one to save."""
        if any(SUMMARY in body.extra for body in self.queue):
            return
        if self.summary == self._saved_summary:
            self.summary = stored
        self._saved_summary = stored
