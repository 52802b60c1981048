"""Tracked dicts.

The marks of a dict say, for each key edited since the last capture, what the base had there:

    base      {"a": 1, "b": "x", "c": []}
    edits     d["a"] = 2; d["b"] += "y"; del d["c"]; d["d"] = None
    marks     {"a": 1, "b": "x", "c": DELETED, "d": ADDED}
    changes   Delete c, Set a 2, Splice b at 1 "y", Set d None

A scalar base stays in the mark, so that a text's growth is found, and that a value set back to
what it was is no change. A container leaves CHANGED. A key that was deleted and set again is MOVED:
it is now last, among the new ones, and they are where the dict has them.

Marks are set before the dict is written to, so after an interrupt a key may be marked and the edit
not made. Whether the key is there decides: ADDED and absent is no change, DELETED and there is a
change where it stands.
"""

# ruff: noqa: D102 - the methods are those of dict

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable
from itertools import chain, count, repeat
from typing import Any

from perdure.core.changes import Change, Delete, Set
from perdure.core.paths import Path
from perdure.core.values import ATOMS, same, take
from perdure.state.marks import ABSENT, ADDED, BASELESS, CHANGED, DELETED, MOVED, assignment, lost
from perdure.state.node import Node, replaced
from perdure.state.place import WRAPPERS, Place
from perdure.state.sequence import TrackedList
from perdure.state.tracker import Tracker

_get = dict.__getitem__
_look = dict.get
_set = dict.__setitem__
_new = dict.__new__
_fill = dict.update
_exhaust: Callable[[Iterable[object]], None] = deque[object](maxlen=0).extend


class TrackedDict(Node, dict[str, Any]):
    """A dict whose edits the next save writes. Made by inserting a dict into a state.

    Every method of dict works and gives tracked children; `copy`, `|` and slices give plain
    containers of them. `plain()` gives a plain deep copy. Made by hand, it belongs to no state yet.

    Raises:
        NotStorable: by every way of inserting, when the value or key cannot be stored; nothing
            has changed then.
        Detached: by every edit that could not be saved any more.

    Example:
        >>> session.state["plan"] = {"goal": "refund"}
        >>> session.state["plan"]["steps"] = ["look up the order"]
        >>> session.state["plan"].plain()
        {'goal': 'refund', 'steps': ['look up the order']}
    """

    __slots__ = ("_at", "_kids", "_marks", "_parent", "_tracker")

    _kind = "dict"
    _marks: dict[str, Any] | None

    def __new__(cls, *args: Any, **items: Any) -> TrackedDict:
        return wrap_dict(take(dict(*args, **items)), None, "")

    def __init__(self, *args: Any, **items: Any) -> None:
        """Filled by `__new__`."""

    # ---- reading ----------------------------------------------------------------------------

    def __getitem__(self, key: str, /) -> Any:
        value = _get(self, key)
        if type(value) is TrackedList:
            self._tracker.watch(value)
        return value

    def get(self, key: str, default: Any = None, /) -> Any:
        value = _look(self, key, default)
        if type(value) is TrackedList:
            self._tracker.watch(value)
        return value

    def copy(self) -> dict[str, Any]:
        return dict.copy(self)

    @classmethod
    def fromkeys(cls, keys: Iterable[Any], value: Any = None, /) -> Any:
        return dict.fromkeys(keys, value)

    # ---- editing ----------------------------------------------------------------------------

    def __setitem__(self, key: str, value: Any, /) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        if type(key) is not str:
            key = self._key(key)
        if _look(self, key, ABSENT) is not value:
            self._put(key, self._enter(value, key))

    def _assign(self, key: str, value: Any) -> None:
        """The same with a small leaf that fits here, as is known."""
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        if _look(self, key, ABSENT) is not value:
            self._put(key, value)

    def __delitem__(self, key: str, /) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        self._remove(key)

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str, /, *default: Any) -> Any:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        if key not in self:
            return dict.pop(self, key, *default)
        value = self[key]
        self._remove(key)
        return value

    def popitem(self) -> tuple[str, Any]:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        if not self:
            dict.popitem(self)
        key = next(dict.__reversed__(self))
        return key, self.pop(key)

    def clear(self) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        if self._tracker.door is not None and self._tracker.released is None:
            for key in dict.__iter__(self):  # all of them before any goes
                self._tracker.door.release(self, key)
        for key in list(dict.__iter__(self)):
            self._remove(key)

    def update(self, *args: Any, **items: Any) -> None:
        if self._tracker.guarded:
            self._tracker.before_edit(self)
        news = {
            key if type(key) is str else self._key(key): value
            for key, value in dict(*args, **items).items()
            if _look(self, key, ABSENT) is not value
        }
        for key, value in zip(news, self._enter_all(news.items())):
            self._put(key, value)

    # dict's own signature is incompatible in the same way.
    def __ior__(self, other: Any, /) -> Any:  # type: ignore[misc]
        self.update(other)
        return self

    # ---- storage ----------------------------------------------------------------------------

    def _key(self, key: Any) -> str:
        """The plain key for one of another class than str."""
        (plain_key,) = take({key: None}, self._path(), self._depth())
        assert isinstance(plain_key, str)
        return plain_key

    def _put(self, key: str, value: Any) -> None:
        """Store what `_enter` gave."""
        old = base = _look(self, key, ABSENT)
        going = None
        if type(old) not in ATOMS and isinstance(old, BASELESS):
            base = CHANGED
            going = self._going(old)
        elif old is not ABSENT and same(old, value):
            return
        marks = self._marked()
        if old is not ABSENT:
            marks.setdefault(key, base)
        else:
            marks[key] = ADDED if marks.get(key, ADDED) is ADDED else MOVED
        _set(self, key, value)
        if going is not None:
            going._leave()

    def _remove(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        if self._tracker.door is not None and self._tracker.released is None:
            self._tracker.door.release(self, key)
        marks = self._marked()
        mark = marks.get(key)
        if mark is not ADDED and mark is not MOVED:  # these say enough, until the key is gone
            marks[key] = DELETED
        going = self._going(_get(self, key))
        dict.__delitem__(self, key)
        if mark is ADDED:
            del marks[key]
        elif mark is MOVED:
            marks[key] = DELETED
        if going is not None:
            going._leave()

    def _marked(self) -> dict[str, Any]:
        """Its marks, now that it is about to change."""
        if self._kids is None:
            self._touch()
        if self._marks is None:
            self._marks = {}
        return self._marks

    def _items(self) -> Iterable[Any]:
        return dict.values(self)

    def _load(self, content: Any) -> None:
        for item in dict.values(self):
            replaced(item)
        self._clean()
        content = _wrapped(content, self)
        dict.clear(self)
        _fill(self, content)

    def _copy_content(self) -> dict[str, Any]:
        return dict(dict.items(self))  # what is stored: dict.copy would ask for each child

    def _restore_content(
        self, content: dict[str, Any], wrapped: dict[int, tuple[Any, Any]]
    ) -> None:
        dict.clear(self)
        _fill(self, content)

    def _find(self, kid: Place) -> str | None:
        hint = str(kid._at)
        value = _look(self, hint)
        if value is kid or kid._holds(value):
            return hint
        for key, value in dict.items(self):
            if value is kid or kid._holds(value):
                kid._at = key
                return key
        return None

    # ---- capture ----------------------------------------------------------------------------

    def _emit(self, path: Path, out: list[Change]) -> None:
        marks = self._marks
        if not marks:  # nothing but what is below: what a save of a message meets on its way
            self._emit_kids(path, (), out)
            return
        gone, changed, new = self._sorted(marks)
        if path and len(gone) > len(self):
            out.append(Set(path, self))
            return
        out.extend([Delete((*path, key)) for key in gone])
        for key in changed:
            change = assignment((*path, key), marks[key], _get(self, key))
            if change is not None:
                out.append(change)
        if new:
            out.extend([Set((*path, key), _get(self, key)) for key in self._last(marks, new)])
        self._emit_kids(path, marks, out)

    def _sorted(self, marks: dict[str, Any]) -> tuple[list[str], list[str], int]:
        """The marked keys that the base had and are not in their place, those that are in it.

        And how many are new or moved.
        """
        gone: list[str] = []
        changed: list[str] = []
        new = 0
        for key, mark in marks.items():
            if mark is ADDED or mark is MOVED:
                new += 1
                if mark is MOVED:
                    gone.append(key)
            elif key in self:
                changed.append(key)
            else:
                gone.append(key)
        return gone, changed, new

    def _last(self, marks: dict[str, Any], count: int) -> list[str]:
        """The keys that are new or moved, in order: they come after all others."""
        last: list[str] = []
        for key in dict.__reversed__(self):
            mark = marks.get(key)
            if mark is ADDED or mark is MOVED:
                last.append(key)
                if len(last) == count:
                    break
        last.reverse()
        return last

    def _emit_kids(self, path: Path, marks: Container[str], out: list[Change]) -> None:
        for kid in (self._kids or {}).values():
            at = self._find(kid)
            if at is None:
                raise lost(path)
            if at not in marks:
                kid._emit((*path, at), out)


_set_tracker, _set_parent, _set_at, _set_kids, _set_marks = (
    TrackedDict.__dict__[name].__set__ for name in ("_tracker", "_parent", "_at", "_kids", "_marks")
)


def wrap_dict(
    content: dict[str, Any],
    parent: Place | None,
    at: str | int,
    kind: type[TrackedDict] = TrackedDict,
) -> TrackedDict:
    """A node that holds what the plain dict `content` does."""
    node = _new(kind)
    node._tracker = Tracker() if parent is None else parent._tracker
    node._parent = parent
    node._at = at
    node._kids = None
    node._marks = None
    _fill(node, content if kind is not TrackedDict else _wrapped(content, node))
    return node


def wrap_dicts(contents: list[dict[str, Any]], parent: Place) -> list[TrackedDict]:
    """Nodes that hold what the plain dicts of a list do, in a third of the time of one by one.

    Each step is one pass over all of them, in C: nine tenths of what is loaded are messages.
    """
    nodes = list(map(_new, repeat(TrackedDict, len(contents))))
    _exhaust(map(_set_tracker, nodes, repeat(parent._tracker)))
    _exhaust(map(_set_parent, nodes, repeat(parent)))
    _exhaust(map(_set_at, nodes, count()))
    _exhaust(map(_set_kids, nodes, repeat(None)))
    _exhaust(map(_set_marks, nodes, repeat(None)))
    if not ATOMS.issuperset(map(type, chain.from_iterable(map(dict.values, contents)))):
        contents = list(map(_wrapped, contents, nodes))
    _exhaust(map(_fill, nodes, contents))
    return nodes


def _wrapped(content: dict[str, Any], node: TrackedDict) -> dict[str, Any]:
    """The items as `node` is to hold them: tracked."""
    if ATOMS.issuperset(map(type, content.values())):
        return content
    items = content.copy()
    for key, value in content.items():
        wrap = WRAPPERS.get(type(value))
        if wrap is not None:
            items[key] = wrap(value, node, key)
    return items
