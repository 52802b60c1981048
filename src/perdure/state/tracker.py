"""What all nodes of one document share: whether they may be edited, and how to undo.

`Tracker.guarded` is the one attribute that every edit tests. It is False while nothing special is
going on; else `before_edit` decides: the document is closed, is being captured by another thread,
has a capture to end that was interrupted, or has an atomic block open. A block keeps a shallow copy
of each place from before its first edit inside the block, so that undoing restores content and
marks exactly, on the same live objects:

    begin()                       blocks == [{}]
    messages.append(…)            blocks == [{id(messages): Saved(…)}]
    undo()                        blocks == [], and messages is as it was

A block belongs to the code inside it, and to the tasks and threads that were started there with its
context. An edit from anywhere else would be undone with the block though it is no part of it, so
it is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

from perdure import limits
from perdure.core.paths import format_path
from perdure.errors import ConcurrentEdit, Detached

if TYPE_CHECKING:
    from perdure.state.mapping import TrackedDict
    from perdure.state.place import Place
    from perdure.state.sequence import TrackedList


_within: ContextVar[frozenset[object]] = ContextVar("perdure.atomic", default=frozenset())
"""The blocks, of all documents, that the running code is inside of."""


class Saved:
    """A place as it was before a block's first edit of it."""

    __slots__ = ("at", "base", "content", "kids", "marks", "offset", "parent", "place", "size")

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

    def put_back(self, wrapped: dict[int, tuple[Any, Any]]) -> None:
        """Make the place what it was; `wrapped` is what was wrapped since."""
        place = self.place
        place._parent = self.parent
        place._at = self.at
        if place._kind == "list":
            place._offset, place._size, place._base = self.offset, self.size, self.base
        place._kids = self.kids
        place._marks = self.marks
        if self.content is not None:
            place._restore_content(self.content, wrapped)


class Tracker:
    """The bookkeeping of one document."""

    __slots__ = (
        *("blocks", "capturing", "closed", "guarded", "lists", "lists_made", "names"),
        *("moving", "released", "root", "settle", "wrapped"),
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
        self.lists: dict[int, TrackedList] = {}
        """By id: lists handed out one by one, whose length a capture checks."""
        self.released: list[Place] | None = None
        """Places that lost their place, collected while somebody else's changes are applied."""
        self.lists_made = 0
        """How many lists ever came into the document; who has seen so many has seen them all."""
        self.blocks: list[dict[int, Saved]] = []
        self.names: list[object] = []
        """What `_within` knows each open block by."""
        self.wrapped: dict[int, tuple[Any, Any]] = {}
        """By a plain container's id: it, and what took its place while a block was open."""

    def guard(self) -> None:
        """Bring `guarded` up to date."""
        self.guarded = self.closed or self.settle is not None or bool(self.capturing or self.blocks)

    def before_edit(self, place: Place) -> None:
        """Let an edit of `place` pass, and keep what it will change, or refuse it."""
        if self.settle is not None:
            self.settle()
        if (self.closed or self.capturing) and place._top() is self.root:
            self._refuse(place)
        if self.blocks:
            if self.names[-1] not in _within.get():
                raise ConcurrentEdit(
                    f"{format_path(place._path())} was edited from outside an atomic block that "
                    "another task or thread has open: its undoing would take this edit back too. "
                    "Edit inside a block of your own: it waits for the end of the other"
                )
            self.save(place)
            saved = self.blocks[-1][id(place)]
            if saved.content is None:
                saved.content = place._copy_content()

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

    def begin(self) -> None:
        """Open a block.

        Raises:
            ConcurrentEdit: another task or thread has one open that this code is not inside of.
        """
        within = _within.get()
        if self.names and self.names[-1] not in within:
            raise ConcurrentEdit(
                "another task or thread has an atomic block of this session open; "
                "end it before another begins"
            )
        name = object()
        _within.set(within | {name})
        self.names.append(name)
        self.blocks.append({})
        self.guard()

    def is_within(self) -> bool:
        """Whether the running code is inside an open block."""
        return not _within.get().isdisjoint(self.names)

    def keep(self) -> None:
        """Close the innermost block; what it would undo, the block around it still can."""
        inner = self.blocks.pop()
        if self.blocks:
            outer = self.blocks[-1]
            for key, saved in inner.items():
                earlier = outer.setdefault(key, saved)
                if earlier.content is None:
                    earlier.content = saved.content
        self._closed_block()

    def undo(self) -> None:
        """Close the innermost block and put everything back as it was when it began."""
        block = self.blocks.pop()
        for saved in block.values():
            saved.put_back(self.wrapped)
        self._closed_block()

    def _closed_block(self) -> None:
        _within.set(_within.get() - {self.names.pop()})
        if not self.blocks:
            self.wrapped.clear()
        self.guard()


class ReplacedTracker(Tracker):
    """The tracker of every node that newer content has replaced: no edit passes."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.guarded = True

    def before_edit(self, place: Place) -> None:
        """Refuse."""
        raise Detached(
            f"this {place._kind} was replaced by newer content of the state: an edit of it could "
            "not be saved. Take the container again from session.state"
        )


REPLACED = ReplacedTracker()
