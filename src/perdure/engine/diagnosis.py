"""What is wrong with a state, all of it: every row and every page is looked at by itself (P5).

`verify` stops at the first thing that is not as it was saved. This goes on, and tells of each what
it means: which checkpoints cannot be read for it, and what helps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from perdure import limits
from perdure.core.claims import roots_of_claims
from perdure.core.head import MAIN, Branch, Head, Snapshot
from perdure.core.page import Ref, twin_of
from perdure.core.tree_read import reachable
from perdure.engine.around import UNREADABLE
from perdure.engine.pages import unusable, walk
from perdure.engine.parked import all_branches
from perdure.engine.past import every_run, runs_kept
from perdure.engine.read import Site, joined, spans
from perdure.engine.requests import LET_GO, ReadRecords, RecordRow, Run, Steps
from perdure.errors import Damaged
from perdure.reports import Damage, Remedy


class _Gap(msgspec.Struct, frozen=True):
    """Records of one line that are missing, or cannot be used."""

    line: int
    first: int
    last: int
    problem: str


def diagnose(site: Site, head: Head) -> Steps[list[Damage]]:
    """Everything of one life of a key that is missing or damaged, records first."""
    site = site.stored()
    tips, found = yield from _tips(site, head)
    spans_of: list[tuple[str, Branch, list[Run]]] = []
    for name, tip in tips:
        try:
            spans_of.append((name, tip, (yield from spans(site, head, tip, tip.first, tip.number))))
        except UNREADABLE as error:
            found.append(Damage("records", f"{error.kind}: {error}", "backup", name))
    gaps: list[_Gap] = []
    for run in joined(run for _, _, runs in spans_of for run in runs):
        gaps += yield from _gaps_in(site, head, run)
    led_to = (yield from _led_to(site, head)) if gaps else {}
    told: set[_Gap] = set()
    for name, tip, runs in spans_of:
        own = [gap for gap in gaps if _is_on(gap, runs)]
        snapshots = yield from _snapshots(site, head, name, tip, own)
        usable = [number for number, damage in snapshots if damage is None]
        is_own = led_to.get((tip.line, tip.record)) if led_to else True
        found += [_of_records(gap, name, tip, usable, is_own) for gap in own if gap not in told]
        found += [damage for _, damage in snapshots if damage is not None]
        told.update(own)
    found += yield from _of_trees(site, head, roots_of_claims(head), "claims", "")
    return found


def _tips(site: Site, head: Head) -> Steps[tuple[list[tuple[str, Branch]], list[Damage]]]:
    """What there is of a state's history; without its journal, what the head has."""
    try:
        return (yield from every_run(site, head)), []
    except UNREADABLE as error:
        lost = Damage("branches", f"{error.kind}: {error}", "backup")
        return list(head.branches.items()), [lost]


def _led_to(site: Site, head: Head) -> Steps[dict[tuple[int, bytes], bool]]:
    """The newest record of each run that branches have, and whether it is the branch's own.

    Else it is of those that pruning kept below. Empty where what tells of branches is unreadable.
    """
    found: dict[tuple[int, bytes], bool] = {}
    try:
        for tip in (yield from all_branches(site, head)).values():
            for run in (yield from runs_kept(site, head, tip)):
                place = run.line, run.record
                found[place] = run is tip or found.get(place, False)  # it may be both
    except UNREADABLE:
        return {}
    return found


def _gaps_in(site: Site, head: Head, run: Run) -> Steps[list[_Gap]]:
    """What of a run of records is missing, damaged, or does not follow the one before it."""
    gaps: list[_Gap] = []
    parent: bytes | None = None
    number = run.first
    while number <= run.last:
        rows: Sequence[RecordRow] = yield ReadRecords(
            head.incarnation, run.line, number, run.last, limits.read_bytes_max
        )
        for row in rows:
            first, last = max(row.number - row.count + 1, run.first), min(row.number, run.last)
            if last < number:
                continue
            if first > number:
                gaps.append(_Gap(run.line, number, first - 1, "missing"))
                parent = None
            parent, problem = _opened(site, head, row, run, parent)
            if problem is not None:
                gaps.append(_Gap(run.line, max(first, number), last, problem))
            number = last + 1
            yield LET_GO
        if not rows:
            gaps.append(_Gap(run.line, number, run.last, "missing"))
            break
    return _merged(gaps)


def _opened(
    site: Site, head: Head, row: RecordRow, run: Run, parent: bytes | None
) -> tuple[bytes | None, str | None]:
    """The chain's hash after a row, where that is known; and what is wrong with the row, if any."""
    try:
        records = site.run(head.incarnation, [row], run.first, run.last)
    except UNREADABLE as error:
        return None, f"{error.kind}: {error}"
    if not records:
        return None, "it holds none of the records that it says it does"
    if parent not in (None, records[0].parent):
        return records[-1].hash, "it is not the one that its chain names, or the one before is not"
    return records[-1].hash, None


def _merged(gaps: Iterable[_Gap]) -> list[_Gap]:
    """Gaps that touch, as one each."""
    found: list[_Gap] = []
    for gap in gaps:
        if found and found[-1].last + 1 == gap.first:
            gap = _Gap(gap.line, found[-1].first, gap.last, found[-1].problem)
            found.pop()
        found.append(gap)
    return found


def _is_on(gap: _Gap, runs: Iterable[Run]) -> bool:
    return any(
        run.line == gap.line and run.first <= gap.last and gap.first <= run.last for run in runs
    )


def _of_records(
    gap: _Gap, name: str, tip: Branch, usable: Sequence[int], is_own: bool | None
) -> Damage:
    """What a gap means for a run of a branch, whose snapshots in `usable` can be read.

    `is_own`: it is the branch itself; False: what pruning kept below it; None: the branch left it.
    """
    above = min((number for number in usable if number >= gap.last), default=None)
    until = tip.number if above is None else max(above - 1, gap.last)
    remedy: Remedy = "around"
    if above is None:
        is_below = gap.first > tip.first or any(number >= tip.first for number in usable)
        remedy = "last_good" if is_below else "backup"  # the base is no checkpoint to go back to
    if not is_own:
        remedy = "let_go" if is_own is None else "around"
    return Damage(
        what="records",
        problem=gap.problem,
        remedy=remedy,
        branch=name,
        first=gap.first,
        last=gap.last,
        where="tail" if gap.last >= tip.number else "middle",
        lost=(gap.first, until),
    )


def _snapshots(
    site: Site, head: Head, name: str, tip: Branch, gaps: Sequence[_Gap]
) -> Steps[list[tuple[int, Damage | None]]]:
    """Each snapshot of a branch, oldest first, with what is wrong with its pages."""
    found: list[tuple[int, Damage | None]] = []
    before = 0 if tip.cut is None else None
    for snapshot in reversed(tip.snapshots or ()):
        damage: Damage | None = None
        if snapshot == tip.base_tree:
            lost = yield from _of_trees(site, head, [snapshot.root], "base", name)
            damage = lost[0] if lost else None
        else:
            damage = yield from _of_snapshot(site, head, name, snapshot, before, gaps)
        if damage is None or damage.remedy == "repair":
            before = snapshot.number  # mended or not, what is newer can be made from it
        found.append((snapshot.number, damage))
    return found


def _of_snapshot(
    site: Site,
    head: Head,
    name: str,
    snapshot: Snapshot,
    before: int | None,
    gaps: Sequence[_Gap],
) -> Steps[Damage | None]:
    """What is wrong with a snapshot that the log can make anew from checkpoint `before` on."""
    number = snapshot.number
    bad, problem = yield from _bad_pages(site, head, [snapshot.root])
    if not bad:
        return None
    is_whole = before is not None and not any(
        gap.first <= number and gap.last > before for gap in gaps
    )
    remedy: Remedy = "repair" if is_whole else "backup"
    return Damage("snapshot", problem, remedy, name, number, number, pages=bad)


def _of_trees(
    site: Site, head: Head, roots: Sequence[Ref], what: str, name: str
) -> Steps[list[Damage]]:
    """What is wrong with pages that are kept twice."""
    if not roots:
        return []
    try:
        ids = yield from walk(site, head.incarnation, reachable(roots))
    except Damaged as error:
        return [_kept_twice(what, f"{error.kind}: {error}", "backup", name, 1)]
    bad = yield from unusable(site, head.incarnation, {*ids, *map(twin_of, ids)}, head.secret)
    if not bad:
        return []
    is_lost = any(id_ in bad and twin_of(id_) in bad for id_ in ids)
    problem = "both copies of a page are lost" if is_lost else "one copy of a page is lost"
    return [_kept_twice(what, problem, "backup" if is_lost else "repair", name, len(bad))]


def _kept_twice(what: str, problem: str, remedy: Remedy, name: str, pages: int) -> Damage:
    return Damage("base" if what == "base" else "claims", problem, remedy, name, pages=pages)


def _bad_pages(site: Site, head: Head, roots: Sequence[Ref]) -> Steps[tuple[int, str]]:
    """How many pages of trees cannot be used, one at least if they cannot be gone through."""
    try:
        ids = yield from walk(site, head.incarnation, reachable(roots))
    except Damaged as error:
        return 1, f"{error.kind}: {error}"
    bad = yield from unusable(site, head.incarnation, ids, head.secret)
    which = ", ".join(sorted(id_.hex()[:12] for id_ in bad)[: limits.damage_named_max])
    return len(bad), f"pages that are damaged or missing: {which}"


def of_head(problem: str) -> Damage:
    """What is told of a state whose head cannot be read: nothing else of it can be found."""
    return Damage("head", problem, "recover", MAIN)


def of_replay(problem: str) -> Damage:
    """What is told where everything is as it was written, and what was written is not right."""
    return Damage("replay", problem, "backup")
