"""Versions of one small schema, what their code does to a state, and the plain facts of it.

`Facts` says what is true of a state in no version's words; `seen` says what each version has to
see of them, and `make` edits a state as code of a version does. Nothing here knows of lenses but
the declarations. Two steps are lenses, and the third is a function, so of what that touches
older code sees what it can, and may not edit it.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from perdure.core.versions import SECTION, VERSION
from perdure.evolving import plan
from perdure.lenses import add, convert, in_items, remove, rename, split
from perdure.schemas.declare import migration, schema

NAME = "Desk"
OPEN, CLOSED = "open", "closed"
CODES = {OPEN: 1, CLOSED: 2}
BUDGET = 5
"""What a migration gives a state that has none."""


@dataclass
class FirstLine:
    """What was said, as the first version has it."""

    role: str
    text: str


@dataclass
class Line:
    """The same, later."""

    author: str
    text: str
    tokens: int


@schema(NAME)
@dataclass
class First:
    """The state as the first version has it."""

    topic: str
    name: str
    status: str
    notes: str
    lines: list[FirstLine]


@schema(NAME, version=2)
@dataclass
class Second:
    """One field has another name, one another form, one came, one went, and so in each line."""

    subject: str
    name: str
    status: int
    budget: int
    lines: list[Line]


@schema(NAME, version=3)
@dataclass
class Third:
    """One field is two, and one more came."""

    subject: str
    first: str
    last: str
    status: int
    budget: int
    urgent: bool
    lines: list[Line]


@schema(NAME, version=4)
@dataclass
class Fourth:
    """One field has another form, which only code can make."""

    subject: str
    first: str
    last: str
    status: int
    budget: list[int]
    urgent: bool
    lines: list[Line]


TO_SECOND = [
    rename("topic", "subject"),
    convert("status", CODES),
    add("budget", BUDGET),
    remove("notes", default=""),
    in_items("lines", [rename("role", "author"), add("tokens", 0)]),
]
TO_THIRD = [split("name", into=("first", "last")), add("urgent", False)]

migration(Second, 1, 2, TO_SECOND)
migration(Third, 1, 2, TO_SECOND)
migration(Third, 2, 3, TO_THIRD)
migration(Fourth, 1, 2, TO_SECOND)
migration(Fourth, 2, 3, TO_THIRD)


@migration(Fourth, 3, 4, touches=["budget"])
def to_fourth(state: dict[str, Any]) -> None:
    """Make a list of the budget."""
    state["budget"] = [state["budget"]]


VERSIONS: dict[int, type[Any]] = {1: First, 2: Second, 3: Third, 4: Fourth}


# ---- what is true ---------------------------------------------------------------------------


@dataclass
class Said:
    """One line."""

    by: str
    text: str
    tokens: int = 0


@dataclass
class Facts:
    """What is true of a state; a state that was just begun has these of what its version lacks."""

    topic: str = ""
    first: str = ""
    last: str = ""
    status: str = OPEN
    notes: str = ""
    budget: int = BUDGET
    urgent: bool = False
    lines: list[Said] = field(default_factory=list)


Seen: TypeAlias = dict[str, Any]
"""By field, what a version shows of a state, as plain data."""


def is_locked(version: int, stored: int) -> bool:
    """Whether the budget is not understood by code of a version, where a state is in another."""
    return version in (2, 3) and stored > 3


def seen(version: int, facts: Facts, stored: int) -> Seen:
    """What a version has to see of a state that is in version `stored`, where it understands it."""
    name = {"name": f"{facts.first} {facts.last}"}
    if version == 1:
        lines: list[Seen] = [{"role": each.by, "text": each.text} for each in facts.lines]
        named = {"topic": facts.topic, "status": facts.status, "notes": facts.notes}
        return {**named, **name, "lines": lines}
    lines = [{"author": each.by, "text": each.text, "tokens": each.tokens} for each in facts.lines]
    later: Seen = {"subject": facts.topic, "status": CODES[facts.status]}
    if not is_locked(version, stored):
        later["budget"] = facts.budget if version < 4 else [facts.budget]
    if version > 2:
        name = {"first": facts.first, "last": facts.last}
        later["urgent"] = facts.urgent
    return {**later, **name, "lines": lines}


def fields_of(version: int, stored: int) -> list[str]:
    """The fields that a version sees and understands."""
    return list(seen(version, Facts(), stored))


def shown(version: int, sections: Mapping[str, Any]) -> Seen:
    """What a version does see of the sections of a state, whichever version wrote them."""
    found = plan(VERSIONS[version], sections.get(SECTION), sections)
    content = found.shown(deepcopy(dict(sections)))
    names = fields_of(version, found.version)
    kept = {name: content[name] for name in names if name in content}
    return kept | {"lines": [_plain(version, each) for each in kept.get("lines", ())]}


def shown_by(version: int, state: Any, stored: int) -> Seen:
    """What the typed state of an open session shows."""
    items = _items_of(version)
    lines = [{name: getattr(each, name) for name in items} for each in state.lines]
    fields = {name: getattr(state, name) for name in fields_of(version, stored)}
    return fields | {"lines": lines}


def _items_of(version: int) -> tuple[str, ...]:
    return ("role", "text") if version == 1 else ("author", "text", "tokens")


def _plain(version: int, item: Mapping[str, Any]) -> Seen:
    return {name: item[name] for name in _items_of(version) if name in item}


def version_in(sections: Mapping[str, Any]) -> int | None:
    """The version that a state says it is in; None: it says nothing."""
    stamp: dict[str, Any] = sections.get(SECTION, {}).get(NAME, {})
    return stamp.get(VERSION)


# ---- what is done ---------------------------------------------------------------------------

Op: TypeAlias = tuple[str, Any]
"""What is to be edited, and how: a name that `make` and `hold` know, and a value."""

FIELDS = {
    1: ("topic", "name", "status", "notes"),
    2: ("topic", "name", "status", "budget"),
    3: ("topic", "first", "last", "status", "budget", "urgent"),
    4: ("topic", "first", "last", "status", "budget", "urgent"),
}
"""What each version edits besides lines."""

LINES = "say", "say", "amend", "drop", "turn"


def found(version: int, token: str) -> tuple[Op, ...]:
    """The first save of a state: all the fields of its version."""
    named = ("name",) if version < 3 else ("first", "last")
    values = {"notes": token, "budget": len(token), "urgent": True, "status": CLOSED}
    names = [name for name in FIELDS[version] if name not in named]
    return (
        *((name, values.get(name, token)) for name in names),
        *((name, token) for name in named),
        ("begin", None),
    )


def chosen(
    draws: random.Random,
    version: int,
    state: Any,
    token: str,
    *,
    locked: bool,
    merges: bool,
) -> tuple[Op, ...]:
    """Some edits that code of a version might make to a state; each changes what it edits.

    Args:
        draws: what they are drawn from.
        version: of the code.
        state: as the session has it.
        token: a text that no other save has.
        locked: whether the budget is not to be edited.
        merges: whether it may be merged with others: then lines are only added, and no field gets
            a value that another save may give it, which would be taken for no edit.
    """
    left_out = ("status", "budget", "urgent") if merges else ("budget",) if locked else ()
    fields = [name for name in FIELDS[version] if name not in left_out]
    names = draws.sample(fields, draws.randint(0, 2))
    ops = [(name, _other(name, version, state, token)) for name in names]
    if not ops or draws.random() < 0.7:
        count = len(state.lines)
        kind = "say" if merges or count < 2 else draws.choice(LINES)
        ops.append((kind, token if kind == "say" else draws.randrange(max(count, 1))))
    return tuple(ops)


def _other(name: str, version: int, state: Any, token: str) -> Any:
    """Another value than a field has."""
    if name == "status":
        return CLOSED if state.status in (OPEN, CODES[OPEN]) else OPEN
    if name == "budget":
        return (state.budget if version < 4 else state.budget[0]) + 1
    return not state.urgent if name == "urgent" else token


def make(version: int, state: Any, ops: Iterable[Op]) -> None:
    """Edit the typed state of a session, as code of a version does."""
    for name, value in ops:
        if name in ("say", "amend", "drop", "turn", "begin"):
            _make_lines(version, state, name, value)
        elif name == "topic":
            setattr(state, "topic" if version == 1 else "subject", value)
        elif name == "status":
            state.status = value if version == 1 else CODES[value]
        elif name == "name":
            state.name = f"{value} {value}"
        elif name == "budget" and version > 3:
            state.budget = [value]
        else:
            setattr(state, name, value)


def _make_lines(version: int, state: Any, name: str, value: Any) -> None:
    if name == "begin":
        state.lines = []
    elif name == "say":
        state.lines.append(FirstLine("a", value) if version == 1 else Line("b", value, len(value)))
    elif name == "amend":
        state.lines[value].text += "!"
        if version > 1:
            state.lines[value].tokens += 1
    elif name == "drop":
        del state.lines[value]
    else:
        state.lines.append(state.lines.pop(0))


def hold(version: int, facts: Facts, ops: Iterable[Op]) -> None:
    """Note what an edit by code of a version makes true."""
    for name, value in ops:
        match name:
            case "begin":
                facts.lines = []
            case "say":
                said = Said("a", value) if version == 1 else Said("b", value, len(value))
                facts.lines.append(said)
            case "amend":
                facts.lines[value].text += "!"
                facts.lines[value].tokens += version > 1
            case "drop":
                del facts.lines[value]
            case "turn":
                facts.lines.append(facts.lines.pop(0))
            case "name":
                facts.first = facts.last = value
            case _:
                setattr(facts, name, value)
