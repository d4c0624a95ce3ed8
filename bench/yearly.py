"""What a history costs to build, to report on and to keep, as it grows; into docs/performance.md."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import deltalake
import duckdb

from bench.history import History, Shape, whole_sweep
from etl import marts, query, reports
from etl.build import build
from etl.columns import quoted
from etl.compaction import WRITER
from etl.dictionary import TABLES
from etl.lake import Lake
from etl.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- begin: make bench-history -->", "<!-- end: make bench-history -->"
PRICES = ROOT / "etl" / "demo_prices.csv"
WEEK, MONTH = 7, 30

# What figures are worked out from, of each table that they are.
NEEDED = {
    "instances": "instance_id, sweep_id, observed_at, change, status, created_at, updated_at, stop_at, "
    "run_started_at, auto_stop_seconds, name, description, user_id, pool_id, workspace_id, ai_project_id, "
    "flavor",
    "storage": "instance_id, volume, sweep_id, observed_at, change, type, size_bytes",
    "queue": "instance_id, sweep_id, observed_at, change, flavor, status, began_at, ends_at",
}


@dataclass(frozen=True)
class Cost:
    """What something cost in a process of its own, the start of Python apart."""

    cpu_seconds: float
    seconds: float
    peak_bytes: int


def measured(work: Callable[..., Any], *given: Any) -> tuple[Cost, Any]:
    """What a function costs in a new process, and what it gives."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        cost, answer = process.submit(_timed, work, given).result()
    return cost, answer


def _timed(work: Callable[..., Any], given: Sequence[Any]) -> tuple[Cost, Any]:
    cpu, clock = time.process_time(), time.perf_counter()
    answer = work(*given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Cost(time.process_time() - cpu, time.perf_counter() - clock, peak), answer


def built(path: Path, full: bool = False) -> tuple[int, list[str]]:
    """Build; how many days were worked out, and which checks failed."""
    found = build(Settings(lake=str(path), tz="UTC", prices=str(PRICES)), Lake(path), full=full)
    return len(found.days), [each.name for each in found.findings if each.status == "fail"]


def sorted_once(path: Path) -> int:
    """The floor of a build: read the columns that it needs, once, and sort them by instance and time."""
    lake, count = Lake(path), 0
    (path / "tmp" / "queries").mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"set memory_limit = {quoted(Settings().memory)}")
        connection.execute(f"set temp_directory = {quoted(str(path / 'tmp' / 'queries'))}")
        for name, columns in NEEDED.items():
            files = lake.over(name, lake.files(name))
            connection.execute(
                f"create temp table sorted_{name} as select {columns} from {files} "
                "order by instance_id, observed_at"
            )
            [(rows,)] = connection.execute(f"select count(*) from sorted_{name}").fetchall()
            count += rows
    return count


def reported(path: Path, since: date, until: date) -> dict[str, tuple[float, float]]:
    """The wall and CPU seconds of each report over a period, the second time that it is run."""
    lake, found = Lake(path), {}
    for each in reports.reports():
        period = {"since": str(since), "until": str(until) if "--to" in each.options else None}
        given = (period if "--from" in each.options else {}) | (
            {"budget": "100000"} if "--budget" in each.options else {}
        )
        asked = reports.Asked(**given)
        for _ in range(2):
            clock, cpu = time.perf_counter(), time.process_time()
            reports.answer(lake, each, reports.values(lake, each, asked))
            found[each.name] = time.perf_counter() - clock, time.process_time() - cpu
    return found


def rows_read(path: Path) -> tuple[int, int]:
    """The rows that the usage of one user is found in, and those of all users."""
    lake = Lake(path)
    [user] = query.run(lake, "select min(user_id) as user_id from usage_daily").to_pylist()
    text = "explain analyze select sum(running_us) from usage_daily"
    scanned = []
    for condition in ("", f" where user_id = {quoted(user['user_id'])}"):
        plan = "\n".join(query.run(lake, text + condition)["plan"].to_pylist())
        scanned.append(_row_groups(plan))
    return scanned[1], scanned[0]


def _row_groups(plan: str) -> int:
    """The row groups that a plan tells to have been scanned."""
    return sum(int(each) for each in re.findall(r"Row Groups Scanned: (\d+)", plan))


def bytes_of(files: Iterable[str]) -> int:
    """The bytes of files."""
    return sum(Path(each).stat().st_size for each in files)


def mart_files(lake: Lake) -> Iterator[str]:
    """The files of the marts that readers see."""
    current = marts.published(lake)
    for name, version in current.versions.items() if current else ():
        yield from re.findall("'([^']+parquet)'", marts.relation(lake, name, version))


def whole_bytes(history: History) -> int:
    """The bytes of all that one sweep saw, written as the tables are."""
    total = 0
    with duckdb.connect() as connection, TemporaryDirectory() as folder:
        for name, text in whole_sweep(history).items():
            rows = connection.sql(text).to_arrow_table()
            deltalake.write_deltalake(f"{folder}/{name}", rows, writer_properties=WRITER)
        total += sum(each.stat().st_size for each in Path(folder).rglob("*.parquet"))
    return total


def measure(path: Path, shape: Shape) -> dict[str, Any]:
    """Write a history, and all that is measured of it on the way and at its end."""
    history, steps = History(Lake(path), shape), []
    clock = time.process_time()
    for days in sorted({min(WEEK, shape.days - 1), min(MONTH, shape.days - 1), shape.days - 1}):
        history.add(days - history.day)
        measured(built, path)
        history.add()
        cost, (count, failed) = measured(built, path)
        steps.append({"days": history.day, "built": count, "failed": failed, **asdict(cost)})
        print(steps[-1], flush=True)
    made = time.process_time() - clock
    last = shape.start + timedelta(history.day - 1)
    return {
        "shape": {**vars(shape), "start": str(shape.start)},
        "made_cpu_seconds": made,
        "one_more_day": steps,
        "full_build": asdict(measured(built, path, True)[0]),
        "floor": asdict(measured(sorted_once, path)[0]),
        "month": measured(reported, path, max(shape.start, last - timedelta(MONTH)), last)[1],
        "all": measured(reported, path, shape.start, last)[1],
        "row_groups": measured(rows_read, path)[1],
        "table_bytes": bytes_of(file for each in TABLES for file in history.lake.files(each.name)),
        "mart_bytes": bytes_of(mart_files(history.lake)),
        "whole_sweep_bytes": whole_bytes(history),
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The figures as the page has them."""
    shape, steps = found["shape"], found["one_more_day"]
    full, floor = found["full_build"], found["floor"]
    every = shape["days"] * 24 * 60 // shape["every_minutes"]
    whole = found["whole_sweep_bytes"] * every / found["table_bytes"]
    ratio = steps[-1]["cpu_seconds"] / steps[0]["cpu_seconds"]
    work = full["cpu_seconds"] / floor["cpu_seconds"]
    slow = {name: sorted(found[name].items(), key=lambda each: -each[1][1]) for name in ("month", "all")}
    month, year = (slow[name][0][1][1] for name in ("month", "all"))
    load = os.getloadavg()[0]
    yield (
        f"{shape['instances']:,} instances over {shape['days']} days, a sweep each quarter of an hour, "
        f"about ten changes of state a day each; {os.cpu_count()} cores, load average {load:.1f} at the end. "
        "All is in CPU seconds, which another load disturbs least, and without the start of Python; reports "
        "are run a second time, when the files are warm."
    )
    yield ""
    yield "| work | aim | reached | met |"
    yield "|---|--:|--:|---|"
    yield _row("one more day, at the end to after a week (CPU)", "≤ 1.2 ×", f"{ratio:.2f} ×", ratio <= 1.2)
    yield _row(
        "full build, to reading the needed columns once and sorting them (CPU)",
        "≤ 3 ×",
        f"{work:.1f} ×",
        work <= 3,
    )
    yield _row("slowest report over the last 30 days", "≤ 1 s", f"{month:.2f} s", month <= 1)
    yield _row("slowest report over all days", "≤ 5 s", f"{year:.2f} s", year <= 5)
    yield _row("every sweep stored whole, to the tables", "≥ 20 ×", f"{whole:.0f} ×", whole >= 20)
    yield ""
    yield "| build | CPU seconds | seconds | peak MB |"
    yield "|---|--:|--:|--:|"
    for each in steps:
        yield f"| one more day, making {each['days']} | {_cost(each)} |"
    yield f"| all days | {_cost(full)} |"
    yield f"| the floor of that | {_cost(floor)} |"
    yield ""
    instance_days = shape["instances"] * shape["days"]
    yield (
        f"An instance takes {found['table_bytes'] / instance_days:,.0f} bytes a day in the tables and "
        f"{found['mart_bytes'] / instance_days:,.0f} in the marts. Of the row groups of "
        f"`usage_daily` {found['row_groups'][0]} of {found['row_groups'][1]} are read for one user."
    )
    yield ""
    yield "| slowest reports over 30 days | seconds | CPU seconds | over all days | seconds | CPU seconds |"
    yield "|---|--:|--:|---|--:|--:|"
    for short, long in list(zip(slow["month"], slow["all"], strict=True))[:8]:
        yield (
            "| "
            + " | ".join(f"`{name}` | {wall:.2f} | {cpu:.2f}" for name, (wall, cpu) in (short, long))
            + " |"
        )


def _row(work: str, aim: str, reached: str, is_met: bool) -> str:
    return f"| {work} | {aim} | {reached} | {'yes' if is_met else '**no**'} |"


def _cost(each: dict[str, Any]) -> str:
    return f"{each['cpu_seconds']:.1f} | {each['seconds']:.1f} | {each['peak_bytes'] / 1e6:,.0f}"


def written(page: str, text: str) -> str:
    """The page with these lines between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Measure, print, and write the page and beside the lake the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--lake", type=Path, help="a new directory to keep the lake in; else it is removed")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    options = parser.parse_args()
    shape = Shape(options.instances, options.days, options.seed)
    with TemporaryDirectory() as folder:
        found = measure(options.lake or Path(folder) / "lake", shape)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = "\n".join(lines(found))
    print(text)
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    main()
