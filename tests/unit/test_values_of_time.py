"""Times are kept to the instant and the zone, whatever library the zone is of."""

from __future__ import annotations

import copy
import pickle
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from tests.unit.values import BERLIN, exactly

from perdure.core import zones
from perdure.core.codec import pack, unpack
from perdure.core.values import same, take
from perdure.errors import NotStorable


class PytzLike(tzinfo):
    """A zone that names itself as pytz does, and like it has one fixed offset at a time."""

    def __init__(self, zone: str, hours: float | None) -> None:
        self.zone = zone
        self._offset = None if hours is None else timedelta(hours=hours)

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return self._offset

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return "Odd"


class OddDatetime(datetime):
    pass


class Nanos(datetime):
    nanosecond = 5


def test_a_zone_of_another_library_becomes_a_zoneinfo_by_its_name() -> None:
    taken = take(datetime(2026, 7, 1, 12, tzinfo=PytzLike("Europe/Berlin", 2)))
    assert exactly(taken, datetime(2026, 7, 1, 12, tzinfo=BERLIN))
    assert taken.tzinfo is BERLIN


def test_the_second_of_two_equal_wall_times_stays_the_second() -> None:
    wall = datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001  # the wall clock shows it twice
    first = take(wall.replace(tzinfo=PytzLike("Europe/Berlin", 2)))
    second = take(wall.replace(tzinfo=PytzLike("Europe/Berlin", 1)))
    assert exactly(first, wall.replace(tzinfo=BERLIN, fold=0))
    assert exactly(second, wall.replace(tzinfo=BERLIN, fold=1))


def test_another_offset_under_a_known_name_keeps_the_instant() -> None:
    odd = datetime(2026, 7, 1, 12, tzinfo=PytzLike("Europe/Berlin", 0.5))
    taken = take(odd)
    assert taken.tzinfo is BERLIN
    assert taken == odd


def test_a_nameless_zone_becomes_its_offset_at_that_instant() -> None:
    taken = take(datetime(2026, 7, 1, 12, fold=1, tzinfo=PytzLike("Nowhere/At_All", 2)))
    odd = timezone(timedelta(hours=2), "Odd")
    assert exactly(taken, datetime(2026, 7, 1, 12, fold=1, tzinfo=odd))


def test_a_time_without_a_date_takes_the_zone_but_cannot_guess_an_offset() -> None:
    assert exactly(take(time(1, tzinfo=PytzLike("Europe/Berlin", None))), time(1, tzinfo=BERLIN))
    with pytest.raises(NotStorable, match="tells no offset"):
        take(time(1, tzinfo=PytzLike("Nowhere", None)))


def test_zones_stay_what_they_are() -> None:
    for zone in (UTC, timezone(timedelta(0), "UTC"), timezone(timedelta(hours=-3), "x"), BERLIN):
        value = datetime(2026, 1, 1, tzinfo=zone)
        assert take(value) is value
        assert exactly(unpack(pack(value)), value)


def test_a_private_copy_of_a_zone_becomes_the_common_one() -> None:
    taken = take(datetime(2026, 1, 1, tzinfo=ZoneInfo.no_cache("Europe/Berlin")))
    assert taken.tzinfo is BERLIN


def test_a_subclass_of_datetime_becomes_one_unless_it_is_finer() -> None:
    taken = take(OddDatetime(2026, 1, 1, fold=1, tzinfo=UTC))
    assert exactly(taken, datetime(2026, 1, 1, fold=1, tzinfo=UTC))
    with pytest.raises(NotStorable, match="finer than a microsecond"):
        take(Nanos(2026, 1, 1, tzinfo=UTC))


def test_subclasses_of_date_and_timedelta_become_theirs() -> None:
    class Day(date):
        pass

    class Span(timedelta):
        pass

    class NanoSpan(timedelta):
        nanoseconds = 1

    assert exactly(take(Day(2026, 1, 1)), date(2026, 1, 1))
    assert exactly(take(Span(1, 2, 3)), timedelta(1, 2, 3))
    with pytest.raises(NotStorable, match="finer than a microsecond"):
        take(NanoSpan(1))


def renamed_zone(packed: bytes) -> bytes:
    """The same datetime in a zone that no database has."""
    return packed.replace(b"Europe/Berlin", b"Europe/Borlin")


def test_a_zone_that_this_machine_lacks_keeps_instant_name_and_bytes() -> None:
    """P13, on a machine with another zone database."""
    value = datetime(2026, 7, 1, 12, tzinfo=BERLIN)
    packed = renamed_zone(pack([value, time(1, tzinfo=BERLIN)]))
    moment, clock = unpack(packed)
    assert moment == value
    assert moment.tzname() == moment.tzinfo.key == "Europe/Borlin"
    assert moment.utcoffset() == timedelta(hours=2)
    assert clock.utcoffset() is None
    assert pack([moment, clock]) == packed
    assert take(moment) is moment
    assert copy.deepcopy(moment) == pickle.loads(pickle.dumps(moment)) == moment
    assert not same(moment, value)


@pytest.mark.parametrize("key", ["../../etc/passwd", "/etc/localtime", "a.b/c", "", "a" * 99, "ü"])
def test_a_stored_zone_name_reaches_nothing_but_the_database(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P12: such a name is not even looked up."""
    looked_up: list[str] = []
    monkeypatch.setattr(zones, "ZoneInfo", looked_up.append)
    assert zones.find_zone.__wrapped__(key) is None
    assert looked_up == []


def test_a_name_that_is_a_directory_of_the_database_is_no_zone() -> None:
    assert zones.find_zone("Europe") is None


def test_every_zone_of_the_database_can_be_stored() -> None:
    for key in zoneinfo.available_timezones():
        value = datetime(2026, 7, 1, tzinfo=ZoneInfo(key))
        assert exactly(unpack(pack(take(value))), value)
