"""A policy keeps what its words say, compared with a model that reads them one by one (P7)."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.core.retention import Retention, Seen, kept_numbers, runs_of
from perdure.errors import UsageError

SECOND_US = 1_000_000
spans = st.integers(0, 60).map(lambda n: timedelta(seconds=n))
periods = st.integers(1, 30).map(lambda n: timedelta(seconds=n))
policies = st.builds(
    Retention,
    keep_last=st.none() | st.integers(1, 8),
    max_age=st.none() | spans,
    keep_labels=st.booleans() | st.lists(st.sampled_from("ab"), max_size=2),
    thin=st.none() | st.lists(st.tuples(spans, periods), max_size=3),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Seen]:
    """The checkpoints of a branch, some of which were pruned before; times never go back."""
    numbers = sorted(draw(st.sets(st.integers(1, 30), min_size=1)))
    times = sorted(draw(st.lists(st.integers(0, 90), min_size=30, max_size=30)))
    labels = st.sampled_from([None, None, "a", "b"])
    return [
        Seen(number, at * SECOND_US, draw(labels))
        for number, at in zip(numbers, times, strict=False)
    ]


def is_kept(policy: Retention, seen: Seen, every: list[Seen], now_us: int) -> bool:
    newer = [each for each in every if each.number > seen.number]
    if not newer or (policy.keep_last is not None and len(newer) < policy.keep_last):
        return True
    if policy.keep_labels is True and seen.label is not None:
        return True
    if not isinstance(policy.keep_labels, bool) and seen.label in policy.keep_labels:
        return True
    age = timedelta(microseconds=now_us - seen.time_us)
    if policy.max_age is not None and age >= policy.max_age:
        return False
    if policy.max_age is None and policy.keep_last is not None and not policy.thin:
        return False
    own = rule(policy, seen, now_us)
    return own is None or not any(
        rule(policy, each, now_us) == own
        and is_young(policy, each, now_us)
        and period(each, own[1]) == period(seen, own[1])
        for each in newer
    )


def is_young(policy: Retention, seen: Seen, now_us: int) -> bool:
    age = timedelta(microseconds=now_us - seen.time_us)
    return policy.max_age is None or age < policy.max_age


def period(seen: Seen, per: timedelta) -> int:
    return timedelta(microseconds=seen.time_us) // per


def rule(policy: Retention, seen: Seen, now_us: int) -> tuple[timedelta, timedelta] | None:
    age = timedelta(microseconds=now_us - seen.time_us)
    return max((each for each in policy.thin or () if age >= each[0]), default=None)


@given(policies, histories(), st.integers(90, 150))
def test_what_is_kept_is_what_the_policy_says(
    policy: Retention, history: list[Seen], now: int
) -> None:
    # Two rules with one period share it; the model tells rules apart, so let periods differ.
    thin = list({per: (older, per) for older, per in policy.thin or ()}.values())
    policy = Retention(
        keep_last=policy.keep_last,
        max_age=policy.max_age,
        keep_labels=policy.keep_labels,
        thin=thin,
    )
    expected = {each.number for each in history if is_kept(policy, each, history, now * SECOND_US)}
    assert kept_numbers(policy, history, now * SECOND_US) == expected


@given(policies, histories(), st.integers(90, 150))
def test_a_policy_applied_again_removes_nothing_more(
    policy: Retention, history: list[Seen], now: int
) -> None:
    kept = kept_numbers(policy, history, now * SECOND_US)
    left = [each for each in history if each.number in kept]
    assert kept_numbers(policy, left, now * SECOND_US) == kept


@given(st.sets(st.integers(1, 30)))
def test_runs_hold_each_number_once_and_never_touch(numbers: set[int]) -> None:
    runs = runs_of(numbers)
    assert [n for first, last in reversed(runs) for n in range(first, last + 1)] == sorted(numbers)
    assert all(newer[0] > older[1] + 1 for newer, older in pairwise(runs))


def test_an_empty_policy_keeps_all() -> None:
    history = [Seen(number, 0) for number in range(1, 10)]
    assert kept_numbers(Retention(), history, 10**15) == set(range(1, 10))


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_last": 0},
        {"keep_labels": "a"},
        {"max_age": timedelta(seconds=-1)},
        {"keep_left": timedelta(seconds=-1)},
        {"thin": [(timedelta(1), timedelta(0))]},
        {"keep_last": True},
        {"keep_last": "3"},
        {"keep_last": 2.5},
        {"keep_labels": None},
        {"max_age": 30},
        {"keep_left": None},
        {"thin": timedelta(1)},
        {"thin": [(7, 1)]},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Retention(**wrong)  # type: ignore[arg-type]  # that is what is tested
