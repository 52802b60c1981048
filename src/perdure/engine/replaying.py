"""Replaying all of a state's history, each record once, whatever branches share it (P5, P6)."""

from __future__ import annotations

from typing import Any

import msgspec

from perdure.core import chain
from perdure.core.head import Base, Branch, Head
from perdure.core.page import Ref
from perdure.core.record import Record
from perdure.core.tree import build
from perdure.core.values import take
from perdure.engine.journal import left_tips
from perdure.engine.parked import all_branches
from perdure.engine.read import Site, check_links, read_groups, replay, spans
from perdure.engine.requests import Run, Steps
from perdure.errors import Damaged, ReplayMismatch


class _Line(msgspec.Struct):
    """What is to be checked of one line."""

    base: Base | None
    last: int = 0
    tips: dict[int, Branch] = {}
    """Branches that stand, or stood, on one of its records, by number."""
    roots: dict[int, Ref] = {}
    """Snapshots at its records."""
    above: dict[int, list[int]] = {}
    """Lines based on its records."""


class _Begun(msgspec.Struct):
    """A line that is to be replayed: from the state at its base."""

    line: int
    sections: dict[str, Any]
    parent: bytes


def replay_all(site: Site, head: Head) -> Steps[list[Ref]]:
    """Read and replay every record of a life, and compare what snapshots keep; their roots.

    Raises:
        Damaged: a record is missing or not what was saved, or the chain is broken.
        ReplayMismatch: a change does not fit, or a snapshot is not what the records give.
    """
    lines = yield from _lines(site, head)
    begun = [_Begun(line, {}, chain.ORIGIN) for line, each in lines.items() if each.base is None]
    while begun:
        now = begun.pop()
        first = base.number + 1 if (base := lines[now.line].base) is not None else 1
        begun += yield from _replayed(site, head, lines, now, first)
    return list({ref.id: ref for each in lines.values() for ref in each.roots.values()}.values())


def _lines(site: Site, head: Head) -> Steps[dict[int, _Line]]:
    """Every line that a branch has, or had when it was moved."""
    tips = [*(yield from all_branches(site, head)).values()]
    tips += [tip for _, tip in (yield from left_tips(site, head))]
    lines: dict[int, _Line] = {}
    for tip in tips:
        runs = yield from spans(site, head, tip, 1, tip.number)
        below: Base | None = None
        for run in runs:
            found = lines.setdefault(run.line, _Line(below))
            found.last = max(found.last, run.last)
            if below is not None and run.line not in lines[below.line].above.get(below.number, ()):
                lines[below.line].above.setdefault(below.number, []).append(run.line)
            below = Base(run.line, run.last)
        lines[runs[-1].line].tips[tip.number] = tip
        for snapshot in tip.snapshots or ():
            holding = next(run for run in runs if run.first <= snapshot.number <= run.last)
            lines[holding.line].roots[snapshot.number] = snapshot.root
    return lines


def _replayed(
    site: Site, head: Head, lines: dict[int, _Line], now: _Begun, first: int
) -> Steps[list[_Begun]]:
    """Replay one line; those that are based on it begin with copies of the state there."""
    line, begun = lines[now.line], list[_Begun]()
    while first <= line.last:
        groups = yield from read_groups(site, head, Run(now.line, first, line.last))
        records = [record for group in groups for record in group]
        if not records or records[0].number != first:
            raise Damaged(f"record {first} on line {now.line} of {site.key!r} is missing")
        check_links(site, records)
        for record in records:
            _check(site, head, line, now, record)
            for above in line.above.get(record.number, ()):
                begun.append(_Begun(above, take(now.sections), record.hash))
        first = records[-1].number + 1
    return begun


def _check(site: Site, head: Head, line: _Line, now: _Begun, record: Record) -> None:
    """One record, as the next of its line."""
    tip = line.tips.get(record.number)
    is_tip = tip is None or (tip.hash == record.hash and tip.record == record.id)
    if record.parent != now.parent or not is_tip:
        raise Damaged(
            f"record {record.number} on line {record.line} of {site.key!r} is not the one that "
            "its chain names; it, or one before it, was replaced"
        )
    replay([record], now.sections)
    now.parent = record.hash
    root = line.roots.get(record.number)
    if root is not None and build(now.sections, head.secret).root != root:
        raise ReplayMismatch(
            f"the snapshot at checkpoint {record.number} of {site.key!r} is not what "
            "replaying its records gives; `maintain` makes later ones, and all "
            "checkpoints can be read from the records"
        )
