"""The view that old code has of a newer state: a live tree of its own, kept in step with another.

    source   what is stored, in the newer layout: what saves, refreshes and merges work on
    view     what the session's user sees, in the older layout: the lenses, run backwards

`push` makes the edits of the view in the source, before anything is captured there and before
others' work comes into it; `pull` brings the view up to date after that, in the same step, so that
no edit is ever made to a view that is not in step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from perdure.core.changes import Change, sections_of
from perdure.core.diff import to_changes
from perdure.core.lens import KEPT, Lenses
from perdure.core.lens_changes import translate
from perdure.core.lens_reach import Reach, around, reach
from perdure.core.lens_run import get
from perdure.errors import MigrationFailed, PerdureError
from perdure.state.document import MISSING, UNLOADED, Document
from perdure.state.node import plain
from perdure.state.receive import receive
from perdure.state.unloaded import Unloaded, is_whole

Locks = Mapping[str, Callable[[], PerdureError]]
"""By name of a section that is not understood: what an edit of it raises."""


def eager(lenses: Lenses, names: Iterable[str]) -> set[str]:
    """Those of the source's sections without whose values the names of the view are not known."""
    reached = reach(lenses)
    found: set[str] = set()
    for name in reached.newer.intersection(names):
        older = reached.older_of(name)
        is_one = len(older) == 1 and reached.newer_of(*older) == {name}
        if not is_one or KEPT in around(name, lenses)[0]:
            found |= around(name, lenses)[0].intersection(names)
    return found


class EvolvedDocument(Document):
    """A view of a document in an older layout.

    Args:
        source: the document in the newer layout; nobody else edits it.
        lenses: what led from the older layout to the newer.
        locks: sections, of the older layout, that are shown as well as can be, and not edited.
        lazy: whether sections are loaded when they are touched.
        ephemeral: sections that are never written.
    """

    __slots__ = ("_groups", "_lenses", "_locks", "_reach", "_source")

    def __init__(
        self,
        source: Document,
        lenses: Lenses,
        locks: Locks,
        *,
        lazy: bool,
        ephemeral: frozenset[str] = frozenset(),
    ) -> None:
        self._source = source
        self._lenses = lenses
        self._reach: Reach = reach(lenses)
        self._locks = locks
        self._groups: dict[str, tuple[frozenset[str], Lenses]] = {}
        load = self.seen if lazy else None
        content = {name: each for name, each in self._content().items() if name not in ephemeral}
        checks = source.checks_edits
        super().__init__(content, load=load, check_edits=checks, ephemeral=ephemeral)
        self._tracker.locked = locks
        self._tracker.guard()
        source._view = self

    # ---- what is seen -----------------------------------------------------------------------

    @property
    def stored(self) -> Document:
        """The document that this is a view of."""
        return self._source

    def sources_of(self, name: str) -> frozenset[str]:
        """The sections of the source that one of the view hangs together with."""
        return self._group(name)[0] if self._is_reached(name) else frozenset((name,))

    def sources_touched(self) -> set[str]:
        """The sections of the source that edits of the view may change, once made there."""
        return {each for name in self.touched() for each in self.sources_of(name)}

    def _is_reached(self, name: str) -> bool:
        return name in self._reach.older or name in self._reach.newer

    def _group(self, name: str) -> tuple[frozenset[str], Lenses]:
        if name not in self._groups:
            self._groups[name] = around(name, self._lenses)
        return self._groups[name]

    def _content(self) -> dict[str, Any]:
        """What the view holds; UNLOADED where what a section is made of is not loaded."""
        content: dict[str, Any] = {}
        seen: set[frozenset[str]] = set()
        for name in (*self.source_names(), *sorted(self._reach.older)):
            group = self.sources_of(name)
            if group in seen:
                continue
            if not self._is_reached(name):
                is_loaded = self._source.is_loaded(name)
                content[name] = plain(self._source.state[name]) if is_loaded else UNLOADED
                continue
            seen.add(group)
            if group & self._source.unloaded():
                content |= dict.fromkeys(sorted(group & self._reach.older), UNLOADED)
            else:
                content |= self._got(name)
        return content

    def source_names(self) -> list[str]:
        """The sections of the source, in order."""
        return list(self._source.state)

    def _got(self, name: str) -> dict[str, Any]:
        """The sections of the view that hang together with a name."""
        names, lenses = self._group(name)
        held = {each: plain(self._source._root[each]) for each in names & set(self.source_names())}
        try:
            return get(held, lenses)
        except MigrationFailed:
            if all(each in self._locks for each in held):
                return held  # as well as can be: it is not to be edited
            raise

    def seen(self, name: str) -> Any:
        """The value of one section of the view; loads what it is made of, if the source does."""
        return self._got(name)[name] if self._is_reached(name) else plain(self._source.state[name])

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
        source, touched = self._source, sections_of(changes)
        for name in touched:
            if name in self._locks:
                raise self._locks[name]()
        reached = {
            each for name in touched if self._is_reached(name) for each in self._group(name)[0]
        }
        held = {name: source._root[name] for name in self.source_names() if name in reached}
        # Also as the session ends, when what is stored takes no other edit any more.
        with source.block(), source._tracker.open():
            for change in translate(changes, held, self._lenses):
                if not is_whole(change):
                    source.state[str(change.path[0])]  # loads it
                receive(source._root, change)

    def pull(self) -> None:
        """Show what the source now holds, and give up what was edited here."""
        mine, fresh = self.touched(), self._content()
        for name in self.unloaded() - mine:
            if name in fresh:
                fresh[name] = UNLOADED
        whole = {name: fresh.get(name, MISSING) for name in mine}
        news = fresh.keys() - self._root.keys()
        whole |= {name: UNLOADED for name in news if fresh[name] is UNLOADED}
        self.replace(whole)
        loaded = {name: value for name, value in fresh.items() if value is not UNLOADED}
        before = {
            name: plain(value)
            for name, value in dict.items(self._root)
            if name not in whole and type(value) is not Unloaded
        }
        after = {name: value for name, value in loaded.items() if name not in whole}
        self.apply(to_changes(before, after), order=list(fresh))

    def pending(self) -> list[Change]:
        """What the next save would write of this session's edits, in the newer layout."""
        if not self.is_within_block():
            self.push()
        return self._source.pending()

    def has_edits(self) -> bool:
        """Whether anything is to be saved."""
        return super().has_edits() or self._source.has_edits()

    def close(self) -> None:
        """Refuse every later edit."""
        super().close()
        self._source.close()

    def reopen(self) -> None:
        """Let edits pass again."""
        super().reopen()
        self._source.reopen()
