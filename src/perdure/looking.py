"""What `Store` tells of states: their history, how they were, what differs, who works on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from perdure.core.head import MAIN
from perdure.core.refs import Ref
from perdure.engine import marks, states
from perdure.engine.load import read_section
from perdure.engine.read import required
from perdure.engine.requests import Steps
from perdure.engine.unread import Unread
from perdure.engine.view import checkpoint_of
from perdure.errors import UsageError
from perdure.opening import Loading, look_at
from perdure.store_base import StoreBase
from perdure.types import (
    Checkpoint,
    SessionInfo,
    StateInfo,
)

if TYPE_CHECKING:
    from perdure.core.diff import Difference
    from perdure.engine.blame import Parts
    from perdure.views import View
    from perdure.watching import Watch

T = TypeVar("T")


class _Looking(StoreBase, is_part=True):
    """What both do."""

    def _history(
        self,
        key: str,
        limit: int | None,
        before: Ref | None,
        changes: bool,
        branch: str,
        every: bool,
    ) -> Steps[list[Checkpoint]]:
        if every:
            return (
                yield from self._asking(
                    partial(states.whole_history, limit=limit, before=before, changes=changes), key
                )
            )
        asked = partial(states.history, limit=limit, before=before, changes=changes, branch=branch)
        return (yield from self._asking(asked, key))

    def _viewing(self, key: str, ref: Ref, loading: Loading) -> Steps[View[Any]]:
        from perdure.views import View

        site, loaded, sections = yield from self._asking(
            partial(look_at, ref=ref, loading=loading), key
        )
        assert loaded.last is not None
        unread = {name: kept for name, kept in sections.items() if type(kept) is Unread}

        def read(name: str) -> Any:
            reading = read_section(site, loaded.head, loaded.branch, name, unread)
            return self._driver.run(reading, makes=False)

        checkpoint = checkpoint_of(key, loaded.branch, loaded.last)
        return View(sections, checkpoint, unread, read if loading.lazy else None, loading.schema)

    def _diffing(
        self, key: str, before: Ref, after: Ref, other: str | None, schema: type[Any] | None
    ) -> Steps[list[Difference]]:
        from perdure.engine.compare import compare, compare_states

        if schema is not None:
            from perdure.core.diff import diff

            old = yield from self._whole(key, before, schema)
            new = yield from self._whole(other or key, after, schema)
            return diff(old, new)

        if other is None or other == key:
            return (yield from self._asking(partial(compare, before=before, after=after), key))
        one = yield from self._asking(required, key)
        two = yield from self._asking(required, other)
        return (yield from compare_states(one, before, two, after))

    def _whole(self, key: str, ref: Ref, schema: type[Any]) -> Steps[dict[str, Any]]:
        """All sections of a state at a checkpoint, as a schema has them."""
        from perdure.state.sections import RESERVED

        loading = Loading(True, None, {}, lazy=False, schema=schema)
        _, _, sections = yield from self._asking(partial(look_at, ref=ref, loading=loading), key)
        return {name: value for name, value in sections.items() if not name.startswith(RESERVED)}

    def _blaming(self, key: str, path: Parts, at: Ref | None) -> Steps[Checkpoint]:
        from perdure.engine.blame import blame

        return (yield from self._asking(partial(blame, path=path, at=at), key))

    def _listing(
        self, prefix: str, limit: int, after: str | None, deleted: bool
    ) -> Steps[list[StateInfo]]:
        if limit < 1:
            raise UsageError(f"limit must be at least 1, not {limit}")
        return (yield from states.listing(self._driver.store_id, prefix, limit, after, deleted))


class Looking(_Looking, is_part=True):
    """What can be asked of states; nothing here writes."""

    def history(
        self,
        key: str,
        *,
        limit: int | None = None,
        before: Ref | None = None,
        changes: bool = False,
        branch: str = MAIN,
        every: bool = False,
    ) -> list[Checkpoint]:
        """Checkpoints of a state, newest first.

        Args:
            key: the state's key.
            limit: at most so many.
            before: only those before this one (for paging).
            changes: give each its changes too.
            branch: whose checkpoints.
            every: those of all branches, and of what they left, instead.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: `before` names none.
        """
        return self._look(self._history(key, limit, before, changes, branch, every))

    @overload
    def at(
        self,
        key: str,
        ref: Ref,
        *,
        sections: Iterable[str] | None = None,
        windows: Mapping[str, int] | None = None,
        schema: None = None,
    ) -> View: ...

    @overload
    def at(
        self,
        key: str,
        ref: Ref,
        *,
        sections: Iterable[str] | None = None,
        windows: Mapping[str, int] | None = None,
        schema: type[T],
    ) -> View[T]: ...

    def at(
        self,
        key: str,
        ref: Ref,
        *,
        sections: Iterable[str] | None = None,
        windows: Mapping[str, int] | None = None,
        schema: type[Any] | None = None,
    ) -> View[Any]:
        """The state as it was at a checkpoint, read-only.

        Only what is asked for is read, and of a window only its items.

        Args:
            key: the state's key.
            ref: the checkpoint: its number, its id or the beginning of that, `"branch@number"`,
                `"~3"`, `perdure.label(…)` or `perdure.time(…)`.
            sections: read these at once, the others when they are touched (`AsyncStore`: not at
                all). By default each is read when touched (`AsyncStore`: all at once).
            windows: by name of a section that is a list, how many of its last items to read: it is
                then a list of these alone, whose `offset` is the number of those before them.
            schema: show it as this class has it, whatever version it was saved in: `View.state`.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
            UsageError: a section of which a window was asked for is no list.
            MigrationFailed: what is stored does not fit a migration.
        """
        loading = Loading(True, sections, windows or {}, lazy=True, schema=schema)
        return self._look(self._viewing(key, ref, loading))

    def diff(
        self,
        key: str,
        before: Ref,
        after: Ref,
        *,
        other: str | None = None,
        schema: type[Any] | None = None,
    ) -> list[Difference]:
        """What differs between two checkpoints, on whatever branches, or between two states.

        Two checkpoints of one state cost what differs; of two states, both are read whole.

        Args:
            key: the state's key.
            before: a checkpoint of it; which of both is the older does not matter.
            after: the other checkpoint.
            other: the key of the state that has `after`; by default the same.
            schema: compare them as this class has them, whatever versions they were saved in. Both
                are read whole then.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
            BranchNotFound: a reference names a branch that is not there.

        Example:
            >>> store.diff("support/alice", "main", "what-if")
            >>> store.diff("support/alice", "main", "main", other="support/bob")
        """
        return self._look(self._diffing(key, before, after, other, schema))

    def blame(self, key: str, path: Parts, *, at: Ref | None = None) -> Checkpoint:
        """The checkpoint that last wrote what is at a path, and with it the session.

        That is the newest that set the value itself, changed something in it, or set a whole that
        it is part of. Items of lists are followed through what was put in and taken out before
        them; one that was taken out and put in again elsewhere was written then. What `merge` took
        from a branch was written there: `Checkpoint.branch` says where. The merge itself is named
        for what it made of both sides, and where that branch's past was pruned. Records are read
        back from the newest, so it costs more the longer ago it was.

        Args:
            key: the state's key.
            path: a section and what leads on from it: written as `perdure show` takes it, such as
                `"plan/3/status"`, or its parts, such as `("plan", 3, "status")`.
            at: the checkpoint at which to look it up; the newest by default.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
            PathNotFound: nothing is there; the message says how far the path goes.
        """
        return self._look(self._blaming(key, path, at))

    def states(
        self,
        prefix: str = "",
        *,
        limit: int = 100,
        after: str | None = None,
        deleted: bool = False,
    ) -> list[StateInfo]:
        """States whose key begins with `prefix`, in key order, none of them opened.

        A state whose head is damaged is listed with the status `"damaged"`, deleted or not. Of one
        key there may be several deleted states, listed newest first; `StateInfo.life` tells them
        apart.

        Args:
            prefix: beginning of the keys.
            limit: at most so many keys; the next page is `after=page[-1].key`.
            after: only keys after this one.
            deleted: the deleted ones instead, also of keys that are in use again.
        """
        return self._look(self._listing(prefix, limit, after, deleted))

    def info(self, key: str) -> StateInfo:
        """What `states` says of one state.

        Raises:
            StateNotFound: there is no such state.
        """
        return self._look(self._asking(states.info, key))

    def watch(
        self,
        key: str,
        *,
        cursor: str | None = None,
        since: Literal["now", "start"] = "now",
        interval: float = 0.1,
        timeout: float | None = None,
        branch: str = MAIN,
    ) -> Watch:
        """New checkpoints as they land, from any process, each with its changes.

        Of each state they come in order, none twice, and none is left out, also over restarts of
        the watcher, as long as it goes on with the cursor of the last one that it handled. A branch
        that was rolled back goes on at an earlier number; what it left is given too. States that
        are made later are watched from their first checkpoint. The store may be made later as well.

        Args:
            key: the state's key; with a `*` at its end, all that begin so; `"*"` is all.
            cursor: `Landed.cursor` or `Watch.cursor` of an earlier watch of the same.
            since: without a cursor, `"now"`, which begins with the call (`AsyncStore`: with `async
                with`, or the first step), or `"start"`, as if it had watched from the start.
            interval: how often to look for what others saved, in seconds; what is saved through
                this store is given at once.
            timeout: end the iteration when nothing came for so long, in seconds.
            branch: the branch to watch.

        Raises:
            UsageError: the cursor is none, or one of another store, key or branch.
            Damaged: the state cannot be read; of several, it is warned of and passed over.

        Example:
            >>> for landed in store.watch("support/*", cursor=kept):
            ...     handle(landed.checkpoint)
            ...     kept = landed.cursor
        """
        from perdure.watching import Watch

        return Watch(
            self._driver,
            key,
            cursor=cursor,
            since=since,
            interval=interval,
            timeout=timeout,
            branch=branch,
        )

    def sessions(self, key: str) -> list[SessionInfo]:
        """Sessions that saved something to a state, newest first.

        Raises:
            StateNotFound: there is no such state.
        """
        return self._look(self._asking(marks.sessions_of, key))
