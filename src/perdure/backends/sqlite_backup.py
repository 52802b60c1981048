"""A copy of a SQLite store, taken while others write to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import apsw

from perdure.backends import sqlite_files
from perdure.errors import Damaged, PerdureError, StorageFull, StoreUnavailable, UsageError
from perdure.newfile import give_name, partial_name, require_place

PAGES_PER_STEP = 256


def back_up(
    source: apsw.Connection,
    target: Path,
    progress: Callable[[int, int], None] | None,
    outside: Callable[[], AbstractContextManager[None]],
) -> None:
    """Copy `source` to `target` under a name of its own, and give it its name when it is whole.

    `outside` is entered between two steps, for the process to be forked meanwhile.
    """
    require_place(target)
    target = target.absolute()
    _require_apart(source, target)
    if target.exists():
        raise _taken(target)
    sqlite_files.check_place(str(target), allow_network=True)
    partial = partial_name(target)
    try:
        sqlite_files.make_file(str(partial))
        try:
            _copy(source, partial, progress, outside)
            _check(partial, target)
        except (apsw.FullError, apsw.IOError, apsw.CantOpenError) as error:
            raise unwritten(error, target) from error
        give_name(partial, target)
    except FileExistsError as error:
        raise _taken(target) from error
    finally:
        for suffix in (*sqlite_files.FILES, "-journal"):
            with suppress(FileNotFoundError):
                os.unlink(f"{partial}{suffix}")


def unwritten(error: apsw.Error, target: Path) -> PerdureError:
    """What a new file could not be written for; its remains are removed."""
    if isinstance(error, apsw.FullError):
        return StorageFull(f"No room left for {target}; nothing is left of it.")
    return StoreUnavailable(f"Cannot write {target} ({error}); nothing is left of it.")


def _require_apart(source: apsw.Connection, target: Path) -> None:
    """Refuse the names that SQLite gives to files of the store: it writes over them."""
    store = os.path.realpath(source.filename)
    place = os.path.join(os.path.realpath(target.parent), target.name)
    if place in {f"{store}{suffix}" for suffix in (*sqlite_files.FILES[1:], "-journal")}:
        raise UsageError(
            f"{target} is the name of a file that SQLite keeps beside the store; name another."
        )


def _taken(target: Path) -> UsageError:
    return UsageError(f"{target} exists, and a backup replaces nothing; name another.")


def _copy(
    source: apsw.Connection,
    partial: Path,
    progress: Callable[[int, int], None] | None,
    outside: Callable[[], AbstractContextManager[None]],
) -> None:
    copy = apsw.Connection(str(partial), flags=apsw.SQLITE_OPEN_READWRITE)
    # Without a read transaction of ours, every commit of another would begin the copy anew.
    source.execute("BEGIN")
    try:
        source.execute("SELECT 1 FROM perdure LIMIT 1").fetchall()
        with copy.backup("main", source, "main") as steps:
            while not steps.done:
                steps.step(PAGES_PER_STEP)
                with outside():
                    if progress:
                        progress(steps.page_count - steps.remaining, steps.page_count)
    finally:
        source.execute("COMMIT")
        copy.close()


def _check(partial: Path, target: Path) -> None:
    copy = apsw.Connection(str(partial), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        found = copy.execute("PRAGMA quick_check(1)").get
    finally:
        copy.close()
    if found != "ok":
        raise Damaged(f"The backup for {target} is not sound ({found}); it was not kept.")
