"""A lake that a test fills by hand: what was seen, what it cost, and how far that is covered."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from etl import days, focus, marts
from etl.dictionary import table
from etl.lake import Lake, schema
from etl.settings import Settings

Row = dict[str, Any]

ZONE = "Asia/Shanghai"
HOUR_US = 3_600_000_000
TEXT, WHOLE, TRUTH, DAY = pa.string(), pa.int64(), pa.bool_(), pa.date32()
PRICE, QUANTITY, COST = pa.decimal128(20, 12), pa.decimal128(20, 10), pa.decimal128(32, 22)
KEYS = {
    **{"usage_date": DAY, "project_id": TEXT, "instance_id": TEXT, "user_id": TEXT, "pool_id": TEXT},
    **{"workspace_id": TEXT, "ai_project_id": TEXT, "flavor": TEXT, "sku": TEXT, "promo_type": TEXT},
    **{"billing_flavor": TEXT, "billing_ratio": WHOLE, "accelerator_count": WHOLE, "cpu_count": WHOLE},
    **{"memory_bytes": WHOLE},
}
COST_DAILY = pa.schema(
    {
        **KEYS,
        **{"charge": TEXT, "volume": WHOLE, "price_id": TEXT, "unit": TEXT, "currency": TEXT},
        **{"price_currency": TEXT, "exchange_rate": pa.decimal128(18, 10), "unit_price": PRICE},
        **{"quantity_min": QUANTITY, "quantity": QUANTITY, "quantity_max": QUANTITY, "list_cost": COST},
        **{"billed_cost_min": COST, "billed_cost": COST, "billed_cost_max": COST, "is_dedicated": TRUTH},
        **{"is_waived": TRUTH, "is_priced": TRUTH, "is_complete": TRUTH},
    }
)
SECONDS = pa.decimal128(26, 6)
USAGE_DAILY = pa.schema(
    {
        **KEYS,
        **{"running_seconds_min": SECONDS, "running_seconds": SECONDS, "running_seconds_max": SECONDS},
        "is_complete": TRUTH,
    }
)
COVERAGE = pa.schema({"usage_date": DAY, "project_id": TEXT, "metered_seconds": SECONDS})
HOURLY = {name: kind for name, kind in KEYS.items() if name != "usage_date"}
USAGE_HOURLY = pa.schema(
    {
        **{"usage_date": DAY, "hour_from_us": WHOLE, "hour_of_day": WHOLE, **HOURLY},
        **{"running_us_min": WHOLE, "running_us": WHOLE, "running_us_max": WHOLE},
    }
)


def charge(
    day: date = date(2026, 10, 1), *, hours: str = "1", price: str | None = "2.5", **others: Any
) -> Row:
    """A row of cost_daily of so many hours, with the running time that belongs to it."""
    ran = Decimal(hours)
    ratio = others.get("billing_ratio") or 1
    quantity, unit_price = ran * ratio, None if price is None else Decimal(price)
    cost = None if unit_price is None else quantity * unit_price
    waived = others.get("is_waived", False)
    billed = Decimal(0) if waived and cost is not None else cost
    return {
        **dict.fromkeys((*COST_DAILY.names, *USAGE_DAILY.names)),
        **{"usage_date": day, "project_id": "project", "instance_id": "DE-1", "user_id": "u-ann"},
        **{"flavor": "cpu.2u", "sku": "cpu.2u", "charge": "compute", "unit": "hour", "currency": "CNY"},
        **{
            "price_id": "price-1",
            "price_currency": "CNY",
            "unit_price": unit_price,
            "exchange_rate": Decimal(1),
        },
        **{"quantity_min": quantity, "quantity": quantity, "quantity_max": quantity, "list_cost": cost},
        **{"billed_cost_min": billed, "billed_cost": billed, "billed_cost_max": billed},
        **{"is_dedicated": False, "is_waived": False, "is_priced": price is not None, "is_complete": True},
        **dict.fromkeys(("running_seconds_min", "running_seconds", "running_seconds_max"), ran * 3600),
        **others,
    }


def disk(day: date = date(2026, 10, 1), **others: Any) -> Row:
    """A row of cost_daily of a disk of 5 GB that was there for a day."""
    kept = {"charge": "storage", "unit": "gb_hour", "flavor": None, "volume": 0, "price_id": "price-2"}
    return charge(day, hours="120", price="0.0014", sku="modelarts.storage.volume", **kept, **others)


def hour(of: Row, hour: int, minutes: float, least: float | None = None, most: float | None = None) -> Row:
    """The row of usage_hourly that says how many minutes of an hour of its day a charge comes from."""
    begin = days.begins_us(of["usage_date"], days.zone(ZONE)) + hour * HOUR_US
    told = {"running_us_min": least, "running_us": minutes, "running_us_max": most}
    spans = {name: int((minutes if told[name] is None else told[name]) * 60_000_000) for name in told}
    return {**of, "hour_from_us": begin, "hour_of_day": hour, **spans}


def seen(name: str, at: str, /, **values: Any) -> tuple[str, Row]:
    """A row of a tidy table, as a sweep at that time wrote it."""
    observed = datetime.fromisoformat(at).replace(tzinfo=UTC)
    common = {"project_id": "project", "sweep_id": "sweep-1", "observed_at": observed, "change": "changed"}
    return name, {**common, "observed_date": observed.date(), **values}


class Books:
    """A lake that a test fills by hand: what was seen, what it cost, and how far it is covered."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        shutil.copytree(_empty_lake(), directory / "lake")
        self.lake = Lake(directory / "lake")
        self.out = directory / "out"
        self.tz = settings.pop("tz", ZONE)
        self.settings = Settings(lake=str(self.lake.path), **settings)

    def see(self, *rows: tuple[str, Row]) -> None:
        for name, row in rows:
            self.lake.append(name, tidy(name, row))

    def keep(
        self,
        charges: Iterable[Row],
        *,
        until: date,
        since: date = date(2026, 8, 1),
        hours: Iterable[Row] = (),
    ) -> None:
        """Publish these costs and hours, and that the project was metered from one day to another."""
        rows = list(charges)
        used = [row for row in rows if row["charge"] == "compute"]
        covered = [
            {"usage_date": day, "project_id": "project", "metered_seconds": 86400} for day in (since, until)
        ]
        tables = {
            "cost_daily": (rows, COST_DAILY),
            "usage_daily": (used, USAGE_DAILY),
            "usage_hourly": (list(hours), USAGE_HOURLY),
            "coverage": (covered, COVERAGE),
        }
        versions = {
            name: marts.write(
                self.lake, name, pa.Table.from_pylist([only(row, kind) for row in found], schema=kind)
            )
            for name, (found, kind) in tables.items()
        }
        marts.publish(self.lake, marts.Published("by hand", self.tz, versions), marts.tag(self.lake))

    def export(self, month: str = "2026-10", version: str = "1.2") -> list[Row]:
        """The rows of an export, as its Parquet file has them."""
        self.exported = focus.export(self.lake, self.settings, month, self.out, version)
        return pq.read_table(self.exported.paths[0]).to_pylist()

    def file(self, ending: str, month: str = "2026-10", version: str = "1.2") -> Path:
        return self.out / f"focus-{version}-{month}.{ending}"


@cache
def _empty_lake() -> Path:
    """A lake with one sweep in it, to be copied: making the tables takes longer than most tests."""
    directory = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    lake = Lake(directory / "lake")
    lake.create()
    lake.append("sweeps", tidy("sweeps", {"sweep_id": "sweep-1", "project_id": "project"}))
    return lake.path


def tidy(name: str, row: Row) -> pa.Table:
    """A row of a tidy table, with null wherever nothing is given."""
    return pa.Table.from_pylist([row], schema=schema(table(name)))


def only(row: Row, kind: pa.Schema) -> Row:
    return {name: row.get(name) for name in kind.names}
