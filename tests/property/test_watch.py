"""A watch against a model: every checkpoint that ever came on the branch, once, in that order.

The model asks for the whole history after each step, which a watcher never does, and notes what it
had not met before. The watcher looks now and then, and is begun again from its cursor.
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure import Store, limits
from perdure.backends.memory import MemoryBackend
from perdure.backends.objects import ObjectBackend
from perdure.errors import Conflict, NotAncestor, StateNotFound, UsageError

KEYS = st.sampled_from(["s/1", "s/2", "s/3"])
BRANCHES = st.sampled_from(["main", "try"])
PREFIX = "s/*"


class Watching(RuleBasedStateMachine):
    """States that are saved to, moved about, deleted and made anew, under one watcher."""

    backend: type[MemoryBackend | ObjectBackend] = MemoryBackend
    piece_bytes = limits.watch_bytes_max

    def __init__(self) -> None:
        super().__init__()
        self.kept = limits.watch_bytes_max
        limits.watch_bytes_max = self.piece_bytes
        self.store = Store(self.backend(), maintenance="off")
        self.watch = self.store.watch(PREFIX, timeout=0)
        self.came: dict[tuple[str, int], list[str]] = {}
        """By key and number of its life, ids in the order in which they came on `main`."""
        self.found: dict[str, list[str]] = {}

    def teardown(self) -> None:
        self.look_at_all()
        limits.watch_bytes_max = self.kept
        self.store.close()

    def note(self, key: str) -> None:
        """What is on `main` now and was not before, in its order."""
        try:
            history = self.store.history(key)
            life = self.store.info(key).life
        except StateNotFound:
            return
        came = self.came.setdefault((key, life), [])
        came += [each.id for each in reversed(history) if each.id not in came]

    @rule(key=KEYS, branch=BRANCHES, count=st.integers(1, 3))
    def save(self, key: str, branch: str, count: int) -> None:
        try:
            session = self.store.open(key, branch=branch)
        except (StateNotFound, UsageError):
            return
        for _ in range(count):
            session.state.setdefault("items", []).append(len(session.state["items"]))
            session.save()
        self.note(key)

    @rule(key=KEYS, at=st.integers(1, 6))
    def fork(self, key: str, at: int) -> None:
        self.moved(key, lambda: self.store.fork(key, "try", at=at))

    @rule(key=KEYS, to=st.integers(1, 6), branch=BRANCHES)
    def rollback(self, key: str, to: int, branch: str) -> None:
        self.moved(key, lambda: self.store.rollback(key, to=to, branch=branch))

    @rule(key=KEYS)
    def promote(self, key: str) -> None:
        self.moved(key, lambda: self.store.promote(key, "try"))

    @rule(key=KEYS)
    def undo(self, key: str) -> None:
        self.moved(key, lambda: self.store.undo(key))

    @rule(key=KEYS)
    def redo(self, key: str) -> None:
        self.moved(key, lambda: self.store.redo(key))

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.moved(key, lambda: self.store.delete(key))

    @rule(key=KEYS, life=st.integers(1, 3))
    def undelete(self, key: str, life: int) -> None:
        self.moved(key, lambda: self.store.undelete(key, life=life))

    @rule(key=KEYS)
    def maintain(self, key: str) -> None:
        self.moved(key, lambda: self.store.maintain(key))

    def moved(self, key: str, move: Any) -> None:
        try:
            move()
        except (StateNotFound, UsageError, NotAncestor, Conflict):
            return
        self.note(key)

    @rule(count=st.integers(1, 5))
    def take(self, count: int) -> None:
        for landed in self.watch:
            self.took(landed.checkpoint)
            count -= 1
            if not count:
                break

    @rule()
    def begin_again(self) -> None:
        self.watch.close()
        self.watch = self.store.watch(PREFIX, cursor=self.watch.cursor, timeout=0)

    @precondition(lambda self: self.came)
    @rule()
    def look_at_all(self) -> None:
        for landed in self.watch:
            self.took(landed.checkpoint)
        for (key, life), came in self.came.items():
            assert self.found_of(key, life) == came, (key, life)

    def found_of(self, key: str, life: int) -> list[str]:
        """Of one life, in the order in which they were given."""
        came = set(self.came[key, life])
        return [each for each in self.found.get(key, []) if each in came]

    def took(self, checkpoint: Any) -> None:
        self.found.setdefault(checkpoint.key, []).append(checkpoint.id)

    @invariant()
    def in_order_and_nothing_that_never_came(self) -> None:
        for key, life in self.came:
            found = self.found_of(key, life)
            assert found == self.came[key, life][: len(found)], (key, life)
        every = {each for came in self.came.values() for each in came}
        assert {each for found in self.found.values() for each in found} <= every


class OnObjects(Watching):
    backend = ObjectBackend
    piece_bytes = 1


TestWatching = Watching.TestCase
TestWatchingOnObjects = OnObjects.TestCase
