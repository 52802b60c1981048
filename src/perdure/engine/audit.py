"""Looking at whole states: what they cost to keep, and whether all of it is as it was saved."""

from __future__ import annotations

from functools import partial

from perdure import limits
from perdure.core.claims import roots_beside_snapshots, roots_of_claims
from perdure.core.codec import pack
from perdure.core.head import MAIN, Head
from perdure.core.journal import JOURNAL_LINE
from perdure.core.page import twin_of
from perdure.core.record import Record
from perdure.core.seal import Kind, damaged, unseal
from perdure.core.tree_read import PAGES_AT_ONCE, reachable
from perdure.engine import diagnosis, unreferenced
from perdure.engine.load import load
from perdure.engine.mend import mend
from perdure.engine.pages import holds_what_its_id_says, page_missing, place_of, remedy, walk
from perdure.engine.past import runs_kept
from perdure.engine.read import MAX_NUMBER, Site, as_of_now, read_run
from perdure.engine.redactions import require_receipts
from perdure.engine.replaying import Comparing, replay_all
from perdure.engine.requests import (
    HeadRow,
    ListPages,
    ListRows,
    PageRow,
    ReadHead,
    ReadPages,
    Steps,
)
from perdure.engine.twins import base_trees, runs_with_snapshots
from perdure.errors import Damaged, NewerFormat, PerdureError, StateNotFound, retold
from perdure.reports import (
    Damage,
    Stats,
    Unreferenced,
    Verified,
)


def stats(site: Site) -> Steps[Stats]:
    """What a state costs, as it is stored."""
    return (yield from as_of_now(site.stored(), partial(_stats, site.stored())))


def _stats(site: Site, head: Head) -> Steps[Stats]:
    tip = head.branches[MAIN]
    records: list[Record] = []
    for run in (yield from runs_kept(site, head, tip)):
        records += yield from read_run(site, head, run, run.first, run.number)
    loaded = yield from load(site)
    sections = loaded.sections if loaded is not None else {}
    stored = yield from _stored(site, head)
    newest = tip.newest.number if tip.newest is not None else 0
    return Stats(
        key=site.key,
        checkpoints=len(records),
        raw_bytes=sum(len(record.canonical) for record in records),
        stored_bytes=sum(stored.values()),
        sections={name: len(pack(value)) for name, value in sections.items()},
        stored=stored,
        tail=tip.number - newest,
        snapshots=tuple(each.number for each in tip.snapshots or ()),
        pruned=tip.number - len(records),
    )


def _stored(site: Site, head: Head) -> Steps[dict[str, int]]:
    """Bytes by the kind of what is stored: records by themselves, packs, pages of snapshots.

    Those of every branch, of what branches left, and of the journal that tells it.
    """
    found = {"records": 0, "packs": 0, "pages": 0}
    for line in sorted((yield from unreferenced.named_lines(site, head)) | {JOURNAL_LINE}):
        first = 1
        while rows := (
            yield ListRows(head.incarnation, line, first, MAX_NUMBER, limits.upkeep_rows_max)
        ):
            for number, count, size, _ in rows:
                found["packs" if count > 1 else "records"] += size
                first = number + 1
    after: bytes | None = None
    while pages := (yield ListPages(head.incarnation, after, limits.upkeep_rows_max)):
        found["pages"] += sum(size for _, size in pages)
        after = pages[-1][0]
    return found


def verify(site: Site) -> Steps[Verified]:
    """Read everything of a state, check every tag and link, replay it, and compare snapshots (P6).

    Everything is read from the store, whatever is in the cache.

    Raises:
        StateNotFound: there is none.
    """
    site = site.stored()
    row = yield ReadHead(site.key)
    if row is None:
        raise StateNotFound(f"there is no state {site.key!r} in this store")
    number = 0
    while True:
        found: list[Unreferenced] = []
        generation = -1
        try:
            head = site.head(row)
            generation = head.generation
            number = head.branches[MAIN].number
            number = yield from _kept(site, head)
            for life in (head, *head.former):
                found += yield from _verify_life(site, life)
        except PerdureError as error:
            if isinstance(error, Damaged) and generation >= 0:  # its head could be read
                row = yield ReadHead(site.key)
                if row is not None and _generation_of(site, row) != generation:
                    continue  # maintenance came between, or a pruning: what it removed is not lost
            problem = f"{error.kind}: {error}"
            is_newer = isinstance(error, NewerFormat)  # which is no damage (P10)
            damage = () if is_newer else (yield from _all_damage(site, row, problem))
            return Verified(site.key, number, False, problem, damage=damage)
        return Verified(site.key, number, True, None, tuple(found))


def _all_damage(site: Site, row: HeadRow | None, problem: str) -> Steps[tuple[Damage, ...]]:
    """Everything that is wrong with a state, of which `problem` was met first."""
    try:
        head = site.head(row) if row is not None else None
    except PerdureError:
        head = None
    if head is None:
        return (diagnosis.of_head(problem),)
    found: list[Damage] = []
    for life in (head, *head.former):
        found += yield from diagnosis.diagnose(site, life)
    return tuple(found) or (diagnosis.of_replay(problem),)


def repair(site: Site) -> Steps[int]:
    """Make the pages anew that can be; how many those are.

    Raises:
        Damaged: something cannot be mended; it was left as it is, and the rest is mended.
    """
    site = site.stored()
    row = yield ReadHead(site.key)
    head = site.head(row) if row is not None else None
    return (yield from mend(site, head)) if head is not None else 0


def _generation_of(site: Site, row: HeadRow) -> int:
    """The generation of a head; -1, as before any was read, of one that cannot be."""
    try:
        return site.head(row).generation
    except Damaged:
        return -1


def _kept(site: Site, head: Head) -> Steps[int]:
    """How many checkpoints of `main` there are; those that were pruned are not."""
    runs = yield from runs_kept(site, head, head.branches[MAIN])
    return sum(run.number - run.first + 1 for run in runs)


def _verify_life(site: Site, head: Head) -> Steps[list[Unreferenced]]:
    """Check and replay all of one life of a key, some records at a time, and its pages.

    What is stored of it that nothing refers to is the answer.
    """
    comparing = Comparing(site, head)
    roots = yield from replay_all(site, head, comparing)
    yield from require_receipts(site, head, comparing.redacted)
    try:
        sizes, others = yield from _verify_pages(site, head)
        beside = roots_beside_snapshots(head)
        reached = yield from walk(site, head.incarnation, reachable([*roots, *beside]))
        bases = base_trees((yield from runs_with_snapshots(site, head)))
        primary = [each.root for each in bases] + roots_of_claims(head)
        twice = yield from walk(site, head.incarnation, reachable(primary))
        reached |= set(map(twin_of, twice))
        for id_ in sorted(reached - sizes.keys()):
            raise page_missing(site, id_)
        for id_ in sorted(reached & others):
            place = f"page {id_.hex()[:12]} of {site.key!r}"
            what = f"{place} is damaged: it does not hold what its id says"
            raise damaged(site.store, what, "content", place)
    except Damaged as error:
        # That can be said because all records have just been read.
        raise retold(error, f"{error}. {_remedy(site, head)}") from error
    records = yield from unreferenced.records_of(site, head)
    return records + unreferenced.pages_of(head, sizes, reached)


def _verify_pages(site: Site, head: Head) -> Steps[tuple[dict[bytes, int], set[bytes]]]:
    """Check every page that is stored: their sizes by id, and those that are not what ids say."""
    sizes: dict[bytes, int] = {}
    others: set[bytes] = set()
    after: bytes | None = None
    while listed := (yield ListPages(head.incarnation, after, PAGES_AT_ONCE)):
        after = listed[-1][0]
        sizes.update(listed)
        ids = tuple(id_ for id_, _ in listed)
        rows: tuple[PageRow, ...] = yield ReadPages(head.incarnation, ids)
        for row in rows:
            place = place_of(site, head.incarnation, row.id)
            try:
                payload = unseal(Kind.PAGE, place, row.blob, limits.page_payload_bytes_max)
            except Damaged as error:
                what = f"page {row.id.hex()[:12]} of {site.key!r} is damaged: {error}"
                raise retold(error, what) from error
            if not holds_what_its_id_says(row.id, payload, head.secret):
                others.add(row.id)
    return sizes, others


def _remedy(site: Site, head: Head) -> str:
    """What a page that cannot be used means, and what to do about it."""
    if head.deleted_us is not None:  # maintenance is for what is alive
        return "Nothing is lost: what it holds is read from the records"
    return f"Nothing is lost, and {remedy(site.key)}"
