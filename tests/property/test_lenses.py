"""The laws of lenses, for random documents, random chains of them and random edits."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from msgspec.structs import replace

from perdure.core.changes import Change, Delete, Set, Splice, apply, copies
from perdure.core.codec import pack, unpack
from perdure.core.lens import (
    Add,
    Convert,
    InItems,
    Lens,
    Lenses,
    MapValues,
    Merge,
    Move,
    Remove,
    Rename,
    Split,
    Unwrap,
    Wrap,
    from_wire,
    to_wire,
    with_slots,
)
from perdure.core.lens_changes import translate
from perdure.core.lens_reach import reach
from perdure.core.lens_run import forward, get, put
from perdure.core.values import same, take

Document = dict[str, Any]
Shape = dict[str, Any]
"""What fields a mapping may have: a kind of value, a shape, or one of items or of values."""

TEXTS = st.one_of(st.none(), st.sampled_from(["", " ", "a", "a b", "a b c", " a", "b "]))
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "status": st.sampled_from(["open", "closed", 1, True]),
    "digits": st.one_of(st.none(), st.integers(-9, 99).map(str)),
    "number": st.integers(-3, 3),
    "list": st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=3)),
}
TABLE = (("open", 1), ("closed", 2), (1, "open"), (True, None))


# ---- documents ------------------------------------------------------------------------------


@st.composite
def shapes(draw: DrawFn, depth: int = 2) -> Shape:
    """Fields a, b, c and so on, of any kind."""
    shape: Shape = {}
    for name in "abcde"[: draw(st.integers(1, 5))]:
        nested = ["items", "mapping", "values"] if depth and draw(st.booleans()) else []
        kind = draw(st.sampled_from(nested or [*KINDS]))
        shape[name] = kind if kind in KINDS else (kind, draw(shapes(depth - 1)))
    return shape


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, str):
        return KINDS[kind]
    named, inner = kind
    one = documents_of(inner)
    if named == "mapping":
        return one
    if named == "items":
        return st.lists(one, max_size=4)
    return st.dictionaries(st.sampled_from(["k", "l", "m"]), one, max_size=3)


def documents_of(shape: Shape) -> st.SearchStrategy[Document]:
    """Documents of a shape: any field may be absent, and one may be there that no lens knows."""
    fields = {name: values_of(kind) for name, kind in shape.items()}
    extra = {"other": st.integers(0, 2)}
    return st.one_of(
        st.fixed_dictionaries(fields, optional=extra),
        st.fixed_dictionaries({}, optional={**fields, **extra}),
    )


# ---- chains ---------------------------------------------------------------------------------


@st.composite
def chains(draw: DrawFn, shape: Shape, depth: int = 2, most: int = 4) -> tuple[Lenses, Shape]:
    """Lenses that fit documents of a shape, and the shape of what they make."""
    found: list[Lens] = []
    shape = dict(shape)
    for _ in range(draw(st.integers(1, most))):
        lens = draw(lenses_for(shape, depth))
        if lens is not None:
            found.append(lens)
    return tuple(found), shape


def fresh(shape: Shape) -> str:
    return next(f"n{at}" for at in range(99) if f"n{at}" not in shape and f"n{at}" != "other")


@st.composite
def lenses_for(draw: DrawFn, shape: Shape, depth: int) -> Lens | None:
    """One lens; the shape becomes that of what it makes."""
    inside: list[Any] = [name for name, kind in shape.items() if kind[0] == "mapping"]
    if draw(st.booleans()) and inside:
        outer: Any = draw(st.sampled_from(inside))
        return draw(in_mapping(shape, outer, depth))
    makers: set[str] = {"merge"} if texts_in(shape) else set()
    name = draw(st.sampled_from(sorted(shape))) if shape else None
    makers |= makers_for(shape[name], depth) if name is not None else set()
    if not makers or draw(st.integers(0, 2)) == 0:
        makers |= {"add", *(["rename", "remove", "wrap"] if name is not None else [])}
    return draw(made(shape, name, draw(st.sampled_from(sorted(makers))), depth))


def texts_in(shape: Shape) -> list[Any]:
    found: list[Any] = [name for name, kind in shape.items() if kind == "text"]
    return found if len(found) > 1 else []


def makers_for(kind: Any, depth: int) -> set[str]:
    known = {"text": "split", "status": "convert", "digits": "number", "list": "unwrap"}
    if isinstance(kind, str):
        return {known[kind]} if kind in known else set()
    nested = {"items": "in_items", "values": "map_values"}
    return {nested[kind[0]]} if kind[0] in nested and depth else set()


@st.composite
def made(draw: DrawFn, shape: Shape, name: str | None, maker: str, depth: int) -> Lens:
    new = fresh(shape)
    if maker == "add":
        shape[new] = "number"
        return Add((new,), draw(st.integers(0, 1)))
    if maker == "merge":
        parts = texts_in(shape)[:3]
        for part in parts:
            del shape[part]
        shape[new] = "text"
        return Merge(tuple((part,) for part in parts), new, " ")
    assert name is not None
    kind = shape.pop(name)
    if maker == "remove":
        return Remove((name,), draw(st.integers(0, 1)))
    if maker == "rename":
        shape[new] = kind
        return Rename((name,), new)
    if maker == "split":
        other = fresh({**shape, new: 0})
        shape[new] = shape[other] = "text"
        return Split((name,), (new, other), " ")
    return draw(in_place(shape, name, kind, maker, depth))


@st.composite
def in_place(draw: DrawFn, shape: Shape, name: str, kind: Any, maker: str, depth: int) -> Lens:
    shape[name] = "other"
    if maker == "wrap":
        return Wrap((name,))
    if maker == "unwrap":
        return Unwrap((name,))
    if maker == "convert":
        return Convert((name,), TABLE)
    if maker == "number":
        return Convert((name,), "str->int")
    lenses, inner = draw(chains(kind[1], depth - 1, 3))
    shape[name] = (kind[0], inner)
    return InItems((name,), lenses) if maker == "in_items" else MapValues((name,), lenses)


@st.composite
def in_mapping(draw: DrawFn, shape: Shape, outer: str, depth: int) -> Lens | None:
    """A lens of a field within a mapping, or one that moves a field out of it or into it."""
    inner = dict(shape[outer][1])
    shape[outer] = ("mapping", inner)
    if inner and draw(st.integers(0, 3)) == 0:
        name = draw(st.sampled_from(sorted(inner)))
        new = fresh(shape)
        kind = inner.pop(name)
        if draw(st.booleans()):
            shape[new] = kind
            return Move((outer, name), (new,))
        shape[new] = ("mapping", {"moved": kind})
        return Move((outer, name), (new, "moved"))
    lens = draw(lenses_for(inner, depth))
    return None if lens is None else placed(lens, outer)


def placed(lens: Any, outer: str) -> Lens:
    if isinstance(lens, Merge):
        return replace(lens, parts=tuple((outer, *part) for part in lens.parts))
    if isinstance(lens, Move):
        return replace(lens, at=(outer, *lens.at), to=(outer, *lens.to))
    found: Lens = replace(lens, at=(outer, *lens.at))
    return found


@st.composite
def cases(draw: DrawFn) -> tuple[Shape, Document, Lenses]:
    shape = draw(shapes())
    older = draw(documents_of(shape))
    lenses, _ = draw(chains(shape))
    return shape, older, with_slots(lenses, 2)


# ---- edits ----------------------------------------------------------------------------------


@st.composite
def edits(draw: DrawFn, shape: Shape, view: Document) -> list[Change]:
    """Changes of a document that leave it of its shape, each for what those before it make."""
    working = take(view)
    found: list[Change] = []
    for _ in range(draw(st.integers(1, 4))):
        change = draw(edit(shape, working, ()))
        apply(working, copies([change]))
        found.append(change)
    return found


@st.composite
def edit(draw: DrawFn, shape: Shape, there: Document, path: Any) -> Change:
    name = draw(st.sampled_from([*sorted(shape), "other"]))
    kind = shape.get(name, "number")
    here, value = (*path, name), there.get(name)
    if value is not None and not isinstance(kind, str) and draw(st.integers(0, 3)):
        if kind[0] == "mapping":
            return draw(edit(kind[1], value, here))
        if kind[0] == "items" and (not value or draw(st.booleans())):
            start = draw(st.integers(0, len(value)))
            removed = draw(st.integers(0, len(value) - start))
            return Splice(here, start, removed, draw(values_of(kind)))
        if value:
            keys = range(len(value)) if kind[0] == "items" else sorted(value)
            key: Any = draw(st.sampled_from(keys))
            if draw(st.booleans()):
                return draw(edit(kind[1], value[key], (*here, key)))
            return Set((*here, key), draw(documents_of(kind[1])))
    if name in there and draw(st.integers(0, 2)) == 0:
        return Delete(here)
    return Set(here, draw(values_of(kind)))


# ---- laws -----------------------------------------------------------------------------------


def newer_of(older: Document, lenses: Lenses) -> Document:
    newer: Document = take(older)
    forward(newer, lenses)
    return newer


@given(cases())
def test_the_view_of_the_newer_form_is_the_older(case: tuple[Shape, Document, Lenses]) -> None:
    _, older, lenses = case
    assert equal(get(newer_of(older, lenses), lenses), older)


@given(cases())
def test_a_view_that_was_not_edited_changes_nothing(case: tuple[Shape, Document, Lenses]) -> None:
    _, older, lenses = case
    newer = newer_of(older, lenses)
    assert same(put(newer, get(newer, lenses), lenses), newer)


@given(cases())
def test_lenses_leave_what_they_are_given(case: tuple[Shape, Document, Lenses]) -> None:
    _, older, lenses = case
    newer = newer_of(older, lenses)
    copy = take(newer)
    view = get(newer, lenses)
    put(newer, view, lenses)
    assert same(newer, copy)


@given(cases(), st.data())
def test_an_edited_view_is_the_view_of_what_it_is_put_into(
    case: tuple[Shape, Document, Lenses], data: st.DataObject
) -> None:
    shape, older, lenses = case
    newer = newer_of(older, lenses)
    view = get(newer, lenses)
    apply(view, copies(data.draw(edits(shape, view))))
    assert equal(get(put(newer, view, lenses), lenses), view)


@given(cases(), st.data())
def test_translated_changes_make_the_same_edit(
    case: tuple[Shape, Document, Lenses], data: st.DataObject
) -> None:
    shape, older, lenses = case
    newer = newer_of(older, lenses)
    before = take(newer)
    view = get(newer, lenses)
    changes = data.draw(edits(shape, view))
    translated = translate(changes, newer, lenses)
    assert same(newer, before)
    apply(view, copies(changes))
    after: Document = take(newer)
    apply(after, copies(translated))
    assert equal(get(after, lenses), view)


@given(cases(), st.data())
def test_one_change_translated_is_what_put_makes(
    case: tuple[Shape, Document, Lenses], data: st.DataObject
) -> None:
    shape, older, lenses = case
    newer = newer_of(older, lenses)
    view = get(newer, lenses)
    change = data.draw(edits(shape, view))[0]
    translated = translate([change], newer, lenses)
    apply(view, copies([change]))
    after: Document = take(newer)
    apply(after, copies(translated))
    if not isinstance(change, Splice):
        assert equal(after, put(newer, view, lenses))


@given(cases())
def test_lenses_come_back_from_what_is_stored(case: tuple[Shape, Document, Lenses]) -> None:
    _, _, lenses = case
    assert from_wire(unpack(pack(to_wire(lenses)))) == lenses


@given(cases(), st.data())
def test_reached_sections_are_enough(
    case: tuple[Shape, Document, Lenses], data: st.DataObject
) -> None:
    _, older, lenses = case
    reached = reach(lenses)
    newer = newer_of(older, lenses)
    few = {name: value for name, value in older.items() if name in reached.older}
    others = {name: value for name, value in older.items() if name not in reached.older}
    assert equal({**newer_of(few, lenses), **others}, newer)
    assert newer_of(few, lenses).keys() <= reached.newer
    name = data.draw(st.sampled_from(sorted(reached.newer)) if reached.newer else st.just("other"))
    olds = reached.older_of(name)
    part = newer_of({key: value for key, value in older.items() if key in olds}, lenses)
    if name != "perdure.kept":
        assert equal(part.get(name), newer.get(name))


def equal(a: Any, b: Any) -> bool:
    """Whether two values are the same but for the order of keys."""
    return same(in_order(a), in_order(b))


def in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [in_order(each) for each in value]
    return value
