"""A bank that counts what is done to it, and a task that acts on it."""

from typing import Any

from perdure import Session
from perdure.agent import current_effect


class CardDeclined(Exception):
    pass


class Bank:
    """The world: it counts what is done to it."""

    def __init__(self, *problems: Exception | None) -> None:
        self.paid: list[tuple[str, str]] = []
        self._problems = list(problems)

    def pay(self, order: str) -> dict[str, str]:
        problem = self._problems.pop(0) if self._problems else None
        if isinstance(problem, CardDeclined):
            raise problem
        self.paid.append((order, current_effect().key))
        if problem is not None:
            raise problem
        return {"receipt": f"re_{order}"}


def refund(session: Session, bank: Bank, name: str = "refunds", **options: Any) -> Any:
    with session.task(name) as task:
        return task.effect("refund", bank.pay, "17", key="orders/17", **options)
