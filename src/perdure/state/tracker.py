"""What all nodes of one document share: whether they may be edited, and how to undo.

`Tracker.guarded` is the one attribute that every edit tests. It is False while nothing special is
going on; else `before_edit` decides: the document is closed, is being captured by another thread,
has a capture to end that was interrupted, or has an atomic block open. A block keeps a shallow copy
of each place from before its first edit inside the block (of a list that only grows, its length),
so that undoing restores content and marks exactly, on the same live objects:

    begin()                       blocks == [{}]
    messages.append(…)            blocks == [{id(messages): Saved(…)}]
    undo()                        blocks == [], and messages is as it was

A block belongs to the code inside it, and to the tasks and threads that were started there with its
context. An edit from anywhere else would be undone with the block though it is no part of it, so
it is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

from perdure import limits
from perdure.core.paths import Path, format_path
from perdure.errors import ConcurrentEdit, Detached, ParallelEdit

if TYPE_CHECKING:
    from perdure.state.door import Door
    from perdure.state.mapping import TrackedDict
    from perdure.state.place import Place
    from perdure.state.sequence import TrackedList


OURS = "perdure."
"""How the names of the library's own sections start."""

_within: ContextVar[frozenset[object]] = ContextVar("perdure.atomic", default=frozenset())
"""The blocks, of all documents, that the running code is inside of."""


class Saved:
    """A place as it was before a block's first edit of it."""

    __slots__ = (
        "at",
        "base",
        "content",
        "ghost",
        "kids",
        "length",
        "marks",
        "offset",
        "parent",
        "place",
        "size",
    )

    def __init__(self, place: Place) -> None:
        self.place = place
        self.parent = place._parent
        self.at = place._at
        self.offset = place._offset
        self.size = place._size
        self.base = place._base
        self.kids = None if place._kids is None else place._kids.copy()
        self.marks = None if place._marks is None else place._marks.copy()
        self.content: Any = None
        """Copy of its items, once one of them is about to change."""
        self.length: int | None = None
        """How many items it had, once a list is about to grow: as long as it does nothing else,
        undoing needs no copy of what may be a long list."""
        self.ghost: Callable[[], None] | None = None
        """Makes it a default that is not in its place, if it was one."""

    def keep(self, grows: bool) -> None:
        """Keep what it holds, before it changes; `grows` says that a list only gets longer."""
        if self.content is not None:
            return
        if not grows:
            self.content = self._begun_with(self.place._copy_content())
        elif self.length is None:
            self.length = list.__len__(self.place)  # type: ignore[arg-type]  # it is a list

    def keep_of(self, later: Saved) -> None:
        """Keep what a block inside this one kept of the same place."""
        if self.content is not None or later is self:
            return
        if later.content is not None:
            self.content = self._begun_with(later.content)
        elif self.length is None:
            self.length = later.length

    def _begun_with(self, content: Any) -> Any:
        """What of a later content was there before it grew."""
        return content if self.length is None else content[: self.length]

    def put_back(self, wrapped: dict[int, tuple[Any, Any]]) -> None:
        """Make the place what it was; `wrapped` is what was wrapped since."""
        place = self.place
        place._parent = self.parent
        place._at = self.at
        if place._kind == "list":
            place._offset, place._size, place._base = self.offset, self.size, self.base
        place._kids = self.kids
        place._marks = self.marks
        if self.content is None and self.length is not None:
            self.content = self._begun_with(place._copy_content())
        if self.content is not None:
            place._restore_content(self.content, wrapped)
        if self.ghost is not None:
            self.ghost()


class Block(dict[int, Saved]):
    """An open atomic block: places by id, as they were when it began."""

    __slots__ = ("ender", "is_kept", "name")

    def __init__(self, name: object) -> None:
        self.name = name
        """What `_within` knows it by."""
        self.is_kept = False
        """Whether its edits stand, however its end goes on."""
        self.ender = 0
        """The thread that ends it, once one does."""


class Tracker:
    """The bookkeeping of one document."""

    __slots__ = (
        *("blocks", "capturing", "closed", "door", "ending", "guarded", "lists", "lists_made"),
        *("locked", "moving", "parallel", "released", "root", "settle"),
        "wrapped",
    )

    def __init__(self) -> None:
        self.root: TrackedDict | None = None
        self.closed = False
        self.capturing = 0
        """The thread that is in the middle of a capture; 0 if none is."""
        self.guarded = False
        """Whether an edit has to ask `before_edit` first."""
        self.moving: dict[int, Place] = {}
        """Places, by id, on their way in or out, where an interrupt may have left them."""
        self.settle: Callable[[], None] | None = None
        """What has to be called before anything else, to end a capture that was interrupted."""
        self.door: Door | None = None
        """What every value that somebody inserts here has to pass; None in an untyped document."""
        self.locked: Mapping[str, Callable[[], Exception]] = {}
        """Sections that cannot be edited, with what makes the error; `guard` has to hear of it."""
        self.lists: dict[int, TrackedList] = {}
        """By id: lists handed out one by one, whose length a capture checks."""
        self.parallel = 0
        """How many steps of an agent run at once here; `guard` has to hear of it."""
        self.released: list[Place] | None = None
        """Places that lost their place, collected while somebody else's changes are applied."""
        self.lists_made = 0
        """How many lists ever came into the document; who has seen so many has seen them all."""
        self.blocks: list[Block] = []
        self.ending: Block | None = None
        """The block that is about to end; it may be that an interrupt put that off."""
        self.wrapped: dict[int, tuple[Any, Any]] = {}
        """By a plain container's id: it, and what took its place while a block was open."""

    def guard(self) -> None:
        """Bring `guarded` up to date."""
        is_under_way = self.settle is not None or self.ending is not None
        is_held = bool(self.capturing or self.blocks or self.locked or self.parallel > 1)
        self.guarded = self.closed or is_under_way or is_held

    def above(self) -> Path:
        """Where that is which has nothing above it."""
        return ()

    def before_edit(self, place: Place, grows: bool = False) -> None:
        """Let an edit of `place` pass, and keep what it will change, or refuse it.

        Args:
            place: what is about to be edited.
            grows: all that the edit does is to add items at the end of a list.
        """
        if self.ending is not None:
            self.end_block()
        if self.settle is not None:
            self.settle()
        if (self.closed or self.capturing) and place._top() is self.root:
            self._refuse(place)
        if self.locked and self.released is None and place is not self.root:
            self._pass_locks(place)
        if self.parallel > 1 and not self.blocks:
            self._refuse_parallel(place)
        self.keep_before(place, grows)

    def _refuse_parallel(self, place: Place) -> None:
        """Refuse an edit of which nobody could tell which step, and so which save, it goes with."""
        if place._top() is not self.root:
            return
        path = place._path()
        if path and str(path[0]).startswith(OURS):
            return  # the record of the steps themselves
        raise ParallelEdit(
            f"{format_path(path)} was edited while {self.parallel} steps run: it "
            "would be saved with whichever of them ends first. Edit it in the step's apply=, which "
            "is saved with its result, or in an atomic block"
        )

    def _pass_locks(self, place: Place) -> None:
        if place._top() is self.root:
            self.require_unlocked(str(place._path()[0]))

    def require_unlocked(self, section: str) -> None:
        """Refuse an edit of a section that is locked, with the error that its lock makes."""
        make = self.locked.get(section)
        if make is not None:
            raise make()

    def keep_before(self, place: Place, grows: bool = False) -> None:
        """Let an open block be able to undo what is about to be done to `place`."""
        if self.blocks:
            if self.blocks[-1].name not in _within.get():
                raise ConcurrentEdit(
                    f"{format_path(place._path())} was edited from outside an atomic block that "
                    "another task or thread has open: its undoing would take this edit back too. "
                    "Edit inside a block of your own: it waits for the end of the other"
                )
            self.save(place)
            self.blocks[-1][id(place)].keep(grows)

    def watch(self, node: TrackedList) -> None:
        """Have captures check the length of a list that is handed out; the oldest fall out."""
        lists = self.lists
        if id(node) not in lists:
            lists[id(node)] = node
            if len(lists) > limits.edit_check_lists_max:
                del lists[next(iter(lists))]

    def save(self, place: Place) -> None:
        """Keep parent, marks and dirty children of `place` for the innermost open block."""
        block = self.blocks[-1]
        if id(place) not in block:
            block[id(place)] = Saved(place)

    def save_new(self, place: Place | None) -> None:
        """Keep that `place` was nowhere before: undoing makes it free."""
        if place is not None:
            self.save(place)
            self.blocks[-1][id(place)].parent = None

    def end_moves(self) -> None:
        """Make free what an edit that was interrupted took out or did not put in."""
        for place in list(self.moving.values()):
            if place._parent is not None and place._parent._find(place) is None:
                place._leave()
        self.moving.clear()

    def _refuse(self, place: Place) -> NoReturn:
        where = format_path(place._path())
        if self.closed:
            raise Detached(
                f"{where} belongs to a session that has ended: this edit could not be saved. "
                "Open a session and take the container from its state"
            )
        raise ConcurrentEdit(
            f"{where} was edited while its session was being saved by another thread. "
            "Edit a session's containers from one thread at a time, the one that saves them"
        )

    @contextmanager
    def block(self) -> Iterator[None]:
        """An atomic block around what is done inside: kept, or undone if it fails.

        Raises:
            ConcurrentEdit: another task or thread has one open that this code is not inside of.
        """
        name = object()  # by which it is known whether an interrupt came before or after its end
        try:
            try:
                self.begin(name)
                yield
                self.keep(name)
            except BaseException:
                self.undo(name)
                raise
        except BaseException:  # again, for an interrupt in between: what is left to undo goes first
            self.undo(name)
            raise

    def begin(self, name: object | None = None) -> None:
        """Open a block, which `keep` and `undo` may be told by its name.

        Raises:
            ConcurrentEdit: another task or thread has one open that this code is not inside of.
        """
        within = _within.get()
        if self.blocks and self.blocks[-1].name not in within:
            raise ConcurrentEdit(
                "another task or thread has an atomic block of this session open; "
                "end it before another begins"
            )
        block = Block(object() if name is None else name)
        _within.set(within | {block.name})
        self.blocks.append(block)
        self.guard()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let edits of a closed document pass; inside a block, so that no others' do."""
        closed, self.closed = self.closed, False
        try:
            yield
        finally:
            self.closed = closed

    def is_within(self) -> bool:
        """Whether the running code is inside an open block."""
        return not _within.get().isdisjoint([block.name for block in self.blocks])

    def keep(self, name: object | None = None) -> None:
        """Close a block, the innermost by default; what it would undo, the one around it still can.

        Those that an interrupt left open inside it are undone. If it is not open, nothing is done.
        """
        while self._is_open(name):
            block = self.blocks[-1]
            block.is_kept = name is None or block.name is name
            self._end(block)
            if name is None:
                break

    def undo(self, name: object | None = None) -> None:
        """Close a block, the innermost by default, and put all back as it was when it began.

        If it is not open, nothing is done, and one whose edits were about to be kept keeps them.
        """
        while self._is_open(name):
            self._end(self.blocks[-1])
            if name is None:
                break

    def _is_open(self, name: object | None) -> bool:
        return any(name is None or block.name is name for block in self.blocks)

    def _end(self, block: Block) -> None:
        block.ender = threading.get_ident()
        self.ending = block
        self.end_block()

    def end_block(self) -> None:
        """Close the block that is ending; begun again after an interrupt, by the same thread."""
        block = self.ending
        if block is None or block.ender != threading.get_ident():
            return
        if self.blocks and self.blocks[-1] is block:
            if block.is_kept:
                self._hand_outwards(block)
            else:
                for saved in block.values():
                    saved.put_back(self.wrapped)
            _within.set(_within.get() - {block.name})
            self.blocks.pop()
        if not self.blocks:
            self.wrapped.clear()
        self.ending = None
        self.guard()

    def _hand_outwards(self, inner: Block) -> None:
        """Let the block around it be able to undo what this one could."""
        for outer in self.blocks[-2:-1]:
            for key, saved in inner.items():
                outer.setdefault(key, saved).keep_of(saved)


class ReplacedTracker(Tracker):
    """The tracker of every node that newer content has replaced: no edit passes."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.guarded = True

    def before_edit(self, place: Place, grows: bool = False) -> None:
        """Refuse."""
        raise Detached(
            f"this {place._kind} was replaced by newer content of the state: an edit of it could "
            "not be saved. Take the container again from session.state"
        )


REPLACED = ReplacedTracker()
