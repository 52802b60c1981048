"""Erasing a state for good: its lives go, receipts stay, and nobody can bring anything back (P8).

One `Erase` request does it: from then on no head leads to the lives, and the backend refuses to
store anything of them. What a crash left of it is ended by asking for the same again. See
`docs/design/0028-erasure.md`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core.claims import claims_of, origin_of
from perdure.core.erasure import Receipt, name_hash, open_receipt, seal_receipt
from perdure.core.head import MAIN, Head, brought_back, lives, succeeding
from perdure.core.head_bytes import seal_head
from perdure.engine.leases import busy, infos_of
from perdure.engine.load import load
from perdure.engine.marks import judge
from perdure.engine.parked import all_branches
from perdure.engine.read import Site
from perdure.engine.requests import (
    Committed,
    Discard,
    Erase,
    ErasedRow,
    HeadRow,
    Held,
    ListErased,
    ListHeads,
    ListHeld,
    ListRows,
    Now,
    Random,
    ReadErased,
    ReadHead,
    Steps,
)
from perdure.engine.save import HeadMoved, Position, commit, send, tail_of
from perdure.engine.view import when
from perdure.errors import (
    Busy,
    Damaged,
    Erased,
    KeyMissing,
    NewerFormat,
    PerdureError,
    StateNotFound,
    UsageError,
)
from perdure.reports import ErasedLife, Erasure
from perdure.types import LeaseInfo

CHILDREN = "perdure.children"
"""The section that names the states of children, by their names."""


class Wish(msgspec.Struct, frozen=True):
    """What of a key is to be erased, and how."""

    life: int | None = None
    """None: all lives."""
    reason: str | None = None
    keep_name: bool = False
    force: bool = False
    """Whether a living session that holds a branch does not matter."""
    dry_run: bool = False


class _Plan(msgspec.Struct, frozen=True):
    """What goes, and what it was."""

    receipts: dict[bytes, Receipt]
    """By incarnation, the oldest life first."""
    told: Erasure

    def rows(self, store: bytes) -> tuple[ErasedRow, ...]:
        """The receipts as they are stored."""
        return tuple(
            ErasedRow(each, told.at, seal_receipt(told, store=store, incarnation=each))
            for each, told in self.receipts.items()
        )


def erase(site: Site, wish: Wish) -> Steps[Erasure]:
    """Erase lives of a key, or say what that would remove.

    Raises:
        StateNotFound: there is no such state, and none was erased under this name.
        Busy: a living session holds a branch of it; or others moved its head again and again.
    """
    site, plan = site.stored(), None
    for _ in range(limits.commit_tries_max):
        head = yield from _head(site)
        chosen = _chosen(site, head, wish, plan)
        if not chosen:
            return (yield from _ended(site, wish, plan))
        assert head is not None
        plan = yield from _planned(site, head, chosen, wish)
        if wish.dry_run:
            return plan.told
        stay = [life for life in lives(head) if life not in chosen]
        if stay and head in chosen:
            yield from _step_aside(site, head, stay[-1])
        elif (yield from _erased(site, head, plan)):
            return plan.told
    raise Busy(f"{site.key!r} is being saved to all the time; nothing was erased, try again")


def _head(site: Site) -> Steps[Head | None]:
    """The head that is there; one whose key went before it was opened is looked for again."""
    row: HeadRow | None = yield ReadHead(site.key)
    while row is not None:
        try:
            return site.head(row)
        except KeyMissing:
            now: HeadRow | None = yield ReadHead(site.key)
            if now is not None and now.token == row.token:
                raise
            row = now
    return None


def _chosen(site: Site, head: Head | None, wish: Wish, plan: _Plan | None) -> list[Head]:
    """The lives that are to go: by number at first, and then those that it was; none is left."""
    every = lives(head) if head is not None else []
    if plan is not None:
        those = [life for life in every if life.incarnation in plan.receipts]
        return every if those and wish.life is None else those
    if wish.life is None:
        return every
    if isinstance(wish.life, bool) or not isinstance(wish.life, int):
        raise UsageError(
            f"a life is a number, such as `states(deleted=True)` tells, not {wish.life!r}"
        )
    if not 1 <= wish.life <= len(every):
        there = f"its lives are 1 to {len(every)}" if every else "it has none"
        raise StateNotFound(f"{site.key!r} has no life {wish.life}; {there}")
    return [every[wish.life - 1]]


def _step_aside(site: Site, head: Head, other: Head) -> Steps[None]:
    """Let a life that stays be the one that the head is of: as a deleted one, which it was."""

    def changed(now: Head) -> Head:
        ended = replace(now, deleted_us=now.deleted_us or now.updated_us)
        return replace(brought_back(ended, other.incarnation), deleted_us=other.deleted_us)

    with suppress(HeadMoved):  # it is looked at again
        yield from commit(site, Position(head, head.token), changed)


def _erased(site: Site, head: Head, plan: _Plan) -> Steps[bool]:
    """Send the request; False if the head is another by now, which may be because of it."""
    request = Erase(site.key, head.token, plan.rows(site.store))
    if head.incarnation not in plan.receipts:
        former = tuple(life for life in head.former if life.incarnation not in plan.receipts)
        left = succeeding(replace(head, former=former), head, (yield Random(16)))
        row = HeadRow(left.token, seal_head(left, store=site.store, key=site.key))
        request = replace(request, head=row, tail=tail_of(left))
    answer = yield from send(request)
    return isinstance(answer, Committed)


def _ended(site: Site, wish: Wish, plan: _Plan | None) -> Steps[Erasure]:
    """End what was begun: by an answer that was lost, or by somebody who died.

    Raises:
        StateNotFound: nothing was.
    """
    if plan is not None:
        for incarnation in plan.receipts:
            yield Discard(incarnation)
        return plan.told
    found = yield from erasures(site.store, site.key)
    if not found:
        raise StateNotFound(f"there is no state {site.key!r} in this store")
    if not wish.dry_run:
        for each in found:
            yield Discard(bytes.fromhex(each.incarnation))
    return Erasure(site.key, tuple(found), was_erased=True, dry_run=wish.dry_run)


# ---- what goes ------------------------------------------------------------------------------


def _planned(site: Site, head: Head, chosen: Sequence[Head], wish: Wish) -> Steps[_Plan]:
    now = yield Now()
    held: tuple[LeaseInfo, ...] = ()
    if head in chosen and head.deleted_us is None:
        held = tuple(each for each in (yield from infos_of(head, now)) if each.alive)
    if held and not (wish.force or wish.dry_run):
        raise busy(site, held[0], "nothing was erased; end that session, or say force=True")
    receipts, branches = {}, 0
    for number, life in enumerate(lives(head), 1):
        if life in chosen:
            receipts[life.incarnation] = yield from _receipt(site, life, number, now, wish)
            branches += len((yield from all_branches(site, life)))
    told = Erasure(
        site.key,
        tuple(told_of(each, receipt, site.key) for each, receipt in receipts.items()),
        branches=branches,
        sessions=(yield from _at_work(chosen, now)),
        leases=held,
        unknown=_unknown(chosen),
        children=(yield from _children(site, head)) if wish.dry_run and head in chosen else (),
        dry_run=wish.dry_run,
    )
    return _Plan(receipts, told)


def _receipt(site: Site, life: Head, number: int, now_us: int, wish: Wish) -> Steps[Receipt]:
    checkpoints = rows = pages = size = 0
    held: tuple[Held, ...] = yield ListHeld(life.incarnation, 1)
    for each in held:
        if each.incarnation != life.incarnation:
            continue
        size += each.bytes
        if each.line is None:
            pages = each.count
            continue
        rows += each.count
        checkpoints += yield from _records(life.incarnation, each.line, each.last)
    tip = life.branches.get(MAIN)
    return Receipt(
        at=now_us,
        name=name_hash(site.store, site.key),
        life=number,
        made=life.created_us,
        checkpoints=checkpoints,
        rows=rows,
        pages=pages,
        size=size,
        hash=tip.hash if tip is not None else b"",
        reason=wish.reason,
        key=site.key if wish.keep_name else None,
    )


def _records(incarnation: bytes, line: int, last: int) -> Steps[int]:
    """How many records the rows of a line hold."""
    found, first = 0, 0
    while True:
        rows: tuple[tuple[int, int, int, bytes], ...]
        rows = yield ListRows(incarnation, line, first, last, limits.piece_rows_max)
        found += sum(row[1] for row in rows)
        if len(rows) < limits.piece_rows_max:
            return found
        first = rows[-1][0] + 1


def _at_work(chosen: Collection[Head], now_us: int) -> Steps[int]:
    """How many sessions without an end live, as far as can be told from here."""
    count = 0
    for mark in (mark for life in chosen for mark in life.marks):
        count += (yield from judge(mark, now_us)) == "maybe running"
    return count


def _unknown(chosen: Collection[Head]) -> tuple[str, ...]:
    """The effects of which nobody knows whether they were performed; none of these is in pages."""
    return tuple(
        key for life in chosen for key, each in claims_of(life).items() if each.ended_us is None
    )


def _children(site: Site, head: Head) -> Steps[tuple[str, ...]]:
    """The states that a state names as its children; what cannot be read tells of none."""
    if head.deleted_us is not None:
        return ()
    try:
        loaded = yield from load(site, MAIN, lambda name: name == CHILDREN)
    except (Damaged, KeyMissing, NewerFormat):
        return ()
    named = loaded.sections.get(CHILDREN) if loaded is not None else None
    links = named.values() if isinstance(named, dict) else ()
    return tuple(sorted({str(each["key"]) for each in links if each.get("key")} - {site.key}))


def copies(store: bytes, began: Collection[bytes], but: str) -> Steps[tuple[str, ...]]:
    """The keys of the states that began as one of these, but for one.

    Those whose head cannot be read are not told.
    """
    found: set[str] = set()
    after: str | None = None
    while True:
        rows = yield ListHeads("", after, limits.heads_listed_max)
        for key, row in rows:
            after = key
            try:
                head = Site(store, key).head(row)
            except PerdureError:
                continue
            if key != but and any(origin_of(life) in began for life in lives(head)):
                found.add(key)
        if len(rows) < limits.heads_listed_max:
            return tuple(sorted(found))


def origins(site: Site, wish: Wish) -> Steps[set[bytes]]:
    """What the lives that are to go began as."""
    head = yield from _head(site)
    return {origin_of(life) for life in _chosen(site, head, wish, None)}


# ---- receipts -------------------------------------------------------------------------------


def erasures(store: bytes, key: str | None = None) -> Steps[list[ErasedLife]]:
    """The receipts of a store, the newest first; of one key alone, if it is given."""
    found: list[ErasedLife] = []
    after: bytes | None = None
    name = name_hash(store, key) if key is not None else None
    while True:
        rows: tuple[ErasedRow, ...] = yield ListErased(after, limits.heads_listed_max)
        for row in rows:
            after = row.incarnation
            told = _opened(store, row)
            if isinstance(told, PerdureError):
                if name is None:
                    found.append(_unreadable(row, told))
            elif name is None or told.name == name:
                found.append(told_of(row.incarnation, told, key))
        if len(rows) < limits.heads_listed_max:
            return sorted(found, key=lambda each: (each.at, each.life), reverse=True)


def _opened(store: bytes, row: ErasedRow) -> Receipt | PerdureError:
    try:
        return open_receipt(row.blob, store=store, incarnation=row.incarnation)
    except (Damaged, KeyMissing, NewerFormat) as error:
        return error


def told_of(incarnation: bytes, receipt: Receipt, key: str | None) -> ErasedLife:
    """A receipt as users see it."""
    return ErasedLife(
        *(incarnation.hex(), when(receipt.at), receipt.life, when(receipt.made)),
        *(receipt.checkpoints, receipt.rows, receipt.pages, receipt.size),
        receipt.hash.hex(),
        receipt.reason,
        receipt.key or key,
    )


def _unreadable(row: ErasedRow, error: PerdureError) -> ErasedLife:
    problem = f"{error.kind}: {error}"
    at = when(row.at_us)
    return ErasedLife(row.incarnation.hex(), at, 0, at, 0, 0, 0, 0, "", problem=problem)


def was_erased(key: str, incarnation: bytes) -> Steps[Erased | None]:
    """The error for who still has a life of a key that was erased; None: it was not."""
    rows: tuple[ErasedRow, ...] = yield ReadErased((incarnation,))
    if not rows:
        return None
    at = when(rows[0].at_us)
    return Erased(
        f"{key!r} was erased {at:%Y-%m-%d %H:%M:%S} UTC, since this session opened it; nothing was "
        "saved, and nothing of it can be brought back. Its name can be used anew: open it again",
        at=at,
    )
