"""What `Store` and `AsyncStore` tell of effects: the same methods, awaited or not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from perdure.core.codec import pack
from perdure.core.values import take
from perdure.engine import effects
from perdure.engine.requests import Steps
from perdure.types import EffectInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from perdure.engine.read import Site
    from perdure.secrets.policy import Secrets

T = TypeVar("T")


class _Acting:
    """What both need of the store."""

    if TYPE_CHECKING:
        _secrets: Secrets | None

        def _asking(self, work: Callable[[Site], Steps[T]], key: str) -> Steps[T]:
            """Steps on a state, whose store may be opened by them."""

    def _telling(self, key: str) -> Steps[list[EffectInfo]]:
        return self._asking(effects.told, key)

    def _settling(
        self, key: str, effect: str, happened: bool, result: Any, by: str, claims: str | None
    ) -> Steps[EffectInfo]:
        kept = take(result, ("result",))
        if self._secrets is not None:
            from perdure.secrets.screen import kept as looked_over

            kept = looked_over(self._secrets, key, kept, ("effects", effect, "result"))
        packed = pack(kept) if happened else None
        return self._asking(partial(effects.settle, effect, packed, by, claims), key)


class Acting(_Acting):
    """What is known of the actions on the world that agents performed."""

    if TYPE_CHECKING:

        def _look(self, steps: Steps[T]) -> T:
            """Run steps that read, or read before they write."""

    def effects(self, key: str) -> list[EffectInfo]:
        """The effects that were ever claimed in a state, on whatever branch, oldest first.

        Args:
            key: the state's key.

        Raises:
            StateNotFound: there is no such state.

        Example:
            >>> [each.key for each in store.effects("support/alice") if each.status == "unknown"]
            ['orders/17']
        """
        return self._look(self._telling(key))

    def settle(
        self,
        key: str,
        effect: str,
        *,
        happened: bool,
        result: Any = None,
        by: str = "",
        claims: str | None = None,
    ) -> EffectInfo:
        """Say what became of an effect whose outcome is unknown.

        One that happened counts as performed from then on, by every session; one that did not may
        be claimed anew.

        Args:
            key: the state's key.
            effect: its effect key.
            happened: whether it was performed.
            result: what it gave, if it was: what the agent gets for it.
            by: who found out.
            claims: key of the other state that it was claimed in, if it was (`EffectInfo.claims`);
                it is settled there too.

        Returns:
            The effect as it is then; as it was, if it did not happen.

        Raises:
            StateNotFound: there is no such state.
            PathNotFound: nothing was claimed under this effect key.
            AlreadyClaimed: its outcome is known, or a living process is performing it.
            NotStorable: the result cannot be stored.

        Example:
            >>> store.settle("support/alice", "orders/17", happened=True, result="re_1", by="ann")
        """
        return self._look(self._settling(key, effect, happened, result, by, claims))


class AsyncActing(_Acting):
    """What is known of the actions on the world that agents performed."""

    if TYPE_CHECKING:

        async def _ask(self, steps: Steps[T]) -> T:
            """Run steps that read, or read before they write."""

    async def effects(self, key: str) -> list[EffectInfo]:
        """The effects that were ever claimed in a state, on whatever branch, oldest first.

        Args:
            key: the state's key.

        Raises:
            StateNotFound: there is no such state.

        Example:
            >>> [each.key for each in store.effects("support/alice") if each.status == "unknown"]
            ['orders/17']
        """
        return await self._ask(self._telling(key))

    async def settle(
        self,
        key: str,
        effect: str,
        *,
        happened: bool,
        result: Any = None,
        by: str = "",
        claims: str | None = None,
    ) -> EffectInfo:
        """Say what became of an effect whose outcome is unknown.

        One that happened counts as performed from then on, by every session; one that did not may
        be claimed anew.

        Args:
            key: the state's key.
            effect: its effect key.
            happened: whether it was performed.
            result: what it gave, if it was: what the agent gets for it.
            by: who found out.
            claims: key of the other state that it was claimed in, if it was (`EffectInfo.claims`);
                it is settled there too.

        Returns:
            The effect as it is then; as it was, if it did not happen.

        Raises:
            StateNotFound: there is no such state.
            PathNotFound: nothing was claimed under this effect key.
            AlreadyClaimed: its outcome is known, or a living process is performing it.
            NotStorable: the result cannot be stored.

        Example:
            >>> store.settle("support/alice", "orders/17", happened=True, result="re_1", by="ann")
        """
        return await self._ask(self._settling(key, effect, happened, result, by, claims))
