"""States: rebuilt from the nearest snapshot and the records after it, as far as they are wanted.

A snapshot whose pages cannot be used is passed over for an older one, and in the end for the log,
which has every checkpoint. So a damaged page costs time, and a damaged record only what no snapshot
after it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

import msgspec

from perdure.core.head import MAIN, Branch, Head, Snapshot
from perdure.core.page import Ref
from perdure.core.record import Record
from perdure.core.refs import Ref as Ref_
from perdure.core.seal import damaged
from perdure.core.tree_read import read_root, read_value
from perdure.engine.around import UNREADABLE
from perdure.engine.latest import read_latest
from perdure.engine.pages import in_pieces, tell, walk
from perdure.engine.read import (
    Site,
    as_of_now,
    check_run,
    read_run,
    replaying,
)
from perdure.engine.refs import as_branch, find, record_at
from perdure.engine.requests import HeadRow, PageRow, ReadErased, ReadHead, Steps, Tell
from perdure.engine.unfit import pruned_below
from perdure.engine.unread import Unread, none_read
from perdure.errors import Damaged, SectionDamaged, SectionTampered, Tampered, retold

T = TypeVar("T")

Wanted: TypeAlias = Callable[[str], bool]
"""Whether a section is to be loaded, by its name."""


def everything(_name: str) -> bool:
    """All sections are wanted."""
    return True


class Loaded(msgspec.Struct, frozen=True):
    """A state as of one moment."""

    head: Head
    sections: dict[str, Any]
    """In order; `Unread` in place of one that was not wanted."""
    last: Record | None
    """The newest record, where there is one."""
    tail_bytes: int = 0
    """What the records after the newest snapshot take in the store (bytes)."""


class LoadedAt(Loaded, frozen=True, kw_only=True):
    """A state as it was at a checkpoint."""

    branch: str
    """The branch of its head that stands there."""


def load(site: Site, branch: str = MAIN, wanted: Wanted = everything) -> Steps[Loaded | None]:
    """The newest state under the key, in one round trip; None if there is no head.

    What is in the site's cache is not read again.

    More are made for pages of sections that are wanted. A deleted state is loaded as a head without
    sections: what a new life of the key is built on.
    """
    latest = yield from read_latest(site, branch)
    if latest is None:
        return None
    head, records = latest.head, latest.records
    if head.deleted_us is not None:
        return Loaded(head, {}, None)
    tip = head.branches[branch]
    newest = tip.newest
    last = records[-1] if records else None
    try:
        sections = yield from _sections(site, head, newest, records, wanted, latest.pages)
    except Damaged as error:
        if newest is None:
            raise
        yield from tell(site, error)
        try:
            before = newest.number
            sections, _ = yield from state_at(site, head, tip, tip.number, wanted, below=before)
        except Damaged:  # what is left is every section but those that are lost
            if (yield ReadErased((head.incarnation,))):  # nothing is lost: it was erased meanwhile
                return (yield from load(site, branch, wanted))
            sections = yield from _sections(site, head, newest, records, wanted, lenient=True)
    if last is None:  # the branch was moved to where a snapshot is
        (last,) = yield from read_run(site, head, tip, tip.number, tip.number)
        check_run(site, [last], tip, tip.number - 1)
    return Loaded(head, sections, last, latest.tail_bytes)


def load_at(
    site: Site, ref: Ref_, branch: str = MAIN, wanted: Wanted = everything
) -> Steps[LoadedAt]:
    """The state as it was at a checkpoint; its head says that the branch stands there.

    So sections that are not wanted are read by `read_section`, as those of the newest state are.
    """

    def loaded(head: Head) -> Steps[LoadedAt]:
        point = yield from find(site, head, branch, ref)
        sections, last = yield from state_at(site, head, point.tip, point.number, wanted)
        if last is None:
            last = yield from record_at(site, head, point)
        head = as_branch(head, point.branch, point.then(last))
        return LoadedAt(head, sections, last, branch=point.branch)

    return (yield from as_of_now(site, loaded))


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
        CheckpointPruned: it is not there any more.
    """
    if number < tip.first:
        raise pruned_below(site, tip)
    most = number if below is None else min(number, below - 1)
    usable: list[Snapshot | None] = [each for each in tip.snapshots or () if each.number <= most]
    if tip.cut is None:
        usable.append(None)
    for at, snapshot in enumerate(usable, 1):
        after = snapshot.number if snapshot is not None else 0
        try:
            records = yield from read_run(site, head, tip, after + 1, number)
            if number == tip.number:
                check_run(site, records, tip, after)
        except Damaged:
            if at == len(usable):
                raise
            continue
        try:
            sections = yield from _sections(site, head, snapshot, records, wanted)
        except Damaged as error:
            if at < len(usable):
                continue
            if tip.cut is None:
                raise
            raise retold(error, f"{error}. {_base_lost(site, tip)}") from error
        return sections, records[-1] if records else None
    raise damaged(site.store, _base_lost(site, tip), "missing", f"state {site.key!r}")


def _base_lost(site: Site, tip: Branch) -> str:
    return (
        f"{site.key!r}: what was pruned was up to checkpoint {tip.first - 1}, and the snapshot "
        "there, on which all that is newer builds, cannot be read. Restore the store from a backup"
    )


def read_section(
    site: Site, head: Head, branch: str, name: str, unread: dict[str, Unread]
) -> Steps[Any]:
    """The value of a section that was not loaded; see `use_unread`.

    Raises:
        SectionDamaged: nothing that is stored gives it.
    """

    def stored(kept: Unread) -> Steps[Any]:
        return value_of(site, head.incarnation, kept)

    return (yield from use_unread(site, head, branch, name, unread, stored, lambda value: value))


def sections_at(site: Site, head: Head, snapshot: Snapshot | None) -> Steps[dict[str, Any]]:
    """Everything that a snapshot holds; None: the state before the first record, which is empty.

    Raises:
        Damaged: a page of it cannot be used.
    """
    return (yield from _sections(site, head, snapshot, (), everything))


def value_of(site: Site, incarnation: bytes, unread: Unread) -> Steps[Any]:
    """The value of a section, from where it is kept.

    Raises:
        Damaged: a page is damaged, or not there any more.
        NewerFormat: it was changed in a way that this version does not know.
        ReplayMismatch: a change of it does not fit.
    """
    value = unread.own_base()
    if type(value) is Ref:
        value = yield from walk(site, incarnation, read_value(value))
    return (yield from in_pieces(unread.making(value)))


def use_unread(
    site: Site,
    head: Head,
    branch: str,
    name: str,
    unread: dict[str, Unread],
    use: Callable[[Unread], Steps[T]],
    use_value: Callable[[Any], T],
) -> Steps[T]:
    """Make something of a section that was not loaded, at the checkpoint that `head` says.

    Where its pages were collected meanwhile or are damaged, it is planned anew, from what is stored
    now, which `unread` is told; and in the end from older snapshots and the log.

    `use` makes it from where the section is kept, and raises `Damaged` if it cannot; `use_value`
    makes it from the section's value.

    Raises:
        SectionDamaged: nothing that is stored gives it.
    """
    try:
        return (yield from use(unread[name]))
    except Damaged as error:
        yield from tell(site, error)
        lost = error
    try:
        value = yield from _planned_anew(site, head, branch, name)
        if type(value) is Unread:
            unread[name] = value
            try:
                return (yield from use(value))
            except Damaged as error:
                lost = error
            tip, below = head.branches[branch], value.snapshot
            wanted: Wanted = name.__eq__
            sections, _ = yield from state_at(site, head, tip, tip.number, wanted, below=below)
            value = sections[name]
    except Damaged as error:
        raise _section_damaged(site, name, lost, error) from error
    return use_value(value)


def _section_damaged(site: Site, name: str, lost: Damaged, behind: Damaged) -> SectionDamaged:
    """What is told of a section of which a page is lost, and the log behind it too."""
    kind = SectionTampered if isinstance(lost, Tampered) else SectionDamaged
    return kind(
        f"section {name!r} of {site.key!r} cannot be read: {lost}; nor from what is older: "
        f"{behind}. The other sections can, and can be saved. Restore a backup, or set it anew",
        section=name,
        form=lost.form,
        place=lost.place,
    )


def _planned_anew(site: Site, head: Head, branch: str, name: str) -> Steps[Any]:
    """The section as `Unread` from the nearest snapshot that there is now; or its value."""
    row: HeadRow | None = yield ReadHead(site.key)
    now = site.head(row) if row is not None else head
    tip, number = head.branches[branch], head.branches[branch].number
    there = now.branches.get(branch)
    if now.incarnation == head.incarnation and there is not None and there.line == tip.line:
        tip = there if there.number >= number else tip
    sections, _ = yield from state_at(site, head, tip, number, lambda _: False)
    return sections[name]


def _sections(
    site: Site,
    head: Head,
    snapshot: Snapshot | None,
    records: Sequence[Record],
    wanted: Wanted,
    known: Iterable[PageRow] = (),
    *,
    lenient: bool = False,
) -> Steps[dict[str, Any]]:
    """What a snapshot and the records after it make; the values of wanted sections read.

    Of others no page is read but the snapshot's root, and no change decoded, unless it is small.
    If `lenient`, neither is one that is damaged: it fails who touches it.
    """
    if snapshot is None and wanted is everything:
        return (yield from replaying(records))
    base: dict[str, Any] = {}
    if snapshot is not None:
        base = yield from walk(site, head.incarnation, read_root(snapshot.root), known)
    sections: dict[str, Any] = {}
    number = snapshot.number if snapshot is not None else 0
    for name, kept in none_read(base, number, records).items():
        sections[name] = kept
        if wanted(name):
            try:
                sections[name] = yield from value_of(site, head.incarnation, kept)
            except Damaged as error:
                if not lenient:
                    raise
                yield Tell(f"section {name!r} of {site.key!r} cannot be read: {error}")
        elif kept.is_small:
            # What is wrong with it, or newer than this version (P10), fails who touches it.
            with suppress(*UNREADABLE):
                sections[name] = yield from value_of(site, head.incarnation, kept)
    return sections
