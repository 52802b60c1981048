"""Scrubbing: looking over what is stored, a little at a time, for damage that nobody met yet (P5).

Each round reads on from where the last one ended: a bounded number of pages, and of rows of `main`.
"""

from __future__ import annotations

import shlex

import msgspec

from perdure import limits
from perdure.core.head import MAIN, Head
from perdure.engine.around import UNREADABLE
from perdure.engine.mend import mend
from perdure.engine.pages import unusable
from perdure.engine.read import Site, next_records, spans
from perdure.engine.requests import ListPages, ReadHead, Run, Steps, Tell
from perdure.errors import Damaged


class Spot(msgspec.Struct, frozen=True):
    """Where the next round begins."""

    page: bytes | None = None
    """After this page; None: at the first."""
    number: int = 1
    """With this checkpoint of `main`."""


class Scrubbed(msgspec.Struct, frozen=True):
    """What a round came to."""

    spot: Spot
    mended: int = 0
    """Pages that were made anew."""
    problem: str | None = None
    """What was found."""


def scrub(site: Site, spot: Spot) -> Steps[Scrubbed]:
    """Look over the next part of a state, mend pages that are damaged, and tell of what is."""
    site = site.stored()
    row = yield ReadHead(site.key)
    head = site.head(row) if row is not None else None
    if head is None or head.deleted_us is not None:
        return Scrubbed(Spot())
    page, bad = yield from _pages(site, head, spot.page)
    number, problem = yield from _records(site, head, spot.number)
    problems, mended = [problem] if problem is not None else [], 0
    if bad:
        try:
            mended = yield from mend(site, head)
            problems.append(f"{mended} damaged page(s) were made anew")
        except Damaged as error:
            problems.append(str(error))
    if not problems:
        return Scrubbed(Spot(page, number))
    told = "; ".join(problems)
    yield Tell(
        f"{site.key!r} is damaged: {told}. `perdure verify {shlex.quote(site.key)}` tells all"
    )
    return Scrubbed(Spot(page, number), mended, told)


def _pages(site: Site, head: Head, after: bytes | None) -> Steps[tuple[bytes | None, bool]]:
    """Read some pages: the last of them, None after the last of all; and whether any is damaged."""
    listed = yield ListPages(head.incarnation, after, limits.scrubbed_pages_max)
    ids = [id_ for id_, _ in listed]
    bad = yield from unusable(site, head.incarnation, ids)
    if bad:  # one that was collected meanwhile is not damaged
        there = yield ListPages(head.incarnation, after, limits.scrubbed_pages_max)
        bad &= {id_ for id_, _ in there}
    is_end = len(ids) < limits.scrubbed_pages_max
    return (None if is_end else ids[-1]), bool(bad)


def _records(site: Site, head: Head, first: int) -> Steps[tuple[int, str | None]]:
    """Read some records of `main`: the number to go on with, and what is wrong with them."""
    tip = head.branches[MAIN]
    first = max(first, tip.first) if first <= tip.number else tip.first
    last = min(first + limits.scrubbed_records_max - 1, tip.number)
    try:
        for run in (yield from spans(site, head, tip, first, last)):
            number = run.first
            while number <= run.last:
                records = yield from next_records(site, head, Run(run.line, number, run.last))
                number = records[-1].number + 1
    except UNREADABLE as error:
        return last + 1, (yield from _still(site, head, f"{error.kind}: {error}"))
    return last + 1, None


def _still(site: Site, head: Head, problem: str) -> Steps[str | None]:
    """A problem, unless the state was maintained or pruned meanwhile: then nothing is lost."""
    row = yield ReadHead(site.key)
    now = site.head(row) if row is not None else None
    is_same = now is not None and now.generation == head.generation
    return problem if is_same and now is not None and now.incarnation == head.incarnation else None
