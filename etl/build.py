"""Bring the marts up to date with the committed sweeps: only the days that changed are worked out again."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from etl import days, marts, memory, prices, sqlfiles, viewfile, window
from etl.checks import Finding, check_built, check_data, worst
from etl.columns import quoted
from etl.damage import Damaged
from etl.fingerprints import Day, Fingerprints
from etl.lake import Lake
from etl.marts import DAILY, DERIVED, PARTITIONED, SHARED, SIGHTED, STEPS, SUMMED_UP, WHOLE, Published
from etl.partitions import METERED, Files, at_one_moment, take_stock
from etl.reach import DAY_US, Reach, windows
from etl.settings import Settings
from etl.stages import note, stage, timed

log = logging.getLogger("demeter")

# What DuckDB calls otherwise than the SQL that it shares with Spark.
MACROS = "create or replace macro unix_micros(instant) as epoch_us(instant)"

# The settings that figures depend on.
FIGURED = ("tz", "billed_statuses", "region", "currency", "dedicated_pools_are_billed")

# Of the files of the tidy tables, so many are worked out at once: a row of theirs becomes several, and wider.
BYTES_AT_ONCE = 8_000_000

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
    with stage("build") as now:
        try:
            built = _build(settings, lake, full, progress)
        except Damaged as damaged:
            if full or not damaged.is_derived:
                raise
            log.warning("%s; this build does so", damaged)
            built = _build(settings, lake, True, progress)
        now.found |= {"day_count": built.day_count, "built_day_count": len(built.days)}
    return built


def _build(settings: Settings, lake: Lake, full: bool, progress: Progress) -> Built:
    build_id = uuid4().hex
    note(build_id=build_id)
    with lake.writing(), lake.lock("build", wait=True), _connection(settings, lake) as connection:
        take_prices(settings, lake)
        replaced = marts.tag(lake)
        fingerprint, published = fingerprint_of(settings), None if full else marts.published(lake)
        known = published if published and published.fingerprint == fingerprint else None
        with stage("choose"):
            files, calendar, reach = prepare(connection, settings, lake, known)
            before = dict(connection.execute("from known_fingerprints").fetchall())
            chosen, now = _choose(connection, lake, files, calendar, reach, before)
        gone = sorted(before.keys() - now.keys())
        if known and not chosen and not gone:
            return Built({}, check_data(lake), (), len(now))
        store = marts.Store(lake, known)
        parts = _parts(lake, chosen, files)
        step = counted(progress, len(parts) * (len(DAILY) + 2))
        findings = []
        for number, part in enumerate(parts):
            with stage("work_out"):
                if len(parts) > 1:
                    _sight(connection, lake, files, part, reach)
                _work_out(connection, part, days.zone(settings.tz), step)
            with stage("publish"):
                store.put(connection, [*(day for day, *_ in part), *(gone if number == 0 else ())])
            step()
            with stage("check"):
                findings.append(check_built(connection, (*PARTITIONED, *DERIVED), len(part) == len(now)))
            step()
        with stage("publish"):
            for name in SUMMED_UP:
                run_step(connection, name)
            store.put_whole(connection)
            _keep(connection, "fingerprints", _fingerprints(now))
            memory.keep(connection, lake, build_id)
            publication = Published(fingerprint, settings.tz, store.versions, build_id)
            marts.publish(lake, publication, replaced)
            memory.forget(lake, publication)
        with stage("check"):
            findings.append(check_built(connection, WHOLE, True))
    with lake.writing(), stage("views"):
        viewfile.refresh(lake)
    return Built(store.rows, worst(findings), tuple(day for day, *_ in chosen), len(now))


def counted(progress: Progress, total: int) -> Callable[[], None]:
    """What is called after each of so many steps, to tell of the progress."""
    numbers = itertools.count(1)
    return lambda: progress(next(numbers), total)


def _connection(settings: Settings, lake: Lake) -> duckdb.DuckDBPyConnection:
    """An empty database that keeps to the memory that is set, and goes to the lake's disk beyond it."""
    connection = duckdb.connect()
    lake.attach(connection)
    spill = lake.spill("queries")
    spill.mkdir(parents=True, exist_ok=True, mode=0o700)
    connection.execute(f"set memory_limit = {quoted(settings.memory)}")
    connection.execute(f"set temp_directory = {quoted(str(spill))}")
    connection.execute("set preserve_insertion_order = false")
    connection.execute("set enable_progress_bar = false")
    return connection


def _parts(lake: Lake, chosen: Sequence[Day], files: Files) -> list[list[Day]]:
    """Days that follow each other, by as many as are worked out at once; a single part where none is."""
    parts: list[list[Day]] = [[]]
    total = 0
    for day in chosen:
        names = chain.from_iterable(files[name].get(day[0], ()) for name in METERED)
        size = sum(map(lake.size, names))
        if parts[-1] and total + size > BYTES_AT_ONCE:
            parts.append([])
            total = 0
        parts[-1].append(day)
        total += size
    return parts


def take_prices(settings: Settings, lake: Lake) -> None:
    """Keep the price book and the exchange rates that the settings name; else the last ones stand."""
    if settings.prices:
        book = prices.read(Path(settings.prices))
        if lost := prices.lost(lake.root, book):
            log.warning(
                "the price book %s no longer has %s: what ran on that, whenever it was, has no price now",
                settings.prices,
                ", ".join(lost),
            )
        prices.store(lake.root, book)
    if settings.exchange_rates:
        prices.store_rates(lake.root, prices.read_rates(Path(settings.exchange_rates)))


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
    for name, rows in given(settings, lake).items():
        _keep(connection, name, rows)
    for name in SHARED:
        run_step(connection, name)
    steps = connection.execute(
        "select project_id, scope, is_complete, from_us, to_us from sweep_steps"
    ).fetchall()
    return files, connection.execute("from calendar order by usage_date").fetchall(), Reach(steps)


def given(settings: Settings, lake: Lake) -> dict[str, pa.Table]:
    """What marts are worked out from beside the tables: by settings, prices and exchange rates."""
    statuses = [status.strip() for status in settings.billed_statuses.split(",")]
    billing = {
        "region": pa.array([settings.region or None], pa.string()),
        "currency": pa.array([settings.currency], pa.string()),
        "dedicated_pools_are_billed": pa.array([settings.dedicated_pools_are_billed], pa.bool_()),
    }
    return {
        "billed_statuses": pa.table({"status": pa.array(statuses, pa.string())}),
        "prices": prices.load(lake.root),
        "exchange_rates": prices.load_rates(lake.root),
        "billing": pa.table(billing),
    }


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
        for part in _parts(lake, chosen, files) if chosen else ():
            _witness(connection, lake, files, part, reach)
        now = fingerprints.of_days(connection)
        touched = {day for day, text in now.items() if before.get(day) != text} | _spanned(connection)
        if touched <= {day for day, *_ in chosen}:
            return chosen, now
        touched |= {day for day, *_ in chosen}
        chosen = [day for day in calendar if day[0] in touched]


def _remember(connection: duckdb.DuckDBPyConnection) -> None:
    """Take what was witnessed and summed up on all days as it is known from before."""
    connection.execute("create or replace temp table long_pairs as from known_long_pairs")
    for name in ("evidence_record", "usage_totals"):
        if memory.has(connection, f"known_{name}"):
            connection.execute(f"create or replace temp table {name} as from known_{name}")
    if memory.has(connection, "evidence_record"):
        run_step(connection, "evidence_support")


def _witness(
    connection: duckdb.DuckDBPyConnection, lake: Lake, files: Files, chosen: Sequence[Day], reach: Reach
) -> None:
    """Work out what was witnessed on the chosen days, beside what is known of the others."""
    _sight(connection, lake, files, chosen, reach)
    outside = (
        f"not exists (select 1 from windows where day_number * {DAY_US} >= core_from_us "
        f"and day_number * {DAY_US} < core_to_us)"
    )
    _renew(connection, "evidence_record", outside)
    run_step(connection, "evidence_support")
    window.pair(connection)


def _sight(
    connection: duckdb.DuckDBPyConnection, lake: Lake, files: Files, chosen: Sequence[Day], reach: Reach
) -> None:
    """Load the histories of the chosen days, and work out what was seen and what changed."""
    found = list(windows(((from_us, to_us) for _, from_us, to_us in chosen), reach))
    window.load(connection, lake, files, found, reach)
    for name in SIGHTED:
        run_step(connection, name)


def _renew(connection: duckdb.DuckDBPyConnection, name: str, others: str) -> None:
    """Work out a relation again, and keep those of its rows that a condition picks."""
    connection.execute(f"create or replace temp table renewed as {sqlfiles.text('marts', name)}")
    connection.execute(f"delete from renewed where {others}")
    if memory.has(connection, name):
        connection.execute(f"insert into renewed by name select * from {name} where {others}")
    connection.execute(f"create or replace temp table {name} as from renewed")


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
    connection: duckdb.DuckDBPyConnection, chosen: Sequence[Day], zone: ZoneInfo, step: Callable[[], None]
) -> None:
    """Work out the marts of the chosen days, step by step."""
    dates = [day for day, *_ in chosen]
    _keep(connection, "chosen", pa.table({marts.DAY: pa.array(dates, pa.date32())}))
    connection.execute(
        "create or replace temp table days as from calendar semi join chosen using (usage_date)"
    )
    _keep(connection, "hours", days.hours_of(dates, zone))
    for name in DAILY:
        if name == "usage_totals":
            other = "usage_date in (select usage_date from calendar anti join chosen using (usage_date))"
            _renew(connection, name, other)
        else:
            run_step(connection, name)
        step()
    for name in PARTITIONED:
        connection.execute(f"delete from {name} where usage_date not in (from chosen)")
    for name in DERIVED:
        connection.execute(f"create or replace temp view {name} as {sqlfiles.text('marts', name)}")


def run_step(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Work out one relation of sql/marts from those before it."""
    with timed(name):
        connection.execute(f"create or replace temp table {name} as {sqlfiles.text('marts', name)}")


def _keep(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("given", rows)
    connection.execute(f"create or replace temp table {name} as select * from given")
    connection.unregister("given")


def fingerprint_of(settings: Settings) -> str:
    """A text that changes with the settings and rules that all figures depend on."""
    parts = [[sqlfiles.text("marts", name) for name in STEPS], [getattr(settings, name) for name in FIGURED]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _fingerprints(now: dict[date, str]) -> pa.Table:
    columns = {marts.DAY: pa.array(list(now), pa.date32()), "fingerprint": pa.array(list(now.values()))}
    return pa.table(columns)
