"""What an `AsyncSession` does with the agent's record: a method each, whose body is acts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from perdure.agent.acts import Acts
    from perdure.aio_session import AsyncSession

T = TypeVar("T")


class AsyncAgentSession:
    """The agent's record, for `AsyncSession`."""

    async def _act(self: AsyncSession[Any], acts: Acts[T]) -> T:  # type: ignore[misc]
        from perdure.agent.perform import aperform  # few sessions are an agent's

        self._require_open()
        return await aperform(self, acts)
