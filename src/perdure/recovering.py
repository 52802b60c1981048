"""Recovering: what can be read of a broken file, in a new store.

    >>> from perdure.recovering import recover
    >>> report = recover("broken.db", "new.db")
    >>> report.ok, [(each.key, each.number) for each in report.states]
    (False, [('support/alice', 41)])

See `docs/design/0024-damage.md`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from perdure.core.head import Head, commits_of
from perdure.core.head_bytes import seal_head
from perdure.engine import audit, movements, states
from perdure.engine.last_good import HURT, fall_back
from perdure.engine.load import load
from perdure.engine.read import Site
from perdure.engine.rebuilding import rebuilt
from perdure.engine.requests import Commit, HeadRow
from perdure.engine.save import tail_of
from perdure.errors import Damaged, KeyMissing, PerdureError, UsageError
from perdure.newfile import give_name, partial_name, require_place
from perdure.salvaging import (
    ID_BYTES,
    checked,
    is_encrypted_row,
    name_of,
    receipts_in,
    table_of,
)
from perdure.types import Loss

if TYPE_CHECKING:
    from perdure.backends.sqlite_salvage import Row, SalvagedFile
    from perdure.keys.providers import Key
    from perdure.keys.salvage import SalvagedKeys
    from perdure.store import Store

Progress: TypeAlias = Callable[[int, int], None]


class RecoveredState(msgspec.Struct, frozen=True):
    """What was recovered of one state."""

    key: str
    number: int
    """Number of the newest checkpoint of `main` that can be read; 0: none can."""
    ok: bool
    """Whether all of it is as it was saved."""
    is_rebuilt: bool = False
    """Whether its head was lost: claims of effects, snapshots and expiry went with it."""
    losses: tuple[Loss, ...] = ()
    """What branches lost that went back to what is whole."""
    problem: str | None = None
    """What is wrong with it still; `Store.verify` tells all."""


class Recovered(msgspec.Struct, frozen=True):
    """What `recover` found in a broken file."""

    source: str
    target: str
    states: tuple[RecoveredState, ...]
    found: dict[str, int]
    """Rows that are as they were written, by table."""
    lost: dict[str, int]
    """Rows that are there and are not, by table; those that are not even there nobody can count.
    Of `erased`, the receipts of erasures, one is counted if there were some and none is left."""

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, as far as can be told."""
        return not any(self.lost.values()) and all(
            each.ok and not each.is_rebuilt for each in self.states
        )


def recover(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    key: Key | None = None,
    keys_url: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Recovered:
    """Make a new store of what can be read of a broken SQLite file, which is only read.

    Every row proves itself by its checksum; what does not is left out. A state that cannot be
    opened then goes back to the newest checkpoint that is whole. Nobody should write to the file
    meanwhile.

    Args:
        source: the broken file. A log beside it (`-wal`) is read too.
        target: the new store, a file that does not exist yet.
        key: the root key, if the store is encrypted, as `Store` takes it; the new one has it too.
        keys_url: where its data keys are, if that is another store.
        progress: called with (pages read, all).

    Raises:
        Damaged: nothing of a store was found; no file was made.
        KeyMissing: it is encrypted, and no key was given.
        WrongKey: another was.
        StoreUnavailable: the file cannot be read, or the new one not be written.
        StorageFull: there is no room for the new one.
        UsageError: the new file exists.
    """
    import apsw

    from perdure.backends.sqlite_backup import unwritten
    from perdure.backends.sqlite_salvage import SalvagedFile

    new = Path(os.fspath(target)).absolute()
    require_place(new)
    if os.path.lexists(new):
        raise UsageError(f"{new} exists, and recovering replaces nothing; name another.")
    partial = partial_name(new)
    try:
        with SalvagedFile(Path(os.fspath(source))) as file:
            keys = _keys_of(file, key, keys_url) if key is not None else None
            salvage = _Salvage(file, _store_id(file, source, keys), partial, keys)
            salvage.take_all(progress)
        states = salvage.finish()
        if not states:
            raise Damaged(f"{os.fspath(source)}: no state can be recovered from it")
        give_name(partial, new)
    except FileExistsError as error:
        raise UsageError(f"{new} exists, and recovering replaces nothing; name another.") from error
    except apsw.Error as error:  # the file is not read through SQLite: it is the new one's
        raise unwritten(error, new) from error
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(FileNotFoundError):
                os.unlink(f"{partial}{suffix}")
    return Recovered(
        os.fspath(source), str(new), tuple(states), dict(salvage.found), dict(salvage.lost)
    )


def _keys_of(file: SalvagedFile, key: Key, keys_url: Any) -> SalvagedKeys:
    from perdure.keys.salvage import SalvagedKeys

    return SalvagedKeys(file, key, keys_url)


def _store_id(
    file: SalvagedFile, source: str | os.PathLike[str], keys: SalvagedKeys | None
) -> bytes:
    """The store's id: what stands after its name somewhere, and agrees with a checksum or key."""
    candidates = {each for each in file.after_each(b"store_id", ID_BYTES) if len(each) == ID_BYTES}
    if keys is not None:
        found = keys.fit(candidates)
        if found is None:
            raise Damaged(
                f"{os.fspath(source)}: the row that has the store's own key is lost, or it is not "
                "encrypted. Restore a backup, or recover it without a key"
            )
        return found
    if candidates:
        for row in file.rows():
            for store in candidates:
                if checked(row, store) is not None:
                    return store
        if any(map(is_encrypted_row, file.rows())):
            raise KeyMissing(
                f"{os.fspath(source)}: its states are encrypted; give the key too: "
                "recover(…, key=…), or perdure recover --key FORM …"
            )
    raise Damaged(
        f"{os.fspath(source)}: nothing in it is what a store of Perdure wrote. Restore a backup"
    )


class _Salvage:
    """The new store while it is made."""

    def __init__(
        self, file: SalvagedFile, store_id: bytes, path: Path, opening: SalvagedKeys | None
    ) -> None:
        from perdure.backends.sqlite import SqliteBackend

        self._file, self._store, self._path = file, store_id, path
        self._opening = opening
        self.found: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self._heads: dict[str, Head] = {}
        self._stored: dict[str, Row] = {}
        """The rows of the heads, as they were."""
        self._lines: dict[tuple[bytes, int], list[tuple[int, int]]] = {}
        """The first and the last record of each row that was taken, by incarnation and line."""
        self._erased: Collection[bytes] = ()
        """Lives that were erased, as far as receipts tell."""
        self._keys: dict[bytes, str] = {}
        """Of lives whose head is damaged, where its row tells the key."""
        backend = SqliteBackend(str(path))
        backend.connect()
        backend.close()

    def take_all(self, progress: Progress | None) -> None:
        """Take every row that proves itself."""
        import apsw

        self._base = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READWRITE)
        with ExitStack() as opened:
            opened.callback(self._base.close)
            with self._base:
                change = "UPDATE perdure SET value = ? WHERE name = 'store_id'"
                self._base.execute(change, (self._store,))
                if self._opening is not None:
                    self._opening.put_first(self._base)
            if self._opening is not None:
                self._opening.open(self._path)
                opened.callback(self._opening.close)
                self._store = self._opening.store
            with self._base:
                self._take_receipts()
                if self._opening is not None:
                    self._opening.put(self._base, self._erased)
                    self.found["keys"] = len(self._opening.found)
                    self.lost["keys"] = self._opening.lost
            with self._base:
                for number, row in self._file.numbered_rows():
                    self._take(row)
                    if progress is not None:
                        progress(number, self._file.pages)
                self._put_heads()
        if progress is not None:
            progress(self._file.pages, self._file.pages)

    def _take_receipts(self) -> None:
        """Take what tells of erasures, before anything that they are about."""
        from perdure.backends import sqlite_erased

        receipts = receipts_in(self._file, self._store, self._opening)
        self._erased = receipts.rows.keys()
        if receipts.rows:
            self._base.execute(sqlite_erased.SCHEMA)
            self._base.executemany("INSERT INTO erased VALUES (?, ?, ?)", receipts.rows.values())
            self.found["erased"] = len(receipts.rows)
        if receipts.lost:
            self.lost["erased"] = receipts.lost

    def _take(self, row: Row) -> None:
        table = table_of(row)
        if table is None or row[3 if table == "heads" else 0] in self._erased:
            return  # it is none, or the remains of what was erased
        found = checked(row, self._store, self._opening)
        if found is None:
            self.lost[table] += 1
            if table == "heads" and len(row[3]) == ID_BYTES:
                with suppress(UnicodeDecodeError):
                    self._keys[row[3]] = row[0].decode()
            return
        if table == "heads":
            self._take_head(name_of(row, self._opening), found, row)
        elif table == "records":
            self._take_record(row)
        else:
            change = "INSERT OR IGNORE INTO pages (incarnation, id, blob) VALUES (?, ?, ?)"
            self._base.execute(change, row)
            self.found[table] += self._base.changes()

    def _take_head(self, key: str, head: Head, row: Row) -> None:
        """The newest, should there be two versions; none of what was erased."""
        if head.incarnation in self._erased:
            return
        old = self._heads.get(key)
        self.found["heads"] += old is None
        if old is None or _age(head) > _age(old):
            self._heads[key], self._stored[key] = head, row

    def _take_record(self, row: Row) -> None:
        """Rows never overlap: of two that do, that with more records stays."""
        incarnation, line, number, count, _ = row
        taken = self._lines.setdefault((incarnation, line), [])
        first = number - count + 1
        over = [each for each in taken if each[0] <= number and first <= each[1]]
        if any(last - start + 1 >= count for start, last in over):
            return
        where = "WHERE incarnation = ? AND line = ? AND number = ?"
        for each in over:
            taken.remove(each)
            self._base.execute(f"DELETE FROM records {where}", (incarnation, line, each[1]))
        taken.append((first, number))
        self._base.execute(
            "INSERT INTO records (incarnation, line, number, count, blob) VALUES (?, ?, ?, ?, ?)",
            row,
        )
        self.found["records"] += 1 - len(over)

    def _put_heads(self) -> None:
        for key, head in self._heads.items():
            tail, (stored, _, blob, *_) = tail_of(head), self._stored[key]
            self._base.execute(
                "INSERT INTO heads (key, token, head, incarnation, line, after, page) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    stored,
                    *(head.token, blob, tail.incarnation, tail.line, tail.after, tail.page),
                ),
            )

    # ---- states -----------------------------------------------------------------------------

    def finish(self) -> list[RecoveredState]:
        """Give heads to lives that have none, open every state, and verify all."""
        from perdure.store import Store

        keys = self._opening.options() if self._opening is not None else {}
        with Store(str(self._path), maintenance="off", on_damage="last_good", **keys) as store:
            rebuilt = self._rebuild(store)
            return [self._state(store, key, key in rebuilt) for key in store._look(store._keys())]

    def _rebuild(self, store: Store) -> set[str]:
        """Make heads for the lives that have none; their keys."""
        import apsw

        known = {life.incarnation for head in self._heads.values() for life in _lives(head)}
        lines: dict[bytes, set[int]] = {}
        for incarnation, line in self._lines:
            if incarnation not in known:
                lines.setdefault(incarnation, set()).add(line)
        made: set[str] = set()
        heads: dict[str, Head] = {}
        store._driver.connect()
        for incarnation, own in lines.items():
            key = self._keys.get(incarnation, f"recovered/{incarnation.hex()[:12]}")
            key = key if key not in self._heads else f"recovered/{incarnation.hex()[:12]}"
            site = Site(store._driver.store_id, key)
            head = store._driver.run(rebuilt(site, incarnation, own))
            if head is not None:
                row = HeadRow(head.token, seal_head(head, store=site.store, key=key))
                store._driver.backend.perform(Commit(key, None, row, tail_of(head)))
                heads[key] = head
                made.add(key)
        if heads:
            flags = apsw.SQLITE_OPEN_READWRITE
            with closing(apsw.Connection(str(self._path), flags=flags)) as base:
                for head in heads.values():  # nothing leads to its pages any more
                    change = "DELETE FROM pages WHERE incarnation = ?"
                    base.execute(change, (head.incarnation,))
        return made

    def _state(self, store: Store, key: str, is_rebuilt: bool) -> RecoveredState:
        losses: list[Loss] = []
        number, problem = 0, None
        try:
            for branch in store._look(store._about(movements.branches, key)):
                losses += self._made_whole(store, key, branch.name)
            with suppress(Damaged):  # what cannot be mended is told by verifying
                store._driver.run(store._about(audit.repair, key), makes=False)
            number = store._look(store._about(states.info, key)).number
        except PerdureError as error:
            problem = f"{error.kind}: {error}"
        found = store._look(store._about(audit.verify, key))
        return RecoveredState(
            key, number, found.ok, is_rebuilt, tuple(losses), problem or found.problem
        )

    def _made_whole(self, store: Store, key: str, branch: str) -> list[Loss]:
        """Let a branch that cannot be read go back to what is whole; what it lost."""
        try:
            store._look(store._about(partial(load, branch=branch), key))
        except HURT as error:
            falling = partial(fall_back, branch=branch, problem=str(error), session=None)
            loss = store._look(store._about(falling, key))
            return [loss] if loss is not None else []
        return []


def _lives(head: Head) -> tuple[Head, ...]:
    return head, *head.former


def _age(head: Head) -> tuple[int, int, int]:
    # The others are for heads of which no commits were counted: a claim changes none of them.
    return commits_of(head), head.generation, head.updated_us
