"""`PerdureSession`: a session of the OpenAI Agents SDK whose conversation is a state."""

from __future__ import annotations

import os
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from agents.memory import SessionSettings

from perdure.adapters.openai_agents import turns
from perdure.adapters.openai_agents.approvals import ask_no_more
from perdure.adapters.openai_agents.items import has_acts, is_of_user, taken
from perdure.adapters.openai_agents.keeper import Keeper, Opened, Unchanged
from perdure.adapters.openai_agents.looking import tail
from perdure.adapters.openai_agents.places import COMPACTED, MESSAGES, RUNS, UNDERWAY, key_of
from perdure.adapters.openai_agents.runs import KeepingRuns, waiting
from perdure.adapters.openai_agents.turns import Summarizing, Turn
from perdure.adapters.openai_agents.underway import TellingHooks, cut_off, settle, take_in
from perdure.adapters.summary import SUMMARY_CHARS, text_of
from perdure.aio import AsyncStore
from perdure.core.head import MAIN
from perdure.core.refs import Ref
from perdure.state.node import plain
from perdure.types import Durability

if TYPE_CHECKING:
    from agents import RunContextWrapper, RunHooks, TResponseInputItem


class PerdureSession(KeepingRuns):
    """Keeps a conversation of the OpenAI Agents SDK as a state, and what belongs to it.

    It is a `Session` of the SDK: `Runner.run(agent, "Hi", session=session)`. What was added is
    durable when `add_items` returns. Several processes may use one conversation; each sees what
    the others added. Close it, or use it in an `async with` block: until then the conversation
    counts as being worked on.

    Example:
        >>> async with PerdureSession("alice", "agents.db") as session:
        ...     result = await Runner.run(agent, "Where is my order?", session=session)
    """

    def __init__(
        self,
        session_id: str,
        store: AsyncStore | str | os.PathLike[str],
        *,
        branch: str = MAIN,
        prefix: str = "sessions/",
        key: Any = None,
        session_settings: SessionSettings | None = None,
        durability: Durability | None = None,
    ) -> None:
        """Name where the conversation is kept; nothing is read or written yet.

        Args:
            session_id: what the SDK calls the conversation.
            store: a store, which stays open when the session is closed; or the URL of one.
            branch: the branch of the conversation; `fork` makes one.
            prefix: what the keys of conversations begin with, before their ids.
            key: the root key of an encrypted store, where `store` is a URL.
            session_settings: of the SDK: `limit` is how many of the last items a run is given.
            durability: what a save survives; the store's by default.

        Raises:
            InvalidStoreURL: not the name of a store.
            InvalidKey: the id is empty or too long.
        """
        super().__init__()
        self.session_id = session_id
        self.session_settings: SessionSettings | None = session_settings or SessionSettings()
        self.store = store if isinstance(store, AsyncStore) else AsyncStore(store, key=key)
        self._owns = not isinstance(store, AsyncStore)
        self._prefix = prefix
        self._keeper = Keeper(self.store, key_of(prefix, session_id), branch, durability)

    @property
    def key(self) -> str:
        """The key of the state: for `perdure show`, or `store.history(session.key)`."""
        return self._keeper.key

    @property
    def branch(self) -> str:
        """The branch of the conversation."""
        return self._keeper.branch

    # ---- what the SDK calls -----------------------------------------------------------------

    async def get_items(
        self, limit: int | None = None, *, wrapper: RunContextWrapper[Any] | None = None
    ) -> list[TResponseInputItem]:
        """The items of the conversation, oldest first, as others left it; copies of your own.

        Args:
            limit: the last so many alone; negative: all. By default as `session_settings` says.
            wrapper: the run that asks. Where it comes after one that crashed, calls of that which
                have no output are answered first, in a checkpoint of their own, so that the model
                is told: their outcome is not known.
        """
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit

        async def reading(session: Opened) -> tuple[list[Any], bool]:
            is_cut = wrapper is not None and bool(await cut_off(session))
            return ([] if is_cut else await tail(session, limit)), is_cut

        async def answering(session: Opened) -> list[Any]:
            await take_in(session, await cut_off(session))
            return await tail(session, limit)

        items, is_cut = await self._keeper.read(reading)
        if is_cut:
            items = await self._keeper.write(answering, label="answered what was cut off")
        return items

    async def add_items(
        self,
        items: Sequence[TResponseInputItem],
        *,
        wrapper: RunContextWrapper[Any] | None = None,
    ) -> None:
        """Add items to the conversation, as one checkpoint: durable when this returns.

        Where a message of the user comes after calls that have no output, since their turn crashed,
        these are answered in the same checkpoint: their outcome is not known.

        Args:
            items: dicts, or objects of the `openai` package.
            wrapper: the run that adds them; not looked at.

        Raises:
            NotStorable: one cannot be kept, `path` says where; nothing was added.
            StateDeleted: the conversation was deleted meanwhile.
        """
        if not items:
            return
        new = [taken(item) for item in items]
        acts = has_acts(new)
        asked = next((item for item in reversed(new) if is_of_user(item)), None)

        async def adding(session: Opened) -> None:
            if acts:
                await settle(session, new)
            if asked is not None:
                if left := await cut_off(session):
                    await take_in(session, left)
                self._keeper.sum_up(session, text_of(asked.get("content"), SUMMARY_CHARS))
            session.state.setdefault(MESSAGES, []).extend(new)

        await self._keeper.write(adding)

    async def pop_item(
        self, *, wrapper: RunContextWrapper[Any] | None = None
    ) -> TResponseInputItem | None:
        """Remove the last item of the conversation, and give it; None: there is none.

        Args:
            wrapper: the run that asks; not looked at.
        """

        async def popping(session: Opened) -> Any:
            if not await tail(session, 1):
                raise Unchanged(None)
            if not session.state[MESSAGES]:  # the window was popped empty
                await session.load(MESSAGES)
            return plain(session.state[MESSAGES].pop())

        return await self._keeper.write(popping, looks=True)

    async def clear_session(self, *, wrapper: RunContextWrapper[Any] | None = None) -> None:
        """Begin the conversation anew: it is empty then, and so are its runs that wait.

        What there was stays in its history, until that is pruned; `store.delete(session.key)`
        removes the conversation itself.

        Args:
            wrapper: the run that asks; not looked at.
        """

        async def clearing(session: Opened) -> None:
            kept = [name for name in (RUNS, COMPACTED, UNDERWAY) if name in session.state]
            if not kept and not await tail(session, 1):
                raise Unchanged(None)
            session.state[MESSAGES] = []
            await ask_no_more(session, await waiting(session))
            for name in kept:
                del session.state[name]
            self._keeper.sum_up(session, None)

        await self._keeper.write(clearing, label="cleared", looks=True)

    # ---- what a conversation is, beyond that ------------------------------------------------

    def hooks(self, inner: RunHooks[Any] | None = None) -> RunHooks[Any]:
        """Hooks for runs on this conversation, which save the calls of a run before they are made.

        The SDK saves calls when their tools have run: of a process that was killed in between, the
        next run knows nothing, and calls them again. With these hooks it is told of each call what
        came of it, or that this is not known. They cost a save for each response with calls, and
        one for each outcome. They are for runs of this conversation alone, not for agents that
        are tools of others.

        Args:
            inner: your own hooks, which are called as well.

        Example:
            >>> await Runner.run(agent, "Refund 17", session=session, hooks=session.hooks())
        """
        return TellingHooks(self._keeper, inner)

    async def turns(self) -> list[Turn]:
        """The turns of the conversation, oldest first. Each begins with a message of the user."""
        return await self._keeper.read(turns.found)

    async def rewind(self, turn: int) -> list[TResponseInputItem]:
        """Go back to before a turn: it and all later ones are taken out of the conversation.

        They stay in the history: `store.undo` does not know of them, `store.at` does. Turns that
        were compacted are brought back from there.

        Args:
            turn: its number, from 1 on, as `turns` gives it.

        Returns:
            The items that were taken out, the message of the user first.

        Raises:
            UsageError: there is no such turn.
            CheckpointPruned: the turn was compacted, and what was before is pruned.
        """

        async def rewinding(session: Opened) -> list[Any]:
            return await turns.rewind(session, self._keeper, turn)

        return await self._keeper.write(rewinding, label=f"rewound to turn {turn}", looks=True)

    async def fork(
        self, name: str, *, turn: int | None = None, at: Ref | None = None
    ) -> PerdureSession:
        """Make a branch of the conversation, which goes on apart from this one; nothing is copied.

        Args:
            name: of the branch.
            turn: go back to before this turn there; by default the branch has all of them.
            at: the checkpoint to fork at; the newest by default.

        Returns:
            A session on the branch, to be closed as this one.

        Raises:
            StateNotFound: nothing was added to the conversation yet.
            BranchExists: there is a branch of this name.
        """
        await self.store.fork(self.key, name, at=at, branch=self.branch)
        forked = PerdureSession(
            self.session_id,
            self.store,
            branch=name,
            prefix=self._prefix,
            session_settings=self.session_settings,
            durability=self._keeper.durability,
        )
        if turn is not None:
            await forked.rewind(turn)
        return forked

    async def compact(self, summary: str | Summarizing, *, keep_turns: int = 2) -> int:
        """Put a summary in the place of older turns. The original stays in the history.

        Args:
            summary: a text; or a function that is given the items and makes one, awaited or not.
                What others add while it works is kept.
            keep_turns: how many of the newest turns stay as they are.

        Returns:
            How many items the summary stands for; 0: there was nothing to compact.

        Raises:
            UsageError: the older turns were changed while the summary was made.

        Example:
            >>> await session.compact(lambda items: summarize(items), keep_turns=4)
        """
        return await turns.compact(self._keeper, summary, keep_turns)

    async def close(self) -> None:
        """End it, and close the store if it was given by its URL. Safe to call twice."""
        await self._keeper.close()
        if self._owns:
            await self.store.close()

    async def __aenter__(self) -> Self:
        """The session itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()
