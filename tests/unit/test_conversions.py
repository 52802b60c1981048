"""Named conversions: both directions, what they lose, and what they refuse."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from perdure.core.conversions import (
    _NAMED,
    NotConvertible,
    conversion,
    converted,
    is_known,
    reverse,
)
from perdure.core.values import same
from perdure.errors import UsageError

NOON = datetime(2024, 5, 6, 12, 0, 1, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("str->int", "-7", -7),
        ("str->float", "1.5", 1.5),
        ("int->float", 3, 3.0),
        ("bool->int", True, 1),
        ("bool->str", False, "false"),
        ("str->decimal", "1.50", Decimal("1.50")),
        ("int->decimal", 12, Decimal(12)),
        ("float->decimal", 0.1, Decimal("0.1")),
        ("datetime->iso", NOON, "2024-05-06T12:00:01.500000+00:00"),
        ("date->iso-date", date(2024, 5, 6), "2024-05-06"),
        ("date->datetime", date(2024, 5, 6), datetime(2024, 5, 6)),  # noqa: DTZ001
        ("datetime->epoch", NOON, 1714996801.5),
        ("epoch->datetime", 0, datetime(1970, 1, 1, tzinfo=UTC)),
        ("seconds->timedelta", 90, timedelta(seconds=90)),
        ("timedelta->seconds", timedelta(milliseconds=1500), 1.5),
        ("str->bytes", "é", "é".encode()),
    ],
)
def test_a_conversion_and_its_reverse(name: str, value: Any, other: Any) -> None:
    assert same(converted(name, value), other)
    back = reverse(name)
    assert back is not None
    assert same(converted(back, other), value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("str->int", "007"),
        ("str->int", "seven"),
        ("str->int", 7),
        ("int->str", True),
        ("str->float", "1.50"),
        ("float->int", 1.5),
        ("float->int", float("inf")),
        ("int->float", 2**60 + 1),
        ("int->bool", 2),
        ("str->bool", "True"),
        ("str->decimal", "one"),
        ("decimal->int", Decimal("1.5")),
        ("datetime->date", NOON),
        ("iso->datetime", "2024-05-06"),
        ("iso->datetime", "2024-05-06T12:00:00Z"),
        ("datetime->epoch", datetime(2024, 5, 6)),  # noqa: DTZ001 - it has no zone
        ("epoch->datetime", 1e18),
        ("epoch->datetime", float("nan")),
        ("seconds->timedelta", 1e-9),
        ("bytes->str", b"\xff"),
        ("str->lower", "Ann"),
        ("str->strip", " a"),
    ],
)
def test_what_does_not_come_back_is_refused(name: str, value: Any) -> None:
    with pytest.raises(NotConvertible):
        converted(name, value)


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("str->int", "007", 7),
        ("float->int", 1.5, 1),
        ("datetime->date", NOON, date(2024, 5, 6)),
        ("str->lower", "Ann", "ann"),
        ("str->strip", " a ", "a"),
    ],
)
def test_what_may_be_lost_is_converted(name: str, value: Any, other: Any) -> None:
    assert same(converted(name, value, exact=False), other)


def test_losses_are_told() -> None:
    assert conversion("float->int").loses == "the fraction"
    assert conversion("str->lower").loses == "upper and lower case"
    assert conversion("str->int").loses == ""


def test_each_has_a_reverse_that_is_known_or_loses_something() -> None:
    for name in _NAMED:
        back = reverse(name)
        assert conversion(name).loses if back is None else is_known(back)


def test_a_name_that_is_not_known_is_refused_with_those_that_are() -> None:
    assert not is_known("str->kelvin")
    with pytest.raises(UsageError, match="bool->int"):
        conversion("str->kelvin")
