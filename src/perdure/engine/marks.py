"""Sessions as heads and records remember them: who holds a state, and how the last one ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from perdure import limits
from perdure.core.head import MAIN, Head, Mark
from perdure.core.head_bytes import mark_from_wire
from perdure.core.record import END, ENDED_BEFORE, START
from perdure.engine.load import Loaded
from perdure.engine.past import take_back
from perdure.engine.read import Site, as_of_now
from perdure.engine.requests import IsAlive, Now, Steps
from perdure.engine.view import checkpoint_of, when
from perdure.types import Ended, Holder, Resumed, SessionInfo


def with_mark(head: Head, mark: Mark, told: Sequence[Mark] = ()) -> Head:
    """`head` remembering `mark`, and no longer the ends that were told.

    Kept: sessions without an end, and the one of each branch that ended last.
    """
    if len(head.marks) == 1 and head.marks[0].id == mark.id:  # as at most saves
        return replace(head, marks=(mark,))
    gone = {old.id for old in told}
    is_known = False
    running: list[Mark] = []
    ended: list[Mark] = []
    for old in head.marks:
        if old.id == mark.id:
            is_known = True
        elif old.id not in gone:
            (running if old.end is None else ended).append(old)
    (running if mark.end is None else ended).append(mark)
    if len(ended) > 1:
        ended.sort(key=lambda old: old.saved_us)
        last = {old.branch: old for old in ended if old.branch in head.branches}
        # An end that no record holds is kept until a later session's first record tells of it.
        ended = [old for old in ended if not old.recorded or last.get(old.branch) is old]
        ended = ended[-limits.sessions_open_max :]
    first_save = not is_known and mark.first == mark.last
    return replace(
        head,
        marks=(*running[-limits.sessions_open_max :], *ended),
        sessions=head.sessions + first_save,
    )


def resumed_from(
    site: Site, loaded: Loaded | None, branch: str = MAIN
) -> Steps[tuple[Resumed | None, list[Mark]]]:
    """What a session takes up, and the ends it is the first to know for its first record."""
    if loaded is None or loaded.last is None:
        return None, []
    now = yield Now()
    infos: list[tuple[SessionInfo, Mark]] = []
    told: list[Mark] = []
    # On a branch that no session has saved to yet, those tell that worked on what it is based on.
    own = [mark for mark in loaded.head.marks if mark.branch == branch]
    for mark in own or loaded.head.marks:
        ended = yield from judge(mark, now)
        infos.append((info_of(mark, ended), mark))
        if not own:
            continue  # it is for the next session on their branch to record how they ended
        if ended == "interrupted":
            told.append(replace(mark, end=ended))
        elif mark.end is not None and not mark.recorded:
            told.append(mark)
    checkpoint = checkpoint_of(site.key, branch, loaded.last)
    if not infos:
        return None, []
    infos.sort(key=lambda pair: pair[1].saved_us)
    last = infos[-1][0]
    others = tuple(info for info, mark in infos[:-1] if mark.end is None)
    age = max(0.0, (now - loaded.last.time_us) / 1e6)
    return Resumed(checkpoint, age, last.ended, last, others), told


def judge(mark: Mark, now_us: int) -> Steps[Ended]:
    """How a session ended, as far as can be told from here."""
    if mark.end is not None:
        return mark.end  # type: ignore[return-value]  # one of `Ended`, or what a newer version wrote
    alive = yield IsAlive(Holder(*mark.holder))
    if alive is None:
        alive = now_us - mark.saved_us <= limits.heartbeat_s * 1_000_000
    return "maybe running" if alive else "interrupted"


def info_of(mark: Mark, ended: Ended) -> SessionInfo:
    """A mark as users see it."""
    return SessionInfo(
        id=mark.id.hex(),
        started=when(mark.started_us),
        last_saved=when(mark.saved_us),
        ended=ended,
        holder=Holder(*mark.holder),
        first=mark.first,
        last=mark.last,
        error=mark.error,
    )


def sessions_of(site: Site) -> Steps[list[SessionInfo]]:
    """Every session that saved something to `main`, newest first, and those that heads remember."""
    return (yield from as_of_now(site, lambda head: _sessions_in(site, head)))


def _sessions_in(site: Site, head: Head) -> Steps[list[SessionInfo]]:
    records = yield from take_back(site, head, MAIN)
    now = yield Now()
    marks: dict[bytes, Mark] = {}
    for record in reversed(records):
        for wire in record.extra.get(ENDED_BEFORE, ()):
            told = mark_from_wire(wire)
            marks[told.id] = _merge(marks.get(told.id), told)
        if START in record.extra:
            marks[record.session] = mark_from_wire(record.extra[START])
        mark = marks.get(record.session)
        if mark is not None:
            mark = replace(mark, saved_us=record.time_us, last=record.number)
            marks[record.session] = _ended(mark, record.extra.get(END))
    for mark in head.marks:
        marks[mark.id] = mark
    infos = []
    for mark in marks.values():
        ended = yield from judge(mark, now)
        infos.append(info_of(mark, ended))
    return sorted(infos, key=lambda info: (info.started, info.first), reverse=True)


def _merge(known: Mark | None, told: Mark) -> Mark:
    return told if known is None else replace(known, end=told.end, error=told.error)


def _ended(mark: Mark, end: Sequence[Any] | None) -> Mark:
    if end is None:
        return mark
    how, error, ended_us = end[:3]
    return replace(mark, end=how, error=error, ended_us=ended_us, recorded=True)
