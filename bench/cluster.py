"""What Spark costs beside DuckDB on a lake of millions of rows, by one worker and two; into docs/spark.md."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import deltalake
import pyarrow as pa

from bench.clusters import running
from bench.history import Shape, write
from etl import marts, periods, reports, spark, sparkbuild, sparkquery, views
from etl.build import build
from etl.dictionary import TABLES
from etl.lake import Lake
from etl.reports import Asked
from etl.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "spark.md"
BEGIN, END = "<!-- begin: make bench-spark -->", "<!-- end: make bench-spark -->"
PRICES = ROOT / "etl" / "demo_prices.csv"
WORKERS = (1, 2)
MEMORY = {"spark_executor_memory": "2g", "spark_driver_memory": "2g", "spark_sql_shuffle_partitions": "8"}


def settings_of(lake: Lake, master: str = "") -> Settings:
    """The settings of a build, on Spark where a master is given."""
    engine = {"engine": "spark", "master": master} if master else {}
    return Settings(lake=str(lake.path), tz="UTC", prices=str(PRICES), **engine)


def measured(folder: Path, shape: Shape) -> Iterator[tuple[str, str]]:
    """What was measured, and how it came out, line by line."""
    lake = write(folder / "duckdb", shape).lake
    yield "instances, days", f"{shape.instances:,}, {shape.days}"
    yield "rows of the tidy tables", f"{sum(rows_of(lake, each.name) for each in TABLES):,}"
    others = {count: copy(lake, folder / f"spark-{count}") for count in WORKERS}
    began = time.monotonic()
    built = build(settings_of(lake), lake)
    yield "rows of the marts", f"{sum(built.rows.values()):,}"
    yield "build by DuckDB", seconds(time.monotonic() - began)
    began = time.monotonic()
    ours = {each.name: reports.answer(lake, each, values_of(lake, each)) for each in reports.reports()}
    yield "all reports by DuckDB", seconds(time.monotonic() - began)
    spent = {}
    for count, other in others.items():
        with running(folder / f"cluster-{count}", count, **MEMORY) as cluster:
            spark.session(cluster.master)
            began = time.monotonic()
            sparkbuild.build(settings_of(other, cluster.master), other)
            spent[count] = time.monotonic() - began
            workers = f"{count} worker{'s' if count > 1 else ''}"
            yield f"build by Spark, {workers}", seconds(spent[count])
            yield f"rows of the marts that differ, {workers}", f"{differing(lake, other):,}"
            if count == max(WORKERS):
                began = time.monotonic()
                theirs = answered(other, cluster.master)
                yield f"all reports by Spark, {workers}", seconds(time.monotonic() - began)
                unlike = [name for name, rows in ours.items() if rows.to_pylist() != theirs[name].to_pylist()]
                yield "reports that differ", ", ".join(unlike) or "none"
    yield "speed-up from one worker to two", f"{spent[1] / spent[2]:.2f}"


def values_of(lake: Lake, report: reports.Report) -> dict[str, object]:
    """The values that a report is run with: its usual ones, and a budget."""
    budget = "1000000" if "--budget" in report.options else None
    return reports.values(lake, report, Asked(budget=budget))


def answered(lake: Lake, master: str) -> dict[str, pa.Table]:
    """What Spark answers to every report."""
    with sparkquery.reading(master, lake) as read:
        read(periods.BUILT)
        return {each.name: read(each.sql, values_of(lake, each)) for each in reports.reports()}


def differing(one: Lake, other: Lake) -> int:
    """How many rows of the marts only one of two lakes has."""
    count = 0
    with views.unlocked(one) as connection:
        attached = {name: marts_of(other)[name] for name in marts.STORED}
        for name, relation in attached.items():
            pairs = ((f"from {name}", f"from {relation}"), (f"from {relation}", f"from {name}"))
            for these, those in pairs:
                found = connection.execute(f"select count(*) from ({these} except all {those})").fetchone()
                count += found[0] if found else 0
    return count


def marts_of(lake: Lake) -> dict[str, str]:
    """The SQL that reads each mart of a lake."""
    built = marts.published(lake)
    versions = built.versions if built else {}
    return {name: marts.relation(lake, name, version) for name, version in versions.items()}


def rows_of(lake: Lake, name: str) -> int:
    """How many rows a table has."""
    return int(deltalake.DeltaTable(str(lake.location(name))).to_pyarrow_dataset().count_rows())


def copy(lake: Lake, path: Path) -> Lake:
    """The same lake in another directory."""
    shutil.copytree(lake.path, path)
    return Lake(path)


def seconds(spent: float) -> str:
    return f"{spent:,.0f} s"


def main() -> None:
    """Measure, tell it as it comes, and write it into the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--instances", type=int, default=140_000)
    parser.add_argument("--days", type=int, default=2)
    given = parser.parse_args()
    lines = []
    with TemporaryDirectory() as folder:
        for what, how in measured(Path(folder), Shape(instances=given.instances, days=given.days)):
            print(f"{what}: {how}", flush=True)
            lines.append(f"| {what} | {how} |")
    lines.append(f"| processors of the machine | {os.cpu_count()} |")
    table = "\n".join(["| what | measured |", "|---|---|", *lines])
    text = PAGE.read_text(encoding="utf-8")
    block = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    PAGE.write_text(block.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
