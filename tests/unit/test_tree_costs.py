"""What an edit of a large tree costs: a few pages, wherever it falls (P11)."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from functools import cache
from random import Random
from typing import Any

import pytest

from perdure import limits
from perdure.core import tree_run
from perdure.core.changes import Change, Delete, Set, Splice
from perdure.core.codec import pack
from perdure.core.page import Ref, Shape
from perdure.core.sums import Sums
from perdure.core.tree import Built, build
from perdure.core.tree_diff import diff_trees
from perdure.core.tree_edit import edit
from perdure.core.tree_read import Reading, read_items, read_root, read_value
from perdure.errors import Damaged, ReplayMismatch

SECRET = bytes(range(32))
ITEMS = 100_000


@cache
def large() -> Built:
    return build(
        {
            "messages": [
                {"role": "user", "n": n, "content": f"message {n} " * 8} for n in range(ITEMS)
            ],
            "files": {f"file {n}": {"n": n, "hash": f"{n:064x}"} for n in range(ITEMS)},
            "draft": "word " * 200_000,
        },
        SECRET,
    )


def run(reading: Reading[Any], pages: Mapping[bytes, bytes]) -> tuple[Any, int]:
    """The result, and how many pages were read."""
    payloads, read = None, 0
    while True:
        try:
            ids = reading.send(payloads)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value, read
        read += len(ids)
        payloads = {id_: pages[id_] for id_ in ids}


EDITS: dict[str, list[Change]] = {
    "an append": [Splice(("messages",), ITEMS, 0, [{"role": "user", "content": "new"}])],
    "an item in the middle": [Set(("messages", ITEMS // 2, "content"), "changed")],
    "an insertion in the middle": [Splice(("messages",), ITEMS // 2, 0, [{"new": 1}])],
    "a cut at the front": [Splice(("messages",), 0, ITEMS // 3, [])],
    "a cut at the end": [Splice(("messages",), ITEMS // 3, ITEMS - ITEMS // 3, [])],
    "an entry of a map": [Set(("files", "file 50000", "hash"), "changed")],
    "a new entry of a map": [Set(("files", "new"), 1)],
    "an entry less": [Delete(("files", "file 50000"))],
    "more text": [Splice(("draft",), 1_000_000, 0, "the end")],
    "many appends": [Splice(("messages",), ITEMS + n, 0, [{"n": n}]) for n in range(64)],
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_of_a_large_tree_makes_a_few_pages(name: str) -> None:
    built, _ = run(edit(large().root, EDITS[name], SECRET), large().pages)
    assert 0 < len(built.pages) <= 8
    assert sum(map(len, built.pages.values())) < 512 * 1024
    assert built.root != large().root


def test_a_new_key_of_a_large_map_keeps_no_page_that_lacks_it_in_memory() -> None:
    """All of them together take more than four times their bytes."""
    sections, _ = run(read_root(large().root), large().pages)
    changes: list[Change] = [Set(("files", f"new {n}"), n) for n in range(3)]
    tracemalloc.start()
    try:
        run(edit(large().root, changes, SECRET), large().pages)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < sections["files"].bytes


def test_pages_of_a_map_are_not_read_again_for_each_key_that_they_lack() -> None:
    new: list[Change] = [Set(("files", f"new {n}"), n) for n in range(50)]
    _, once = run(edit(large().root, new[:1], SECRET), large().pages)
    _, often = run(edit(large().root, new, SECRET), large().pages)
    assert often == once
    known: list[Change] = [Set(("files", f"file {n * 500}"), n) for n in range(200)]
    _, read = run(edit(large().root, known, SECRET), large().pages)
    assert read <= 2 * once


def test_keys_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_run, "hash", lambda _: 7, raising=False)
    files: dict[str, Any] = {f"file {n}": f"{n:0300x}" for n in range(2_000)}
    before = build({"files": files}, SECRET)
    changes: list[Change] = [Set(("files", "new"), 1), Set(("files", "file 1000"), 2)]
    changes += [Delete(("files", "file 10")), Set(("files", "file 10"), 3)]
    built, _ = run(edit(before.root, changes, SECRET), before.pages)
    files |= {"new": 1, "file 1000": 2}
    del files["file 10"]
    assert built.root == build({"files": {**files, "file 10": 3}}, SECRET).root


TOLD = {
    "a cut at the front": ITEMS // 3,
    "a cut at the end": ITEMS - ITEMS // 3,
    "many appends": 64,
}
"""Differences; one of the others."""


@pytest.mark.parametrize("name", EDITS)
def test_what_an_edit_of_a_large_tree_changed_is_found_in_a_few_pages(name: str) -> None:
    built, _ = run(edit(large().root, EDITS[name], SECRET), large().pages)
    pages = {**large().pages, **built.pages}
    found, read = run(diff_trees(large().root, built.root), pages)
    assert len(found) == TOLD.get(name, 1)
    changed = sum(len(pack([each.before, each.after])) for each in found)
    assert read <= 12 + changed / limits.page_bytes_min


def test_edits_in_several_places_of_a_long_list_are_found_without_what_is_between() -> None:
    changes: list[Change] = [
        Splice(("messages",), 0, ITEMS // 100, []),
        Set(("messages", ITEMS // 2, "content"), "changed"),
        Splice(("messages",), ITEMS - ITEMS // 100, 0, [{"role": "user", "content": "new"}]),
    ]
    built, _ = run(edit(large().root, changes, SECRET), large().pages)
    found, read = run(diff_trees(large().root, built.root), {**large().pages, **built.pages})
    assert len(found) == ITEMS // 100 + 2
    assert read < len(large().pages) / 8


CHANCE = Random(1)
FEW_DISTINCT: dict[str, list[Any]] = {
    "bools": [CHANCE.random() < 0.5 for _ in range(400_000)],
    "small numbers": [CHANCE.randrange(100) for _ in range(400_000)],
    "words": [CHANCE.choice(["ok", "failed", "retry", "skipped"]) for _ in range(100_000)],
    "results": [{"tool": "search", "ok": CHANCE.random() < 0.5} for _ in range(30_000)],
    "long results": [["x" * 600, CHANCE.random() < 0.5] for _ in range(4_000)],
}


@pytest.mark.parametrize("name", FEW_DISTINCT)
def test_an_insertion_at_the_front_of_a_list_of_few_distinct_items_makes_a_few_pages(
    name: str,
) -> None:
    items = FEW_DISTINCT[name]
    before = build({"items": items}, SECRET)
    insertion = Splice(("items",), 0, 0, [items[1]])
    built, _ = run(edit(before.root, [insertion], SECRET), before.pages)
    made = [id_ for id_ in built.pages if id_ not in before.pages]
    assert len(before.pages) > 6
    assert 0 < len(made) <= 4  # the root, a page of references, and one or two of items


def test_what_repeats_itself_is_cut_where_pages_are_full() -> None:
    built = build({"items": [True] * 400_000}, SECRET)
    sizes = {len(payload) for payload in built.pages.values() if len(payload) > 10_000}
    assert max(sizes) < limits.page_bytes_full + 64
    assert len(built.pages) <= 4  # of equal pages, one


def test_a_page_with_a_very_long_key_is_longer_by_that() -> None:
    built = build({"files": {"k" * 600_000: 1, "other": 2}}, SECRET)
    assert 600_000 < max(map(len, built.pages.values())) < 600_100


def test_sums_find_a_position_as_adding_up_does() -> None:
    chance = Random(2)
    for _ in range(200):
        sizes = [chance.choice([0, 0, 1, 2, 5]) for _ in range(chance.randrange(1, 12))]
        sums = Sums(sizes)
        for _ in range(4):
            index = chance.randrange(len(sizes))
            change = chance.randrange(-sizes[index], 4)
            sizes[index] += change
            sums.add(index, change)
            for position in range(sum(sizes) + 1):
                begins = [sum(sizes[:at]) for at in range(len(sizes))]
                last = max(at for at in range(len(sizes)) if begins[at] <= position)
                assert sums.find(position) == (last, begins[last])


def test_a_text_that_grows_many_times_is_the_text_built_whole() -> None:
    before = build({"draft": "x" * 100_000}, SECRET)
    appends = [Splice(("draft",), 100_000 + 500 * n, 0, "token" * 100) for n in range(600)]
    built, _ = run(edit(before.root, appends, SECRET), before.pages)
    assert built.root == build({"draft": "x" * 100_000 + "token" * 60_000}, SECRET).root


def test_a_window_of_a_long_list_reads_its_pages_and_those_above() -> None:
    sections, _ = run(read_root(large().root), large().pages)
    ref = sections["messages"]
    items, read = run(read_items(ref, ITEMS - 20, ITEMS), large().pages)
    assert [item["n"] for item in items] == list(range(ITEMS - 20, ITEMS))
    assert read <= ref.level + 2
    assert ref.count == ITEMS


def test_no_page_of_entries_is_longer_than_its_bound() -> None:
    assert (
        max(map(len, large().pages.values()))
        <= limits.page_bytes_full + limits.inline_bytes_max + 64
    )


def test_equal_values_are_kept_once() -> None:
    text = "a long text " * 10_000
    once = build({"a": text}, SECRET)
    thrice = build({"a": text, "b": [text, {"again": text}]}, SECRET)
    assert sum(map(len, thrice.pages.values())) < sum(map(len, once.pages.values())) + 1000


@pytest.mark.parametrize(
    "change",
    [
        Set(("messages", "x"), 1),
        Set(("messages", ITEMS), 1),
        Delete(("messages", 1)),
        Delete(("files", "none")),
        Set(("none", "x"), 1),
        Splice(("messages",), ITEMS, 1, []),
        Splice(("messages",), 0, 0, "text"),
        Splice(("files",), 0, 0, []),
        Splice(("draft", 1), 0, 0, "x"),
        Set(("messages", 1, "none", "x"), 1),
    ],
)
def test_a_change_that_does_not_fit_is_refused(change: Change) -> None:
    with pytest.raises(ReplayMismatch):
        run(edit(large().root, [change], SECRET), large().pages)


def test_a_page_that_is_not_what_the_page_above_says_is_damage() -> None:
    sections, _ = run(read_root(large().root), large().pages)
    messages, draft = sections["messages"], sections["draft"]
    other = large().pages[draft.id]
    for payload in (other, b"", b"\x93\x01\x00\x90", large().pages[messages.id][:-1]):
        with pytest.raises(Damaged, match="page"):
            run(read_value(messages), {**large().pages, messages.id: payload})
    wrong = Ref(Shape.LIST, messages.id, messages.level, messages.count + 1, messages.bytes)
    with pytest.raises(Damaged, match="add up"):
        run(read_value(wrong), large().pages)
