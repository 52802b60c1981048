"""What the agent's record asks of the session it belongs to, and of the code of its user.

As the engine does for storage, `perdure.agent` says in generators what is to be done, and
`perdure.agent.perform` does it, for either kind of session; the simulator does it too, and crashes
it at every act.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias, TypeVar

import msgspec

from perdure.engine.claims import Settling
from perdure.engine.requests import Steps
from perdure.errors import UsageError
from perdure.types import Durability

T = TypeVar("T")

Acts: TypeAlias = Generator[Any, Any, T]
"""A generator that yields acts, is sent their results, and returns its own."""


class Call(msgspec.Struct, frozen=True):
    """Call a function of the user; what it raises is raised at the yield. Result: what it gives.

    Under asyncio what it gives is awaited, if that can be.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    effect: Any = None
    """The `Effect` that it performs, which is the current one meanwhile."""


class NotCalled(UsageError):
    """The function was not called: it is one that the session cannot call."""


current_effect: ContextVar[Any] = ContextVar("perdure.effect", default=None)


@contextmanager
def performing(effect: Any) -> Iterator[None]:
    """While a function is called: the effect that it performs."""
    token = current_effect.set(effect)
    try:
        yield
    finally:
        current_effect.reset(token)


class Work(msgspec.Struct, frozen=True):
    """Call a function of ours that takes its time and waits for nothing. Result: what it gives.

    Under asyncio it runs in another thread.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()


class Save(msgspec.Struct, frozen=True):
    """Save the session. Result: the `Checkpoint`."""

    durability: Durability | None = None
    settles: tuple[Settling, ...] = ()
    """Outcomes of claims that become known with it."""


class Edit(msgspec.Struct, frozen=True):
    """Edit the state by a function of ours, in its turn among edits. Result: what it gives."""

    function: Callable[[], Any]
    is_block: bool = False
    """Whether its edits are undone if it fails, as in an atomic block; that is what it is in."""


class Refresh(msgspec.Struct, frozen=True):
    """Take in what others saved, and keep what is not saved here."""


class Load(msgspec.Struct, frozen=True):
    """See to it that a section that there is can be read."""

    name: str


class Window(msgspec.Struct, frozen=True):
    """Read the newest items of a list. Result: plain copies of them."""

    name: str
    last: int


class Sleep(msgspec.Struct, frozen=True):
    """Wait."""

    seconds: float


class Clock(msgspec.Struct, frozen=True):
    """What time it is. Result: a `datetime` in UTC."""


class Ask(msgspec.Struct, frozen=True):
    """Run an engine generator. Result: what it returns."""

    steps: Steps[Any]
