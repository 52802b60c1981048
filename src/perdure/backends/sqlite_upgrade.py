"""Upgrading a SQLite store: a table of steps, each of which is one transaction.

A step leads from one format to the same or a later one, and is due where the file shows that it was
not done. So an upgrade that was interrupted goes on where it was, and one of a store that is as the
newest version makes it does nothing. What a step must keep is in docs/design/0019.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import apsw

from perdure.backends import sqlite_files, sqlite_open
from perdure.backends.sqlite_backup import back_up
from perdure.backends.sqlite_open import Place, told
from perdure.errors import (
    Busy,
    Damaged,
    Malformed,
    NotAStore,
    OlderFormat,
    ReadOnlyStore,
    StoreUnavailable,
)
from perdure.reports import Upgraded, UpgradeStep

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total)."""


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the table."""

    what: str
    before: int
    after: int
    is_due: Callable[[apsw.Connection], bool]
    """Whether a store of format `before` needs it; asked again within the transaction.

    One that leads to a later format is needed by all of `before`: then, whether it can be done.
    """
    work: Callable[[apsw.Connection, Progress], None]
    """Does it, in a transaction that is open; it may raise, and nothing was done then."""


# ---- format 0, as it was before packs and pages ---------------------------------------------

_EARLY: dict[str, tuple[tuple[str, ...], str]] = {
    "heads": (
        ("key", "token", "head", "incarnation", "line", "after"),
        "key, token, head, incarnation, line, after, NULL",
    ),
    "records": (
        ("incarnation", "line", "number", "blob"),
        "incarnation, line, number, 1, blob",
    ),
    "staged": (("incarnation",), "incarnation, 0"),
}
"""By table: the columns that it had, and what its present ones hold instead. Nothing that the chain
or a tag covers is among them: each blob stays as it is, at its place."""


def _columns(connection: apsw.Connection, table: str) -> tuple[str, ...]:
    return tuple(row[1] for row in connection.execute(f"PRAGMA table_info({table})"))


def _has_early_tables(connection: apsw.Connection) -> bool:
    return all(_columns(connection, name) == columns for name, (columns, _) in _EARLY.items())


def _renew_tables(connection: apsw.Connection, progress: Progress) -> None:
    total = len(_EARLY) + 1
    for name in _EARLY:
        connection.execute(f"ALTER TABLE {name} RENAME TO early_{name}")
    for statement in sqlite_open.SCHEMA.split(";"):
        table = statement.partition("(")[0].removeprefix("\nCREATE TABLE").strip()
        if table != "perdure" and table:
            connection.execute(statement)
    progress(1, total)
    for done, (name, (_, values)) in enumerate(_EARLY.items(), 2):
        connection.execute(f"INSERT INTO {name} SELECT {values} FROM early_{name}")
        counts = [_count(connection, table) for table in (name, f"early_{name}")]
        if counts[0] != counts[1]:
            raise Damaged(f"of {counts[1]} rows of {name}, {counts[0]} came through")
        connection.execute(f"DROP TABLE early_{name}")
        progress(done, total)


def _count(connection: apsw.Connection, table: str) -> int:
    found: int = connection.execute(f"SELECT count(*) FROM {table}").get
    return found


def _has_tables(connection: apsw.Connection) -> bool:
    """Whether the tables that changed since are as they are now."""
    with closing(apsw.Connection(":memory:")) as new:
        new.execute(sqlite_open.SCHEMA)
        return all(_columns(connection, name) == _columns(new, name) for name in _EARLY)


def _mark(_connection: apsw.Connection, progress: Progress) -> None:
    """Nothing but the number changes, which is written with the step."""
    progress(1, 1)


STEPS = (
    Step(
        "tables with row ids, a count of the records in each row, and room for pages",
        0,
        0,
        _has_early_tables,
        _renew_tables,
    ),
    Step("the mark of format 1, which is frozen", 0, 1, _has_tables, _mark),
)
"""In the order in which they are done. A later format is an entry at the end."""


# ---- doing them -----------------------------------------------------------------------------


def upgrade(
    place: Place,
    *,
    dry_run: bool,
    backup: bool | str | os.PathLike[str],
    progress: Progress | None,
    steps: tuple[Step, ...] = STEPS,
) -> Upgraded:
    """Bring a store to the newest form; nothing is verified here.

    Raises:
        Busy: others have the store open; nothing was done.
        NewerFormat: a newer version wrote it.
        Malformed: it is of a form that no step leads on from.
        ReadOnlyStore: it may not be written to.
    """
    if not os.path.exists(place.path):
        raise StoreUnavailable(f"There is no store at {place.path}: nothing can be upgraded.")
    sqlite_files.check_library(apsw.sqlite_lib_version())
    sqlite_files.check_place(place.path, allow_network=place.allow_network_filesystem)
    try:
        before, due = _looked_at(place, steps)
        done = tuple(UpgradeStep(step.what, step.before, step.after) for step in due)
        after = due[-1].after if due else before
        if dry_run or not due:
            return Upgraded(before, after, done, None, (), dry_run)
        if place.read_only:
            raise ReadOnlyStore(f"{place.path} was opened with read_only=True: not upgraded.")
        with _alone(place) as connection:
            kept = _backed_up(connection, place, backup, progress)
            for step in due:
                _do(connection, step, progress or (lambda _done, _total: None))
    except apsw.Error as error:
        raise told(error, place) from error
    return Upgraded(before, after, done, kept, (), dry_run)


def _looked_at(place: Place, steps: tuple[Step, ...]) -> tuple[int, list[Step]]:
    """The format of a store, and the steps that it needs."""
    has_log = os.path.exists(f"{place.path}-wal")
    opened = sqlite_open.reader(place)
    try:
        if sqlite_open.is_unmarked(opened, place):
            raise NotAStore(f"{place.path} is empty: nobody has made a store in it.")
        before = format_ = sqlite_open.known_format(opened, place)
        due: list[Step] = []
        for step in steps:
            if step.before != format_:
                continue
            # What follows a step that is due cannot be looked for before that is done.
            if (due and step.after > format_) or step.is_due(opened):
                due.append(step)
                format_ = step.after
            elif step.after > format_:
                raise _of_no_form(place)
        if not due:
            _require_readable(opened, place)
        return before, due
    except BaseException:
        if has_log:  # of somebody else's database: closing it must not move it into that
            opened.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        raise
    finally:
        opened.close()


def _require_readable(opened: apsw.Connection, place: Place) -> None:
    """Raise what opening it would, where no step leads to a form that can be opened."""
    try:
        sqlite_open.described(opened, place)
    except OlderFormat as error:
        raise _of_no_form(place) from error


def _of_no_form(place: Place) -> Malformed:
    return Malformed(
        f"{place.path} has tables that no version made, or part of them: nothing was touched. "
        "Restore it from a backup, or export its states with the version that wrote them and "
        "import them into a new store"
    )


@contextmanager
def _alone(place: Place) -> Iterator[apsw.Connection]:
    """A connection to a store that no other has open.

    Who has it open looked at its form before, and would go on by that. Only the last one can leave
    the mode with a log.
    """
    connection = sqlite_open.connection(place)
    try:
        sqlite_open.check_writable(connection, place)
        try:
            connection.pragma("journal_mode", "delete")
        except apsw.BusyError as error:
            raise Busy(
                f"Others have {place.path} open, and it is upgraded only while nobody has; nothing "
                "was changed, and they may go on. End them, then upgrade it again."
            ) from error
        connection.pragma("synchronous", "EXTRA")
        _lock(connection)
        yield connection
        connection.pragma("locking_mode", "NORMAL")
        connection.execute("SELECT 1 FROM perdure LIMIT 1").fetchall()  # lets the lock go
        sqlite_open.turn_to_wal(connection, place)
    finally:
        connection.close()


def _lock(connection: apsw.Connection) -> None:
    """Let nobody in: while the store is copied, while the copy is checked, and between steps.

    Who came in then would have looked at the older form; what it saved would not be in the copy.
    """
    connection.pragma("locking_mode", "EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")


def _do(connection: apsw.Connection, step: Step, progress: Progress) -> None:
    connection.execute("BEGIN EXCLUSIVE")
    try:
        # Another process may have done it since we looked.
        format_ = connection.pragma("user_version")
        if step.before == format_ and (step.after > format_ or step.is_due(connection)):
            step.work(connection, progress)
            connection.pragma("user_version", step.after)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _backed_up(
    connection: apsw.Connection,
    place: Place,
    backup: bool | str | os.PathLike[str],
    progress: Progress | None,
) -> str | None:
    """Where the store was copied to, as it was; None: nowhere."""
    if backup is False:
        return None
    target = _free_name(place.path) if backup is True else Path(os.fspath(backup)).absolute()
    back_up(connection, target, progress, nullcontext)
    return str(target)


def _free_name(path: str) -> Path:
    """Beside the store, a name that no file has: an earlier backup stays."""
    number = 1
    while os.path.lexists(name := f"{path}.before-upgrade" + (f"-{number}" if number > 1 else "")):
        number += 1
    return Path(name)
