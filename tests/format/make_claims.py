"""A golden store of states that acted on the world: a part of `make_golden`."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.format.tagged import tagged

import perdure
from perdure import limits
from perdure.agent.acts import Call
from perdure.agent.effects import Effect, Place, Terms, effect
from perdure.errors import UnknownOutcome
from perdure.testing.clock import Clock
from perdure.types import EffectInfo

KEYS = ("golden/acting", "golden/orders/17 %")
"""The state that acts, and the one that it shares."""


def write_acting(directory: Path) -> dict[str, Any]:
    """A store with claims in every place and of every end; what they have to be read as."""
    clock = Clock("2026-03-01T00:00:00Z")
    with perdure.Store(str(directory / "acting.db"), clock=clock, maintenance="off") as store:
        with store.open(KEYS[0]) as session:
            for number in range(limits.claims_inline_max + 8):
                clock.advance(1)
                act(session, f"orders/{number}", {"receipt": f"re_{number}"})
        store.maintain(KEYS[0])  # most of them are parked in pages now
        with store.open(KEYS[0]) as session:
            clock.advance(1)
            act(session, "large", "a long result " * 300)
            act(session, "refund", {"receipt": "re_17"}, claims=KEYS[1])
            for key, shared in (("open", None), ("settled", None), ("open", KEYS[1])):
                clock.advance(1)
                with suppress(UnknownOutcome):
                    act(session, key, TimeoutError(), claims=shared)
        clock.advance(3600)
        store.settle(KEYS[0], "settled", happened=True, result=["found", None], by="ann")
        effects = {key: [told_of(each) for each in store.effects(key)] for key in KEYS}
        hashes = [each.hash for each in store.history(KEYS[0])[::-1]]
    return {"key": KEYS[0], "shared": KEYS[1], "hashes": hashes, "effects": effects}


def act(session: Any, key: str, gives: Any, **terms: Any) -> Any:
    def gave() -> Any:
        if isinstance(gives, Exception):
            raise gives
        return gives

    def record(value: Any, now: datetime, told: Effect) -> None:
        session.state["last"] = key

    place = Place("golden/act", record)
    return session._act(effect(session, place, Terms(key, **terms), Call(gave)))


def told_of(info: EffectInfo) -> dict[str, Any]:
    return {
        "key": info.key,
        "claims": info.claims,
        "state": info.state,
        "status": info.status,
        "about": info.about,
        "claimed": info.claimed.isoformat(),
        "ended": info.ended.isoformat() if info.ended is not None else None,
        "result": tagged(info.result),
        "idempotency_key": info.idempotency_key,
        "number": info.number,
        "by": info.by,
    }
