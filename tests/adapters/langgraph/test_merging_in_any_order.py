"""However a thread is forked and merged, it goes on as a plain graph of its records says."""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from tests.adapters.langgraph.graphs import thread
from tests.adapters.langgraph.test_two_workers import KEY, put

from perdure import Store
from perdure.adapters.langgraph import MERGING, PerdureSaver
from perdure.adapters.langgraph.places import CHECKPOINT


class Kept(NamedTuple):
    """A record, and the ones that it was made of."""

    number: int
    """In the order in which they were made."""
    label: str
    """The checkpoint that it is of."""
    is_writes: bool
    parent: str | None
    merged: str | None
    fact: str | None
    """What its put added to the channel."""


class Model:
    """The records of all branches, those of deleted ones too, and where branches are."""

    def __init__(self) -> None:
        self.kept: dict[str, Kept] = {}
        self.tips: dict[str, str] = {}

    def add(self, branch: str, id_: str, parent: str | None, **told: Any) -> None:
        kept = {"is_writes": False, "merged": None, "fact": None, **told}
        self.kept[id_] = Kept(len(self.kept), parent=parent, **kept)
        self.tips[branch] = id_

    def line(self, id_: str | None) -> list[str]:
        line = []
        while id_ is not None:
            line.append(id_)
            id_ = self.kept[id_].parent
        return line

    def all_of(self, id_: str) -> set[str]:
        """A record and all that it goes back to, by whatever way."""
        found, left = set[str](), [id_]
        while left:
            id_ = left.pop()
            if id_ not in found:
                found.add(id_)
                kept = self.kept[id_]
                left += [each for each in (kept.parent, kept.merged) if each is not None]
        return found

    def work(self, branch: str) -> str:
        """The newest record of a branch that is more than writes."""
        return next(id_ for id_ in self.line(self.tips[branch]) if not self.kept[id_].is_writes)

    def facts(self, branch: str) -> set[str]:
        all_ = self.all_of(self.tips[branch])
        return {fact for id_ in all_ if (fact := self.kept[id_].fact) is not None}

    def label(self, branch: str) -> str:
        return self.kept[self.tips[branch]].label

    def latest(self) -> str:
        def order(branch: str) -> tuple[bool, str, int]:
            work = self.work(branch)
            is_taken = any(
                work in self.all_of(tip) and work not in self.line(tip)
                for name, tip in self.tips.items()
                if name != branch
            )
            ids = [self.kept[id_].label for id_ in self.all_of(self.tips[branch])]
            return not is_taken, max(ids), self.kept[work].number

        return max(self.tips, key=order)


class Played:
    """A thread in a store, and its model."""

    def __init__(self, store: Store) -> None:
        self.saver, self.other = PerdureSaver(store), PerdureSaver(store)
        self.model, self.facts = Model(), count()
        self.put(thread(), set())
        self.go_on(0)
        self.fork(0)
        self.fork(0)

    def put(self, config: Any, facts: set[str]) -> None:
        fact = f"f{next(self.facts)}"
        new = put(self.saver, config, dict.fromkeys(sorted({*facts, fact}), 1))
        label = new["configurable"]["checkpoint_id"]
        for each in self.saver.store.branches(KEY):
            if self.model.tips.get(each.name) != each.tip.id:
                (record, *rest) = self.saver.store.history(KEY, branch=each.name, limit=2)
                parent = rest[0].id if rest else None
                self.model.add(each.name, record.id, parent, label=label, fact=fact)

    def go_on(self, _: int) -> None:
        found = self.saver.get_tuple(thread())
        assert found is not None
        self.put(found.config, set(found.checkpoint["channel_values"]["x"]))

    def fork(self, which: int) -> None:
        """Go on from a checkpoint by its id: if it is not the newest of a branch, as a fork."""
        ids = sorted({each.label for each in self.model.kept.values()})
        found = self.saver.get_tuple(thread("alice", ids[which % len(ids)]))
        if found is not None:  # it may have been of a branch that is deleted
            self.put(found.config, set(found.checkpoint["channel_values"]["x"]))

    def write(self, which: int) -> None:
        branch = self._branch(which)
        label = self.model.label(branch)
        self.saver.put_writes(thread("alice", label), [("x", which)], f"task {which}")
        for each in self.saver.store.branches(KEY):
            tip = self.model.tips[each.name]
            if tip != each.tip.id:
                told = {"label": self.model.label(each.name), "is_writes": True}
                self.model.add(each.name, each.tip.id, tip, **told)

    def merge(self, which: int) -> None:
        source, into = self._branch(which), self._branch(which // 7)
        if source == into:
            return
        store = self.saver.store
        done = store.merge(KEY, source, into=into, strategies=MERGING)
        if done is not None:
            assert done.checkpoint is not None
            id_, tips = done.checkpoint.id, self.model.tips
            told = {"merged": tips[source], "label": store.at(KEY, id_)[CHECKPOINT]["id"]}
            self.model.add(into, id_, tips[into], **told)

    def delete(self, which: int) -> None:
        branch = self._branch(which)
        if branch != "main":
            self.saver.store.delete_branch(KEY, branch)
            del self.model.tips[branch]

    def reopen(self, _: int) -> None:
        self.other.close()
        self.other = PerdureSaver(self.saver.store)

    def _branch(self, which: int) -> str:
        names = sorted(self.model.tips)
        return names[which % len(names)]

    def check(self) -> None:
        branch = self.model.latest()
        for each in (self.saver, self.other):
            found = each.get_tuple(thread())
            assert found is not None
            assert found.checkpoint["id"] == self.model.label(branch)
            assert set(found.checkpoint["channel_values"]["x"]) == self.model.facts(branch)


STEPS = ("merge", "merge", "merge", "fork", "write", "go_on", "delete", "reopen")


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 48)), min_size=3, max_size=12))
def test_a_thread_goes_on_from_the_newest_with_all_that_was_merged(
    steps: list[tuple[str, int]],
) -> None:
    times = count(1_700_000_000_000_000, 1000)
    with Store("memory:", clock=lambda: next(times)) as store:
        played = Played(store)
        try:
            for name, which in steps:
                getattr(played, name)(which)
                played.check()
        finally:
            played.saver.close()
            played.other.close()
