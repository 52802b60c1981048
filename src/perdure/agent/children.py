"""Children: the states of sub-agents, linked by name, and how they stand when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from perdure.agent import status
from perdure.agent.acts import Acts, Ask, Clock, Edit
from perdure.agent.records import CHILDREN, KINDS, TASKS, field, read, section, worded
from perdure.agent.tasks import saved
from perdure.core.claims import claims_of, is_open
from perdure.core.head import MAIN, Head
from perdure.core.values import take
from perdure.engine import marks, questions
from perdure.engine.around import UNREADABLE
from perdure.engine.effects import is_running
from perdure.engine.load import Loaded, load, read_section
from perdure.engine.read import Site
from perdure.engine.requests import Now, Steps
from perdure.engine.unread import Unread
from perdure.engine.view import when
from perdure.errors import BranchNotFound, PathNotFound, PerdureError, UsageError
from perdure.state.node import plain
from perdure.types import Ended

if TYPE_CHECKING:
    from perdure.session_base import SessionBase

ChildStatus: TypeAlias = Literal[
    "running", "waiting", "unfinished", "finished", "dropped", "missing", "deleted", "unreadable"
]
"""How a child stands; see `Child.status`."""

LOOKED_AT = frozenset((TASKS, questions.SECTION))
"""The sections of a child that say how it stands."""

END = ("status", "ended", "result", "because")
"""What a link has once the parent said what became of the child."""


class Child(msgspec.Struct, frozen=True):
    """A sub-agent's state, as its parent has linked it, and how it stands now.

    Example:
        >>> [(child.name, child.status) for child in session.children.unfinished()]
        [('researcher', 'waiting')]
    """

    name: str
    """What the parent calls it."""
    key: str
    """Of its state."""
    branch: str
    """Of its state, on which the parent opens it."""
    linked: datetime
    """When it was linked first."""
    status: ChildStatus
    """`running`: its last session lives, or may. `waiting`: for an answer or a time. `finished`:
    its last session ended normally, with nothing of what is counted here left; or the parent
    completed it. `dropped`: the parent gave it up. `missing`: nothing was ever saved of it, or
    nothing is left. `deleted` and `unreadable` are its state. `unfinished`: all else."""
    ended: Ended | None = None
    """How its last session ended; None: there was none."""
    error: str | None = None
    """Type of the exception that ended it, when `ended` is "failed"."""
    saved: datetime | None = None
    """When it was saved last."""
    tasks: int = 0
    """Its tasks that are neither done nor abandoned."""
    questions: int = 0
    """Its questions without an answer, and its timers that have not run out."""
    effects: int = 0
    """Its effects of unknown outcome."""
    result: Any = None
    """What the parent completed it with."""
    because: str | None = None
    """Why the parent dropped it."""
    problem: str | None = None
    """What keeps it from being opened, in words."""

    @property
    def is_finished(self) -> bool:
        """Whether nobody has to go on with it: finished, or dropped."""
        return self.status in ("finished", "dropped")


class Link(msgspec.Struct, frozen=True):
    """Which state a child is to be, or is."""

    key: str
    branch: str


# ---- linking --------------------------------------------------------------------------------


def link_for(
    session: SessionBase[Any], name: str, key: str | None, branch: str | None
) -> Acts[Link]:
    """What a child of this name is to be; nothing is linked by asking.

    Raises:
        UsageError: the name says nothing, has another key already, or the key is the parent's own.
        SaveInsideAtomic: inside an atomic block, where a link cannot be saved.
    """
    worded(name, "child's name")
    session._refuse_inside_atomic()
    record = field((yield from read(session, CHILDREN)), name)
    if record is None:
        found = Link(key or derived_key(session, name), branch or MAIN)
    else:
        found = Link(record["key"], branch or record["branch"])
        if key is not None and key != found.key:
            raise UsageError(
                f"{session.key!r}: the child {name!r} is the state {found.key!r}, which would be "
                f"forgotten: give the child with the key {key!r} another name"
            )
    if found.key == session.key:
        raise UsageError(f"{session.key!r} cannot be its own child: give {name!r} another key")
    return found


def derived_key(session: SessionBase[Any], name: str) -> str:
    """The key of a child, by default: no two parents, branches or names have the same."""
    at = "" if session.branch == MAIN else f"@{_escaped(session.branch)}"
    return f"{session.key}/perdure.child{at}/{_escaped(name)}"


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace("/", "%2F")


def keep_link(session: SessionBase[Any], name: str, link: Link) -> Acts[None]:
    """Have a child linked, durably; one that is linked so and at work costs nothing.

    Raises:
        UsageError: another session of the parent linked another state meanwhile.
    """
    record = field((yield from read(session, CHILDREN)), name)
    if record is None or not _fits(record, link) or any(each in record for each in END):
        now = yield Clock()
        yield Edit(partial(_link, session, name, link, now))
    elif not any(change.path[0] == CHILDREN for change in session.changes()):
        return
    yield from saved()
    kept = section(session, CHILDREN)[name]
    if not _fits(kept, link):
        raise UsageError(
            f"{session.key!r}: another session linked the child {name!r} to {kept['key']!r} "
            f"meanwhile, on {kept['branch']!r}; open it again, or give this one another name"
        )


def _fits(record: Any, link: Link) -> bool:
    return (field(record, "key"), field(record, "branch")) == (link.key, link.branch)


def _link(session: SessionBase[Any], name: str, link: Link, now: datetime) -> None:
    if CHILDREN not in session.raw:
        session._document.write_reserved(CHILDREN, KINDS[CHILDREN]())
    children = section(session, CHILDREN)
    if name not in children:
        children[name] = {"key": link.key, "branch": link.branch, "linked": now}
        return
    record = children[name]
    if record["branch"] != link.branch:
        record["branch"] = link.branch
    for gone in END:
        record.pop(gone, None)


def end(
    session: SessionBase[Any],
    name: str,
    how: Literal["finished", "dropped"],
    result: Any = None,
    because: str | None = None,
) -> Acts[Child]:
    """Say, durably, what became of a child; see `Children.complete` and `Children.drop`."""
    children = yield from read(session, CHILDREN)
    if name not in children:
        there = ", ".join(map(repr, children)) or "none"
        raise PathNotFound(f"{session.key!r} has no child {name!r}; it has: {there}")
    fields: dict[str, Any] = {"status": how, "ended": (yield Clock())}
    if result is not None:
        fields["result"] = take(result, ("result",))
    if because is not None:
        fields["because"] = worded(because, "reason")
    yield Edit(partial(_end, session, name, fields))
    yield from saved()
    return (yield from _told(session, name, section(session, CHILDREN)[name]))


def _end(session: SessionBase[Any], name: str, fields: Mapping[str, Any]) -> None:
    record = section(session, CHILDREN)[name]
    for gone in END:
        if gone not in fields:
            record.pop(gone, None)
    record.update(fields)


# ---- looking --------------------------------------------------------------------------------


def every(session: SessionBase[Any]) -> Acts[list[Child]]:
    """All children, in the order in which they were linked, as they stand."""
    children = yield from read(session, CHILDREN)
    found: list[Child] = []
    for name, record in children.items():
        found.append((yield from _told(session, name, record)))
    return found


def one(session: SessionBase[Any], name: str) -> Acts[Child | None]:
    """One child as it stands; None: there is none of this name."""
    children = yield from read(session, CHILDREN)
    return (yield from _told(session, name, children[name])) if name in children else None


def _told(session: SessionBase[Any], name: str, record: Any) -> Acts[Child]:
    key, branch, linked = record["key"], record["branch"], record["linked"]
    how = field(record, "status")
    if how in ("finished", "dropped"):
        because = field(record, "because")
        return Child(
            name, key, branch, linked, how, result=plain(record.get("result")), because=because
        )
    site = session._core.site
    looked = yield Ask(_standing(Site(site.store, key, site.cache), branch))
    return Child(name, key, branch, linked, **looked)


def _standing(site: Site, branch: str) -> Steps[dict[str, Any]]:
    """How a state stands: the fields of a `Child` that say so. What cannot be read is no error."""
    try:
        loaded = yield from load(site, branch, LOOKED_AT.__contains__)
        if loaded is None:
            return {"status": "missing", "problem": "nothing was ever saved of it, or all is gone"}
        if loaded.head.deleted_us is not None:
            return {"status": "deleted", "problem": "it was deleted; `undelete` brings it back"}
        return (yield from _look(site, loaded, branch))
    except BranchNotFound as error:
        return {"status": "missing", "problem": _in_words(error)}
    except UNREADABLE as error:
        return {"status": "unreadable", "problem": _in_words(error)}


def _in_words(error: PerdureError) -> str:
    return f"{error.kind}: {error}"


def _look(site: Site, loaded: Loaded, branch: str) -> Steps[dict[str, Any]]:
    resumed, _ = yield from marks.resumed_from(site, loaded, branch)
    now = when((yield Now()))
    tasks = yield from _unfinished_tasks(site, loaded, branch)
    asked = yield from questions.open_in(site, loaded, branch)
    waits = sum(1 for each in asked if each.due is None or each.due > now)
    effects = yield from _unknown_effects(loaded.head)
    last = resumed.session if resumed is not None else None
    ended = last.ended if last is not None else None
    others = resumed.others if resumed is not None else ()
    if "maybe running" in {ended, *(each.ended for each in others)}:
        how = "running"
    elif waits:
        how = "waiting"
    else:
        is_over = ended in (None, "closed") and not tasks and not effects and not asked
        how = "finished" if is_over else "unfinished"
    return {
        "status": how,
        "ended": ended,
        "error": last.error if last is not None else None,
        "saved": when(loaded.last.time_us) if loaded.last is not None else None,
        "tasks": tasks,
        "questions": waits,
        "effects": effects,
    }


def _unfinished_tasks(site: Site, loaded: Loaded, branch: str) -> Steps[int]:
    value = loaded.sections.get(TASKS, {})
    if type(value) is Unread:
        value = yield from read_section(site, loaded.head, branch, TASKS, {TASKS: value})
    records = value.values() if isinstance(value, Mapping) else ()
    return sum(
        1
        for each in records
        if isinstance(each, Mapping) and each.get("status") not in status.ENDED
    )


def _unknown_effects(head: Head) -> Steps[int]:
    count = 0
    for key, claim in claims_of(head).items():
        if is_open(claim) and not key.startswith(questions.ANSWERS):
            count += not (yield from is_running(head, claim))
    return count
