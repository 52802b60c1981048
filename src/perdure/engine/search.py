"""Going through all that is stored of a state, for who looks for something in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from perdure.core.changes import Change
from perdure.core.head import Branch, Head
from perdure.core.record import LABEL, METADATA, SUMMARY, Record
from perdure.engine import claimed, effects
from perdure.engine.lines import every_span
from perdure.engine.load import state_at
from perdure.engine.pages import walk
from perdure.engine.parked import all_branches
from perdure.engine.past import every_run
from perdure.engine.read import Site, joined, next_records, spans
from perdure.engine.requests import LET_GO, Compute, ReadHead, Run, Steps
from perdure.errors import StateNotFound

NAMED = {LABEL: "label", METADATA: "metadata", SUMMARY: "summary"}
"""What a record says besides its changes, and how its place is told."""

Look: TypeAlias = Callable[[str | None, int | None, list[Change] | dict[str, Any]], None]
"""Given a branch, the number of a checkpoint, and its changes or what it holds, by section."""


def search(site: Site, look: Look, *, history: bool) -> Steps[None]:
    """Give `look` what every branch holds, and what effects gave.

    Args:
        site: where the state is.
        look: is not to change what it is given, nor to keep it.
        history: give it all that was ever saved too: every record, of what branches left as well,
            and of former and deleted lives of the key.

    Raises:
        StateNotFound: there is none; a deleted one is one where `history` is asked for.
    """
    row = yield ReadHead(site.key)
    head = site.head(row) if row is not None else None
    if head is None or (head.deleted_us is not None and not history):
        raise StateNotFound(f"there is no state {site.key!r} in this store")
    if head.deleted_us is None:
        for told in (yield from effects.told(site)):
            if told.result is not None:
                look(None, None, {"effects": {told.key: {"result": told.result}}})
        for name, tip in (yield from all_branches(site, head)).items():
            yield from _at(site, head, name, tip, tip.number, look)
        look(None, None, {"summary": head.summary})
    for life in (head, *head.former) if history else ():
        yield from _all_of(site, life, look)


def _at(site: Site, head: Head, name: str, tip: Branch, number: int, look: Look) -> Steps[None]:
    sections, _ = yield from state_at(site, head, tip, number)
    yield Compute(partial(look, name, number, sections))
    yield LET_GO


def _all_of(site: Site, head: Head, look: Look) -> Steps[None]:
    """All records of one life, each once, and what stands in for those that were pruned."""
    tips = yield from every_run(site, head)
    names = {tip.line: name for name, tip in reversed(tips)}
    spans = yield from every_span(site, head, [tip for _, tip in tips])
    for run in joined(run for runs in spans for run in runs):
        number = run.first
        while number <= run.last:
            records = yield from next_records(site, head, Run(run.line, number, run.last))
            in_records(names.get(run.line), records, look)
            number = records[-1].number + 1
            yield LET_GO
    for name, tip in tips:
        if tip.cut is not None:
            yield from _at(site, head, name, tip, tip.first, look)


def in_records(name: str | None, records: Sequence[Record], look: Look) -> None:
    """Give `look` what records brought, and what their saves said besides."""
    for record in records:
        _in_record(name, record, look)


def _in_record(name: str | None, record: Record, look: Look) -> None:
    look(name, record.number, record.changes())
    said = {NAMED[each]: record.extra[each] for each in NAMED if each in record.extra}
    if said:
        look(name, record.number, said)


def in_claims(results: dict[str, Any], look: Look) -> None:
    """Give `look` what effects gave, by their keys."""
    for key, result in results.items():
        look(None, None, {"effects": {key: {"result": result}}})


def in_copy(site: Site, head: Head, name: str, tip: Branch, look: Look) -> Steps[None]:
    """Give `look` all that a copy of a state takes along: of one branch, up to a checkpoint."""
    in_claims((yield from walk(site, head.incarnation, claimed.results(head))), look)
    look(None, None, {"summary": head.summary})
    if tip.cut is not None:
        yield from _at(site, head, name, tip, tip.first, look)
    number = tip.first
    while number <= tip.number:
        run = (yield from spans(site, head, tip, number, tip.number))[0]
        records = yield from next_records(site, head, run)
        yield Compute(partial(in_records, name, records, look))
        number = records[-1].number + 1
        yield LET_GO
    yield from _at(site, head, name, tip, tip.number, look)
