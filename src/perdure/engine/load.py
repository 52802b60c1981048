"""States: rebuilt from the nearest snapshot and the records after it, as far as they are wanted.

A snapshot whose pages cannot be used is passed over for an older one, and in the end for the log,
which has every checkpoint. So a damaged page costs time, and a damaged record only what no snapshot
after it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

from perdure.core.changes import Change, Set, apply, moves_of, reordered
from perdure.core.head import MAIN, Branch, Head, Snapshot
from perdure.core.page import Ref
from perdure.core.record import Record
from perdure.core.tree_read import read_root, read_value
from perdure.engine.pages import walk
from perdure.engine.read import Site, check_run, find, newer_than_head, read_head, read_run, replay
from perdure.engine.requests import PageRow, ReadState, Steps
from perdure.errors import Damaged, Malformed, ReplayMismatch

Wanted: TypeAlias = Callable[[str], bool]
"""Whether a section is to be loaded, by its name."""


def everything(_name: str) -> bool:
    """All sections are wanted."""
    return True


class Unread(msgspec.Struct, frozen=True):
    """A section that was not loaded: where it is kept, and what changed in it since."""

    snapshot: int
    """Number of the checkpoint at which `ref` is what it holds."""
    ref: Ref | None
    changes: list[Change]
    front: list[Any] | None = None
    """Of a window of a list that was read whole: the items before it."""


class Loaded(msgspec.Struct, frozen=True):
    """A state as of one moment."""

    head: Head
    sections: dict[str, Any]
    """In order; `Unread` in place of one that was not wanted."""
    last: Record | None
    """The newest record, where there is one."""


def load(site: Site, branch: str = MAIN, wanted: Wanted = everything) -> Steps[Loaded | None]:
    """The newest state under the key, in one round trip; None if there is no head.

    More are made for pages of sections that are wanted. A deleted state is loaded as a head without
    sections: what a new life of the key is built on.
    """
    rows = yield ReadState(site.key)
    if rows is None:
        return None
    head = site.head(rows.head)
    if head.deleted_us is not None:
        return Loaded(head, {}, None)
    tip = head.branches[branch]
    newest = tip.newest
    after = newest.number if newest is not None else 0
    if rows.records and rows.records[-1].number > tip.number:
        raise newer_than_head(site, tip.line, rows.records[-1].number)
    records = site.run(head.incarnation, rows.records, after + 1, tip.number)
    check_run(site, records, tip, after)
    last = records[-1] if records else None
    try:
        sections = yield from _sections(site, head, newest, records, wanted, rows.pages)
    except Damaged:
        if newest is None:
            raise
        sections, _ = yield from state_at(site, head, tip, tip.number, wanted, below=newest.number)
    return Loaded(head, sections, last)


def load_at(site: Site, ref: int | str, branch: str = MAIN) -> Steps[Loaded]:
    """The state as it was at a checkpoint."""
    head = yield from read_head(site)
    number = yield from find(site, head, branch, ref)
    tip = head.branches[branch]
    sections, last = yield from state_at(site, head, tip, number)
    if last is None:
        (last,) = yield from read_run(site, head, tip.line, number, number)
    return Loaded(head, sections, last)


def state_at(
    site: Site,
    head: Head,
    tip: Branch,
    number: int,
    wanted: Wanted = everything,
    *,
    below: int | None = None,
) -> Steps[tuple[dict[str, Any], Record | None]]:
    """The sections at a checkpoint, and its record if one was read for it.

    Begins at the nearest snapshot, older than `below` if that is given, that can be used.

    Raises:
        Damaged: the log cannot be used either.
    """
    most = number if below is None else min(number, below - 1)
    usable: list[Snapshot | None] = [each for each in tip.snapshots or () if each.number <= most]
    for snapshot in [*usable, None]:
        after = snapshot.number if snapshot is not None else 0
        try:
            records = yield from read_run(site, head, tip.line, after + 1, number)
            if number == tip.number:
                check_run(site, records, tip, after)
            sections = yield from _sections(site, head, snapshot, records, wanted)
        except Damaged:
            if snapshot is None:
                raise
            continue
        return sections, records[-1] if records else None
    raise AssertionError("the log was not tried")


def read_section(site: Site, head: Head, branch: str, name: str, unread: Unread) -> Steps[Any]:
    """The value of a section that was not loaded, at the session's checkpoint."""
    assert unread.ref is not None
    try:
        value = yield from walk(site, head.incarnation, read_value(unread.ref))
    except Damaged:
        # Collected meanwhile, or damaged: planned again, at the same checkpoint.
        tip = head.branches[branch]
        sections, _ = yield from state_at(
            site, head, tip, unread.snapshot, lambda each: each == name, below=unread.snapshot
        )
        value = sections[name]
    holder = {name: value}
    apply(holder, unread.changes)
    return holder[name]


def _sections(
    site: Site,
    head: Head,
    snapshot: Snapshot | None,
    records: Sequence[Record],
    wanted: Wanted,
    known: Iterable[PageRow] = (),
) -> Steps[dict[str, Any]]:
    """What a snapshot and the records after it make; the values of wanted sections read."""
    if snapshot is None:
        return replay(records)
    incarnation = head.incarnation
    base = yield from walk(site, incarnation, read_root(snapshot.root), known)
    changes = _all(records)
    changed = _by_section(changes)
    moves = moves_of(change for _, change in changes)
    sections: dict[str, Any] = {}
    for name in reordered(base, moves):
        value, rest = _since_set(base.get(name), changed.get(name, []))
        if type(value) is Ref:
            if not wanted(name):
                unread = Unread(snapshot.number, value, [change for _, change in rest])
                sections[name] = unread
                continue
            value = yield from walk(site, incarnation, read_value(value))
        sections[name] = _changed(name, value, rest)
    return sections


_Numbered: TypeAlias = tuple[int, Change]


def _all(records: Iterable[Record]) -> list[_Numbered]:
    """Every change with the number of its record."""
    changes: list[_Numbered] = []
    for record in records:
        try:
            changes += ((record.number, change) for change in record.changes())
        except Malformed as error:
            raise Malformed(f"checkpoint {record.number} does not apply: {error}") from error
    return changes


def _by_section(changes: Iterable[_Numbered]) -> dict[str, list[_Numbered]]:
    found: dict[str, list[_Numbered]] = {}
    for number, change in changes:
        found.setdefault(str(change.path[0]), []).append((number, change))
    return found


def _since_set(base: Any, changes: list[_Numbered]) -> tuple[Any, list[_Numbered]]:
    """What a section begins with, and what changed it since: from where it was last set whole."""
    for at in range(len(changes) - 1, -1, -1):
        change = changes[at][1]
        if len(change.path) == 1 and isinstance(change, Set):
            return change.value, changes[at + 1 :]
    return base, changes


def _changed(name: str, value: Any, changes: Iterable[_Numbered]) -> Any:
    holder = {name: value}
    for number, change in changes:
        try:
            apply(holder, [change])
        except ReplayMismatch as error:
            raise ReplayMismatch(f"checkpoint {number} does not apply: {error}") from error
    return holder[name]
