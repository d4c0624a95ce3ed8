"""Line up a bill that a user brings with what was metered, instance by instance."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from etl import days, sqlfiles, views
from etl.bill import HEADERS, read
from etl.errors import UsageError
from etl.focus import zone_of_costs
from etl.lake import Lake

# A bill of more days than that has a date in it that is wrong.
LONGEST = timedelta(3660)


def reconcile(lake: Lake, bill: Path, columns: Sequence[str] = (), currency: str | None = None) -> pa.Table:
    """What the bill and the lake each say of a resource in a period, and whether they agree.

    `status` is `within bounds`, `outside bounds`, `only theirs`, `only ours`, `unpriced` or `other
    currency`. `columns` are headers of the bill, such as amount=Net; `currency` is that of a bill without
    a column for it. UsageError where the bill cannot be read, or there are no costs to compare it with.
    """
    lake.check()
    zone = zone_of_costs(lake)
    lines = read(bill, zone, columns_of(columns), currency)
    first, last = pc.min(lines["from_us"]).as_py(), pc.max(lines["to_us"]).as_py()
    span = days.day_of(first, zone), days.day_of(last, zone)
    if span[1] - span[0] > LONGEST:
        raise UsageError(f"the bill {bill} goes from {span[0]} to {span[1]}: mend its dates")
    with views.unlocked(lake) as connection:
        connection.register("bill", lines)
        connection.register("days", days.days(*_known(connection, span), zone))
        connection.register("hours", days.hours(*span, zone))
        periods = sqlfiles.text("exports", "billed_periods")
        connection.execute(f"create temp table billed_periods as {periods}")
        return connection.sql(sqlfiles.text("exports", "reconciliation")).to_arrow_table()


def columns_of(options: Sequence[str]) -> dict[str, str]:
    """The headers that options such as amount=Net name for fields; UsageError where one names no field."""
    named = {}
    for option in options:
        field, _, header = option.partition("=")
        if field not in HEADERS or not header:
            raise UsageError(f"--column {option!r} is not FIELD=NAME: the fields are {', '.join(HEADERS)}")
        named[field] = header
    return named


def _known(connection: duckdb.DuckDBPyConnection, span: tuple[date, date]) -> tuple[date, date]:
    """The days of the bill and of all that was metered."""
    [(first, last)] = connection.execute("select min(usage_date), max(usage_date) from coverage").fetchall()
    return min(span[0], first or span[0]), max(span[1], last or span[1])


def totals(found: pa.Table) -> pa.Table:
    """What a reconciliation comes to: rows, their amounts and ours, by currency and status."""
    with duckdb.connect() as connection:
        connection.register("found", found)
        return connection.sql("""
            select
                currency, status, count(*) as row_count, sum(line_count)::bigint as line_count,
                sum(billed_amount) as billed_amount, sum(cost_min) as cost_min, sum(cost) as cost,
                sum(cost_max) as cost_max, sum(difference) as difference
            from found group by all order by all
        """).to_arrow_table()
