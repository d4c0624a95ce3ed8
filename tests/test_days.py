"""Days and hours of a time zone: where clocks change, and where they are off by a quarter."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl import days
from etl.errors import UsageError

HOUR_US = 3_600_000_000
ZONES = [
    "UTC",
    "Asia/Shanghai",
    "Asia/Kathmandu",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "America/Sao_Paulo",
    "Pacific/Apia",
]

zones = st.sampled_from(ZONES)
dates = st.dates(date(2011, 1, 1), date(2037, 12, 31))


def rows(table: Any) -> list[dict[str, Any]]:
    """The rows of a dimension."""
    found: list[dict[str, Any]] = table.to_pylist()
    return found


def hours_of(day: str, zone: str) -> list[dict[str, Any]]:
    """The hours of one day."""
    given = date.fromisoformat(day)
    return rows(days.hours(given, given, days.zone(zone)))


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        ("2026-03-29", "Europe/Berlin", [0, 1, *range(3, 24)]),
        ("2026-10-25", "Europe/Berlin", [0, 1, 2, 2, *range(3, 24)]),
        ("2026-03-08", "America/New_York", [0, 1, *range(3, 24)]),
        ("2026-11-01", "America/New_York", [0, 1, 1, *range(2, 24)]),
        ("2026-06-01", "America/New_York", [*range(24)]),
        ("2026-10-25", "Asia/Shanghai", [*range(24)]),
        ("2018-11-04", "America/Sao_Paulo", [*range(1, 24)]),
    ],
)
def test_a_day_has_23_24_or_25_hours_as_the_clocks_say(day: str, zone: str, hours: list[int]) -> None:
    found = hours_of(day, zone)
    assert [row["hour_of_day"] for row in found] == hours
    assert {row["hour_to_us"] - row["hour_from_us"] for row in found} == {HOUR_US}


def test_clocks_that_change_by_half_an_hour_make_half_an_hour() -> None:
    lengths = {
        day: [
            (row["hour_of_day"], (row["hour_to_us"] - row["hour_from_us"]) / HOUR_US)
            for row in hours_of(day, "Australia/Lord_Howe")[:4]
        ]
        for day in ("2026-10-04", "2026-04-05")
    }
    assert lengths == {
        "2026-10-04": [(0, 1.0), (1, 1.0), (2, 0.5), (3, 1.0)],
        "2026-04-05": [(0, 1.0), (1, 1.0), (1, 0.5), (2, 1.0)],
    }


@pytest.mark.parametrize(
    ("zone", "begins"),
    [
        ("Asia/Kathmandu", "2026-10-13T18:15:00Z"),
        ("Asia/Shanghai", "2026-10-13T16:00:00Z"),
        ("UTC", "2026-10-14T00:00:00Z"),
        ("America/New_York", "2026-10-14T04:00:00Z"),
        ("Pacific/Chatham", "2026-10-13T10:15:00Z"),
    ],
)
def test_a_day_begins_at_the_midnight_of_its_zone(zone: str, begins: str) -> None:
    expected = days.microseconds(datetime.fromisoformat(begins))
    assert days.begins_us(date(2026, 10, 14), days.zone(zone)) == expected
    assert hours_of("2026-10-14", zone)[0]["hour_from_us"] == expected


@given(zones, dates)
def test_the_hours_of_a_day_fill_it_and_no_more(zone: str, day: date) -> None:
    [whole] = rows(days.days(day, day, days.zone(zone)))
    found = rows(days.hours(day, day, days.zone(zone)))
    edges = [whole["day_from_us"], *(row["hour_to_us"] for row in found)]
    assert [row["hour_from_us"] for row in found] == edges[:-1]
    assert edges[-1] == whole["day_to_us"]
    assert {row["usage_date"] for row in found} <= {day}


@given(zones, dates, st.integers(0, 400))
def test_days_follow_each_other_without_a_gap(zone: str, first: date, more: int) -> None:
    found = rows(days.days(first, first + timedelta(more), days.zone(zone)))
    assert [row["usage_date"] for row in found] == [first + timedelta(number) for number in range(more + 1)]
    assert [row["day_to_us"] for row in found[:-1]] == [row["day_from_us"] for row in found[1:]]


@given(zones, st.integers(1_300_000_000_000_000, 2_140_000_000_000_000))
def test_every_instant_lies_in_the_day_that_it_is_said_to_be_of(zone: str, instant_us: int) -> None:
    found = days.zone(zone)
    day = days.day_of(instant_us, found)
    assert days.begins_us(day, found) <= instant_us < days.begins_us(day + timedelta(1), found)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "UTC\0"])
def test_a_time_zone_that_there_is_not_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(UsageError, match="there is no time zone"):
        days.zone(name)


def test_an_instant_is_counted_in_microseconds_whatever_its_offset() -> None:
    instant = datetime(2026, 10, 14, 1, 2, 3, 456789, tzinfo=UTC)
    there = instant.astimezone(days.zone("Asia/Kathmandu"))
    assert days.microseconds(instant) == days.microseconds(there) == 1_791_939_723_456_789
