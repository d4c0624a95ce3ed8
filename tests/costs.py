"""Small tables in place of a lake, and what the marts of prices and costs make of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from etl import days, prices, sqlfiles
from etl.build import MACROS
from etl.dictionary import table
from etl.lake import schema

Row = dict[str, Any]

# The marts that each is worked out from, in their order.
STORAGE = ("sweep_steps", "sightings", "storage_lives", "storage_sizes")
STEPS = {
    "storage_daily": STORAGE,
    "cost_daily": (*STORAGE, "prices_daily", "pools_daily", "storage_daily"),
    "pool_cost_daily": ("sweep_steps", "prices_daily", "pool_days"),
}
DAY = date(2024, 3, 1)
MIDNIGHT = datetime(2024, 3, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000
BOOK = "sku,region,kind,unit,currency,unit_price,valid_from,valid_to"
PROJECT = "project"

TEXT, WHOLE, TRUTH = pa.string(), pa.int64(), pa.bool_()
INSTANT = pa.timestamp("us", tz="UTC")


def history(name: str) -> dict[str, pa.DataType]:
    """The columns of the history view of a tidy table."""
    of_table = {column.name: column.type for column in schema(table(name))}
    return {**of_table, "valid_from": INSTANT, "valid_to": INSTANT}


TABLES: Mapping[str, Mapping[str, pa.DataType]] = {
    "sweeps": history("sweeps"),
    "instance_history": history("instances"),
    "storage_history": history("storage"),
    "pool_history": history("pools"),
    "usage_daily": {
        "usage_date": pa.date32(),
        "project_id": TEXT,
        "instance_id": TEXT,
        "user_id": TEXT,
        "pool_id": TEXT,
        "workspace_id": TEXT,
        "ai_project_id": TEXT,
        "flavor": TEXT,
        "sku": TEXT,
        "promo_type": TEXT,
        "billing_flavor": TEXT,
        "billing_ratio": WHOLE,
        "accelerator_count": WHOLE,
        "cpu_count": WHOLE,
        "memory_bytes": WHOLE,
        "running_us_min": WHOLE,
        "running_us": WHOLE,
        "running_us_max": WHOLE,
        "is_complete": TRUTH,
    },
    "billing": {"region": TEXT, "currency": TEXT, "dedicated_pools_are_billed": TRUTH},
    "billed_statuses": {"status": TEXT},
}


def at(hours: float) -> datetime:
    """The instant that many hours after the midnight that the tests begin at."""
    return MIDNIGHT + timedelta(hours=hours)


def book(folder: Path, *lines: str) -> pa.Table:
    """The price book of these lines, read as a user's file is."""
    path = folder / "prices.csv"
    path.write_text("\n".join((BOOK, *lines)), encoding="utf-8")
    return prices.read(path)


def rates(folder: Path, *lines: str) -> pa.Table:
    """The exchange rates of these lines, read as a user's file is."""
    path = folder / "rates.csv"
    path.write_text("\n".join(("from_currency,to_currency,rate,valid_from,valid_to", *lines)), "utf-8")
    return prices.read_rates(path)


def used(hours: float = 1, day: int = 1, **others: Any) -> Row:
    """A row of usage_daily, certain unless told otherwise."""
    running_us = others.pop("running_us", round(hours * HOUR_US))
    return {
        "usage_date": date(2024, 3, day),
        "project_id": PROJECT,
        "instance_id": "DE-1",
        "user_id": "user-1",
        "flavor": others.get("sku", "flavor-1"),
        "sku": "flavor-1",
        "running_us_min": running_us,
        "running_us": running_us,
        "running_us_max": running_us,
        "is_complete": True,
        **others,
    }


@dataclass(frozen=True)
class Listed:
    """An instance as a sweep lists it; sizes in bytes, by volume, of type evs unless told otherwise."""

    status: str | None = "RUNNING"
    sizes: Mapping[int, int | None] = field(default_factory=lambda: {0: 5_000_000_000})
    type: str = "evs"
    created_at: datetime | None = None
    updated_at: datetime | None = None
    user_id: str = "user-1"
    pool_id: str | None = None


@dataclass(frozen=True)
class Sweep:
    """What one sweep listed, by instance id, and when."""

    at: datetime
    listed: Mapping[str, Listed]
    complete: bool = True


def histories(sweeps: Sequence[Sweep]) -> dict[str, list[Row]]:
    """The tidy tables as sweeps leave them: rows that are new, changed or gone, and a day's keyframes."""
    tables: dict[str, list[Row]] = {"sweeps": [], "instance_history": [], "storage_history": []}
    last: dict[str, dict[Any, Row]] = {"instance_history": {}, "storage_history": {}}
    for number, sweep in enumerate(sweeps):
        stamp = {"project_id": PROJECT, "sweep_id": f"s{number:03}", "observed_at": sweep.at}
        tables["sweeps"].append(
            {
                **stamp,
                "scope": "de_type=Notebook&show_self=false",
                "verdict": "complete" if sweep.complete else "incomplete",
                "observed_from": sweep.at,
                "observed_to": sweep.at,
            }
        )
        for name, now in _now(sweep.listed).items():
            for key, values in now.items():
                change = _change(last[name].get(key), values, sweep.at)
                if change:
                    last[name][key] = {**stamp, **values, "change": change}
                    tables[name].append(last[name][key])
            for key, row in list(last[name].items()):
                seen_without = key not in now and (sweep.complete or _instance(key) in sweep.listed)
                if row["change"] != "gone" and seen_without:
                    last[name][key] = {**row, **stamp, "change": "gone"}
                    tables[name].append(last[name][key])
    return tables


def _now(listed: Mapping[str, Listed]) -> dict[str, dict[Any, Row]]:
    instances = {
        name: {
            "instance_id": name,
            "status": each.status,
            "created_at": each.created_at,
            "updated_at": each.updated_at,
            "user_id": each.user_id,
            "pool_id": each.pool_id,
        }
        for name, each in listed.items()
    }
    volumes = {
        (name, volume): {"instance_id": name, "volume": volume, "type": each.type, "size_bytes": size}
        for name, each in listed.items()
        for volume, size in each.sizes.items()
    }
    return {"instance_history": instances, "storage_history": volumes}


def _instance(key: Any) -> str:
    return str(key[0] if isinstance(key, tuple) else key)


def _change(last: Row | None, values: Row, now: datetime) -> str | None:
    if last is None or last["change"] == "gone":
        return "new"
    if any(last[name] != value for name, value in values.items()):
        return "changed"
    return "keyframe" if last["observed_at"].date() < now.date() else None


def worked_out(
    mart: str,
    *,
    book: pa.Table | None = None,
    rates: pa.Table | None = None,
    first: date = DAY,
    days_count: int = 5,
    zone: str = "UTC",
    region: str | None = None,
    currency: str | None = "CNY",
    dedicated_pools_are_billed: bool = False,
    **tables: Iterable[Row],
) -> list[Row]:
    """The rows of a mart, in the order of all its columns."""
    billing = [
        {
            "region": region,
            "currency": currency,
            "dedicated_pools_are_billed": dedicated_pools_are_billed,
        }
    ]
    given = {"billing": billing, "billed_statuses": [{"status": "RUNNING"}], **tables}
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'; set threads = 1")
        connection.execute(MACROS)
        span = (first, first + timedelta(days_count - 1))
        _keep(connection, "days", days.days(*span, ZoneInfo(zone)))
        _keep(connection, "prices", prices.empty() if book is None else book)
        _keep(connection, "exchange_rates", prices.empty_rates() if rates is None else rates)
        for name, columns in TABLES.items():
            rows = [dict.fromkeys(columns) | row for row in given.get(name, ())]
            _keep(connection, name, pa.Table.from_pylist(rows, schema=pa.schema(list(columns.items()))))
        for step in (*STEPS[mart], mart):
            connection.execute(f"create table {step} as {sqlfiles.text('marts', step)}")
        found: list[Row] = connection.sql(f"from {mart} order by all").to_arrow_table().to_pylist()
        return found


def _keep(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("given", rows)
    connection.execute(f"create table {name} as select * from given")
    connection.unregister("given")


def only(rows: Iterable[Row], *columns: str) -> list[Any]:
    """Some columns of the rows: values where it is one column, else tuples."""
    if len(columns) == 1:
        return [row[columns[0]] for row in rows]
    return [tuple(row[column] for column in columns) for row in rows]


def found_by(check: str, **tables: Sequence[Row]) -> list[Row]:
    """What a check finds in tables of these rows, which have the columns of the marts they stand for."""
    with duckdb.connect() as connection:
        for name, rows in tables.items():
            _keep(connection, name, pa.Table.from_pylist(list(rows)))
        found: list[Row] = connection.sql(sqlfiles.text("checks", check)).to_arrow_table().to_pylist()
        return found


def total(rows: Iterable[Row], column: str) -> Decimal | None:
    """The sum of a column, exactly; None where it has no values."""
    values = [row[column] for row in rows if row[column] is not None]
    with localcontext(prec=80):
        return sum(values, Decimal(0)) if values else None


def sums_of_rollups(rows: Sequence[Row], by: Sequence[str], columns: Sequence[str]) -> dict[str, Row]:
    """The sum of each column over the groups of a rollup by each of others, as reports have them."""
    sums = ", ".join(f"sum({name}) as {name}" for name in columns)
    with duckdb.connect() as connection:
        _keep(connection, "rows", pa.Table.from_pylist(list(rows)))
        return {
            key: connection.sql(f"select {sums} from (select {sums} from rows group by {key})")
            .to_arrow_table()
            .to_pylist()[0]
            for key in by
        }
