"""Random migrations between versions, declared by random releases: no migration changes what older
code sees, and what it writes it reads, whichever way a state takes."""

from __future__ import annotations

from dataclasses import make_dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.evolution import newest

import perdure
from perdure.core.lens import Lens
from perdure.core.versions import SECTION
from perdure.lenses import add, remove, rename, wrap
from perdure.schemas.stamp import stamps_in

VERSIONS = range(1, 6)
FACTS = ("topic", "notes", "plan")
TEXTS = st.text("ab", max_size=2)
Steps = frozenset[tuple[int, int]]

FORMS: dict[int, dict[str, str]] = {
    1: {"topic": "topic", "notes": "notes", "plan": "plan"},
    2: {"topic": "topic", "plan": "plan"},
    3: {"topic": "subject", "notes": "notes", "plan": "aim"},
    4: {"topic": "subject", "plan": "aim"},
    5: {"topic": "title", "notes": "remarks"},
}
"""What each version calls each fact; one that is not there it has no field for."""
LISTED = {("plan", 4)}
"""Facts that are lists from a version on."""


def is_listed(fact: str, version: int) -> bool:
    return any(fact == one and version >= first for one, first in LISTED)


def lenses_of(older: int, newer: int) -> list[Lens]:
    """What leads from one version to another, as whoever declares it would write it."""
    before, after = FORMS[older], FORMS[newer]
    found: list[Lens] = []
    for fact in FACTS:
        was, now = before.get(fact), after.get(fact)
        if was is not None and now is None:
            found.append(remove(was, default=[] if is_listed(fact, older) else ""))
        elif was is None and now is not None:
            found.append(add(now, [] if is_listed(fact, newer) else ""))
        elif was is not None and now is not None:
            found += [rename(was, now)] if was != now else []
            found += [wrap(now)] if is_listed(fact, newer) > is_listed(fact, older) else []
    return found


_made: dict[tuple[int, Steps], Any] = {}


def release(version: int, steps: Steps) -> Any:
    """The class of a version, in a release that declares these steps."""
    steps = frozenset(step for step in steps if step[1] <= version)
    if (version, steps) not in _made:
        named = ((name, is_listed(fact, version)) for fact, name in FORMS[version].items())
        fields: list[Any] = [(name, list[str] if listed else str) for name, listed in named]
        made = make_dataclass("Diary", fields)
        perdure.schema("Diary", version=version)(made)
        for older, newer in sorted(steps):
            perdure.migration(made, older, newer, lenses_of(older, newer))
        _made[version, steps] = made
    return _made[version, steps]


def step_sets() -> st.SearchStrategy[Steps]:
    """Steps between versions: each leads on to the next, and some past that."""
    everyone = [(older, newer) for older in VERSIONS for newer in VERSIONS if older < newer]
    nexts = frozenset((older, older + 1) for older in VERSIONS[:-1])
    return st.frozensets(st.sampled_from(everyone)).map(lambda found: found | nexts)


class Ways(RuleBasedStateMachine):
    """Releases of all versions on the branches of one state."""

    @initialize(version=st.sampled_from(VERSIONS), steps=step_sets())
    def begin(self, version: int, steps: Steps) -> None:
        self.store = perdure.Store("memory:", maintenance="off")
        self.branch, self.forks = "main", 0
        self._write(version, steps, dict.fromkeys(FACTS, "at first"))

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    def _version(self) -> int:
        section = self.store.at("a", self.branch).plain()[SECTION]
        return stamps_in(section)["Diary"].version

    def _views(self) -> dict[int, Any]:
        """What each version sees of the branch, as far as a way leads back to it."""
        stamp = stamps_in(self.store.at("a", self.branch).plain()[SECTION])["Diary"]
        found = {}
        for version in VERSIONS:
            if version <= stamp.version and stamp.back_to(version) is not None:
                view = self.store.at("a", self.branch, schema=release(version, frozenset()))
                held = view.plain()
                found[version] = {name: held.get(name) for name in FORMS[version].values()}
        return found

    def _write(self, version: int, steps: Steps, facts: dict[str, str]) -> None:
        with self.store.open("a", schema=release(version, steps), branch=self.branch) as session:
            for fact, name in FORMS[version].items():
                is_list = is_listed(fact, version)
                setattr(session.state, name, [facts[fact]] if is_list else facts[fact])
        view = self._views()[version]
        for fact, name in FORMS[version].items():
            assert view[name] == ([facts[fact]] if is_listed(fact, version) else facts[fact])

    @rule(
        version=st.sampled_from(VERSIONS),
        steps=step_sets(),
        texts=st.tuples(TEXTS, TEXTS, TEXTS),
    )
    def code_writes(self, version: int, steps: Steps, texts: tuple[str, str, str]) -> None:
        if version in self._views() or version > self._version():
            self.code_migrates(max(version, self._version()), steps)
            self._write(version, steps, dict(zip(FACTS, texts)))

    @rule(version=st.sampled_from(VERSIONS), steps=step_sets())
    def code_migrates(self, version: int, steps: Steps) -> None:
        before = self._views()
        if version < self._version():
            return
        with self.store.open("a", schema=release(version, steps), branch=self.branch) as session:
            session.raw["saved"] = len(self.store.history("a", branch=self.branch))
        self._unchanged_since(before)

    @rule(version=st.sampled_from(VERSIONS), steps=step_sets())
    def a_fleet_migrates(self, version: int, steps: Steps) -> None:
        before = self._views()
        if version < self._version():
            return
        run = self.store.migrate("", release(version, steps)).run
        self._unchanged_since(before)
        if run and len(self.store.branches("a")) > 2:
            self.store.unmigrate(run)
            assert self._views() == before

    def _unchanged_since(self, before: dict[int, Any]) -> None:
        after = self._views()
        assert {version: after[version] for version in before} == before

    @rule(version=st.sampled_from(VERSIONS), steps=step_sets())
    def a_fork_is_migrated_and_given_up(self, version: int, steps: Steps) -> None:
        before, parent = self._views(), self.branch
        self.forks += 1
        self.branch = f"b{self.forks}"
        self.store.fork("a", self.branch, at=parent)
        self.code_migrates(version, steps)
        if self.forks % 2:
            self.branch = parent
            assert self._views() == before

    @invariant()
    def one_way_leads_from_each_version(self) -> None:
        if hasattr(self, "store"):
            steps = newest(self.store)[SECTION]["Diary"]["steps"]
            assert len({step[0] for step in steps}) == len(steps)


TestWays = Ways.TestCase
TestWays.settings = settings(max_examples=30, stateful_step_count=20)  # each step reads all views
