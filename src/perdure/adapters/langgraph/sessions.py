"""Sessions on the state that a thread of LangGraph is kept in: one on each branch in use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from perdure.adapters.langgraph.log import Log
from perdure.adapters.langgraph.tip import Edits, Tip
from perdure.core.head import MAIN
from perdure.errors import PerdureError, StateNotFound
from perdure.expiring import expires_us
from perdure.types import Durability

if TYPE_CHECKING:
    from perdure.store import Store

TIPS_MAX = 4
"""Branches of one thread on which sessions are kept open (sessions)."""


class Options(msgspec.Struct, frozen=True):
    """How a saver keeps threads."""

    edits: Edits
    durability: Durability | None
    exclusive: bool
    wait: float
    expires_in: timedelta | None = None

    def __post_init__(self) -> None:
        expires_us(self.expires_in)  # a saver says so when it is made, not in the middle of a run


class Sessions:
    """Sessions on the branches of one state, and what is known of its records.

    Args:
        store: where it is.
        key: its key.
        options: how it is worked on.
    """

    def __init__(self, store: Store, key: str, options: Options) -> None:
        self.lock = threading.RLock()
        self.key = key
        self.log = Log(store, key)
        self._store = store
        self._options = options
        self._tips: OrderedDict[str, Tip] = OrderedDict()
        self._latest = MAIN
        """The branch that was read as the newest last."""

    def look(self) -> bool:
        """See where the branches are now; whether there is such a state."""
        try:
            branches = self._store.branches(self.key)
        except StateNotFound:
            self.forget()
            return False
        self.log.moved(branches)
        tips = self.log.tips
        for name, tip in list(self._tips.items()):
            newest = tip.session.checkpoint
            if name not in tips:
                self._drop(name)
            elif newest is None or newest.id != tips[name]:
                try:
                    tip.refresh()
                except PerdureError:
                    self._drop(name)
        return True

    def _tip_at(self, checkpoint_id: str) -> Tip | None:
        """The branch whose newest checkpoint this is."""
        tip = self._open_at(checkpoint_id)
        if tip is not None:
            return tip
        if not self.look():
            return None
        for name in list(self.log.tips):
            if self.log.newest(name) == checkpoint_id:
                return self.tip(name)
        return None

    def _latest_tip(self) -> Tip:
        self._latest = self.log.latest()
        return self.tip(self._latest)

    def _open_at(self, checkpoint_id: str) -> Tip | None:
        """The session on a branch at a checkpoint; of several, that which was read as the newest.

        There are several where one was forked and did no more than merge.
        """
        at = {tip.branch: tip for tip in self._tips.values() if tip.id == checkpoint_id}
        return at.get(self._latest) or next(iter(at.values()), None)

    def tip(self, branch: str) -> Tip:
        """A session on a branch."""
        tip = self._tips.get(branch)
        if tip is None:
            options = self._options
            session = self._store.open(
                self.key,
                branch=branch,
                exclusive=options.exclusive,
                wait=options.wait,
                expires_in=options.expires_in,
            )
            tip = self._tips[branch] = Tip(session, options.edits, options.durability)
            for name in list(self._tips)[:-TIPS_MAX]:
                if name not in (MAIN, branch):
                    self._drop(name)
        self._tips.move_to_end(branch)
        return tip

    def tips(self) -> Iterator[Tip]:
        """The sessions that are open."""
        return iter(list(self._tips.values()))

    def _drop(self, name: str) -> None:
        tip = self._tips.pop(name)
        with suppress(PerdureError):
            tip.session.refresh()  # what was not saved does not go with the end
        with suppress(PerdureError):
            tip.session.close()

    def forget(self) -> None:
        """End the sessions, and know nothing any more."""
        with self.lock:
            for name in list(self._tips):
                self._drop(name)
            self.log.clear()

    def _again(self) -> None:
        """See what others did, without the edits that came after theirs."""
        for name, tip in list(self._tips.items()):
            try:
                tip.refresh()
            except PerdureError:
                self._drop(name)
        self.look()
