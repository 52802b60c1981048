"""What a `Session` does with the agent's record: a method each, whose body is acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from perdure.agent.acts import Acts
    from perdure.session import Session

T = TypeVar("T")


class AgentSession:
    """The agent's record, for `Session`."""

    def _act(self: Session[Any], acts: Acts[T]) -> T:  # type: ignore[misc]
        from perdure.agent.perform import perform  # few sessions are an agent's

        self._require_open()
        return perform(self, acts)
