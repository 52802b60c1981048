"""Branches that a head has no room for: parked in a tree of pages, found when asked for.

Every save writes the head, so it has only the branches that were saved to last. `main` is always
among them. One that is parked and saved to again is in both; what the head has is what counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.changes import Change, Delete, Set
from perdure.core.codec import pack
from perdure.core.head import MAIN, Branch, Head, told_more_of
from perdure.core.head_bytes import to_wire
from perdure.core.page import Ref
from perdure.core.tree import build
from perdure.core.tree_edit import edit
from perdure.core.tree_read import find_pair, read_keys, read_root, read_value
from perdure.engine.pages import put, walk
from perdure.engine.read import Site
from perdure.engine.requests import Random, Steps
from perdure.errors import BranchNotFound, Damaged

SECRET_BYTES = 32
NAME_BYTES = 100
"""What a name takes in memory besides its characters, about (bytes)."""


def find_branch(site: Site, head: Head, name: str) -> Steps[Branch]:
    """Where a branch stands.

    Raises:
        BranchNotFound: there is none of this name; the message names those like it.
    """
    tip = head.branches.get(name)
    if tip is not None:
        return tip
    tip = yield from find_parked(site, head, name)
    if tip is None:
        every = yield from parked_branches(site, head)
        raise _not_found(site, name, [*head.branches, *every])
    return tip


def find_parked(site: Site, head: Head, name: str) -> Steps[Branch | None]:
    """Where a branch stands that is not in the head; None: there is none of this name.

    Raises:
        Damaged: their pages cannot be read.
    """
    if head.parked is None or name in head.branches:
        return None
    if site.cache is not None:
        names = site.kept(_names_place(head, head.parked))
        if names is None:
            names = yield from walk(site, head.incarnation, read_keys(head.parked))
            _keep_names(site, head, head.parked, names)
        if pack(name) not in names:  # as of each new branch: no page is looked through for it
            return None
    found = yield from walk(site, head.incarnation, find_pair(head.parked, name))
    return (yield from _branch_of(site, head, name, found[0])) if found is not None else None


def all_branches(site: Site, head: Head) -> Steps[dict[str, Branch]]:
    """Every branch, `main` first, then by name."""
    every = {**(yield from parked_branches(site, head)), **head.branches}
    names = sorted(every, key=lambda name: (name != MAIN, name))
    return {name: every[name] for name in names}


def parked_branches(site: Site, head: Head) -> Steps[dict[str, Branch]]:
    """The branches that are not in the head, by name; in no order that means anything.

    Raises:
        Damaged: their pages cannot be read.
    """
    if head.parked is None:
        return {}
    found: dict[str, Any] = yield from walk(site, head.incarnation, read_root(head.parked))
    branches: dict[str, Branch] = {}
    for name, wire in found.items():
        if name not in head.branches:
            branches[name] = yield from _branch_of(site, head, name, wire)
    return branches


def _branch_of(site: Site, head: Head, name: str, wire: Any) -> Steps[Branch]:
    """A branch as it is parked: its fields, or the tree that keeps them."""
    if type(wire) is Ref:
        wire = yield from walk(site, head.incarnation, read_value(wire))
    try:
        return msgspec.convert(wire, Branch)
    except msgspec.ValidationError as error:
        raise Damaged(f"parked branch {name!r} of {site.key!r}: {error}") from error


def is_crowded(head: Head) -> bool:
    """Whether a head has more branches than it should."""
    return len(head.branches) > limits.branches_inline_max


def parking(site: Site, head: Head) -> Steps[tuple[Ref, bytes, set[str]]]:
    """Put the branches that were saved to longest ago into pages, until the head is half full.

    The new root, the secret it was made with, and the names that the head need not have any more.
    A branch of which a newer version wrote more than this one knows stays in the head (P10).
    """
    idle = sorted(head.branches.items(), key=lambda pair: pair[1].time_us)
    kept = {MAIN, *told_more_of(head)}
    names = [name for name, _ in idle if name not in kept]
    names = names[: len(idle) - limits.branches_inline_max // 2]
    changes: list[Change] = [Set((name,), to_wire(head.branches[name])) for name in names]
    root, secret = yield from _edited(site, head, changes)
    return root, secret, set(names)


def parked_again(site: Site, head: Head, branches: Mapping[str, Branch]) -> Steps[Ref]:
    """Put other values of branches that are parked; the new root."""
    changes: list[Change] = [Set((name,), to_wire(tip)) for name, tip in branches.items()]
    root, _ = yield from _edited(site, head, changes)
    return root


def without(site: Site, head: Head, name: str) -> Steps[tuple[Ref | None, bytes]]:
    """The parked branches without one: the new root, and the secret it was made with."""
    if head.parked is None:
        return None, head.secret
    if (yield from walk(site, head.incarnation, find_pair(head.parked, name))) is None:
        return head.parked, head.secret
    return (yield from _edited(site, head, [Delete((name,))]))


def _edited(site: Site, head: Head, changes: list[Change]) -> Steps[tuple[Ref, bytes]]:
    secret = head.secret or (yield Random(SECRET_BYTES))
    if head.parked is None:
        built = build(
            {str(each.path[0]): each.value for each in changes if type(each) is Set}, secret
        )
    else:
        built = yield from walk(site, head.incarnation, edit(head.parked, changes, secret))
    yield from put(site, head.incarnation, built.pages)
    names = site.kept(_names_place(head, head.parked)) if head.parked is not None else set()
    if names is not None:
        goes = {pack(each.path[0]) for each in changes if type(each) is Delete}
        names = (names | {pack(each.path[0]) for each in changes}) - goes
        _keep_names(site, head, built.root, names)
    return built.root, secret


def _names_place(head: Head, root: Ref) -> tuple[str, bytes, bytes]:
    """Where the packed names of parked branches are kept; a tree's id tells all that is in it."""
    return "parked", head.incarnation, root.id


def _keep_names(site: Site, head: Head, root: Ref, names: set[bytes]) -> None:
    size = sum(map(len, names)) + NAME_BYTES * len(names) + limits.cache_item_bytes
    site.keep(_names_place(head, root), names, size)


def parked_away(head: Head, root: Ref | None, secret: bytes, names: set[str]) -> Head:
    """The head whose branches of these names are parked under `root`."""
    kept = {name: tip for name, tip in head.branches.items() if name not in names}
    return replace(head, branches=kept, parked=root, secret=secret)


def _not_found(site: Site, name: str, names: list[str]) -> BranchNotFound:
    from difflib import get_close_matches  # only who errs needs it

    near = get_close_matches(name, names, limits.near_keys_named_max)
    if near:
        hint = f"Did you mean {' or '.join(map(repr, near))}?"
    else:
        more = ", …" if len(names) > limits.near_keys_named_max else ""
        hint = f"It has {', '.join(map(repr, names[: limits.near_keys_named_max]))}{more}"
    return BranchNotFound(f"{site.key!r} has no branch {name!r}. {hint}")
