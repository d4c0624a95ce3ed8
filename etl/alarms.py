"""What somebody should be told of: runs that failed, and what a lake says of forgotten instances, its budget
and its checks.

A title is made of words and figures of our own. What the service or a person named stands in the details
alone, as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from etl import checks, periods, query, reports
from etl.errors import DemeterError, UsageError
from etl.lake import Lake
from etl.periods import Period
from etl.projects import WORST_FIRST, Outcome
from etl.reports import Asked
from etl.settings import Settings

# So many forgotten instances are named; the report has all of them.
MOST_NAMED = 10
BUSY = 7
MEANINGS = {
    1: "a defect",
    2: "wrong settings or usage",
    3: "the listing is incomplete",
    4: "a check failed",
    5: "refused by the service",
    6: "the service or the network gave out",
}


@dataclass(frozen=True)
class Alarm:
    """Something to be told of, by a key that stays the same while it lasts: the higher the level the worse,
    and 0 where all is well. `advice` is what to do next."""

    key: str
    level: int
    title: str
    details: tuple[str, ...] = ()
    advice: str = ""


def of_outcome(outcome: Outcome, alone: str = "") -> Iterator[Alarm]:
    """Whether the sweep of a project failed; none where another one was at work. A project without a name is
    called as it is `alone`."""
    name = outcome.project.name or alone
    if outcome.exit_status != BUSY:
        yield _of_run(f"run:{name}", f"the sweep of {name}" if name else "the sweep", outcome.error)


def of_rest(error: Exception | None) -> Alarm:
    """Whether what follows the sweeps failed: the build, the reports, the metrics."""
    return _of_run("rest", "what follows the sweeps", error)


def of_lake(settings: Settings, lake: Lake) -> Iterator[Alarm]:
    """What a lake says: its checks, and once it is built what is forgotten and what was spent."""
    lake.check()
    yield from (_of_check(finding) for finding in checks.check_data(lake))
    for look in (_forgotten, _spent):
        try:
            yield from look(settings, lake)
        except UsageError:
            # Nothing is built yet, or no day was metered in the period.
            continue


def period_of(day: date, kind: str) -> Period:
    """The day, the week from Monday on, or the month that a day is in."""
    if kind == "month":
        first = day.replace(day=1)
        return Period(first, (first + timedelta(31)).replace(day=1))
    first = day - timedelta(day.weekday()) if kind == "week" else day
    return Period(first, first + timedelta(7 if kind == "week" else 1))


def steps_over(cost: Decimal, budget: Decimal) -> int:
    """How far a budget is passed: 0 while it is kept, then 1 and one more for each further tenth of it."""
    return 0 if cost <= budget else 1 + int(10 * (cost - budget) / budget)


def _of_run(key: str, what: str, error: Exception | None) -> Alarm:
    if error is None:
        return Alarm(key, 0, f"{what} is well again")
    status = error.exit_status if isinstance(error, DemeterError) else 1
    level = len(WORST_FIRST) - WORST_FIRST.index(status)
    said = str(error) if isinstance(error, DemeterError) else f"{type(error).__name__}: {error}"
    title = f"{what} failed with exit status {status}: {MEANINGS[status]}"
    return Alarm(key, level, title, (said,), "look at the log of the run, and at `demeter check`")


def _of_check(finding: checks.Finding) -> Alarm:
    key = f"check:{finding.name}"
    if finding.status != "fail":
        return Alarm(key, 0, f"the check {finding.name} holds again")
    title = f"the check {finding.name} fails"
    return Alarm(key, 1, title, (f"{finding.question} No: {finding.detail}",), "run `demeter check`")


def _forgotten(settings: Settings, lake: Lake) -> Iterator[Alarm]:
    """How many instances run for longer than they should, if anybody wants to know."""
    if not settings.notify_forgotten:
        return
    hours = f"{settings.forgotten_hours:g}"
    rows = reports.run(lake, "forgotten", Asked(hours=hours)).to_pylist()
    number = "1 instance has" if len(rows) == 1 else f"{len(rows)} instances have"
    title = f"{number} been running for more than {hours} hours"
    named = tuple(
        f"{row['instance_id']} ({row['name']}) of {row['user_name'] or row['user_id'] or 'an unknown user'}: "
        f"{row['running_hours']:.1f} hours"
        for row in rows[:MOST_NAMED]
    )
    more = (f"and {len(rows) - MOST_NAMED} more",) if len(rows) > MOST_NAMED else ()
    level = len(rows) if len(rows) >= settings.notify_forgotten else 0
    yield Alarm("forgotten", level, title, named + more, f"run `demeter report forgotten --hours {hours}`")


def _spent(settings: Settings, lake: Lake) -> Iterator[Alarm]:
    """Whether the budget of the present period is passed, if there is one."""
    if not settings.budget:
        return
    last = periods.built_by(query.run(lake, periods.BUILT))["last"]
    period = period_of(last, settings.budget_period)
    asked = Asked(since=str(period.first), until=str(period.end))
    [row] = reports.run(lake, "summary", asked).to_pylist()
    if row["billed_cost"] is None:
        return
    # As it was written: 200, and not 200.0.
    budget = Decimal(f"{Decimal(str(settings.budget)).normalize():f}")
    cost = row["billed_cost"] + (row["pool_cost"] or 0)
    currency = row["currency"] or settings.currency
    level = steps_over(cost, budget)
    title = (
        f"the budget of {budget:,f} {currency} for {period} is "
        f"{'passed' if level else 'kept'}: {cost:,.2f} {currency} so far"
    )
    yield Alarm("budget", level, title, (), f"run `demeter report budget --budget {budget:f}`")
