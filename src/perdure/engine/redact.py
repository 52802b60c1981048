"""Redacting: a value is taken out of all of a state's history, in one commit (P2, P7, P8).

All records are replayed once; those that change are stored anew under their old places, with the
leaf that the chain committed to. The receipt, a movement of the journal, binds what stands there
instead. See `docs/design/0029-redaction.md`.
"""

from __future__ import annotations

from functools import partial

import msgspec
from msgspec.structs import replace

from perdure import limits
from perdure.core import chain
from perdure.core.claims import roots_of_claims
from perdure.core.head import MAIN, Branch, Head, succeeding
from perdure.core.journal import JOURNAL_LINE, Move, RedactReceipt, written
from perdure.core.page import twin_of
from perdure.core.record import ID_BYTES
from perdure.core.redaction import Redactor, Wanted
from perdure.core.tree_read import reachable
from perdure.engine.around import Around
from perdure.engine.carry import put_twice
from perdure.engine.collecting import collect_pages
from perdure.engine.lines import every_span
from perdure.engine.moving import NOBODY, Replaced, commit_entry
from perdure.engine.pages import walk
from perdure.engine.parked import all_branches, parked_again
from perdure.engine.past import every_run
from perdure.engine.read import Site, as_of_now, check_links, joined, read_line
from perdure.engine.redact_head import Rest, told_of_names
from perdure.engine.replaying import replay_all
from perdure.engine.requests import ListPages, Now, Random, Run, Steps
from perdure.engine.rewriting import Rewriting, journal_run
from perdure.engine.save import TOKEN_BYTES
from perdure.engine.snapshots import SECRET_BYTES
from perdure.engine.sweeping import sweep
from perdure.engine.twins import base_trees, runs_with_snapshots
from perdure.errors import Busy
from perdure.reports import Redaction


class _Planned(msgspec.Struct, frozen=True):
    """What a redaction would do."""

    rewriting: Rewriting
    rest: Rest
    head: Head
    """As it becomes, but for its branches."""
    branches: dict[str, Branch]
    """Every branch, as it becomes."""
    known: list[Run]
    """Where all records of the state are."""
    receipt: RedactReceipt
    told: Redaction

    @property
    def is_any(self) -> bool:
        """Whether anything changes."""
        return bool(self.rewriting.changed or self.rewriting.pages or self.head != self.rest.old)


def redact(site: Site, wanted: Wanted, reason: str | None, *, dry_run: bool) -> Steps[Redaction]:
    """Take what is wanted out of a state's history, or tell where it is.

    Raises:
        StateNotFound: there is none.
        UsageError: a part of the path is a position in a list.
        Damaged: something of the state cannot be read; nothing was changed.
        Busy: it is saved to so fast, or moved so often, that no attempt came first.
        CommitUnknown: its fate could not be learned.
    """
    site = site.stored()
    for _ in range(limits.commit_tries_max):
        told = yield from as_of_now(site, partial(_redacted, site, wanted, reason, dry_run))
        if told is not None:
            if not dry_run:  # what maintenance put meanwhile, or what an interrupt left
                yield from as_of_now(site, lambda head: collect_pages(site, head, Around()))
            return told
    raise Busy(f"{site.key!r}: others saved to it again and again; nothing was redacted, try again")


def _redacted(
    site: Site, wanted: Wanted, reason: str | None, dry_run: bool, head: Head
) -> Steps[Redaction | None]:
    """Plan, and commit to the plan; None: the state went on meanwhile."""
    if not dry_run and not (yield from sweep(site, head)):
        return None
    planned = yield from _planned(site, head, wanted, reason, dry_run)
    if dry_run or not planned.is_any:
        return planned.told
    number = yield from _committed(site, head, planned)
    return replace(planned.told, receipt=number) if number is not None else None


def _planned(
    site: Site, head: Head, wanted: Wanted, reason: str | None, dry_run: bool
) -> Steps[_Planned]:
    drawn = yield Random(SECRET_BYTES * 3)
    secret, seed = drawn[:SECRET_BYTES], drawn[SECRET_BYTES : 2 * SECRET_BYTES]
    head = replace(head, secret=head.secret or drawn[2 * SECRET_BYTES :])
    redactor = Redactor(wanted, secret)
    bases = base_trees((yield from runs_with_snapshots(site, head)))
    rewriting = Rewriting(site, head, redactor, seed, {each.root.id for each in bases})
    every = yield from all_branches(site, head)
    rewriting.names = every.keys()
    yield from replay_all(site, head, rewriting)
    for run in journal_run(head):
        records = yield from read_line(site, head, run)
        check_links(site, records)
        for record in records:
            rewriting.move(record)
    rest = Rest(site, head, redactor, rewriting)
    new = yield from rest.head()
    branches = {name: rewriting.standing(tip) or tip for name, tip in every.items()}
    tips = [tip for _, tip in (yield from every_run(site, head))]
    spans = yield from every_span(site, head, tips)
    known = [*joined(run for runs in spans for run in runs), *journal_run(head)]
    told = Redaction(
        site.key,
        path=wanted.path,
        checkpoints=sum(line != JOURNAL_LINE for line, _ in rewriting.changed),
        values=redactor.count,
        sections=dict(rewriting.sections),
        elsewhere={name: count for name, count in rewriting.elsewhere.items() if count},
        is_there=redactor.is_met,
        dry_run=dry_run,
        warnings=tuple(told_of_names(site, every, rest, redactor)),
    )
    if reason is not None and wanted.match is not None:
        reason = redactor.text(reason)
    receipt = RedactReceipt(
        wanted.path, wanted.match is not None, reason, told.values, rewriting.leaves()
    )
    return _Planned(rewriting, rest, new, branches, known, receipt, told)


def _committed(site: Site, head: Head, planned: _Planned) -> Steps[int | None]:
    """Put what stands there instead, and commit; the receipt's number.

    None: the state went on meanwhile.
    """
    rewriting, rest = planned.rewriting, planned.rest
    new = planned.head
    yield from put_twice(site, head.incarnation, {**rewriting.pages, **rest.pages})
    parked = {name: tip for name, tip in planned.branches.items() if name not in head.branches}
    if parked:
        new = replace(new, parked=(yield from parked_again(site, new, parked)))
    new = replace(
        new,
        branches={name: planned.branches[name] for name in head.branches},
        fence=head.fence + 1,
        generation=head.generation + 1,
    )
    drawn = yield Random(ID_BYTES + chain.SALT_BYTES + TOKEN_BYTES)
    sealed, new = written(
        new,
        Move("redact", MAIN, redaction=planned.receipt),
        store=site.store,
        id_=drawn[:ID_BYTES],
        salt=drawn[ID_BYTES:-TOKEN_BYTES],
        session=NOBODY,
        time_us=(yield Now()),
    )
    new = succeeding(new, head, drawn[-TOKEN_BYTES:])
    replaced = yield from rewriting.rows(planned.known)
    dropped = yield from _garbage(site, new, planned)
    replaced = Replaced(replaced.removed, replaced.records, dropped)
    now = yield from commit_entry(site, head, new, sealed, replaced)
    return sealed.number if now is not None else None


def _garbage(site: Site, head: Head, planned: _Planned) -> Steps[tuple[bytes, ...]]:
    """The pages that nothing leads to any more, once this head is there."""
    kept = planned.rewriting.trees
    bases = [root for id_, root in kept.items() if id_ in planned.rewriting.bases]
    primary = bases + roots_of_claims(head)
    beside = [head.parked] if head.parked is not None else []
    needed = yield from walk(site, head.incarnation, reachable(primary))
    needed |= set(map(twin_of, needed))
    roots = [*kept.values(), *beside]
    needed |= yield from walk(site, head.incarnation, reachable(roots))
    found: list[bytes] = []
    after: bytes | None = None
    while listed := (yield ListPages(head.incarnation, after, limits.piece_rows_max)):
        found += (id_ for id_, _ in listed if id_ not in needed)
        after = listed[-1][0]
    return tuple(found)
