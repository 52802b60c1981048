"""Replaying all of a state's history, each record once, whatever branches share it (P5, P6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from perdure.core import chain
from perdure.core.head import Branch, Head, Snapshot
from perdure.core.lineage import bases_at
from perdure.core.page import Ref
from perdure.core.record import Record, changes_of
from perdure.core.seal import damaged
from perdure.core.tree import build, building
from perdure.core.tree_along import Along
from perdure.core.tree_edit import edit
from perdure.core.tree_read import read_root, read_value
from perdure.core.values import take
from perdure.engine.lines import every_span
from perdure.engine.pages import in_pieces, walk
from perdure.engine.past import every_run
from perdure.engine.read import (
    Site,
    joined,
    next_records,
    replay_one,
)
from perdure.engine.requests import Run, Steps
from perdure.engine.unfit import unlinked
from perdure.errors import Damaged, ReplayMismatch, retold

_EDITING = 10
"""How much longer a byte takes when a tree is edited than when one is made along it (times)."""


class Visitor(Protocol):
    """Who goes over all records of a life, each with the state before it."""

    compares: bool
    """Whether a snapshot that the changes since another lead to need not be met."""

    def record(self, sections: dict[str, Any], record: Record) -> None:
        """Apply a record to the state before it."""

    def tree(self, sections: dict[str, Any], root: Ref, number: int) -> None:
        """The state at a checkpoint, which a snapshot keeps, or what stands in for a past."""


class Comparing:
    """Who compares what snapshots keep with what replaying gives, and notes what was redacted."""

    compares = True

    def __init__(self, site: Site, head: Head) -> None:
        self._site, self._head = site, head
        self.redacted: list[tuple[int, int, bytes]] = []
        """Line and number of each redacted record, and the leaf of what it holds by now."""

    def record(self, sections: dict[str, Any], record: Record) -> None:
        """Apply a record to the state before it."""
        replay_one(record, sections)
        if record.is_redacted:
            leaf = record.content_leaf(self._head.incarnation)
            self.redacted.append((record.line, record.number, leaf))

    def tree(self, sections: dict[str, Any], root: Ref, number: int) -> None:
        """Compare the state at a checkpoint with its snapshot.

        Raises:
            ReplayMismatch: they differ.
        """
        if build(sections, self._head.secret).root != root:
            raise ReplayMismatch(
                f"the snapshot at checkpoint {number} of {self._site.key!r} is not what "
                "replaying its records gives; `maintain` makes later ones, and all "
                "checkpoints can be read from the records"
            )


class _Stretch(msgspec.Struct, eq=False):
    """Records of one line without a gap, and what is to be checked of them."""

    run: Run
    base: Snapshot | None = None
    """What stands in for what was pruned before them."""
    hashes: dict[int, bytes] = {}
    """What the chain must arrive at, by number: where branches stand or stood, and cuts."""
    ids: dict[int, bytes] = {}
    """Of the records that branches stand on, or stood on."""
    roots: dict[int, Ref] = {}
    """Snapshots at these records."""
    above: dict[int, dict[_Stretch, None]] = {}
    """Stretches that begin with the state at one of these records."""
    parent: bytes = chain.ORIGIN
    """The chain's hash before them, where they begin by themselves."""
    records: int = 0
    """How many there are in it and in all that are above it."""


class _Begun(msgspec.Struct, eq=False):
    """A stretch that is to be replayed, or the rest of it."""

    stretch: _Stretch
    number: int
    """Of the next record."""
    parent: bytes
    left: int
    """How many records are to be replayed in it and in all that are above it yet."""
    sections: dict[str, Any] | None = None
    """The state so far; None: it is not read yet."""
    own: set[str] | None = None
    """Sections that this may change, as no other that is to be replayed has them; None: all."""
    ready: Sequence[Record] = ()
    """The next records, read and linked."""
    tree: Ref | None = None
    """The newest snapshot that was found to be what its records give, if it may be edited."""
    since: list[Record] = []
    """The records after it."""
    changed_bytes: int = 0
    """How long those are."""

    def pass_by(self, records: Sequence[Record]) -> None:
        """Note that these, the next ones, were replayed."""
        self.number += len(records)
        self.left -= len(records)


class _Life(msgspec.Struct, frozen=True, eq=False):
    """A life whose records are gone over, and who does."""

    site: Site
    head: Head
    visitor: Visitor
    along: Along

    def is_tree_of(self, root: Ref, sections: dict[str, Any]) -> Steps[bool]:
        """Whether a tree is that of a state, as far as its pages can be read."""
        try:
            making = self.along.is_tree_of(root, sections)
            return (yield from walk(self.site, self.head.incarnation, making))
        except Damaged:  # of a page: told by who reads all of them
            return False


class _Stretches:
    """All stretches of a life, by their lines."""

    def __init__(self, runs: Iterable[Run]) -> None:
        self.every = [_Stretch(run) for run in joined(runs)]
        self._by_line: dict[int, list[_Stretch]] = {}
        for each in self.every:
            self._by_line.setdefault(each.run.line, []).append(each)

    def at(self, line: int, number: int) -> _Stretch | None:
        """The stretch that has a record, if any has."""
        every = self._by_line.get(line, ())
        return next((each for each in every if each.run.first <= number <= each.run.last), None)


def replay_all(site: Site, head: Head, visitor: Visitor | None = None) -> Steps[list[Ref]]:
    """Read and replay every record of a life, and compare what snapshots keep; their roots.

    A `visitor` is given every record, and every snapshot, instead.

    Raises:
        Damaged: a record is missing or not what was saved, or the chain is broken.
        ReplayMismatch: a change does not fit, or a snapshot is not what the records give.
    """
    stretches = yield from _stretches(site, head)
    below = {id(above) for each in stretches for some in each.above.values() for above in some}
    _count_records(stretches)
    firsts = [each for each in stretches if id(each) not in below]
    begun = [_Begun(each, each.run.first, each.parent, each.records) for each in firsts]
    life = _Life(site, head, visitor or Comparing(site, head), Along(head.secret))
    while begun:
        begun += yield from _replayed(life, begun.pop())
    roots = [root for each in stretches for root in each.roots.values()]
    roots += [each.base.root for each in stretches if each.base is not None]
    return list({root.id: root for root in roots}.values())


def _stretches(site: Site, head: Head) -> Steps[list[_Stretch]]:
    """What is to be replayed, with all that is known of it."""
    tips = [tip for _, tip in (yield from every_run(site, head))]
    spans_of_all = yield from every_span(site, head, tips)
    stretches = _Stretches(run for runs in spans_of_all for run in runs)
    for tip, runs in zip(tips, spans_of_all, strict=True):
        if not runs:
            what = f"a branch of {site.key!r} stands on no checkpoint that it has"
            raise damaged(site.store, what, "truncated", f"state {site.key!r}")
        _told_by(tip, runs, stretches)
    return stretches.every


def _told_by(tip: Branch, runs: list[Run], stretches: _Stretches) -> None:
    """Note what one run tells of the stretches that it is on."""
    below: _Stretch | None = None
    for run, before in zip(runs, [None, *runs], strict=False):
        stretch = stretches.at(run.line, run.first)
        assert stretch is not None
        if before is not None and below is not None and below is not stretch:
            _put_above(below, before.last, stretch)
        below = stretch
        for snapshot in tip.snapshots or ():
            if run.first <= snapshot.number <= run.last:
                stretch.roots[snapshot.number] = snapshot.root
    assert below is not None
    below.hashes[tip.number], below.ids[tip.number] = tip.hash, tip.record
    if tip.cut is not None:
        _cut_off(tip, runs[0], stretches)


def _cut_off(tip: Branch, lowest: Run, stretches: _Stretches) -> None:
    """Where the past of a run was pruned it begins with its base; unless others have that past."""
    assert tip.cut is not None
    stretch = stretches.at(lowest.line, lowest.first)
    bases = bases_at(tip, tip.cut.number)
    below = stretches.at(bases[0].line, tip.cut.number) if bases else None
    assert stretch is not None
    if below is None:
        stretch.base, stretch.parent = tip.base_tree, tip.cut.hash
        return
    below.hashes[tip.cut.number] = tip.cut.hash
    if tip.base_tree is not None:
        below.roots[tip.cut.number] = tip.base_tree.root
    if below is not stretch:
        _put_above(below, tip.cut.number, stretch)


def _put_above(below: _Stretch, number: int, stretch: _Stretch) -> None:
    below.above.setdefault(number, {})[stretch] = None


def _count_records(stretches: Iterable[_Stretch]) -> None:
    """Tell each stretch how many records there are in it and above it."""
    todo = [(each, False) for each in stretches]
    while todo:
        each, is_after_those_above = todo.pop()
        above = [one for some in each.above.values() for one in some]
        if is_after_those_above:
            each.records = each.run.last - each.run.first + 1 + sum(one.records for one in above)
        elif not each.records:
            todo.append((each, True))
            todo += ((one, False) for one in above)


def _replayed(life: _Life, now: _Begun) -> Steps[list[_Begun]]:
    """Replay a stretch up to a record that others begin at; its rest and those are the answer.

    The last of them is to be replayed first, with all that is above it. It has the fewest records:
    so of however many lines, few are begun at a time, and what is copied for each is little.
    """
    stretch = now.stretch
    if now.sections is None:
        now.sections = yield from _before(life, stretch)
        if stretch.base is not None and not life.visitor.compares:  # which was just done
            life.visitor.tree(now.sections, stretch.base.root, stretch.base.number)
    while now.number <= stretch.run.last:
        rest = Run(stretch.run.line, now.number, stretch.run.last)
        records = now.ready or (yield from next_records(life.site, life.head, rest))
        now.ready = ()
        for at, record in enumerate(records, 1):
            _check(life, now, now.sections, record)
            if record.number in stretch.roots:
                yield from _meet_tree(life, now, now.sections, record.number)
            if record.number in stretch.above:
                now.pass_by(records[:at])
                now.ready = records[at:]
                return _parted(now, record)
        now.pass_by(records)
    return []


def _parted(now: _Begun, record: Record) -> list[_Begun]:
    """The rest of a stretch, and those that begin at this record of it, the largest first."""
    assert now.sections is not None
    begun: list[_Begun] = []
    for above in now.stretch.above[record.number]:
        state = dict(now.sections)
        begun.append(_Begun(above, above.run.first, record.hash, above.records, state, set()))
        now.left -= above.records
    if now.number <= now.stretch.run.last:
        begun.append(now)
    begun.sort(key=lambda each: -each.left)
    # When its turn comes nobody else has what it has.
    begun[0].own = now.own
    if begun[0] is not now:
        now.own = set()
    return begun


def _make_own(own: set[str], sections: dict[str, Any], record: Record) -> None:
    """Copy what a record changes of what others still need as it is."""
    for name in record.sections():
        if name not in own and name in sections:
            sections[name] = take(sections[name])
        own.add(name)


def _before(life: _Life, stretch: _Stretch) -> Steps[dict[str, Any]]:
    """The state that a stretch begins with, which no other leads to."""
    site, head = life.site, life.head
    if stretch.parent == chain.ORIGIN:
        return {}
    if stretch.base is None:
        what = f"what stands in for the pruned past of {site.key!r}"
        upto = f"up to checkpoint {stretch.run.first - 1} is missing"
        raise damaged(site.store, f"{what} {upto}", "missing", what)
    root = stretch.base.root
    try:
        sections = yield from whole_tree(site, head, root)
    except Damaged as error:
        raise retold(
            error,
            f"{error}. It stands in for what was pruned of {site.key!r} up to checkpoint "
            f"{stretch.base.number}, and both copies are lost. Restore the store from a backup",
        ) from error
    if (yield from life.is_tree_of(root, sections)):
        return sections
    built = yield from in_pieces(building(sections, head.secret))
    if built.root != root:
        raise ReplayMismatch(
            f"the snapshot at checkpoint {stretch.base.number} of {site.key!r}, which stands in "
            "for what was pruned, is not what it says. Restore the store from a backup"
        )
    return sections


def whole_tree(site: Site, head: Head, root: Ref) -> Steps[dict[str, Any]]:
    """The sections that a tree of pages holds."""
    sections: dict[str, Any] = yield from walk(site, head.incarnation, read_root(root))
    for name, value in sections.items():
        if type(value) is Ref:
            sections[name] = yield from walk(site, head.incarnation, read_value(value))
    return sections


def _check(life: _Life, now: _Begun, sections: dict[str, Any], record: Record) -> None:
    """One record, as the next of its stretch."""
    stretch, number = now.stretch, record.number
    if record.parent != now.parent:
        raise unlinked(life.site, record)
    if number in stretch.hashes:
        is_tip = stretch.hashes[number] == record.hash
        if not is_tip or stretch.ids.get(number, record.id) != record.id:
            raise unlinked(life.site, record)
    if now.own is not None:
        _make_own(now.own, sections, record)
    life.visitor.record(sections, record)
    now.parent = record.hash
    if now.tree is not None:
        _note(now, record)


def _note(now: _Begun, record: Record) -> None:
    """Keep a record for who edits the tree before it; until that would take too long."""
    now.since.append(record)
    now.changed_bytes += len(record.canonical)
    if _EDITING * now.changed_bytes > max(root.bytes for root in now.stretch.roots.values()):
        now.tree, now.since = None, []


def _meet_tree(life: _Life, now: _Begun, sections: dict[str, Any], number: int) -> Steps[None]:
    """The snapshot at a record."""
    root = now.stretch.roots[number]
    is_met = life.visitor.compares and (
        (yield from _follows(life, now, root, number))
        or (yield from life.is_tree_of(root, sections))
    )
    if not is_met:
        life.visitor.tree(sections, root, number)
    if life.visitor.compares and number != max(now.stretch.roots):
        now.tree, now.since, now.changed_bytes = root, [], 0


def _follows(life: _Life, now: _Begun, root: Ref, number: int) -> Steps[bool]:
    """Whether the changes since the snapshot before lead to this one, for certain.

    That costs what was changed, so it is for little. The first and the last of a stretch are held
    against the whole state all the same: how a tree is edited does not alone decide what is right.
    """
    if now.tree is None or number == max(now.stretch.roots):
        return False
    if _EDITING * now.changed_bytes > root.bytes:
        return False
    changes, secret = changes_of(now.since), life.head.secret
    try:
        editing = edit(now.tree, changes, secret)
        edited = yield from walk(life.site, life.head.incarnation, editing)
    except (Damaged, ReplayMismatch):  # of a page: told by who reads all of them
        return False
    return edited.root == root
