"""A backend with an anchor: it stands before another, and lets no older head through (P5).

What was read is compared with a mark that was read before: others may save in between, and then
the head is newer than the mark, which is right.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from perdure import host, limits
from perdure.anchors.protocol import Anchor
from perdure.anchors.refusals import ACCEPT, erased_at, lost, refusal
from perdure.backends.layer import Layer
from perdure.backends.protocol import Backend, StoreInfo
from perdure.core.anchor import (
    Mark,
    Unfit,
    mark_of,
    mark_of_sealed,
    pack_store,
    passed,
    read_mark,
    read_store,
    unfit,
)
from perdure.core.head import Head
from perdure.core.seal import Locked, Place
from perdure.engine.read import Site
from perdure.engine.requests import (
    Answer,
    Commit,
    Committed,
    Erase,
    HeadRow,
    ListHeads,
    Moved,
    ReadHead,
    ReadRecords,
    ReadState,
    StateRows,
    StorageRequest,
    Unchanged,
)
from perdure.errors import CommitUnknown, PerdureError, StoreUnavailable, Tampered
from perdure.events import log

STORE = ""
"""The name that the store itself is anchored under; no state has it."""


class AnchoredBackend(Layer):
    """A store with an anchor.

    Args:
        inner: where the bytes are.
        anchor: what knows how far they had come.
        read_only: whether nothing is written to the anchor either.

    Example:
        >>> from perdure.anchors import FileAnchor
        >>> from perdure.backends.memory import MemoryBackend
        >>> AnchoredBackend(MemoryBackend(), FileAnchor("anchors.db")).connect().format
        1
    """

    def __init__(self, inner: Backend, anchor: Anchor, *, read_only: bool = False) -> None:
        self.inner = inner
        self.anchored = inner
        """For who has to do with its keys: those of a backend that stands before are no others."""
        self.anchor = anchor
        self.read_only = read_only
        self._store = b""
        self._is_bound = False
        self._known: dict[str, Mark] = {}
        """The newest marks that this process kept, by name."""

    # ---- the store --------------------------------------------------------------------------

    def is_made(self) -> bool:
        """Whether there is a store.

        Raises:
            Tampered: the anchor knows of one, and there is none.
        """
        is_made = getattr(self.inner, "is_made", None)
        if is_made is None or (is_made() and not self._is_gone()):
            return True
        if self.anchor.get(STORE) is not None:
            path = str(getattr(self.inner, "path", "the store"))
            raise Tampered(
                f"{path} is not there, and its anchor knows of it", form="missing", place=path
            )
        return False

    def _is_gone(self) -> bool:
        """Whether there is no file: a backend that makes none says so only when it is opened."""
        path = getattr(self.inner, "path", None)
        return path is not None and not os.path.exists(path)

    def connect(self) -> StoreInfo:
        """Open the store.

        Raises:
            Tampered: it is not the one that the anchor is of, or is not there any more.
        """
        self.is_made()
        info = self.inner.connect()
        kept = self.anchor.get(STORE)
        if kept is not None and read_store(kept) != info.store_id:
            raise Tampered(
                f"the anchor is of the store {read_store(kept).hex()[:12]}, and this one is "
                f"{info.store_id.hex()[:12]}: another store is in its place, or the anchor is "
                f"another's. {ACCEPT}",
                form="moved",
                place=str(getattr(self.inner, "path", "the store")),
            )
        if kept is None and self.read_only:
            log.warning(
                "the anchor knows nothing of this store yet: no older copy can be told by it"
            )
        self._store, self._is_bound = info.store_id, kept is not None
        return info

    def close(self) -> None:
        """Release everything."""
        self._known.clear()
        self.inner.close()

    # ---- reading ----------------------------------------------------------------------------

    def perform(self, request: StorageRequest) -> Any:
        """Answer one storage request; no head is older than the anchor knows."""
        match request:
            case ReadHead():
                mark = self._mark(request.key)
                row = self.inner.perform(request)
                self._check(request.key, row, mark)
                return row
            case ReadState():
                return self._read_state(request)
            case ListHeads():
                found = self.inner.perform(request)
                return tuple((key, self._listed(key, row)) for key, row in found)
            case Commit():
                (outcome,) = self.commit((request,))
                if isinstance(outcome, PerdureError):
                    raise outcome
                return outcome
            case Erase():
                answer = self.inner.perform(request)
                if isinstance(answer, Committed):
                    self._erased(request)
                return answer
            case _:
                return self.inner.perform(request)

    def _erased(self, request: Erase) -> None:
        """Know the life that is left, or nothing of the state any more."""
        if request.head is None:
            self.forget(request.key)
        else:
            mark = mark_of_sealed(request.head.blob)
            self._keep({self._name(request.key): mark}, sync=True)

    def _read_state(self, request: ReadState) -> Any:
        mark = self._mark(request.key)
        answer = self.inner.perform(request)
        if isinstance(answer, Unchanged):
            assert request.known is not None
            if mark is None or mark.token == request.known.token:
                return answer
            answer = self.inner.perform(replace(request, known=None))
        row = answer.head if isinstance(answer, StateRows) else None
        self._check(request.key, row, mark)
        return answer

    def _listed(self, key: str, row: HeadRow) -> HeadRow:
        """A head in a list; one that is refused is told of by whoever opens it: it hides none."""
        mark = self._mark(key)
        try:
            self._check(key, row, mark)
            return row
        except Tampered:
            row = self.inner.perform(ReadHead(key)) or row  # the list may be older than the mark
        try:
            self._check(key, row, mark)
            return row
        except Tampered as error:
            told = error

        def refuse(_place: Place, _blob: bytes) -> tuple[int, bytes]:
            raise told

        return HeadRow(row.token, Locked.by(refuse, row.blob + b"\0"))

    def _name(self, key: str) -> str:
        """What a state is anchored under: nothing that the store hides."""
        is_keyed = getattr(self.inner, "is_keyed", False)
        return str(self.inner.stored(key)) if is_keyed else key  # type: ignore[attr-defined]  # a keyed one has it

    def _mark(self, key: str) -> Mark | None:
        kept = self.anchor.get(self._name(key))
        return read_mark(kept) if kept is not None else None

    def _check(self, key: str, row: HeadRow | None, mark: Mark | None) -> None:
        """That a head is at its mark, or beyond.

        Raises:
            Tampered: it is not, or there is none.
        """
        if mark is None and row is None:
            return
        if row is None:
            if self._mark(key) is None:
                return  # it was erased since the mark was read
            raise self._refused(key, Unfit("missing", "the store has no such state"), mark)
        if mark is not None and mark.token == row.token:
            return
        try:
            head = Site(self._store, key).head(row)
        except PerdureError:
            return  # who asked will come to the same, and tell of it
        if mark is not None:
            wrong = unfit(mark, head, _boot()) or self._gone_astray(key, mark, head)
            if wrong is not None:
                raise self._refused(key, wrong, mark)
        self._note(key, head, mark)

    def _gone_astray(self, key: str, mark: Mark, head: Head) -> Unfit | None:
        """Whether the chain of a newer head does not lead over what was marked."""
        for line, (number, hash_) in passed(mark, head).items():
            request = ReadRecords(head.incarnation, line, number, number, 1)
            rows = self.inner.perform(request)
            try:
                records = Site(self._store, key).run(head.incarnation, rows, number, number)
            except PerdureError:
                continue  # told by who reads it
            if records and records[0].hash != hash_:
                return Unfit("replaced", f"record {number} on line {line} is another one")
        return None

    def _refused(self, key: str, wrong: Unfit, mark: Mark | None) -> Tampered:
        return refusal(key, wrong, mark, erased_at(self.inner, self._store, mark))

    def _note(self, key: str, head: Head, mark: Mark | None) -> None:
        """Keep the mark of a head that is newer than its own, as after a crash."""
        if self.read_only:
            return
        name, new = self._name(key), mark_of(head)
        is_back = mark is not None and new.commits < mark.commits
        try:
            self._keep({name: new}, sync=False, anew=is_back)
        except PerdureError:
            raise
        except Exception as error:  # whatever an anchor of somebody else's raises
            # A save whose answer was lost is settled by reading: it must not pass unmarked.
            raise StoreUnavailable(f"the anchor could not be told: {error}") from error
        if self.inner.perform(ReadHead(key)) is None and erased_at(self.inner, self._store, new):
            self.forget(key)  # it was erased since its head was read; not merely kept from us

    # ---- writing ----------------------------------------------------------------------------

    def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        """Settle each commit, and keep the marks of those that took effect before they are told."""
        outcomes = self.inner.commit(batch)
        made: list[Commit] = []
        for at, (request, outcome) in enumerate(zip(batch, outcomes, strict=True)):
            if isinstance(outcome, Committed):
                made.append(request)
            elif isinstance(outcome, Moved):
                known = self._known.get(self._name(request.key))
                try:
                    self._check(request.key, outcome.head, known)
                except PerdureError as error:
                    outcomes[at] = error
        if made:
            is_sync = any(each.durability == "power" for each in batch)
            try:
                self._keep(self._marks(made), sync=is_sync)
            except Exception as error:
                unknown = CommitUnknown(f"it was saved, and the anchor could not be told: {error}")
                unknown.__cause__ = error
                return [unknown if isinstance(each, Committed) else each for each in outcomes]
        return outcomes

    def _marks(self, made: Sequence[Commit]) -> dict[str, Mark]:
        """The newest mark of each state that was committed to, by name."""
        marks: dict[str, Mark] = {}
        for request in made:
            name, mark = self._name(request.key), mark_of_sealed(request.head.blob)
            if request.durability != "power":
                # What the anchor has, not what this process kept: others may have made more sure.
                before = marks.get(name) or self._mark(request.key)
                sure = min(before.sure, mark.commits) if before is not None else 0
                mark = mark.surely(sure, _boot() or "?")
            marks[name] = mark
        return marks

    def _keep(self, marks: dict[str, Mark], *, sync: bool, anew: bool = False) -> None:
        packed = {name: mark.packed() for name, mark in marks.items()}
        if not self._is_bound:
            self.anchor.put(STORE, pack_store(self._store))
            self._is_bound = True
        every = getattr(self.anchor, "advance_all", None)
        if anew or every is None:
            put = self.anchor.put if anew else getattr(self.anchor, "advance", self.anchor.put)
            for name, kept in packed.items():
                put(name, kept)
        else:
            every(packed, sync=sync)
        for name, mark in marks.items():
            newest = self._known.get(name)
            if anew or newest is None or newest.commits <= mark.commits:
                self._known[name] = mark
        while len(self._known) > limits.anchor_known_max:
            self._known.pop(next(iter(self._known)), None)

    # ---- for a person -----------------------------------------------------------------------

    def forget(self, key: str) -> None:
        """Keep nothing of a state any more: it was erased."""
        name = self._name(key)
        self._known.pop(name, None)
        forget = getattr(self.anchor, "forget", None)
        if forget is not None:
            forget(name)

    def lost(self) -> dict[str, str]:
        """Names that the anchor has and the store has not, and what is told of each."""
        names = getattr(self.anchor, "names", list)
        base = self.inner.inner if getattr(self.inner, "is_keyed", False) else self.inner  # type: ignore[attr-defined]  # a keyed one stands before another
        gone = [name for name in names() if name and base.perform(ReadHead(name)) is None]
        return {name: lost(self._erased_at(name)) for name in gone}

    def _erased_at(self, name: str) -> datetime | None:
        kept = self.anchor.get(name)
        mark = read_mark(kept) if kept is not None else None
        return erased_at(self.inner, self._store, mark)

    def accept(self) -> int:
        """Take what the store holds for the newest; how many states that are."""
        self._store = self.inner.connect().store_id
        self._known.clear()
        forget = getattr(self.anchor, "forget", None)
        if forget is not None:
            for name in self.lost():
                forget(name)
        self.anchor.put(STORE, pack_store(self._store))
        self._is_bound, found, after = True, 0, None
        while rows := self.inner.perform(ListHeads("", after, limits.heads_listed_max)):
            for key, row in rows:
                head = Site(self._store, key).head(row)
                self.anchor.put(self._name(key), mark_of(head).packed())
                found, after = found + 1, key
        return found


def _boot() -> str:
    return host.holder().boot
