"""Bring the marts up to date with the committed sweeps: only the days that changed are worked out again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from etl import days, marts, memory, prices, sqlfiles, views, window
from etl.checks import Finding, check_built, check_data
from etl.fingerprints import Day, Fingerprints
from etl.lake import Lake
from etl.marts import DAILY, DERIVED, PARTITIONED, SHARED, STEPS, WHOLE, WITNESSED, Published
from etl.partitions import Files, at_one_moment, take_stock
from etl.reach import DAY_US, Reach, windows
from etl.settings import Settings

# What DuckDB calls otherwise than the SQL that it shares with Spark.
MACROS = "create or replace macro unix_micros(instant) as epoch_us(instant)"

# The settings that figures depend on.
FIGURED = ("tz", "billed_statuses", "region", "currency", "dedicated_pools_are_billed")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Built:
    """What a build did: the rows that it worked out of each mart, the days they are of, out of how many,
    and what checks found. There are no rows where nothing had changed."""

    rows: dict[str, int]
    findings: list[Finding]
    days: tuple[date, ...]
    day_count: int


def build(
    settings: Settings, lake: Lake, *, full: bool = False, progress: Progress = lambda done, total: None
) -> Built:
    """Work out the days whose sweeps, settings, prices or rules have changed, and publish the marts.

    They are the same as if all days had been worked out, which is what `full` does.
    """
    lake.check()
    with lake.writing(), lake.lock("build", wait=True), duckdb.connect() as connection:
        _take_prices(settings, lake)
        fingerprint, published = _fingerprint(settings), marts.published(lake)
        known = published if published and published.fingerprint == fingerprint and not full else None
        files, calendar, reach = prepare(connection, settings, lake, known)
        before = dict(connection.execute("from known_fingerprints").fetchall())
        chosen, now = _choose(connection, lake, files, calendar, reach, before)
        gone = sorted(before.keys() - now.keys())
        if known and not chosen and not gone:
            return Built({}, check_data(lake), (), len(now))
        _work_out(connection, chosen, days.zone(settings.tz), progress)
        versions, rows = _store(connection, lake, known, [*(day for day, *_ in chosen), *gone])
        _keep(connection, "fingerprints", _fingerprints(now))
        publication = Published(fingerprint, settings.tz, versions, memory.keep(connection, lake))
        marts.publish(lake, publication)
        memory.forget(lake, publication)
        findings = check_built(connection, len(chosen) == len(now))
    with lake.writing():
        views.refresh(lake)
    return Built(rows, findings, tuple(day for day, *_ in chosen), len(now))


def _take_prices(settings: Settings, lake: Lake) -> None:
    """Keep the price book and the exchange rates that the settings name; else the last ones stand."""
    if settings.prices:
        prices.store(lake.path, prices.read(Path(settings.prices)))
    if settings.exchange_rates:
        prices.store_rates(lake.path, prices.read_rates(Path(settings.exchange_rates)))


def prepare(
    connection: duckdb.DuckDBPyConnection, settings: Settings, lake: Lake, known: Published | None
) -> tuple[Files, list[Day], Reach]:
    """Give a connection what all days share; the files of each UTC day, all days, and their reach."""
    connection.execute("set timezone = 'UTC'")
    connection.execute(MACROS)
    sweeps, files = at_one_moment(lake)
    connection.execute(f"create temp table sweeps as select * from {sweeps}")
    zone = days.zone(settings.tz)
    [(first, last)] = connection.execute(
        "select min(epoch_us(observed_from)), max(epoch_us(observed_to)) from sweeps"
    ).fetchall()
    if first is None:
        raise marts.NothingMetered("there is nothing to build from: run `demeter sweep` first")
    memory.recall(connection, lake, known)
    take_stock(connection, lake, files)
    calendar = days.days(days.day_of(first, zone), days.day_of(last, zone), zone)
    for name in ("calendar", "days"):
        _keep(connection, name, calendar)
    _take_settings(connection, settings, lake)
    for name in SHARED:
        run_step(connection, name)
    steps = connection.execute(
        "select project_id, scope, is_complete, from_us, to_us from sweep_steps"
    ).fetchall()
    return files, connection.execute("from calendar order by usage_date").fetchall(), Reach(steps)


def _take_settings(connection: duckdb.DuckDBPyConnection, settings: Settings, lake: Lake) -> None:
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


def _choose(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    files: Files,
    calendar: Sequence[Day],
    reach: Reach,
    before: dict[date, str],
) -> tuple[list[Day], dict[date, str]]:
    """The days to work out, with the histories loaded and witnessed that they rest on; all fingerprints.

    What the days chosen show may touch further ones: what is taken as known of later days, and the time
    that an instance was away. So they are looked at until no day is added.
    """
    fingerprints = Fingerprints(connection, calendar, reach)
    chosen = [] if before else list(calendar)
    _remember(connection)
    while True:
        if chosen:
            _witness(connection, lake, files, chosen, reach)
        now = fingerprints.of_days(connection)
        touched = {day for day, text in now.items() if before.get(day) != text} | _spanned(connection)
        if touched <= {day for day, *_ in chosen}:
            return chosen, now
        touched |= {day for day, *_ in chosen}
        chosen = [day for day in calendar if day[0] in touched]


def _remember(connection: duckdb.DuckDBPyConnection) -> None:
    """Take what was witnessed on all days as it is known from before."""
    connection.execute("create or replace temp table long_pairs as from known_long_pairs")
    if memory.knows(connection, "evidence_record"):
        connection.execute("create or replace temp table evidence_record as from known_evidence_record")
        run_step(connection, "evidence_support")


def _witness(
    connection: duckdb.DuckDBPyConnection, lake: Lake, files: Files, chosen: Sequence[Day], reach: Reach
) -> None:
    """Work out what was witnessed on the chosen days, beside what is known of the others."""
    found = list(windows(((from_us, to_us) for _, from_us, to_us in chosen), reach))
    window.load(connection, lake, files, found, reach)
    for name in WITNESSED:
        run_step(connection, name)
        if name == "evidence_record":
            outside = (
                f"not exists (select 1 from windows where day_number * {DAY_US} >= core_from_us "
                f"and day_number * {DAY_US} < core_to_us)"
            )
            connection.execute(f"delete from evidence_record where {outside}")
            memory.carry(connection, name, outside)
    window.pair(connection)


def _spanned(connection: duckdb.DuckDBPyConnection) -> set[date]:
    """The days between two sightings that now are, or no longer are, neighbours far apart."""
    found = connection.execute("""
        select distinct usage_date from calendar inner join (
            (from long_pairs except from known_long_pairs) union all
            (from known_long_pairs except from long_pairs)
        ) as pairs on from_us < day_to_us and to_us >= day_from_us
    """).fetchall()
    return {day for (day,) in found}


def _work_out(
    connection: duckdb.DuckDBPyConnection, chosen: Sequence[Day], zone: ZoneInfo, progress: Progress
) -> None:
    """Work out the marts of the chosen days."""
    dates = [day for day, *_ in chosen]
    _keep(connection, "chosen", pa.table({marts.DAY: pa.array(dates, pa.date32())}))
    connection.execute(
        "create or replace temp table days as from calendar semi join chosen using (usage_date)"
    )
    _keep(connection, "hours", days.hours_of(dates, zone))
    for number, name in enumerate(DAILY):
        run_step(connection, name)
        if name == "usage_totals":
            other = "usage_date in (select usage_date from calendar anti join chosen using (usage_date))"
            memory.carry(connection, name, other)
        progress(number + 1, len(DAILY))
    for name in PARTITIONED:
        connection.execute(f"delete from {name} where usage_date not in (from chosen)")
    for name in DERIVED:
        connection.execute(f"create temp view {name} as {sqlfiles.text('marts', name)}")


def run_step(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Work out one relation of sql/marts from those before it."""
    connection.execute(f"create or replace temp table {name} as {sqlfiles.text('marts', name)}")


def _store(
    connection: duckdb.DuckDBPyConnection, lake: Lake, known: Published | None, dates: Sequence[date]
) -> tuple[dict[str, int], dict[str, int]]:
    """Write the marts, of those kept by day only these days; their versions and the rows worked out."""
    versions, rows = {}, {}
    if known:
        marts.restore(lake, known)
    for name in (*PARTITIONED, *WHOLE):
        found = connection.sql(f"select * from {name} order by all").to_arrow_table()
        rows[name] = found.num_rows
        if known and name in PARTITIONED:
            versions[name] = marts.write_days(lake, name, found, dates)
        else:
            versions[name] = marts.write(lake, name, found)
    return versions, rows


def _keep(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("given", rows)
    connection.execute(f"create or replace temp table {name} as select * from given")
    connection.unregister("given")


def _fingerprint(settings: Settings) -> str:
    """A text that changes with the settings and rules that all figures depend on."""
    parts = [[sqlfiles.text("marts", name) for name in STEPS], [getattr(settings, name) for name in FIGURED]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _fingerprints(now: dict[date, str]) -> pa.Table:
    columns = {marts.DAY: pa.array(list(now), pa.date32()), "fingerprint": pa.array(list(now.values()))}
    return pa.table(columns)
