"""Races for a head: who loses many in a row waits, each time longer, and is told in the end."""

import os
from typing import Any

import pytest
from msgspec.structs import replace

from perdure import limits
from perdure.core.head import Head
from perdure.core.head_bytes import seal_head
from perdure.engine.read import Site
from perdure.engine.requests import Commit, Committed, HeadRow, Moved, Pause, Random
from perdure.engine.save import LOST_AT_ONCE, LOST_PAUSE_MAX_S, Position, commit
from perdure.errors import Busy

SITE = Site(bytes(16), "a")


def raced(losses: int) -> tuple[list[int], list[float]]:
    """What a commit asks for that loses so many races: the losses before each pause, and these."""
    head = Head(bytes(16), 1, 1, bytes(16))
    steps = commit(SITE, Position(head, head.token), lambda each: each)
    answer: Any = None
    lost = 0
    before: list[int] = []
    pauses: list[float] = []
    while True:
        try:
            request = steps.send(answer)
        except StopIteration:
            return before, pauses
        answer = None
        match request:
            case Random(count):
                answer = os.urandom(count)
            case Pause(seconds):
                before.append(lost)
                pauses.append(seconds)
            case Commit() if lost == losses:
                answer = Committed()
            case Commit():
                lost += 1
                now = replace(head, token=os.urandom(16))
                answer = Moved(HeadRow(now.token, seal_head(now, store=SITE.store, key=SITE.key)))


def test_few_losses_wait_for_nothing() -> None:
    assert raced(LOST_AT_ONCE - 1) == ([], [])


def test_more_of_them_wait_longer_and_longer_by_chance() -> None:
    before, pauses = raced(limits.commit_tries_max - 1)
    assert before == list(range(LOST_AT_ONCE, limits.commit_tries_max))
    assert all(0 < pause <= LOST_PAUSE_MAX_S for pause in pauses)
    assert sum(pauses[-5:]) > 5 * sum(pauses[:5])
    assert pauses != raced(limits.commit_tries_max - 1)[1]


def test_in_the_end_it_is_told() -> None:
    with pytest.raises(Busy, match=f"{limits.commit_tries_max} times in a row"):
        raced(limits.commit_tries_max)
