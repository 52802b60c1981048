"""What `Store` and `AsyncStore` do to begin a session, each in a way of its own."""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec.structs import replace

from perdure import access, host
from perdure.engine.requests import Steps
from perdure.engine.session import SessionCore
from perdure.engine.unread import Unread
from perdure.errors import Damaged, ReplayMismatch, SectionDamaged
from perdure.fenced import SessionDriver
from perdure.leasing import Claim
from perdure.opening import Loading, Opened, open_session
from perdure.session_base import OnCancel, OnDamage, OnError
from perdure.store_base import ON_DAMAGE, StoreBase, one_of
from perdure.strategies import checked
from perdure.types import OnConflict, Strategies


class Beginning(StoreBase, is_part=True):
    """From what is asked for to the parts of a session."""

    def _opening(
        self,
        key: str,
        loading: Loading,
        branch: str,
        claim: Claim | None,
        on_damage: OnDamage | None,
    ) -> Steps[Opened]:
        """What a session starts from."""
        policy = one_of(on_damage or self._on_damage, "on_damage", ON_DAMAGE)
        id_ = claim.id if claim is not None else None
        opening = partial(open_session, loading=loading, branch=branch, id_=id_)
        try:
            return (yield from self._asking(opening, key))
        except SectionDamaged:  # which takes no other with it
            raise
        except (Damaged, ReplayMismatch) as error:
            if policy == "raise":
                raise
            from perdure.engine.last_good import fall_back  # hardly ever

            falling = partial(fall_back, branch=branch, problem=str(error), session=id_)
            yield from self._asking(falling, key)
        return (yield from self._asking(opening, key))

    def _taking(self, claim: Claim, key: str) -> Steps[float | None]:
        """Have a branch held; None: it is, or there is no state yet.

        How long to wait before the next try else (seconds).
        """
        return (yield from self._asking(claim.take, key))

    def _founding(self, core: SessionCore) -> Steps[bool] | None:
        """Make the state that a session is to hold, if there is none; whether the session has it.

        None: there is nothing to be made.
        """
        if not core.exclusive or core.holds:
            return None

        def founding() -> Steps[bool]:
            if not core.is_new:
                return False  # it was made meanwhile
            core.site = replace(core.site, store=self._driver.store_id)
            return (yield from core.found(self._durability))

        return founding()

    def _session_parts(
        self,
        opened: Opened,
        on_error: OnError,
        on_cancel: OnCancel,
        on_conflict: OnConflict,
        strategies: Strategies | None,
        claim: Claim | None,
        expires: int | None,
        *,
        lazy: bool,
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments of the session class; if `lazy`, sections load when they are touched."""
        from perdure.state.document import MISSING, UNLOADED, Document

        def read(name: str) -> Any:
            return fenced.run(core.read(name))

        site, loaded, plan = opened.site, opened.loaded, opened.plan
        content = {
            name: UNLOADED if type(value) is Unread else value
            for name, value in opened.content.items()
        }
        stored = Document(
            content,
            load=read if lazy else None,
            check_edits=self._check_edits,
            ephemeral=opened.ephemeral,
        )
        if not lazy:
            stored.track()
        core = SessionCore(
            site,
            stored,
            loaded,
            id=opened.id,
            started_us=opened.now_us,
            holder=host.holder(),
            branch=opened.branch,
            on_conflict=one_of(on_conflict, "on_conflict", ("raise", "fork", "merge")),
            strategies=checked(strategies, merges=on_conflict == "merge"),
            exclusive=claim is not None,
            told=opened.told,
            elsewhere=opened.elsewhere,
            missing=MISSING,
            expires_us=expires,
        )
        if self._secrets is not None:
            from perdure.secrets.screen import Screen

            core.screen = Screen(self._secrets, site.key).look
        document, evolution = stored, None
        if plan is not None:
            from perdure.evolving import evolved

            document, evolution = evolved(
                plan, core, stored, opened.changes, lazy=lazy, ephemeral=opened.ephemeral
            )
        options = {
            "durability": self._durability,
            "on_error": one_of(on_error, "on_error", ("discard", "save")),
            "on_cancel": one_of(on_cancel, "on_cancel", ("keep", "discard")),
            "on_event": self._on_event,
            "upkeep": self._upkeep,
            "claim": claim,
            "evolution": evolution,
        }
        driver = self._driver
        if driver.scope is not None:
            driver = access.ScopedDriver(driver, driver.scope.in_sessions())
        fenced = SessionDriver(driver, core)
        return (fenced, core, document, opened.resumed), options
