"""Changes: one edit at a path each. What a record holds, and all that history is made of.

A path never enters a tuple or a set: those change as wholes, a set also by `Members`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, AnyStr, TypeAlias

import msgspec

from perdure.core.abbreviate import abbreviate, count, with_article
from perdure.core.codec import pack, unpack
from perdure.core.members import member_of, newcomer
from perdure.core.paths import Path, format_path
from perdure.core.texts import same_ends
from perdure.core.values import take
from perdure.errors import UPGRADE, Malformed, NewerFormat, ReplayMismatch

SET, DELETE, SPLICE, MEMBERS = 1, 2, 3, 4
"""What a change is called where it is stored."""

_SPLICED = frozenset({list, str, bytes})
"""What a splice edits."""

SPLICE_KEEPS_MIN = 16
"""Characters or bytes that a splice must find kept, unless it only appends."""

_encode = msgspec.msgpack.Encoder().encode

_Part: TypeAlias = str | Annotated[int, msgspec.Meta(ge=0)]
_Path: TypeAlias = Annotated[tuple[_Part, ...], msgspec.Meta(min_length=1)]
_Position: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class _Change(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What all are: laid out as they are stored, so that most can be read as they stand there.

    Structs, because a save makes one for each edit, and they take a seventh of a frozen dataclass's
    time to make.
    """


class Set(_Change, frozen=True, tag=SET):
    """Set a mapping's key, or replace a list's item.

    A new key goes last; a key that is there keeps its place.

    Example:
        >>> Set(("plan", "done"), True)
        Set(path=('plan', 'done'), value=True)
    """

    path: _Path
    value: Any


class Delete(_Change, frozen=True, tag=DELETE):
    """Remove a key from a mapping."""

    path: _Path


class Splice(_Change, frozen=True, tag=SPLICE):
    """Replace a run of a list, str or bytes: `removed` of it from `start` on give way to `items`.

    `items` is of the type that is found at `path`, and a str counts in code points.

    Example:
        >>> sections = {"messages": ["hello"], "draft": "Dear "}
        >>> apply(sections, [Splice(("messages",), 1, 0, ["bye"]), Splice(("draft",), 5, 0, "Ann")])
        >>> sections
        {'messages': ['hello', 'bye'], 'draft': 'Dear Ann'}
    """

    path: _Path
    start: _Position
    removed: _Position
    items: Any
    """A list, str or bytes."""


class Members(_Change, frozen=True, tag=MEMBERS):
    """Remove members from a set, and then add others."""

    path: _Path
    removed: list[Any]
    added: list[Any]


Change: TypeAlias = Set | Delete | Splice | Members


# ---- applying -------------------------------------------------------------------------------


def apply(sections: dict[str, Any], changes: Iterable[Change]) -> None:
    """Make the changes, in order and in place. Their values are put in as they are, not copied.

    Raises:
        ReplayMismatch: one of them does not fit; those before it are made, so `sections` is of no
            further use.

    Example:
        >>> sections = {"plan": {"step": 1}}
        >>> apply(sections, [Set(("plan", "step"), 2), Delete(("plan", "step"))])
        >>> sections
        {'plan': {}}
    """
    for change in changes:
        if not change.path:
            raise _mismatch(change, "a path has at least one part")
        _APPLY[type(change)](sections, change)


def copies(changes: Iterable[Change]) -> Iterator[Change]:
    """The same changes with values of their own: for `apply`, where they are needed again.

    Example:
        >>> change = Splice(("messages",), 0, 0, [{"n": 1}])
        >>> (copy,) = copies([change])
        >>> copy == change, copy.items[0] is change.items[0]
        (True, False)
    """
    for change in changes:
        if isinstance(change, Set):
            yield Set(change.path, take(change.value))
        elif isinstance(change, Splice) and isinstance(change.items, list):
            yield Splice(change.path, change.start, change.removed, take(change.items))
        else:
            yield change


def _set(sections: dict[str, Any], change: Set) -> None:
    parent, part = _parent(sections, change), change.path[-1]
    if not (isinstance(parent, dict) and isinstance(part, str)):
        _enter(parent, part, change)
    parent[part] = change.value


def _delete(sections: dict[str, Any], change: Delete) -> None:
    parent, part = _parent(sections, change), change.path[-1]
    _enter(parent, part, change)
    if not isinstance(parent, dict):
        raise _mismatch(change, "what holds it is not a mapping")
    del parent[part]


def _splice(sections: dict[str, Any], change: Splice) -> None:
    parent, part = _parent(sections, change), change.path[-1]
    target, items = _enter(parent, part, change), change.items
    start, end = change.start, change.start + change.removed
    if type(target) is not type(items) or type(items) not in _SPLICED:
        found, given = with_article(type(target).__name__), with_article(type(items).__name__)
        raise _mismatch(change, f"there is {found}, not {given}")
    if not 0 <= start <= end <= len(target):
        raise _mismatch(change, f"it ends at {len(target)}")
    if type(target) is list and start == len(target):
        target += items  # as nearly all do; to replace a run of nothing takes longer
    elif type(target) is list:
        target[start:end] = items
    elif isinstance(items, str) and start == len(target):
        # Text that arrives in pieces: with one reference left, CPython extends it where it is, so
        # replaying n pieces does not take n² time.
        parent[part] = None
        target += items
        parent[part] = target
    else:
        parent[part] = target[:start] + items + target[end:]


def _members(sections: dict[str, Any], change: Members) -> None:
    target = _enter(_parent(sections, change), change.path[-1], change)
    if not isinstance(target, set):
        raise _mismatch(change, f"there is {with_article(type(target).__name__)}, not a set")
    for member in change.removed:
        try:
            target.remove(member_of(target, member))
        except KeyError:
            raise _mismatch(change, f"{abbreviate(member)} is not in it") from None
    for member in change.added:
        try:
            target.add(newcomer(target, member))
        except KeyError:
            raise _mismatch(change, f"{abbreviate(member)} is in it already") from None


_APPLY: dict[type, Callable[[dict[str, Any], Any], None]] = {
    Set: _set,
    Delete: _delete,
    Splice: _splice,
    Members: _members,
}


def _parent(sections: dict[str, Any], change: Change) -> Any:
    value: Any = sections
    if len(change.path) > 1:  # most are of a whole section
        for part in change.path[:-1]:
            value = _enter(value, part, change)
    return value


def _enter(container: Any, part: str | int, change: Change) -> Any:
    if isinstance(container, dict):
        if part in container:
            return container[part]
    elif isinstance(container, list) and isinstance(part, int) and 0 <= part < len(container):
        return container[part]
    where = abbreviate(part)
    raise _mismatch(change, f"there is no {where} in the {type(container).__name__} there")


def _mismatch(change: Change, problem: str) -> ReplayMismatch:
    return ReplayMismatch(f"cannot {describe(change)}: {problem}")


# ---- storing --------------------------------------------------------------------------------


def to_wire(change: Change) -> list[Any]:
    """The change as a value that can be packed: its code, its path, and what else it has."""
    path = list(change.path)
    if isinstance(change, Splice):
        return [SPLICE, path, change.start, change.removed, change.items]
    if isinstance(change, Set):
        return [SET, path, change.value]
    if isinstance(change, Delete):
        return [DELETE, path]
    return [MEMBERS, path, sorted(change.removed, key=pack), sorted(change.added, key=pack)]


def from_wire(wire: Any) -> Change:
    """The change that `to_wire` gave this for.

    Raises:
        Malformed: it gave it for none.
        NewerFormat: it is a change of a kind that only a newer Perdure knows.
    """
    if not (isinstance(wire, list) and len(wire) >= 2 and _is_path(wire[1])):
        raise Malformed(f"not a change: {abbreviate(wire)}")
    code, path, *rest = wire[0], tuple(wire[1]), *wire[2:]
    if type(code) is not int:
        raise Malformed(f"not a change: {abbreviate(wire)}")
    if code == SET and len(rest) == 1:
        return Set(path, rest[0])
    if code == DELETE and not rest:
        return Delete(path)
    if code == SPLICE and len(rest) == 3 and _is_splice(*rest):
        return Splice(path, *rest)
    if code == MEMBERS and len(rest) == 2 and all(type(members) is list for members in rest):
        return Members(path, *rest)
    if code > MEMBERS:
        raise NewerFormat(f"a change of kind {code} is unknown to this version; {UPGRADE}")
    raise Malformed(f"not a change that this version knows: {abbreviate(wire)}")


def pack_changes(changes: Iterable[Change]) -> bytes:
    """The changes as the bytes of one array."""
    try:
        # Only the values need a look; what is around them is plain unless a name in a path is odd.
        return _encode([_around(change) for change in changes])
    except UnicodeEncodeError:
        return pack([to_wire(change) for change in changes])


def _around(change: Change) -> list[Any]:
    if isinstance(change, Splice):
        items = msgspec.Raw(pack(change.items))
        return [SPLICE, change.path, change.start, change.removed, items]
    if isinstance(change, Set):
        return [SET, change.path, msgspec.Raw(pack(change.value))]
    code, path, *rest = to_wire(change)
    return [code, path, *(msgspec.Raw(pack(part)) for part in rest)]


def unpack_changes(data: bytes | memoryview) -> list[Change]:
    """The changes in these bytes.

    Raises:
        Malformed: they are not what `pack_changes` makes.
    """
    wires = unpack(data)
    if not isinstance(wires, list):
        raise Malformed(f"not an array of changes: {abbreviate(wires)}")
    return [from_wire(wire) for wire in wires]


def are_changes(read: Iterable[Change]) -> bool:
    """Whether what was read by the layout of changes is what `from_wire` would have given.

    Their layout leaves open that a path begins with a name, and what a splice puts in.
    """
    for change in read:
        if type(change.path[0]) is not str:
            return False
        if type(change) is Splice and type(change.items) not in _SPLICED:
            return False
    return True


def _is_path(parts: Any) -> bool:
    return (
        type(parts) is list
        and bool(parts)
        and type(parts[0]) is str
        and all(type(part) is str or (type(part) is int and part >= 0) for part in parts)
    )


def _is_splice(start: Any, removed: Any, items: Any) -> bool:
    return (
        (type(start) is int and start >= 0)
        and (type(removed) is int and removed >= 0)
        and type(items) in _SPLICED
    )


def sections_of(changes: Iterable[Change]) -> set[str]:
    """The names of the sections that the changes touch."""
    return {str(change.path[0]) for change in changes}


Move: TypeAlias = tuple[str, bool]
"""What a change does to the order of sections: the name, and whether it goes (or is put last)."""


def moves_of(changes: Iterable[Change]) -> tuple[Move, ...]:
    """What the changes do to the order of sections; mostly nothing."""
    return tuple(
        [(str(each.path[0]), type(each) is Delete) for each in changes if len(each.path) == 1]
    )


def reordered(names: Iterable[str], moves: Iterable[Move]) -> list[str]:
    """The sections, in order, once these changes were made: what replaying them gives (P13).

    Example:
        >>> reordered(["a", "b"], [("a", True), ("c", False), ("a", False)])
        ['b', 'c', 'a']
    """
    order = dict.fromkeys(names)
    for name, goes in moves:
        if goes:
            order.pop(name, None)
        else:
            order.setdefault(name)
    return list(order)


# ---- finding and showing --------------------------------------------------------------------


def text_splice(path: Path, base: AnyStr, new: AnyStr) -> Splice | None:
    """The smallest splice that makes `new` of `base`, where it is worth more than a `Set`.

    It is if all of `base` stays and more is appended, or if at least 16 characters or bytes stay.
    Otherwise, and for equal texts, None. Finding an appended piece costs one comparison of memory.

    Example:
        >>> text_splice(("draft",), "Dear", "Dear Ann")
        Splice(path=('draft',), start=4, removed=0, items=' Ann')
        >>> text_splice(("status",), "open", "done") is None
        True
    """
    if new.startswith(base):
        if not base or len(new) == len(base):
            return None
        return Splice(path, len(base), 0, new[len(base) :])
    head, tail = same_ends(base, new)
    if head + tail < SPLICE_KEEPS_MIN:
        return None
    return Splice(path, head, len(base) - head - tail, new[head : len(new) - tail])


def describe(change: Change) -> str:
    """The change in one line, long values cut short.

    Example:
        >>> describe(Splice(("messages",), 4, 0, [{"role": "user"}]))
        "put 1 item into messages at 4: [{'role': 'user'}]"
    """
    where = format_path(change.path)
    match change:
        case Set(_, value):
            return f"set {where} = {abbreviate(value)}"
        case Delete():
            return f"delete {where}"
        case Splice(_, start, removed, items):
            unit = _UNITS.get(type(items), "item")
            if not items:
                return f"remove {count(removed, unit)} from {where} at {start}"
            put, shown = count(len(items), unit), abbreviate(items)
            if not removed:
                return f"put {put} into {where} at {start}: {shown}"
            return f"replace {count(removed, unit)} of {where} at {start} by {put}: {shown}"
        case Members(_, removed, added):
            steps = [f"remove {abbreviate(removed)} from {where}"] if removed else []
            steps += [f"add {abbreviate(added)} to {where}"] if added else []
            return " and ".join(steps) or f"leave {where} as it is"


_UNITS: dict[type, str] = {str: "character", bytes: "byte"}
