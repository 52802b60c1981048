"""A redaction that is broken off, or whose answers are lost: all is as it was, or done (P2, P8)."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import pytest
from tests.unit.pruned import require_sound

import perdure
from perdure import errors
from perdure.core.redaction import wanted
from perdure.engine.read import Site
from perdure.engine.redact import redact
from perdure.engine.requests import Commit

MAIL = "alice@example.com"
URLS = ("memory:", "memory+objects:")
Moment = Literal["before", "after", "lost"]
MOMENTS: tuple[Moment, ...] = ("before", "after", "lost")


def made(url: str) -> perdure.Store:
    """A state with packs, a snapshot, a branch, a pruned past with a base, and an effect."""
    store = perdure.Store(url, maintenance="off")
    with store.open("a") as session:
        session.state["large"] = [f"{number} {MAIL} " * 10 for number in range(40)]
        for number in range(24):
            session.state["n"] = f"{number} {MAIL}"
            session.save()
        with session.task("t") as task:
            task.effect("mail", lambda: [MAIL] * 70)
    store.fork("a", "side", at=20)
    with store.open("a", branch="side") as session:
        session.state["side"] = MAIL
    store.prune(perdure.Retention(keep_last=10), "a")
    store.maintain("a")
    return store


class _Broken(Exception):
    """The process died."""


def run(store: perdure.Store, at: int = 0, moment: Moment = "before") -> list[bool]:
    """Redact up to a request, counted from 1, and break off or lose its answer.

    Of all requests that came, whether each is a commit.
    """
    site = Site(store._driver.store_id, "a")
    steps = redact(site, wanted(None, MAIL), None, dry_run=False)
    answer: Any = None
    commits: list[bool] = []
    for count in itertools.count(1):
        try:
            is_lost = isinstance(answer, errors.CommitUnknown)
            request = steps.throw(answer) if is_lost else steps.send(answer)
        except StopIteration:
            return commits
        commits.append(isinstance(request, Commit))
        is_it = count == at
        if is_it and moment == "before":
            raise _Broken
        answer = store._driver.answer(request)
        if is_it and moment == "after":
            raise _Broken
        if is_it:
            answer = errors.CommitUnknown("the answer was lost")
    raise AssertionError


def told(store: perdure.Store) -> str:
    found = store.history("a", every=True, changes=True)
    states = [store.at("a", each.id).plain() for each in found]
    return repr((found, states, store.movements("a"), store.effects("a")))


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_wherever_it_is_broken_off_it_is_done_or_not(url: str, moment: Moment) -> None:
    with made(url) as store:
        before = told(store)
        requests = run(store)
        assert MAIL not in told(store)
    assert before.count(MAIL) > 300
    outcomes = {"not": 0, "done": 0}
    # What is after a request that changes nothing is before the next one.
    tried = [at for at, is_one in enumerate(requests, 1) if is_one or moment == "before"]
    for at in tried:
        with made(url) as store:
            chain = [each.hash for each in store.history("a", every=True)]
            try:
                run(store, at, moment)
                was_broken = False
            except _Broken:
                was_broken = True
            now = told(store)
            is_done = MAIL not in now
            require_whole(store, is_clean=is_done)
            assert is_done or (was_broken and now.count(MAIL) == before.count(MAIL))
            outcomes["done" if is_done else "not"] += 1
            store.redact("a", match=MAIL)
            assert MAIL not in told(store)
            assert [each.hash for each in store.history("a", every=True)] == chain
            assert [each.what for each in store.movements("a")].count("redact") == 1
            require_sound(store)
    assert len(requests) > 40
    assert outcomes["done"] >= sum(requests) > 0
    assert (outcomes["not"] > 20) == (moment == "before")
    assert sum(outcomes.values()) == len(tried)


def require_whole(store: perdure.Store, *, is_clean: bool) -> None:
    """All is as it should be; once it is done nothing of before is stored, pages included."""
    (found,) = store.verify("a")
    assert found.problem is None
    assert not (is_clean and found.unreferenced)
