"""A long list edited in memory is the list that replaying gives, and is compared as that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.test_tree_diff import entries, numbered, recurring, told

from perdure import limits
from perdure.core import tree
from perdure.core.changes import Change, Delete, Set, Splice, apply, pack_changes, unpack_changes
from perdure.core.cut import Bounds
from perdure.core.diff import differences
from perdure.core.edited_list import EditedList, Loose, Unfit
from perdure.core.page import Ref
from perdure.core.tree import build
from perdure.core.tree_diff import diff_lists
from perdure.core.tree_read import Reading, read_items, read_root, read_value
from perdure.core.values import same, take

T = TypeVar("T")
SECRET = bytes(range(32))


@pytest.fixture(autouse=True, scope="module")
def small_pages() -> Iterator[None]:
    """Bounds small enough for generated lists to be trees of several levels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "inline_bytes_max", 40)
        patch.setattr(limits, "section_inline_bytes_max", 12)
        patch.setattr(tree, "LEAVES", Bounds(24, 48, 160))
        patch.setattr(tree, "INNER", Bounds(80, 160, 300))
        yield


class Kept:
    """A list kept as a tree, and which pages were read of it."""

    def __init__(self, items: list[Any]) -> None:
        built = build({"l": items}, SECRET)
        self.pages, self.asked = built.pages, list[bytes]()
        self.ref: Any = self.read(read_root(built.root)).get("l")
        self.asked.clear()

    def read(self, reading: Reading[T]) -> T:
        payloads: Mapping[bytes, bytes] | None = None
        while True:
            try:
                ids = reading.send(payloads)  # type: ignore[arg-type]  # None begins a generator
            except StopIteration as stop:
                result: T = stop.value
                return result
            self.asked += ids
            payloads = {id_: self.pages[id_] for id_ in ids}

    def items(self, there: EditedList) -> list[Any]:
        """All items of an edited list, plain."""
        found: list[Any] = []
        for page in there.pages:
            if isinstance(page, Loose):
                found += page.items
            else:
                found += self.read(read_items(page, 0, page.count))
        return [self.read(read_value(each)) if type(each) is Ref else each for each in found]


def edited(items: list[Any], changes: Sequence[Change]) -> list[Any]:
    """What replaying makes of a list."""
    sections = {"l": take(items)}
    apply(sections, copies(changes))
    found: list[Any] = sections["l"]
    return found


def copies(changes: Sequence[Change]) -> list[Change]:
    return unpack_changes(pack_changes(changes))


@st.composite
def edits(draw: st.DrawFn, items: list[Any], values: st.SearchStrategy[Any]) -> list[Change]:
    """Changes of a list and of its items, one after another."""
    current, changes = take(items), list[Change]()
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(current)))
        there = current[at] if at < len(current) else None
        removed = min(draw(st.sampled_from([0, 0, 1, 2, 9, 50])), len(current) - at)
        change: Change = Splice(("l",), at, removed, draw(st.lists(values, max_size=3)))
        if isinstance(there, dict) and draw(st.booleans()):
            key = draw(st.sampled_from([*there, "k"]))
            goes = key in there and draw(st.booleans())
            change = Delete(("l", at, key)) if goes else Set(("l", at, key), draw(values))
        elif there is not None and draw(st.booleans()):
            change = Set(("l", at), draw(values))
        current = edited(current, [change])
        changes.append(change)
    return changes


def compared(items: list[Any], early: Sequence[Change], late: Sequence[Change]) -> None:
    """Two states of a list, the one an edit of the other, against the whole lists."""
    kept = Kept(items)
    assert type(kept.ref) is Ref
    one = EditedList([kept.ref])
    kept.read(one.make(copies(early)))
    two = EditedList(one.pages)
    kept.read(two.make(copies(late)))
    old = edited(items, early)
    new = edited(old, late)
    assert same(kept.items(one), old)
    assert same(kept.items(two), new)
    for (a, b), (were, are) in (((one, two), (old, new)), ((two, one), (new, old))):
        found = kept.read(diff_lists(("l",), a.pages, b.pages))
        assert told(found) == told(list(differences(("l",), were, are)))


# With an edit of one key none of these comes to be longer than an item of a page may be.
short = st.sampled_from(["a", "b", 1, True, None, 2.5])
shorts = st.one_of(
    short,
    st.builds(
        lambda n, more: {"id": n, **more}, st.integers(0, 9), st.just({}) | st.just({"l": 1})
    ),
    st.fixed_dictionaries({}, optional={"k": short, "m": short}),
)


@given(st.data())
def test_two_states_of_a_list_differ_in_what_the_whole_lists_do(data: st.DataObject) -> None:
    values = data.draw(st.sampled_from([shorts, st.sampled_from(["a", "b"]), st.just("a")]))
    items = data.draw(st.lists(values, min_size=13, max_size=80))
    early = data.draw(edits(items, values))
    compared(items, early, data.draw(edits(edited(items, early), values)))


@given(st.sampled_from([entries, recurring, numbered]), st.data())
def test_where_items_are_long_it_is_so_or_the_list_is_given_up(
    values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    items = data.draw(st.lists(values, min_size=13, max_size=60))
    early = data.draw(edits(items, values))
    late = data.draw(edits(edited(items, early), values))
    try:
        compared(items, early, late)
    except Unfit:
        return


def test_what_no_edit_touches_is_not_read_and_stays_shared() -> None:
    items = [{"id": n, "text": "x"} for n in range(2_000)]
    kept = Kept(items)
    one = EditedList([kept.ref])
    kept.read(one.make([Set(("l", 1_000, "text"), "y")]))
    assert 0 < len(kept.asked) <= kept.ref.level + 1 < 9
    two = EditedList(one.pages)
    kept.read(two.make([Splice(("l",), 1_000, 900, []), Splice(("l",), 1_100, 0, ["new"])]))
    # A way down to each end of what went: what was between was dropped unread.
    assert len(kept.asked) <= 3 * (kept.ref.level + 1)
    assert same(kept.items(two), [*kept.items(one)[:1_000], *items[1_900:], "new"])
    before = len(kept.asked)
    found = kept.read(diff_lists(("l",), two.pages, EditedList(two.pages).pages))
    assert (found, len(kept.asked)) == ([], before)


@pytest.mark.parametrize(
    "change",
    [
        Set(("l",), []),
        Delete(("l",)),
        Splice(("l",), 0, 0, "text"),
        Splice(("l",), 19, 2, []),
        Set(("l", 20), 1),
        Set(("l", "key"), 1),
        Delete(("l", 0)),
        Set(("l", 0, "no", "such"), 1),
        Set(("l", 0), "x" * 41),
        Set(("l", 10), 1),
        Set(("l", 10, 0), 1),
    ],
    ids=str,
)
def test_an_edit_that_does_not_fit_or_meets_a_tree_gives_the_list_up(change: Change) -> None:
    kept = Kept([*range(10), ["x" * 50], *range(9)])
    with pytest.raises(Unfit):
        kept.read(EditedList([kept.ref]).make([change]))
