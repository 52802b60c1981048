"""One thread of LangGraph in one namespace: the state it is kept in, whichever branch is asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from datetime import datetime
from itertools import dropwhile
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from perdure.adapters.langgraph import interrupts
from perdure.adapters.langgraph.coding import Coder
from perdure.adapters.langgraph.log import Found
from perdure.adapters.langgraph.places import (
    CHECKPOINT,
    LATE,
    METADATA,
    PENDING,
    UNVERSIONED,
    channels_in,
    section_of,
    time_of,
)
from perdure.adapters.langgraph.sessions import Options, Sessions
from perdure.adapters.langgraph.tip import Tip, parts
from perdure.adapters.langgraph.unread import unread
from perdure.adapters.langgraph.writes import Entry, added, joined
from perdure.core.head import MAIN
from perdure.errors import Conflict, StateDeleted

if TYPE_CHECKING:
    from perdure.store import Store

TRIES_MAX = 16
"""How often a save is made anew that others came before (tries)."""

EARLY_MAX = 1024
"""Checkpoints to come whose writes are remembered (checkpoints)."""

_NOTHING: Mapping[str, Any] = {}


class Snapshot(msgspec.Struct, frozen=True):
    """A checkpoint as it was read: its objects are new, and the caller's."""

    told: dict[str, Any]
    values: dict[str, Any]
    writes: list[Entry]
    metadata: dict[str, Any]
    parent: str | None
    record: str
    """Id of the newest record that is in it."""


Onto: TypeAlias = Literal["on", "fork", "start"]
"""How a checkpoint goes onto a branch: on from where it is, as the first that is the branch's own,
or beginning anew."""


class Thread(Sessions):
    """What is known of one thread in one namespace. One call at a time.

    Args:
        store: where it is kept.
        key: its state's.
        root: the key of the state of the thread itself, of which this may be a namespace.
        options: how.
    """

    def __init__(self, store: Store, key: str, root: str, options: Options) -> None:
        super().__init__(store, key, options)
        self._root = root
        self._waited_for = 0
        """How often it was asked for in vain: each of these will begin it."""
        self._early: dict[str, list[Entry]] = {}
        """Writes whose checkpoint was not put yet."""
        self._asked: dict[str, dict[str, Any]] = {}
        """What interrupts among these ask."""
        self._others: set[str] = set()
        """Sections that were read beside the channels: a copied checkpoint has them among these."""

    # ---- reading ----------------------------------------------------------------------------

    def latest(self, coder: Coder) -> Snapshot | None:
        """The newest checkpoint, by id, of all branches."""
        with self.lock:
            tip = self._latest_tip() if self.look() else None
            if tip is None or tip.id is None:
                self._waited_for += 1
                return None
            return self._read_tip(coder, tip)

    def at(self, coder: Coder, checkpoint_id: str) -> Snapshot | None:
        """A checkpoint by its id."""
        with self.lock:
            if not self.look():
                return None
            tip = self._open_at(checkpoint_id)
            if tip is not None:
                return self._read_tip(coder, tip)
            found = self.log.find(checkpoint_id)
            return None if found is None else self.read(coder, checkpoint_id, found)

    def read(self, coder: Coder, checkpoint_id: str, found: Found) -> Snapshot:
        """A checkpoint whose place is known."""
        with self.lock:
            sections = self._store.at(self.key, found.end.id).plain()
            told, values, entries = parts(coder, sections)
            told.pop(METADATA, None)
            self._others |= values.keys() - channels_in(sections.get(CHECKPOINT) or {})
            if found.after is not None:
                after = self._store.at(self.key, found.after.id, sections=[PENDING])
                entries += after[PENDING].plain()
            writes = joined([*entries, *self.late(checkpoint_id)], checkpoint_id)
            return Snapshot(told, values, writes, found.metadata, found.parent, found.end.id)

    def checkpoints(self) -> list[tuple[str, Found]]:
        """All checkpoints there are, the greatest id first."""
        with self.lock:
            if not self.look():
                return []
            return sorted(self.log.checkpoints().items(), reverse=True)

    def newest(self) -> tuple[str, Found] | None:
        """The checkpoint that the thread goes on from, with its id; None: it has none."""
        with self.lock:
            return next(self.log.spans(self.log.latest()), None) if self.look() else None

    def late(self, checkpoint_id: str) -> list[Entry]:
        """The writes that came for a checkpoint when it was not the newest."""
        main = self.tip(MAIN)
        late = main.session.state.get(LATE) or {}
        return late[checkpoint_id].plain() if checkpoint_id in late else []

    def _read_tip(self, coder: Coder, tip: Tip) -> Snapshot:
        assert tip.id is not None
        assert tip.session.checkpoint is not None
        told, values, pending = tip.read(coder)
        record = tip.session.checkpoint.id
        self.log.add(tip.session.checkpoint)  # which a put on top of it looks at
        metadata = told.pop(METADATA, None)
        if metadata is None:  # its record alone has them: it was put by an earlier version
            found = self.log.find(tip.id, tip.branch)
            metadata = found.metadata if found is not None else {}
        self._others |= values.keys() - channels_in(tip.session.state[CHECKPOINT])
        writes = joined([*pending, *self.late(tip.id)], tip.id)
        return Snapshot(told, values, writes, metadata, told.get("parent"), record)

    # ---- writing ----------------------------------------------------------------------------

    def put(
        self,
        coder: Coder,
        told: dict[str, Any],
        values: Mapping[str, Any],
        emptied: Container[str],
        metadata: dict[str, Any],
        *,
        is_latest: bool,
        read: str | None = None,
    ) -> None:
        """Save a checkpoint after the one that it names as its parent.

        Args:
            coder: how values are kept.
            told: what it says of itself, besides the channels: `id`, `parent` and others.
            values: the channels.
            emptied: channels that have no value any more, if not here.
            metadata: what LangGraph says of it.
            is_latest: its parent was read as the newest, so that it must still be that.
            read: the record at which its parent was read, if it was.

        Raises:
            Conflict: another worker went on from its parent, or channels were merged or edited in
                it that were not read (P3).
            StateDeleted: the thread was deleted meanwhile.
        """
        kept = {"parent": told["parent"], "langgraph": metadata}
        bare = [each for each in told.pop(UNVERSIONED, ()) if each not in self._others]
        told |= {UNVERSIONED: bare} if bare else {}
        channels = channels_in(told).union(values)

        def seen(found: Found) -> None:
            if read is not None:
                self._require_read_before(found, read, channels)

        def saved() -> None:
            tip, onto = self._place(told["id"], told["parent"], is_latest, seen)
            gone = None if onto == "start" else emptied
            if onto == "on":
                self._require_read(tip, read, channels)
            if told["id"] != tip.id:
                early = self._early.get(told["id"], ())
                interrupts.renew(tip.session, early, self._asked.get(told["id"], {}))
            self.log.add(tip.put(coder, told, values, gone, kept, self._early))
            self._early.pop(told["id"], None)
            self._asked.pop(told["id"], None)

        self._trying(saved)

    def put_writes(
        self, checkpoint_id: str, entries: Sequence[Entry], payloads: Mapping[str, Any] = _NOTHING
    ) -> None:
        """Save writes of a task that belong to a checkpoint, which may come later.

        Args:
            checkpoint_id: the checkpoint's.
            entries: the writes.
            payloads: what interrupts among them ask.

        Raises:
            StateDeleted: the thread was deleted meanwhile.
        """

        def saved() -> None:
            recent, is_early = self._place_of_writes(checkpoint_id)
            tip = recent or self.tip(MAIN)
            state = tip.session.state
            with tip.session.atomic():
                if recent is not None:
                    pending = state.setdefault(PENDING, [])
                    if tip.id == checkpoint_id:
                        interrupts.settle(tip.session, pending, entries, payloads)
                    is_new = added(pending, entries)
                else:
                    late = state.setdefault(LATE, {})
                    is_new = added(late.setdefault(checkpoint_id, []), entries)
            if is_new:
                self.log.add(tip.save(tip.id))
            if is_early:
                self._remember(checkpoint_id, entries, payloads)

        self._trying(saved)

    def _remember(
        self, checkpoint_id: str, entries: Sequence[Entry], payloads: Mapping[str, Any]
    ) -> None:
        """Writes whose checkpoint is still to come: it takes them along, on whatever branch."""
        self._early.setdefault(checkpoint_id, []).extend(entries)
        self._asked.setdefault(checkpoint_id, {}).update(payloads)
        for id_ in list(self._early)[:-EARLY_MAX]:
            del self._early[id_], self._asked[id_]

    def _place_of_writes(self, checkpoint_id: str) -> tuple[Tip | None, bool]:
        """The branch among whose pending writes some go, and whether their checkpoint is to come.

        None: they are late.
        """
        tip = self._tip_at(checkpoint_id)
        if tip is not None:
            return tip, False
        if not self.log.tips:
            self._refuse_late(checkpoint_id, None)
            return self.tip(MAIN), True
        is_newer = all((self.log.newest(name) or "") < checkpoint_id for name in self.log.tips)
        found = None if is_newer else self.log.find(checkpoint_id)
        if found is None:
            return next(reversed(self._tips.values()), None) or self.tip(MAIN), True
        for tip in self._tips.values():
            if tip.parent == checkpoint_id and tip.branch == found.branch:
                return tip, False
        return None, False

    def _trying(self, save: Callable[[], None]) -> None:
        """Save; again if others saved to the branch, as far as that leaves it possible."""
        with self.lock:
            for left in reversed(range(TRIES_MAX)):
                try:
                    return save()
                except _Lost as lost:
                    raise Conflict(str(lost)) from None
                except (Conflict, StateDeleted) as error:
                    if not left or isinstance(error, _Gone):
                        raise
                    self._again()
                except BaseException:
                    self.forget()  # its edits must not go with another's save
                    raise
            return None

    def _require_read(self, tip: Tip, read: str | None, channels: Collection[str]) -> None:
        """See that what was done to channels since they were put last was read by who puts now.

        Raises:
            _Lost: it was not.
        """
        state = tip.session.state
        held = channels_in(state.get(CHECKPOINT) or {})  # what a put does not have it would empty
        new = {each for each in channels if each not in held and section_of(each) in state}
        if read is None:
            new -= self._others  # they were read, if nobody says when
        self._refuse(unread(self.log.of(tip.branch), read, held.union(channels), new))

    def _require_read_before(self, found: Found, read: str, channels: Collection[str]) -> None:
        """The same of a checkpoint that others went on from, where it is to be forked.

        Raises:
            _Lost: it was not.
        """
        at = self._store.at(self.key, found.end.id, sections=[CHECKPOINT])
        records = dropwhile(lambda each: each.id != found.end.id, self.log.of(found.branch))
        self._refuse(unread(records, read, channels_in(at.get(CHECKPOINT) or {}).union(channels)))

    def _refuse(self, found: tuple[list[str], str] | None) -> None:
        if found is not None:
            raise _Lost(
                f"{', '.join(found[0])} of {self.key!r} was {found[1]} past LangGraph since it was "
                "read; nothing was overwritten. Read the thread again"
            )

    def _place(
        self, id_: str, parent: str | None, is_latest: bool, seen: Callable[[Found], None]
    ) -> tuple[Tip, Onto]:
        """The branch on which a checkpoint goes, and how it goes there.

        `seen` sees that what its parent holds was read, where it is to be forked.
        """
        there = self._open_at(parent) if parent is not None else None
        if there is not None:
            return there, "on"
        if not self.look():
            self._refuse_late(id_, parent)
            self._waited_for = max(0, self._waited_for - 1)
            return self.tip(MAIN), "start"
        for wanted in (parent, id_):
            there = self._tip_at(wanted) if wanted is not None else None
            if there is not None:
                return there, "on"
        found = self.log.find(id_)
        if found is not None:
            return self._fork(id_, found), "fork"
        return self._place_apart(id_, parent, is_latest, seen)

    def _place_apart(
        self, id_: str, parent: str | None, is_latest: bool, seen: Callable[[Found], None]
    ) -> tuple[Tip, Onto]:
        """The same where no branch is at the parent."""
        found = self.log.find(parent) if parent is not None else None
        main = self.tip(MAIN)
        if parent is None and self._waited_for and main.id is not None:
            self._waited_for -= 1
            raise _Lost(f"another worker began {self.key!r} meanwhile; nothing was overwritten")
        if is_latest:
            what = "went on from" if found is not None else "took away"
            raise _Lost(
                f"another worker {what} checkpoint {parent} of {self.key!r} meanwhile; nothing was "
                "overwritten. Read the thread again, or go on from that checkpoint by its id, "
                "which makes a branch"
            )
        if found is not None:
            seen(found)
            return self._fork(id_, found), "fork"
        if main.id is None:
            self._waited_for = max(0, self._waited_for - 1)
            return main, "start"
        self._refuse_late(id_, parent)
        assert main.session.checkpoint is not None
        return self._fork(id_, Found(MAIN, main.session.checkpoint)), "start"

    def _fork(self, id_: str, found: Found) -> Tip:
        """A branch for a checkpoint that goes on from one that others went on from before."""
        name = f"fork-{id_}"
        self._store.fork(self.key, name, at=found.end.id, branch=found.branch, exist_ok=True)
        self.look()
        return self.tip(name)

    def _refuse_late(self, id_: str, parent: str | None) -> None:
        """Refuse what was under way when the thread was deleted.

        Raises:
            StateDeleted: it was.
        """
        deleted = self._deleted()
        if deleted is None:
            return
        times = [time_of(each) for each in (id_, parent) if each is not None]
        if parent is not None or any(each is not None and each <= deleted for each in times):
            raise _Gone(f"the thread of {self.key!r} was deleted meanwhile; nothing was saved")

    def _deleted(self) -> datetime | None:
        """When the thread was deleted or erased last."""
        keys = {self.key, self._root}
        erased = [each.at for key in keys for each in self._store.erasures(key)]
        times = erased + [
            info.deleted
            for key in keys
            for info in self._store.states(key, limit=1, deleted=True)
            if info.key == key and info.deleted is not None
        ]
        return max(times, default=None)


class _Lost(Exception):
    """A race that was lost for good: told as `Conflict`, and not tried again."""


class _Gone(StateDeleted):
    """The thread was deleted: not to be tried again."""
