"""What `AsyncStore` does with branches: the methods of `perdure.branching`, awaited."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from perdure.branching import BranchingBase
from perdure.core.head import MAIN
from perdure.core.refs import Ref
from perdure.engine import branches, movements
from perdure.engine.requests import Steps
from perdure.types import BranchInfo, Merge, Movement, Strategies

T = TypeVar("T")


class AsyncBranching(BranchingBase):
    """What can be done with the branches of a state."""

    if TYPE_CHECKING:

        async def _ask(self, steps: Steps[T]) -> T:
            """Run steps that read, or read before they write."""

    async def branches(self, key: str) -> list[BranchInfo]:
        """The branches of a state, `main` first, the others by name.

        Raises:
            StateNotFound: there is no such state.
        """
        return await self._ask(self._asking(movements.branches, key))

    async def fork(
        self,
        key: str,
        name: str,
        *,
        at: Ref | None = None,
        branch: str = MAIN,
        exist_ok: bool = False,
    ) -> BranchInfo:
        """Make a branch that goes on from a checkpoint, apart from then on. Nothing is copied.

        Args:
            key: the state's key.
            name: of the new branch; `open(key, branch=name)` works on it.
            at: the checkpoint; the newest of `branch` if left out.
            branch: the one on which `at` is looked for.
            exist_ok: if there is a branch of this name, leave it as it is.

        Returns:
            The branch. Its `effects` are what the other one did to the world since that checkpoint.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
            BranchExists: there is a branch of this name.

        Example:
            >>> for n in range(3):
            ...     store.fork("support/alice", f"try-{n}", at=12)
        """
        return await self._ask(self._forking(key, name, at, branch, exist_ok))

    async def rollback(
        self, key: str, to: Ref, *, branch: str = MAIN, dry_run: bool = False
    ) -> Movement | None:
        """Let a branch go on from an earlier checkpoint, or any other. Nothing is destroyed.

        What the branch leaves stays in the store: `undo` goes back there, `history(every=True)`
        shows it, its checkpoints can be read by their ids. A session open on the branch is told at
        its next save.

        Args:
            key: the state's key.
            to: the checkpoint.
            branch: the one to move.
            dry_run: move nothing; say what would change, and what cannot be undone.

        Returns:
            What was done; None if the branch stands there already. Its `effects` are what was done
            to the world since that checkpoint, which nothing takes back.

        Raises:
            StateNotFound: there is no such state.
            CheckpointNotFound: it has no such checkpoint.
            Busy: another session holds the branch exclusively.

        Example:
            >>> store.rollback("support/alice", to="~3", dry_run=True).differences
            >>> store.rollback("support/alice", to=perdure.label("before refund"))
        """
        return await self._ask(
            self._moving(key, partial(branches.rolling_back, to=to, branch=branch), dry_run)
        )

    async def promote(
        self, key: str, branch: str, *, into: str = MAIN, dry_run: bool = False
    ) -> Movement | None:
        """Let a branch go on from where another one is that was forked from it ("fast-forward").

        The branch that is promoted stays as well. It need not have been forked from `into`: that it
        merged where `into` is now does as well. What `into` did by itself is then in the history of
        neither (`Movement.left` says how much), only in `history(every=True)`.

        Args:
            key: the state's key.
            branch: the one that has what is to be kept.
            into: the one to move.
            dry_run: move nothing; say what would change.

        Returns:
            What was done; None if both stand at one checkpoint.

        Raises:
            NotAncestor: `into` has checkpoints that `branch` neither went on from nor merged.
            StateNotFound: there is no such state.
            BranchNotFound: it has no such branch.
            Busy: another session holds the branch exclusively.
        """
        return await self._ask(
            self._moving(key, partial(branches.promoting, branch=branch, into=into), dry_run)
        )

    async def rename_branch(self, key: str, branch: str, name: str) -> Movement | None:
        """Give a branch another name; `undo` gives the old one back.

        Raises:
            UsageError: it is `main`, or the name is none for a branch.
            BranchExists: there is a branch of that name.
            BranchNotFound: there is no such branch.
            Busy: another session holds the branch exclusively.
        """
        return await self._ask(
            self._moving(key, partial(branches.renaming, branch=branch, name=name), False)
        )

    async def delete_branch(
        self, key: str, branch: str, *, dry_run: bool = False
    ) -> Movement | None:
        """Remove the name of a branch; `undo` gives it back, until its checkpoints are pruned.

        Args:
            key: the state's key.
            branch: the one to delete; not `main`.
            dry_run: delete nothing; say what would be left.

        Raises:
            UsageError: it is `main`.
            BranchNotFound: there is no such branch.
            Busy: another session holds the branch exclusively.
        """
        return await self._ask(
            self._moving(key, partial(branches.deleting, branch=branch), dry_run)
        )

    async def undo(self, key: str, *, dry_run: bool = False) -> Movement:
        """Take back the state's newest movement: fork, rollback, promotion, renaming, deletion.

        That is the newest of all its branches, also where another agent made it. One of your own,
        whatever others did since, is taken back by `rollback` to where the branch stood. Called
        again, `undo` takes back the one before, and so on; `redo` goes the other way. What was
        saved since stays in the store as after any movement.

        Args:
            key: the state's key.
            dry_run: move nothing; say what would change.

        Raises:
            UsageError: nothing was moved, or all of it was taken back.
            Busy: another session holds the branch exclusively.

        Example:
            >>> moved = store.rollback("support/alice", to=12)
            >>> store.undo("support/alice")  # the same here, if nobody moved a branch meanwhile:
            >>> store.rollback("support/alice", to=moved.before.id, branch=moved.branch)
        """
        moved = await self._ask(self._moving(key, branches.undoing, dry_run))
        assert moved is not None
        return moved

    async def redo(self, key: str, *, dry_run: bool = False) -> Movement:
        """Take back the newest `undo`, if no branch was moved since.

        Args:
            key: the state's key.
            dry_run: move nothing; say what would change.

        Raises:
            UsageError: there is no such undo.
            Busy: another session holds the branch exclusively.
        """
        moved = await self._ask(self._moving(key, branches.redoing, dry_run))
        assert moved is not None
        return moved

    async def merge(
        self,
        key: str,
        branch: str,
        *,
        into: str = MAIN,
        strategies: Strategies | None = None,
        label: str | None = None,
        dry_run: bool = False,
    ) -> Merge | None:
        """Merge what another branch did since the two parted, as one checkpoint on `into`.

        Edits of different places are both kept: positions in lists are moved along, and items with
        an `id` are known by it. The branch that is merged stays as it is, and may be merged again.

        Args:
            key: the state's key.
            branch: the one whose edits to take in.
            into: the one to take them in.
            strategies: what to do where both changed the same place, by path: `"ours"` (of `into`),
                `"theirs"`, `"append"` (of lists: our whole run, then theirs), `"set"`, `"counter"`,
                or a function of (base, ours, theirs). `*` in a path is any one part, `**` at its
                end any rest; a tuple is one place, such as the `path` of a conflict. `"error"` by
                default: nothing is merged.
            label: a name to find the checkpoint by.
            dry_run: merge nothing; say what would change, and which conflicts there are.

        Returns:
            What was done; None if `branch` did nothing that `into` has not taken in. Where the
            strategies were for ours in all, or both did the same, the checkpoint changes nothing,
            and notes what was taken in, so that it does not come up again.

        Raises:
            MergeConflicts: no strategy says which of both is right; nothing was changed.
            UsageError: there is no such strategy, or a branch is to be merged into itself.
            BranchNotFound: there is no such branch.
            Busy: a session holds `into` exclusively.
            NotStorable: what the branch did since is more than one checkpoint can hold.

        Example:
            >>> store.merge("support/alice", "what-if", strategies={"messages": "append"})
        """
        return await self._ask(self._merging(key, branch, into, strategies, label, dry_run))

    async def movements(self, key: str) -> list[Movement]:
        """Everything that was done to the branches of a state, newest first.

        Raises:
            StateNotFound: there is no such state.
        """
        return await self._ask(self._asking(movements.movements, key))
