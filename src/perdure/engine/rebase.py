"""A save that came second: what is not saved is put on top of what others saved first (P3).

The base is the checkpoint that the session is at, *theirs* what landed since, *ours* what it has
captured, or edited in the same sections. What is saved leads on from theirs, and what leads from
ours to the same state brings the live tree up to date. Edits that no save asked for are merged as
well, as the live tree has them, and stay unsaved. See `docs/design/0013-merge.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from perdure import limits
from perdure.core.catch_up import CatchUp, catch_up
from perdure.core.changes import (
    Change,
    copies,
    moves_of,
    pack_changes,
    reordered,
    sections_of,
    unpack_changes,
)
from perdure.core.head import Head
from perdure.core.merge import Merged, merge
from perdure.core.paths import Path
from perdure.engine.bodies import Body, Overtaken, too_much
from perdure.engine.merge_base import MergeBase
from perdure.engine.refresh import (
    News,
    is_redacted,
    moved,
    news_of,
    redacted,
    take_in,
    torn,
    unsaved,
)
from perdure.engine.requests import Steps
from perdure.engine.save import Position
from perdure.engine.view import checkpoint_of
from perdure.errors import Busy, MergeConflicts
from perdure.types import Strategy

if TYPE_CHECKING:
    from perdure.engine.session import SessionCore

T = TypeVar("T")

RECORD_STRATEGIES: Mapping[str, Strategy] = {
    "perdure.tasks/*/*": "theirs",
    "perdure.children/*/*": "theirs",
}
"""For the agent's own record: who saved a field first is right; whoever came second sees it.

So the first to hold a task has it, and the first to link a child. Different tasks, and different
fields, merge as all else does.
"""


class _Group(msgspec.Struct, frozen=True):
    """Bodies that share a record, and what that is to say."""

    bodies: Sequence[Body]
    changes: list[Change]
    packed: bytes


class _Put(msgspec.Struct, frozen=True):
    """A group that is put on top of theirs."""

    mine: list[Change]
    """What was captured."""
    merged: Merged
    group: _Group


class _Plan(msgspec.Struct, frozen=True):
    """What is to be saved on top of theirs, and what the live tree lacks of that."""

    groups: list[_Group]
    live: CatchUp


def saving(
    core: SessionCore, steps: Callable[[], Steps[T]], overtaken: Overtaken | None = None
) -> Steps[T]:
    """Save, and merge first whenever others were faster.

    Nobody may open an atomic block, or capture edits, meanwhile.

    Args:
        core: the session's.
        steps: what saves.
        overtaken: what it met already.

    Raises:
        MergeConflicts: both changed the same places, and no strategy says which is right.
        Busy: others were faster again and again. Nothing is lost, here as above.
    """
    for _ in range(limits.merge_tries_max):
        if overtaken is not None:
            yield from rebase(core, overtaken.head)
        try:
            return (yield from steps())
        except Overtaken as again:
            overtaken = again
    raise Busy(
        f"{core.site.key!r}: others saved to {core.branch!r} first {limits.merge_tries_max} times "
        "in a row; nothing was saved or lost, save again"
    )


def rebase(core: SessionCore, head: Head | None) -> Steps[None]:
    """Put what is not saved on top of what others saved, and bring the live tree up to date.

    Args:
        core: the session's; the fate of what it sent is known.
        head: what is there now.

    Raises:
        MergeConflicts: both changed the same places; nothing was changed here.
        BranchMoved: the branch does not go on from where the session is.
        StateDeleted: the state that it opened is gone.
    """
    if core.torn is not None:
        raise torn(core)
    while True:
        news = yield from news_of(core, head, keep_changes=True)
        if news.moved_to is not None:
            assert news.head is not None
            if is_redacted(core, news.head):
                raise redacted(core)
            raise moved(core, news.head.branches[core.branch])
        core.document.gather()
        if core.touched() & sections_of(news.changes):
            yield from _merge_in(core, news)
        elif not take_in(core, news, keep_changes=True):
            continue
        if news.records and core.touched():
            newest = news.records[-1]
            core.took_in = [newest.line, newest.number, newest.id]
        return


def _merge_in(core: SessionCore, news: News) -> Steps[None]:
    """Merge what both sides did to the same sections; nothing is changed until that is done.

    Raises:
        Busy: edits of these sections came up again and again meanwhile.
    """
    assert news.head is not None
    ours = core.position.head.branches.get(core.branch) if core.position else None
    number = ours.number if ours is not None and not core.is_new else 0
    base = MergeBase(core.site, news.head, news.head.branches[core.branch], number)
    theirs = sections_of(news.changes)
    for tried in range(limits.merge_tries_max):
        if core.document.touched() & theirs:
            core.hold()  # they belong to the next save, but are in the way of theirs
        # Who edits without a pause may be held up once, so that there is an end.
        base.at_once = tried >= limits.merge_apart_tries_max
        plan = yield from _planned(core, news.changes, base)
        if not core.document.touched() & theirs:  # none came up meanwhile
            _adopt(core, news, plan)
            return
    raise Busy(
        f"{core.site.key!r}: {', '.join(sorted(theirs))} of this session was edited again and "
        "again while it was merged with what others saved; nothing was saved or lost, save again"
    )


# ---- what is to be saved, and what is to be seen ---------------------------------------------


def _planned(core: SessionCore, theirs: list[Change], base: MergeBase) -> Steps[_Plan]:
    groups: list[_Group] = []
    ours: list[Change] = []
    merged = list(theirs)
    live = CatchUp(theirs, [])
    for bodies in _grouped(core.queue):
        put = yield from _put_on_top(core, live.changes, bodies, base, ours)
        groups.append(put.group)
        ours += put.mine
        merged += put.group.changes
        live = yield from base.answering(_lacking(ours, merged, theirs))
    return _Plan(groups, live)


def _grouped(bodies: Iterable[Body]) -> list[list[Body]]:
    """Those that may share a record together: neighbours without a label or the like."""
    groups: list[list[Body]] = []
    for body in bodies:
        if groups and not (body.extra or body.is_held or groups[-1][0].extra):
            groups[-1].append(body)
        else:
            groups.append([body])
    return groups


def _put_on_top(
    core: SessionCore,
    theirs: list[Change],
    bodies: Sequence[Body],
    base: MergeBase,
    since: list[Change],
) -> Steps[_Put]:
    """What makes the merged state of theirs.

    Raises:
        MergeConflicts: both changed the same places, and no strategy says which is right.
    """
    # The user's may be edited while this is computed, and are the first to count.
    strategies = {**RECORD_STRATEGIES, **core.strategies}
    putting = _putting(theirs, bodies, exchanged(strategies))
    put: _Put = yield from base.answering(putting, since)
    if not put.merged.conflicts:
        return put
    # Once more, to tell of them from this side.
    again = yield from base.answering(merge(put.mine, theirs, strategies), since)
    raise conflicting(core, again if again.conflicts else put.merged)


def _putting(
    theirs: list[Change], bodies: Sequence[Body], strategies: Mapping[str, Strategy]
) -> Generator[Path, Any, _Put]:
    mine = [change for body in bodies for change in unpack_changes(body.changes)]
    merged = yield from merge(theirs, mine, strategies)
    return _Put(mine, merged, _group(bodies, merged.changes))


def exchanged(strategies: Mapping[str, Strategy]) -> dict[str, Strategy]:
    """The same strategies where ours is called theirs, and the other way round."""
    return {pattern: _exchanged(strategy) for pattern, strategy in strategies.items()}


def _exchanged(strategy: Strategy) -> Strategy:
    if strategy == "ours":
        return "theirs"
    if strategy == "theirs":
        return "ours"
    if callable(strategy):
        decide = strategy
        return lambda base, theirs, ours: decide(base, ours, theirs)
    return strategy


def conflicting(core: SessionCore, merged: Merged) -> MergeConflicts:
    """The error for places that both sides changed."""
    count = len(merged.conflicts)
    places = "; ".join(each.summary() for each in merged.conflicts[:3])
    return MergeConflicts(
        f"{core.site.key!r} was saved to by someone else since this session read it, and both "
        f"changed {count} place{'s'[: count != 1]} ({places}{'; …' if count > 3 else ''}). Nothing "
        "was saved or lost. Say by session.strategies[path] = … which side is right and save "
        "again; or edit these places to be the same; or call session.refresh(), which gives up "
        "what is not saved",
        conflicts=merged.conflicts,
    )


def _group(bodies: Sequence[Body], changes: list[Change]) -> _Group:
    packed = pack_changes(changes)
    if len(packed) > limits.save_bytes_max:
        raise too_much(len(packed), changes)
    return _Group(bodies, changes, packed)


def _lacking(
    ours: Sequence[Change], merged: Sequence[Change], theirs: Sequence[Change]
) -> Generator[Path, Any, CatchUp]:
    """What leads from ours to the merged state."""
    both = sections_of(ours) & sections_of(theirs)
    apart = [change for change in theirs if change.path[0] not in both]
    found = yield from catch_up(_within(both, ours), _within(both, merged))
    return CatchUp([*apart, *copies(found.changes)], found.orders)


def _within(sections: set[str], changes: Sequence[Change]) -> list[Change]:
    return [change for change in changes if change.path[0] in sections]


# ---- making it so ----------------------------------------------------------------------------


def _adopt(core: SessionCore, news: News, plan: _Plan) -> None:
    """Change the live tree and the captured bodies; an interrupt leaves `core.torn`."""
    assert news.head is not None
    core.document.gather()
    core.torn = unsaved(core)
    core.names = reordered(core.names, moves_of(news.changes))
    moves = [move for group in plan.groups for move in moves_of(group.changes)]
    core.take(plan.live.changes, reordered(core.names, moves), plan.live.orders)
    core.meet_summary(news.head.summary)
    core.position = Position(news.head, news.head.token)
    core.checkpoint = checkpoint_of(core.site.key, core.branch, news.records[-1])
    for group in plan.groups:
        _put_anew(core, group)
    core.document.show()
    core.torn = None


def _put_anew(core: SessionCore, group: _Group) -> None:
    """Let the first of the bodies say all; those that have nothing to say are saved already."""
    nothing: list[Change] = []
    for body in group.bodies:
        is_first = body is group.bodies[0]
        body.changes = group.packed if is_first else pack_changes(nothing)
        changes = group.changes if is_first else nothing
        body.sections, body.moves = frozenset(sections_of(changes)), moves_of(changes)
        if not group.changes and not body.extra and not body.settles:
            core.settled_by(body, core.checkpoint)
