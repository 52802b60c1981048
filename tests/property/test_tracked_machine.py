"""The tracked tree against plain Python: random edits, held nodes, blocks, changes from elsewhere.

The model is a plain dict edited in the same ways, by identity: each container of the model is the
twin of the node in the same place. After every step the tree's content is the model's, each node
held since earlier still equals its twin, and the pending changes lead from the last capture to here
(P6, P13). An edit through a held node therefore has to reach the right place or none.
"""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule
from tests.property.tracked_edits import (
    CONTAINERS,
    Edits,
    Pair,
    children,
    holds,
    keys,
    members,
    sections,
    values,
    within,
)

from perdure.core.changes import Change, Delete, Set, apply, pack_changes, unpack_changes
from perdure.core.values import same
from perdure.errors import Detached
from perdure.state import MISSING, Document, TrackedDict, TrackedList, TrackedSet


class Snapshot:
    """A model as it was, to go back to, on the same objects."""

    def __init__(self, machine: Tracked) -> None:
        roots = [machine.root, *machine.free, *machine.gone, *(each.twin for each in machine.held)]
        known = {id(each): each for root in roots for each in within(root)}
        self.contents = [(each, copy.copy(each)) for each in known.values()]
        self.known = set(known)
        self.free = list(machine.free)
        self.gone = list(machine.gone)

    def restore(self, machine: Tracked) -> None:
        for container, content in self.contents:
            container.clear()
            if isinstance(container, list):
                container.extend(content)
            else:
                container.update(content)
        machine.free, machine.gone = self.free, self.gone
        machine.held = [each for each in machine.held if id(each.twin) in self.known]


class Tracked(Edits):
    @initialize(content=sections, check_edits=st.booleans())
    def start(self, content: dict[str, Any], check_edits: bool) -> None:
        self.check_edits = check_edits
        self.base = content
        self.load()

    def load(self) -> None:
        self.document = Document(copy.deepcopy(self.base), check_edits=self.check_edits)
        self.root: dict[str, Any] = copy.deepcopy(self.base)
        self.free: list[Any] = []
        self.gone: list[Any] = []
        self.held: list[Pair] = []
        self.blocks: list[Snapshot] = []

    # ---- sections ---------------------------------------------------------------------------

    @rule(data=st.data(), name=keys)
    def set_section(self, data: st.DataObject, name: str) -> None:
        value, twin = self.pick(data)

        def model(plain: dict[str, Any]) -> None:
            if plain.get(name, MISSING) is not twin or not holds(twin):
                plain[name] = self.take_in(twin, plain)

        root = Pair(self.document.state, self.root)
        self.edit(root, lambda state: state.__setitem__(name, value), model)

    @rule(name=keys)
    def pop_section(self, name: str) -> None:
        root = Pair(self.document.state, self.root)
        self.edit(root, lambda state: state.pop(name), lambda plain: plain.pop(name))

    # ---- holding on -------------------------------------------------------------------------

    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        self.held.append(self.choose(data))

    @rule(data=st.data(), way=st.sampled_from(["iterate", "copy", "reverse", "slice"]))
    def hold_children(self, data: st.DataObject, way: str) -> None:
        pair = self.choose(data, (dict, list))
        twins = children(pair.twin)
        if isinstance(pair.node, dict):
            nodes = list(pair.node.copy().values() if way == "copy" else pair.node.values())
        elif way == "reverse":
            nodes = list(reversed(pair.node))[::-1]
        elif way == "slice":
            nodes, twins = pair.node[-2:], twins[-2:]
        else:
            nodes = pair.node.copy() if way == "copy" else list(pair.node)
        for node, twin in zip(nodes, twins, strict=True):
            if isinstance(twin, CONTAINERS):
                self.held.append(Pair(node, twin))

    @precondition(lambda self: len(self.held) > 4)
    @rule(seed=st.integers(0, 99))
    def let_go(self, seed: int) -> None:
        self.held = random.Random(seed).sample(self.held, 2)

    # ---- capture, blocks, and changes from elsewhere ----------------------------------------

    @precondition(lambda self: not self.blocks)
    @rule()
    def capture(self) -> None:
        changes = unpack_changes(pack_changes(self.document.capture()))
        apply(self.base, changes)
        assert same(self.base, self.root)
        assert self.document.capture() == []
        assert self.document.touched() == set()

    @precondition(lambda self: not self.blocks)
    @rule()
    def reopen(self) -> None:
        self.capture()
        self.document.close()
        for pair in self.held:
            if self.in_root(pair.twin):
                with pytest.raises(Detached):
                    pair.node.clear()
        self.load()

    def in_root(self, twin: Any) -> bool:
        return any(each is twin for top in (self.root, *self.gone) for each in within(top))

    @precondition(lambda self: len(self.blocks) < 3)
    @rule()
    def begin(self) -> None:
        self.blocks.append(Snapshot(self))
        self.document.begin()

    @precondition(lambda self: self.blocks)
    @rule()
    def keep(self) -> None:
        self.blocks.pop()
        self.document.keep()

    @precondition(lambda self: self.blocks)
    @rule()
    def undo(self) -> None:
        self.blocks.pop().restore(self)
        self.document.undo()

    def let_be_gone(self, before: list[Any]) -> None:
        """What was in the tree and is no longer has been replaced."""
        here = {id(each) for each in within(self.root)}
        self.gone += [each for each in before if id(each) not in here]

    @precondition(lambda self: not self.blocks)
    @rule(data=st.data())
    def others_change(self, data: st.DataObject) -> None:
        """Another session, which knows the base, edits sections that are clean here."""
        other = Document(copy.deepcopy(self.base))
        for _ in range(data.draw(st.integers(1, 5), label="edits")):
            edit_somewhere(other, data)
        dirty = self.document.touched()
        theirs = unpack_changes(pack_changes(other.capture()))
        changes = [each for each in theirs if each.path[0] not in dirty]
        before = list(within(self.root))
        for change in copy.deepcopy(changes):
            self.model_apply(change)
        self.let_be_gone(before)
        apply(self.base, copy.deepcopy(changes))
        self.document.apply(changes)
        self.settle_order()

    def model_apply(self, change: Change) -> None:
        """A section that stays of its kind stays the same object."""
        name = change.path[0]
        if isinstance(change, Set) and len(change.path) == 1 and name in self.root:
            self.refill(str(name), change.value)
        elif isinstance(change, Delete) and len(change.path) == 1:
            del self.root[str(name)]
        else:
            apply(self.root, [change])

    def refill(self, name: str, value: Any) -> None:
        old = self.root.get(name)
        if isinstance(old, CONTAINERS) and type(old) is type(value):
            old.clear()
            if isinstance(old, list):
                old.extend(value)
            else:
                old.update(value)
        else:
            self.root[name] = value

    @precondition(lambda self: not self.blocks)
    @rule(news=st.dictionaries(keys, values | st.just(MISSING), min_size=1, max_size=3))
    def replace(self, news: dict[str, Any]) -> None:
        before = list(within(self.root))
        for name, value in news.items():
            if value is MISSING:
                self.root.pop(name, None)
                self.base.pop(name, None)
            else:
                self.base[name] = copy.deepcopy(value)
                self.refill(name, copy.deepcopy(value))
        self.let_be_gone(before)
        copied = {
            name: value if value is MISSING else copy.deepcopy(value)
            for name, value in news.items()
        }
        self.document.replace(copied)
        self.settle_order()
        assert not self.document.touched() & set(news)

    def settle_order(self) -> None:
        """Where new sections of both sides stand is proved by `changes_lead_here`."""
        order = list(self.document.state)
        assert sorted(order) == sorted(self.root)
        for name in order:
            self.root[name] = self.root.pop(name)

    # ---- what always holds ------------------------------------------------------------------

    @invariant()
    def content_is_the_models(self) -> None:
        assert same(self.document.plain(), self.root)

    @invariant()
    def held_nodes_equal_their_twins(self) -> None:
        for pair in self.held:
            assert same(pair.node.plain(), pair.twin)

    @invariant()
    def changes_lead_here(self) -> None:
        base = copy.deepcopy(self.base)
        apply(base, self.document.pending())
        assert same(base, self.root)


def edit_somewhere(document: Document, data: st.DataObject) -> None:
    """One random edit."""
    places: list[Any] = [document.state]

    def walk(node: Any) -> None:
        if isinstance(node, TrackedDict | TrackedList | TrackedSet):
            places.append(node)
        for child in children(node):
            walk(child)

    for section in document.state.values():
        if holds(section):
            walk(section)
    place = places[data.draw(st.integers(0, len(places) - 1), label="their place")]
    value = data.draw(values, label="their value")
    if isinstance(place, list):
        start = data.draw(st.integers(0, len(place)), label="their start")
        if data.draw(st.booleans(), label="text") and start < len(place):
            place[start] = str(place[start]) + "more of the text"
        else:
            place[start : start + data.draw(st.integers(0, 2))] = [value]
    elif isinstance(place, set):
        place ^= data.draw(members, label="their members")
    else:
        key = data.draw(keys, label="their key")
        if key in place and data.draw(st.booleans(), label="delete"):
            del place[key]
        else:
            place[key] = value


TestTracked = Tracked.TestCase
