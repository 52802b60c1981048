"""Hypothesis strategies for what a state can hold, and for edits to it.

They need the `testing` extra: `pip install perdure[testing]`.

Example:
    >>> from hypothesis import given
    >>> from perdure.testing import strategies
    >>> @given(strategies.values())
    ... def test_my_agent_keeps_what_it_is_told(value): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, time, timedelta, timezone, tzinfo
from functools import cache
from typing import Any, TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from perdure.core.changes import (
    Change,
    Delete,
    Members,
    Set,
    Splice,
    apply,
    pack_changes,
    unpack_changes,
)
from perdure.core.codec import pack
from perdure.core.paths import Path
from perdure.core.values import take

Place: TypeAlias = tuple[Path, Any]

DAY_SECONDS = 86_400


# What strategies are made of is cached: making them takes longer than drawing from them. Those that
# others are made of are composites, whose names stand for them where Hypothesis shows a strategy.


@st.composite
def texts(draw: DrawFn) -> str:
    """Any str, lone surrogates included."""
    return draw(_texts())


@cache
def _texts() -> SearchStrategy[str]:
    usual = st.text(max_size=20)
    return st.one_of(usual, usual, st.text(st.characters(categories=["Cs", "Lu"]), max_size=4))


@cache
def ints() -> SearchStrategy[int]:
    """Ints of any size, those at the edges of machine words more often."""
    edges = st.builds(
        lambda bits, step, sign: sign * (2**bits + step),
        st.sampled_from([0, 5, 7, 8, 16, 31, 32, 63, 64, 127, 1000]),
        st.integers(-2, 2),
        st.sampled_from([-1, 1]),
    )
    return st.one_of(st.integers(), edges)


@cache
def zones() -> SearchStrategy[tzinfo | None]:
    """No zone, one of the zone database, or a fixed offset, named or not."""
    offsets = st.one_of(
        st.timedeltas(timedelta(hours=-23), timedelta(hours=23)),
        st.integers(-DAY_SECONDS + 1, DAY_SECONDS - 1).map(lambda s: timedelta(seconds=s)),
    )
    fixed = st.one_of(st.builds(timezone, offsets), st.builds(timezone, offsets, texts()))
    return st.one_of(st.none(), st.timezones(), fixed)


@st.composite
def moments(draw: DrawFn) -> Any:
    """datetimes, dates, times and timedeltas, with zones and either fold."""
    value = draw(_moments())
    if isinstance(value, datetime | time):
        return value.replace(fold=draw(st.integers(0, 1)))
    return value


@cache
def _moments() -> SearchStrategy[Any]:
    return st.one_of(
        st.datetimes(timezones=zones()), st.times(timezones=zones()), st.dates(), st.timedeltas()
    )


@st.composite
def scalars(draw: DrawFn) -> Any:
    """Every kind of value that is no container."""
    return draw(_scalars())


@cache
def _scalars() -> SearchStrategy[Any]:
    return st.one_of(
        st.none(),
        st.booleans(),
        ints(),
        st.floats(),
        texts(),
        st.binary(max_size=20),
        moments(),
        st.uuids(allow_nil=True),
        st.decimals(allow_nan=True, allow_infinity=True),
        st.sampled_from([0, 1, False, True, 0.0, -0.0, 1.0, "", b"", "1"]),
    )


@st.composite
def hashables(draw: DrawFn) -> Any:
    """What can be a member of a set: scalars, and tuples and frozensets of them."""
    return draw(_hashables())


@cache
def _hashables() -> SearchStrategy[Any]:
    return st.recursive(
        scalars().filter(_is_hashable),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)
        ),
        max_leaves=4,
    )


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:  # a signalling nan of Decimal
        return False
    return True


@cache
def values(max_leaves: int = 12) -> SearchStrategy[Any]:
    """Any value that a state can hold, already plain.

    Args:
        max_leaves: about how many scalars are in one value.
    """
    return st.recursive(
        scalars(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=5),
            st.dictionaries(texts(), inner, max_size=5),
            st.lists(inner, max_size=3).map(tuple),
            st.sets(hashables(), max_size=4),
            st.frozensets(hashables(), max_size=3),
        ),
        max_leaves=max_leaves,
    )


@cache
def sections(max_leaves: int = 12) -> SearchStrategy[dict[str, Any]]:
    """The sections of a state: names, none of them Perdure's own, and values."""
    usual = st.sampled_from(["messages", "plan", "goals", "facts"])
    names = texts().filter(lambda name: not name.startswith("perdure."))
    return st.dictionaries(st.one_of(usual, names), values(max_leaves), max_size=5)


@st.composite
def changes_for(draw: DrawFn, sections: dict[str, Any], max_size: int = 8) -> list[Change]:
    """Changes that can be applied one after another to these sections, which stay as they are."""
    current: dict[str, Any] = take(sections)
    changes: list[Change] = []
    for _ in range(draw(st.integers(0, max_size))):
        path, target = draw(st.sampled_from(list(_editable((), current))))
        change = draw(_edit(path, target))
        # A copy: what a change puts in belongs to where it went.
        apply(current, unpack_changes(pack_changes([change])))
        changes.append(change)
    return changes


def _editable(path: Path, value: Any) -> Iterator[Place]:
    """Every place that a change can alter, with what is there."""
    if isinstance(value, _EDITED):
        yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _editable((*path, key), item)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _editable((*path, at), item)


def _edit(path: Path, target: Any) -> SearchStrategy[Change]:
    for base, edit in _EDITS.items():
        if isinstance(target, base):
            return edit(path, target)
    raise TypeError(f"nothing edits a {type(target).__name__}")


def _edit_dict(path: Path, target: dict[str, Any]) -> SearchStrategy[Change]:
    added = st.builds(lambda key, value: Set((*path, key), value), texts(), values(4))
    if not target:
        return added
    keys = st.sampled_from(list(target))
    replaced = st.builds(lambda key, value: Set((*path, key), value), keys, values(4))
    return st.one_of(added, replaced, keys.map(lambda key: Delete((*path, key))))


def _edit_list(path: Path, target: list[Any]) -> SearchStrategy[Change]:
    spliced = _edit_run(path, target, st.lists(values(3), max_size=3))
    if not target:
        return spliced
    places = st.integers(0, len(target) - 1)
    return st.one_of(
        spliced, st.builds(lambda at, value: Set((*path, at), value), places, values(4))
    )


@st.composite
def _edit_run(draw: DrawFn, path: Path, target: Any, items: SearchStrategy[Any]) -> Change:
    start = draw(st.integers(0, len(target)))
    removed = draw(st.integers(0, len(target) - start))
    return Splice(path, start, removed, draw(items))


@st.composite
def _edit_set(draw: DrawFn, path: Path, target: set[Any]) -> Change:
    # In an order of their own, so that one draw repeats; and by place, as a nan equals nothing.
    members = sorted(target, key=pack)
    gone = draw(st.sets(st.integers(0, len(members) - 1))) if members else set()
    left = {member for at, member in enumerate(members) if at not in gone}
    added = draw(st.sets(hashables(), max_size=3)) - left
    return Members(path, [members[at] for at in sorted(gone)], sorted(added, key=pack))


_EDITS: dict[type[Any], Callable[[Path, Any], SearchStrategy[Change]]] = {
    dict: _edit_dict,
    list: _edit_list,
    set: _edit_set,
    str: lambda path, target: _edit_run(path, target, texts()),
    bytes: lambda path, target: _edit_run(path, target, st.binary(max_size=9)),
}
_EDITED = tuple(_EDITS)
