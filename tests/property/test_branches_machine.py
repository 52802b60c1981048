"""Whatever is done to branches, each is what a plain list of states says it is (P3, P7)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import perdure
from perdure import errors, limits
from perdure.backends import objects
from perdure.engine import maintain

KEY = "a"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SMALL = {
    "branches_inline_max": 3,
    "lineage_inline_max": 3,
    "tail_records_max": 2,
    "snapshots_kept_max": 2,
    "section_inline_bytes_max": 8,
}
NAMES = ["b", "c", "d", "e", "f", "g"]
names = st.sampled_from(NAMES)
parts = st.floats(0, 1)
"""How far along all there are of something one of them is."""


LABELS = {0: "x", 2: "y"}
"""What every sixth save is labelled, by its number."""


class Saved(NamedTuple):
    """One checkpoint: its id, the whole state there, and what a policy looks at."""

    id: str
    state: dict[str, Any]
    time_us: int
    label: str | None


class Line(NamedTuple):
    """Where a branch stands: all its checkpoints, and since which movement it is there."""

    moved: int
    saved: tuple[Saved, ...]


class Moved(NamedTuple):
    """A movement that can be taken back."""

    number: int
    branch: str
    before: Line | None
    after: Line | None
    name: str | None = None


class Held(NamedTuple):
    """A session that is kept open, and where its branch stood when it read last."""

    session: perdure.Session
    branch: str
    line: Line


def pick(part: float, count: int) -> int:
    """One of so many, from 1 on."""
    return min(int(part * count) + 1, count)


class Branches(RuleBasedStateMachine):
    """A store and a plain model of its branches."""

    url = "sqlite"

    def __init__(self) -> None:
        super().__init__()
        self.patches = pytest.MonkeyPatch()
        for name, bound in SMALL.items():
            self.patches.setattr(limits, name, bound)
        self.patches.setattr(objects, "inline_bytes_max", 700)
        self.folder = tempfile.TemporaryDirectory()
        self.branches: dict[str, Line] = {}
        self.ever: list[Saved] = []
        self.undo: list[Moved] = []
        self.redo: list[Moved] = []
        self.moves = 0
        self.left: dict[int, Line] = {}
        """Where branches stood before movements, by number: what can be gone back to."""
        self.gone: set[str] = set()
        """Ids of checkpoints that were pruned: none are here, see `test_pruning_machine`."""
        self.held: Held | None = None
        self.store = self.opened()
        with self.store.open(KEY) as session:
            self.branches["main"] = Line(0, ())
            self.edit(session, "main")

    def opened(self) -> perdure.Store:
        path = Path(self.folder.name) / "a.db"
        return perdure.Store(str(path) if self.url == "sqlite" else self.url, maintenance="off")

    def teardown(self) -> None:
        assert {each.problem for each in self.store.verify()} == {None}
        every = self.store.history(KEY, every=True)
        there = [each for each in self.ever if each.id not in self.gone]
        assert sorted(each.id for each in every) == sorted(each.id for each in there)
        for each in there:
            assert self.store.at(KEY, each.id).plain() == each.state
        assert len(self.store.movements(KEY)) == self.moves
        self.store.close()
        self.folder.cleanup()
        self.patches.undo()

    def one(self, part: float, *, main: bool = True) -> str:
        """One of the branches that there are."""
        found = [name for name in ["main", *NAMES] if name in self.branches][not main :]
        return found[pick(part, len(found)) - 1]

    # ---- saves ----------------------------------------------------------------------------

    def edit(self, session: perdure.Session, branch: str) -> None:
        """Save something on a branch, through a session, and in the model."""
        count = len(self.ever)
        session.state.setdefault("log", []).append(count)
        session.state[f"of {count % 3}"] = "x" * count
        checkpoint = session.save(label=LABELS.get(count % 6))
        time_us = (checkpoint.time - EPOCH) // timedelta(microseconds=1)
        saved = Saved(checkpoint.id, session.state.plain(), time_us, LABELS.get(count % 6))
        moved, before = self.branches[branch]
        assert checkpoint.number == len(before) + 1
        assert saved.state["log"] == [*(before[-1].state["log"] if before else []), count]
        self.branches[branch] = Line(moved, (*before, saved))
        self.ever.append(saved)

    @rule(branch=parts, count=st.integers(1, 3))
    def save(self, branch: float, count: int) -> None:
        name = self.one(branch)
        with self.store.open(KEY, branch=name) as session:
            for _ in range(count):
                self.edit(session, name)

    @rule(branch=parts)
    def hold(self, branch: float) -> None:
        name = self.one(branch)
        self.held = Held(self.store.open(KEY, branch=name), name, self.branches[name])

    @precondition(lambda self: self.held is not None)
    @rule(go_on=st.booleans())
    def save_held(self, go_on: bool) -> None:
        assert self.held is not None
        session, branch, line = self.held
        now = self.branches.get(branch)
        if now == line:
            self.edit(session, branch)
            self.held = Held(session, branch, self.branches[branch])
            return
        session.state["mine"] = 1
        with pytest.raises(errors.Conflict) as caught:
            session.save()
        is_ahead = now is not None and now.saved[: len(line.saved)] == line.saved
        assert type(caught.value) is (errors.Conflict if is_ahead else errors.BranchMoved)
        assert [each.path for each in caught.value.mine] == [("mine",)]
        self.held = None
        if go_on and now is not None:
            session.refresh()
            assert session.state.plain() == now.saved[-1].state
            self.held = Held(session, branch, now)
            return
        with pytest.raises(KeyError), session:  # its edits are given up
            raise KeyError

    # ---- movements ------------------------------------------------------------------------

    def made(
        self, branch: str, before: Line | None, after: Line | None, name: str | None = None
    ) -> None:
        """What every new movement does to what can be taken back."""
        self.undo.append(self.noted(Moved(self.moves, branch, before, after, name)))
        self.redo.clear()

    def noted(self, moved: Moved) -> Moved:
        """A movement, of which it is noted what was left."""
        if moved.before is not None and moved.name is None:
            self.left[moved.number] = moved.before
        return moved

    def place(self, branch: str, line: Line | None) -> None:
        if line is None:
            del self.branches[branch]
        else:
            self.branches[branch] = line

    def moved_to(self, saved: tuple[Saved, ...]) -> Line:
        self.moves += 1
        return Line(self.moves, saved)

    @rule(name=names, source=parts, part=parts)
    def fork(self, name: str, source: float, part: float) -> None:
        branch = self.one(source)
        saved = self.branches[branch].saved
        number = pick(part, len(saved))
        if name in self.branches:
            with pytest.raises(errors.BranchExists):
                self.store.fork(KEY, name, at=number, branch=branch)
            return
        if saved[number - 1].id in self.gone:
            with pytest.raises(errors.CheckpointPruned):
                self.store.fork(KEY, name, at=number, branch=branch)
            return
        info = self.store.fork(KEY, name, at=number, branch=branch)
        assert (info.tip.number, info.tip.id) == (number, saved[number - 1].id)
        line = self.moved_to(saved[:number])
        self.made(name, None, line)
        self.branches[name] = line

    @rule(branch=parts, to=parts, part=parts)
    def rollback(self, branch: float, to: float, part: float) -> None:
        name, other = self.one(branch), self.one(to)
        saved = self.branches[other].saved
        number = pick(part, len(saved))
        self.goes_to(
            name,
            saved[:number],
            lambda dry: self.store.rollback(KEY, f"{other}@{number}", branch=name, dry_run=dry),
        )

    @rule(branch=parts, part=parts)
    def rollback_to_any(self, branch: float, part: float) -> None:
        """To a checkpoint of whatever line, by its id: what leads to it comes too."""
        name = self.one(branch)
        wanted = self.ever[pick(part, len(self.ever)) - 1]
        states = {tuple(each.state["log"]): each for each in self.ever}
        log = tuple(wanted.state["log"])
        saved = tuple(states[log[: n + 1]] for n in range(len(log)))
        self.goes_to(
            name, saved, lambda dry: self.store.rollback(KEY, wanted.id, branch=name, dry_run=dry)
        )

    def goes_to(
        self,
        branch: str,
        saved: tuple[Saved, ...],
        move: Callable[[bool], perdure.types.Movement | None],
    ) -> None:
        before = self.branches[branch]
        if saved[-1].id in self.gone:
            with pytest.raises(errors.CheckpointNotFound):
                move(True)
            with pytest.raises(errors.CheckpointNotFound):
                move(False)
            return
        dry = move(True)
        done = move(False)
        if saved[-1] == before.saved[-1]:
            assert dry is done is None
            return
        assert dry is not None
        assert done is not None
        shared = sum(one is two for one, two in zip(before.saved, saved, strict=False))
        assert dry.left in (None, len(before.saved) - shared)
        assert dry.gained in (None, len(saved) - shared)
        assert (done.left, done.gained) == (dry.left, dry.gained)
        after = self.moved_to(saved)
        self.made(branch, before, after)
        self.branches[branch] = after

    @rule(branch=parts, into=parts)
    def promote(self, branch: float, into: float) -> None:
        source, target = self.one(branch), self.one(into)
        new, old = self.branches[source].saved, self.branches[target].saved
        if new[: len(old)] != old:
            with pytest.raises(errors.NotAncestor):
                self.store.promote(KEY, source, into=target)
            return
        self.goes_to(
            target, new, lambda dry: self.store.promote(KEY, source, into=target, dry_run=dry)
        )

    @precondition(lambda self: len(self.branches) > 1)
    @rule(branch=parts, name=names)
    def rename(self, branch: float, name: str) -> None:
        old = self.one(branch, main=False)
        if old == name:
            assert self.store.rename_branch(KEY, old, name) is None
        elif name in self.branches:
            with pytest.raises(errors.BranchExists):
                self.store.rename_branch(KEY, old, name)
        else:
            assert self.store.rename_branch(KEY, old, name) is not None
            line = self.branches[name] = self.branches.pop(old)
            self.moves += 1
            self.made(old, line, line, name)

    @precondition(lambda self: len(self.branches) > 1)
    @rule(branch=parts)
    def delete(self, branch: float) -> None:
        name = self.one(branch, main=False)
        assert self.store.delete_branch(KEY, name) is not None
        self.moves += 1
        self.made(name, self.branches.pop(name), None)

    @precondition(lambda self: self.undo)
    @rule()
    def take_back(self) -> None:
        self.invert(self.undo, self.redo, self.store.undo)

    @precondition(lambda self: self.redo)
    @rule()
    def make_again(self) -> None:
        self.invert(self.redo, self.undo, self.store.redo)

    def invert(
        self, stack: list[Moved], other: list[Moved], move: Callable[..., perdure.types.Movement]
    ) -> None:
        number, branch, before, _, name = stack[-1]
        if before is not None and name is None and number not in self.left:
            with pytest.raises(errors.CheckpointPruned):
                move(KEY)
            return
        stack.pop()
        move(KEY, dry_run=True)
        move(KEY)
        if name is not None:
            line = self.branches[branch] = self.branches.pop(name)
            self.moves += 1
            other.append(Moved(self.moves, name, line, line, branch))
            return
        now = self.branches.get(branch)
        if before is None:
            self.moves += 1
        after = self.moved_to(before.saved) if before is not None else None
        other.append(self.noted(Moved(self.moves, branch, now, after)))
        self.place(branch, after)

    # ---- upkeep ---------------------------------------------------------------------------

    @rule(full=st.booleans())
    def maintain(self, full: bool) -> None:
        steps = maintain.maintain(self.store._site(KEY), full=full)
        self.store._driver.run(steps)

    @rule()
    def reopen(self) -> None:
        if self.url == "sqlite":
            self.store.close()
            self.store, self.held = self.opened(), None

    @invariant()
    def each_branch_is_what_the_model_says(self) -> None:
        told = self.store.branches(KEY)
        assert [each.name for each in told] == sorted(
            self.branches, key=lambda name: (name != "main", name)
        )
        for each in told:
            saved = self.branches[each.name].saved
            assert (each.tip.number, each.tip.id) == (len(saved), saved[-1].id)
            history = self.store.history(KEY, branch=each.name)
            kept = [one for one in saved if one.id not in self.gone]
            assert [one.id for one in reversed(history)] == [one.id for one in kept]
            assert self.store.at(KEY, each.name).plain() == saved[-1].state
            older = kept[len(self.ever) % len(kept)]
            assert self.store.at(KEY, older.id).plain() == older.state


class OnMemory(Branches):
    url = "memory:"


class OnObjects(Branches):
    url = "memory+objects:"


fewer = settings(max_examples=20, stateful_step_count=25)
TestOnSqlite = Branches.TestCase
TestOnSqlite.settings = fewer
TestOnMemory = OnMemory.TestCase
TestOnMemory.settings = fewer
TestOnObjects = OnObjects.TestCase
TestOnObjects.settings = fewer
