"""The book-keeping of one session: what it read, what it captured, what it has saved.

`stage` captures at once and queues a body; `flush` writes everything queued. The facades call
`stage` before any wait and `flush` under the session's lock, so saves queue and coalesce by
themselves. A body that was sent is frozen, id and bytes, until its fate is known (P4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from perdure import limits
from perdure.core.changes import reordered
from perdure.core.head import MAIN, Claim, Head, Life, Mark
from perdure.core.leases import owner_of
from perdure.core.record import MERGED, SUMMARY
from perdure.engine.bodies import Body, Edited, Overtaken, Sent
from perdure.engine.branches import forking_from
from perdure.engine.capturing import Capturing
from perdure.engine.expiry import expiring
from perdure.engine.leases import leaving, lost
from perdure.engine.load import Loaded
from perdure.engine.marking import UNSET, ending, leaving_open, marking, settling
from perdure.engine.moving import move
from perdure.engine.placing import place
from perdure.engine.read import Site
from perdure.engine.refresh import (
    News,
    conflict_with,
    read_news,
    require_one_version,
    take_in,
)
from perdure.engine.requests import Durability, Now, ReadHead, Steps, Tell
from perdure.engine.row import Row
from perdure.engine.save import (
    Doubt,
    HeadMoved,
    Position,
    Unknowable,
    append,
    commit,
    same_place,
    same_tip,
    secured,
)
from perdure.engine.view import checkpoint_of_save
from perdure.engine.window import Elsewhere
from perdure.errors import (
    CheckpointPruned,
    Conflict,
    LeaseLost,
    PerdureError,
    Reload,
)
from perdure.types import Checkpoint, Holder, OnConflict, Strategy

if TYPE_CHECKING:
    pass


class SessionCore(Capturing):
    """One session's durable side; pure, driven by either facade."""

    def __init__(
        self,
        site: Site,
        document: Edited,
        loaded: Loaded | None,
        *,
        id: bytes,
        started_us: int,
        holder: Holder,
        branch: str = MAIN,
        on_conflict: OnConflict = "raise",
        strategies: Mapping[str, Strategy] = {},
        exclusive: bool = False,
        told: tuple[Mark, ...] = (),
        elsewhere: Elsewhere,
        missing: object,
        expires_us: int | None = None,
    ) -> None:
        super().__init__(site, document, loaded, branch, elsewhere, missing)
        self.check: Callable[[SessionCore, News], None] = require_one_version
        """Refuses what others saved, if this session cannot take it in."""
        self._on_conflict = on_conflict
        self.strategies = dict(strategies)
        """By path pattern, what a merge does where both sides changed the same place."""
        self.diverged: Conflict | None = None
        """Why this session works on a branch of its own: what its save met."""
        self.exclusive = exclusive
        """Whether it holds its branch, or did."""
        self.is_lease_lost = False
        """Whether it was found not to hold it any more."""
        self.id = id
        self.started_us = started_us
        self.holder = (holder.host, holder.pid, holder.boot, holder.started)
        self.told = told
        """Ends of earlier sessions that no record holds; the first record will."""
        self.row = Row()
        """How long nobody else has saved."""
        self._doubt = Doubt()
        """Whether what was sent may have landed."""
        self.mark: Mark | None = None
        """What heads remember of this session; None: it has saved nothing yet."""
        self._tail_bytes = loaded.tail_bytes if loaded is not None else 0
        """What the records since the newest snapshot take, as far as this session knows (bytes)."""
        self._tail_after = _snapshot_of(loaded.head, self.branch) if loaded is not None else 0
        """Number of that snapshot, as this session knows it; 0: there is none."""
        self._at_risk = False
        """Whether a power cut may take what this session saved last."""
        self.claiming: dict[str, Claim] = {}
        """Claims that may stand though nobody said so, by effect key."""
        self.acting: set[str] = set()
        """Effect keys of the claims it made of which no outcome was recorded."""
        self.acting_there: set[tuple[Life, str]] = set()
        """The same of other states in which it claimed."""
        self._expires_us = expires_us
        """How long after its last save the state is to expire; 0: never; None: as it is."""

    # ---- what it is ------------------------------------------------------------------------

    @property
    def holds(self) -> bool:
        """Whether it holds its branch exclusively, as far as it knows."""
        if not self.exclusive or self.is_lease_lost or self.position is None:
            return False
        return owner_of(self.position.head, self.branch) == self.id

    @property
    def merges(self) -> bool:
        """Whether its work is merged with what others saved first."""
        return self._on_conflict == "merge"

    def settled_by(self, body: Body, checkpoint: Checkpoint | None) -> None:
        """Drop a captured body of which others' checkpoint has all.

        How durable that is, nobody here was told: the next flush sees to it.
        """
        body.saved = checkpoint
        self.queue.remove(body)
        self._at_risk = True

    # ---- saving ---------------------------------------------------------------------------

    def flush(self, durability: Durability) -> Steps[Checkpoint | None]:
        """Write every queued body, in order; the newest checkpoint.

        Raises:
            Conflict: the branch moved; the bodies are kept for `refresh`.
            LeaseLost: it held the branch and does not any more; kept too.
            Busy: another session holds the branch; kept too.
            CommitUnknown: kept too, and sent again as it is by the next flush.
        """
        if self.merges and self.position is not None:
            yield from self.row.give_way(self.position.head, self.branch, self.id)
        while self._sent is not None or self.queue.is_asked:
            sent = self._sent = self._sent or (yield from place(self, None))
            yield from self._send(sent, durability)
        if self._at_risk and durability == "power" and self.position is not None:
            head = yield from secured(self.site, self.position.head)
            self._at_risk = False
            if same_place(head, self.position.head, self.branch):
                self.position = Position(head, head.token)
        return self.checkpoint

    def found(self, durability: Durability) -> Steps[bool]:
        """Make a state that is not there, with the lease on it; False: another one made it."""
        self.stage()
        try:
            yield from self.flush(durability)
        except Reload:
            return False
        return self.holds

    def tail_excess(self) -> float:
        """How many times its limit the tail is, as far as this session knows (records, bytes)."""
        if self.position is None:
            return 0
        tip = self.position.head.branches.get(self.branch)
        if tip is None:
            return 0
        after = _snapshot_of(self.position.head, self.branch)
        if after != self._tail_after:
            self._tail_after, self._tail_bytes = after, 0
        records = tip.number - after
        return max(records / limits.tail_records_max, self._tail_bytes / limits.tail_bytes_max)

    def end(self, how: str, error: str | None, durability: Durability) -> Steps[None]:
        """Write what is queued and how the session ended, and free the branch that it holds.

        Nothing is written if it never saved anything and holds nothing.
        """
        yield from self._end_here(how, error, durability)
        if self.acting_there:
            from perdure.engine.elsewhere import let_go  # few sessions claim in other states

            yield from let_go(self)

    def _end_here(self, how: str, error: str | None, durability: Durability) -> Steps[None]:
        while self._sent is not None or self.queue.is_asked:
            sent = self._sent = self._sent or (yield from place(self, (how, error)))
            yield from self._send(sent, durability)
        position, ended, now = self.position, self.mark, (yield Now())
        if ended is None or ended.end is not None:
            if not self.holds and not (ended is None and self.acting):
                return
        else:
            ended = replace(ended, end=how, error=error, ended_us=now)
        if position is None:
            return
        # A power cut may take the end itself, but not the saves before it that are to outlast one.
        weak: Durability = durability if self._at_risk else "process"
        change = ending(ended, leaving(self.branch, self.id), position.head.fence)
        if self.acting:
            change = leaving_open(self.id, change)
        for _ in range(limits.commit_tries_max):
            try:
                self.position = yield from commit(self.site, position, change, self.branch, weak)
                break
            except HeadMoved as moved:
                # Someone saved meanwhile; that this session ended is still worth telling.
                head = moved.head
                if head is None or head.incarnation != position.head.incarnation:
                    break
                position = Position(head, head.token)
        self.mark = ended

    def lease_lost(self, head: Head | None) -> LeaseLost:
        """Note that the branch is not held any more; the error for it."""
        self.is_lease_lost = True
        return lost(self.site, self.branch, head)

    def _send(self, sent: Sent, durability: Durability) -> Steps[None]:
        summary = sent.extra.get(SUMMARY, UNSET)
        marked = marking(sent.mark, sent.leasing, told=self.told, summary=summary)
        change = expiring(marked, self._expires_us)
        if sent.settles:
            change = yield from settling(self.site, sent, change)
        if sent.mark.end is not None and self.acting:
            change = leaving_open(self.id, change)
        try:
            for body in sent.bodies:
                if body.durability == "power":
                    durability = "power"  # one of those who share the record was promised it
            parts = sent.sealed, change, durability, sent.token, self._doubt
            self.position = yield from append(self.site, sent.base, self.branch, *parts)
        except HeadMoved as moved:
            self._sent = None
            self._doubt.is_there = False
            if self._is_past_lease(sent.base.head, moved.head):
                return  # it is placed anew
            if self.merges:
                self.row = Row()
                raise Overtaken(moved.head) from None
            error = yield from conflict_with(self, moved.head)
            if not (yield from self._forked_off(error)):
                if isinstance(error, Conflict):
                    self.check(self, News(moved.head, changes=list(error.their_changes)))
                raise error from None
            return
        except PerdureError:
            if not self._doubt.is_there:
                self._sent = None  # it certainly did not land: it may be given up
            raise
        self._doubt.is_there = False
        self.mark, self.told = sent.mark, ()
        self.row.saved(sent.mark.saved_us)
        self._at_risk = durability != "power"
        self._tail_bytes += len(sent.sealed.blob)
        extra = {**sent.extra, **self.merged()}
        self.checkpoint = checkpoint_of_save(
            self.site.key, self.branch, sent.sealed, self.id, sent.sections, extra
        )
        if masked := sent.masked:
            self.checkpoint = replace(self.checkpoint, masked=masked)
        self.took_in = None
        if self.acting:
            self.acting.difference_update(each.key for each in sent.settles)
        for body in sent.bodies:
            body.saved = self.checkpoint
            if body.moves:
                self.names = reordered(self.names, body.moves)
            self.queue.saved(body)
        self._sent = None

    def merged(self) -> dict[str, Any]:
        """What a record says of others' work that it was merged with."""
        return {} if self.took_in is None else {MERGED: self.took_in}

    def _forked_off(self, error: Reload) -> Steps[bool]:
        """Whether what was not saved goes to a new branch, from where this session is."""
        ours = self.position.head.branches.get(self.branch) if self.position is not None else None
        if self._on_conflict != "fork" or not isinstance(error, Conflict) or ours is None:
            return False
        digits = f"-{self.id.hex()[:8]}"
        # Room is left for the number that `forking_from` may add.
        name = self.branch[: limits.branch_chars_max - 2 * len(digits)] + digits
        plan = forking_from(self.site, name, self.branch, ours)
        try:
            done = yield from move(self.site, plan, session=self.id)
        except CheckpointPruned:
            return False  # there is nothing to fork from: it is told as if it had not asked for it
        assert done is not None
        self.diverged = error
        self.branch = done.entry.move.branch
        self.position = Position(done.now, done.now.token)
        if self.mark is not None:
            self.mark = replace(self.mark, branch=self.branch)
        yield Tell(
            f"a save to {self.site.key!r} found that others had saved to {error.branch!r} "
            f"meanwhile: this session goes on on the branch {self.branch!r}, with all its edits"
        )
        return True

    def _is_past_lease(self, base: Head, now: Head | None) -> bool:
        """Whether only the lease of the branch moved, which is no conflict for who held none.

        Raises:
            LeaseLost: it was the lease of this session.
        """
        if now is None or now.deleted_us is not None or now.incarnation != base.incarnation:
            return False
        if self.exclusive and owner_of(now, self.branch) != self.id:
            raise self.lease_lost(now) from None
        if self.exclusive or not same_tip(now, base, self.branch):
            return False
        self.position = Position(now, now.token)
        return True

    # ---- others' work ---------------------------------------------------------------------

    def refresh(self, keep_changes: bool) -> Steps[Checkpoint | None]:
        """Take in what others saved, in place; keep or give up what this session has not saved.

        Raises:
            Conflict: both sides changed the same sections and `keep_changes` was asked for.
            StateDeleted: the state this session opened is gone.
        """
        yield from self.settle()
        if keep_changes and self.merges and self.touched():
            from perdure.engine.rebase import rebase

            row = yield ReadHead(self.site.key)
            yield from rebase(self, self.site.head(row) if row is not None else None)
            return self.checkpoint
        while True:
            news = yield from read_news(self, keep_changes)
            if take_in(self, news, keep_changes):
                return self.checkpoint

    def settle(self) -> Steps[None]:
        """Learn the fate of what was sent: it may have landed, and cannot be given up before."""
        if self._sent is not None:
            try:
                yield from self._send(self._sent, "power")
            except Unknowable:
                # It may be given up. To keep it is too late, as after a conflict.
                self._sent, self._doubt.is_there = None, False
            except (Conflict, LeaseLost):
                pass


def _snapshot_of(head: Head, branch: str) -> int:
    """Number of the newest snapshot; 0: there is none."""
    tip = head.branches.get(branch)
    return tip.snapshots[0].number if tip is not None and tip.snapshots else 0
