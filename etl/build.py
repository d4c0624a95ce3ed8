"""Bring the marts up to date with the committed sweeps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from etl import days, marts, prices, sqlfiles, views
from etl.checks import Finding, check_data
from etl.lake import Lake
from etl.marts import STEPS, STORED, Published
from etl.settings import Settings

# What DuckDB calls otherwise than the SQL that it shares with Spark.
MACROS = "create or replace macro unix_micros(instant) as epoch_us(instant)"

# The settings that figures depend on.
FIGURED = ("tz", "billed_statuses", "region", "currency", "dedicated_pools_are_billed")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Built:
    """What a build did: the rows of each mart, none where nothing had changed, and what checks found."""

    rows: dict[str, int]
    findings: list[Finding]


def build(
    settings: Settings, lake: Lake, *, full: bool = False, progress: Progress = lambda done, total: None
) -> Built:
    """Work out the marts again where sweeps, settings or rules have changed, and publish them."""
    lake.check()
    with lake.lock("build", wait=True):
        _take_prices(settings, lake)
        connection = views.unlocked(lake)
        fingerprint = _fingerprint(connection, settings, lake)
        before = marts.published(lake)
        if before and before.fingerprint == fingerprint and not full:
            return Built({}, check_data(lake))
        prepare(connection, settings, lake)
        versions, rows = {}, {}
        for number, name in enumerate(STEPS):
            run_step(connection, name)
            if name in STORED:
                found = connection.sql(f"select * from {name} order by all").to_arrow_table()
                versions[name], rows[name] = marts.write(lake, name, found), found.num_rows
            progress(number + 1, len(STEPS))
        marts.publish(lake, Published(fingerprint, settings.tz, versions))
    views.refresh(lake)
    return Built(rows, check_data(lake))


def _take_prices(settings: Settings, lake: Lake) -> None:
    """Keep the price book and the exchange rates that the settings name; else the last ones stand."""
    if settings.prices:
        prices.store(lake.path, prices.read(Path(settings.prices)))
    if settings.exchange_rates:
        prices.store_rates(lake.path, prices.read_rates(Path(settings.exchange_rates)))


def prepare(connection: duckdb.DuckDBPyConnection, settings: Settings, lake: Lake) -> None:
    """Give a connection with the lake's views what the marts are worked out with."""
    zone = days.zone(settings.tz)
    connection.execute(MACROS)
    [(first, last)] = connection.execute(
        "select min(epoch_us(observed_from)), max(epoch_us(observed_to)) from sweeps"
    ).fetchall()
    if first is None:
        raise marts.NothingMetered("there is nothing to build from: run `demeter sweep` first")
    span = days.day_of(first, zone), days.day_of(last, zone)
    for name, dimension in (("days", days.days(*span, zone)), ("hours", days.hours(*span, zone))):
        _keep(connection, name, dimension)
    statuses = [status.strip() for status in settings.billed_statuses.split(",")]
    _keep(connection, "billed_statuses", pa.table({"status": pa.array(statuses, pa.string())}))
    _keep(connection, "prices", prices.load(lake.path))
    _keep(connection, "exchange_rates", prices.load_rates(lake.path))
    billing = {
        "region": pa.array([settings.region or None], pa.string()),
        "currency": pa.array([settings.currency], pa.string()),
        "dedicated_pools_are_billed": pa.array([settings.dedicated_pools_are_billed], pa.bool_()),
    }
    _keep(connection, "billing", pa.table(billing))


def run_step(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Work out one relation of sql/marts from those before it."""
    connection.execute(f"create or replace temp table {name} as {sqlfiles.text('marts', name)}")


def _keep(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("given", rows)
    connection.execute(f"create or replace temp table {name} as select * from given")
    connection.unregister("given")


def _fingerprint(connection: duckdb.DuckDBPyConnection, settings: Settings, lake: Lake) -> str:
    """A text that changes with whatever the marts depend on."""
    sweeps = connection.execute("select sweep_id, version from sweeps order by all").fetchall()
    rules = [sqlfiles.text("marts", name) for name in STEPS]
    book = [prices.version(prices.load(lake.path)), prices.version(prices.load_rates(lake.path))]
    chosen = [getattr(settings, name) for name in FIGURED]
    parts = [sweeps, rules, book, chosen]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
