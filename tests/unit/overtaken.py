"""A backend under which others do something at a chosen moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.backends.memory import MemoryBackend
from perdure.engine.requests import ReadHead


class Overtaken(MemoryBackend):
    """Lets something happen once, right before or after it answers a request of some kind."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.kinds: tuple[type[Any], ...] = ()
        self.before: Callable[[], object] | None = None
        self.after: Callable[[], object] | None = None
        self.hides = False
        """Whether it says once that there is no state."""

    def perform(self, request: Any) -> Any:
        if self.hides and isinstance(request, ReadHead):
            self.hides = False
            return None
        is_due = isinstance(request, self.kinds)
        if is_due and self.before is not None:
            happens, self.before = self.before, None
            happens()
        answer = super().perform(request)
        if is_due and self.after is not None:
            happens, self.after = self.after, None
            happens()
        return answer
