"""The reports: each a question, what a row of its answer is, and the SQL that answers it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from etl import sqlfiles
from etl.schema import unknown

if TYPE_CHECKING:
    import pyarrow as pa

    from etl.lake import Lake

KIND = "reports"


@dataclass(frozen=True)
class Report:
    """One report as its file tells it."""

    name: str
    question: str
    grain: str
    note: str
    sql: str


def reports() -> list[Report]:
    """All reports, by name."""
    return [_read(name) for name in sqlfiles.names(KIND)]


def report(name: str) -> Report:
    """The report of that name; UsageError names the nearest where there is none."""
    names = sqlfiles.names(KIND)
    if name not in names:
        raise unknown("report", name, names, "demeter report")
    return _read(name)


def listing() -> list[dict[str, str]]:
    """The reports as rows: name, question and grain."""
    return [{"report": each.name, "question": each.question, "grain": each.grain} for each in reports()]


def run(lake: Lake, name: str) -> pa.Table:
    """The answer of a report over a lake."""
    from etl import query

    return query.run(lake, report(name).sql)


def show(lake: Lake, name: str, rows: int) -> None:
    """Print a report's question and the first rows of its answer, without ids that are all the same."""
    from etl import render

    chosen, answer = report(name), run(lake, name)
    telling = [
        column
        for column in answer.column_names
        if not column.endswith("_id") or len(answer[column].unique()) > 1
    ]
    sys.stdout.write(f"\n{' '.join([chosen.question, chosen.note]).strip()}\n\n")
    render.write(answer.select(telling).slice(0, rows), "table")
    if answer.num_rows > rows:
        sys.stdout.write(f"and {answer.num_rows - rows} more: demeter report {name}\n")


def _read(name: str) -> Report:
    """The report of a file, whose first comment is its question and whose next its grain and a note."""
    sql = sqlfiles.text(KIND, name)
    comments = []
    for line in sql.splitlines():
        if not line.startswith("--"):
            break
        comments.append(line.removeprefix("--").strip())
    question, _, rest = " ".join(comments).partition(" Grain: ")
    grain, _, note = rest.partition(". ")
    return Report(name, question, grain.removesuffix("."), note, sql)
