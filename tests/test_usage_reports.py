"""What was used and what it cost: every report sums to the whole, and says what it does not know."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import lakes
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result

from etl import figures, periods, query, reports, sqlfiles, views
from etl.build import build
from etl.cli import main
from etl.errors import UsageError
from etl.lake import Lake
from etl.reports import Asked
from etl.settings import Settings

Row = dict[str, Any]

A, B = lakes.PROJECTS
NAMES = [report.name for report in reports.reports() if reports.stands_on_marts(report)]
ROLLUPS = [
    *(name for name in NAMES if name.startswith("usage_by_")),
    *("free_against_paid", "price_coverage", "savings", "top_spenders"),
]
MEASURES = (
    *("running_hours_min", "running_hours", "running_hours_max"),
    *("accelerator_hours", "unknown_accelerator_hours"),
    *("list_cost", "billed_cost_min", "billed_cost", "billed_cost_max", "saved_cost"),
    *("unpriced_hours", "unpriced_gb_hours"),
)
PAGE = Path(__file__).parents[1] / "docs" / "reports.md"
RUNS = re.findall(r"<!-- run -->\n```console\n\$ ([^\n]*)\n(.*?)```", PAGE.read_text(), re.DOTALL)
DAY = Asked(since="2026-10-12", until="2026-10-13")
ALL = Asked(since="2026-10-12", until="2026-10-14")


@cache
def connection(lake: Lake) -> duckdb.DuckDBPyConnection:
    """A connection like that of a query; making one takes longer than most reports."""
    return views.connect(lake)


def run(lake: Lake, name: str, asked: Asked) -> pa.Table:
    """The answer of a report, over that connection."""
    chosen = reports.report(name, asked.by)
    values = reports.values(lake, chosen, asked)
    return connection(lake).sql(chosen.sql, params=values or None).to_arrow_table()


@cache
def answer(lake: Lake, name: str, asked: Asked) -> pa.Table:
    """The same, worked out once: this lake stays as it is."""
    return run(lake, name, asked)


@pytest.fixture(autouse=True, scope="module")
def built_once() -> Iterator[None]:
    """Ask each lake but once what days it has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(periods, "_built", cache(periods._built))
        yield


def rows(lake: Lake, name: str, asked: Asked = ALL, project: str | None = None) -> list[Row]:
    """The answer of a report, of one project where it is named."""
    found: list[Row] = answer(lake, name, asked).to_pylist()
    return [row for row in found if project is None or row["project_id"] == project]


def only(found: list[Row], *columns: str) -> list[tuple[Any, ...]]:
    """Some columns of the rows."""
    return [tuple(row[column] for column in columns) for row in found]


def total(found: list[Row], column: str) -> Decimal:
    return sum((row[column] for row in found if row[column] is not None), Decimal(0))


def hours(*values: float | str) -> tuple[Decimal, ...]:
    return tuple(Decimal(str(value)) for value in values)


def demeter(*arguments: str, lake: Lake) -> Result:
    return CliRunner().invoke(main, ["--lake", str(lake.path), *arguments])


def refusal(lake: Lake, name: str, **asked: str) -> str:
    """What is said to one who asks for what cannot be."""
    with pytest.raises(UsageError) as refused:
        reports.run(lake, name, Asked(**asked))
    return str(refused.value)


@pytest.mark.parametrize("asked", [DAY, ALL], ids=["a-day", "all-days"])
@pytest.mark.parametrize("name", ROLLUPS)
def test_a_rollup_sums_to_the_summary(name: str, asked: Asked, built_lake: Lake) -> None:
    [whole] = rows(built_lake, "summary", asked)
    found = rows(built_lake, name, asked)
    measured = [measure for measure in MEASURES if measure in found[0]]
    assert {"running_hours"} <= set(measured)
    assert {measure: total(found, measure) for measure in measured} == {
        measure: whole[measure] for measure in measured
    }
    assert min(whole[measure] for measure in ("running_hours", "billed_cost", "unpriced_hours")) > 0


def test_the_shares_of_pools_sum_to_the_summary(built_lake: Lake) -> None:
    [whole] = rows(built_lake, "summary")
    assert total(rows(built_lake, "pool_cost"), "pool_cost") == whole["pool_cost"] == 30 * (12 + 12 + 6)


def test_a_summary_tells_what_was_seen_hour_by_hour(built_lake: Lake) -> None:
    [found] = rows(built_lake, "summary", DAY)
    # Of the first project: 1 ran from 0 to 6, and 6 from between 1 and 12; 2, 4, 8 and 9 all day.
    assert found == {
        "currency": "CNY",
        "running_hours_min": 1 + 12 + 4 * 24 + 4 * 24,
        "running_hours": Decimal("6") + Decimal("17.5") + 4 * 24 + 6 + 12 + 4 * 24,
        "running_hours_max": 12 + 11 + 23 + 4 * 24 + 24 + 24 + 24 + 4 * 24,
        "accelerator_hours": 2 * (6 * 2 + 24 * 2),
        "unknown_accelerator_hours": 2 * 2 * 24,
        "list_cost": 2 * (60 + Decimal("28.8") + 192 + 2 * Decimal("0.168"))
        + Decimal("5.25")
        + Decimal("3.6"),
        "billed_cost_min": 2 * (Decimal("28.8") + 192 + 2 * Decimal("0.168")),
        "billed_cost": 2 * (Decimal("28.8") + 192 + 2 * Decimal("0.168")),
        "billed_cost_max": 2 * (Decimal("28.8") + 192 + 2 * Decimal("0.168")),
        "saved_cost": 2 * 60 + Decimal("5.25") + Decimal("3.6"),
        "free_value": Decimal("5.25") + Decimal("3.6"),
        "dedicated_value": 2 * 60,
        "pool_cost": 2 * 360,
        "unpriced_hours": 2 * (24 + 24),
        "unpriced_percent": Decimal("41.113490"),
        "unpriced_gb_hours": 0,
        "instance_count": 16,
        "user_count": 2,
        "project_count": 2,
        "metered_days": 2,
        "complete_sweep_count": 4,
        "incomplete_sweep_count": 0,
        "failed_sweep_count": 0,
        "expected_sweep_count": 4,
        "complete_percent": 100,
        "largest_gap_hours": 24,
        "bounds_percent": Decimal("44.967880"),
        "midpoint_percent": Decimal("7.494647"),
        "first_date": date(2026, 10, 12),
        "last_date": date(2026, 10, 12),
    }


@pytest.mark.parametrize(
    ("name", "key", "running"),
    [
        ("usage_by_user", "user_id", 24),
        ("usage_by_pool", "pool_id", 24 + 24 + 24 + 17.5),
        ("usage_by_workspace", "workspace_id", 6 + 24 + 17.5 + 24 + 24),
        ("usage_by_ai_project", "ai_project_id", 6 + 24 + 17.5 + 24 + 24),
        ("usage_by_sku", "sku", 24),
        ("top_spenders", "user_id", 24),
        ("price_coverage", "sku", 24),
        ("savings", "sku", 24),
    ],
)
def test_what_belongs_to_nothing_is_a_row(name: str, key: str, running: float, built_lake: Lake) -> None:
    found = [row for row in rows(built_lake, name, DAY, A) if row[key] is None]
    assert only(found, "running_hours") == [hours(running)]


def test_disks_and_instances_without_a_flavor_are_told_apart(built_lake: Lake) -> None:
    found = [row for row in rows(built_lake, "usage_by_flavor", DAY, A) if row["flavor"] is None]
    told = {row["charge"]: (row["running_hours"], row["list_cost"]) for row in found}
    assert told == {"compute": (24, None), "storage": (0, Decimal("0.336"))}


def test_a_cost_without_a_price_is_null_and_its_hours_stand_beside_it(built_lake: Lake) -> None:
    costs = ("list_cost", "billed_cost_min", "billed_cost", "billed_cost_max")
    found = {row["user_name"]: row for row in rows(built_lake, "usage_by_user", DAY, A)}
    assert only([found[None]], *costs, "unpriced_hours") == [(None, None, None, None, 24)]
    assert found["bo"]["billed_cost"] == Decimal("28.8") + 192 + Decimal("0.168")
    assert found["bo"]["unpriced_hours"] == 24


def test_a_sku_is_told_with_its_price_and_what_it_counts(built_lake: Lake) -> None:
    found = {row["sku"]: row for row in rows(built_lake, "usage_by_sku", DAY, A)}
    columns = ("unit", "unit_price_min", "unit_price_max", "quantity", "running_hours", "list_cost")
    assert only([found["gpu"]], *columns) == [("hour", 4, 4, 48, 24, 192)]
    disks = found["modelarts.storage.volume"]
    assert only([disks], *columns) == [("gb_hour", *hours("0.0014", "0.0014", 240, 0, "0.336"))]


def test_a_day_is_complete_only_if_it_was_metered_to_its_end(built_lake: Lake) -> None:
    found = rows(built_lake, "usage_by_day", ALL, A)
    assert only(found, "usage_date", "running_hours", "is_complete") == [
        (date(2026, 10, 12), Decimal("119.5"), True),
        (date(2026, 10, 13), Decimal("30"), False),
    ]


def test_an_hour_of_the_day_has_what_ran_in_it(built_lake: Lake) -> None:
    found = rows(built_lake, "usage_by_hour_of_day", DAY, A)
    told = {row["hour_of_day"]: row["running_hours"] for row in found}
    expected = {hour: 4 + (hour < 6) + (hour > 6) + (hour == 6) * Decimal("0.5") for hour in range(24)}
    assert told == expected
    hourly = rows(built_lake, "usage_by_hour", DAY, A)
    assert {(row["usage_date"].day, row["hour_of_day"]): row["running_hours"] for row in hourly} == {
        (12, hour): expected[hour] for hour in range(24)
    }


def test_spenders_are_ranked_and_their_shares_add_up(built_lake: Lake) -> None:
    found = rows(built_lake, "top_spenders")
    assert only(found, "user_name", "spender_rank") == [
        *(("bo", 1), ("bo", 2), ("ann", 3), ("ann", 4), (None, None), (None, None))
    ]
    assert abs(total(found, "billed_percent") - 100) < Decimal("0.00001")
    shares = [row["billed_percent_so_far"] for row in found]
    assert shares[:4] == sorted(shares[:4])
    assert shares[3:] == [100, None, None]


def test_what_is_free_and_what_is_in_a_dedicated_pool_is_not_paid(built_lake: Lake) -> None:
    found = rows(built_lake, "free_against_paid", DAY, A)
    assert only(found, "kind", "running_hours", "list_cost", "billed_cost", "unpriced_hours") == [
        ("dedicated", *hours(30, 60, 0, 24)),
        ("free", *hours("17.5", "5.25", 0, 0)),
        ("paid", *hours(72, "221.136", "221.136", 24)),
    ]


def test_the_days_of_a_user_sum_to_what_the_user_cost(built_lake: Lake) -> None:
    whole = {row["user_name"]: row["billed_cost"] for row in rows(built_lake, "usage_by_user", ALL, A)}
    found = rows(built_lake, "usage_by_user_and_day", ALL, A)
    for name in ("ann", "bo", None):
        daily = [row for row in found if row["user_name"] == name]
        assert total(daily, "billed_cost") == (whole[name] or 0)
        assert [row["usage_date"].day for row in daily] == [12, 13]


def test_a_saving_has_its_reason_and_none_where_there_is_no_price(built_lake: Lake) -> None:
    found = {(row["sku"], row["reason"]): row for row in rows(built_lake, "savings", DAY, A)}
    told = {key: (row["saved_cost"], row["saved_percent"]) for key, row in found.items()}
    assert told == {
        ("ascend.2", "dedicated"): (60, 100),
        ("cpu.free", "free"): (Decimal("5.25"), 100),
        ("gpu", None): (0, 0),
        ("cpu.2u", None): (0, 0),
        ("modelarts.storage.volume", None): (0, 0),
        ("odd.1", "dedicated"): (None, None),
        ("odd.1", None): (None, None),
        (None, None): (None, None),
    }


def test_a_sku_without_a_price_comes_first_with_what_it_lacks(built_lake: Lake) -> None:
    found = rows(built_lake, "price_coverage", DAY, A)
    assert only(found, "sku", "missing", "unpriced_hours")[:3] == [
        ("odd.1", "price", 24),
        (None, "sku", 24),
        ("ascend.2", None, 0),
    ]


def test_the_shares_of_a_pool_are_by_use_and_accelerators(built_lake: Lake) -> None:
    found = rows(built_lake, "pool_cost", DAY, A)
    columns = ("pool_name", "user_name", "instance_count", "pool_hours", "pool_cost", "is_idle")
    # The pool is the same one in both projects, so each has half of its day: 9 two thirds of that, as
    # it ran for 24 hours, and 1 one third, as it ran for 6 with two cards.
    assert only(found, *columns) == [
        ("vision", "bo", 1, *hours(8, 240), False),
        ("vision", "ann", 1, *hours(4, 120), False),
    ]


def test_the_forgotten_run_for_longer_than_was_asked(built_lake: Lake) -> None:
    columns = ("instance_id", "running_hours", "billed_cost_per_day", "ran_before_first_sweep")
    found = rows(built_lake, "forgotten", Asked(), A)
    assert only(found, *columns) == [
        ("DE-2", 30, None, True),
        ("DE-4", 30, Decimal("28.8"), True),
        ("DE-8", 30, 2 * 4 * 24, True),
        ("DE-9", 30, None, True),
    ]
    assert only(rows(built_lake, "forgotten", Asked(hours="23.4"), A), "instance_id")[-1] == ("DE-6",)
    assert rows(built_lake, "forgotten", Asked(hours="30")) == []


def test_a_disk_of_a_stopped_instance_has_what_it_costs_a_day(built_lake: Lake) -> None:
    found = rows(built_lake, "stopped_but_kept", Asked(), A)
    columns = ("instance_id", "disk_count", "size_gb", "billed_cost_per_day", "billed_cost_so_far")
    assert only(found, *columns) == [("DE-3", 1, *hours(5, "0.168", "0.21"))]


def test_a_wait_that_lasts_counts_apart(built_lake: Lake) -> None:
    found = rows(built_lake, "queue_waits", DAY, A)
    columns = ("flavor", "wait_count", "waited_minutes_p50", "waiting_count", "waiting_minutes_max")
    assert only(found, *columns) == [("cpu.free", 1, 720, 0, None), ("gpu.2", 0, None, 1, 1800)]


def test_a_start_that_failed_counts_as_one(built_lake: Lake) -> None:
    found = rows(built_lake, "start_latency", DAY, A)
    columns = ("flavor", "start_count", "failure_count", "failure_percent", "under_way_count")
    assert only(found, *columns) == [("cpu.free", 1, 0, 0, 0), ("odd.1", 0, 1, 100, 0)]


def test_a_period_is_compared_with_the_one_before_only_if_that_was_metered(built_lake: Lake) -> None:
    second = Asked(since="2026-10-13", until="2026-10-14")
    columns = ("metered_days", "running_hours", "running_hours_before", "running_hours_change")
    [found] = rows(built_lake, "period_over_period", second, A)
    assert only([found], *columns) == [hours("0.25", 30, "119.5", "-89.5")]
    assert found["billed_cost_change"] == found["billed_cost"] - found["billed_cost_before"]
    [first] = rows(built_lake, "period_over_period", DAY, A)
    assert only([first], *columns) == [(1, Decimal("119.5"), None, None)]
    [gone] = rows(built_lake, "period_over_period", second, B)
    assert only([gone], *columns) == [(0, None, 114, None)]


def test_a_budget_ends_where_the_rate_of_the_month_leads(built_lake: Lake) -> None:
    [found] = rows(built_lake, "budget", Asked(budget="20000"))
    day, quarter, pool = Decimal("221.136"), Decimal("55.284"), Decimal(360)
    spent = {A: day + quarter + pool + 180, B: day + pool}
    cost = spent[A] + spent[B]
    assert (found["cost_min"], found["cost"], found["budget"]) == (cost, cost, 20000)
    # The first project is metered until 06:00 of the 13th, the second until the end of the 12th.
    assert found["month_end_cost"] == spent[A] * (1 + Decimal("18.75") / Decimal("1.25")) + spent[B] * 20
    assert found["budget_left"] == 20000 - cost
    assert found["month_end_over_budget"] == found["month_end_cost"] - 20000
    assert (found["metered_days"], found["open_days"]) == hours("2.25", 19)


def test_without_a_budget_what_compares_with_it_is_null(built_lake: Lake) -> None:
    [found] = rows(built_lake, "budget", Asked(since="2026-10"))
    compared = ("budget", "budget_left", "budget_used_percent", "month_end_over_budget")
    assert only([found], *compared) == [(None, None, None, None)]
    assert found["cost"] > 0


def test_the_peak_of_a_day_is_what_ran_at_once(built_lake: Lake) -> None:
    found = rows(built_lake, "concurrency_peak", DAY, A)
    columns = ("instance_count", "peak_instance_count", "peak_accelerator_count", "mean_running_accelerators")
    assert only(found, *columns) == [(6, 5, 4, Decimal("2.5"))]
    assert found[0]["peak_at"].timestamp() == lakes.MIDNIGHT_MS / 1000


def test_the_use_of_a_pool_is_set_against_its_fullest_hour(built_lake: Lake) -> None:
    found = {row["pool_id"]: row for row in rows(built_lake, "pool_utilisation", DAY, A)}
    columns = ("running_hours", "mean_running_instances", "peak_running_instances", "instance_use_percent")
    assert only([found["pool-1"]], *columns) == [hours(30, "1.25", 2, "62.5")]
    assert set(found) == {None, "pool-1"}


def test_the_quality_of_a_day_is_told_with_its_gaps_and_bounds(built_lake: Lake) -> None:
    found = rows(built_lake, "data_quality", ALL, A)
    columns = ("complete_sweep_count", "metered_hours", "largest_gap_minutes", "bounds_percent", "stop_count")
    assert only(found, *columns) == [
        (3, 24, 720, Decimal("27.615063"), 1),
        (2, 6, 360, 0, 1),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_report_has_a_grain_no_row_twice_and_always_the_same_order(name: str, built_lake: Lake) -> None:
    report = reports.report(name)
    assert report.question.endswith("?")
    assert re.fullmatch(r"one row per .*[^.]", report.grain)
    asked = ALL if "--to" in report.options else Asked()
    found = answer(built_lake, name, asked)
    assert 0 < found.num_rows == len({str(row) for row in found.to_pylist()})
    assert run(built_lake, name, asked).equals(found)


@pytest.mark.parametrize("name", NAMES)
def test_a_report_only_reads_and_joins_within_a_project(name: str) -> None:
    sql = reports.report(name).sql
    query.check(sql)
    joined = re.findall(r"(?<!cross )\bjoin\s+\w+(?:\s+as\s+\w+)?\s+on\s+(\S+)", sql)
    assert len(joined) == len(re.findall(r"(?<!cross )\bjoin\b", sql))
    assert all(key.endswith(".project_id") for key in joined)


@pytest.mark.parametrize("name", NAMES)
def test_a_report_is_in_the_sql_that_engines_share(name: str) -> None:
    of_one = (
        r"//|::|\bqualify\b|\bexclude\b|\bunnest\b|\bepoch|\bdate_diff|\bstrftime|\bgroup by all|\bfrom\s+'"
    )
    assert re.findall(of_one, reports.report(name).sql) == []


def test_the_period_is_the_complete_days_unless_one_is_asked_for(built_lake: Lake) -> None:
    days = {}
    for name, asked in {
        "none": Asked(),
        "month": Asked(since="2026-10"),
        "from": Asked(since="2026-10-13"),
        "to": Asked(until="2026-10-13"),
        "until a month": Asked(since="2026-10-01", until="2026-11"),
        "last": Asked(last="1 day"),
        "more than there are": Asked(last="30 days"),
    }.items():
        values = reports.values(built_lake, reports.report("usage", "user"), asked)
        days[name] = (values["from"].isoformat()[5:], values["to"].isoformat()[5:])
    assert days == {
        "none": ("10-12", "10-13"),
        "month": ("10-01", "11-01"),
        "from": ("10-13", "10-14"),
        "to": ("10-12", "10-13"),
        "until a month": ("10-01", "11-01"),
        "last": ("10-12", "10-13"),
        "more than there are": ("10-12", "10-13"),
    }


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("summary", {"since": "yesterday"}, "'yesterday' is no date: give one like 2026-10-12"),
        ("summary", {"since": "2026-10-12' or true --"}, "is no date"),
        ("summary", {"since": "2026-02-30"}, "'2026-02-30' is no date"),
        ("summary", {"since": "2026-10-13", "until": "2026-10-13"}, "no day is from 2026-10-13 until before"),
        ("summary", {"since": "2026-09"}, "nothing was metered in 2026-09-01 to 2026-09-30: this lake is"),
        ("budget", {"since": "2027-01"}, "nothing was metered in 2027-01-01 to 2027-01-31"),
        ("budget", {"until": "2026-10-13"}, "the report budget takes no --to: it takes --from, --budget"),
        ("summary", {"last": "0 days"}, "--last '0 days' is no number of days: give one like '7 days'"),
        ("summary", {"last": "1", "since": "2026-10"}, "--last is a period of its own: leave --from"),
        ("budget", {"last": "7 days"}, "the report budget takes no --last: it takes --from, --budget"),
        ("budget", {"budget": "much"}, "--budget 'much' is no number of 0 or more"),
        ("budget", {"budget": "-1"}, "--budget '-1' is no number of 0 or more"),
        ("budget", {"budget": "NaN"}, "--budget 'NaN' is no number of 0 or more"),
        ("forgotten", {"hours": "a day"}, "--hours 'a day' is no number of 0 or more"),
        ("forgotten", {"since": "2026-10-12"}, "the report forgotten takes no --from: it takes --hours"),
        ("queue_now", {"until": "2026-10-12"}, "the report queue_now takes no --to: it is about now"),
        ("usage", {"by": "colour"}, "the report usage by 'colour' is none: give --by ai_project, day,"),
        ("usage", {}, "the report usage wants to know by what: give --by ai_project, day,"),
        ("summary", {"by": "user"}, "the report summary takes no --by"),
        ("sumary", {"by": "user"}, "there is no report 'sumary': did you mean 'summary'?"),
        (
            "summary",
            {"tz": "Europe/Berlin"},
            "this lake is built in UTC: run `demeter build --tz Europe/Berlin`",
        ),
        ("summary", {"tz": "Mars"}, "there is no time zone 'Mars'"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_a_line(
    name: str, asked: dict[str, str], said: str, built_lake: Lake
) -> None:
    assert said in refusal(built_lake, name, **asked)


@pytest.mark.parametrize("name", NAMES)
def test_before_a_build_a_report_says_to_run_one(name: str, small_lake: Lake) -> None:
    assert refusal(small_lake, name) == "nothing is built yet: run `demeter build` first"


def test_a_dimension_may_be_given_with_a_hyphen(built_lake: Lake) -> None:
    assert reports.report("usage", "hour-of-day").name == "usage_by_hour_of_day"
    assert reports.report("inventory", "pool").name == "inventory_by_pool"


def test_days_are_those_of_the_zone_that_was_built_in(built_lake: Lake, tmp_path: Path) -> None:
    copy = Lake(Path(shutil.copytree(built_lake.path, tmp_path / "lake")))
    build(Settings(tz="Asia/Shanghai"), copy)
    # A day of Shanghai begins at 16:00 UTC: none is metered from end to end, and the 13th for 14 hours.
    found = reports.run(copy, "usage", Asked(by="day", since="2026-10-13", until="2026-10-14")).to_pylist()
    assert only(found, "project_id", "is_complete") == [(A, False), (B, False)]
    assert found[0]["unpriced_hours"] == 2 * 14
    waits = reports.run(copy, "queue_waits", Asked(since="2026-10-13", until="2026-10-14")).to_pylist()
    assert only(waits, "project_id", "flavor", "wait_count", "waiting_count") == [
        *((B, "cpu.free", 1, 0), (A, "gpu.2", 0, 1), (B, "gpu.2", 0, 1))
    ]


def test_the_command_tells_the_days_and_gives_programs_exact_figures(built_lake: Lake) -> None:
    shown = demeter("report", "usage", "--by", "user", "--format", "csv", lake=built_lake)
    assert shown.stderr == "2026-10-12 to 2026-10-12, both included\n"
    assert "17.5000000000" not in shown.stdout
    assert ",23.5000000000," in shown.stdout
    table = demeter("report", "usage", "--by", "user", lake=built_lake).stdout
    assert " 23.50 " in table
    assert "23.5000" not in table


def test_a_long_row_is_shown_on_its_side_with_its_bounds(built_lake: Lake) -> None:
    shown = demeter("report", "summary", "--from", "2026-10-12", "--to", "2026-10-13", lake=built_lake)
    lines = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines() if line}
    assert lines["running_hours"] == ["205.00", "233.50", "310.00"]
    assert lines["unpriced_percent"] == ["41.11"]


def test_figures_are_rounded_half_to_even_and_prices_are_not() -> None:
    values = [Decimal("0.125"), Decimal("0.135"), None, Decimal("-2.005"), Decimal("0.0014")]
    kind = pa.decimal128(20, 12)
    found = figures.readable(pa.table({name: pa.array(values, kind) for name in ("cost", "unit_price_max")}))
    rounded = [None if value is None else str(value) for value in found["cost"].to_pylist()]
    assert rounded == ["0.12", "0.14", None, "-2.00", "0.00"]
    assert [str(value) for value in found["unit_price_max"].to_pylist()][-1] == "0.0014"


def test_the_page_lists_every_report_with_its_question_and_its_options() -> None:
    listed = PAGE.read_text().partition("<!-- reports -->")[2].partition("<!-- /reports -->")[0]
    told = [re.findall(r"(?<=\| ).*?(?= \|)", line) for line in listed.splitlines() if line.startswith("| `")]
    assert told == [
        [f"`{each.name}`", each.question, ", ".join(f"`{option}`" for option in each.options)]
        for each in reports.reports()
    ]


@pytest.mark.parametrize(("command", "shown"), RUNS, ids=[command for command, _ in RUNS])
def test_a_run_on_the_page_shows_what_the_command_prints(command: str, shown: str, built_lake: Lake) -> None:
    printed = demeter(*command.split()[1:], lake=built_lake).stdout
    lines = [line.rstrip() for line in printed.splitlines()]
    whole, cut, _ = shown.partition("...\n")
    assert (lines[: whole.count("\n")] if cut else lines) == whole.splitlines()


def test_the_query_on_the_page_has_an_answer(built_lake: Lake) -> None:
    [text] = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert query.run(built_lake, text).num_rows > 0


def test_a_shared_relation_is_read_by_some_report() -> None:
    for name in sqlfiles.names(reports.SHARED):
        assert any(f"with {name} as (" in report.sql for report in reports.reports())
