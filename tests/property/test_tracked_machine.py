"""The tracked tree against plain Python: random edits, held nodes, blocks, changes from elsewhere.

The model is a plain dict edited in the same ways, by identity: each container of the model is the
twin of the node in the same place. After every step the tree's content is the model's, each node
held since earlier still equals its twin, and the pending changes lead from the last capture to here
(P6, P13). An edit through a held node therefore has to reach the right place or none.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from perdure.core.changes import Change, Delete, Set, apply, pack_changes, unpack_changes
from perdure.core.codec import pack
from perdure.core.values import same
from perdure.errors import Detached, NotStorable
from perdure.state import MISSING, Document, TrackedDict, TrackedList, TrackedSet

CONTAINERS = (dict, list, set)

atoms = st.sampled_from(
    [None, True, False, 0, 1, 1.0, 0.0, -0.0, "", "a", "bc", "text " * 8, b"", b"bytes" * 5]
)
ends = st.integers(-5, 5)
keys = st.sampled_from(["a", "b", "c", "d", "e"])
members = st.sets(st.sampled_from(["a", "b", b"b", 1, 2.5, None, (1, "t")]), max_size=4)
values = st.recursive(
    atoms | members,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)
sections = st.fixed_dictionaries(
    {"a": st.lists(values, max_size=4), "b": st.dictionaries(keys, values, max_size=4)},
    optional={"c": values, "d": members, "e": values},
)


def children(container: Any) -> list[Any]:
    if isinstance(container, dict):
        return list(container.values())
    return list(container) if isinstance(container, list | tuple) else []


def within(value: Any) -> Iterator[Any]:
    """The containers in a value, it included, but not its tuples."""
    if isinstance(value, CONTAINERS):
        yield value
    for child in children(value):
        yield from within(child)


def holds(value: Any) -> bool:
    """Whether a value has an identity of its own: a container, or a tuple of some."""
    return isinstance(value, CONTAINERS) or (
        isinstance(value, tuple) and any(holds(item) for item in value)
    )


class Pair:
    """A place of the tree that the test holds on to, and its twin in the model."""

    def __init__(self, node: Any, twin: Any) -> None:
        self.node = node
        self.twin = twin


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


class Tracked(RuleBasedStateMachine):
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

    # ---- choosing a place -------------------------------------------------------------------

    def places(self) -> list[tuple[Any, Callable[[], Any]]]:
        """Every twin that can be reached now, from the root or because it is held, and how."""
        found: list[tuple[Any, Callable[[], Any]]] = []

        def walk(twin: Any, steps: tuple[Any, ...]) -> None:
            if isinstance(twin, CONTAINERS):
                found.append((twin, lambda: self.reach(steps)))
            if isinstance(twin, dict):
                for key, child in twin.items():
                    walk(child, (*steps, key))
            elif isinstance(twin, list | tuple):
                for position, child in enumerate(twin):
                    walk(child, (*steps, position))

        for name, section in self.root.items():
            walk(section, (name,))
        return found + [(pair.twin, partial(getattr, pair, "node")) for pair in self.held]

    def reach(self, steps: tuple[Any, ...]) -> Any:
        node: Any = self.document.state
        for step in steps:
            node = node[step]
        return node

    def choose(self, data: st.DataObject, kind: type | tuple[type, ...] = CONTAINERS) -> Pair:
        places = [each for each in self.places() if isinstance(each[0], kind)]
        if not places:  # then one that has no place any more
            made = data.draw(st.sampled_from([one for one in CONTAINERS if issubclass(one, kind)]))
            self.document.state["made"] = made()
            self.free.append(made())
            self.held.append(Pair(self.document.state.pop("made"), self.free[-1]))
            return self.held[-1]
        twin, find = places[data.draw(st.integers(0, len(places) - 1), label="place")]
        node = find()
        assert isinstance(node, TrackedDict | TrackedList | TrackedSet)
        return Pair(node, twin)

    def pick(self, data: st.DataObject) -> tuple[Any, Any]:
        """Something to insert: what the tree is given, and what that stands for in the model."""
        if data.draw(st.booleans(), label="insert a node"):
            places = self.places()
            if places:
                twin, find = places[data.draw(st.integers(0, len(places) - 1), label="node")]
                return find(), twin
        value = data.draw(values, label="value")
        return value, copy.deepcopy(value)

    # ---- what an insertion means ------------------------------------------------------------

    def is_gone(self, twin: Any) -> bool:
        return any(each is twin for top in self.gone for each in within(top))

    def take_in(self, twin: Any, target: Any) -> Any:
        """What the model stores for an inserted value; free containers go in as they are."""
        for index, top in enumerate(self.free):
            if top is twin:
                if any(each is target for each in within(twin)):
                    raise NotStorable("a cycle")
                del self.free[index]
                return twin
        return copy.deepcopy(twin)

    def edit(self, pair: Pair, change: Callable[[Any], Any], model: Callable[[Any], Any]) -> None:
        """Do the same to a node and to its twin, and compare errors, results and what came free."""
        if self.is_gone(pair.twin):
            with pytest.raises(Detached):
                change(pair.node)
            return
        before = [child for child in children(pair.twin) if holds(child)]
        content, free = copy.copy(pair.twin), list(self.free)
        try:
            expected = model(pair.twin)
        except Exception as error:
            with pytest.raises(type(error)):
                change(pair.node)
            assert same(pair.twin, content)
            self.free = free
            return
        result = change(pair.node)
        after = {id(child) for child in children(pair.twin)}
        for child in before:
            if id(child) not in after:
                self.free.append(child)
        if isinstance(result, TrackedDict | TrackedList | TrackedSet):
            self.held.append(Pair(result, expected))
        elif result is not None and not isinstance(expected, tuple):
            assert same(result, expected)

    # ---- edits of dicts ---------------------------------------------------------------------

    @rule(data=st.data(), key=keys)
    def set_key(self, data: st.DataObject, key: str) -> None:
        pair = self.choose(data, dict)
        value, twin = self.pick(data)

        def model(plain: dict[str, Any]) -> None:
            if plain.get(key, MISSING) is not twin or not holds(twin):
                plain[key] = self.take_in(twin, plain)

        self.edit(pair, lambda node: node.__setitem__(key, value), model)

    @rule(data=st.data(), key=keys)
    def delete_key(self, data: st.DataObject, key: str) -> None:
        self.edit(
            self.choose(data, dict),
            lambda node: node.__delitem__(key),
            lambda plain: plain.__delitem__(key),
        )

    @rule(data=st.data(), key=keys)
    def pop_key(self, data: st.DataObject, key: str) -> None:
        self.edit(self.choose(data, dict), lambda node: node.pop(key), lambda plain: plain.pop(key))

    @rule(data=st.data())
    def popitem(self, data: st.DataObject) -> None:
        self.edit(
            self.choose(data, dict),
            lambda node: node.popitem()[1],
            lambda plain: plain.popitem()[1],
        )

    @rule(data=st.data(), news=st.dictionaries(keys, values, max_size=3), operator=st.booleans())
    def update(self, data: st.DataObject, news: dict[str, Any], operator: bool) -> None:
        def change(node: Any) -> None:
            if operator:
                node |= news
            else:
                node.update(news)

        self.edit(self.choose(data, dict), change, lambda plain: plain.update(copy.deepcopy(news)))

    @rule(data=st.data(), key=keys)
    def setdefault(self, data: st.DataObject, key: str) -> None:
        pair = self.choose(data, dict)
        value, twin = self.pick(data)

        def model(plain: dict[str, Any]) -> Any:
            if key not in plain:
                plain[key] = self.take_in(twin, plain)
            return plain[key]

        if key in pair.twin and self.is_gone(pair.twin):
            return  # reads only
        self.edit(pair, lambda node: node.setdefault(key, value), model)

    # ---- edits of lists ---------------------------------------------------------------------

    @rule(data=st.data(), index=st.integers(-6, 6))
    def insert(self, data: st.DataObject, index: int) -> None:
        pair = self.choose(data, list)
        value, twin = self.pick(data)
        self.edit(
            pair,
            lambda node: node.insert(index, value),
            lambda plain: plain.insert(index, self.take_in(twin, plain)),
        )

    @rule(data=st.data())
    def append(self, data: st.DataObject) -> None:
        pair = self.choose(data, list)
        value, twin = self.pick(data)
        self.edit(
            pair,
            lambda node: node.append(value),
            lambda plain: plain.append(self.take_in(twin, plain)),
        )

    @rule(data=st.data(), news=st.lists(values, max_size=3), operator=st.booleans())
    def extend(self, data: st.DataObject, news: list[Any], operator: bool) -> None:
        def change(node: Any) -> None:
            if operator:
                node += news
            else:
                node.extend(iter(news))

        self.edit(self.choose(data, list), change, lambda plain: plain.extend(copy.deepcopy(news)))

    @rule(data=st.data(), index=st.integers(-5, 5))
    def set_item(self, data: st.DataObject, index: int) -> None:
        pair = self.choose(data, list)
        value, twin = self.pick(data)

        def model(plain: list[Any]) -> None:
            if plain[index] is not twin or not holds(twin):
                plain[index] = self.take_in(twin, plain)

        self.edit(pair, lambda node: node.__setitem__(index, value), model)

    @rule(data=st.data(), index=st.integers(-5, 5))
    def pop(self, data: st.DataObject, index: int) -> None:
        self.edit(
            self.choose(data, list), lambda node: node.pop(index), lambda plain: plain.pop(index)
        )

    @rule(data=st.data(), start=ends, stop=ends, step=st.integers(-2, 3))
    def delete_slice(self, data: st.DataObject, start: int, stop: int, step: int) -> None:
        where = slice(start, stop, step or None)
        self.edit(
            self.choose(data, list),
            lambda node: node.__delitem__(where),
            lambda plain: plain.__delitem__(where),
        )

    @rule(data=st.data(), start=ends, stop=ends)
    def set_slice(self, data: st.DataObject, start: int, stop: int) -> None:
        """New values, kept items and repeated ones, in any mixture."""
        pair = self.choose(data, list)
        where = slice(start, stop)
        mixture: list[tuple[Any, Any]] = []
        for _ in range(data.draw(st.integers(0, 4), label="count")):
            if pair.twin and data.draw(st.booleans(), label="an item of its own"):
                position = data.draw(st.integers(0, len(pair.twin) - 1), label="position")
                mixture.append((pair.node[position], pair.twin[position]))
            else:
                mixture.append(self.pick(data))

        def model(plain: list[Any]) -> None:
            plain[where] = self.assigned(plain, plain[where], [twin for _, twin in mixture])

        self.edit(pair, lambda node: node.__setitem__(where, (each for each, _ in mixture)), model)

    @rule(data=st.data(), start=st.integers(0, 3), step=st.sampled_from([-2, -1, 2, 3]))
    def set_extended_slice(self, data: st.DataObject, start: int, step: int) -> None:
        pair = self.choose(data, list)
        where = slice(start, None, step)
        order = data.draw(st.permutations(range(len(pair.twin[where]))), label="order")

        def permute(container: Any) -> None:
            items = container[where]
            container[where] = [items[each] for each in order]

        self.edit(pair, permute, permute)

    def assigned(self, target: list[Any], before: list[Any], news: list[Any]) -> list[Any]:
        """What a slice holds after an assignment: what stays at its ends stays, by identity."""
        known = {
            id(each)
            for root in (self.root, *self.free, *self.gone)
            for each in self.identities(root)
        }
        known |= {id(each) for pair in self.held for each in self.identities(pair.twin)}

        def stays(old: Any, new: Any) -> bool:
            return old is new if id(new) in known and holds(new) else same(old, new)

        head = tail = 0
        most = min(len(before), len(news))
        while head < most and stays(before[head], news[head]):
            head += 1
        while tail < most - head and stays(before[-1 - tail], news[-1 - tail]):
            tail += 1
        middle = before[head : len(before) - tail]
        staying = {id(each) for each in middle if holds(each)}
        result = []
        for new in news[head : len(news) - tail]:
            if id(new) in staying:
                staying.remove(id(new))
                result.append(new)
            else:
                result.append(self.take_in(new, target))
        return before[:head] + result + before[len(before) - tail :]

    def identities(self, value: Any) -> Iterator[Any]:
        if holds(value):
            yield value
        for child in children(value):
            yield from self.identities(child)

    @rule(data=st.data(), backwards=st.booleans())
    def sort(self, data: st.DataObject, backwards: bool) -> None:
        def sort(container: Any) -> None:
            container.sort(key=pack, reverse=backwards)

        self.edit(self.choose(data, list), sort, sort)

    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        self.edit(
            self.choose(data, list), lambda node: node.reverse(), lambda plain: plain.reverse()
        )

    @rule(data=st.data(), times=st.integers(-1, 2))
    def repeat(self, data: st.DataObject, times: int) -> None:
        def change(node: Any) -> None:
            node *= times

        def model(plain: list[Any]) -> None:
            if times < 1:
                plain.clear()
            else:
                plain.extend(copy.deepcopy(plain[:] * (times - 1)))

        self.edit(self.choose(data, list), change, model)

    @rule(data=st.data())
    def clear(self, data: st.DataObject) -> None:
        self.edit(self.choose(data), lambda node: node.clear(), lambda plain: plain.clear())

    @rule(data=st.data(), piece=st.sampled_from(["x", "é", "\ud800"]))
    def stream(self, data: st.DataObject, piece: str) -> None:
        """Text that grows by tokens."""
        pair = self.choose(data, (dict, list))
        slots = list(pair.twin.items() if isinstance(pair.twin, dict) else enumerate(pair.twin))
        slots = [slot for slot, value in slots if isinstance(value, str)]
        if not slots:
            return
        slot = slots[data.draw(st.integers(0, len(slots) - 1), label="slot")]

        def grow(container: Any) -> None:
            container[slot] += piece

        self.edit(pair, grow, grow)

    # ---- edits of sets ----------------------------------------------------------------------

    @rule(
        data=st.data(),
        other=members.filter(len),
        method=st.sampled_from(["add", "discard", "remove"]),
    )
    def member(self, data: st.DataObject, other: set[Any], method: str) -> None:
        element = next(iter(other))
        self.edit(
            self.choose(data, set),
            lambda node: getattr(node, method)(element),
            lambda plain: getattr(plain, method)(element),
        )

    @rule(data=st.data(), other=members, operator=st.sampled_from(["or", "and", "sub", "xor"]))
    def combine(self, data: st.DataObject, other: set[Any], operator: str) -> None:
        def combine(container: Any) -> None:
            assert getattr(container, f"__i{operator}__")(other) is container

        self.edit(self.choose(data, set), combine, combine)

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
