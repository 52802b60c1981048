"""What a `Session` does with the agent's record: a method each, whose body is acts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from perdure.events import log
from perdure.session_base import SessionBase
from perdure.state.variable import T_co

if TYPE_CHECKING:
    from perdure.agent.acts import Acts
    from perdure.agent.environment import EnvironmentChanges
    from perdure.session import Session

T = TypeVar("T")


class AgentSession(SessionBase[T_co]):
    """The agent's record, for `Session`."""

    def _act(self, acts: Acts[T]) -> T:
        from perdure.agent.perform import perform  # few sessions are an agent's

        self._require_open()
        return perform(cast("Session[Any]", self), acts)

    def _act_last(self) -> None:
        """Note what is to be noted as the session ends; it ends all the same where that fails."""
        for section, acts in self._last_acts.items():
            try:
                self._act(acts())
            except Exception as error:
                log.warning(
                    "%s of %r was not noted as the session ended: %s", section, self.key, error
                )

    def environment(
        self,
        *,
        files: Iterable[str] = (),
        git: bool = False,
        packages: bool = False,
        env: Iterable[str] = (),
        root: str | os.PathLike[str] = ".",
    ) -> EnvironmentChanges:
        """What changed around the agent since it was here last; noted again as the session ends.

        Files are compared by size and time, and by their content where these differ. Paths are
        below the root, so a directory that was renamed or moved is the same. Of variables, only
        keyed hashes are kept. It is kept in the section `perdure.environment`.

        Args:
            files: patterns of those that count, like "src/**/*.py".
            git: whether the commit, the branch and the number of changed files count.
            packages: whether the versions of Python and of installed packages count.
            env: names of variables that count.
            root: the directory that the patterns begin in, and whose repository counts.

        Raises:
            UsageError: the root is no directory, or a pattern leads out of it.

        Example:
            >>> if changes := session.environment(files=["src/**/*.py"], git=True):
            ...     print(changes.summary())
            away 1:02:03; changed: src/app.py; git: 1f3c9ab → 77e01d2
        """
        from perdure.agent.environment import environment
        from perdure.agent.fingerprint import Asked

        asked = Asked(os.fspath(root), tuple(files), git, packages, tuple(env))
        return self._act(environment(self, asked))
