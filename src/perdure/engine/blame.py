"""Who last wrote what: records read back from the newest until one wrote the path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from perdure import limits
from perdure.core.blame import before_changes, same_place
from perdure.core.head import MAIN, Branch, Head
from perdure.core.lineage import bases_at
from perdure.core.paths import Path, format_path, parse_path, position_in, resolve
from perdure.core.record import MERGED, Record
from perdure.core.refs import Ref
from perdure.engine.load import Loaded, load_at, read_section, state_at
from perdure.engine.moving import NOBODY
from perdure.engine.past import every_run, take_back
from perdure.engine.read import Site, check_links, spans
from perdure.engine.refs import as_branch
from perdure.engine.requests import Steps
from perdure.engine.unread import Unread
from perdure.engine.view import checkpoint_of
from perdure.engine.window import length, part
from perdure.errors import CheckpointPruned, Damaged, UsageError
from perdure.types import Checkpoint

Parts: TypeAlias = str | Sequence[str | int]
"""A path as a caller gives it: written, or its parts."""


class _Written(msgspec.Struct, frozen=True):
    """A record that wrote a value."""

    record: Record
    path: Path
    """Where the value was then."""


class _There(msgspec.Struct, frozen=True):
    """Where a value was on a branch that was merged."""

    name: str
    tip: Branch
    number: int
    path: Path


def blame(
    site: Site, path: Parts, *, at: Ref | None = None, branch: str = MAIN
) -> Steps[Checkpoint]:
    """The checkpoint that last wrote the value at a path, something in it, or a whole around it.

    What a merge took from the branch that it merged was written there.

    Args:
        site: the state's.
        path: a section, and what leads to a value in it.
        at: the checkpoint at which the path is looked up; the newest by default.
        branch: the branch whose records are read.

    Raises:
        StateNotFound: there is no such state.
        CheckpointNotFound: it has no such checkpoint.
        PathNotFound: nothing is at the path then.
        Damaged: a record on the way cannot be read.
    """
    parts = parse_path(path) if isinstance(path, str) else tuple(path)
    if not parts:
        raise UsageError("name a section, or a path in one, such as plan/3/status")
    newest: Ref = branch
    loaded = yield from load_at(site, at if at is not None else newest, branch, lambda _: False)
    exact = yield from _exact(site, loaded, loaded.branch, parts)
    name, record = yield from _writer_through(site, loaded.head, loaded.branch, exact)
    return checkpoint_of(site.key, name, record)


def _exact(site: Site, loaded: Loaded, branch: str, parts: Sequence[str | int]) -> Steps[Path]:
    """The exact path of a value that is there; of a long list, only the item is read."""
    resolve(loaded.sections, parts[:1])
    name = str(parts[0])
    value = loaded.sections[name]
    if type(value) is not Unread:
        return resolve(loaded.sections, parts)[0]
    if len(parts) == 1:
        return (name,)
    size = length(value) if value.in_parts is not None else None
    position = position_in(parts[1], size) if size is not None else None
    if position is not None:
        one = position, position + 1
        (item,) = yield from part(site, loaded.head, branch, name, {name: value}, *one)
        return resolve(item, parts[2:], (name, position))[0]
    whole = yield from read_section(site, loaded.head, branch, name, {name: value})
    return resolve({name: whole}, parts)[0]


def _writer_through(site: Site, head: Head, branch: str, path: Path) -> Steps[tuple[str, Record]]:
    """The newest record that wrote the path, by way of merges, and the branch that it is on.

    A merge itself is the answer if it made the value of both sides, or the other's past is gone.
    """
    written = yield from _writer(site, head, branch, path, head.branches[branch].number)
    for _ in range(limits.blame_merges_max):
        point = yield from _merged_there(site, head, branch, written)
        if point is None:
            break
        head = as_branch(head, point.name, point.tip)
        try:
            written = yield from _writer(site, head, point.name, point.path, point.number)
        except CheckpointPruned:
            break
        branch = point.name
    return branch, written.record


def _merged_there(site: Site, head: Head, branch: str, written: _Written) -> Steps[_There | None]:
    """Where a value was on the branch that a merge took it from; None: from none that is kept."""
    record = written.record
    if MERGED not in record.extra or record.session != NOBODY:
        return None
    line, number, _ = record.extra[MERGED]
    found = yield from _run_with(site, head, line, number)
    if found is None:
        return None
    name, run = found
    wanted = str(written.path[0]).__eq__
    here, _ = yield from state_at(site, head, head.branches[branch], record.number, wanted)
    there, _ = yield from state_at(site, head, run, number, wanted)
    path = same_place(here, there, written.path)
    return _There(name, run, number, path) if path else None


def _run_with(site: Site, head: Head, line: int, number: int) -> Steps[tuple[str, Branch] | None]:
    """A branch, or what is kept of one, that has a record; None: it is gone."""
    for name, tip in head.branches.items():  # as it mostly is, and nothing has to be read
        bases = bases_at(tip, number) if tip.first <= number <= tip.number else None
        if bases is not None and bases[0].line == line:
            return name, tip
    for name, run in (yield from every_run(site, head)):
        if run.first <= number <= run.number:
            there = yield from spans(site, head, run, number, number)
            if there[0].line == line:
                return name, run
    return None


def _writer(site: Site, head: Head, branch: str, path: Path, number: int) -> Steps[_Written]:
    """The newest record, up to a number, that wrote what is at a path then.

    More are read at a time the further back it is.
    """
    section = {str(path[0])}
    count, last = limits.tail_records_max, None
    tip = head.branches[branch]
    while number >= tip.first:
        left = number - tip.first + 1
        records = yield from take_back(
            site, head, branch, before=number + 1, count=min(count, left)
        )
        if last is not None:
            check_links(site, [records[0], last])
        for record in records:
            before = before_changes(record.changes_of(section), path)
            if before is None:
                return _Written(record, path)
            path = before
        last, count = records[-1], min(2 * count, limits.blame_records_max)
        number = last.number - 1
    if tip.cut is not None:
        raise CheckpointPruned(
            f"{format_path(path)} of {site.key!r} was last written at checkpoint {tip.cut.number} "
            "or before, and which one wrote it was pruned"
        )
    raise Damaged(f"no record of {site.key!r} wrote {format_path(path)}, which is there")
