"""Who last wrote what: records read back from the newest until one wrote the path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from perdure import limits
from perdure.core.blame import before_changes
from perdure.core.head import MAIN
from perdure.core.paths import Path, format_path, parse_path, position_in, resolve
from perdure.core.record import Record
from perdure.core.refs import Ref
from perdure.engine.load import Loaded, load_at, read_section
from perdure.engine.past import take_back
from perdure.engine.read import Site, check_links
from perdure.engine.requests import Steps
from perdure.engine.unread import Unread
from perdure.engine.view import checkpoint_of
from perdure.engine.window import length, part
from perdure.errors import CheckpointPruned, Damaged, UsageError
from perdure.types import Checkpoint

Parts: TypeAlias = str | Sequence[str | int]
"""A path as a caller gives it: written, or its parts."""


def blame(
    site: Site, path: Parts, *, at: Ref | None = None, branch: str = MAIN
) -> Steps[Checkpoint]:
    """The checkpoint that last wrote the value at a path, something in it, or a whole around it.

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
    record = yield from _writer(site, loaded, loaded.branch, exact)
    return checkpoint_of(site.key, loaded.branch, record)


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


def _writer(site: Site, loaded: Loaded, branch: str, path: Path) -> Steps[Record]:
    """The newest record that wrote the path; more are read at a time the further back it is."""
    then: Path | None = path
    section = {str(path[0])}
    count, last = limits.tail_records_max, None
    tip = loaded.head.branches[branch]
    number = tip.number
    while number >= tip.first:
        left = number - tip.first + 1
        records = yield from take_back(
            site, loaded.head, branch, before=number + 1, count=min(count, left)
        )
        if last is not None:
            check_links(site, [records[0], last])
        for record in records:
            then = before_changes(record.changes_of(section), then) if then else None
            if then is None:
                return record
        last, count = records[-1], min(2 * count, limits.blame_records_max)
        number = last.number - 1
    if tip.cut is not None:
        raise CheckpointPruned(
            f"{format_path(path)} of {site.key!r} was last written at checkpoint {tip.cut.number} "
            "or before, and which one wrote it was pruned"
        )
    raise Damaged(f"no record of {site.key!r} wrote {format_path(path)}, which is there")
