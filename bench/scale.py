"""What ten million instances would take, by a hundredth of it: `make bench-scale` writes docs/scale.md."""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import pages
from bench.growth import live, logs, ours, size
from bench.history import History, Shape
from bench.measure import ROOT, Run, Service, run, service
from bench.performance import ENVIRONMENT, folder
from bench.yearly import built, bytes_of, mart_files, measured
from etl import query
from etl.dictionary import TABLES
from etl.lake import Lake
from etl.settings import load
from etl.upkeep import maintain

COMMAND = "make bench-scale"
RESULTS = ROOT / ".bench/scale.json"
DEMETER = (sys.executable, "-c", "from etl.cli import main; main()")
PROJECTS, INSTANCES, ROUNDS = 100, 1000, 5
# What is asked about: a year of sweeps a quarter of an hour apart.
WHOLE_PROJECTS, WHOLE_INSTANCES, SWEEPS, DAYS = 10_000, 10_000_000, 35_040, 365
A_DAY = 96
CORE_SECONDS = 86_400 * 0.5  # Of a day, for a core that is busy half of the time.


@dataclass(frozen=True)
class Round:
    """A sweep of all projects: what it took, and what the lake came to with it."""

    seconds: float
    cpu_seconds: float
    requests: int
    received_bytes: int
    table_bytes: int
    log_bytes: int
    raw_bytes: int
    files: int


@dataclass(frozen=True)
class Scale:
    """The rounds, the upkeep after them, and what a day of a history takes."""

    projects: int
    instances: int
    rounds: list[Round]
    upkeep_cpu_seconds: float
    files_after: int
    day_build_cpu_seconds: float
    day_table_bytes: float
    day_mart_bytes: float
    day_instances: int


def main() -> None:
    """Sweep a hundred projects some times, build a day of a history, and say what all would take."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--projects", type=int, default=PROJECTS)
    parser.add_argument("--instances", type=int, default=INSTANCES, help="in each project")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    options = ("--projects", str(given.projects), "--days", "2")
    with folder() as place:
        with service(given.instances, *options) as fleet:
            rounds, upkeep, files = swept(fleet, place / "lake", given.rounds)
        day = a_day(place / "history", given.instances * 10)
    found = Scale(given.projects, given.instances, rounds, upkeep, files, *day)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(asdict(found), indent=1))
    text = report(found)
    print(text)
    pages.write("scale.md", COMMAND, text)


def swept(fleet: Service, lake: Path, rounds: int) -> tuple[list[Round], float, int]:
    """Sweep all projects so often; the rounds, the CPU seconds of the upkeep, and the files after it."""
    found: list[Round] = []
    environment = ENVIRONMENT | {"DEMETER_LAKE": str(lake)}
    for _ in range(rounds):
        took = run((*DEMETER, "sweep", "--all"), environment, fleet)
        found.append(round_of(took, lake, found))
        print(found[-1], flush=True)
        fleet.ask(minutes=15)
    settings = load({"lake": str(lake), "vacuum_hours": 1}, {**fleet.environment, **ours(ENVIRONMENT)})
    began = time.process_time()
    maintain(settings, Lake(lake))
    return found, time.process_time() - began, files_in(lake / "tables")


def round_of(took: Run, lake: Path, before: list[Round]) -> Round:
    """What a round came to, by the rows of its sweeps."""
    [row] = query.run(
        Lake(lake), "select sum(request_count) as requests, sum(received_bytes) as received from sweeps"
    ).to_pylist()
    return Round(
        took.seconds,
        took.cpu_seconds,
        int(row["requests"]) - sum(each.requests for each in before),
        int(row["received"]) - sum(each.received_bytes for each in before),
        live(lake / "tables"),
        logs(lake / "tables"),
        size(lake / "raw"),
        files_in(lake / "tables"),
    )


def files_in(place: Path) -> int:
    """How many files are below a folder."""
    return sum(path.is_file() for path in place.rglob("*"))


def a_day(path: Path, instances: int) -> tuple[float, float, float, int]:
    """What one more day of a history of so many instances takes: CPU seconds of its build, bytes of its
    tables and of its marts; and the instances."""
    history = History(Lake(path), Shape(instances, 3))
    history.add(2)
    measured(built, path)
    tables, made = table_bytes(history.lake), bytes_of(mart_files(history.lake))
    history.add()
    cost, (_, failed) = measured(built, path)
    if failed:
        raise RuntimeError(f"checks failed: {failed}")
    grown = table_bytes(history.lake) - tables, bytes_of(mart_files(history.lake)) - made
    return cost.cpu_seconds, *grown, instances


def table_bytes(lake: Lake) -> int:
    """The bytes of the tables of a lake."""
    return bytes_of(file for each in TABLES for file in lake.files(each.name))


def report(found: Scale) -> str:
    """What the page says: the run, what one of each thing takes, and what all would take."""
    return "\n".join([of_rounds(found), *units(found), *whole(found)])


def of_rounds(found: Scale) -> str:
    """The rounds as they were."""
    head = (
        f"{found.projects:,} projects of {found.instances:,} instances | >seconds | >CPU seconds | >requests "
        "| >received, MB | >tables, MB | >their logs, MB | >raw pages, MB | >files"
    )
    rows = [
        [
            f"round {number}",
            f"{each.seconds:,.0f}",
            f"{each.cpu_seconds:,.0f}",
            f"{each.requests:,}",
            *(megabytes(one) for one in (each.received_bytes, each.table_bytes)),
            *(megabytes(one) for one in (each.log_bytes, each.raw_bytes)),
            f"{each.files:,}",
        ]
        for number, each in enumerate(found.rounds, start=1)
    ]
    return pages.table(head, rows)


def megabytes(count: float) -> str:
    return f"{count / 1e6:,.1f}"


@dataclass(frozen=True)
class Units:
    """What one of each thing takes, by the rounds after the first."""

    requests: float  # Of a sweep of one project.
    received_bytes: float
    sweep_cpu_seconds: float
    log_bytes: float
    raw_bytes: float
    files: float
    build_cpu_seconds: float  # Of an instance and day.
    table_bytes: float
    mart_bytes: float
    upkeep_cpu_seconds: float  # Of a sweep that was merged.


def unit_costs(found: Scale) -> Units:
    """What one of each thing takes."""
    later, swept = found.rounds[1:], found.projects
    steps = list(zip(found.rounds, later, strict=False))

    def middle(name: str) -> float:
        return float(statistics.median(getattr(each, name) for each in later)) / swept

    def grown(name: str) -> float:
        return float(statistics.median(getattr(b, name) - getattr(a, name) for a, b in steps)) / swept

    return Units(
        middle("requests"),
        middle("received_bytes"),
        middle("cpu_seconds"),
        grown("log_bytes"),
        grown("raw_bytes"),
        grown("files"),
        found.day_build_cpu_seconds / found.day_instances,
        found.day_table_bytes / found.day_instances,
        found.day_mart_bytes / found.day_instances,
        found.upkeep_cpu_seconds / (len(found.rounds) * swept),
    )


def units(found: Scale) -> Iterator[str]:
    """The table of what one of each thing takes."""
    one = unit_costs(found)
    rows = [
        ["requests of a sweep of a project", f"{one.requests:,.1f}"],
        ["bytes that it receives", f"{one.received_bytes:,.0f}"],
        ["CPU seconds of it", f"{one.sweep_cpu_seconds:.2f}"],
        ["bytes that it adds to the logs of the tables", f"{one.log_bytes:,.0f}"],
        ["bytes of raw pages", f"{one.raw_bytes:,.0f}"],
        ["files that it leaves until they are merged", f"{one.files:.1f}"],
        ["CPU seconds of `demeter maintain` for it", f"{one.upkeep_cpu_seconds:.3f}"],
        ["bytes of an instance and day in the tables", f"{one.table_bytes:,.0f}"],
        ["bytes of an instance and day in the marts", f"{one.mart_bytes:,.0f}"],
        ["CPU seconds to build an instance and day", f"{one.build_cpu_seconds:.5f}"],
    ]
    yield pages.table("what | >takes", rows)


def whole(found: Scale) -> Iterator[str]:
    """The table of what a year of it all would take."""
    one, sweeps = unit_costs(found), WHOLE_PROJECTS * SWEEPS
    days = WHOLE_INSTANCES * DAYS
    per_second = 900.0
    at_once = WHOLE_PROJECTS * one.sweep_cpu_seconds / per_second
    building = WHOLE_INSTANCES * one.build_cpu_seconds
    rows = [
        ["sweeps", f"{sweeps:,}", f"{WHOLE_PROJECTS / per_second:.1f} a second"],
        [
            "requests",
            billions(sweeps * one.requests),
            f"{WHOLE_PROJECTS * one.requests / per_second:.0f} a second",
        ],
        [
            "received",
            terabytes(sweeps * one.received_bytes),
            f"{WHOLE_PROJECTS * one.received_bytes / per_second / 1e6:.0f} MB a second",
        ],
        [
            "tables",
            terabytes(days * one.table_bytes),
            f"{WHOLE_INSTANCES * one.table_bytes / 1e9:.1f} GB a day",
        ],
        ["marts", terabytes(days * one.mart_bytes), f"{WHOLE_INSTANCES * one.mart_bytes / 1e9:.1f} GB a day"],
        [
            "raw pages, kept for 14 days",
            terabytes(WHOLE_PROJECTS * A_DAY * 14 * one.raw_bytes),
            f"{WHOLE_PROJECTS * A_DAY * one.raw_bytes / 1e9:.0f} GB a day",
        ],
        [
            "logs of the tables, before they are cleaned up",
            "–",
            f"{WHOLE_PROJECTS * A_DAY * one.log_bytes / 1e9:.0f} GB a day",
        ],
        [
            "files, before they are merged",
            "–",
            f"{WHOLE_PROJECTS * A_DAY * one.files / 1e6:.1f} million a day",
        ],
        ["cores for sweeps, all of the time", "–", f"{at_once:.0f}"],
        [
            "cores for `demeter maintain`, busy half of the day",
            "–",
            f"{WHOLE_PROJECTS * A_DAY * one.upkeep_cpu_seconds / CORE_SECONDS:.1f}",
        ],
        [
            "cores for one more day of marts, busy half of the day",
            f"{building * DAYS / 3600:,.0f} core hours",
            f"{building / CORE_SECONDS:.1f}",
        ],
    ]
    head = f"{WHOLE_INSTANCES:,} instances in {WHOLE_PROJECTS:,} projects | >a year | >at a time"
    yield pages.table(head, rows)


def billions(count: float) -> str:
    return f"{count / 1e9:,.2f} billion"


def terabytes(count: float) -> str:
    return f"{count / 1e12:,.1f} TB"


if __name__ == "__main__":
    main()
