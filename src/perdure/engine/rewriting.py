"""The records of a life as a redaction leaves them: what changes in each, and the rows they fill.

Numbers, ids, times and hashes stay; see `perdure.core.redacted`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec.structs import replace

from perdure.core import chain
from perdure.core.changes import pack_changes, sections_of
from perdure.core.codec import pack
from perdure.core.head import Branch, Head, Snapshot
from perdure.core.head_bytes import to_wire
from perdure.core.journal import JOURNAL_LINE, Move, entry_of
from perdure.core.pack import sealing
from perdure.core.page import Ref
from perdure.core.receipt import Receipt
from perdure.core.record import (
    END,
    ENDED_BEFORE,
    LABEL,
    MASKED,
    METADATA,
    MOVE,
    START,
    SUMMARY,
    Record,
    leaf_of,
    opening,
    seal_again,
)
from perdure.core.redacted import with_leaf
from perdure.core.redaction import Redactor
from perdure.core.seal import Place
from perdure.core.tree import build
from perdure.engine.moving import Replaced
from perdure.engine.packing import sizes_of
from perdure.engine.pages import in_pieces
from perdure.engine.read import MAX_NUMBER, Site, read_line
from perdure.engine.requests import RecordRow, Run, Steps
from perdure.errors import Malformed, ReplayMismatch, UsageError

_MARK_ERROR, _MARK_BRANCH = 8, 10
"""Where a mark, as records keep it, has the session's error and its branch."""
_WORDS = {
    LABEL: "labels",
    MASKED: "masked",
    METADATA: "metadata",
    SUMMARY: "summaries",
    START: "sessions",
    END: "sessions",
    ENDED_BEFORE: "sessions",
}
"""What is told of each part of what a record says besides its changes."""


class Rewriting:
    """Who goes over all records of a life and notes what becomes of those that change."""

    compares = False

    def __init__(
        self, site: Site, head: Head, redactor: Redactor, seed: bytes, bases: Collection[bytes]
    ) -> None:
        """Begin.

        Args:
            site: the state's.
            head: its head, with a secret.
            redactor: what is to be redacted.
            seed: what new salts are made of; forgotten afterwards.
            bases: ids of the trees that stand in for what was pruned.
        """
        self._site, self._head, self._redactor = site, head, redactor
        self._seed, self.bases = seed, bases
        self.names: Collection[str] = head.branches
        """Of the branches that there are, which keep them."""
        self.changed: dict[tuple[int, int], Record] = {}
        """By line and number, each record that changes, as it becomes."""
        self.trees: dict[bytes, Ref] = {}
        """What becomes of the trees that are kept, by their ids."""
        self.pages: dict[bytes, bytes] = {}
        """Of those that are new."""
        self.sections: Counter[str] = Counter()
        """In how many records each section changes."""
        self.elsewhere: Counter[str] = Counter()
        """The same of what is not in a section."""

    # ---- what it is given -------------------------------------------------------------------

    def record(self, sections: dict[str, Any], record: Record) -> None:
        """Apply a record to the state before it, and note what it becomes."""
        changes = record.changes()
        try:
            new = self._redactor.replay(sections, changes)
        except (ReplayMismatch, Malformed) as error:
            raise type(error)(f"checkpoint {record.number} does not apply: {error}") from error
        if new is not None:
            kept = {id(each) for each in new}
            self.sections.update(sections_of(each for each in changes if id(each) not in kept))
        extra = self._extra(record.extra) if self._redactor.is_everywhere else record.extra
        if new is None and extra is record.extra:
            return
        packed = bytes(record.packed) if new is None else pack_changes(new)
        self._put(record, packed, extra)

    def tree(self, sections: dict[str, Any], root: Ref, number: int) -> None:
        """Keep a tree that does not change, and make one anew that stands in for a past."""
        count = self._redactor.count
        new = self._redactor.state(sections)
        if new is sections:
            self.trees[root.id] = root
        elif root.id in self.bases:
            built = build(new, self._head.secret)
            self.pages.update(built.pages)
            self.trees[root.id] = built.root
            return
        self._redactor.count = count  # what a snapshot holds is counted where it was saved

    def move(self, record: Record) -> None:
        """Note what a record of the journal becomes."""
        old = entry_of(record).move
        new = self._moved(old)
        if new == old:
            return
        self.elsewhere["movements"] += 1
        wire = {**record.extra[MOVE], **to_wire(new)}
        self._put(record, bytes(record.packed), {**record.extra, MOVE: wire})

    # ---- records ----------------------------------------------------------------------------

    def _put(self, record: Record, packed: bytes, extra: dict[str, Any]) -> None:
        place = Place(self._site.store, self._head.incarnation, record.line, record.number)
        leaf = leaf_of(place, record.salt, record.canonical)
        start = opening(record.id, record.time_us, record.session)
        canonical = with_leaf(start + packed + pack(extra), leaf)
        told = b"%d %d" % (record.line, record.number)
        salt = blake2b(told, key=self._seed, digest_size=chain.SALT_BYTES).digest()
        self.changed[record.line, record.number] = replace(
            record, canonical=canonical, salt=salt, extra=extra
        )

    def _extra(self, extra: dict[str, Any]) -> dict[str, Any]:
        """What a record says besides its changes; the same if that stays."""
        found = {key: self._part(key, value) for key, value in extra.items()}
        is_same = True
        for key, value in extra.items():
            if found[key] is not value:
                is_same = False
                self.elsewhere[_WORDS[key]] += 1
        return extra if is_same else found

    def _part(self, key: str, value: Any) -> Any:
        redactor = self._redactor
        if key in (LABEL, SUMMARY):
            return redactor.maybe(value)
        if key in (METADATA, MASKED):
            return redactor.whole(value)
        if key == END and isinstance(value, list) and len(value) > 1:
            error = redactor.maybe(value[1])
            return value if error is value[1] else [value[0], error, *value[2:]]
        if key == START:
            return self._mark(value)
        if key == ENDED_BEFORE and isinstance(value, list):
            marks = [self._mark(each) for each in value]
            is_same = all(new is old for old, new in zip(value, marks, strict=True))
            return value if is_same else marks
        return value

    def _mark(self, mark: Any) -> Any:
        if not isinstance(mark, list) or len(mark) <= _MARK_BRANCH:
            return mark
        found = list(mark)
        found[_MARK_ERROR] = self._redactor.maybe(mark[_MARK_ERROR])
        found[_MARK_BRANCH] = self.branch(mark[_MARK_BRANCH])
        return mark if found == mark else found

    def branch(self, name: Any) -> Any:
        """The name of a branch: of those that there are, it stays."""
        if not isinstance(name, str) or name in self.names or not self._redactor.is_everywhere:
            return name
        return self._redactor.name(name)

    # ---- movements --------------------------------------------------------------------------

    def _moved(self, move: Move) -> Move:
        new = replace(
            move,
            before=self.standing(move.before),
            after=self.standing(move.after),
            receipt=self._receipt(move.receipt),
        )
        if not self._redactor.is_everywhere:
            return new
        new = replace(
            new,
            branch=self.branch(move.branch),
            name=self.branch(move.name),
            source=self.branch(move.source),
            damage=self._redactor.maybe(move.damage),
        )
        told = move.redaction
        if isinstance(told, msgspec.UnsetType):
            return new
        maybe = self._redactor.maybe
        return replace(
            new, redaction=replace(told, path=maybe(told.path), reason=maybe(told.reason))
        )

    def _receipt(self, receipt: Receipt | None) -> Receipt | None:
        if receipt is None:
            return None
        islands = tuple(
            replace(each, tips=tuple(self._standing(tip) for tip in each.tips))
            for each in receipt.islands
        )
        left = tuple(replace(each, tip=self._standing(each.tip)) for each in receipt.left)
        return replace(receipt, islands=islands, left=left)

    def standing(self, tip: Branch | None) -> Branch | None:
        """A branch with what becomes of its snapshots: those that change are let go."""
        return self._standing(tip) if tip is not None else None

    def _standing(self, tip: Branch) -> Branch:
        if not tip.snapshots:
            return tip
        kept = tuple(self._snapshots(tip))
        return tip if kept == tip.snapshots else replace(tip, snapshots=kept or None)

    def _snapshots(self, tip: Branch) -> Iterator[Snapshot]:
        for each in tip.snapshots or ():
            root = self.trees.get(each.root.id)
            if root is not None:
                yield Snapshot(each.number, root)
            elif each == tip.base_tree:  # of what was pruned since: it is not there any more
                yield each

    # ---- what is stored ---------------------------------------------------------------------

    def leaves(self) -> tuple[tuple[int, int, bytes], ...]:
        """What the receipt tells of the records that change."""
        found: list[tuple[int, int, bytes]] = []
        for (line, number), record in sorted(self.changed.items()):
            leaf = record.content_leaf(self._head.incarnation)
            at = found[-1] if found else (-1, 0, b"")
            if at[0] == line and at[1] + len(at[2]) // chain.HASH_BYTES == number:
                found[-1] = line, at[1], at[2] + leaf
            else:
                found.append((line, number, leaf))
        return tuple(found)

    def rows(self, known: Sequence[Run]) -> Steps[Replaced]:
        """The rows that hold a record that changes, and those that take their place.

        `known` are the runs of all records that the state has: others in these rows go.
        """
        removed: list[Run] = []
        rows: list[RecordRow] = []
        for line in sorted({line for line, _ in self.changed}):
            numbers = sorted(number for on, number in self.changed if on == line)
            at = 0
            while at < len(numbers):
                (row,) = yield from sizes_of(self._head, Run(line, numbers[at], MAX_NUMBER), 1)
                first = row.number - row.count + 1
                removed.append(Run(line, first, row.number))
                rows += yield from self._instead(Run(line, first, row.number), known)
                while at < len(numbers) and numbers[at] <= row.number:
                    at += 1
        return Replaced(tuple(removed), tuple(rows))

    def _instead(self, run: Run, known: Sequence[Run]) -> Steps[list[RecordRow]]:
        """The rows in the place of one."""
        found: list[RecordRow] = []
        records = yield from read_line(self._site, self._head, run)
        for part in known:
            if part.line == run.line and part.first <= run.last and part.last >= run.first:
                some = [
                    self.changed.get((each.line, each.number), each)
                    for each in records
                    if part.first <= each.number <= part.last
                ]
                found += yield from self._packed(some)
        return found

    def _packed(self, records: list[Record]) -> Steps[list[RecordRow]]:
        """Records as one row, or as several if that would hold too much."""
        store, incarnation, parent = self._site.store, self._head.incarnation, records[0].parent
        if len(records) == 1:
            sealed = seal_again(records[0], store=store, incarnation=incarnation, parent=parent)
            return [RecordRow(sealed.line, sealed.number, sealed.blob)]
        try:
            packing = sealing(records, store=store, incarnation=incarnation, parent=parent)
            sealed = yield from in_pieces(packing)
        except UsageError:
            half = len(records) // 2
            older = yield from self._packed(records[:half])
            return older + (yield from self._packed(records[half:]))
        return [RecordRow(sealed.line, sealed.number, sealed.blob, len(records))]


def journal_run(head: Head) -> list[Run]:
    """Where the records of the journal are."""
    return [Run(JOURNAL_LINE, 1, head.journal.number)] if head.journal is not None else []
