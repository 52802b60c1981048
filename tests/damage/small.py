"""A small store to be damaged in every way there is, and the judge of what it then says (P5).

Whatever was done to its bytes, it gives what was saved, or refuses with an error of ours. `OPTIONS`
are the kinds of stores; another kind is another entry.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import apsw

import perdure
from perdure import errors
from perdure.testing.sim_stores import small_world

OPTIONS: dict[str, dict[str, Any]] = {"plain": {}, "keyed": {"key": bytes(range(32))}}
"""By kind of store, the options it is opened with."""

KEYS = ("a", "b")
SAVES = 6
SHARE = 1 if os.environ.get("PERDURE_FLIPS") == "all" else int(os.environ.get("PERDURE_FLIPS", "4"))
"""Of so many bytes one is damaged; `PERDURE_FLIPS=all`: each."""


class Small:
    """The bytes of a small store, and what it holds at each checkpoint."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.states: dict[str, list[dict[str, Any]]] = {}
        self.outcomes: Counter[str] = Counter()
        self.path = Path(mkdtemp(dir=_where())) / "small.db"
        with small_world(), self.opened(self.path) as store:
            for key in KEYS:
                self.states[key] = self._filled(store, key)
            store.maintain("a")
            self.states["a"] += self._filled(store, "a", 2)[-2:]
        self.bytes = in_small_pages(self.path)

    def opened(self, path: Path, **options: Any) -> perdure.Store:
        return perdure.Store(path, maintenance="off", **self.options, **options)

    def _filled(self, store: perdure.Store, key: str, saves: int = SAVES) -> list[dict[str, Any]]:
        states: list[dict[str, Any]] = [{}]
        with store.open(key) as session:
            for n in range(saves):
                session.state["n"] = f"{key} {n} of {saves}"
                session.state.setdefault("messages", []).append(f"message {n} of {key}")
                session.save()
                states.append(session.state.plain())
        return states

    @contextmanager
    def copy(self, content: bytes | bytearray | None = None) -> Iterator[Path]:
        """A store of these bytes, for as long as the block takes."""
        path = self.path.with_name("copy.db")
        path.write_bytes(self.bytes if content is None else content)
        try:
            yield path
        finally:
            for each in path.parent.glob("copy.db*"):
                each.unlink()

    def judge(self, path: Path) -> None:
        """Read everything there; a wrong value, or an error that is not ours, ends the test."""
        with self.opened(path, read_only=True) as store:
            for key in KEYS:
                self.outcomes[self._outcome(store, key)] += 1

    def _outcome(self, store: perdure.Store, key: str) -> str:
        newest = len(self.states[key]) - 1
        try:
            number = store.info(key).number
            found = store.at(key, number).plain()
        except errors.StateNotFound:
            assert _is_traced(store), f"{key} is gone, and nothing tells of it"
            return "not there"
        except errors.PerdureError as error:
            return error.kind
        assert number == newest, f"{key}: checkpoint {number} in place of {newest}"
        assert found == self.states[key][newest], key
        return "right"

    def close(self) -> None:
        shutil.rmtree(self.path.parent)

    def told(self) -> str:
        """How often each outcome was met."""
        return ", ".join(f"{count:,} {what}" for what, count in sorted(self.outcomes.items()))


def _is_traced(store: perdure.Store) -> bool:
    """Whether a store in which a state is not found says that something is wrong."""
    try:
        return not all(each.ok for each in store.verify()) or bool(store.unreferenced())
    except errors.NeedsPerson:
        return True


def _where() -> str | None:
    """In memory, where that is: thousands of files are written."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def in_small_pages(path: Path) -> bytes:
    """The bytes of a database, with the smallest pages there are: little of it is empty then."""
    connection = apsw.Connection(str(path))
    for pragma in ("journal_mode = DELETE", "page_size = 512"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    connection.execute("VACUUM")
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.close()
    return path.read_bytes()
