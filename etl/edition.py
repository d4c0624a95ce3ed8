"""An edition: several reports over the same days, in chapters, with what each answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

from etl import days, marts, overview, periods, query, reports
from etl.errors import UsageError
from etl.marts import NothingMetered
from etl.overview import Facts
from etl.periods import Built, Period
from etl.reports import HOURS, Asked, Report

if TYPE_CHECKING:
    import pyarrow as pa

    from etl.lake import Lake

CHAPTERS = {
    "cost": (
        *("summary", "usage_by_day", "top_spenders", "usage_by_user_and_day", "usage_by_user"),
        *(
            "usage_by_workspace",
            "usage_by_ai_project",
            "usage_by_project",
            "usage_by_pool",
            "usage_by_flavor",
        ),
        *("usage_by_sku", "pool_cost", "savings", "free_against_paid", "period_over_period", "budget"),
    ),
    "act": ("forgotten", "running_without_auto_stop", "stopped_but_kept"),
    "capacity": (
        *("usage_by_hour", "usage_by_hour_of_day", "concurrency_peak", "pool_utilisation", "queue_waits"),
        *("queue_now", "start_latency"),
    ),
    "failures": ("failed_instances", "failures_by_reason"),
    "inventory": (
        *("inventory_by_status", "inventory_by_user", "inventory_by_flavor", "inventory_by_pool"),
        *("inventory_by_workspace", "inventory_by_ai_project"),
    ),
    "quality": ("data_quality", "price_coverage", "sweep_verdicts", "quarantine_by_reason", "unknown_fields"),
}
OTHER = "other"

# What runs a statement with values for its parameters, and what gives it for a lake.
Read = Callable[..., "pa.Table"]
Reading = Callable[["Lake"], AbstractContextManager[Read]]


@dataclass(frozen=True)
class Section:
    """A report with its answer; where there is none, `missing` is the key of the text that says why."""

    report: Report
    answer: pa.Table | None
    missing: str = ""


@dataclass(frozen=True)
class Edition:
    """The sections by their chapter, and what all of them are about; no period before any day is metered."""

    chapters: dict[str, list[Section]]
    period: Period | None
    tz: str
    zone: tzinfo
    seen_at: datetime | None
    facts: Facts | None
    missing: str

    @property
    def sections(self) -> list[Section]:
        """All sections, one after the other."""
        return [section for chapter in self.chapters.values() for section in chapter]


class Desk:
    """Answers reports over a lake as it is at one moment, each way but once."""

    def __init__(self, lake: Lake, asked: Asked, read: Read) -> None:
        self.lake, self.asked, self.read = lake, asked, read
        self.days, self.missing = _days(lake, read)
        self._found: dict[tuple[str, str | None], Section] = {}

    def __call__(self, name: str, hours: str | None = None) -> pa.Table | None:
        """The answer of a report; None where nothing is metered yet."""
        return self.section(reports.report(name), hours).answer

    def section(self, report: Report, hours: str | None = None) -> Section:
        """A report with its answer, asked for what of the options it takes."""
        key = report.name, hours
        if key not in self._found:
            self._found[key] = self._answered(report, hours)
        return self._found[key]

    def before(self, period: Period) -> Desk:
        """What answers for the period before that one."""
        asked = replace(self.asked, since=str(period.before), until=str(period.first), last=None)
        return Desk(self.lake, asked, self.read)

    def _answered(self, report: Report, hours: str | None) -> Section:
        if reports.stands_on_marts(report) and self.days is None:
            return Section(report, None, self.missing)
        values = reports.values(self.lake, report, _fitting(report, self.asked, hours), self.days)
        return Section(report, self.read(report.sql, values))


def _days(lake: Lake, read: Read) -> tuple[Built | None, str]:
    """The days that a lake has, or the key of the text that says why it has none."""
    if marts.published(lake) is None:
        return None, "not_built"
    try:
        return periods.built_by(read(periods.BUILT)), ""
    except NothingMetered:
        return None, "nothing_metered"


def _fitting(report: Report, asked: Asked, hours: str | None) -> Asked:
    """What is asked for, as far as the report has a use for it."""
    options = report.options
    return Asked(
        since=asked.since if "--from" in options else None,
        until=asked.until if "--to" in options else None,
        last=asked.last if "--last" in options else None,
        tz=asked.tz,
        hours=hours or asked.hours if "--hours" in options else None,
        budget=asked.budget if "--budget" in options else None,
    )


def of(lake: Lake, names: Sequence[str], asked: Asked, reading: Reading = query.reading) -> Edition:
    """An edition of the reports of these names, or of all; UsageError where one is unknown.

    `reading` gives what runs their statements over the lake.
    """
    if asked.by is not None:
        raise UsageError("--by belongs to a report: name one, as in `demeter report usage --by user`")
    lake.check()
    chosen = {each.name: each for each in (map(reports.report, names) if names else reports.reports())}
    built = marts.published(lake)
    tz = asked.tz or (built.tz if built else "UTC")
    with reading(lake) as read:
        desk = Desk(lake, asked, read)
        period = periods.period(lake, asked.since, asked.until, desk.days, asked.last) if desk.days else None
        chapters: dict[str, list[Section]] = {}
        for chapter, placed in (*CHAPTERS.items(), (OTHER, sorted(set(chosen) - _placed()))):
            found = [desk.section(chosen[name]) for name in placed if name in chosen]
            chapters |= {chapter: found} if found else {}
        facts = _facts(desk, period) if period and len(chosen) > 1 else None
        return Edition(chapters, period, tz, days.zone(tz), _seen_at(desk), facts, desk.missing)


def _facts(desk: Desk, period: Period) -> Facts:
    """What the first screen is made of."""
    # The desk for the period before is set up only where something was metered then.
    return overview.facts(
        desk, lambda name: desk.before(period)(name), desk.asked.hours or str(HOURS), period.day_count
    )


def _placed() -> set[str]:
    return {name for names in CHAPTERS.values() for name in names}


def _seen_at(desk: Desk) -> datetime | None:
    """When the last complete sweep ended, by the clock of the service."""
    found: Any = desk("sweep_verdicts")
    times = [row["observed_to"] for row in found.to_pylist() if row["verdict"] == "complete"]
    return max((time for time in times if time), default=None)
