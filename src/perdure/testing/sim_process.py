"""A simulated process, and what may become of what it asks of a store."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from perdure.engine.read import Site
from perdure.engine.requests import Steps, StorageRequest
from perdure.types import Holder

Action: TypeAlias = Literal[
    "proceed",
    "crash before",
    "crash after",
    "crash inside",
    "lose answer",
    "lose request",
    "outage after",
    "outage before",
    "delay answer",
    "land late",
    "outage late",
]

ACTIONS: dict[Action, str] = {
    "proceed": "performed and answered",
    "crash before": "not performed; the actor dies",
    "crash after": "performed; the actor dies",
    "crash inside": "the actor dies between two operations of an object store",
    "lose answer": "performed; the actor is told CommitUnknown",
    "lose request": "not performed; the actor is told CommitUnknown",
    "outage after": "performed; CommitUnknown now and for every try until the engine gives up",
    "outage before": "the same, not performed",
    "delay answer": "performed; the actor sleeps while others go on",
    "land late": "the actor is told CommitUnknown, and the write lands later (object stores)",
    "outage late": "both: no try is answered, and the first of them lands later",
}
"""What may become of a storage request."""


class Died(BaseException):
    """The process that performs a request dies in the middle of it."""


@dataclass(eq=False, slots=True)
class Actor:
    """One process at work, through all its lives."""

    name: str
    script: Callable[[Actor], Steps[None]]
    seed: str
    """What its stream of randomness begins with."""
    site: Site
    """The state it works on, with the cache of its process: whatever that keeps, and when it lets
    go, what the actor is shown has to be right."""
    skew_us: int = 0
    """How far its clock is off."""
    steps: Steps[None] | None = None
    """None once it has ended."""
    pending: StorageRequest | None = None
    life: int = 0
    history: int = 0
    """A hash of every answer it was ever given: with the script, all that it is."""
    has_begun: bool = False
    """Whether anything ever became of a request of it."""
    wakes: int = 0
    """The step before which it sleeps."""
    waiting: tuple[Any, ...] = ()
    """The answer it will be given when it wakes."""
    _draws: random.Random | None = None

    @property
    def draws(self) -> random.Random:
        """Its stream of randomness, made when it is first drawn from: few who are asked draw."""
        if self._draws is None:
            self._draws = random.Random(self.seed)
        return self._draws

    @property
    def holder(self) -> Holder:
        """The process of its present life."""
        return Holder("sim", self.life, "", self.name)


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that may happen next."""

    actor: Actor
    action: Action
