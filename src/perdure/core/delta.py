"""Deltas: what a sequence of changes did in all, in the positions of the state it started from.

    changes    Splice(("messages",), 0, 2, [])      Set(("messages", 5, "seen"), True)
    delta      messages: its items 0 and 1 are gone; in item 7, "seen" is set

So what two sides did to one state can be compared place by place, and costs what was changed, not
what there is. An edit of what the changes themselves put in is made to that value.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from enum import Enum
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from perdure.core.changes import Change, Delete, Members, Set, Splice, apply, copies, describe
from perdure.core.codec import pack
from perdure.core.list_edits import Items
from perdure.core.paths import Path
from perdure.core.values import take
from perdure.errors import ReplayMismatch


class Absent(Enum):
    """The class of `ABSENT`."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT
"""What is where nothing is."""

Asking: TypeAlias = Generator[Path, Any, Any]
"""Yields paths in the base and is sent the values there, or `ABSENT`."""

HERE = "here"
"""What a section is called that is changed by itself."""


class Put(msgspec.Struct, eq=False):
    """Another value instead of the one in the base, or none."""

    value: Any
    gone: bool = False
    """Whether the place was deleted, so that a value that came later stands last."""
    had: bool | None = None
    """Whether the base has something there; None: the changes do not tell."""
    own: bool = False
    """Whether the value is a copy, which may be edited."""


class Keys(msgspec.Struct, eq=False):
    """Edits in a mapping; what is put last is in the order in which it was."""

    keys: dict[str, Node] = {}


class Text(msgspec.Struct, eq=False):
    """Edits of a str or bytes, one after another: start, units removed, units put."""

    splices: list[tuple[int, int, str | bytes]] = []


class Membership(msgspec.Struct, eq=False):
    """Members that a set lost and got, by their packed bytes; of nans there may be several."""

    removed: dict[bytes, list[Any]] = {}
    added: dict[bytes, list[Any]] = {}


Node: TypeAlias = Put | Keys | Items | Text | Membership
"""What became of one value of the base."""


# ---- from changes ---------------------------------------------------------------------------


def compose(changes: Iterable[Change]) -> Keys:
    """What the changes do in all, to a state that is not looked at; none of them is altered.

    Raises:
        ReplayMismatch: one does not fit those before it.

    Example:
        >>> delta = compose([Set(("plan", "step"), 1), Set(("plan", "step"), 2)])
        >>> list(changes_of(delta))
        [Set(path=('plan', 'step'), value=2)]
    """
    root = Keys()
    for change in changes:
        _edit(root, change.path, change)
    return root


def _edit(holder: Node, parts: Path, change: Change) -> None:
    """Note a change to what stands at `parts` below `holder`."""
    part, rest = parts[0], parts[1:]
    if isinstance(holder, Keys) and isinstance(part, str):
        _note(cast("dict[str | int, Node]", holder.keys), part, rest, change)
    elif isinstance(holder, Items) and isinstance(part, int):
        items, at = holder.find(part)
        if items is not None:
            if rest or not isinstance(change, Set):
                holder.make_own(items, at)
            apply({HERE: items}, copies([replace(change, path=(HERE, at, *rest))]))
        elif isinstance(change, Delete) and not rest:
            raise _misfit(change)
        else:
            _note(cast("dict[str | int, Node]", holder.edits), at, rest, change)
    else:
        raise _misfit(change)


def _note(nodes: dict[str | int, Node], part: str | int, rest: Path, change: Change) -> None:
    node = nodes.get(part)
    if not rest and isinstance(change, Set):
        if isinstance(node, Put) and node.value is ABSENT:
            del nodes[part]  # it comes again, after all that came since it went
        nodes[part] = _put(node, change.value)
    elif not rest and isinstance(change, Delete):
        nodes[part] = Put(ABSENT, gone=True, had=node.had if isinstance(node, Put) else True)
    elif isinstance(node, Put):
        _edit_put(node, rest, change)
    else:
        if node is None:
            node = nodes[part] = _untouched(rest, change)
        if rest:
            _edit(node, rest, change)
        else:
            _alter(node, change)


def _put(node: Node | None, value: Any) -> Put:
    if isinstance(node, Put):
        return Put(value, node.gone, node.had)
    return Put(value, had=None if node is None else True)


def _edit_put(node: Put, rest: Path, change: Change) -> None:
    if node.value is ABSENT:
        raise _misfit(change)
    if not node.own:
        node.value, node.own = take(node.value), True
    section = {HERE: node.value}
    apply(section, copies([replace(change, path=(HERE, *rest))]))
    node.value = section[HERE]


def _untouched(rest: Path, change: Change) -> Node:
    """The delta without edits of what a change with this path must have found."""
    if rest:
        return Keys() if isinstance(rest[0], str) else Items()
    if isinstance(change, Members):
        return Membership()
    return Items() if isinstance(change, Splice) and type(change.items) is list else Text()


def _alter(node: Node, change: Change) -> None:
    if isinstance(change, Members) and isinstance(node, Membership):
        _exchange(change.removed, node.added, node.removed)
        _exchange(change.added, node.removed, node.added)
    elif isinstance(change, Splice) and isinstance(node, Items) and type(change.items) is list:
        node.splice(change.start, change.removed, change.items)
    elif isinstance(change, Splice) and isinstance(node, Text) and type(change.items) is not list:
        node.splices.append((change.start, change.removed, cast("str | bytes", change.items)))
    else:
        raise _misfit(change)


def _exchange(
    members: list[Any], undone: dict[bytes, list[Any]], done: dict[bytes, list[Any]]
) -> None:
    """Note members, unless all it does is to undo what was noted the other way."""
    for member in members:
        packed = pack(member)
        if packed in undone:
            undone[packed].pop()
            if not undone[packed]:
                del undone[packed]
        else:
            done.setdefault(packed, []).append(member)


def _misfit(change: Change) -> ReplayMismatch:
    return ReplayMismatch(f"cannot {describe(change)}: it does not fit the changes before it")


# ---- asking ---------------------------------------------------------------------------------


def settle(node: Node, path: Path = ()) -> Asking:
    """Find out what changes alone do not tell: whether a key that they set and deleted was there.

    Args:
        node: is brought up to date.
        path: where it stands in the base.
    """
    if isinstance(node, Keys):
        for key in list(node.keys):
            yield from _settle_key(node.keys, key, (*path, key))
    elif isinstance(node, Items):
        for at, item in node.edits.items():
            yield from settle(item, (*path, at))


def _settle_key(keys: dict[str, Node], key: str, path: Path) -> Asking:
    node = keys[key]
    if not isinstance(node, Put):
        yield from settle(node, path)
    elif node.gone and node.had is None:
        node.had = (yield path) is not ABSENT
        if not node.had and node.value is ABSENT:
            del keys[key]


# ---- to changes -----------------------------------------------------------------------------


def changes_of(node: Node, path: Path = ()) -> Iterator[Change]:
    """The delta as changes that can be applied to the base; `settle` it before.

    Their values are those of the delta, not copies.

    Args:
        node: of the value at `path`; of a whole state without one.
        path: where it is to be made.
    """
    if isinstance(node, Keys):
        for key, inner in node.keys.items():
            yield from changes_of(inner, (*path, key))
    elif isinstance(node, Items):
        for at, inner in node.edits.items():
            yield from changes_of(inner, (*path, at))
        # From the end on, so that positions before a splice stay as they are in the base.
        for hunk in reversed(node.hunks()):
            yield Splice(path, hunk.start, hunk.removed, hunk.items)
    elif isinstance(node, Text):
        for start, removed, units in node.splices:
            yield Splice(path, start, removed, units)
    elif isinstance(node, Membership):
        if node.removed or node.added:
            yield Members(path, _all_of(node.removed), _all_of(node.added))
    else:
        yield from _changes_of_put(node, path)


def _changes_of_put(node: Put, path: Path) -> Iterator[Change]:
    if node.gone and node.had is not False:
        yield Delete(path)
    if node.value is not ABSENT:
        yield Set(path, node.value)


def _all_of(members: dict[bytes, list[Any]]) -> list[Any]:
    return [each for some in members.values() for each in some]


def value_of(node: Node | None, base: Any) -> Any:
    """What the value `base` became, without touching it; `ABSENT` if it went.

    Example:
        >>> value_of(Keys({"step": Put(2)}), {"step": 1})
        {'step': 2}
    """
    if node is None:
        return base
    if isinstance(node, Put):
        return node.value
    section = {HERE: take(base)}
    apply(section, copies(changes_of(node, (HERE,))))
    return section[HERE]
