"""Finding the checkpoint that a reference names, on whatever branch or line it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec.structs import replace

from perdure.core.head import Branch, Head
from perdure.core.receipt import islands_below
from perdure.core.record import LABEL, Record
from perdure.core.ref_hints import missing_number, never_guessed
from perdure.core.refs import PREFIX_DIGITS_MIN, Label, Parsed, Time, is_id, parse
from perdure.engine.journal import left_tips, read_receipt
from perdure.engine.lines import every_span
from perdure.engine.parked import all_branches, find_branch
from perdure.engine.past import holding, take_back
from perdure.engine.read import Site, joined, read_line, read_run
from perdure.engine.requests import Now, Run, Steps
from perdure.errors import BranchNotFound, CheckpointNotFound

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LOOK = 256
"""Records looked through at a time for a label or a time."""


class Point(msgspec.Struct, frozen=True):
    """A checkpoint that was found."""

    branch: str
    """The branch that it was found on; of one that every branch left, the one that did."""
    tip: Branch
    """Where that branch stands; the checkpoint is in its lineage. Of one below a cut, the run that
    has it."""
    number: int

    def then(self, record: Record) -> Branch:
        """The branch as it stood at this checkpoint, whose record this is."""
        return replace(
            self.tip,
            number=self.number,
            record=record.id,
            hash=record.hash,
            time_us=record.time_us,
        )


def find(site: Site, head: Head, branch: str, ref: object) -> Steps[Point]:
    """The checkpoint that `ref` names, as seen from a branch.

    Raises:
        BranchNotFound: there is no branch `branch`, or none that `ref` names.
        CheckpointNotFound: none, or more than one, is named so.
    """
    parsed = parse(ref)
    if isinstance(parsed.what, str):
        point = yield from _named(site, head, branch, parsed, ref)
    else:
        name = branch if parsed.what is None else parsed.what.branch or branch
        tip = yield from find_branch(site, head, name)
        point = Point(name, tip, tip.number if parsed.number is None else parsed.number)
        if parsed.what is not None:
            point = yield from _matching(site, head, point, parsed.what)
    return (yield from _checked(site, head, point, parsed.back))


def find_point(site: Site, head: Head, branch: str, ref: object | None) -> Steps[Point]:
    """The same, or the newest checkpoint of the branch if none is named."""
    if ref is not None:
        return (yield from find(site, head, branch, ref))
    tip = yield from find_branch(site, head, branch)
    return Point(branch, tip, tip.number)


def _checked(site: Site, head: Head, point: Point, back: int) -> Steps[Point]:
    number = point.number - back
    if not 1 <= number <= point.tip.number:
        raise CheckpointNotFound(
            f"{site.key!r} has no checkpoint {missing_number(point.number, back)} on "
            f"{point.branch!r}; its checkpoints are 1 to {point.tip.number}"
        )
    tip = point.tip
    if number < tip.first:
        tip = yield from holding(site, head, point.branch, tip, number)
    return replace(point, tip=tip, number=number)


def _named(site: Site, head: Head, branch: str, parsed: Parsed, ref: object) -> Steps[Point]:
    """The point that a name tells: of a branch, or an id."""
    name = parsed.what
    assert isinstance(name, str)
    if name.isdecimal() and parsed.number is None:
        tip = yield from find_branch(site, head, branch)
        if len(name) < PREFIX_DIGITS_MIN or int(name) <= tip.number:
            return Point(branch, tip, int(name))
        return (yield from _by_id(site, head, branch, name))  # digits may begin an id
    try:
        tip = yield from find_branch(site, head, name)
    except BranchNotFound:
        if parsed.number is not None or not is_id(name):
            if parsed.number is not None:
                raise
            raise CheckpointNotFound(
                f"{ref!r} names no checkpoint: give a number, the name of a branch, an id, or at "
                f"least {PREFIX_DIGITS_MIN} hex digits of one. {never_guessed(name)}"
            ) from None
        return (yield from _by_id(site, head, branch, name.lower()))
    return Point(name, tip, tip.number if parsed.number is None else parsed.number)


def _by_id(site: Site, head: Head, branch: str, start: str) -> Steps[Point]:
    """The only checkpoint whose id begins so: on the branch, else on others, else left by them."""
    every = yield from all_branches(site, head)
    own = yield from find_branch(site, head, branch)
    others = [(name, tip) for name, tip in every.items() if name != branch]
    for tips in ([(branch, own)], others, (yield from left_tips(site, head))):
        found = yield from _with_id(site, head, tips, start)
        if len(found) > 1:
            raise CheckpointNotFound(
                f"{len(found)} checkpoints of {site.key!r} begin with {start!r}"
            )
        if found:
            return found[0]
    raise CheckpointNotFound(
        f"no checkpoint of {site.key!r} has an id that begins with {start!r}. "
        f"{never_guessed(start)}"
    )


def _with_id(
    site: Site, head: Head, tips: Iterable[tuple[str, Branch]], start: str
) -> Steps[list[Point]]:
    """The checkpoints whose ids begin so; each line that these branches share is read once."""
    receipt = yield from read_receipt(site, head)
    runs: dict[tuple[int, bytes], tuple[str, Branch]] = {}
    for name, tip in tips:
        for each in (tip, *islands_below(receipt, tip)):
            runs.setdefault((each.line, each.record), (name, each))
    every = [*runs.values()]
    told = yield from every_span(site, head, [tip for _, tip in every])
    found: list[Point] = []
    for run in joined(run for some in told for run in some):
        records = yield from read_line(site, head, run)
        fitting = (record for record in records if record.id.hex().startswith(start))
        found += (_first_with(zip(every, told, strict=True), record) for record in fitting)
    return found


def _first_with(every: Iterable[tuple[tuple[str, Branch], list[Run]]], record: Record) -> Point:
    """The first of some branches that is told to have a record."""
    line, number = record.line, record.number
    for (name, tip), runs in every:
        if any(run.line == line and run.first <= number <= run.last for run in runs):
            return Point(name, tip, number)
    raise AssertionError("it was read of one of them")


def _matching(site: Site, head: Head, point: Point, what: Label | Time) -> Steps[Point]:
    """The newest checkpoint of a branch with a label, or of a time."""
    until = (yield from _microseconds(what)) if isinstance(what, Time) else 0

    def matches(record: Record) -> bool:
        if isinstance(what, Label):
            return record.extra.get(LABEL) == what.text
        return record.time_us <= until

    head = as_branch(head, point.branch, point.tip)
    before: int | None = None
    while before is None or before > 1:
        records: Sequence[Record] = yield from take_back(
            site, head, point.branch, before=before, count=_LOOK
        )
        for record in records:
            if matches(record):
                return replace(point, number=record.number)
        before = records[-1].number if records else 1
    sought = f"labelled {what.text!r}" if isinstance(what, Label) else f"as old as {what.when}"
    raise CheckpointNotFound(f"{site.key!r} has no checkpoint {sought} on {point.branch!r}")


def _microseconds(time: Time) -> Steps[int]:
    if isinstance(time.when, timedelta):
        now: int = yield Now()
        return now - time.when // timedelta(microseconds=1)
    return (time.when - _EPOCH) // timedelta(microseconds=1)


def as_branch(head: Head, name: str, tip: Branch) -> Head:
    """The head in which a branch stands where `tip` does: for what reads a branch by its name."""
    if head.branches.get(name) is tip:
        return head
    return replace(head, branches={**head.branches, name: tip})


def record_at(site: Site, head: Head, point: Point) -> Steps[Record]:
    """The record of a checkpoint."""
    (record,) = yield from read_run(site, head, point.tip, point.number, point.number)
    return record
