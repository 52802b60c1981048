"""Edits of a tracked tree and of plain Python side by side, wherever in them a place is.

The model is a plain dict edited in the same ways, by identity: each container of the model is the
twin of the node in the same place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

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


class Edits(RuleBasedStateMachine):
    """Chooses places, and edits the containers there in every way that Python knows.

    What runs it makes the tree and the model, and says when something has no place any more.
    """

    document: Document
    root: dict[str, Any]
    """The model of the whole tree."""
    free: list[Any]
    """Containers of the model that lost their place, and may be put in again."""
    gone: list[Any]
    """Containers of the model whose nodes were replaced: no edit of these passes."""
    held: list[Pair]

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
