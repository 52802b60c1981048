"""Tracked lists. Their marks are explained in `perdure.state.edits`."""

# ruff: noqa: D102 - the methods are those of list

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from operator import index as _index
from operator import is_ as _is
from typing import Any, SupportsIndex

from perdure import limits
from perdure.core.changes import Change, Splice
from perdure.core.paths import Path
from perdure.core.values import ATOMS, SIZED, same, take
from perdure.errors import UntrackedEdit
from perdure.state.edits import Edit, assigned, covers, kept_ends, spliced
from perdure.state.marks import BASELESS, CHANGED, TORN, assignment, lost, resized
from perdure.state.node import Node, replaced
from perdure.state.place import BULK_WRAPPERS, WRAPPERS, Place, place_of
from perdure.state.tracker import Tracker

_get = list.__getitem__
_set = list.__setitem__
_new = list.__new__
_fill = list.extend
_append = list.append
_iter = list.__iter__

NEAR = 16
"""Steps around its hint in which a child is looked for before all hints are renewed."""

MANY = 8
"""Items of one class from which on it pays to wrap them together (items)."""


class TrackedList(Node, list[Any]):
    """A list whose edits the next save writes. Made by inserting a list into a state.

    Every method of list works and gives tracked children; slices, `copy`, `+` and `*` give plain
    lists of them. `plain()` gives a plain deep copy. Made by hand, it belongs to no state yet.

    C code that changes a list's length without calling its methods (`heapq.heappush`) is found by
    the next save, or by the end of the session where the list was taken from an iterator: either
    raises `UntrackedEdit`. Let such code work on a copy and assign that (`queue[:] = copy`).

    Raises:
        NotStorable: by every way of inserting, when the value cannot be stored; nothing has
            changed then.
        Detached: by every edit that could not be saved any more.

    Example:
        >>> messages = session.state.setdefault("messages", [])
        >>> messages.append({"role": "user", "content": "Where is my order?"})
        >>> messages[-1]["seen"] = True
    """

    __slots__ = (*("_at", "_base", "_kids", "_marks", "_offset", "_parent", "_size", "_tracker"),)

    _kind = "list"
    _marks: list[Edit] | None

    def __new__(cls, items: Iterable[Any] = (), /) -> TrackedList:
        return wrap_list(take(list(items)), None, "")

    def __init__(self, items: Iterable[Any] = (), /) -> None:
        """Filled by `__new__`."""

    @property
    def offset(self) -> int:
        """How many items of the list in the state precede the first one here (items).

        0 unless the section was loaded as a window, the tail of a list. A window is a list of the
        items it shows: `window[0]` is the first of these, `clear` and `window[:] = …` leave those
        before alone, and `append`, `insert(0, …)` and every other edit is saved where it belongs.
        Assigned or moved to another place, the items it shows go there.
        """
        return self._offset

    # ---- reading ----------------------------------------------------------------------------

    def __getitem__(self, index: SupportsIndex | slice, /) -> Any:
        value = _get(self, index)
        if type(value) is TrackedList:
            self._tracker.watch(value)
        return value

    def copy(self) -> list[Any]:
        return list.copy(self)

    # ---- editing ----------------------------------------------------------------------------

    def append(self, value: Any, /) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self, True)
        if type(value) not in ATOMS or self._tracker.door is not None:
            value = self._enter(value, len(self))
        elif type(value) in SIZED and len(value) > limits.measured_units_min:
            self._require_savable(value, len(self))
        position = len(self)  # not before: taking a value in may run code that edits this list
        if self._kids is None:
            self._touch()
        edits, size = self._marks, self._size
        if not edits and size >= 0:
            self._base = size
        self._size = TORN
        _append(self, value)
        if not edits:
            self._marks = [(position, 1, 0, CHANGED)]
        else:
            start, count, removed, base = edits[-1]
            if start + count == position and base is CHANGED:
                edits[-1] = start, count + 1, removed, CHANGED
            else:
                edits.append((position, 1, 0, CHANGED))
        self._size = size + 1

    def extend(self, values: Iterable[Any], /) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self, True)
        items = list(values)
        if len(items) == 1 and type(self) is TrackedList:  # others look at what they are given
            self.append(items[0])
        else:
            self._splice(len(self), 0, self._enter_all(enumerate(items, len(self))))

    # list's own signature is incompatible in the same way.
    def __iadd__(self, values: Any, /) -> Any:  # type: ignore[misc]
        self.extend(values)
        return self

    def __imul__(self, times: SupportsIndex, /) -> Any:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        count = _index(times)
        if count < 1:
            self.clear()
        else:
            self.extend(list.__mul__(self, count - 1))
        return self

    def insert(self, index: SupportsIndex, value: Any, /) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        start, _, _ = slice(_index(index), None).indices(len(self))
        stored = self._enter(value, start)
        start, _, _ = slice(_index(index), None).indices(len(self))
        self._splice(start, 0, [stored])

    def pop(self, index: SupportsIndex = -1, /) -> Any:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        position = self._position(index, "pop")
        value = self[position]
        self._splice(position, 1, [])
        return value

    def remove(self, value: Any, /) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        self._splice(self.index(value), 1, [])

    def clear(self) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        self._splice(0, len(self), [])

    def reverse(self) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        self._rewrite(_get(self, slice(None, None, -1)))

    def sort(self, *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        before = list.copy(self)
        after = sorted(before, key=key, reverse=reverse)
        if len(self) != len(before) or not all(map(_is, _iter(self), before)):
            raise ValueError("list modified during sort")
        self._rewrite(after)

    def __setitem__(self, index: SupportsIndex | slice, value: Any, /) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        if isinstance(index, slice):
            self._assign(index, list(value))
        else:
            position = self._position(index, "list assignment")
            if _get(self, position) is not value:
                stored = self._enter(value, position)
                self._put(self._position(index, "list assignment"), stored)

    def __delitem__(self, index: SupportsIndex | slice, /) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                self._splice(start, max(stop - start, 0), [])
            else:
                after = list.copy(self)
                del after[index]
                self._rewrite(after)
        else:
            self._splice(self._position(index, "list assignment"), 1, [])

    # ---- storage ----------------------------------------------------------------------------

    def _position(self, index: SupportsIndex, action: str) -> int:
        position = _index(index)
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(f"{action} index out of range")
        return position

    def _put(self, position: int, value: Any) -> None:
        """Store what `_enter` gave in place of one item."""
        old = base = _get(self, position)
        going = None
        if type(old) not in ATOMS and isinstance(old, BASELESS):
            base = CHANGED
            going = self._going(old)
        elif same(old, value):
            return
        edits, size = self._tear()
        assigned(edits, position, base)
        _set(self, position, value)
        if going is not None:
            going._leave()
        self._size = size

    def _splice(self, start: int, removed: int, stored: list[Any]) -> None:
        """Put what `_enter_all` gave in place of `removed` items."""
        start = min(start, len(self))
        removed = min(removed, len(self) - start)
        is_known = len(self) == self._size
        if not removed and not stored and is_known:
            return
        gone = _get(self, slice(start, start + removed))
        going = self._all_going(gone, stored) if gone else []
        becomes_known = not is_known and removed == len(self)
        edits, size = self._tear()
        _set(self, slice(start, start + removed), stored)
        if becomes_known:  # if it is written whole
            edits[:] = [(0, len(stored), int(self._base), CHANGED)]
            size = len(stored)
        else:
            spliced(edits, start, removed, len(stored))
            size += len(stored) - removed
        for place in going:
            place._leave()
        self._size = size

    def _received(self, items: list[Any], start: int) -> list[Any]:
        """Take in items that somebody else saved, to be put at `start`: all at once, as on loading.

        An undoing has nothing to do with them, since nobody has them yet.
        """
        stored = _wrapped(take(items), self)
        for at, item in enumerate(stored, start):
            place = place_of(item)
            if place is not None:
                place._at = at
        return stored

    def _all_going(self, before: list[Any], after: list[Any]) -> list[Place]:
        """Note that what is in `before` and not in `after` is about to go, and give the places."""
        staying = {id(place_of(value)) for value in after}
        going = [self._going(value) for value in before if id(place_of(value)) not in staying]
        return [place for place in going if place is not None]

    def _tear(self) -> tuple[list[Edit], float]:
        """Begin an edit: what the marks and the size are, which have to be given to it at its end.

        If that does not come, because of an interrupt, the list is written whole.
        """
        if self._kids is None:
            self._touch()
        edits, size = self._marks, self._size
        if edits is None:
            edits = self._marks = []
        if not edits and size >= 0:
            self._base = size
        self._size = TORN
        return edits, size

    def _mend(self) -> None:
        self._marks = [(0, len(self), int(self._base), CHANGED)]
        self._size = len(self)

    def _assign(self, index: slice, values: list[Any]) -> None:
        """Store `values` in a slice; what is there already stays there."""
        start, stop, step = index.indices(len(self))
        if step == 1:
            before = _get(self, slice(start, max(start, stop)))
            head, tail = self._trim(before, values)
            before = before[head : len(before) - tail]
            values = values[head : len(values) - tail]
            stored = self._enter_all(enumerate(values, start + head), before)
            self._splice(start + head, len(before), stored)
            return
        positions = range(start, stop, step)
        if len(values) != len(positions):
            raise ValueError(
                f"attempt to assign sequence of size {len(values)} "
                f"to extended slice of size {len(positions)}"
            )
        after = list.copy(self)
        after[index] = self._enter_all(zip(positions, values), _get(self, index))
        self._rewrite(after)

    def _rewrite(self, after: list[Any]) -> None:
        """Hold the stored values `after` instead, many of which are here already."""
        head, tail = self._trim(self, after)
        self._splice(head, len(self) - head - tail, after[head : len(after) - tail])

    def _trim(self, before: list[Any], after: list[Any]) -> tuple[int, int]:
        """How many items at the head and at the tail are the same in both."""
        return kept_ends(before, after) if len(self) == self._size else (0, 0)

    def _widen(self, items: list[Any]) -> None:
        """Show items before those of a window too; no edit."""
        count = len(items)
        _set(self, slice(0, 0), _wrapped(items, self))
        if self._marks:
            self._marks = [(start + count, *rest) for start, *rest in self._marks]
        self._size += count
        self._base += count
        self._offset -= count

    def _items(self) -> Iterable[Any]:
        return _iter(self)

    def _load(self, content: Any) -> None:
        for item in _iter(self):
            replaced(item)
        self._clean()
        self._offset = 0
        _set(self, slice(None), _wrapped(content, self))
        self._size = len(content)

    def _copy_content(self) -> list[Any]:
        return list.copy(self)

    def _restore_content(self, content: Any, wrapped: dict[int, tuple[Any, Any]]) -> None:
        _set(self, slice(None), content)

    def _find(self, kid: Place) -> int | None:
        hint = kid._at
        assert isinstance(hint, int)
        if hint < len(self) and _is_of(_get(self, hint), kid):
            return hint
        for position in range(max(hint - NEAR, 0), min(hint + NEAR, len(self))):
            if _is_of(_get(self, position), kid):
                kid._at = position
                return position
        found: int | None = None
        for position, value in enumerate(_iter(self)):
            place = place_of(value)
            if place is not None:
                place._at = position
                if place is kid:
                    found = position
        return found

    # ---- capture ----------------------------------------------------------------------------

    def _part(self, at: str | int) -> int:
        assert isinstance(at, int)
        return at + self._offset

    def _emit(self, path: Path, out: list[Change]) -> None:
        if self._size < 0:
            self._mend()
        if len(self) != self._size:
            raise self._resized()
        edits = self._marks or []
        offset = self._offset
        for start, count, removed, base in edits:
            if count == removed == 1:
                change = assignment((*path, start + offset), base, _get(self, start))
                if change is not None:
                    out.append(change)
            else:
                items = _get(self, slice(start, start + count))
                out.append(Splice(path, start + offset, removed, items))
        for kid in (self._kids or {}).values():
            at = self._find(kid)
            if at is None:
                raise lost(path)
            if not covers(edits, at):
                kid._emit((*path, at + offset), out)

    def _resized(self) -> UntrackedEdit:
        return resized(self._path(), len(self), int(self._size))


def wrap_list(content: list[Any], parent: Place | None, at: str | int) -> TrackedList:
    """A node that holds what the plain list `content` does."""
    node = _new(TrackedList)
    tracker = node._tracker = Tracker() if parent is None else parent._tracker
    tracker.lists_made += 1
    node._parent = parent
    node._at = at
    node._kids = None
    node._marks = None
    node._size = node._base = len(content)
    node._offset = 0
    _fill(node, _wrapped(content, node))
    return node


def _wrapped(content: list[Any], node: TrackedList) -> list[Any]:
    """The items as `node` is to hold them: tracked."""
    kinds = set(map(type, content))
    if kinds <= ATOMS:
        return content
    if len(kinds) == 1 and len(content) >= MANY:
        wrap_all = BULK_WRAPPERS.get(kinds.pop())
        if wrap_all is not None:
            return wrap_all(content, node)
    items = list.copy(content)
    for position, value in enumerate(content):
        wrap = WRAPPERS.get(type(value))
        if wrap is not None:
            items[position] = wrap(value, node, position)
    return items


def _is_of(value: Any, place: Place) -> bool:
    return value is place or place._holds(value)


def check_lengths(root: Place, leaving: Collection[Any] = ()) -> None:
    """Compare the length of each list below `root` with what its methods left.

    Args:
        root: the sections.
        leaving: sections to be left alone, by identity of what they hold.

    Raises:
        UntrackedEdit: they differ.
    """
    unseen = root._tracker.lists_made
    level = [root]
    while level:
        for place in level:
            if isinstance(place, TrackedList):
                if len(place) != place._size >= 0:
                    raise place._resized()
                unseen -= 1
        if unseen <= 0:  # as where a long list holds flat messages: none of these is looked at
            break
        below = [place_of(item) for place in level for item in place._items()]
        level = [place for place in below if place is not None]
        if leaving:
            level = [place for place in level if id(place) not in leaving]
