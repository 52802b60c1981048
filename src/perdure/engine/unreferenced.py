"""What is stored and nothing refers to: harmless, unless it is newer than the head of its state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from perdure import limits
from perdure.core.head import Head, lives
from perdure.core.journal import JOURNAL_LINE
from perdure.engine.lines import every_span
from perdure.engine.past import every_run
from perdure.engine.read import (
    Site,
)
from perdure.engine.requests import HeadRow, Held, ListHeads, ListHeld, ListStaged, ReadHead, Steps
from perdure.engine.unfit import newer_than_head
from perdure.errors import PerdureError
from perdure.reports import Unreferenced


def pages_of(
    head: Head, sizes: Mapping[bytes, int], reached: Iterable[bytes]
) -> list[Unreferenced]:
    """The pages of a life, given by id with their sizes, that its snapshots do not reach."""
    left = sizes.keys() - set(reached)
    if not left:
        return []
    size = sum(sizes[id_] for id_ in left)
    return [Unreferenced("pages", len(left), size, head.incarnation.hex())]


def records_of(site: Site, head: Head) -> Steps[list[Unreferenced]]:
    """The rows of a life on lines that none of its branches has.

    Raises:
        Damaged: there are records newer than the head: an older head was put in its place (P5).
    """
    found = []
    lines = {tip.line for tip in head.branches.values()}
    is_complete = False
    held: tuple[Held, ...] = yield ListHeld(head.incarnation, 1)
    for each in held:
        if each.incarnation != head.incarnation or each.line is None:
            continue
        if _is_newer(each, head):
            yield from _require_saved_meanwhile(site, each)
            continue
        if each.line not in lines and not is_complete:
            lines, is_complete = (yield from named_lines(site, head)), True
        if each.line not in lines and each.line != JOURNAL_LINE:
            found.append(_told("records", each))
    return found


def named_lines(site: Site, head: Head) -> Steps[set[int]]:
    """The lines of every branch, and of all that a branch ever left."""
    tips = [tip for _, tip in (yield from every_run(site, head))]
    spans_of_all = yield from every_span(site, head, tips)
    return {*(tip.line for tip in tips), *(run.line for runs in spans_of_all for run in runs)}


def _is_newer(held: Held, head: Head) -> bool:
    """Whether these rows are of a line, or reach a number, that the head has not come to."""
    assert held.line is not None
    if held.line == JOURNAL_LINE:
        return held.last > (head.journal.number if head.journal is not None else 0)
    numbers = (each.number for each in head.branches.values() if each.line == held.line)
    return held.line >= head.lines or held.last > max(numbers, default=held.last)


def _require_saved_meanwhile(site: Site, held: Held) -> Steps[None]:
    """Rows become visible with the head that names them: a head read after them has come so far."""
    row: HeadRow | None = yield ReadHead(site.key)
    for life in lives(site.head(row)) if row is not None else ():
        if life.incarnation == held.incarnation and _is_newer(held, life):
            raise newer_than_head(site, held.line or 0, held.last)


def in_store(store: bytes) -> Steps[list[Unreferenced]]:
    """What is stored of incarnations that no head names.

    Where a head cannot be read, only stagings are told: the rest may be what it names.
    """
    held = yield from _all_held()
    staged: dict[bytes, int] = dict((yield ListStaged()))
    named = yield from named_in(store)
    found = []
    for each in held:
        if each.incarnation in staged:
            found.append(_told("staged", each))
        elif named is not None and each.incarnation not in named:
            # A staging that was given up since is not there any more.
            again: tuple[Held, ...] = yield ListHeld(each.incarnation, 1)
            if each in again:
                found.append(_told("headless", each))
    return found


def _all_held() -> Steps[list[Held]]:
    found: list[Held] = []
    at: bytes | None = b""
    while at is not None:
        some: tuple[Held, ...] = yield ListHeld(at, limits.incarnations_listed_max)
        found += some
        at = some[-1].incarnation + b"\0" if some else None
    return found


def named_in(store: bytes) -> Steps[set[bytes] | None]:
    """Every incarnation that a head names; None if a head cannot be read."""
    named: set[bytes] = set()
    after: str | None = None
    while True:
        rows: tuple[tuple[str, HeadRow], ...] = yield ListHeads("", after, limits.heads_listed_max)
        for key, row in rows:
            try:
                named.update(life.incarnation for life in lives(Site(store, key).head(row)))
            except PerdureError:
                return None
        if len(rows) < limits.heads_listed_max:
            return named
        after = rows[-1][0]


def _told(what: str, held: Held) -> Unreferenced:
    return Unreferenced(what, held.count, held.bytes, held.incarnation.hex())  # type: ignore[arg-type]  # one of its words
