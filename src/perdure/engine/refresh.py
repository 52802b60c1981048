"""Others' work: reading what they saved, taking it in, and the conflict where it cannot be.

Reading asks the store and decodes; taking in edits the live tree. They are apart, so that an event
loop can read in a thread and edit at home.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from perdure.core.changes import Change, moves_of, reordered, sections_of
from perdure.core.head import Branch, Head
from perdure.core.record import Record, changes_of
from perdure.core.versions import migrated_in
from perdure.engine.branches import common_number
from perdure.engine.load import load
from perdure.engine.parked import find_branch
from perdure.engine.read import read_run
from perdure.engine.refs import as_branch
from perdure.engine.requests import Compute, ReadHead, Steps
from perdure.engine.save import Position
from perdure.engine.view import checkpoint_of
from perdure.engine.window import Elsewhere, opened
from perdure.errors import (
    BranchMoved,
    BranchNotFound,
    Conflict,
    Redacted,
    Reload,
    SchemaChanged,
    StateDeleted,
)

if TYPE_CHECKING:
    from perdure.engine.live import Live
    from perdure.engine.session import SessionCore

_ID_DIGITS = 12
"""Digits of an id that are told (hex): enough to name it again."""


class Instead(msgspec.Struct, frozen=True):
    """What takes the place of edits that are given up."""

    names: frozenset[str] = frozenset()
    """The sections that were edited."""
    sections: dict[str, Any] = {}
    """Those of them that there are now."""
    elsewhere: Elsewhere = {}
    """What comes before the windows among them."""
    is_whole: bool = False
    """Whether `sections` is the whole state."""


class News(msgspec.Struct, frozen=True):
    """What was saved since a session read last."""

    head: Head | None
    """The head that is there now; None if there is none, or the state was deleted."""
    records: list[Record] = []
    changes: list[Change] = []
    instead: Instead | None = None
    """Read only where edits are to be given up."""
    moved_to: Record | None = None
    """The newest record of a branch that was moved off what the session is at."""


def read_news(core: SessionCore, keep_changes: bool) -> Steps[News]:
    """Read what `take_in` needs: what is new, and the sections whose edits are given up.

    Changes nothing in `core`, whose fate of what was sent has to be settled.
    """
    instead: Instead | None = None
    if core.torn is None and (keep_changes or not core.touched()):
        row = yield ReadHead(core.site.key)
        head = core.site.head(row) if row is not None else None
    else:
        head, instead = yield from _read_instead(core)
    return (yield from news_of(core, head, keep_changes, instead))


def news_of(
    core: SessionCore, head: Head | None, keep_changes: bool, instead: Instead | None = None
) -> Steps[News]:
    """What `take_in` needs of a head that was read already; as `read_news`."""
    news = yield from _news_of(core, head, keep_changes, instead)
    core.check(core, news)
    return news


def require_one_version(core: SessionCore, news: News) -> None:
    """Refuse to put what is not saved on top of another version of the state.

    Raises:
        SchemaChanged: others migrated it meanwhile.
    """
    found = migrated_in(news.changes)
    if found and news.instead is None and core.touched():
        named = ", ".join(f"{name} {version}" for name, version in found.items())
        raise SchemaChanged(
            f"{core.site.key!r}: the state was migrated meanwhile, to {named}: what this session "
            "has not saved is of the former version. `session.changes()` tells what that is; open "
            "the state again"
        )


def _news_of(
    core: SessionCore, head: Head | None, keep_changes: bool, instead: Instead | None
) -> Steps[News]:
    if head is None or head.deleted_us is not None:
        return News(None, instead=instead)
    if not _is_same_life(core, head):
        return News(head, instead=instead)
    tip = yield from branch_now(core, head)
    if is_redacted(core, head):
        if keep_changes and core.touched():
            raise redacted(core, core.document.pending())
        return (yield from _read_moved(core, head, tip, keep_changes))
    if tip is None or not (yield from _is_ahead(core, head, tip)):
        return (yield from _read_moved(core, head, tip, keep_changes))
    head = as_branch(head, core.branch, tip)
    records = yield from read_since(core, head)
    changes = yield Compute(lambda: changes_of(records))  # may be much to decode
    return News(head, records, changes, instead)


def branch_now(core: SessionCore, head: Head) -> Steps[Branch | None]:
    """Where the session's branch stands; None: there is no branch of that name any more."""
    try:
        return (yield from find_branch(core.site, head, core.branch))
    except BranchNotFound:
        return None


def _is_ahead(core: SessionCore, head: Head, tip: Branch) -> Steps[bool]:
    """Whether a branch goes on from what the session is at, as far as can be told."""
    ours = core.position.head.branches.get(core.branch) if core.position else None
    if (ours.number if ours is not None and not core.is_new else 0) + 1 < tip.first:
        return False  # what others did since was pruned, or some of it
    if ours is None or core.is_new or ours.line == tip.line:
        return True
    return ours.number == (yield from common_number(core.site, head, ours, tip))


def _read_moved(
    core: SessionCore, head: Head, tip: Branch | None, keep_changes: bool
) -> Steps[News]:
    """All of a branch that was moved off what the session is at.

    Raises:
        BranchMoved: unsaved edits were to be kept, which were made to something else; or the branch
            is not there any more.
    """
    if tip is None or (keep_changes and core.touched()):
        raise moved(core, tip, core.document.pending())
    loaded = yield from load(core.site, core.branch)
    assert loaded is not None
    assert loaded.last is not None
    names = frozenset(core.touched())
    instead = Instead(names, loaded.sections, is_whole=True)
    return News(loaded.head, instead=instead, moved_to=loaded.last)


def _read_instead(core: SessionCore) -> Steps[tuple[Head | None, Instead]]:
    """The sections that were edited as they are now, windows as windows, and the head of that."""
    names = frozenset(core.touched())
    if core.torn is not None:  # nothing of what is live counts
        loaded = yield from load(core.site, core.branch)
        sections = loaded.sections if loaded is not None else {}
        return loaded.head if loaded is not None else None, Instead(names, sections, is_whole=True)
    windows = {name: count for name, (_, count) in core.document.windows().items() if name in names}
    loaded = yield from load(
        core.site, core.branch, lambda name: name in names and name not in windows
    )
    if loaded is None:
        return None, Instead(names)
    sections, elsewhere = yield from opened(core.site, loaded, core.branch, windows)
    return loaded.head, Instead(
        names,
        {name: sections[name] for name in names if name in sections},
        {name: elsewhere[name] for name in windows if name in elsewhere},
    )


def read_since(core: SessionCore, current: Head) -> Steps[list[Record]]:
    """Records of the branch that the session has not read."""
    tip = current.branches[core.branch]
    ours = core.position.head.branches.get(core.branch) if core.position else None
    first = ours.number + 1 if ours is not None and not core.is_new else 1
    return (yield from read_run(core.site, current, tip, first, tip.number))


def take_in(core: SessionCore, news: News, keep_changes: bool) -> bool:
    """Make the news part of the live tree, in place; keep or give up what is not saved.

    False if edits came up meanwhile that could only be given up for what was not read: read again.

    Raises:
        Conflict: both sides changed the same sections and `keep_changes` was asked for.
        StateDeleted: the state this session opened is gone.
    """
    if keep_changes:
        core.document.gather()
    head, mine = news.head, core.touched()
    is_moved = news.moved_to is not None
    if keep_changes and is_moved and mine:
        return False
    if core.torn is not None and (news.instead is None or not news.instead.is_whole):
        return False
    if keep_changes and core.torn is not None and (core.torn or core.document.touched()):
        raise torn(core)
    if head is None:
        if not core.is_new:
            raise gone(core, "deleted")
        if keep_changes and core.torn is None:
            return True
    elif not _is_same_life(core, head):
        raise gone(core, "deleted and made anew")
    elif not keep_changes:
        read = news.instead.names if news.instead is not None else frozenset()
        if core.torn is None and not is_moved and not mine <= read:
            return False
    elif mine & sections_of(news.changes):
        raise conflict(core, head, news.records, news.changes, core.document.pending())
    is_anew, kept = core.torn is not None, unsaved(core) if keep_changes and mine else []
    core.torn = kept
    _make_live(core, news, keep_changes, mine, anew=is_anew or is_moved)
    if head is not None:
        core.position = Position(head, head.token)
    newest = news.moved_to or (news.records[-1] if news.records else None)
    if newest is not None:
        core.checkpoint = checkpoint_of(core.site.key, core.branch, newest)
    core.document.show()
    core.torn = None
    return True


def _make_live(
    core: SessionCore, news: News, keep_changes: bool, mine: set[str], *, anew: bool
) -> None:
    """Change the live tree; an interrupt leaves it half changed, and `core.torn` says so."""
    instead = news.instead or Instead()
    if anew:
        core.restore(instead.sections)
    elif news.head is None:
        core.give_up(Instead())
    elif keep_changes:
        core.names = reordered(core.names, moves_of(news.changes))
        core.take(news.changes, reordered(core.names, core.queue.moves()))
        core.meet_summary(news.head.summary)
        return
    else:
        core.give_up(instead)
        changes = [each for each in news.changes if str(each.path[0]) not in mine]
        core.names = reordered(core.names, moves_of(news.changes))
        core.take(changes, core.names)
    if news.head is not None:
        core.adopt_summary(news.head.summary)


def conflict_with(core: SessionCore, current: Head | None) -> Steps[Reload]:
    """The error for a save that found its branch moved (P3)."""
    if current is None or current.deleted_us is not None:
        return gone(core, "deleted")
    if not _is_same_life(core, current):
        return gone(core, "deleted and made anew")
    if is_redacted(core, current):
        return redacted(core)
    tip = yield from branch_now(core, current)
    if tip is None or not (yield from _is_ahead(core, current, tip)):
        return moved(core, tip)
    current = as_branch(current, core.branch, tip)
    theirs = yield from read_since(core, current)
    changes = yield Compute(lambda: changes_of(theirs))  # may be much to decode
    return conflict(core, current, theirs, changes)


def conflict(
    core: SessionCore,
    current: Head,
    theirs: list[Record],
    their_changes: list[Change],
    pending: Sequence[Change] = (),
) -> Conflict:
    """The error that carries both sides; `pending` are edits of this one not captured yet."""
    key, mine = core.site.key, [*core.waiting(), *pending]
    overlap = sorted((sections_of(mine) | core.touched()) & sections_of(their_changes))
    return Conflict(
        f"{key!r} was saved to by someone else: {len(theirs)} checkpoint(s), up to "
        f"{current.branches[core.branch].number}, since this session read it; nothing was "
        f"overwritten. {_way_out(overlap)}",
        mine=mine,
        theirs=[checkpoint_of(key, core.branch, record) for record in theirs],
        their_changes=their_changes,
        branch=core.branch,
        overlap=overlap,
    )


def moved(core: SessionCore, tip: Branch | None, pending: Sequence[Change] = ()) -> BranchMoved:
    """The error for a session whose branch stands where the session has never been."""
    key, branch, mine = core.site.key, core.branch, [*core.waiting(), *pending]
    if tip is None:
        return BranchMoved(
            f"{key!r} has no branch {branch!r} any more: it was renamed or deleted. Nothing was "
            f"saved. Take what you need of your edits (conflict.mine).{_fork_of_left(core)}",
            branch=branch,
            mine=mine,
            overlap=sorted(sections_of(mine)),
        )
    number = core.checkpoint.number if core.checkpoint is not None else 0
    is_left = number + 1 >= tip.first
    how = (
        f"was moved, by a rollback or the like, and stands at {tip.number} on another line of "
        "history. Nothing was saved"
        if is_left
        else f"was saved to by others, and what they did up to checkpoint {tip.first - 1} was "
        "pruned, so that it cannot be told what they changed. Nothing was saved"
    )
    return BranchMoved(
        f"the branch {branch!r} of {key!r} {how}. Take what you need "
        "of your edits (conflict.mine) and call session.refresh() to go on where the branch is now."
        f"{_fork_of_left(core) if is_left else ''}",
        branch=branch,
        mine=mine,
        overlap=sorted(sections_of(mine)),
    )


def _fork_of_left(core: SessionCore) -> str:
    """How to go on from what a session is at, by its id: its number may name another by now."""
    if core.checkpoint is None:
        return ""
    start = core.checkpoint.id[:_ID_DIGITS]
    return (
        f" What this session is at, checkpoint {start}, is kept: "
        f'store.fork({core.site.key!r}, name, at="{start}") makes a branch of it'
    )


def is_redacted(core: SessionCore, current: Head) -> bool:
    """Whether something was redacted since the session read the state."""
    return (
        core.position is not None
        and not core.is_new
        and current.incarnation == core.position.head.incarnation
        and current.fence != core.position.head.fence
    )


def redacted(core: SessionCore, pending: Sequence[Change] = ()) -> Redacted:
    """The error for a session that read what was redacted since."""
    return Redacted(
        f"something was redacted from {core.site.key!r} since this session read it, so what it "
        "would save may have it still: nothing was saved. Call session.refresh() to go on with "
        "what is there now (it gives up what is not saved, which `mine` of this error has), and "
        "edit that",
        mine=[*core.waiting(), *pending],
    )


def unsaved(core: Live) -> list[Change]:
    """All that a session has not saved, as far as it can be told."""
    mine = core.waiting()
    with suppress(Exception):  # a container changed behind its methods, or half changed
        mine += core.document.pending()
    return mine


def torn(core: Live) -> Conflict:
    """The error for a session of which a refresh was interrupted while it changed what is live."""
    mine = core.torn or unsaved(core)
    return Conflict(
        f"a refresh of {core.site.key!r} was interrupted, so what this session shows may be half "
        "as it was and half as it is stored; nothing was saved. Take what you need of your edits "
        "(conflict.mine), then call session.refresh(), which reads all of it anew",
        mine=mine,
        overlap=sorted(sections_of(mine)),
    )


def _way_out(overlap: list[str]) -> str:
    """What to do about a conflict: only what can work."""
    if not overlap:
        return (
            "No section was changed on both sides: call session.refresh(keep_changes=True) to take "
            "theirs in and keep yours, or session.refresh() to give yours up, then save again"
        )
    return (
        f"Both sides changed {', '.join(map(repr, overlap))}, so your changes cannot be kept as "
        "they are: take what you need of them from conflict.mine, call session.refresh() to take "
        "theirs in and give yours up, make your edits again, then save"
    )


def gone(core: SessionCore, how: str) -> StateDeleted:
    """The error for a session whose state is not there any more."""
    way_out = "open it again to work on what is there now"
    if how == "deleted":
        way_out = (
            f"store.undelete({core.site.key!r}) brings it back; or open it again to begin anew"
        )
    return StateDeleted(
        f"{core.site.key!r} was {how} since this session opened it; nothing was saved. {way_out}"
    )


def _is_same_life(core: SessionCore, current: Head) -> bool:
    """Whether a head is of the life of the key that the session reads, or of its first."""
    return (
        core.position is None
        or core.is_new
        or current.incarnation == core.position.head.incarnation
    )
