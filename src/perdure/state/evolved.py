"""The view that old code has of a newer state: a live tree of its own, kept in step with another.

    source   what is stored, in the newer layout: what saves, refreshes and merges work on
    view     what the session's user sees, in the older layout: the lenses, run backwards

`push` makes the edits of the view in the source, before anything is captured there; `pull` brings
the view up to date, after others' work came into the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from perdure.core.changes import Change, sections_of
from perdure.core.diff import to_changes
from perdure.core.lens import Lens
from perdure.core.lens_changes import translate
from perdure.core.lens_reach import Reach, reach
from perdure.core.lens_run import get
from perdure.errors import MigrationFailed, PerdureError
from perdure.state.document import MISSING, UNLOADED, Document
from perdure.state.node import plain
from perdure.state.receive import receive
from perdure.state.unloaded import Unloaded

Locks = Mapping[str, Callable[[], PerdureError]]
"""By name of a section that is not understood: what an edit of it raises."""


class EvolvedDocument(Document):
    """A view of a document in an older layout.

    Args:
        source: the document in the newer layout; nobody else edits it.
        lenses: what led from the older layout to the newer.
        locks: sections, of the older layout, that are shown as well as can be, and not edited.
        lazy: whether sections are loaded when they are touched.
        check_edits: as of any document.
    """

    __slots__ = ("_lenses", "_locks", "_reach", "source")

    def __init__(
        self,
        source: Document,
        lenses: tuple[Lens, ...],
        locks: Locks,
        *,
        lazy: bool,
        check_edits: bool = False,
    ) -> None:
        self.source = source
        self._lenses = lenses
        self._reach: Reach = reach(lenses)
        self._locks = locks
        load = self.seen if lazy else None
        super().__init__(self._seen(), load=load, check_edits=check_edits)
        self._tracker.lock(locks)

    # ---- what is seen -----------------------------------------------------------------------

    def sources_of(self, name: str) -> frozenset[str]:
        """The sections of the source that one of the view is made of, or goes with."""
        if name not in self._reach.older:
            return frozenset((name,))
        older, newer = {name}, set(self._reach.newer_of(name))
        while True:
            wider = {each for one in newer for each in self._reach.older_of(one)}
            if wider <= older:
                return frozenset(newer)
            older |= wider
            newer |= {each for one in wider for each in self._reach.newer_of(one)}

    def _names(self) -> dict[str, bool]:
        """The view's sections as far as their names tell, in order; whether lenses reach them."""
        names: dict[str, bool] = {}
        for name in self.source.state:
            if name in self._reach.newer:
                names |= dict.fromkeys(sorted(self._reach.older_of(name)), True)
            else:
                names[name] = False
        return names

    def _seen(self) -> dict[str, Any]:
        """The content of the view; UNLOADED where what a section is made of is not loaded."""
        there = set(self.source.state)
        content: dict[str, Any] = {}
        groups: dict[frozenset[str], dict[str, Any]] = {}
        for name, is_reached in self._names().items():
            group = self.sources_of(name) & there
            if not all(map(self.source.is_loaded, group)):
                content[name] = UNLOADED
            elif not is_reached:
                content[name] = plain(self.source.state[name])
            else:
                if group not in groups:
                    groups[group] = self._got(group)
                if name in groups[group]:
                    content[name] = groups[group][name]
        for name, value in self._alone().items():
            content.setdefault(name, value)
        return content

    def _alone(self) -> dict[str, Any]:
        """What the view has whatever is in the source, such as the default of what was removed."""
        return get({}, self._lenses)

    def _got(self, group: Iterable[str]) -> dict[str, Any]:
        """The sections of the view that some of the source make."""
        held = {name: plain(self.source.state[name]) for name in group}
        try:
            return get(held, self._lenses)
        except MigrationFailed:
            if self._locks:
                return held  # as well as can be: it is not to be edited
            raise

    def seen(self, name: str) -> Any:
        """The value of one section of the view; loads what it is made of, if the source does."""
        group = self.sources_of(name).intersection(self.source.state)
        if name not in self._reach.older:
            return plain(self.source.state[name])
        return self._got(group)[name]

    # ---- in step ----------------------------------------------------------------------------

    def push(self, *, ending: bool = False) -> None:
        """Make the edits of the view in the source, as edits that are to be saved."""
        if ending:
            Document.check_lists(self)
        made = False

        def keep(changes: list[Change]) -> None:
            nonlocal made
            self._make(changes)
            made = True

        self.capture(keep, lambda: made)

    def _make(self, changes: list[Change]) -> None:
        """Make changes of the view in the source; all or none."""
        source, there = self.source, set(self.source.state)
        for name in sections_of(changes) & self._locks.keys():
            raise self._locks[name]()
        needed = {
            each
            for name in sections_of(changes)
            if name in self._reach.older
            for each in self.sources_of(name)
        }
        held = {name: source.state[name] for name in needed & there}
        # Also as the session ends, when what is stored takes no other edit any more.
        with source.block(), source._tracker.open():
            for change in translate(changes, held, self._lenses):
                if len(change.path) > 1:
                    source.state[str(change.path[0])]  # loads it
                receive(source._root, change)

    def pull(self) -> None:
        """Show what the source now holds, and give up what was edited here."""
        if not self._tracker.closed:
            mine = self.touched()
            now = self._seen()
            fresh = {
                name: UNLOADED if name in self.unloaded() and name not in mine else value
                for name, value in now.items()
            }
            self._follow(fresh, mine)

    def _follow(self, fresh: dict[str, Any], mine: set[str]) -> None:
        """Become what is given; sections with edits as wholes, others by what differs."""
        with self._tracker.unlocked():
            whole = {name: fresh.get(name, MISSING) for name in mine}
            for name, value in fresh.items():
                if value is UNLOADED and name not in self._root:
                    whole[name] = value
            self.replace(whole)
            before = {
                name: plain(value)
                for name, value in dict.items(self._root)
                if name not in whole and type(value) is not Unloaded
            }
            after = {
                name: value
                for name, value in fresh.items()
                if name not in whole and value is not UNLOADED
            }
            self.apply(to_changes(before, after), order=list(fresh))

    def pending(self) -> list[Change]:
        """What the next save would write of this session's edits, in the newer layout."""
        if not self.is_within_block():
            self.push()
        return self.source.pending()

    def has_edits(self) -> bool:
        """Whether anything is to be saved."""
        return super().has_edits() or self.source.has_edits()

    def close(self) -> None:
        """Refuse every later edit."""
        super().close()
        self.source.close()

    def reopen(self) -> None:
        """Let edits pass again."""
        super().reopen()
        self.source.reopen()
