"""The driver of one session, which tells it when its state was erased."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from perdure.drive import Driver
from perdure.engine.requests import Request, Steps
from perdure.errors import (
    CheckpointNotFound,
    Erased,
    NeedsPerson,
    PerdureError,
    Reload,
    StateNotFound,
)

if TYPE_CHECKING:
    from perdure.engine.session import SessionCore

T = TypeVar("T")

_MAY_MEAN_IT = Reload, NeedsPerson, StateNotFound, CheckpointNotFound
"""How it shows that a state is not there any more: rows are missing, the head is another's."""


class SessionDriver(Driver):
    """A driver for the steps of one session. All but what it tells is that of the driver itself."""

    def __init__(self, driver: Driver, core: SessionCore) -> None:
        self._whole = driver
        self._core = core
        self.scope = driver.scope  # never another; each save looks at it

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def belongs_to(self, driver: Driver) -> bool:
        """Whether it is a driver, or stands before it."""
        return self is driver or self._whole.belongs_to(driver)

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self._whole.closed

    def connect(self) -> Any:
        """The store's identity; opens it on first use."""
        return self._whole.connect()

    def _answering(self, makes: bool) -> Any:
        return self._whole._answering(makes)

    def run(
        self, steps: Steps[T], *, makes: bool = True, pausing: Callable[[], None] | None = None
    ) -> T:
        """Run an engine generator to its end in this thread.

        Raises:
            Erased: what it met came of the state's having been erased.
        """
        try:
            return self._whole.run(steps, makes=makes, pausing=pausing)
        except _MAY_MEAN_IT as error:
            told = self._whole.run(self._told(error), makes=False)
            if told is None:
                raise
            raise told from error

    async def arun(self, steps: Steps[T], *, makes: bool = True) -> T:
        """Run an engine generator to its end on the running event loop.

        Raises:
            Erased: what it met came of the state's having been erased.
        """
        try:
            return await self._whole.arun(steps, makes=makes)
        except _MAY_MEAN_IT as error:
            told = await self._whole.arun(self._told(error), makes=False)
            if told is None:
                raise
            raise told from error

    def _told(self, error: PerdureError) -> Steps[Erased | None]:
        from perdure.engine.erase import was_erased  # hardly ever

        core = self._core
        if isinstance(error, Erased) or core.position is None:
            return None
        return (yield from was_erased(core.site.key, core.position.head.incarnation))

    def answer(self, request: Request) -> Any:
        """The answer to one request."""
        return self._whole.answer(request)

    def commit_all(self, requests: Any) -> Any:
        """Settle commits of one thread in one transaction."""
        return self._whole.commit_all(requests)

    def close(self) -> None:
        """Close the store."""
        self._whole.close()
