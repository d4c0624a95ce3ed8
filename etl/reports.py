"""The reports: each a question, what a row of its answer is, and the SQL that answers it."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from datetime import UTC, tzinfo
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl import sqlfiles
from etl.errors import UsageError
from etl.schema import unknown

if TYPE_CHECKING:
    import pyarrow as pa

    from etl.lake import Lake
    from etl.periods import Built

KIND = "reports"
# Relations that several reports read from: each becomes their first WITH.
SHARED = "shared"
INSTANTS = frozenset({"from_us", "to_us"})
PERIOD = INSTANTS | {"from", "to", "before"}
MONTH = frozenset({"month_from", "month_to", "month_days"})
HOURS = Decimal(24)


@dataclass(frozen=True)
class Asked:
    """What a report is asked for besides its name, as it was typed; None where nothing was."""

    by: str | None = None
    since: str | None = None
    until: str | None = None
    last: str | None = None
    tz: str | None = None
    hours: str | None = None
    budget: str | None = None


@dataclass(frozen=True)
class Report:
    """One report as its file tells it."""

    name: str
    question: str
    grain: str
    note: str
    sql: str

    @property
    def parameters(self) -> frozenset[str]:
        """The names of the values that its SQL wants."""
        return frozenset(re.findall(r"\$([a-z]\w*)", self.sql))

    @property
    def options(self) -> list[str]:
        """What it may be asked for on the command line."""
        wanted = self.parameters
        period = ["--from", "--to", "--last"] if wanted & PERIOD else ["--from"] if wanted & MONTH else []
        return period + [f"--{name}" for name in ("hours", "budget") if name in wanted]


def reports() -> list[Report]:
    """All reports, by name."""
    return [_read(name) for name in sqlfiles.names(KIND)]


def report(name: str, by: str | None = None) -> Report:
    """The report of that name, by a dimension where it has several; UsageError says what there is."""
    names = sqlfiles.names(KIND)
    dimensions = [each.removeprefix(f"{name}_by_") for each in names if each.startswith(f"{name}_by_")]
    if by is not None and by.replace("-", "_") in dimensions:
        return _read(f"{name}_by_{by.replace('-', '_')}")
    if dimensions and name not in names:
        what = f"the report {name} by {by!r} is none" if by else f"the report {name} wants to know by what"
        raise UsageError(f"{what}: give --by {', '.join(dimensions)}")
    if name not in names:
        raise unknown("report", name, names, "demeter report")
    if by is not None:
        raise UsageError(
            f"the report {name} takes no --by: `demeter report` lists those that are by something"
        )
    return _read(name)


def listing() -> list[dict[str, str]]:
    """The reports as rows: name, question, grain and options."""
    return [
        {
            "report": each.name,
            "question": each.question,
            "grain": each.grain,
            "options": " ".join(each.options),
        }
        for each in reports()
    ]


def run(lake: Lake, name: str, asked: Asked = Asked()) -> pa.Table:
    """The answer of a report over a lake."""
    chosen = report(name, asked.by)
    return answer(lake, chosen, values(lake, chosen, asked))


def answer(lake: Lake, chosen: Report, bound: dict[str, Any]) -> pa.Table:
    """The answer of a report with a value for each of its parameters."""
    from etl import query

    return query.run(lake, chosen.sql, bound)


def values(lake: Lake, chosen: Report, asked: Asked, built: Built | None = None) -> dict[str, Any]:
    """A value for each parameter of a report; UsageError where it is asked for what it does not take.

    `built` is what is known already of the days that the lake has.
    """
    from etl import periods

    _refuse_others(chosen, asked)
    if stands_on_marts(chosen):
        periods.require_built(lake, asked.tz)
    found: dict[str, Any] = {
        "hours": HOURS if asked.hours is None else _number(asked.hours, "--hours"),
        "budget": None if asked.budget is None else _number(asked.budget, "--budget"),
    }
    if chosen.parameters & PERIOD:
        period = periods.period(lake, asked.since, asked.until, built, asked.last)
        found |= {"from": period.first, "to": period.end, "before": period.before}
    if chosen.parameters & INSTANTS:
        found |= dict(zip(("from_us", "to_us"), periods.instants(lake, period), strict=True))
    if chosen.parameters & MONTH:
        month = periods.month(lake, asked.since, built)
        found |= {"month_from": month.first, "month_to": month.end, "month_days": month.day_count}
    return {name: found[name] for name in chosen.parameters}


def told(values: dict[str, Any]) -> str | None:
    """The days that a report is about, in words; None where it is about now."""
    from etl.periods import Period

    first, end = (values.get(name, values.get(f"month_{name}")) for name in ("from", "to"))
    return f"{Period(first, end)}, both included" if first and end else None


def write(answer: pa.Table, format: str, output: Path | None = None, *, zone: tzinfo = UTC) -> None:
    """Write an answer: exact for programs, and as people read it where they do."""
    from etl import figures, render

    shown = figures.readable(answer) if format in ("table", "md") else answer
    render.write(shown, format, output, zone=zone)


def show(lake: Lake, name: str, rows: int) -> None:
    """Print a report's question and the first rows of its answer, without ids that tell nothing more:
    those that are all the same, or have a name beside them."""
    chosen, answer = report(name), run(lake, name)
    names = {f"{column.removesuffix('_name')}_id" for column in answer.column_names}
    telling = [
        column
        for column in answer.column_names
        if not column.endswith("_id") or (column not in names and len(answer[column].unique()) > 1)
    ]
    sys.stdout.write(f"\n{' '.join([chosen.question, chosen.note]).strip()}\n\n")
    write(answer.select(telling).slice(0, rows), "table")
    if answer.num_rows > rows:
        sys.stdout.write(f"and {answer.num_rows - rows} more: demeter --lake {lake} report {name}\n")


def _refuse_others(chosen: Report, asked: Asked) -> None:
    """Raise UsageError where an option is given that the report has no use for."""
    given = {
        "--from": asked.since,
        "--to": asked.until,
        "--last": asked.last,
        "--hours": asked.hours,
        "--budget": asked.budget,
    }
    for option, value in given.items():
        if value is not None and option not in chosen.options:
            takes = (
                f"it takes {', '.join(chosen.options)}"
                if chosen.options
                else "it is about now, so leave it out"
            )
            raise UsageError(f"the report {chosen.name} takes no {option}: {takes}")


def stands_on_marts(chosen: Report) -> bool:
    """Whether a report reads what only a build makes."""
    from etl.marts import SEEN

    return re.search(rf"\b(?:from|join)\s+(?:{'|'.join(SEEN)})\b", chosen.sql) is not None


def _number(text: str, option: str) -> Decimal:
    try:
        number = Decimal(text)
        if not 0 <= number < 10**12:
            raise ValueError
    except (InvalidOperation, ValueError):
        raise UsageError(
            f"{option} {text!r} is no number of 0 or more: give one like 24 or 1500.50"
        ) from None
    return number


def _read(name: str) -> Report:
    """The report of a file, with the shared relations that it reads from."""
    head, query = sqlfiles.divided(sqlfiles.text(KIND, name))
    return Report(name, *sqlfiles.meaning(KIND, name), head + with_shared(query))


def with_shared(query: str) -> str:
    """A query with each shared relation that it reads from as its first WITH."""
    for name in sqlfiles.names(SHARED):
        if re.search(rf"\b(?:from|join) {name}\b", query):
            _, relation = sqlfiles.divided(sqlfiles.text(SHARED, name))
            rest = query.removeprefix("with ")
            after = f",\n\n{rest}" if rest != query else f"\n\n{query}"
            query = f"with {name} as (\n{relation}\n){after}"
    return query
