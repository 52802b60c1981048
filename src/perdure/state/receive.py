"""Making somebody else's change in the live tree, with the means of an ordinary edit.

What it replaces and removes is released as by any edit; `Document.apply` then forgets the marks.
"""

from __future__ import annotations

from typing import Any

from perdure.core.changes import Change, Delete, Members, Set, Splice
from perdure.core.members import member_of, newcomer
from perdure.core.paths import KeysLast, Path, format_path
from perdure.core.windows import into_window
from perdure.errors import ReplayMismatch
from perdure.state.mapping import TrackedDict
from perdure.state.members import TrackedSet
from perdure.state.node import Node, plain
from perdure.state.sequence import TrackedList


def receive(root: TrackedDict, change: Change) -> None:
    """Make one change below `root`.

    Raises:
        ReplayMismatch: it does not fit what is there.
    """
    section = dict.get(root, str(change.path[0]))
    if isinstance(section, TrackedList) and section._offset:
        seen = _seen(root, section, change)
        if seen is None:
            return
        change = seen
    path = change.path
    if isinstance(change, Set):
        _set(root, path, change.value)
    elif isinstance(change, Delete):
        owner = _reach(root, path, path[:-1])
        if not isinstance(owner, TrackedDict) or not _has(owner, path[-1]):
            raise _mismatch(path)
        del owner[str(path[-1])]
    elif isinstance(change, Splice):
        _splice(root, change)
    else:
        _members(root, change)


def _seen(root: TrackedDict, window: TrackedList, change: Change) -> Change | None:
    """What the change means in the window, which is moved to where it then begins."""
    seen, offset = into_window(change, window._offset)
    if offset != window._offset:
        root._tracker.before_edit(window)
        window._offset = offset
    return seen


def put_last(root: TrackedDict, order: KeysLast) -> None:
    """Let keys of a mapping come after all others of it; what they hold stays where it is.

    Raises:
        ReplayMismatch: there is no such mapping, or it has no such keys.
    """
    path, keys = order
    section, here = dict.get(root, str(path[0])), path
    if isinstance(section, TrackedList) and isinstance(path[1], int):
        if path[1] < section._offset:
            return  # before the window
        here = path[0], path[1] - section._offset, *path[2:]
    node = _reach(root, path, here)
    if not isinstance(node, TrackedDict) or not all(key in node for key in keys):
        raise _mismatch(path)
    moving = frozenset(keys)
    others = [key for key in dict.__iter__(node) if key not in moving]
    names = [*others, *keys]
    if names == list(dict.__iter__(node)):
        return
    root._tracker.before_edit(node)
    content = {name: dict.__getitem__(node, name) for name in names}
    dict.clear(node)
    dict.update(node, content)


def detached(change: Change) -> Change:
    """The same change with plain values of its own."""
    if isinstance(change, Set):
        return Set(change.path, plain(change.value))
    if isinstance(change, Splice):
        return Splice(change.path, change.start, change.removed, plain(change.items))
    return change


def _set(root: TrackedDict, path: Path, value: Any) -> None:
    part = path[-1]
    if len(path) == 1 and _refill(dict.get(root, str(part)), value):
        return
    owner = _reach(root, path, path[:-1])
    if isinstance(owner, Node):
        root._tracker.before_edit(owner)
    if isinstance(owner, TrackedDict) and isinstance(part, str):  # noqa: SIM114 - two classes
        owner._put(part, owner._enter(value, part))
    elif isinstance(owner, TrackedList) and isinstance(part, int) and _has(owner, part):
        owner._put(part, owner._enter(value, part))
    else:
        raise _mismatch(path)


def _refill(node: Any, value: Any) -> bool:
    """Give a section its new content in place, if it stays of one kind."""
    if isinstance(node, TrackedList) and type(value) is list:
        node.clear()
        node.extend(value)
    elif isinstance(node, TrackedDict | TrackedSet) and type(value) in type(node).__mro__:
        node.clear()
        node.update(value)
    else:
        return False
    return True


def _splice(root: TrackedDict, change: Splice) -> None:
    path, start, items = change.path, change.start, change.items
    end = start + change.removed
    target = _reach(root, path, path)
    kind = list if isinstance(target, TrackedList) else type(target)
    if type(items) is not kind or not isinstance(items, list | str | bytes):
        raise _mismatch(path)
    if not 0 <= start <= end <= len(target):
        raise _mismatch(path)
    if isinstance(target, TrackedList):
        root._tracker.before_edit(target)
        assert isinstance(items, list)
        target._splice(start, end - start, target._received(items, start))
    else:
        _set(root, path, target[:start] + items + target[end:])


def _members(root: TrackedDict, change: Members) -> None:
    target = _reach(root, change.path, change.path)
    if not isinstance(target, TrackedSet):
        raise _mismatch(change.path)
    try:
        for member in change.removed:
            target.discard(member_of(target, member))
        for member in change.added:
            target.add(newcomer(target, member))
    except KeyError:
        raise _mismatch(change.path) from None


def _reach(root: TrackedDict, path: Path, steps: Path) -> Any:
    """What `steps` lead to from the root, tracked."""
    value: Any = root
    for step in steps:
        if not _has(value, step):
            raise _mismatch(path)
        value = value[step]
    return value


def _has(value: Any, part: str | int) -> bool:
    if isinstance(part, str):
        return isinstance(value, TrackedDict) and part in value
    return isinstance(value, TrackedList) and 0 <= part < len(value)


def _mismatch(path: Path) -> ReplayMismatch:
    return ReplayMismatch(f"{format_path(path)}: a change made elsewhere does not fit what is here")
