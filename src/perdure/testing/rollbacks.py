"""Older copies put back into a store, and whether its anchor knows.

All of the bytes are genuine, so a store alone takes them, with a key too; `check_rollbacks` proves
that as well, or it would prove nothing of the anchor.

Example:
    >>> from pathlib import Path
    >>> from perdure import Store
    >>> met = check_rollbacks(lambda path, anchor: Store(path, anchor=anchor), Path("scratch"))
    >>> met["state: an older version"]
    'older'
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import apsw
import msgspec

from perdure.errors import PerdureError, Tampered
from perdure.store import Store

Make: TypeAlias = Callable[[Path, Path | None], Store]
"""Opens the store at a path with the anchor at another, or with none."""

_TABLES = ("heads", "records", "pages")
_OLD, _NEW = 3, 6
"""How often the state `a` was saved when the older copy was made, and in the end."""


class Files(msgspec.Struct, frozen=True):
    """A copy of a store that is about to be rolled back."""

    make: Make
    store: Path
    older: Path
    """The same store as it was a while before."""
    other: Path
    """Another store, with states of the same names."""
    incarnation: bytes
    """That of the state `a`."""


class Rollback(msgspec.Struct, frozen=True):
    """One way to put back what was."""

    name: str
    apply: Callable[[Files], None]
    form: str
    """How the anchor tells of it."""
    left: int | None
    """What a store without an anchor then takes for the newest `n` of `a`; None: it has no `a`."""
    is_whole: bool = False
    """Whether the whole store is refused, not the one state."""


def check_rollbacks(make: Make, directory: Path) -> dict[str, str]:
    """Do each rollback to a copy of a store; the form in which it was told, by its name.

    Args:
        make: opens a store at a path with an anchor at another, or with none (the second is None).
        directory: an empty one to work in.

    Raises:
        AssertionError: a rollback was not told on some road of reading, or was told wrongly, or
            another state was touched by it, or a store without an anchor did not take it.
    """
    store, anchor, older, other = (
        directory / name for name in ("store.db", "store.anchor", "older.db", "other.db")
    )
    _fill(make, store, anchor, 0, _OLD)
    shutil.copy(store, older)
    _fill(make, store, anchor, _OLD, _NEW)
    _fill(make, other, None, 0, _OLD)
    copy = Files(make, directory / "copy.db", older, other, _life_of_a(store))
    met: dict[str, str] = {}
    for rollback in ROLLBACKS:
        shutil.copy(store, copy.store)
        shutil.copy(anchor, directory / "copy.anchor")
        rollback.apply(copy)
        with make(copy.store, directory / "copy.anchor") as opened:
            met[rollback.name] = _told(opened, rollback)
        _taken(copy, rollback)
        for each in directory.glob("copy.*"):
            each.unlink()
    return met


def _fill(make: Make, path: Path, anchor: Path | None, first: int, last: int) -> None:
    """Save `a` some times, and `b` at the very first."""
    with make(path, anchor) as store:
        for key in ("b", "a") if first == 0 else ("a",):
            with store.open(key) as session:
                for n in range(first, last):
                    session.state["n"] = n
                    session.state.setdefault("said", []).append(f"{n} of {key}")
                    session.save()


def _life_of_a(path: Path) -> bytes:
    base = apsw.Connection(str(path))
    found = dict(base.execute("SELECT CAST(key AS TEXT), incarnation FROM heads"))
    base.close()
    life: bytes = found["a"]
    return life


def _told(store: Store, rollback: Rollback) -> str:
    """Read by every road; each has to tell of it in its form."""
    name = rollback.name
    roads: list[Callable[[str], object]] = [
        store.info,
        store.history,
        store.effects,
        lambda key: store.at(key, "main").plain(),
        store.open,
    ]
    for road in roads:
        for key in ("a", "b") if rollback.is_whole else ("a",):
            error = _tampered(road, key, name)
            assert error.form == rollback.form, f"{name}: told as {error.form}: {error}"
            assert error.place, f"{name}: no place: {error}"
    if not rollback.is_whole:
        assert store.at("b", "main")["n"] == _OLD - 1, f"{name}: another state was touched"
        bad = [each.key for each in store.verify() if not each.ok]
        assert bad == ["a"], f"{name}: verify tells of {bad}"
    return rollback.form


def _tampered(road: Callable[[str], object], key: str, name: str) -> Tampered:
    try:
        found = road(key)
    except Tampered as error:
        return error
    raise AssertionError(f"{name}: nobody told of it, and {key} gave {found!r}")


def _taken(files: Files, rollback: Rollback) -> None:
    """That a store without an anchor takes it: nothing else was wrong with the bytes."""
    with files.make(files.store, None) as store:
        found = {each.key for each in store.states()}
        left = store.at("a", "main")["n"] if "a" in found else None
        assert left == rollback.left, f"{rollback.name}: without an anchor it gives {left}"
        try:
            is_right = all(each.ok for each in store.verify())
        except PerdureError as error:
            raise AssertionError(f"{rollback.name}: more is wrong than its age") from error
        assert is_right, f"{rollback.name}: more is wrong than its age"


# ---- rollbacks ------------------------------------------------------------------------------


def _put(files: Files, source: Path) -> None:
    _remove(files)
    shutil.copy(source, files.store)


def _remove(files: Files) -> None:
    for each in files.store.parent.glob(f"{files.store.name}*"):
        each.unlink()


def _rows(files: Files, source: Path | None) -> None:
    """Put the rows of one state in the place of what is there, of every table; None: no rows."""
    base = apsw.Connection(str(files.store))
    if source is not None:
        base.execute("ATTACH ? AS source", (str(source),))
    with base:
        for table in _TABLES:
            base.execute(f"DELETE FROM main.{table} WHERE incarnation = ?", (files.incarnation,))
            if source is not None:
                base.execute(
                    f"INSERT INTO main.{table} SELECT * FROM source.{table} WHERE incarnation = ?",
                    (files.incarnation,),
                )
    base.close()


def _gone_on(files: Files, last: int) -> None:
    """Put the older store back, and go on from it without the anchor."""
    _put(files, files.older)
    _fill(files.make, files.store, None, _OLD, last)


ROLLBACKS: tuple[Rollback, ...] = (
    Rollback("store: an older copy", lambda files: _put(files, files.older), "older", _OLD - 1),
    Rollback("store: taken away", _remove, "missing", None, is_whole=True),
    Rollback("store: another one", lambda files: _put(files, files.other), "moved", _OLD - 1, True),
    Rollback(
        "store: an older copy that went on as far",
        lambda files: _gone_on(files, _NEW),
        "replaced",
        _NEW - 1,
    ),
    Rollback(
        "store: an older copy that went on further",
        lambda files: _gone_on(files, _NEW + 2),
        "replaced",
        _NEW + 1,
    ),
    Rollback("state: an older version", lambda files: _rows(files, files.older), "older", _OLD - 1),
    Rollback("state: taken away", lambda files: _rows(files, None), "missing", None),
)
"""All of them, in the order in which `check_rollbacks` does them."""
