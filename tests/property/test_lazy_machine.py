"""Sections that load when touched, and windows, against plain Python.

The model is the whole state, all of it plain, and the number of items before each window. The
document is given a part of that, loads the rest when it is touched (or fails to), saves, undoes,
and takes in and gives up what others changed. After every step what is loaded is the model's part
of it, the names stand in the model's order, and the pending changes lead from the stored state to
the model, though nothing was loaded to find them (P6, P13).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from perdure.core.changes import Change, Delete, Set, apply, pack_changes, unpack_changes
from perdure.core.values import same
from perdure.errors import SectionNotLoaded
from perdure.state import MISSING, UNLOADED, Document, TrackedList, Window

names = st.sampled_from(["a", "b", "c", "a", "b", "c", "m"])
often_m = st.sampled_from(["m", "m", "m", "a"])
atoms = st.sampled_from([None, True, 0, 1.0, "", "a", "text " * 8, b"bytes"])
values = st.recursive(
    atoms | st.sets(st.sampled_from(["a", 1, None]), max_size=2),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(["x", "y"]), inner, max_size=2)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)
messages = st.lists(atoms | st.fixed_dictionaries({"n": atoms}), min_size=4, max_size=8)
sections = st.builds(
    lambda some, items: some | {"m": items}, st.dictionaries(names, values, max_size=4), messages
)


class OutOfReach(Exception):
    """The store could not be read."""


class Lazy(RuleBasedStateMachine):
    @initialize(content=sections, data=st.data(), check_edits=st.booleans(), lazy=st.booleans())
    def start(
        self, content: dict[str, Any], data: st.DataObject, check_edits: bool, lazy: bool
    ) -> None:
        self.stored = content
        self.check_edits = check_edits
        self.lazy = lazy
        """Whether touching a section loads it."""
        self.open(data)

    def open(self, data: st.DataObject) -> None:
        self.read = copy.deepcopy(self.stored)
        """What the loader reads: of a section that is not loaded, what is stored."""
        self.model = copy.deepcopy(self.stored)
        self.offsets: dict[str, int] = {}
        self.waiting: list[Change] = []
        """Captured, and not saved."""
        self.blocks: list[tuple[dict[str, Any], dict[str, int], set[str]]] = []
        self.reachable = True
        self.asked: list[str] = []
        given = {name: self.give(name, data) for name in self.stored}
        self.document = Document(
            given, load=self.load if self.lazy else None, check_edits=self.check_edits
        )

    def give(self, name: str, data: st.DataObject) -> Any:
        """A stored section as the document is given it: whole, as a window or not at all."""
        if data.draw(st.booleans(), label=f"leave {name} unloaded"):
            return UNLOADED
        return self.windowed(name, data)

    def windowed(self, name: str, data: st.DataObject) -> Any:
        value = copy.deepcopy(self.read[name])
        if isinstance(value, list) and data.draw(st.integers(0, 3), label=f"window of {name}"):
            offset = len(value) - data.draw(st.integers(0, len(value)), label="shown")
            self.offsets[name] = offset
            return Window(value[offset:], offset)
        return value

    def load(self, name: str) -> Any:
        self.asked.append(name)
        if not self.reachable:
            raise OutOfReach
        value = copy.deepcopy(self.read[name])
        if isinstance(value, list) and len(value) % 2:
            self.offsets[name] = len(value) // 2
            return Window(value[len(value) // 2 :], len(value) // 2)
        return value

    # ---- the document and the model ---------------------------------------------------------

    def get(self, name: str) -> bool:
        """Touch a section; whether it is there and loaded now."""
        if name not in self.model:
            with pytest.raises(KeyError):
                self.document.state[name]
            return False
        if not self.document.is_loaded(name):
            if not self.lazy:
                with pytest.raises(SectionNotLoaded, match=rf'session\.load\("{name}"\)'):
                    self.document.state[name]
                return False
            if not self.reachable:
                with pytest.raises(OutOfReach):
                    self.document.state[name]
                return False
        self.document.state[name]
        return True

    def shown(self, name: str) -> Any:
        """What of a section the document shows, if it is loaded."""
        offset = self.offsets.get(name, 0)
        return self.model[name][offset:] if offset else self.model[name]

    # ---- loading ----------------------------------------------------------------------------

    @rule(name=names)
    def touch(self, name: str) -> None:
        self.get(name)

    @rule(name=names, data=st.data())
    def put(self, name: str, data: st.DataObject) -> None:
        if name in self.document.state and not self.document.is_loaded(name):
            self.document.put(name, self.windowed(name, data))
            assert self.document.is_loaded(name)
        else:
            self.document.put(name, "too late")

    @rule(reachable=st.booleans())
    def lose_or_find_the_store(self, reachable: bool) -> None:
        self.reachable = reachable

    @rule()
    def read_all(self) -> None:
        everything = self.lazy and self.reachable
        if everything or self.document.loaded() == set(self.model):
            expected = self.document.plain()
            assert same(expected, {name: self.shown(name) for name in self.model})
            assert self.document.state == expected
            assert self.document.state.copy() == expected

    # ---- editing ----------------------------------------------------------------------------

    @rule(name=names, value=values)
    def assign(self, name: str, value: Any) -> None:
        self.document.state[name] = value
        if not (name in self.model and same(self.model[name], value) and self.is_atom(value)):
            self.offsets.pop(name, None)
        self.model[name] = copy.deepcopy(value)

    @staticmethod
    def is_atom(value: Any) -> bool:
        return not isinstance(value, dict | list | set | tuple)

    @rule(name=names)
    def delete(self, name: str) -> None:
        if name in self.model:
            del self.document.state[name]
            del self.model[name]
            self.offsets.pop(name, None)
        else:
            with pytest.raises(KeyError):
                del self.document.state[name]

    @rule(name=names, new=names)
    def move(self, name: str, new: str) -> None:
        if self.get(name):
            self.document.state[new] = self.document.state.pop(name)
            moved = copy.deepcopy(self.shown(name))
            del self.model[name]
            for each in (name, new):
                self.offsets.pop(each, None)
            self.model[new] = moved

    @rule(name=often_m, value=values, start=st.integers(-7, 7), count=st.integers(0, 3))
    def splice(self, name: str, value: Any, start: int, count: int) -> None:
        def edit(items: list[Any]) -> None:
            end = None if start < 0 and start + count >= 0 else start + count
            items[start:end] = [copy.deepcopy(value)] * (count % 2)

        self.edit(name, list, edit)

    @rule(name=often_m, value=values, way=st.sampled_from(["append", "insert", "sort", "clear"]))
    def edit_list(self, name: str, value: Any, way: str) -> None:
        def edit(items: list[Any]) -> None:
            if way == "append":
                items.append(copy.deepcopy(value))
            elif way == "insert":
                items.insert(0, copy.deepcopy(value))
            elif way == "sort":
                items.sort(key=lambda item: len(repr(item)))
            else:
                items.clear()

        self.edit(name, list, edit)

    @rule(name=often_m, value=values, at=st.integers(0, 5))
    def edit_inside(self, name: str, value: Any, at: int) -> None:
        def edit(items: list[Any]) -> None:
            if at < len(items):
                edit_one(items, at, value)

        self.edit(name, list, edit)

    @rule(name=names, value=values, key=st.sampled_from(["x", "y"]))
    def edit_dict(self, name: str, value: Any, key: str) -> None:
        self.edit(name, dict, lambda section: section.update({key: copy.deepcopy(value)}))

    def edit(self, name: str, kind: type, edit: Callable[[Any], None]) -> None:
        if not isinstance(self.model.get(name), kind) or not self.get(name):
            return
        edit(self.document.state[name])
        offset = self.offsets.get(name, 0)
        shown = self.shown(name)
        edit(shown)
        if offset:
            self.model[name][offset:] = shown

    # ---- saving, blocks ---------------------------------------------------------------------

    @precondition(lambda self: not self.blocks)
    @rule(saved=st.booleans())
    def capture(self, saved: bool) -> None:
        """A save, which may fail: then what was captured waits."""
        asked = list(self.asked)
        self.waiting += unpack_changes(pack_changes(self.document.capture()))
        assert self.asked == asked
        assert self.document.touched() == set()
        if saved:
            apply(self.stored, self.waiting)
            self.read = copy.deepcopy(self.stored)
            self.waiting = []

    @precondition(lambda self: not self.blocks)
    @rule(data=st.data())
    def reopen(self, data: st.DataObject) -> None:
        self.capture(True)
        self.document.close()
        self.open(data)

    @precondition(lambda self: len(self.blocks) < 3)
    @rule()
    def begin(self) -> None:
        before = copy.deepcopy(self.model), dict(self.offsets), self.document.loaded()
        self.blocks.append(before)
        self.document.begin()

    @precondition(lambda self: self.blocks)
    @rule()
    def keep(self) -> None:
        self.blocks.pop()
        self.document.keep()

    @precondition(lambda self: self.blocks)
    @rule()
    def undo(self) -> None:
        """Sections that were loaded inside may stay loaded, as windows if they were."""
        asked = list(self.asked)
        self.document.undo()
        assert self.asked == asked
        self.model, self.offsets, loaded = self.blocks.pop()
        for name, value in self.held():
            if name not in loaded and isinstance(value, TrackedList):
                self.offsets[name] = value.offset

    def held(self) -> list[tuple[str, Any]]:
        return [(name, self.document.state[name]) for name in self.document.loaded()]

    # ---- what others do ---------------------------------------------------------------------

    @precondition(lambda self: not self.blocks)
    @rule(data=st.data())
    def others_change(self, data: st.DataObject) -> None:
        """As `refresh(keep_changes=True)` takes it in."""
        mine = self.document.touched() | {str(each.path[0]) for each in self.waiting}
        changes = [each for each in self.theirs(data) if each.path[0] not in mine]
        apply(self.stored, copy.deepcopy(changes))
        order = copy.deepcopy(self.stored)
        apply(order, copy.deepcopy(self.waiting))  # to sections that theirs do not touch
        asked, unloaded = list(self.asked), set(self.model) - self.document.loaded()
        later = self.document.apply(copy.deepcopy(changes), order=order)
        assert self.asked == asked
        apply(self.read, copy.deepcopy(later))
        self.read |= {
            name: copy.deepcopy(value)
            for name, value in self.stored.items()
            if name not in self.read or name not in unloaded
        }
        self.follow(changes, order)

    def theirs(self, data: st.DataObject) -> list[Change]:
        """What another session saves, in up to three records."""
        other = Document(copy.deepcopy(self.stored))
        changes: list[Change] = []
        for _ in range(data.draw(st.integers(1, 3), label="records")):
            for _ in range(data.draw(st.integers(1, 2), label="edits")):
                edit_somewhere(other, data)
            changes += unpack_changes(pack_changes(other.capture()))
        return changes

    def follow(self, changes: list[Change], order: dict[str, Any]) -> None:
        """Others' changes in the model: sections in the order of replay, then ours that are new."""
        for name in {str(each.path[0]) for each in changes}:
            self.model.pop(name, None)
            if name in self.stored:
                self.model[name] = copy.deepcopy(self.stored[name])
        replayed = copy.deepcopy(order)
        apply(replayed, self.document.pending())
        self.model = {name: self.model[name] for name in replayed}
        for name in self.document.loaded():
            section = self.document.state[name]
            offset = section.offset if isinstance(section, TrackedList) else 0
            assert name in self.offsets or not offset
            self.offsets[name] = offset

    @precondition(lambda self: not self.blocks)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        """As `refresh()` takes it in, with others' changes to the rest."""
        mine = self.document.touched() | {str(each.path[0]) for each in self.waiting}
        self.waiting = []
        changes = self.theirs(data)
        apply(self.stored, copy.deepcopy(changes))
        before = self.read
        self.read = copy.deepcopy(self.stored)
        for name in mine:
            self.offsets.pop(name, None)
        self.document.replace(
            {name: self.give(name, data) if name in self.stored else MISSING for name in mine}
        )
        changes = [each for each in changes if each.path[0] not in mine]
        later = self.document.apply(copy.deepcopy(changes), order=self.stored)
        apply(before, copy.deepcopy(later))
        for name in set(self.stored) - self.document.loaded() - mine:
            assert same(before[name], self.stored[name])
        assert self.document.touched() == set()
        self.model = copy.deepcopy(self.stored)
        self.follow([], self.stored)

    # ---- what always holds ------------------------------------------------------------------

    @invariant()
    def names_are_the_models(self) -> None:
        assert list(self.document.state) == list(self.model)
        assert len(self.document.state) == len(self.model)

    @invariant()
    def what_is_loaded_is_the_models(self) -> None:
        for name, value in self.held():
            assert same(value, self.shown(name))
            assert getattr(value, "offset", 0) == self.offsets.get(name, 0)

    @invariant()
    def what_is_not_loaded_is_read_as_the_models(self) -> None:
        for name in set(self.model) - self.document.loaded():
            assert same(self.read[name], self.model[name])

    @invariant()
    def changes_lead_here(self) -> None:
        asked = list(self.asked)
        state = copy.deepcopy(self.stored)
        apply(state, [*copy.deepcopy(self.waiting), *self.document.pending()])
        assert same(state, self.model)
        assert self.asked == asked


def is_whole(change: Change) -> bool:
    return len(change.path) == 1 and isinstance(change, Set | Delete)


def edit_one(items: Any, at: int, value: Any) -> None:
    """Edit one item: inside it, if it is a container."""
    item = items[at]
    if isinstance(item, dict):
        item["x"] = copy.deepcopy(value)
    elif isinstance(item, list):
        item.append(copy.deepcopy(value))
    elif isinstance(item, set):
        item.add("new")
    elif isinstance(item, str):
        items[at] = item + "more of the text"
    else:
        items[at] = copy.deepcopy(value)


def edit_somewhere(document: Document, data: st.DataObject) -> None:
    """One random edit by somebody else."""
    state = document.state
    name = data.draw(names | often_m, label="their section")
    value = data.draw(values, label="their value")
    section = state.get(name)
    if isinstance(section, list) and data.draw(st.integers(0, 4), label="inside"):
        start = data.draw(st.integers(0, len(section)), label="start")
        if start < len(section) and data.draw(st.booleans(), label="one"):
            edit_one(section, start, value)
        else:
            end = start + data.draw(st.integers(0, 6), label="removed")
            section[start:end] = [value] * data.draw(st.integers(0, 3), label="added")
    elif isinstance(section, dict) and data.draw(st.booleans(), label="inside"):
        section["y"] = value
    elif name in state and data.draw(st.booleans(), label="delete"):
        del state[name]
    else:
        state[name] = [value] * 5 if name == "m" else value


TestLazy = Lazy.TestCase
