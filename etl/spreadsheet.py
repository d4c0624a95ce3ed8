"""An edition as a workbook: a sheet for each report that has an answer, some with a chart."""

from __future__ import annotations

from collections.abc import Sequence

from etl import charts, layout, workbook
from etl.edition import Edition, Section
from etl.texts import Texts, texts
from etl.workbook import Chart, Sheet

COST = ("billed_cost_min", "billed_cost", "billed_cost_max")
# The kind of the chart of a report, the column that it goes along, and the columns that it draws.
DRAWN: dict[str, tuple[str, str, Sequence[str]]] = {
    "usage_by_day": ("line", "usage_date", COST),
    "usage_by_hour_of_day": ("column", "hour_of_day", ("running_hours",)),
    "concurrency_peak": ("line", "usage_date", ("peak_instance_count", "mean_running_instances")),
    "data_quality": ("line", "usage_date", ("complete_percent", "bounds_percent")),
    "pool_utilisation": ("bar", "pool_name", ("mean_running_instances", "peak_running_instances")),
    "queue_waits": ("bar", "flavor", tuple(f"waited_minutes_{each}" for each in charts.PERCENTILES)),
    "start_latency": ("bar", "flavor", tuple(f"latency_seconds_{each}" for each in charts.PERCENTILES)),
    "failures_by_reason": ("bar", "code", ("instance_count",)),
    "top_spenders": ("bar", "user_name", ("billed_cost",)),
    "usage_by_user": ("bar", "user_name", ("billed_cost",)),
    "usage_by_flavor": ("bar", "flavor", ("billed_cost",)),
    "usage_by_sku": ("bar", "sku", ("billed_cost",)),
    "usage_by_pool": ("bar", "pool_name", ("billed_cost",)),
    "inventory_by_status": ("bar", "status", ("instance_count",)),
    "forgotten": ("bar", "name", ("billed_cost_per_day",)),
    "stopped_but_kept": ("bar", "name", ("billed_cost_per_day",)),
}


def xlsx(issue: Edition, language: str) -> bytes:
    """The bytes of the workbook; that of one report is its sheet alone."""
    said = texts(language)
    sheets = [_sheet(section, said) for section in issue.sections if section.answer is not None]
    if len(issue.sections) == 1 and sheets:
        return workbook.of(sheets)
    missing = sorted({section.missing for section in issue.sections if section.answer is None})
    return workbook.of(sheets, said("title"), [*layout.about(issue, said), *map(said, missing)])


def _sheet(section: Section, said: Texts) -> Sheet:
    report, answer = section.report, section.answer
    chart = None
    if answer is not None and report.name in DRAWN:
        kind, along, values = DRAWN[report.name]
        rows = 400 if kind == "line" else charts.MOST_BARS
        chart = Chart(kind, said.title(report.name), along, values, rows)
    return Sheet(report.name, said.of_report(report.name, "question", report.question), answer, chart)
