"""The period that a report is about: days of the billing time zone, as the marts were cut."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from etl import days, marts, query
from etl.errors import UsageError
from etl.lake import Lake
from etl.marts import Published

if TYPE_CHECKING:
    import pyarrow as pa

USUAL = timedelta(30)
DAY = timedelta(1)

# A day inside of those metered is complete, and so is a first or last one that says so.
BUILT = """
with complete as (
    select usage_date from usage_daily where is_complete
    union all
    select usage_date from coverage
    qualify row_number() over (partition by project_id order by usage_date) > 1
        and row_number() over (partition by project_id order by usage_date desc) > 1
)
select
    (select min(usage_date) from coverage) as first,
    (select max(usage_date) from coverage) as last,
    (select min(usage_date) from complete) as first_complete,
    (select max(usage_date) from complete) as last_complete
"""


Built = dict[str, Any]


@dataclass(frozen=True)
class Period:
    """Days from the first until before the end."""

    first: date
    end: date

    @property
    def before(self) -> date:
        """The first day of the period of the same length before this one."""
        return self.first - (self.end - self.first)

    @property
    def day_count(self) -> int:
        """How many days it has."""
        return (self.end - self.first).days

    def __str__(self) -> str:
        return f"{self.first} to {self.end - DAY}"


def period(
    lake: Lake,
    since: str | None,
    until: str | None,
    built: Built | None = None,
    last: str | None = None,
) -> Period:
    """The period that is asked for, else the last 30 complete days, else all that is built.

    Both texts are dates or months; a month alone is all of it. `last` is instead of them, and how many of
    the last complete days are meant: "7 days". UsageError where nothing of the period was metered. `built`
    is what is known of the lake already.
    """
    if last is not None and (since is not None or until is not None):
        raise UsageError("--last is a period of its own: leave --from and --to out")
    usual = USUAL if last is None else _length(last)
    built = built or _built(lake)
    if since is not None and until is None and len(since) == len("2026-10"):
        chosen = Period(*_month(_day(since)))
    else:
        end = _day(until) if until else built["end"]
        first = _day(since) if since else max(end - usual, built["start"])
        chosen = Period(first, end if until or first < end else built["last"] + DAY)
    if chosen.first >= chosen.end:
        raise UsageError(
            f"no day is from {chosen.first} until before {chosen.end}: give a later --to, it ends the period"
        )
    return _metered(chosen, built)


def month(lake: Lake, since: str | None, built: Built | None = None) -> Period:
    """The month that is asked for, by any day of it, else the last one that was metered."""
    built = built or _built(lake)
    return _metered(Period(*_month(_day(since) if since else built["last"])), built)


def instants(lake: Lake, period: Period) -> tuple[int, int]:
    """The microseconds at which a period begins and ends in the time zone that was built in."""
    zone = days.zone(require_built(lake).tz)
    return days.begins_us(period.first, zone), days.begins_us(period.end, zone)


def require_built(lake: Lake, tz: str | None = None) -> Published:
    """What is published; UsageError where nothing is, or in another time zone than is asked for."""
    lake.check()
    built = marts.published(lake)
    if built is None:
        raise UsageError("nothing is built yet: run `demeter build` first")
    if tz is not None and tz != built.tz:
        raise UsageError(f"this lake is built in {built.tz}: run `demeter build --tz {days.zone(tz)}` first")
    return built


def _built(lake: Lake) -> Built:
    return built_by(query.run(lake, BUILT))


def built_by(answer: pa.Table) -> Built:
    """The first and last day metered, and where the complete ones start and end, else all of them, by the
    answer of BUILT; NothingMetered where there is no day."""
    [found] = answer.to_pylist()
    if found["first"] is None:
        raise marts.NothingMetered(
            "nothing is metered yet: sweep the project once more, then run `demeter build`"
        )
    start = found["first_complete"] or found["first"]
    return {**found, "start": start, "end": (found["last_complete"] or found["last"]) + DAY}


def _metered(chosen: Period, built: Built) -> Period:
    if chosen.end <= built["first"] or chosen.first > built["last"]:
        raise UsageError(
            f"nothing was metered in {chosen}: this lake is built from {built['first']} to {built['last']}, "
            "so ask for days of those"
        )
    return chosen


def _length(text: str) -> timedelta:
    """How long so many days are."""
    found = re.fullmatch(r"([1-9]\d{0,4})(?: days?)?", text, re.ASCII)
    if found is None:
        raise UsageError(f"--last {text!r} is no number of days: give one like '7 days'")
    return int(found[1]) * DAY


def _day(text: str) -> date:
    """The day that a date names, the first one of a month."""
    try:
        if not re.fullmatch(r"\d{4}-\d{2}(-\d{2})?", text, re.ASCII):
            raise ValueError
        return date.fromisoformat(text if len(text) > len("2026-10") else f"{text}-01")
    except ValueError:
        raise UsageError(f"{text!r} is no date: give one like 2026-10-12, or a month like 2026-10") from None


def _month(day: date) -> tuple[date, date]:
    """The first day of a day's month, and that of the next."""
    first = day.replace(day=1)
    return first, (first + timedelta(31)).replace(day=1)
