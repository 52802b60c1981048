"""Whatever is pruned, what a plain list of states says is kept is there, and nothing else (P7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from tests.property.test_branches_machine import KEY, Branches, Saved, parts, pick

import perdure
from perdure import Retention, errors
from perdure.core.journal import JOURNAL_LINE
from perdure.core.retention import Seen, kept_numbers, runs_of
from perdure.engine import maintain
from perdure.engine.read import read_head
from perdure.engine.requests import ListRows

HOUR, AGES = timedelta(hours=1), timedelta(days=400)

policies = st.builds(
    Retention,
    keep_last=st.sampled_from([None, 1, 1, 2, 3]),
    # All are younger than a day, and none is younger than nothing.
    max_age=st.sampled_from([None, None, timedelta(0), HOUR * 24]),
    keep_labels=st.sampled_from([True, False, ["x"]]),
    # Periods are so long, or so short, that it makes no difference when it is looked.
    thin=st.sampled_from([None, None, [(timedelta(0), 2000 * AGES)]]),
    keep_left=st.sampled_from([timedelta(0), AGES]),
)


class Pruning(Branches):
    """A store and a plain model of its branches, of which some checkpoints are gone."""

    copies = 0

    def __init__(self) -> None:
        super().__init__()
        with self.store.open(KEY) as session:
            for _ in range(8):
                self.edit(session, "main")

    # ---- pruning --------------------------------------------------------------------------

    def there(self, saved: tuple[Saved, ...]) -> dict[int, Saved]:
        """Of the checkpoints that led to one, by number, those that are there."""
        return {n: each for n, each in enumerate(saved, 1) if each.id not in self.gone}

    def kept(self, policy: Retention) -> set[str]:
        """The ids of what a policy keeps: of each branch, and of what each left."""
        owners = [line.saved for line in self.branches.values()]
        if policy.keep_left:
            owners += [line.saved for line in self.left.values()]
        kept = set[str]()
        now_us = 1 + max(each.time_us for each in self.ever)
        for saved in owners:
            there = self.there(saved)
            seen = [Seen(n, each.time_us, each.label) for n, each in there.items()]
            kept |= {there[n].id for n in kept_numbers(policy, seen, now_us)}
        if len(self.branches) > 1:  # where each began, so that they can be merged
            began = {line.saved[line.began - 1].id for line in self.branches.values() if line.began}
            kept |= began - self.gone
        return kept

    @rule(policy=policies, is_dry=st.booleans())
    def prune(self, policy: Retention, is_dry: bool) -> None:
        before = {each.id for each in self.ever} - self.gone
        kept = self.kept(policy)
        lost = {n for n, line in self.left.items() if line.saved[-1].id not in kept}
        final = () if policy.keep_left else tuple(sorted(lost))
        (dry,) = self.store.prune(policy, KEY, dry_run=True)
        self.check_told(dry, before, kept, final)
        if is_dry:
            return
        (told,) = self.store.prune(policy, KEY)
        self.check_told(told, before, kept, final)
        assert told.bytes == dry.bytes
        is_made = before != kept or bool(final)
        assert (told.receipt is not None) == is_made
        if is_made:
            self.moves += 1
            assert told.receipt == self.moves
            self.gone |= before - kept
            if not policy.keep_left:
                self.left = {n: line for n, line in self.left.items() if n not in lost}
        again = self.store.prune(policy, KEY, dry_run=True)[0]
        assert (again.removed, again.final) == (0, ())

    def check_told(
        self, told: perdure.reports.Pruned, before: set[str], kept: set[str], final: tuple[int, ...]
    ) -> None:
        assert told.removed == len(before - kept)
        assert told.final == final
        on_branches = {each.id for line in self.branches.values() for each in line.saved}
        assert told.left == len(before - kept - on_branches)
        by_name = {each.branch: each for each in told.branches}
        assert by_name.keys() == self.branches.keys()
        for name, line in self.branches.items():
            there = self.there(line.saved)
            stay = {number for number, each in there.items() if each.id in kept}
            one = by_name[name]
            assert (one.kept, one.removed) == (len(stay), len(there) - len(stay))
            assert one.runs == tuple(reversed(runs_of(stay)))

    # ---- what pruning must not harm ---------------------------------------------------------

    @rule(branch=parts, part=parts)
    def look(self, branch: float, part: float) -> None:
        """Every checkpoint reads as before, or is told to be pruned."""
        name = self.one(branch)
        saved = self.branches[name].saved
        number = pick(part, len(saved))
        each = saved[number - 1]
        if each.id not in self.gone:
            assert self.store.at(KEY, f"{name}@{number}").plain() == each.state
            return
        with pytest.raises(errors.CheckpointPruned, match="was pruned"):
            self.store.at(KEY, f"{name}@{number}")
        with pytest.raises(errors.CheckpointNotFound):
            self.store.at(KEY, each.id)

    @rule(branches=st.tuples(parts, parts), at=st.tuples(parts, parts))
    def compare(self, branches: tuple[float, float], at: tuple[float, float]) -> None:
        """Any two checkpoints that there are can be compared."""
        names = [self.one(branch) for branch in branches]
        sides = list[tuple[str, dict[str, Any]]]()
        for name, part in zip(names, at, strict=True):
            there = self.there(self.branches[name].saved)
            number = sorted(there)[pick(part, len(there)) - 1]
            sides.append((f"{name}@{number}", there[number].state))
        (one, old), (other, new) = sides
        found = self.store.diff(KEY, one, other)
        changed = {str(each.path[0]) for each in found if each.path}  # order has no path
        names_of_both = old.keys() | new.keys()
        assert changed == {name for name in names_of_both if old.get(name) != new.get(name)}

    @rule(source=parts, into=parts)
    def merge(self, source: float, into: float) -> None:
        """A merge goes from where branches were one, or is refused."""
        theirs, ours = self.one(source), self.one(into)
        if theirs == ours:
            return
        new, old = self.branches[theirs].saved, self.branches[ours].saved
        common = sum(one is two for one, two in zip(new, old, strict=False))
        try:
            told = self.store.merge(KEY, theirs, into=ours, dry_run=True)
        except errors.CheckpointPruned:
            assert self.gone  # the checkpoint at which they were one, or the lines down to it
            return
        if told is None:
            assert len(new) == common
            return
        assert told.base == common
        assert not common or new[common - 1].id not in self.gone

    @rule(branch=parts, part=parts)
    def copy(self, branch: float, part: float) -> None:
        """A copy has the newest run up to there, and is a state of its own."""
        name = self.one(branch)
        there = self.there(self.branches[name].saved)
        number = sorted(there)[pick(part, len(there)) - 1]
        self.copies += 1
        key = f"copy {self.copies}"
        self.store.copy(KEY, key, at=f"{name}@{number}")
        (run,) = [run for run in runs_of(there) if run[0] <= number <= run[1]]
        history = [each.number for each in self.store.history(key)]
        assert history == list(range(number, run[0] - 1, -1))
        for each in history:
            assert self.store.at(key, each).plain() == there[each].state
        (found,) = self.store.verify(key)
        assert (found.problem, found.unreferenced) == (None, ())
        with self.store.open(key) as session:
            session.state["more"] = 1
        assert self.store.history(key)[0].number == number + 1

    # ---- what is left of it ------------------------------------------------------------------

    @rule()
    def clean(self) -> None:
        """After maintenance there is what is kept, and nothing else."""
        self.store._driver.run(maintain.maintain(self.store._site(KEY), full=True))
        (found,) = [each for each in self.store.verify() if each.key == KEY]
        assert found.problem is None
        assert not found.unreferenced
        head = self.store._driver.run(read_head(self.store._site(KEY)))
        count = 0
        for line in range(head.lines):
            asked = ListRows(head.incarnation, line, 1, 2**62, 10_000)
            rows = self.store._driver.backend.perform(asked)
            count += sum(row[1] for row in rows)
        assert head.lines < JOURNAL_LINE
        assert count == len(self.ever) - len(self.gone)

    @invariant()
    def it_verifies(self) -> None:
        if self.gone:
            assert {each.problem for each in self.store.verify()} == {None}


class PruningOnMemory(Pruning):
    url = "memory:"


class PruningOnObjects(Pruning):
    url = "memory+objects:"


fewer = settings(max_examples=20, stateful_step_count=30)
TestPruningOnSqlite = Pruning.TestCase
TestPruningOnSqlite.settings = fewer
TestPruningOnMemory = PruningOnMemory.TestCase
TestPruningOnMemory.settings = fewer
TestPruningOnObjects = PruningOnObjects.TestCase
TestPruningOnObjects.settings = fewer
