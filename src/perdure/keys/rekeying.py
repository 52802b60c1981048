"""Encrypting what is there, and giving it new keys, while sessions go on.

Each step leaves a store that opens; what was killed is ended by doing it again. The order within a
state is what keeps every save readable (docs/design/0022): its new data key is stored, its head is
put anew, and only then are its rows sealed anew, and the former key goes last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from msgspec.structs import replace

from perdure import limits
from perdure.core.head import Head, lives
from perdure.core.seal import Place, closed, header_of, opened
from perdure.drive import Driver
from perdure.encrypted import ERASURES, STORE
from perdure.engine.around import UNREADABLE
from perdure.engine.read import Site
from perdure.engine.requests import (
    Held,
    KeyRow,
    ListHeads,
    ListHeld,
    ListKeys,
    ListPages,
    ListRows,
    PageRow,
    PutKey,
    ReadHead,
    ReadKeys,
    ReadPages,
    ReadRecords,
    RecordRow,
    Reseal,
    Resealed,
)
from perdure.engine.resealing import fence
from perdure.errors import Busy, NotEncrypted, UsageError
from perdure.keys.backend import KeyedBackend
from perdure.keys.data import DataKeys, generation_of, is_encrypted
from perdure.keys.ring import Ring, RootKey, Settings
from perdure.reports import KeyInfo, Rekeyed

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (states done, all)."""

ROUNDS_MAX = 32
"""How often a store is gone over while others keep it from being done (rounds)."""
TRIES_MAX = 100
"""How often a key row is put that others change meanwhile (tries)."""


def info(store: KeyedBackend) -> KeyInfo:
    """How a store stands with its keys."""
    store.connect()
    ring = store.renew()
    states = keys = 0
    for row in _key_rows(store):
        states += row.owner != ERASURES
        keys += len(ring.unwrap(row.owner, row.blob).keys)
    of = ring.settings
    return KeyInfo(
        ring.root_id, of.stage, of.hidden, of.apart, of.rewrap, len(ring.keys), states, keys
    )


def encrypt(driver: Driver, store: KeyedBackend, progress: Progress | None) -> Rekeyed:
    """Encrypt all that is in the clear."""
    _begin(store)
    driver.connect()
    work = _Work(driver, store, progress)
    work.go_over_all(work.is_in_the_clear, deep=False)
    store.seal_receipts()
    if not work.problems:
        store.wipe()
        _change(store, lambda ring: ring.with_settings(replace(ring.settings, stage="sealed")))
    return work.done()


def _begin(store: KeyedBackend) -> None:
    """Let a store have keys, and take what is in the clear for as long as this goes on."""
    store_id = store.inner.connect().store_id
    found: tuple[KeyRow, ...] = store.inner.perform(ReadKeys((STORE,)))
    if not found:
        if store.hides_names:
            raise UsageError("only a new store can hide the names of its states: no hide_names")
        settings = Settings(stage="clear", apart=store.apart is not None)
        store.inner.perform(PutKey(STORE, None, Ring.drawn(store_id, store.root, settings).blob))
    store.connect()
    _change(store, lambda ring: ring.with_settings(replace(ring.settings, stage="clear")))


def rotate(store: KeyedBackend, root: RootKey) -> KeyInfo:
    """Put a store under another root key."""
    store.connect()
    _change(store, lambda ring: ring.wrapped(root), root)
    store.wipe(whole=False)
    return info(store)


def rewrap(driver: Driver, store: KeyedBackend, deep: bool, progress: Progress | None) -> Rekeyed:
    """Give a store a new store key, and with `deep` its states new data keys."""
    driver.connect()
    ring = store.renew()
    if ring.settings.stage == "clear":
        raise NotEncrypted(
            "the store is not encrypted whole yet; end that first: perdure keys init"
        )
    if not ring.settings.rewrap:
        used = {by for row in _key_rows(store) for by in ring.wrapped_by(row.blob)}
        idle = set(ring.keys) - used - {ring.newest}
        what = replace(ring.settings, rewrap="deep" if deep else "keys")
        _change(
            store,
            lambda ring: ring.without(idle, store.root).renewed(store.root).with_settings(what),
        )
    elif deep and ring.settings.rewrap == "keys":
        _change(store, lambda ring: ring.with_settings(replace(ring.settings, rewrap="deep")))
    deep = store.ring.settings.rewrap == "deep"
    work = _Work(driver, store, progress)
    if deep:
        work.go_over_all(work.is_under_former_keys, deep=True)
    work.rewrap_the_rest()
    if not work.problems:
        store.wipe(whole=deep)
        _change(store, lambda ring: ring.with_settings(replace(ring.settings, rewrap="")))
    return work.done()


class _Work:
    """One going over of a store."""

    def __init__(self, driver: Driver, store: KeyedBackend, progress: Progress | None) -> None:
        self._driver = driver
        self._store = store
        self._id = store.connect().store_id
        self._progress = progress
        self._states: set[bytes] = set()
        self._rows = 0
        self._left: set[str] = set()
        """Names of states that are not gone over again: something of them could not be read."""
        self.problems: dict[str, str] = {}
        """By what could not be read."""

    def done(self) -> Rekeyed:
        """What came of it."""
        told = tuple(self.problems.values())
        return Rekeyed(self._store.ring.root_id, len(self._states), self._rows, told)

    def go_over_all(self, is_due: Callable[[str, Head], bool], *, deep: bool) -> None:
        """Do all states that are due, and those that others make so meanwhile.

        Raises:
            Busy: they do so all the time.
        """
        for _ in range(ROUNDS_MAX):
            if not self._go_over(is_due, deep=deep):
                return
        raise Busy("others write under former keys all the time; what was done is: try again")

    def _go_over(self, is_due: Callable[[str, Head], bool], *, deep: bool) -> int:
        """Do all states that are due; how many there were."""
        keys = self._keys()
        count = 0
        for at, key in enumerate(keys, 1):
            try:
                count += self._one(key, is_due, deep=deep)
            except UNREADABLE as error:
                self.problems[key] = f"{key!r}: {error}"
                self._left.add(key)
            if self._progress is not None:
                self._progress(at, len(keys))
        return count

    def _keys(self) -> list[str]:
        """The names of all states, but for those that could not be read."""
        found: list[str] = []
        while True:
            after = found[-1] if found else None
            rows = self._store.perform(ListHeads("", after, limits.heads_listed_max))
            found += [key for key, _ in rows]
            if len(rows) < limits.heads_listed_max:
                return [key for key in found if key not in self._left]

    def _one(self, key: str, is_due: Callable[[str, Head], bool], *, deep: bool) -> bool:
        site = Site(self._driver.store_id, key)
        row = self._store.perform(ReadHead(key))
        if row is None:
            return False
        head = site.head(row)
        if not is_due(key, head):
            return False
        owners = [life.incarnation for life in lives(head)]
        for owner in owners:
            self._give_keys(owner, deep=deep)
        self._driver.run(fence(site))
        for owner in owners:
            if not self._reseal(owner):
                self._left.add(key)
            elif deep:
                self._forget_former(owner)
        self._states.update(owners)
        return True

    # ---- what is due ------------------------------------------------------------------------

    def is_in_the_clear(self, key: str, head: Head) -> bool:
        """Whether anything of a state is."""
        row = self._store.inner.perform(ReadHead(self._store.stored(key)))
        if row is not None and not is_encrypted(row.blob):
            return True
        return any(self._has_other(life.incarnation, 1) for life in lives(head))

    def is_under_former_keys(self, key: str, head: Head) -> bool:
        """Whether a state's keys are under a former store key, or some are on their way out."""
        ring = self._store.ring
        for life in lives(head):
            for row in self._key_row(life.incarnation):
                if ring.wrapped_by(row.blob) != {ring.newest}:
                    return True
                if len(ring.unwrap(row.owner, row.blob).keys) > 1:
                    return True
        return False

    def _has_other(self, owner: bytes, oldest: int) -> bool:
        """Whether a row or page of an incarnation is under an older key than this, or none."""
        return any(True for _ in self._others(owner, oldest))

    # ---- keys -------------------------------------------------------------------------------

    def _key_row(self, owner: bytes) -> tuple[KeyRow, ...]:
        found: tuple[KeyRow, ...] = self._store.home.perform(ReadKeys((owner,)))
        return found

    def _give_keys(self, owner: bytes, *, deep: bool) -> None:
        """Have an incarnation's row as it shall be: under the newest store key, and a new data key.

        One that has two data keys already is on its way.
        """
        for _ in range(TRIES_MAX):
            found, ring = self._key_row(owner), self._store.ring
            if not found:
                if self._put(owner, None, DataKeys.drawn(owner)):
                    return
                continue
            keys = ring.unwrap(owner, found[0].blob)
            if ring.wrapped_by(found[0].blob) == {ring.newest}:
                return
            new = keys.renewed() if deep and len(keys.keys) == 1 else keys
            if self._put(owner, found[0].blob, new):
                return
        raise Busy(f"the keys of {owner.hex()[:12]} are changed by others all the time")

    def _forget_former(self, owner: bytes) -> None:
        """Drop the data keys that nothing is sealed with any more."""
        if self._has_other(owner, self._newest(owner)):
            return  # put meanwhile: there will be another round
        for row in self._key_row(owner):
            keys = self._store.ring.unwrap(owner, row.blob)
            if len(keys.keys) > 1:
                self._put(owner, row.blob, keys.only_newest())

    def _put(self, owner: bytes, was: bytes | None, keys: DataKeys) -> bool:
        blob = self._store.ring.wrap(keys)
        is_put: bool = self._store.home.perform(PutKey(owner, was, blob))
        self._store.keys_of(owner, anew=True)
        return is_put

    def _newest(self, owner: bytes) -> int:
        keys = self._store.keys_of(owner)
        return keys.newest if keys is not None else 1

    def rewrap_the_rest(self) -> None:
        """Wrap the keys of what no head leads to, such as a copy that is being made."""
        ring, rows = self._store.ring, list(_key_rows(self._store))
        for at, row in enumerate(rows, 1):
            if self._progress is not None:
                self._progress(at, len(rows))
            if row.owner != ERASURES:
                self._states.add(row.owner)
            if ring.wrapped_by(row.blob) != {ring.newest}:
                try:
                    self._put(row.owner, row.blob, ring.unwrap(row.owner, row.blob))
                except UNREADABLE as error:
                    self.problems[row.owner.hex()] = str(error)

    # ---- rows and pages ---------------------------------------------------------------------

    def _reseal(self, owner: bytes) -> bool:
        """Seal what is under other keys, or under none, with the newest of an incarnation.

        Whether all of it could be read.
        """
        batch: list[Resealed] = []
        size, before = 0, len(self.problems)
        for place, row in self._others(owner, self._newest(owner)):
            try:
                batch.append(Resealed(row.blob, replace(row, blob=self._again(owner, place, row))))
            except UNREADABLE as error:
                self.problems[str(place)] = str(error)
                continue
            size += len(row.blob)
            if size > limits.upkeep_bytes_max:
                self._rows += self._store.inner.perform(Reseal(owner, tuple(batch)))
                batch, size = [], 0
        if batch:
            self._rows += self._store.inner.perform(Reseal(owner, tuple(batch)))
        return len(self.problems) == before

    def _again(self, owner: bytes, place: Place, row: RecordRow | PageRow) -> bytes:
        blob = row.blob
        keys = self._store.keys_of(owner)
        assert keys is not None
        header_of(place, blob)
        if is_encrypted(blob):
            flags, _, body = keys.open(place, blob)
            return keys.seal(place, closed(place, blob[5], flags, body))
        opened(place, blob)
        return keys.seal(place, blob)

    def _others(self, owner: bytes, newest: int) -> Iterator[tuple[Place, RecordRow | PageRow]]:
        """The rows and pages of an incarnation that are under an older key, or under none."""
        held: tuple[Held, ...] = self._store.inner.perform(ListHeld(owner, 1))
        for each in held:
            if each.incarnation != owner:
                continue
            if each.line is None:
                yield from self._other_pages(owner, newest)
            else:
                yield from self._other_rows(owner, each.line, each.last, newest)

    def _other_rows(
        self, owner: bytes, line: int, last: int, newest: int
    ) -> Iterator[tuple[Place, RecordRow]]:
        perform, first = self._store.inner.perform, 0
        while True:
            rows = perform(ListRows(owner, line, first, last, limits.piece_rows_max))
            for number, _, _, start in rows:
                if generation_of(start) < newest:
                    # It may have become part of another meanwhile, which counts as well.
                    for row in perform(ReadRecords(owner, line, number, number, 1)):
                        yield Place(self._id, owner, line, row.number), row
            if len(rows) < limits.piece_rows_max:
                return
            first = rows[-1][0] + 1

    def _other_pages(self, owner: bytes, newest: int) -> Iterator[tuple[Place, PageRow]]:
        perform, after = self._store.inner.perform, None
        while True:
            listed = perform(ListPages(owner, after, 16))
            pages: tuple[PageRow, ...] = perform(ReadPages(owner, tuple(id_ for id_, _ in listed)))
            for page in pages:
                if generation_of(page.blob) < newest:
                    yield Place(self._id, owner, page=page.id), page
            if not listed:
                return
            after = listed[-1][0]


def _key_rows(store: KeyedBackend) -> Iterator[KeyRow]:
    """The key rows of all states."""
    after: bytes | None = STORE if store.apart is None else None
    while True:
        rows: tuple[KeyRow, ...] = store.home.perform(ListKeys(after, limits.heads_listed_max))
        yield from (row for row in rows if row.owner != STORE)
        if not rows:
            return
        after = rows[-1].owner


def _change(
    store: KeyedBackend, change: Callable[[Ring], Ring], root: RootKey | None = None
) -> None:
    """Change the store's own row, and have it read anew."""
    for _ in range(TRIES_MAX):
        ring = store.renew()
        if store.inner.perform(PutKey(STORE, ring.blob, change(ring).blob)):
            store.root = root if root is not None else store.root
            store.renew()
            return
    raise Busy("the store's keys are changed by others all the time; try again")
