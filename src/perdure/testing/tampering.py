"""What can be done to a store behind its back, on every table of its file, and what it says then.

Each tampering is done to a copy of a small store, which is then read by every road. It must never
give a wrong value. Those that need no key to be met (`needs_key` is False) are what accidents look
like, and every store meets them; the others are what somebody does who knows the format, and only a
store with a key can know them.

Example:
    >>> from pathlib import Path
    >>> from perdure import Store
    >>> met = check_tamperings(lambda path: Store(path), Path("scratch"), keyed=False)
    >>> met["records: a row emptied"]
    'refused'
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import apsw

from perdure import limits
from perdure.errors import CheckpointNotFound, Damaged, NeedsPerson, StateNotFound, Tampered
from perdure.store import Store
from perdure.testing.tamperings import TAMPERINGS, Scene, Tampering

Make: TypeAlias = Callable[[Path], Store]
"""Opens the store at a path, making it if it is not there."""

KEYS = ("a", "b")


def check_tamperings(make: Make, directory: Path, *, keyed: bool) -> dict[str, str]:
    """Do each tampering to a copy of a store, and read all of it; what came of each, by its name.

    `"refused"`: reading the state raised what needs a person; `"not there"`: the state is not
    found, and `verify` or `unreferenced` tell of what is left; `"gone around"`: every value was
    right all the same, and `verify` tells of it; `"harmless"`: every value was right. What is
    refused has to be told as `Damaged`, in a store with a key as `Tampered`, with its form and its
    place.

    Args:
        make: opens a store at a path, making it if it is not there; with its key, if it has one.
        directory: an empty one to work in.
        keyed: whether the store has a key: then every tampering has to be met.

    Raises:
        AssertionError: a wrong value was given, or a tampering was not met.
    """
    made = _Made(make, directory, keyed=keyed)
    met: dict[str, str] = {}
    for tampering in TAMPERINGS:
        if tampering.needs_key and not keyed:
            continue
        met[tampering.name] = made.outcome(tampering)
        if met[tampering.name] == "harmless":
            raise AssertionError(f"{tampering.name}: nobody told of it")
    return met


def told_forms(
    make: Make, directory: Path, names: Iterable[str], *, keyed: bool
) -> dict[str, list[Damaged]]:
    """What is raised on each road of reading after each of these tamperings, by its name."""
    made = _Made(make, directory, keyed=keyed)
    wanted = set(names)
    found: dict[str, list[Damaged]] = {}
    for tampering in TAMPERINGS:
        if tampering.name in wanted:
            made.outcome(tampering)
            found[tampering.name] = [each for each in made.refused if isinstance(each, Damaged)]
    return found


class _Made:
    """A store to be tampered with, and what it holds."""

    def __init__(self, make: Make, directory: Path, *, keyed: bool) -> None:
        self._make, self._told_as = make, Tampered if keyed else Damaged
        self._path, self._older = directory / "store.db", directory / "older.db"
        self._copy = directory / "copy.db"
        self._states: dict[str, list[dict[str, Any]]] = {}
        with make(self._path) as store:
            for key in KEYS:
                self._states[key] = [{}, *self._saved(store, key, 2 * limits.tail_records_max)]
                store.maintain(key)
            self._states["a"] += self._saved(store, "a", 4)
            store.backup(self._older)
            self._states["a"] += self._saved(store, "a", 4)
            self._effects = [each.key for each in store.effects("a")]
            self._scene: dict[str, Any] = {
                "older": self._older,
                "store": bytes(store._driver.store_id),
                "tip": len(self._states["a"]) - 1,
            }

    def _saved(self, store: Store, key: str, saves: int) -> Iterator[dict[str, Any]]:
        with store.open(key) as session:
            for n in range(saves):
                session.state["n"] = n
                session.state.setdefault("messages", []).append(f"{key} {n} " * 9)
                session.save()
                yield session.state.plain()

    def outcome(self, tampering: Tampering) -> str:
        """Tamper with a copy, and read it."""
        shutil.copy(self._path, self._copy)
        try:
            base = apsw.Connection(str(self._copy), flags=apsw.SQLITE_OPEN_READWRITE)
            heads = dict(base.execute("SELECT CAST(key AS TEXT), incarnation FROM heads"))
            tampering.apply(Scene(base=base, a=heads["a"], b=heads["b"], **self._scene))
            base.close()
            with self._make(self._copy) as store:
                return self._read(store, tampering.name)
        finally:
            for each in self._copy.parent.glob(f"{self._copy.name}*"):
                each.unlink()

    def _read(self, store: Store, name: str) -> str:
        refused = self.refused = list[NeedsPerson]()
        missing = 0
        for key in KEYS:
            for road in (self._newest, self._each, self._history, self._all_effects):
                try:
                    road(store, key, name)
                except (StateNotFound, CheckpointNotFound):
                    missing += 1
                except NeedsPerson as error:
                    refused.append(error)
        if refused:
            told = [each for each in refused if isinstance(each, self._told_as)]
            assert any(each.form and each.place for each in told), f"{name}: told as {refused!r}"
            return "refused"
        with suppress(NeedsPerson):
            is_told = bool(store.unreferenced()) or not all(each.ok for each in store.verify())
            if not is_told:
                return "harmless"
        return "not there" if missing else "gone around"

    def _newest(self, store: Store, key: str, name: str) -> None:
        with store.open(key, must_exist=True) as session:
            right = self._states[key][-1]
            assert session.state.plain() == right, f"{name}: {key} has a wrong value"

    def _each(self, store: Store, key: str, name: str) -> None:
        states = self._states[key]
        for number in (1, len(states) // 2, len(states) - 2):
            found = store.at(key, number).plain()
            assert found == states[number], f"{name}: {key} at {number} has a wrong value"

    def _history(self, store: Store, key: str, name: str) -> None:
        numbers = [each.number for each in store.history(key)]
        wanted = list(range(len(self._states[key]) - 1, 0, -1))
        # One that ends early is what an older head tells; to open the state is refused then.
        assert numbers == wanted[-len(numbers) :], f"{name}: {key} has a wrong history"
        if numbers != wanted:
            raise CheckpointNotFound(f"{wanted[0]} is not in the history of {key}")

    def _all_effects(self, store: Store, key: str, name: str) -> None:
        found = [each.key for each in store.effects(key)]
        assert key != "a" or found == self._effects, f"{name}: an effect is not there any more"
