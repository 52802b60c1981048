"""A backend whose bytes are encrypted: it stands before another, which never sees what is inside.

What goes in is sealed here; what comes out is `Locked`, and opened by whoever verifies it, at the
place where it is looked for. So the engine is the same with a key and without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from perdure import limits
from perdure.backends.layer import Layer
from perdure.backends.protocol import Backend
from perdure.core.seal import ERASED_OWNER, Locked, Place, opened
from perdure.encrypted import ERASURES
from perdure.engine.requests import (
    Answer,
    Commit,
    Committed,
    Discard,
    Erase,
    ErasedRow,
    HeadRow,
    KeyRow,
    ListErased,
    ListHeads,
    ListStaged,
    Moved,
    PageRow,
    PutPages,
    ReadErased,
    ReadHead,
    ReadKeys,
    ReadPages,
    ReadRecords,
    ReadState,
    RecordRow,
    Reseal,
    Resealed,
    Stage,
    StateRows,
    StorageRequest,
)
from perdure.errors import (
    Erased,
    KeyMissing,
    PerdureError,
    Tampered,
)
from perdure.keys.data import DataKeys, is_encrypted, owner_of_head
from perdure.keys.held import HeldKeys
from perdure.keys.names import Names
from perdure.keys.ring import RootKey

T = TypeVar("T")


class KeyedBackend(HeldKeys, Layer):
    """A store with a key.

    Args:
        inner: where the bytes are.
        root: the root key.
        apart: where the data keys are, if not there too.
        hide_names: whether a new store keeps the names of its states hidden.

    Example:
        >>> from perdure.backends.memory import MemoryBackend
        >>> from perdure.keys import LocalKey
        >>> KeyedBackend(MemoryBackend(), LocalKey(bytes(32))).connect().format
        1
    """

    def __init__(
        self,
        inner: Backend,
        root: RootKey,
        *,
        apart: Backend | None = None,
        hide_names: bool = False,
    ) -> None:
        super().__init__(inner, root, apart, hide_names)
        self._names = Names(self)
        self._answers: dict[type[StorageRequest], Callable[[Any], Any]] = {
            ReadHead: self._read_head,
            ReadState: self._read_state,
            ReadRecords: self._read_rows,
            ReadPages: self._read_rows,
            ListHeads: self._list_heads,
            Commit: self._commit_one,
            PutPages: self._put_pages,
            Stage: self._stage,
            Discard: self._discard,
            Erase: self._erase,
            ReadErased: self._read_erased,
            ListErased: self._read_erased,
        }

    is_keyed = True

    # ---- the contract -----------------------------------------------------------------------

    def perform(self, request: StorageRequest) -> Any:
        """Answer one storage request; those for keys are answered as they are stored."""
        answer = self._answers.get(type(request))
        return self.inner.perform(request) if answer is None else answer(request)

    def commit(self, batch: Sequence[Commit]) -> list[Answer | PerdureError]:
        """Seal and settle each commit of the batch in order; one outcome per member."""
        sealed: list[Commit] = []
        try:
            for request in batch:
                sealed.append(self._sealed(request))  # noqa: PERF401  # every save has one: a call less
            outcomes = self.inner.commit(sealed)
        except (KeyMissing, Tampered) as error:  # before anything was committed
            if len(batch) == 1:
                return [error]
            return [outcome for each in batch for outcome in self.commit((each,))]
        for at, (commit, outcome) in enumerate(zip(sealed, outcomes, strict=True)):
            if commit.keys or type(outcome) is not Committed:
                outcomes[at] = self._settled(commit.tail.incarnation, outcome)
        return outcomes

    def _settled(self, owner: bytes, outcome: Answer | PerdureError) -> Answer | PerdureError:
        """What came of a commit, as its sender can read it.

        Keys came with their state, or are let go of; none stay of what was erased.
        """
        keys = self._keys.get(owner)
        if isinstance(outcome, Committed):
            if keys is not None:
                keys.is_new = False
            return outcome
        if keys is not None and keys.is_new:
            self._keys.pop(owner, None)
        is_gone = isinstance(outcome, Erased) or outcome == Moved(None)
        if is_gone and self.inner.perform(ReadErased((owner,))):
            self._destroy(owner)
        return self._told(outcome) if isinstance(outcome, Moved) else outcome

    def _told(self, moved: Moved) -> Moved:
        """What was found instead of the head that a commit named, as its sender can read it."""
        return Moved(self._locked_head(moved.head)) if moved.head is not None else moved

    def close(self) -> None:
        """Release everything, keys too."""
        self._keys.clear()
        self.inner.close()
        if self.apart is not None:
            self.apart.close()

    def stored(self, key: str) -> str:
        """What a state of this name is stored under."""
        return self._names.stored(key)

    # ---- opening ----------------------------------------------------------------------------

    def _open(self, place: Place, blob: bytes) -> tuple[int, bytes]:
        """What a `Locked` row or page is opened by."""
        if not is_encrypted(blob):
            return self._in_the_clear(place, blob)
        flags, _, body = self._unsealed(place.owner, place, blob)
        return flags, body

    def _open_head(self, place: Place, blob: bytes) -> tuple[int, bytes]:
        """What a `Locked` head is opened by: its owner is in it, and its name may be."""
        owner = owner_of_head(blob)
        if owner is None:
            return self._in_the_clear(place, blob)
        stored = self._names.place(place)
        flags, name, body = self._unsealed(owner, stored, blob)
        if self.ring.settings.hidden and name != place.owner:
            raise Tampered(f"{place}: belongs to another name", form="moved", place=str(place))
        return flags, body

    def _unsealed(self, owner: bytes, place: Place, blob: bytes) -> tuple[int, bytes, bytes]:
        keys = self._required(place, owner)
        try:
            return keys.open(place, blob)
        except KeyMissing:
            anew = self.keys_of(owner, anew=True)
            if anew is None:
                raise
            return anew.open(place, blob)

    def _in_the_clear(self, place: Place, blob: bytes) -> tuple[int, bytes]:
        flags, body = opened(place, blob)
        if self.ring.settings.stage == "sealed":
            raise Tampered(
                f"{place}: is in the clear, in a store that is encrypted under root key "
                f"{self.ring.root_id}. If you know who wrote it so: perdure keys init",
                form="forged",
                place=str(place),
            )
        return flags, body

    def _locked_head(self, row: HeadRow) -> HeadRow:
        self._prefetch((owner_of_head(row.blob),))
        return HeadRow(row.token, Locked.by(self._open_head, row.blob))

    def _locked(self, rows: Iterable[T]) -> tuple[T, ...]:
        opener = self._open
        return tuple(replace(row, blob=Locked.by(opener, row.blob)) for row in rows)  # type: ignore[attr-defined, type-var]  # records and pages both have one

    def locked(self, blob: bytes) -> Locked:
        """A stored row or page with what opens it."""
        return Locked.by(self._open, blob)

    def locked_head(self, blob: bytes) -> Locked:
        """A stored head with what opens it."""
        return Locked.by(self._open_head, blob)

    def locked_receipt(self, blob: bytes) -> Locked:
        """A stored receipt with what opens it."""
        return Locked.by(self._open_receipt, blob)

    def name_of(self, stored: str, row: HeadRow) -> str:
        """What a state is called whose head is stored under this."""
        return self._names.name(stored, row) if self.ring.settings.hidden else stored

    # ---- reading ----------------------------------------------------------------------------

    def _read_head(self, request: ReadHead) -> HeadRow | None:
        row: HeadRow | None = self.inner.perform(ReadHead(self._names.stored(request.key)))
        return self._locked_head(row) if row is not None else None

    def _read_state(self, request: ReadState) -> Any:
        answer = self.inner.perform(replace(request, key=self._names.stored(request.key)))
        if not isinstance(answer, StateRows):
            return answer
        head = self._locked_head(answer.head)
        return StateRows(head, self._locked(answer.records), self._locked(answer.pages))

    def _read_rows(self, request: ReadRecords | ReadPages) -> tuple[RecordRow | PageRow, ...]:
        rows: tuple[RecordRow | PageRow, ...] = self.inner.perform(request)
        if rows:
            self._prefetch((request.incarnation,))
        return self._locked(rows)

    def _list_heads(self, request: ListHeads) -> tuple[tuple[str, HeadRow], ...]:
        found = self._names.listed(request)
        self._prefetch(owner_of_head(row.blob) for _, row in found)
        opener = self._open_head
        return tuple((key, HeadRow(row.token, Locked.by(opener, row.blob))) for key, row in found)

    # ---- writing ----------------------------------------------------------------------------

    def _commit_one(self, request: Commit) -> Answer:
        (outcome,) = self.commit((request,))
        if isinstance(outcome, PerdureError):
            raise outcome
        return outcome

    def _sealed(self, request: Commit) -> Commit:
        """A commit as it is stored, with the keys of a state that is new."""
        owner, key, name = request.tail.incarnation, request.key, None
        keys = self._keys.get(owner) or self.keys_of(owner) or self._drawn(owner)
        # With every try: the one before may have come to nothing.
        new = (KeyRow(owner, keys.row),) if keys.is_new else ()
        ring = self._ring or self.ring
        if ring.settings.hidden:
            key, name = self._names.stored(key), key.encode()
        head, records = keys.seal_save(self._store, key, request.head, request.records, name)
        return Commit(
            key,
            request.expect,
            head,
            request.tail,
            records,
            request.durability,
            request.removed,
            request.dropped,
            new,
        )

    def _sealed_row(self, keys: DataKeys, owner: bytes, row: RecordRow) -> RecordRow:
        place = Place(self._store, owner, row.line, row.number)
        return RecordRow(row.line, row.number, keys.seal(place, row.blob), row.count)

    def _put_pages(self, request: PutPages) -> None:
        """Put pages, again if their state got another key meanwhile.

        Those that were put before that are sealed anew by who gives the key; no commit, which
        comes to nothing then, guards those that come later.
        """
        owner = request.incarnation
        keys = self._kept(owner)
        while True:
            pages = tuple(
                PageRow(page.id, keys.seal(Place(self._store, owner, page=page.id), page.blob))
                for page in request.pages
            )
            self._unless_erased(PutPages(owner, pages))
            rows: tuple[KeyRow, ...] = self.home.perform(ReadKeys((owner,)))
            if not rows or rows[0].blob == keys.row:
                return
            keys = self._required(Place(self._store, owner), owner, anew=True)

    def _stage(self, request: Stage) -> None:
        owner = request.incarnation
        keys = self._kept(owner)
        rows = tuple(self._sealed_row(keys, owner, row) for row in request.records)
        self._unless_erased(replace(request, records=rows))

    def _unless_erased(self, request: PutPages | Stage) -> None:
        """Put it; of what was erased, no key stays that was drawn for it."""
        try:
            self.inner.perform(request)
        except Erased:
            self._destroy(request.incarnation)
            raise

    def _discard(self, request: Discard) -> None:
        """Remove a staging, and its key with it: nothing else was sealed by that."""
        owner = request.incarnation
        goes = owner in {each for each, _ in self.inner.perform(ListStaged())}
        goes = goes or bool(self.inner.perform(ReadErased((owner,))))
        self.inner.perform(request)
        if goes:
            self._destroy(owner)

    # ---- erasing ----------------------------------------------------------------------------

    def _erase(self, request: Erase) -> Answer:
        """Erase, and destroy the keys; the receipts are sealed with one of their own."""
        self._kept(ERASURES)
        sealed = tuple(map(self._sealed_receipt, request.receipts))
        key, head = self._names.stored(request.key), request.head
        if head is not None and request.tail is not None:
            head = self._sealed(Commit(request.key, None, head, request.tail)).head
        answer = self.inner.perform(replace(request, key=key, receipts=sealed, head=head))
        if isinstance(answer, Moved):
            return self._told(answer)
        for each in request.receipts:
            self._destroy(each.incarnation)
        self._names.forget(key)
        return Committed()

    def _sealed_receipt(self, row: ErasedRow) -> ErasedRow:
        keys = self._kept(ERASURES)
        place = Place(self._store, ERASED_OWNER + row.incarnation)
        return replace(row, blob=keys.seal(place, row.blob))

    def _read_erased(self, request: ReadErased | ListErased) -> tuple[ErasedRow, ...]:
        rows: tuple[ErasedRow, ...] = self.inner.perform(request)
        return tuple(replace(row, blob=self.locked_receipt(row.blob)) for row in rows)

    def _open_receipt(self, place: Place, blob: bytes) -> tuple[int, bytes]:
        """What a `Locked` receipt is opened by."""
        if not is_encrypted(blob):
            return self._in_the_clear(place, blob)
        flags, _, body = self._unsealed(ERASURES, place, blob)
        return flags, body

    def seal_receipts(self) -> None:
        """Seal the receipts that are in the clear, as those of a store are that got a key later."""
        after: bytes | None = None
        while rows := self.inner.perform(ListErased(after, limits.heads_listed_max)):
            for row in rows:
                if not is_encrypted(row.blob):
                    sealed = self._sealed_receipt(row)
                    self.inner.perform(Reseal(row.incarnation, (Resealed(row.blob, sealed),)))
            after = rows[-1].incarnation

    def compact(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Give space that nothing uses back to the file system; the bytes given back."""
        if self.apart is not None:  # where an erasure that did not wipe left the data key
            _wipe(self.apart, whole=False)
        return super().compact(progress)

    def wipe(self, *, whole: bool = True) -> None:
        """Leave nothing of what was removed in files, those of the keys included."""
        # First of the keys: without them, whatever is left of the rest tells nothing.
        for each in (self.apart, self.inner):
            _wipe(each, whole=whole)


def _wipe(backend: Backend | None, *, whole: bool) -> None:
    wipe: Any = getattr(backend, "wipe", None)
    if wipe is not None:
        wipe(whole=whole)
