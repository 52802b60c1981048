"""What `Store` and `AsyncStore` do with questions of agents: the same methods, awaited or not."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from perdure.core.codec import pack
from perdure.core.head import MAIN
from perdure.core.values import take
from perdure.engine import questions
from perdure.engine.requests import Now, Steps
from perdure.engine.view import when
from perdure.types import Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from perdure.drive import Driver
    from perdure.engine.read import Site
    from perdure.secrets.policy import Secrets

T = TypeVar("T")


class _Attending:
    """What both need of the store."""

    if TYPE_CHECKING:
        _driver: Driver
        _secrets: Secrets | None

        def _asking(self, work: Callable[[Site], Steps[T]], key: str) -> Steps[T]:
            """Steps on a state, whose store may be opened by them."""

    def _answering(self, key: str, id_: str, value: Any, by: str, branch: str) -> Steps[Question]:
        kept = take(value, ("answer",))
        if self._secrets is not None:
            from perdure.secrets.screen import kept as looked_over

            kept = looked_over(self._secrets, key, kept, ("perdure.questions", id_, "answer"))
        return self._asking(partial(questions.answer, id_, pack(kept), by, branch), key)

    def _open_questions(self, prefix: str) -> Steps[list[Question]]:
        # Its id is known once it was opened, and so as these steps run.
        found = yield from questions.waiting(self._driver.store_id, prefix)
        return [each for each in found if not each.is_timer]

    def _due(self, before: datetime | None, prefix: str) -> Steps[list[Question]]:
        limit = before.astimezone(UTC) if before is not None else when((yield Now()))
        found = yield from questions.waiting(self._driver.store_id, prefix)
        return [each for each in found if each.due is not None and each.due <= limit]


class Attending(_Attending):
    """What agents wait for."""

    if TYPE_CHECKING:

        def _look(self, steps: Steps[T]) -> T:
            """Run steps that read, or read before they write."""

    def answer(
        self, key: str, id: str, value: Any, *, by: str = "", branch: str = MAIN
    ) -> Question:
        """Answer a question that an agent waits with: `Session.ask` returns it then.

        It needs none of the agent's code, and never conflicts with what is saved meanwhile. The
        answer is to what was asked: where the agent asks something else under this id, it is none.

        Args:
            key: the state's key.
            id: of the question.
            value: the answer: anything that a state can hold.
            by: who answers.
            branch: on which it was asked.

        Returns:
            The question.

        Raises:
            StateNotFound: there is no such state.
            PathNotFound: it waits with no such question; the message names those that it does.
            UsageError: it is to be answered elsewhere (`Question.where`).
            AlreadyAnswered: it was answered otherwise.
            NotStorable: the answer cannot be stored.

        Example:
            >>> store.answer("support/alice", "approve refund", True, by="ann")
        """
        return self._look(self._answering(key, id, value, by, branch))

    def waiting(self, prefix: str = "") -> list[Question]:
        """The questions that nobody has answered, of all states below a prefix, by their keys.

        Those on `main`; of each state, only its questions are read.

        Example:
            >>> [(each.key, each.id, each.payload) for each in store.waiting("support/")]
            [('support/alice', 'approve refund', {'amount': 40})]
        """
        return self._look(self._open_questions(prefix))

    def due(self, *, before: datetime | None = None, prefix: str = "") -> list[Question]:
        """The timers that have run out, and the questions that have expired, by their keys.

        What a scheduler asks for, to open these states again.

        Args:
            before: as of this time; by default now.
            prefix: of the states' keys.

        Example:
            >>> for each in store.due():
            ...     resume(each.key)
        """
        return self._look(self._due(before, prefix))


class AsyncAttending(_Attending):
    """What agents wait for."""

    if TYPE_CHECKING:

        async def _ask(self, steps: Steps[T]) -> T:
            """Run steps that read, or read before they write."""

    async def answer(
        self, key: str, id: str, value: Any, *, by: str = "", branch: str = MAIN
    ) -> Question:
        """Answer a question that an agent waits with: `Session.ask` returns it then.

        It needs none of the agent's code, and never conflicts with what is saved meanwhile. The
        answer is to what was asked: where the agent asks something else under this id, it is none.

        Args:
            key: the state's key.
            id: of the question.
            value: the answer: anything that a state can hold.
            by: who answers.
            branch: on which it was asked.

        Returns:
            The question.

        Raises:
            StateNotFound: there is no such state.
            PathNotFound: it waits with no such question; the message names those that it does.
            UsageError: it is to be answered elsewhere (`Question.where`).
            AlreadyAnswered: it was answered otherwise.
            NotStorable: the answer cannot be stored.

        Example:
            >>> store.answer("support/alice", "approve refund", True, by="ann")
        """
        return await self._ask(self._answering(key, id, value, by, branch))

    async def waiting(self, prefix: str = "") -> list[Question]:
        """The questions that nobody has answered, of all states below a prefix, by their keys.

        Those on `main`; of each state, only its questions are read.

        Example:
            >>> [(each.key, each.id, each.payload) for each in store.waiting("support/")]
            [('support/alice', 'approve refund', {'amount': 40})]
        """
        return await self._ask(self._open_questions(prefix))

    async def due(self, *, before: datetime | None = None, prefix: str = "") -> list[Question]:
        """The timers that have run out, and the questions that have expired, by their keys.

        What a scheduler asks for, to open these states again.

        Args:
            before: as of this time; by default now.
            prefix: of the states' keys.

        Example:
            >>> for each in store.due():
            ...     resume(each.key)
        """
        return await self._ask(self._due(before, prefix))
