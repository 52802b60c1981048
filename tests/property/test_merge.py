"""Merges agree with a plain merge of whole documents, and keep the laws that merges have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from msgspec.structs import replace
from tests.property.test_delta import answered

from perdure.core.changes import Change, Delete, Members, Set, Splice, apply, copies
from perdure.core.codec import pack
from perdure.core.delta import ABSENT
from perdure.core.merge import MergeConflict, merge
from perdure.core.paths import Path
from perdure.core.values import same, take
from perdure.testing.strategies import changes_for, sections
from perdure.types import Strategy

Document = dict[str, Any]


def applied(base: Document, changes: Sequence[Change]) -> Document:
    after: Document = take(base)
    apply(after, copies(changes))
    return after


def merged(
    base: Document,
    ours: Sequence[Change],
    theirs: Sequence[Change],
    strategies: Mapping[str, Strategy] = {},
) -> tuple[Document, tuple[MergeConflict, ...], list[Change]]:
    """The merged state, the conflicts, and the changes from the base to it."""
    found = answered(merge(ours, theirs, strategies), base)
    every = [*ours, *found.changes]
    return applied(base, every), found.conflicts, every


# ---- laws, of any states and edits ----------------------------------------------------------


@given(sections(), st.data())
def test_a_merge_with_itself_or_with_nothing_changes_nothing(
    base: Document, data: st.DataObject
) -> None:
    changes = data.draw(changes_for(base))
    after = applied(base, changes)
    for ours, theirs in ((changes, changes), (changes, []), ([], changes)):
        state, conflicts, _ = merged(base, ours, theirs)
        assert same(state, after)
        assert conflicts == ()


@given(sections(), st.data(), st.sampled_from(["error", "ours", "theirs", "append", "set"]))
def test_any_two_sides_can_be_merged(base: Document, data: st.DataObject, strategy: Any) -> None:
    ours, theirs = data.draw(changes_for(base)), data.draw(changes_for(base))
    packed = pack(base), pack(applied(base, ours)), pack(applied(base, theirs))
    strategies = {"**": strategy}
    state, conflicts, _ = merged(base, ours, theirs, strategies)
    assert all("\n" not in conflict.summary() for conflict in conflicts)
    assert same(merged(base, ours, theirs, strategies)[0], state)
    assert (pack(base), pack(applied(base, ours)), pack(applied(base, theirs))) == packed
    if strategy == "ours":
        assert conflicts == ()


@given(st.lists(sections(), min_size=3, max_size=3), st.data())
def test_edits_of_different_places_commute_and_associate(
    parts: list[Document], data: st.DataObject
) -> None:
    base: Document = dict(zip("abc", parts))
    one, two, three = (
        [replace(each, path=(name, *each.path)) for each in data.draw(changes_for(part, 5))]
        for name, part in base.items()
    )
    both, conflicts, every = merged(base, one, two)
    assert conflicts == ()
    assert same(both, applied(base, [*one, *two]))
    assert same(both, merged(base, two, one)[0])
    left = merged(base, every, three)[0]
    right = merged(base, one, merged(base, two, three)[2])[0]
    assert same(left, right)


@given(st.integers(-9, 9), st.lists(st.integers(-9, 9), min_size=3, max_size=3))
def test_counters_add_up_in_any_order(base: int, added: list[int]) -> None:
    rules: dict[str, Strategy] = {"n": "counter"}
    sides: list[list[Change]] = [[Set(("n",), base + each)] for each in added]
    _, _, every = merged({"n": base}, sides[0], sides[1], rules)
    left = merged({"n": base}, every, sides[2], rules)[0]
    _, _, every = merged({"n": base}, sides[1], sides[2], rules)
    right = merged({"n": base}, sides[0], every, rules)[0]
    assert left == right == {"n": base + sum(added)}


lists_of_few = st.lists(st.sampled_from("abcdef"), max_size=5, unique=True)


@given(lists_of_few, st.lists(lists_of_few, min_size=3, max_size=3))
def test_lists_as_sets_keep_what_was_added_and_drop_what_was_removed(
    base: list[str], lists: list[list[str]]
) -> None:
    rules: dict[str, Strategy] = {"l": "set"}
    sides: list[list[Change]] = [[Splice(("l",), 0, len(base), each)] for each in lists]
    state, conflicts, every = merged({"l": base}, sides[0], sides[1], rules)
    one, two, three = (set(each) for each in lists)
    assert conflicts == ()
    assert len(state["l"]) == len(set(state["l"]))
    assert set(state["l"]) == (one & two) | (one - set(base)) | (two - set(base))
    left = merged({"l": base}, every, sides[2], rules)[0]
    _, _, every = merged({"l": base}, sides[1], sides[2], rules)
    right = merged({"l": base}, sides[0], every, rules)[0]
    assert set(left["l"]) == set(right["l"])
    assert three - set(base) <= set(left["l"])


# ---- the reference --------------------------------------------------------------------------
#
# It knows documents only: mappings, sets, atoms, and lists whose items all differ (by "tag", where
# they are mappings), so that what came and went in them can be told without knowing the edits.


def tag(item: Any) -> str:
    return str(item["tag"] if isinstance(item, dict) else item)


def reference(base: Any, ours: Any, theirs: Any, path: Path, clashes: set[Path]) -> Any:
    if ours == theirs or theirs == base:
        return ours
    if ours == base:
        return theirs
    kinds = {type(each) for each in (base, ours, theirs) if each is not ABSENT}
    if len(kinds) == 1 and ours is not ABSENT and theirs is not ABSENT:
        if kinds == {dict}:
            return reference_dict({} if base is ABSENT else base, ours, theirs, path, clashes)
        if kinds == {set}:
            were = set() if base is ABSENT else base
            return (ours & theirs) | (ours - were) | (theirs - were)
        if kinds == {list}:
            return reference_list([] if base is ABSENT else base, ours, theirs, path, clashes)
    clashes.add(path)
    return ours


def reference_dict(
    base: Document, ours: Document, theirs: Document, path: Path, clashes: set[Path]
) -> Document:
    found = {}
    for key in [*ours, *(key for key in theirs if key not in ours), *base]:
        one, two, three = (each.get(key, ABSENT) for each in (base, ours, theirs))
        value = reference(one, two, three, (*path, key), clashes)
        if value is not ABSENT:
            found[key] = value
    return found


Piece = tuple[int, int, list[Any]]


def pieces(base: list[Any], side: list[Any]) -> list[Piece]:
    """Runs of the base that gave way to others, as start, end and what came."""
    tags = [tag(item) for item in base]
    found: list[Piece] = []
    start, came = 0, list[Any]()
    for item in [*side, ABSENT]:
        if item is not ABSENT and tag(item) not in tags:
            came.append(item)
            continue
        at = len(base) if item is ABSENT else tags.index(tag(item))
        if came or at > start:
            found.append((start, at, came))
        start, came = at + 1, []
    return found


def reference_list(
    base: list[Any], ours: list[Any], theirs: list[Any], path: Path, clashes: set[Path]
) -> list[Any]:
    mine, others = pieces(base, ours), pieces(base, theirs)
    spans: list[tuple[int, int]] = []
    for start, end, _ in sorted(mine + others, key=lambda piece: piece[:2]):
        if spans and start <= spans[-1][1]:
            start, last = spans.pop()
            end = max(end, last)
        spans.append((start, end))
    where = {tag(item): at for at, item in enumerate(ours)}
    now = {tag(item): item for item in theirs}
    found: list[Any] = []
    at = 0
    for number, (low, high) in enumerate([*spans, (len(base), len(base))]):
        for item in base[at:low]:
            place = where[tag(item)]
            sides = item, ours[place], now[tag(item)]
            found.append(reference(*sides, (*path, place), clashes))
        if number < len(spans):
            place = where[tag(base[low - 1])] + 1 if low else 0
            inside = [
                [piece for piece in side if low <= piece[0] and piece[1] <= high]
                for side in (mine, others)
            ]
            found += reference_span(
                base[low:high], inside, (ours, theirs), (*path, place), clashes, low
            )
        at = high
    return found


def reference_span(
    base: list[Any],
    pieces: list[list[Piece]],
    lists: tuple[list[Any], list[Any]],
    path: Path,
    clashes: set[Path],
    low: int,
) -> list[Any]:
    """A run of the base which one side or both replaced parts of; `path` is its start in ours."""
    ours, theirs = ({tag(item): item for item in side} for side in lists)
    came = [[item for piece in side for item in piece[2]] for side in pieces]
    if pieces[0] == pieces[1]:
        return came[0]
    if all(pieces) and any(came):
        clashes.add(path)
        return version(base, low, pieces[0], ours)
    left, place = [], path[-1]
    assert isinstance(place, int)
    for item in base:
        mine, other = ours.get(tag(item), ABSENT), theirs.get(tag(item), ABSENT)
        value = reference(item, mine, other, (*path[:-1], place), clashes)
        if value is not ABSENT:
            left.append(value)
        place += mine is not ABSENT
    return came[0] + came[1] + left


def version(base: list[Any], low: int, pieces: list[Piece], now: Document) -> list[Any]:
    found: list[Any] = []
    at = 0
    for start, end, came in pieces:
        found += [now[tag(item)] for item in base[at : start - low]] + came
        at = end - low
    return found + [now[tag(item)] for item in base[at:]]


# ---- documents and edits that the reference can follow --------------------------------------

atoms = st.one_of(st.integers(2, 5), st.sampled_from(["p", "q", "a text of some length"]))
members = st.sets(st.integers(0, 5), max_size=4)
plain = st.one_of(atoms, members, st.dictionaries(st.sampled_from("xyz"), atoms, max_size=3))
trees = st.one_of(plain, st.dictionaries(st.sampled_from("xyz"), plain, max_size=3))


@st.composite
def lists(draw: DrawFn, names: str) -> list[Any]:
    tags = draw(st.lists(st.sampled_from([f"{names}{n}" for n in range(9)]), unique=True))
    return [draw(items(tag)) for tag in tags]


def items(tag: str) -> st.SearchStrategy[Any]:
    return st.one_of(st.just(tag), st.integers(0, 2).map(lambda n: {"tag": tag, "n": n}))


@st.composite
def documents(draw: DrawFn) -> Document:
    found: Document = dict(draw(st.dictionaries(st.sampled_from("abcd"), trees, max_size=4)))
    found["l"] = draw(lists("base"))
    return found


@st.composite
def edits(draw: DrawFn, base: Document, max_size: int = 5) -> list[Change]:
    state: Document = take(base)
    made: list[Change] = []
    for _ in range(draw(st.integers(0, max_size))):
        path, target = draw(st.sampled_from(list(places(state))))
        change = draw(edit(path, target, base))
        apply(state, copies([change]))
        made.append(change)
    return made


def places(state: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All that can be edited inside."""
    if path == () or type(state) in (dict, list, set):
        yield path, state
    pairs: Any = enumerate(state) if isinstance(state, list) else ()
    for part, value in state.items() if isinstance(state, dict) else pairs:
        if isinstance(value, dict | list | set):
            yield from places(value, (*path, part))


@st.composite
def edit(draw: DrawFn, path: Path, target: Any, base: Document) -> Change:
    if isinstance(target, set):
        gone = draw(st.sets(st.sampled_from(sorted(target)), max_size=2)) if target else set()
        return Members(path, sorted(gone), sorted(draw(members) - (target - gone)))
    if isinstance(target, list):
        start = draw(st.integers(0, len(target)))
        removed = draw(st.integers(0, min(3, len(target) - start)))
        left = {tag(item) for item in target}
        came = [item for item in draw(lists("new")) if tag(item) not in left]
        return Splice(path, start, removed, draw(st.sampled_from([[], came[:1], came[:2]])))
    if "tag" in target:
        return Set((*path, draw(st.sampled_from("nm"))), draw(st.integers(0, 3)))
    gone_key = draw(st.sampled_from([*target, None]))
    if gone_key is not None and draw(st.booleans()) and draw(st.booleans()):
        return Delete((*path, gone_key))
    if not path:
        if "l2" not in base and "l2" not in target and draw(st.booleans()):
            return Set(("l2",), draw(lists("new")))
        return Set((draw(st.sampled_from("abcde")),), draw(trees))
    return Set((*path, draw(st.sampled_from("xyz"))), draw(plain))


@given(documents(), st.data())
def test_a_merge_makes_what_a_plain_merge_of_documents_makes(
    base: Document, data: st.DataObject
) -> None:
    ours, theirs = data.draw(edits(base), "ours"), data.draw(edits(base), "theirs")
    clashes: set[Path] = set()
    sides = base, applied(base, ours), applied(base, theirs)
    wanted = reference_dict(*sides, (), clashes)
    state, conflicts, _ = merged(base, ours, theirs)
    assert state == wanted
    assert {conflict.path for conflict in conflicts} == clashes
    if not clashes:
        turned, conflicts, _ = merged(base, theirs, ours)
        assert turned == wanted
        assert conflicts == ()


@given(documents(), st.data())
def test_with_a_side_that_wins_nothing_of_it_is_lost(base: Document, data: st.DataObject) -> None:
    ours, theirs = data.draw(edits(base)), data.draw(edits(base))
    names: list[tuple[Strategy, list[Change], list[Change]]] = [
        ("ours", ours, theirs),
        ("theirs", theirs, ours),
    ]
    for name, winner, loser in names:
        state, conflicts, _ = merged(base, ours, theirs, {"**": name})
        assert conflicts == ()
        won, lost = applied(base, winner), applied(base, loser)
        for key in base.keys() | won.keys() | lost.keys():
            was, best, other, now = (each.get(key, ABSENT) for each in (base, won, lost, state))
            if best == was:
                assert now == other
            elif not isinstance(best, dict | list | set):
                assert now == best


# ---- items with ids -------------------------------------------------------------------------


@st.composite
def edits_of_items(draw: DrawFn, base: list[Any], *, moves: bool = True) -> list[Change]:
    """Edits of a list, in which no id comes twice."""
    state: Document = {"l": take(base)}
    made: list[Change] = []
    for _ in range(draw(st.integers(0, 4))):
        now = state["l"]
        at = draw(st.integers(0, len(now)))
        taken = {item["id"] for item in now} | (set() if moves else {item["id"] for item in base})
        name = draw(st.integers(0, 12))
        item = {"id": name, **draw(st.dictionaries(st.sampled_from("nm"), st.integers(0, 2)))}
        if at == len(now) or draw(st.booleans()):
            steps: list[Change] = [Splice(("l",), at, 0, [item])] if name not in taken else []
        elif draw(st.booleans()):
            steps = [Set(("l", at, draw(st.sampled_from("nm"))), draw(st.integers(0, 2)))]
        else:
            steps = [Splice(("l",), at, 1, [])]
            if moves and draw(st.booleans()):
                steps.append(Splice(("l",), draw(st.integers(0, len(now) - 1)), 0, [now[at]]))
        apply(state, copies(steps))
        made += steps
    return made


@st.composite
def items_with_ids(draw: DrawFn) -> list[Any]:
    names = draw(st.lists(st.integers(0, 9), max_size=7, unique=True))
    return [{"id": name, "n": draw(st.integers(0, 2))} for name in names]


def by_id(items: list[Any]) -> Document:
    return {str(item["id"]): item for item in items}


@given(items_with_ids(), st.data())
def test_items_with_ids_are_merged_as_values_of_a_mapping_by_id(
    base: list[Any], data: st.DataObject
) -> None:
    ours, theirs = data.draw(edits_of_items(base)), data.draw(edits_of_items(base))
    sides = [applied({"l": base}, changes)["l"] for changes in ([], ours, theirs)]
    clashes: set[Path] = set()
    wanted = reference_dict(by_id(sides[0]), by_id(sides[1]), by_id(sides[2]), (), clashes)
    state, conflicts, _ = merged({"l": base}, ours, theirs, {"l": "append"})
    assert by_id(state["l"]) == wanted
    assert len(state["l"]) == len(wanted)
    found = set()
    for conflict in conflicts:
        part = conflict.path[1]
        assert isinstance(part, int)
        item = conflict.theirs if conflict.deleted_by == "ours" else sides[1][part]
        found.add((str(item["id"]), *conflict.path[2:]))
    assert found == clashes


@given(items_with_ids(), st.data())
def test_the_order_of_the_side_that_moved_items_is_kept(
    base: list[Any], data: st.DataObject
) -> None:
    moved, edited = (data.draw(edits_of_items(base, moves=moves)) for moves in (True, False))
    order = [item["id"] for item in applied({"l": base}, moved)["l"]]
    were = {item["id"] for item in base}
    for ours, theirs in ((moved, edited), (edited, moved)):
        state, _, _ = merged({"l": base}, ours, theirs, {"l": "append"})
        found = [item["id"] for item in state["l"] if item["id"] in order and item["id"] in were]
        assert found == [name for name in order if name in found]
