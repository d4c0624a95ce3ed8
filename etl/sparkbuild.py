"""Work the marts out on Spark: all days at once, by the SQL that DuckDB runs, and published as by it.

The next build by DuckDB works all days out anew, for it has nothing to remember of this one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pyarrow as pa

from etl import checks, days, marts, memory, spark, sparkmarts, sqlfiles, viewfile
from etl.build import Built, Progress, counted, fingerprint_of, given, take_prices
from etl.checks import Finding
from etl.lake import Lake
from etl.marts import (
    DAILY,
    DERIVED,
    PARTITIONED,
    SHARED,
    STORED,
    SUMMED_UP,
    WITNESSED,
    NothingMetered,
    Published,
)
from etl.settings import Settings
from etl.sparkviews import Views, address, check_shared
from etl.stages import note, stage, timed

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FOLDER = "spark-"  # begins the name of a build's folder among what spills
STEPS = (*SHARED, *WITNESSED, *DAILY, *SUMMED_UP)


class Work:
    """The relations of one build. Each is written down when it is worked out, where all workers reach it,
    so that nothing is worked out twice."""

    def __init__(self, session: SparkSession, known: Views, folder: Path) -> None:
        self.session, self.known, self.folder = session, known, folder

    def give(self, name: str, rows: pa.Table) -> None:
        """Take a small relation from here."""
        self.known.name(name, self.session.createDataFrame(rows))

    def step(self, name: str) -> None:
        """Work out a relation of sql/marts from those before it."""
        with timed(name):
            text = sqlfiles.text("marts", name)
            self.known.make(text)
            rows, place = self.session.sql(text), address(self.folder / name)
            rows.write.parquet(place)
            self.known.name(name, self.session.read.schema(rows.schema).parquet(place))

    def checked(self, relations: Iterable[str] = (*STORED, *DERIVED)) -> list[Finding]:
        """What the checks of these marts find."""
        return [self._judged(name) for name in checks.those_of(relations)]

    def _judged(self, name: str) -> Finding:
        text = sqlfiles.text(checks.KIND, name)
        self.known.make(text)
        found = self.session.sql(text)
        example = found.head()
        return checks.judgement(name, found.count() if example else 0, example.asDict() if example else {})


def build(
    settings: Settings, lake: Lake, *, full: bool = False, progress: Progress = lambda done, total: None
) -> Built:
    """Work all days out and publish the marts, unless nothing has changed since Spark last did so."""
    lake.check()
    check_shared(lake)
    with (
        stage("build") as now,
        spark.told(),
        lake.writing(),
        lake.lock("build", wait=True),
    ):
        built = _build(settings, lake, full, progress)
        now.found |= {"day_count": built.day_count, "built_day_count": len(built.days)}
    with lake.writing(), stage("views"):
        viewfile.refresh(lake)
    return built


def _build(settings: Settings, lake: Lake, full: bool, progress: Progress) -> Built:
    build_id = uuid4().hex
    note(build_id=build_id)
    take_prices(settings, lake)
    session = spark.session(settings.master)
    known = Views(session, lake)
    fingerprint = _fingerprint(settings, lake, known)
    replaced, published = marts.tag(lake), marts.published(lake)
    work = Work(session, known, lake.spill("queries") / f"{FOLDER}{build_id}")
    calendar = _calendar(settings, work)
    if published and published.fingerprint == fingerprint and not full:
        return Built({}, work.checked(), (), len(calendar))
    _clear(lake)
    step = counted(progress, len(STEPS) + len(STORED) + 1)
    try:
        with stage("work_out"):
            _work_out(settings, lake, work, calendar, step)
        with stage("publish"):
            rows, versions = _put(lake, work, build_id, step)
            publication = Published(fingerprint, settings.tz, versions)
            marts.publish(lake, publication, replaced)
            memory.forget(lake, publication)
        with stage("check"):
            findings = work.checked()
            step()
    finally:
        _clear(lake)
    return Built(rows, findings, tuple(calendar["usage_date"].to_pylist()), len(calendar))


def _work_out(
    settings: Settings, lake: Lake, work: Work, calendar: pa.Table, step: Callable[[], None]
) -> None:
    """Work out every relation of sql/marts, in their order."""
    dates: list[date] = calendar["usage_date"].to_pylist()
    hours = days.hours_of(dates, days.zone(settings.tz))
    small = {"calendar": calendar, "days": calendar, "hours": hours, **given(settings, lake)}
    for name, rows in small.items():
        work.give(name, rows)
    for name in STEPS:
        work.step(name)
        step()
    for name in DERIVED:
        work.known.name(name, sqlfiles.text("marts", name))


def _put(
    lake: Lake, work: Work, build_id: str, step: Callable[[], None]
) -> tuple[dict[str, int], dict[str, int]]:
    """Write the marts that readers need; the rows and the version of each."""
    rows, versions = {}, {}
    for name in STORED:
        with timed(name):
            rows[name], versions[name] = sparkmarts.put(lake, name, work.session.table(name), build_id)
        step()
    return {name: rows[name] for name in PARTITIONED} | rows, versions


def _calendar(settings: Settings, work: Work) -> pa.Table:
    """The days of the billing time zone that were swept; NothingMetered where there is none."""
    work.known.make("sweeps")
    found = work.session.sql(
        "select unix_micros(min(observed_from)), unix_micros(max(observed_to)) from sweeps"
    ).head()
    if found is None or found[0] is None:
        raise NothingMetered("there is nothing to build from: run `demeter sweep` first")
    zone = days.zone(settings.tz)
    return days.days(days.day_of(found[0], zone), days.day_of(found[1], zone), zone)


def _fingerprint(settings: Settings, lake: Lake, known: Views) -> str:
    """A text that changes with all that the marts are worked out from, and is none of a build by DuckDB."""
    prices = {name: rows.to_pylist() for name, rows in given(settings, lake).items()}
    parts = [fingerprint_of(settings), known.versions, prices]
    return "spark-" + hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _clear(lake: Lake) -> None:
    """Remove what builds on Spark wrote down on the way; none but the one that calls it is at work."""
    for folder in lake.spill("queries").glob(f"{FOLDER}*"):
        shutil.rmtree(folder, ignore_errors=True)
