"""The live tree of one session: what is loaded of it, and what others changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from perdure.core.changes import Change, Delete, sections_of
from perdure.core.paths import KeysLast
from perdure.core.windows import Window
from perdure.state.capture import Capturing
from perdure.state.cells import wrap_tuple
from perdure.state.mapping import wrap_dict, wrap_dicts
from perdure.state.marks import ABSENT, Mark
from perdure.state.members import wrap_set
from perdure.state.node import Node, plain, replaced
from perdure.state.place import BULK_WRAPPERS, WRAPPERS, Place, place_of
from perdure.state.receive import put_last, receive
from perdure.state.root import wrap_root
from perdure.state.sections import State
from perdure.state.sequence import TrackedList, wrap_list
from perdure.state.shadow import Shadow
from perdure.state.unloaded import Loader, Unloaded, is_whole, refuse, sort_out, wrap_unloaded
from perdure.state.windows import wrap_window

if TYPE_CHECKING:
    from perdure.state.evolved import EvolvedDocument

WRAPPERS.update({dict: wrap_dict, list: wrap_list, set: wrap_set, tuple: wrap_tuple})
BULK_WRAPPERS[dict] = wrap_dicts
WRAPPERS.update({Unloaded: wrap_unloaded, Window: wrap_window})

MISSING = ABSENT
"""In `Document.replace`: there is no such section."""

UNLOADED: Any = Mark("UNLOADED")
"""In place of a section's value: there is one, and it is not loaded."""


class Document(Capturing):
    """The sections of one session, tracked.

    Args:
        sections: by name, in order: plain values, which the document takes over; UNLOADED for those
            that are not loaded; a `Window` of a list of which only the tail is.
        load: called with the name of a section that is not loaded when its value is asked for, to
            give it: a plain value, which the document takes over, or a `Window`. What it raises
            comes out where the section was touched; the section stays as it is, to be asked for
            again. Without one, touching such a section raises `SectionNotLoaded`.
        check_edits: compare what is loaded with the changes at every capture, to find edits that C
            code made behind the containers' backs. Costs time and memory in proportion to that.
        ephemeral: sections that are never written: their edits are no changes, and what others
            change under their names is not taken in.

    Example:
        >>> document = Document({"messages": []})
        >>> document.state["messages"].append("hi")
        >>> document.capture()
        [Splice(path=('messages',), start=0, removed=0, items=['hi'])]
        >>> document.capture()
        []
        >>> document = Document({"plan": UNLOADED}, load=lambda name: {"goal": "refund"})
        >>> document.loaded()
        set()
        >>> document.state["plan"]
        {'goal': 'refund'}
    """

    __slots__ = ("_ask", "_released", "_view", "state")

    def __init__(
        self,
        sections: dict[str, Any],
        *,
        load: Loader | None = None,
        check_edits: bool = False,
        ephemeral: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(wrap_root(sections), ephemeral)
        self._ask: Loader = refuse if load is None else load
        self._view: EvolvedDocument | None = None
        """What is edited instead of this, if anything is."""
        self._released: list[Place] = []
        """What somebody else's changes took out, until edits of it are refused."""
        for name, value in sections.items():
            if value is UNLOADED or type(value) is Window:
                self._hold(name, value)
        if check_edits:
            self._shadow = Shadow(self._root, ephemeral)
        self.state = State(self._root)

    @property
    def checks_edits(self) -> bool:
        """Whether edits behind the containers' backs are looked for at every capture."""
        return self._shadow is not None

    # ---- what is loaded ---------------------------------------------------------------------

    def loaded(self) -> set[str]:
        """The names of the sections that are loaded, windows among them."""
        return set(self._root) - self._root.unloaded()

    def is_loaded(self, name: str) -> bool:
        """Whether there is such a section and it is loaded."""
        return name in self._root and type(dict.get(self._root, name)) is not Unloaded

    def unloaded(self) -> set[str]:
        """The names of the sections that are not loaded."""
        return self._root.unloaded()

    def windows(self) -> dict[str, tuple[int, int]]:
        """Of each window, by name of the section: items before it, and items in it."""
        return {
            name: (value._offset, len(value))
            for name, value in dict.items(self._root)
            if isinstance(value, TrackedList) and value._offset
        }

    def widen(self, name: str, items: list[Any]) -> None:
        """Put into a window what comes before it in its list, all of it or the last of it.

        The window stays the same live object, and its edits stay where they are.

        Args:
            name: of the section.
            items: plain values, which the document takes over.
        """
        self._settle()
        window = dict.get(self._root, name)
        assert isinstance(window, TrackedList)
        with self._tracker.block():
            self._tracker.keep_before(window)
            window._widen(items)
        if self._shadow is not None:
            self._shadow.widen(name, items)

    def track(self) -> None:
        """Track at once all that is loaded, which else waits until it is touched."""
        for name, value in list(dict.items(self._root)):
            if type(value) is not Unloaded:
                self._root._hand_out(name, value)

    def put(self, name: str, value: Any) -> None:
        """Give a section that is not loaded its value, as the loader would.

        Does nothing if it is loaded by now, was assigned or is gone: what happened meanwhile here
        is newer.

        Args:
            name: of the section.
            value: a plain value, which the document takes over, or a `Window`; with the changes in
                it that `apply` returned.
        """
        held = dict.get(self._root, name)
        if type(held) is Unloaded:
            held.load = lambda _: self._told(name, value)
            self._root._hand_out(name, held)

    def _take_in(self, name: str) -> Any:
        """Ask the loader."""
        return self._told(name, self._ask(name))

    def _told(self, name: str, value: Any) -> Any:
        """The section's value; from now on its edits are checked, if any are."""
        if self._shadow is not None:
            self._shadow.replace(name, value)
        return value

    def _hold(self, name: str, value: Any) -> None:
        """Hold what the document is given for a section."""
        if value is UNLOADED:
            value = Unloaded(self._take_in)
        dict.__setitem__(self._root, name, value)
        if type(value) is Window:
            self._root._hand_out(name, value)

    # ---- what changed elsewhere -------------------------------------------------------------

    def apply(
        self,
        changes: Iterable[Change],
        *,
        order: Iterable[str] | None = None,
        last: Sequence[KeysLast] = (),
    ) -> list[Change]:
        """Make somebody else's changes, in place and leaving no marks; all or none.

        Live nodes follow their items; those that are replaced or removed refuse edits from now on.
        A window stays the tail of its list. A section that is set or deleted whole is so at once,
        also one that is not loaded; other changes to one that is not loaded are left to its loader.

        Args:
            changes: to sections that have no uncaptured edits; they are not kept.
            order: the names of all sections as replay orders them: those that are stored, with
                these changes, and then what was captured here and is not saved yet. Needed if
                anything is; else the order follows from the changes.
            last: of mappings below sections, as they are then: which of their keys go last.

        Raises:
            ReplayMismatch: a change does not fit what is here.
            ValueError: one of the sections has uncaptured edits.
            SaveInsideAtomic: a block is open.

        Returns:
            The changes that were not made: what the loader gives later must have them in it.
        """
        self._settle()
        self._outside_blocks()
        changes = [each for each in changes if each.path[0] not in self._ephemeral]
        last = [each for each in last if each[0][0] not in self._ephemeral]
        both = sorted(sections_of(changes) & self.touched())
        if both:
            raise ValueError(f"sections with uncaptured edits: {', '.join(both)}")
        now, later = sort_out(changes, self._root.unloaded())
        self._receive(now, last)
        for change in now:
            if is_whole(change):
                self._order.note(str(change.path[0]), gone=isinstance(change, Delete))
        if order is not None:
            self._order.names = list(order)
        self._order.arrange(self._settle)
        if self._shadow is not None:
            self._shadow.apply(now)
            for name in {str(path[0]) for path, _ in last}:
                self._shadow.replace(name, dict.get(self._root, name, MISSING))
            self._shadow.settle(self._order.names)
        return later

    def _receive(self, changes: list[Change], last: Sequence[KeysLast]) -> None:
        """Make the changes, put keys last, and forget that it was done.

        Also in a closed document: its last edits may be on their way, and need company.
        """
        root, tracker = self._root, self._tracker
        marks = None if root._marks is None else root._marks.copy()
        dirty = root._kids is not None
        self._released = tracker.released = []
        try:
            with tracker.block(), tracker.open():
                for change in changes:
                    receive(root, change)
                for order in last:
                    put_last(root, order)
        finally:
            tracker.released = None
        self._refuse_released()
        for name in sections_of(changes):
            self._forget(name)
        root._marks = marks
        if not dirty:
            root._kids = None

    def _refuse_released(self) -> None:
        """Let no edit of what somebody else's changes took out pass any more."""
        for place in self._released:
            if place._parent is None:
                replaced(place)
        self._released = []

    def restore(self, sections: Mapping[str, Any]) -> None:
        """Take the content of all sections anew, whatever an interrupt left here; forget all edits.

        Args:
            sections: by name, in order: plain values, which the document takes over.
        """
        self._settle()
        root = self._root
        content = {name: sections.get(name, MISSING) for name in (*root, *sections)}
        self.replace(content)
        self._tracker.end_moves()
        self._refuse_released()
        root._marks = root._kids = None
        self._order.names = list(sections)
        self._order.arrange(self._settle)
        if self._shadow is not None:
            self._shadow = Shadow(root, self._ephemeral)

    def replace(self, sections: Mapping[str, Any]) -> None:
        """Take newer content for whole sections, and throw away what was edited in them here.

        A section that stays a dict, list or set stays the same live object; what was inside
        refuses edits from now on.

        Args:
            sections: by name: plain values, which the document takes over, windows, UNLOADED for
                one that is to be loaded when it is touched; MISSING removes one.

        Raises:
            SaveInsideAtomic: a block is open.
        """
        self._settle()
        self._outside_blocks()
        root = self._root
        for name, value in sections.items():
            if name in self._ephemeral:
                continue
            self._forget(name)
            if root._marks:
                root._marks.pop(name, None)
            self._exchange(name, value)
            self._order.note(name, gone=value is MISSING)
            if self._shadow is not None:
                self._shadow.replace(name, dict.get(root, name, MISSING))
        self._order.arrange(self._settle)

    def _exchange(self, name: str, value: Any) -> None:
        """Hold newer content for a section; the live object stays if it can."""
        old = dict.get(self._root, name, MISSING)
        content = value.items if type(value) is Window else value
        if isinstance(old, Node) and type(content) in type(old).__mro__:
            old._load(content)
            if type(value) is Window:
                old._offset = value.offset
            return
        replaced(old)
        if value is MISSING:
            dict.pop(self._root, name, None)
        else:
            self._hold(name, value)

    def _forget(self, name: str) -> None:
        """Clear the marks inside a section."""
        place = place_of(dict.get(self._root, name))
        if place is not None:
            place._clean()
            if self._root._kids:
                self._root._kids.pop(id(place), None)

    # ---- atomic blocks ----------------------------------------------------------------------

    def block(self) -> AbstractContextManager[None]:
        """An atomic block to enter: kept at its end, undone if an exception comes out of it."""
        self._settle()
        return self._tracker.block()

    def begin(self, name: object | None = None) -> None:
        """Open an atomic block; blocks nest."""
        self._settle()
        self._tracker.begin(name)

    def keep(self, name: object | None = None) -> None:
        """Close a block, the innermost by default; its edits stand."""
        self._tracker.keep(name)

    def undo(self, name: object | None = None) -> None:
        """Close a block, the innermost by default, and undo its edits.

        Live nodes are what they were before. An interrupt puts off the rest, to whatever is done
        next. A block that is not open any more is none to undo.
        """
        self._tracker.undo(name)

    def is_within_block(self) -> bool:
        """Whether the running code is inside an open block, or was started there."""
        return self._tracker.is_within()

    # ---- views ------------------------------------------------------------------------------

    def touched(self) -> set[str]:
        """Sections with edits not yet captured, here or in a view of this."""
        names = super().touched()
        return names if self._view is None else names | self._view.sources_touched()

    def gather(self) -> None:
        """Make the edits of a view here, while it is in step: before others' changes are made."""
        if self._view is not None:
            self._view.push()

    def show(self) -> None:
        """Bring a view in step with what was taken in here; what it alone has is given up."""
        if self._view is not None:
            self._view.pull()

    # ---- the whole --------------------------------------------------------------------------

    def push(self, *, ending: bool = False) -> None:
        """Make the edits of a view in what it is a view of; this is no view."""

    def pull(self) -> None:
        """Bring a view up to date with what it is a view of; this is no view."""

    @property
    def stored(self) -> Document:
        """The document that saves work on: of what is no view, itself."""
        return self

    def sources_of(self, name: str) -> frozenset[str]:
        """What of the stored sections a section is made of: of what is no view, itself."""
        return frozenset((name,))

    def seen(self, name: str) -> Any:
        """The value of a section of a view; this is no view."""
        return self.state[name]

    def read_reserved(self, name: str) -> Any:
        """A plain copy of a section of the library; None if there is none."""
        return plain(self._root[name]) if name in self._root else None

    def write_reserved(self, name: str, value: Any) -> None:
        """Assign a section of the library, which users cannot; also as the session ends."""
        with self._tracker.block(), self._tracker.open():
            self._root[name] = value

    def plain(self) -> dict[str, Any]:
        """A deep copy of all sections that shares nothing with them; loads those that are not."""
        copy: dict[str, Any] = self._root.plain()
        return copy

    def close(self) -> None:
        """Refuse every later edit; reading still works, and loads if the loader still does."""
        self._tracker.closed = True
        self._tracker.guard()

    def reopen(self) -> None:
        """Let edits pass again: the end did not come about."""
        self._tracker.closed = False
        self._tracker.guard()
