"""Export what was charged in a billing month as FOCUS cost and usage data.

A month is open until it is over and covered by sweeps: each export of it replaces the one before.
Its first export after that closes it: its rows stay as they are, and what turns out otherwise later
is a correction in the first month that is still open.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from etl import days, delivery, marts, prices, sqlfiles, views
from etl.columns import quoted
from etl.delivery import VERSIONS, Delivery
from etl.directory import private
from etl.errors import UsageError
from etl.lake import Lake
from etl.places import Place
from etl.settings import Settings

LEDGER = "charges.parquet"
SUMMARY = "summary.json"
# A project that was not swept for so long does not keep a month open.
PATIENCE = timedelta(7)
INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Unpriced:
    """What is left out, as FOCUS knows no unknown cost: the charges of a SKU that has no price."""

    sku: str | None
    charge: str
    charge_count: int
    day_count: int


@dataclass(frozen=True)
class Content:
    """What is in an export, and what is not."""

    time_zone: str
    period_from: str
    period_to: str
    is_closed: bool
    row_count: int
    correction_count: int
    unpriced: list[Unpriced]


@dataclass(frozen=True)
class Export:
    """The files of an export, and what is in them."""

    paths: list[Path]
    content: Content


def export(lake: Lake, settings: Settings, month: str, output: Path, focus_version: str = "1.2") -> Export:
    """Write the FOCUS rows of a month such as 2026-10: Parquet, CSV and their metadata.

    UsageError where the month or the version is none, or where there is no cost to export.
    """
    lake.check()
    first = _first_day(month)
    if focus_version not in VERSIONS:
        raise UsageError(f"there is no FOCUS {focus_version!r} here: give one of {', '.join(VERSIONS)}")
    zone = zone_of_costs(lake)
    with lake.writing(), lake.lock("exports", wait=True), views.unlocked(lake) as connection:
        if first in closed_months(lake):
            content = _as_closed(connection, lake, first)
        else:
            content = _as_known(connection, lake, settings, first, zone)
        written = Delivery("delivered", focus_version, month, asdict(content))
        return Export(delivery.write(connection, written, output, _folder(lake) / "schemas"), content)


def zone_of_costs(lake: Lake) -> ZoneInfo:
    """The time zone that costs were worked out in; UsageError where there are none."""
    built = marts.published(lake)
    if built is None or "cost_daily" not in built.versions:
        raise UsageError("there are no costs in this lake: run `demeter build` first")
    return days.zone(built.tz)


def remarks(month: str, content: Content) -> Iterator[str]:
    """What a reader of an export has to know, a line each."""
    charges = f"{content.row_count} charges, {content.correction_count} of them corrections of earlier months"
    if content.is_closed:
        yield f"{month} is closed, with {charges}: what turns out otherwise comes as corrections later"
    else:
        yield f"{month} is open, with {charges}: the next export of it replaces these files"
    for each in content.unpriced:
        yield (
            f"left out for want of a price: {each.charge_count} charges of {each.sku or 'no SKU'} "
            f"({each.charge}) on {each.day_count} days"
        )


def closed_months(lake: Lake) -> list[date]:
    """The months whose rows stay as they were exported, by their first days."""
    return sorted(_first_day(each.parent.name) for each in _folder(lake).files() if each.name == LEDGER)


def corrected_in(first: date, closed: Sequence[date]) -> list[date]:
    """The closed months whose corrections belong to an open month: those right before it."""
    found: list[date] = []
    while (before := _month_before(found[0] if found else first)) in closed:
        found.insert(0, before)
    return found


def _as_closed(connection: duckdb.DuckDBPyConnection, lake: Lake, first: date) -> Content:
    """Give `delivered` the rows of a closed month as they were exported."""
    ledger = _ledger(lake, first)
    connection.execute(f"create temp table delivered as from read_parquet({quoted((ledger / LEDGER).uri)})")
    values = (ledger / SUMMARY).json()
    return Content(**values | {"unpriced": [Unpriced(**each) for each in values["unpriced"]]})


def _as_known(
    connection: duckdb.DuckDBPyConnection, lake: Lake, settings: Settings, first: date, zone: ZoneInfo
) -> Content:
    """Give `delivered` the rows of an open month as they are known now, and close it if it is over."""
    coverage = _coverage(connection)
    _require_usage(coverage, first, closed_months(lake))
    corrected = corrected_in(first, closed_months(lake))
    _prepare(connection, lake, settings, [*corrected, first], zone)
    _deliver(connection, first, zone)
    [(rows, corrections)] = connection.execute(
        "select count(*), count(charge_class) from delivered"
    ).fetchall()
    start, end = (f"{_instant(day, zone):%Y-%m-%dT%H:%M:%SZ}" for day in (first, _month_after(first)))
    is_closed = is_covered([last for _, last in coverage], first)
    content = Content(zone.key, start, end, is_closed, rows, corrections, _unpriced(connection, first))
    if is_closed:
        with private():
            _close(connection, lake, first, content)
    return content


def is_covered(last_days: Sequence[date], first: date) -> bool:
    """Tell whether sweeps cover a month to its end, by the last metered day of each project."""
    newest = max(last_days, default=first)
    waited_for = [last for last in last_days if last >= first and last >= newest - PATIENCE]
    return bool(waited_for) and min(waited_for) >= _month_after(first)


def _coverage(connection: duckdb.DuckDBPyConnection) -> list[tuple[date, date]]:
    """The first and the last metered day of each project."""
    return connection.execute(
        "select min(usage_date), max(usage_date) from coverage group by project_id"
    ).fetchall()


def _require_usage(coverage: Sequence[tuple[date, date]], first: date, closed: Sequence[date]) -> None:
    """Raise UsageError for a month that nothing is known of; one after a closed month takes corrections."""
    if any(begin < _month_after(first) and last >= first for begin, last in coverage):
        return
    if _month_before(first) not in closed:
        known = "; ".join(sorted(f"{begin} to {last} was metered" for begin, last in coverage))
        raise UsageError(f"nothing is known of {first:%Y-%m}: {known or 'run `demeter sweep` first'}")


def _prepare(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    settings: Settings,
    months: Sequence[date],
    zone: ZoneInfo,
) -> None:
    """Give a connection what sql/exports stands on: the periods, the issuer, prices and what was exported."""
    book = prices.load(lake.root)
    issuer = {
        "provider": settings.provider,
        "service": settings.service,
        "billing_account": settings.billing_account or None,
        "billing_account_name": settings.billing_account_name or None,
        "region": settings.region or None,
        "region_name": settings.region_name or None,
        "price_book_version": prices.version(book),
    }
    text = pa.schema([(name, pa.string()) for name in issuer])
    _keep(connection, "issuer", pa.Table.from_pylist([issuer], schema=text))
    _keep(connection, "prices", book)
    _keep(connection, "periods", pa.concat_tables([_period(month, zone) for month in months]))
    for name in ("focus_charges", "focus"):
        connection.execute(f"create temp table {name} as {sqlfiles.text('exports', name)}")
    _keep_exported(connection, lake, months[:-1], zone)


def _keep_exported(
    connection: duckdb.DuckDBPyConnection, lake: Lake, corrected: Sequence[date], zone: ZoneInfo
) -> None:
    """Give a connection the corrected months, and every closed month's rows since the first of them."""
    bounds = [(_instant(month, zone), _instant(_month_after(month), zone)) for month in corrected]
    _keep(connection, "corrected", _periods(bounds))
    since = [month for month in closed_months(lake) if corrected and month >= corrected[0]]
    files = ", ".join(quoted((_ledger(lake, month) / LEDGER).uri) for month in since)
    rows = f"read_parquet([{files}], union_by_name = true)" if files else "focus where false"
    connection.execute(f"create temp table exported as from {rows}")


def _deliver(connection: duckdb.DuckDBPyConnection, first: date, zone: ZoneInfo) -> None:
    """Put together the rows of a month: its own charges, and corrections of closed months."""
    _keep(connection, "correcting", _periods([(_instant(first, zone), _instant(_month_after(first), zone))]))
    connection.execute(f"""
        create temp table delivered as
        select * from focus where billing_period_start = (select period_from from correcting)
        union all by name ({sqlfiles.text("exports", "focus_corrections")})
    """)


def _unpriced(connection: duckdb.DuckDBPyConnection, first: date) -> list[Unpriced]:
    found = connection.execute(
        """
        select sku, charge, count(*), count(distinct usage_date) from cost_daily
        where not is_priced and usage_date >= $1 and usage_date < $2
        group by all order by all
        """,
        [first, _month_after(first)],
    ).fetchall()
    return [Unpriced(*row) for row in found]


def _close(connection: duckdb.DuckDBPyConnection, lake: Lake, first: date, content: Content) -> None:
    """Keep the rows of a month for good; the ledger comes last, and closes it."""
    ledger = _ledger(lake, first)
    with (ledger / SUMMARY).drafted() as path:
        path.write_text(json.dumps(asdict(content), indent=1) + "\n", encoding="utf-8")
    with (ledger / LEDGER).drafted() as path:
        delivery.copy(connection, "from delivered", path, "format parquet, compression zstd")


def _period(first: date, zone: ZoneInfo) -> pa.Table:
    """The days of a month with their bounds and those of the month, as instants."""
    table = days.days(first, _month_after(first) - timedelta(1), zone)
    count = table.num_rows
    bounds = (_instant(first, zone), _instant(_month_after(first), zone))
    return pa.table(
        {
            "usage_date": table["usage_date"],
            "charge_from": table["day_from_us"].cast(INSTANT),
            "charge_to": table["day_to_us"].cast(INSTANT),
            "period_from": pa.array([bounds[0]] * count, INSTANT),
            "period_to": pa.array([bounds[1]] * count, INSTANT),
        }
    )


def _periods(bounds: Sequence[tuple[datetime, datetime]]) -> pa.Table:
    starts, ends = [start for start, _ in bounds], [end for _, end in bounds]
    return pa.table({"period_from": pa.array(starts, INSTANT), "period_to": pa.array(ends, INSTANT)})


def _keep(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("given", rows)
    connection.execute(f"create temp table {name} as from given")
    connection.unregister("given")


def _folder(lake: Lake) -> Place:
    return lake.place("exports/focus")


def _ledger(lake: Lake, first: date) -> Place:
    """Where the rows of a closed month are kept."""
    return _folder(lake) / f"{first:%Y-%m}"


def _first_day(month: str) -> date:
    """The first day of a month such as 2026-10; UsageError where it is none."""
    try:
        if re.fullmatch(r"\d{4}-\d\d", month):
            return date.fromisoformat(f"{month}-01")
    except ValueError:
        pass
    raise UsageError(f"{month!r} is not a month: write it like 2026-10")


def _month_after(first: date) -> date:
    return (first + timedelta(31)).replace(day=1)


def _month_before(first: date) -> date:
    return (first - timedelta(1)).replace(day=1)


def _instant(day: date, zone: ZoneInfo) -> datetime:
    """The instant at which a day begins in the zone, in UTC."""
    return days.EPOCH + timedelta(microseconds=days.begins_us(day, zone))
