"""What a day and an hour are in a time zone: the one place that knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa

from etl.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Every zone in use has been off UTC by whole quarters of an hour for decades.
STEP = timedelta(minutes=15)


def zone(name: str) -> ZoneInfo:
    """The time zone of that name; UsageError where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"there is no time zone {name!r}: name one like Asia/Shanghai or UTC") from None


def day_of(instant_us: int, zone: ZoneInfo) -> date:
    """The day in the zone that an instant (microseconds since the epoch) falls on."""
    return (EPOCH + timedelta(microseconds=instant_us)).astimezone(zone).date()


def begins_us(day: date, zone: ZoneInfo) -> int:
    """The first microsecond, since the epoch, of a day in the zone."""
    return microseconds(datetime.combine(day, time(), zone))


def microseconds(instant: datetime) -> int:
    """Microseconds since the epoch of an instant."""
    return (instant.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def days(first: date, last: date, zone: ZoneInfo) -> pa.Table:
    """The days from first to last: usage_date, day_from_us (inclusive), day_to_us (exclusive)."""
    dates = list(_dates(first, last))
    return pa.table(
        {
            "usage_date": pa.array(dates, pa.date32()),
            "day_from_us": pa.array([begins_us(day, zone) for day in dates], pa.int64()),
            "day_to_us": pa.array([begins_us(day + timedelta(1), zone) for day in dates], pa.int64()),
        }
    )


def hours(first: date, last: date, zone: ZoneInfo) -> pa.Table:
    """The hours of the days from first to last."""
    return hours_of(_dates(first, last), zone)


def hours_of(dates: Iterable[date], zone: ZoneInfo) -> pa.Table:
    """The hours of days, 23 or 25 on days when the clocks change.

    usage_date, hour_of_day (0 to 23, the local one), hour_from_us (inclusive), hour_to_us (exclusive).
    """
    rows = [
        (day, hour, begin, end)
        for day in dates
        for hour, begin, end in _hours_of(begins_us(day, zone), begins_us(day + timedelta(1), zone), zone)
    ]
    names = ("usage_date", "hour_of_day", "hour_from_us", "hour_to_us")
    types = (pa.date32(), pa.int64(), pa.int64(), pa.int64())
    return pa.table(
        {
            name: pa.array([row[position] for row in rows], type)
            for position, (name, type) in enumerate(zip(names, types, strict=True))
        }
    )


def _dates(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + timedelta(number)


def _hours_of(day_from_us: int, day_to_us: int, zone: ZoneInfo) -> Iterator[tuple[int, int, int]]:
    """The local hour, the beginning and the end of each hour between two instants."""
    begin, local = day_from_us, _hour(day_from_us, zone)
    for instant in range(day_from_us, day_to_us, STEP // timedelta(microseconds=1)):
        if _hour(instant, zone) != local:
            yield local[1], begin, instant
            begin, local = instant, _hour(instant, zone)
    yield local[1], begin, day_to_us


def _hour(instant_us: int, zone: ZoneInfo) -> tuple[timedelta | None, int]:
    """What tells one hour from the next: the offset, which moves when the clocks change, and the hour."""
    local = (EPOCH + timedelta(microseconds=instant_us)).astimezone(zone)
    return local.utcoffset(), local.hour
