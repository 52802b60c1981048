"""The records of a state, newest first, as far as they were read: which checkpoints they are of.

Each record has the id of a checkpoint of LangGraph as its label: that which it saves, or for
writes that came later, the newest there was. The newest record of a checkpoint so has it with all
the writes that came before the next. A merge or an edit past LangGraph is of the checkpoint that it
came after: its label and its metadata, if it has any, are its user's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from perdure.adapters.langgraph.places import CHECKPOINT, LATE, METADATA, PENDING, is_put
from perdure.adapters.langgraph.standing import Standing, goes_on, standing, taken_in
from perdure.core.head import MAIN
from perdure.errors import CheckpointNotFound
from perdure.state.node import plain
from perdure.types import BranchInfo, Checkpoint

if TYPE_CHECKING:
    from perdure.store import Store

PAGE = 256
"""Records read together (records)."""

_OWN = frozenset({CHECKPOINT, PENDING, LATE})


class Found(msgspec.Struct):
    """Where a checkpoint is."""

    branch: str
    end: Checkpoint
    """The newest record that is of it."""
    own: Checkpoint | None = None
    """The record that saved it."""
    after: Checkpoint | None = None
    """The newest record of the next checkpoint that has writes, which may be of this one."""

    kept: dict[str, Any] = {}
    """What the state says of it, where the record that saved it was pruned."""

    @property
    def told(self) -> dict[str, Any]:
        """What is kept with that record, or was."""
        if self.own is not None:
            return self.own.metadata or {}
        if METADATA not in self.kept:
            return {}
        return {"parent": self.kept.get("parent"), "langgraph": self.kept[METADATA]}

    @property
    def metadata(self) -> dict[str, Any]:
        """What LangGraph said of it, as it is stored."""
        found: dict[str, Any] = self.told.get("langgraph") or {}
        return found

    @property
    def parent(self) -> str | None:
        """The id of the checkpoint that it came after."""
        return self.told.get("parent")


class Log:
    """The records of one state by branch."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key
        self.tips: dict[str, str] = {}
        """Ids of the newest records, by branch, when that was looked up last."""
        self._read: dict[str, deque[Checkpoint]] = {}
        self._firsts: dict[str, int] = {}
        """Numbers of the records from which on none is missing, by branch."""
        self._stood: dict[str, Standing] = {}
        """Where branches stood that were merged, by the record that a merge names."""
        self._ids: dict[str, str | None] = {}
        """Which checkpoints merges are of that changed what is said of that, by the record."""
        self._brought: dict[str, Checkpoint | None] = {}
        """The records that saved these, where they are on no branch with the merge."""
        self._kept: dict[str, dict[str, Any]] = {}
        """What the state says at records of checkpoints whose own ones were pruned."""

    def clear(self) -> None:
        """Forget what was read: it is not there any more, or may not be."""
        self.tips.clear()
        self._read.clear()
        self._stood.clear()
        self._ids.clear()
        self._brought.clear()
        self._kept.clear()

    def moved(self, branches: Sequence[BranchInfo]) -> None:
        """Take in where the branches are now."""
        firsts = {each.name: each.first for each in branches}
        self.tips = {each.name: each.tip.id for each in branches}
        for name in list(self._read):
            if firsts.get(name) != self._firsts.get(name):  # it is gone, or was pruned
                del self._read[name]
        self._firsts = firsts

    def add(self, checkpoint: Checkpoint) -> None:
        """Take in a record that was just saved."""
        read = self._read.setdefault(checkpoint.branch, deque())
        if read and read[0].id == checkpoint.id:
            return
        if read and read[0].hash != checkpoint.parent:
            read.clear()
        read.appendleft(checkpoint)
        self.tips[checkpoint.branch] = checkpoint.id

    def of(self, branch: str) -> Iterator[Checkpoint]:
        """The records of a branch, newest first."""
        self._catch_up(branch)
        read = self._read.get(branch)
        if read is None:
            return
        at = 0
        while at < len(read) or self._go_back(branch, read):
            yield read[at]
            at += 1

    def id_of(self, record: Checkpoint) -> str | None:
        """Id of the checkpoint that a record says it is of; None: that which it came after.

        A merge into a branch on which nothing was done meanwhile brought that branch to the other's
        checkpoint, which only the state tells.
        """
        if record.merged is None:
            is_own = is_put(record) or not _OWN.isdisjoint(record.sections)
            return record.label if is_own else None
        if CHECKPOINT not in record.sections:
            return None
        if record.id not in self._ids:
            at = self._store.at(self._key, record.id, sections=[CHECKPOINT])
            self._ids[record.id] = at[CHECKPOINT]["id"] if CHECKPOINT in at else None
        return self._ids[record.id]

    def newest(self, branch: str) -> str | None:
        """Id of the checkpoint that a branch is at; None: it has none."""
        tip: Checkpoint | None = None
        for each in self.of(branch):
            tip = tip or each
            if (id_ := self.id_of(each)) is not None:
                return id_
        return self._kept_at(tip).get("id") if tip is not None else None

    def latest(self) -> str:
        """The branch that the thread goes on from; there is one."""
        if len(self.tips) == 1:
            return next(iter(self.tips))
        return goes_on(self._standings(), self._stood_at)

    def taken_in(self, branch: str) -> list[str]:
        """The branches of which one has all, by merges since its newest put."""
        return taken_in(self._standings(), self._stood_at, branch)

    def _standings(self) -> dict[str, Standing]:
        found = {name: self._standing(self.of(name)) for name in list(self.tips)}
        return {
            name: each if each.id else replace(each, id=self.newest(name) or "")
            for name, each in found.items()
        }

    def _standing(self, records: Iterable[Checkpoint]) -> Standing:
        return standing((each, self.id_of(each)) for each in records)

    def find(self, checkpoint_id: str, first: str = MAIN) -> Found | None:
        """Where a checkpoint is, on whatever branch; best where it is known what saved it.

        Args:
            checkpoint_id: the checkpoint's.
            first: the branch to look at before all others, each of which may be read to its end.
        """
        other = None
        for branch in sorted(self.tips, key=lambda name: name != first):
            for id_, found in self.spans(branch):
                if id_ == checkpoint_id:
                    if found.own is not None:
                        return found
                    other = other or found
                    break
        return other

    def checkpoints(self) -> dict[str, Found]:
        """All checkpoints, by id."""
        all_: dict[str, Found] = {}
        for branch in list(self.tips):
            for id_, found in self.spans(branch):
                if "langgraph" in found.told:
                    all_.setdefault(id_, found)
        return all_

    def spans(self, branch: str) -> Iterator[tuple[str, Found]]:
        """The checkpoints of a branch, newest first."""
        after: Checkpoint | None = None
        found: Found | None = None
        label: str | None = None
        merge: Checkpoint | None = None
        loose: list[Checkpoint] = []
        for each in self.of(branch):
            own = self.id_of(each)
            if own is None and label is not None:
                loose.append(each)  # it is of the one before
                continue
            if found is not None and label not in (None, own):
                assert label is not None
                yield label, self._whole(found, label, merge)
                found, label, merge = None, None, None
            for record in (*loose, each):
                if found is None:
                    found, after = Found(branch, record, after=after), None
                if after is None and PENDING in record.sections and not is_put(record):
                    after = record
                if found.own is None and is_put(record):
                    found.own = record
                merge = merge or (record if record.merged is not None else None)
            loose.clear()
            label = label if label is not None else own
        if found is not None and label is not None:
            yield label, self._whole(found, label, merge)
            found = None
        if found is None and loose:
            found = Found(branch, loose[0], after=after)
        if found is not None and (kept := self._kept_at(found.end)):  # all but edits was pruned
            found.kept = kept
            yield kept["id"], found

    def _whole(self, found: Found, checkpoint_id: str, merge: Checkpoint | None) -> Found:
        """Find what saved a checkpoint that a merge brought to a branch."""
        if found.own is None and merge is not None and merge.merged is not None:
            if merge.id not in self._brought:
                past = self._back_from(merge.merged)
                self._brought[merge.id] = next(
                    (each for each in past if each.label == checkpoint_id and is_put(each)), None
                )
            found.own = self._brought[merge.id]
        if found.own is None:
            found.kept = self._kept_at(found.end)
        return found

    def _kept_at(self, record: Checkpoint) -> dict[str, Any]:
        """What the state says of its checkpoint at a record; nothing, where it has none."""
        if record.id not in self._kept:
            at = self._store.at(self._key, record.id, sections=[CHECKPOINT])
            self._kept[record.id] = plain(at[CHECKPOINT]) if CHECKPOINT in at else {}
        return self._kept[record.id]

    def _catch_up(self, branch: str) -> None:
        """Read what was saved since, down to what is known."""
        tip, known = self.tips.get(branch), self._read.get(branch) or deque()
        if tip is None or (known and known[0].id == tip):
            return
        places = {each.id: at for at, each in enumerate(known)}
        new: deque[Checkpoint] = deque()
        while True:
            page = self._page(branch, new[-1].id if new else None, PAGE if new else 1)
            for each in page:
                if each.id in places:
                    new.extend(list(known)[places[each.id] :])
                    self._read[branch] = new
                    return
                new.append(each)
            if not known or not page:
                self._read[branch] = new
                return

    def _go_back(self, branch: str, read: deque[Checkpoint]) -> bool:
        """Read further back; whether there was anything."""
        if not read or read[-1].parent is None:
            return False
        page = self._page(branch, read[-1].id, PAGE)
        read.extend(page)
        return bool(page)

    def _stood_at(self, id_: str) -> Standing:
        """Where a branch stood that was merged, and moved or was deleted since."""
        if id_ not in self._stood:
            self._stood[id_] = self._standing(self._back_from(id_))
        return self._stood[id_]

    def _back_from(self, id_: str) -> Iterator[Checkpoint]:
        """A record and those before it, on whatever branch or none; nothing, if it was pruned."""
        with suppress(CheckpointNotFound):
            yield self._store.at(self._key, id_, sections=()).checkpoint
            while page := self._page(MAIN, id_, PAGE):
                yield from page
                id_ = page[-1].id

    def _page(self, branch: str, before: str | None, limit: int) -> list[Checkpoint]:
        return self._store.history(self._key, branch=branch, before=before, limit=limit)
