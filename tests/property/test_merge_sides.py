"""What each side of a merge did, told in three ways, makes of the base what the side is (P11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import perdure
from perdure import limits
from perdure.core.changes import Change, apply, copies
from perdure.core.codec import pack
from perdure.core.diff import diff
from perdure.core.diff_changes import changes_told
from perdure.core.head import Branch, Head
from perdure.core.values import take
from perdure.engine.load import state_at
from perdure.engine.merging import _parted
from perdure.engine.parked import find_branch
from perdure.engine.read import Site, read_head
from perdure.engine.requests import Steps
from perdure.testing.strategies import changes_for, sections

BRANCHES = "main", "a", "b"


def in_key_order(value: Any) -> Any:
    """The same with the keys of all mappings in order, as bytes can be compared then."""
    if isinstance(value, dict):
        return {key: in_key_order(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return type(value)(in_key_order(each) for each in value)
    return value


def assert_makes(before: dict[str, Any], changes: Sequence[Change], after: dict[str, Any]) -> None:
    made = take(before)
    apply(made, copies(changes))
    assert pack(in_key_order(made)) == pack(in_key_order(after))


# ---- from differences -----------------------------------------------------------------------


def assert_told(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = diff(before, after)
    assume(not any(each.is_move for each in found))
    assert_makes(before, changes_told(found), after)


@given(sections(), sections())
def test_of_any_two_states(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert_told(before, after)


@given(sections(max_leaves=30), st.data())
def test_of_a_state_and_what_edits_made_of_it(before: dict[str, Any], data: st.DataObject) -> None:
    after = take(before)
    apply(after, data.draw(changes_for(before)))
    assert_told(before, after)


ITEMS = st.sampled_from(
    [0, 1, 2, "x", [0], [0, 1], {"id": 1}, {"id": 1, "x": 1}, {"id": 2}, {"x": 1, "y": 2}, {"x": 1}]
)
LISTS = st.lists(ITEMS, max_size=9)


@given(LISTS, LISTS)
def test_of_lists(before: list[Any], after: list[Any]) -> None:
    assert_told({"s": before}, {"s": after})


# ---- of branches ----------------------------------------------------------------------------


def _in_list(state: Any, draw: Random) -> None:
    log = state["log"]
    at = draw.randint(0, len(log))
    log[at : at + draw.choice([0, 0, 1, 2])] = [
        draw.randint(0, 3) for _ in range(draw.randint(0, 2))
    ]


def _appended(state: Any, draw: Random) -> None:
    state["log"].append(draw.randint(0, 9))


def _in_items(state: Any, draw: Random) -> None:
    items = state["items"]
    if len(items) > 1 and draw.random() < 0.3:
        items.insert(draw.randrange(len(items)), items.pop(draw.randrange(len(items))))
    elif items and draw.random() < 0.5:
        items[draw.randrange(len(items))]["x"] = draw.randint(0, 9)
    else:
        items.insert(draw.randint(0, len(items)), {"id": draw.getrandbits(40), "x": 0})


def _in_map(state: Any, draw: Random) -> None:
    plan, key = state["plan"], draw.choice("pqrst")
    if key in plan and draw.random() < 0.3:
        del plan[key]
    else:
        plan[key] = draw.choice([1, {"deep": draw.randint(0, 5)}, [1, 2], "text"])


def _a_section(state: Any, draw: Random) -> None:
    name = draw.choice(["one", "two"])
    if name in state and draw.random() < 0.5:
        del state[name]
    else:
        state[name] = draw.randint(0, 9)


def _a_value(state: Any, draw: Random) -> None:
    state["n"] += draw.randint(0, 2)
    state["text"] += draw.choice(["", "more", "x"])
    state["tags"].add(draw.randint(0, 5))
    state["tags"].discard(draw.randint(0, 5))


EDITS: list[Callable[[Any, Random], None]] = [
    _in_list, _appended, _in_items, _in_map, _a_section, _a_value
]  # fmt: skip


def new_store() -> perdure.Store:
    store = perdure.Store("memory:", maintenance="off")
    with store.open("s") as session:
        session.state.update(log=[*range(4)], items=[], plan={"p": 0}, n=0, text="", tags=set())
    for name in BRANCHES[1:]:
        store.fork("s", name)
    return store


def asked(store: perdure.Store, source: str, into: str) -> bool:
    """Ask how both parted, and try what is told; whether one has what the other lacks."""

    def steps(site: Site) -> Steps[bool]:
        head = yield from read_head(site)
        ours = yield from find_branch(site, head, into)
        theirs = yield from find_branch(site, head, source)
        parted = yield from _parted(site, head, ours, theirs)
        if parted is None:
            return False
        base = yield from whole(site, head, parted.tip, parted.number)
        for tip, changes in ((ours, parted.ours), (theirs, parted.theirs)):
            assert_makes(base, changes, (yield from whole(site, head, tip, tip.number)))
        return True

    return store._look(store._asking(steps, "s"))


def whole(site: Site, head: Head, tip: Branch, number: int) -> Steps[dict[str, Any]]:
    return (yield from state_at(site, head, tip, number))[0]


@pytest.mark.parametrize("records_max", [0, limits.merge_records_max])
@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_of_branches_that_merge_again_and_again(records_max: int, seed: int) -> None:
    draw = Random(seed)
    with pytest.MonkeyPatch.context() as patch, new_store() as store:
        patch.setattr(limits, "merge_records_max", records_max)
        for _ in range(14):
            branch = draw.choice(BRANCHES)
            if draw.random() < 0.6:
                with store.open("s", branch=branch) as session:
                    draw.choice(EDITS)(session.state, draw)
            elif draw.random() < 0.1:
                store.maintain("s")
            else:
                source = draw.choice([each for each in BRANCHES if each != branch])
                asked(store, source, branch)
                store.merge("s", source, into=branch, strategies={"**": "theirs"})


def test_both_ways_tell_the_same_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for records_max in (0, limits.merge_records_max):
        monkeypatch.setattr(limits, "merge_records_max", records_max)
        with new_store() as store:
            for turn in range(3):
                for branch in ("main", "a"):
                    with store.open("s", branch=branch) as session:
                        session.state["log"].append(f"{branch} {turn}")
                        session.state["plan"][f"{branch} {turn}"] = turn
                        session.state["n"] += 1
                store.merge("s", "a", strategies={"log": "append", "n": "counter"})
            found.append(store.at("s", "main").plain())
    assert found[0] == found[1]
    assert found[0]["n"] == 6
    assert found[0]["log"][4:] == ["main 0", "a 0", "main 1", "a 1", "main 2", "a 2"]


def test_what_moved_is_told_by_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "merge_records_max", 0)
    with new_store() as store:
        with store.open("s", branch="a") as session:
            session.state["items"].extend({"id": n} for n in range(9))
            session.state["plan"].update(q=1, r=2)
        store.merge("s", "a")
        with store.open("s") as session:
            session.state["items"].insert(1, session.state["items"].pop(7).plain())
            session.state["plan"]["p"] = session.state["plan"].pop("p")
            session.state["log"].append("main")
        with store.open("s", branch="a") as session:
            session.state["items"][8]["done"] = True
            session.state["log"].insert(0, "a")
        assert {each.path for each in store.diff("s", "a@2", "main") if each.kind == "moved"} == {
            ("items", 1),
            ("plan",),
        }
        assert asked(store, "a", "main")
        store.merge("s", "a")
        merged = store.at("s", "main")
        assert [each["id"] for each in merged["items"]] == [0, 7, 1, 2, 3, 4, 5, 6, 8]
        assert merged["items"][8]["done"]
        assert merged["log"] == ["a", 0, 1, 2, 3, "main"]
