"""How far before a day and beyond it lie the sightings that the day's figures are worked out from."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

EPOCH = date(1970, 1, 1)
DAY_US = 86_400_000_000
FAR_US = 9_000_000_000_000_000_000
# How long after a sighting the next one may still tell something of it: as in transitions.sql.
LATER_US = 6 * 3_600_000_000


@dataclass
class Seen:
    """The UTC days, counted from 1970, of the sweeps of a scope, and its complete sweeps."""

    days: list[int] = field(default_factory=list)
    complete_days: list[int] = field(default_factory=list)
    complete_us: list[int] = field(default_factory=list)

    def before(self, day: int) -> int:
        """The last day before this one by which all that lives has a row; the day itself if there is none.

        A scope that is no longer swept does not count.
        """
        if not self.days or self.days[0] >= day or self.days[-1] < day:
            return day
        place = bisect_left(self.complete_days, day)
        return self.complete_days[place - 1] if place else self.days[0]

    def after(self, day: int) -> int:
        """The last day that may tell of this one: when all that lives has a row, and somewhat later."""
        if not self.days or self.days[0] > day or self.days[-1] <= day:
            return day
        until_us = self.until_us(day)
        return self.days[-1] if until_us is None else (until_us + LATER_US) // DAY_US

    def until_us(self, day: int) -> int | None:
        """When the first complete sweep after a day ended; None where there is none."""
        place = bisect_left(self.complete_us, (day + 1) * DAY_US)
        return self.complete_us[place] if place < len(self.complete_us) else None


class Reach:
    """From which UTC day to which the sightings lie that a UTC day rests on; days count from 1970."""

    def __init__(self, sweeps: Iterable[tuple[str, str, bool, int, int]]) -> None:
        """The sweeps tell project, scope, whether they are complete, and their first and last instant."""
        self._scopes: dict[tuple[str, str], Seen] = {}
        for project_id, scope, is_complete, from_us, to_us in sorted(sweeps, key=lambda each: each[3]):
            seen = self._scopes.setdefault((project_id, scope), Seen())
            seen.days.append(from_us // DAY_US)
            if is_complete:
                seen.complete_days.append(from_us // DAY_US)
                seen.complete_us.append(to_us)

    def first(self, day: int) -> int:
        return min((seen.before(day) for seen in self._scopes.values()), default=day)

    def last(self, day: int) -> int:
        return max((seen.after(day) for seen in self._scopes.values()), default=day)

    def until_us(self, project_id: str, scope: str, day: int) -> int:
        """Up to when what a day saw of a scope may be taken to last, if it was seen again."""
        until_us = self._scopes[project_id, scope].until_us(day)
        return FAR_US if until_us is None else until_us


@dataclass(frozen=True)
class Window:
    """UTC days in a row that are worked out, `core`, within those that are read for it; days from 1970."""

    core_first: int
    core_last: int
    first: int
    last: int


def windows(days: Iterable[tuple[int, int]], reach: Reach) -> Iterator[Window]:
    """The windows over days, each told by its first instant and the one at which it ends, in order."""
    spans: list[list[int]] = []
    for from_us, to_us in days:
        first, last = from_us // DAY_US, (to_us - 1) // DAY_US
        if spans and first <= spans[-1][1] + 1:
            spans[-1][1] = max(spans[-1][1], last)
        else:
            spans.append([first, last])
    for first, last in spans:
        yield Window(first, last, reach.first(first), reach.last(last))


def date_of(day: int) -> date:
    """The date of a day that is counted from 1970."""
    return EPOCH + timedelta(day)


def within(dates: list[date], first: int, last: int) -> list[date]:
    """Those of ordered dates that lie between two days, both included."""
    return dates[bisect_left(dates, date_of(first)) : bisect_right(dates, date_of(last))]
